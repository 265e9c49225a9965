"""Check an export bundle with nothing but the bundle and the log's public keys. Pure; never raises for a bad bundle.

In this order: the archive's form, the signed checkpoint, every entry against the tiles and the signed root, every source's
numbering and chain, the order of receive times, and every value against its commitment.
"""

from collections.abc import Sequence

from cryptography import x509

from audit_contract import bundle as bundles
from audit_contract.checkpoint import Checkpoint, open_checkpoint
from audit_contract.keys import KeyVerifier
from audit_contract.leaf import Leaf, LeafError, read_leaf
from audit_contract.merkle import HASH_SIZE, leaf_hash, root_of
from audit_contract.note import NoteError, SignatureError, UnsignedError
from audit_contract.report import Exit, Report
from audit_contract.tiles import WIDTH, TileError, bundle_entries, split_entries, split_hashes, subtree, tiles_of
from audit_contract.trust import Trust, build, check_quorum, vkey_lines
from audit_contract.verify_stamps import check_stamps
from audit_contract.verify_values import check_values


def verify_bundle(
    data: bytes, keys: Sequence[str] = (), log: str | None = None, policy: str | None = None, tsa: bytes | None = None
) -> Report:
    """Check a bundle against the log's verifier keys (`vkey` texts) and, when given, the log's origin and a tlog-policy.

    Keys may be of an earlier generation: the hand-overs in the bundle are followed. Without a policy the bundle's own is asked
    for, if it has one. A quorum that is not met is exit 3. `tsa` has the certificates (PEM) of the time-stamp authorities that
    count; without it a stamp's own content and signature are checked, not whose it is.

    Without keys those in the bundle are used; the report then says `trusted=False`: the bundle agrees with itself, and whose
    it is remains to be shown.
    """
    report = Report()
    try:
        bundle = bundles.read(data)
        trust = build(report, bundle, keys, policy)
        roots = [] if tsa is None else x509.load_pem_x509_certificates(tsa)
    except ValueError as error:  # also BundleError, NoteError, PolicyError
        report.add(Exit.BAD_INPUT, None, str(error))
        return report
    report.log, report.size, report.trusted = bundle.log, bundle.size, trust.given
    if log is not None and log != bundle.log:
        report.add(Exit.POLICY, None, f"a bundle of {bundle.log!r}, not of {log!r}")
    point = _check_checkpoint(report, bundle, trust)
    if point is None:
        return report
    if trust.given:
        _check_bundled_keys(report, bundle, trust.keys)
    entries = _check_tree(report, bundle, point)
    leaves = _read_leaves(report, bundle, entries)
    _check_sources(report, leaves, entries)
    check_values(report, bundle, leaves)
    check_stamps(report, bundle, roots)
    return report


def _check_bundled_keys(report: Report, bundle: bundles.Bundle, known: list[KeyVerifier]) -> None:
    """Refuse a bundle that names other keys than the caller trusts: it would mislead whoever checks it without."""
    trusted = {each.vkey for each in known}
    try:
        said = vkey_lines(bundle.members.get("keys", b""), "keys")
    except bundles.BundleError as error:
        report.add(Exit.BAD_INPUT, None, str(error))
        return
    for other in (each for each in said if each not in trusted):
        report.add(Exit.POLICY, None, f"keys: {other[:80]} is not among the trusted keys")


def _check_checkpoint(report: Report, bundle: bundles.Bundle, trust: Trust) -> Checkpoint | None:
    try:
        opened = open_checkpoint(bundle.members.get("checkpoint", b""), bundle.log, trust.verifiers())
    except UnsignedError as error:
        report.add(Exit.POLICY, None, f"checkpoint: {error}")
    except SignatureError as error:
        report.add(Exit.TAMPERED, None, f"checkpoint: {error}")
    except NoteError as error:
        report.add(Exit.BAD_INPUT, None, f"checkpoint: {error}")
    else:
        report.root = opened.checkpoint.root.hex()
        signed = [each for each in opened.signed_by if isinstance(each, KeyVerifier)]
        own = {each.vkey for each in trust.keys}
        report.signed_by = [f"{each.name}+{each.key_id.hex()}" for each in signed if each.vkey in own]
        missing = own - {each.vkey for each in signed}
        strangers = len(opened.note.signatures) - len(opened.signed_by)
        if missing or strangers:
            report.add(
                Exit.POLICY, None, f"checkpoint: {len(missing)} known keys did not sign, {strangers} unknown did"
            )
        check_quorum(report, trust, signed)
        if opened.checkpoint.size == bundle.size:
            return opened.checkpoint
        report.add(Exit.TAMPERED, None, f"the checkpoint is over {opened.checkpoint.size} leaves, not {bundle.size}")
    return None


