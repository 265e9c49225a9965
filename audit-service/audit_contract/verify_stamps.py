"""The time-stamps in a bundle: each over a checkpoint that this log has had. Pure."""

from collections.abc import Sequence

from cryptography import x509

from audit_contract import bundle as bundles
from audit_contract.checkpoint import from_text
from audit_contract.merkle import leaf_hash, root_of
from audit_contract.note import NoteError, parse
from audit_contract.report import Exit, Report
from audit_contract.tiles import TileError
from audit_contract.timestamp import StampError, check_stamp
from audit_contract.trust import first_entries


def check_stamps(report: Report, bundle: bundles.Bundle, roots: Sequence[x509.Certificate]) -> None:
    """Check every time-stamp; note what is wrong as exit 5. With `roots`, one that no stamp leads to is wrong as well."""
    replies = bundles.extras(bundle, "tsr", "tsr")
    for path in replies:
        checkpoint = bundle.members.get(f"tsr/{bundles.number_of(path)}.checkpoint", b"")
        request = bundle.members.get(path.removesuffix("tsr") + "tsq", b"")
        try:
            _check_checkpoint(bundle, checkpoint)
            stamp = check_stamp(bundle.members[path], request, checkpoint, roots)
        except (NoteError, StampError, TileError, KeyError) as error:
            report.add(Exit.TIME, None, f"{path}: {error}")
            continue
        report.stamps += 1
        report.stamped = max(report.stamped, stamp.time.isoformat())
    if roots and not report.stamps:
        report.add(Exit.TIME, None, "no time-stamp by an authority that is trusted")
    report.stamps_trusted = bool(roots)


def _check_checkpoint(bundle: bundles.Bundle, note: bytes) -> None:
    point = from_text(parse(note).text)
    if point.origin != bundle.log or point.size > bundle.size:
        raise StampError(f"it is over a checkpoint of {point.origin} with {point.size} entries")
    if root_of(map(leaf_hash, first_entries(bundle, point.size))) != point.root:
        raise StampError("it is over a checkpoint of other entries")
