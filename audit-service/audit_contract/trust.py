"""Whose signatures count: the keys that were given, those they handed over to, and the witnesses of a policy. Pure.

New keys of a log are announced by an entry (`audit:key:announce`) that names their digest; a checkpoint that the keys before
signed covers that entry. So whoever trusts one generation of keys can follow to the next without asking anybody.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from audit_contract import bundle as bundles
from audit_contract.checkpoint import Checkpoint, open_checkpoint
from audit_contract.keys import KeyVerifier, parse_vkey
from audit_contract.leaf import LeafError, read_leaf
from audit_contract.merkle import leaf_hash, root_of
from audit_contract.note import NoteError, SignatureError, UnsignedError
from audit_contract.policy import Policy, PolicyError, parse_policy
from audit_contract.report import Exit, Report
from audit_contract.tiles import TileError, split_entries

ANNOUNCE: Final = "audit:key:announce"
DIGEST: Final = "keysSha256"
"""The fact of an announcing entry that names the new keys."""


@dataclass(slots=True)
class Trust:
    """The keys that must sign the log's checkpoint, the policy that must be met, and witnesses that are only recognised."""

    keys: list[KeyVerifier]
    policy: Policy | None = None
    recognised: list[KeyVerifier] = field(default_factory=list)
    given: bool = False

    def verifiers(self) -> list[KeyVerifier]:
        """Return every key whose signature is checked."""
        return [*self.keys, *self.recognised]


def keys_digest(vkeys: Iterable[str]) -> str:
    """Return the hex SHA-256 of verifier keys, one a line, in order."""
    return sha256("".join(f"{vkey}\n" for vkey in vkeys).encode()).hexdigest()


def vkey_lines(data: bytes, member: str) -> list[str]:
    """Return a member's verifier keys. Raises BundleError."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise bundles.BundleError(f"{member}: not UTF-8") from error
    if not text.endswith("\n"):
        raise bundles.BundleError(f"{member}: one verifier key a line is missing or cut")
    return text.removesuffix("\n").split("\n")


def build(report: Report, bundle: bundles.Bundle, keys: Sequence[str], policy: str | None) -> Trust:
    """Return what to trust. Raises BundleError, NoteError or PolicyError when it cannot be read."""
    bundled = bundle.members.get("policy")
    if bundled is not None:
        try:
            bundled_policy = parse_policy(bundled.decode())
        except (PolicyError, UnicodeDecodeError) as error:
            raise bundles.BundleError(f"policy: {error}") from error
    else:
        bundled_policy = None
    chosen = bundled_policy if policy is None else parse_policy(policy)
    texts = list(keys)
    if policy is not None and chosen is not None and not texts:
        texts = [each.vkey for each in chosen.logs if each.name == bundle.log]
    known = [parse_vkey(text) for text in texts or vkey_lines(bundle.members.get("keys", b""), "keys")]
    trust = Trust(known, chosen, given=bool(texts))
    for each in (chosen, bundled_policy):
        trust.recognised += [] if each is None else each.witnesses.values()
    if trust.given:
        _follow(report, bundle, trust)
    return trust


def check_quorum(report: Report, trust: Trust, signed: Iterable[KeyVerifier]) -> None:
    """Note whether enough of the policy's witnesses have cosigned."""
    if trust.policy is None:
        return
    witnesses = {each.vkey for each in trust.policy.witnesses.values()}
    found = [each for each in signed if each.vkey in witnesses]
    report.witnessed_by = [f"{each.name}+{each.key_id.hex()}" for each in found]
    if not trust.policy.met(found):
        report.add(
            Exit.POLICY, None, f"checkpoint: too few witnesses cosigned it for the quorum ({len(found)} keys did)"
        )


def _follow(report: Report, bundle: bundles.Bundle, trust: Trust) -> None:
    """Go from the given keys to those they handed over to, one announcement after the other."""
    for path in bundles.extras(bundle, "rotation", "checkpoint"):
        try:
            point = open_checkpoint(bundle.members[path], bundle.log, trust.keys).checkpoint
            number = bundles.number_of(path)
            new = vkey_lines(bundle.members.get(f"rotation/{number}.keys", b""), f"rotation/{number}.keys")
            following = [parse_vkey(each) for each in new]
        except UnsignedError:
            continue  # handed over by keys from before those that were given
        except SignatureError as error:
            report.add(Exit.TAMPERED, None, f"{path}: {error}")
            return
        except (NoteError, bundles.BundleError) as error:
            report.add(Exit.BAD_INPUT, None, f"{path}: {error}")
            return
        said = _objection(bundle, point, keys_digest(new))
        if said:
            report.add(Exit.TAMPERED, None, f"{path}: {said}")
            return
        trust.keys = following


def _objection(bundle: bundles.Bundle, point: Checkpoint, digest: str) -> str:
    """Return why the keys before did not hand over to those with this digest; nothing when they did."""
    try:
        entries = first_entries(bundle, point.size)
    except (KeyError, TileError) as error:
        return f"the entries it covers are not there: {error}"
    if root_of(map(leaf_hash, entries)) != point.root:
        return "the log's entries are not those it covers"
    announced = any(_announces(entry, digest) for entry in reversed(entries))
    return "" if announced else "no entry it covers announces these keys"


def first_entries(bundle: bundles.Bundle, size: int) -> list[bytes]:
    """Return the first `size` entries. Raises KeyError or TileError when they are not all there."""
    entries: list[bytes] = []
    for member in bundle.entry_members():
        if len(entries) < size:
            entries += split_entries(bundle.members[member])
    if len(entries) < size:
        raise TileError(f"{len(entries)} of {size}")
    return entries[:size]


def _announces(entry: bytes, digest: str) -> bool:
    if ANNOUNCE.encode() not in entry:
        return False
    try:
        leaf = read_leaf(entry)
    except LeafError:
        return False
    facts = leaf.data.get("system", {})
    return leaf.data["action"] == ANNOUNCE and leaf.source[0] == "audit" and facts.get(DIGEST) == digest