def _check_tree(report: Report, bundle: bundles.Bundle, point: Checkpoint) -> list[bytes | None]:
    """Return the entries in order, None for one that is missing; note the first one that is not what was signed."""
    hashes = _check_tiles(report, bundle, point)
    entries: list[bytes | None] = []
    for number, member in enumerate(bundle.entry_members()):
        start = number * WIDTH
        width = min(WIDTH, bundle.size - start)
        entries += _entries_of(report, bundle.members.get(member), member, width)
        found = [None if entry is None else leaf_hash(entry) for entry in entries[start:]]
        for at, hashed in enumerate(found, start):
            if hashed is not None and hashes[at] != hashed:
                report.add(Exit.TAMPERED, at, f"entry {at} is not the one in the signed tree")
            elif hashed is not None:
                report.proven += 1
    return entries


def _entries_of(report: Report, data: bytes | None, member: str, width: int) -> list[bytes | None]:
    try:
        found = split_entries(data) if data is not None else []
    except TileError as error:
        report.add(Exit.TAMPERED, None, f"{member}: {error}")
        return [None] * width
    if len(found) > width or (found and bundle_entries(found) != data):
        report.add(Exit.TAMPERED, None, f"{member}: {len(found)} entries, not {width}")
    if len(found) < width:
        report.add(Exit.INCOMPLETE, None, f"{member}: {width - len(found)} of {width} entries are missing")
    return [*found[:width], *[None] * (width - len(found))]


def _check_tiles(report: Report, bundle: bundles.Bundle, point: Checkpoint) -> list[bytes | None]:
    """Return the leaf hashes that the signed root vouches for; None everywhere when the tiles do not lead to it."""
    hashes: list[bytes] = []
    above: dict[int, list[bytes]] = {}
    for tile in tiles_of(bundle.size):
        data = bundle.members.get(tile.path, b"")
        if len(data) != tile.width * HASH_SIZE:
            report.add(
                Exit.TAMPERED if data else Exit.INCOMPLETE, None, f"{tile.path}: missing or not {tile.width} hashes"
            )
            return _hashes_from_entries(bundle, point)
        if tile.level == 0:
            hashes += split_hashes(data)
        elif split_hashes(data) != above[tile.level][tile.index * WIDTH : tile.index * WIDTH + tile.width]:
            report.add(Exit.TAMPERED, None, f"{tile.path}: not the hashes of the tiles below it")
        if tile.width == WIDTH:
            above.setdefault(tile.level + 1, []).append(subtree(data, 0, WIDTH))
    if root_of(hashes) == point.root:
        return list(hashes)
    entries = _hashes_from_entries(bundle, point)
    bad = next((at for at, (one, two) in enumerate(zip(hashes, entries, strict=True)) if two and one != two), None)
    report.add(Exit.TAMPERED, bad, "the tiles do not lead to the signed root")
    return entries if bad is not None else [None, *entries[1:]] if entries else []


def _hashes_from_entries(bundle: bundles.Bundle, point: Checkpoint) -> list[bytes | None]:
    """Return the leaf hashes from the entries themselves when they lead to the signed root, else hashes of nothing."""
    hashes: list[bytes] = []
    for member in bundle.entry_members():
        try:
            hashes += [leaf_hash(entry) for entry in split_entries(bundle.members.get(member, b""))]
        except TileError:
            break
    if len(hashes) == bundle.size and root_of(hashes) == point.root:
        return list(hashes)
    return [None] * bundle.size


def _read_leaves(report: Report, bundle: bundles.Bundle, entries: list[bytes | None]) -> list[Leaf | None]:
    leaves: list[Leaf | None] = []
    latest = ""
    for index, entry in enumerate(entries):
        leaf = None
        if entry is not None:
            try:
                leaf = read_leaf(entry)
            except LeafError as error:
                report.add(Exit.TAMPERED, index, f"entry {index}: {error}")
        leaves.append(leaf)
        if leaf is None:
            continue
        if leaf.log != bundle.log:
            report.add(Exit.TAMPERED, index, f"entry {index} was written for {leaf.log!r}")
        if leaf.received < latest:
            report.add(Exit.TIME, index, f"entry {index} was received before the one before it")
        latest = max(latest, leaf.received)
    return leaves


def _check_sources(report: Report, leaves: list[Leaf | None], entries: list[bytes | None]) -> None:
    """Check that every source numbers its entries from 0 without a gap, each naming the hash of the one before."""
    heads: dict[tuple[str, str], tuple[int, str]] = {}
    intents: dict[str, int] = {}
    for index, (leaf, entry) in enumerate(zip(leaves, entries, strict=True)):
        if leaf is None or entry is None:
            continue
        seq, prev = heads.get(leaf.source, (0, None))
        if (leaf.seq, leaf.prev) != (seq, prev):
            report.add(Exit.INCOMPLETE, index, f"entry {index}: {leaf.source[1]} is at {leaf.seq}, {seq} was expected")
        heads[leaf.source] = (leaf.seq + 1, leaf_hash(entry).hex())
        if leaf.data["phase"] == "intent":
            intents[leaf.id] = index
        elif leaf.data["phase"] == "outcome" and intents.pop(leaf.data.get("intent", ""), None) is None:
            report.orphans.append(index)
    report.sources = len(heads)
    report.open_intents = sorted(intents.values())
