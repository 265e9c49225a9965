"""Check the values of an export bundle against what the entries commit to. Pure; the second half of `verify`."""

from audit_contract.bundle import Bundle
from audit_contract.canonical import CanonicalError, canonical, read_canonical
from audit_contract.commitment import holds
from audit_contract.leaf import Leaf
from audit_contract.report import Exit, Report
from audit_contract.tiles import WIDTH

ERASE = "audit:value:erase"


def check_values(report: Report, bundle: Bundle, leaves: list[Leaf | None]) -> None:
    """Check every value file; note in the report what is missing, altered, doubled, or gone without a recorded act."""
    for number, member in enumerate(bundle.value_members()):
        start = number * WIDTH
        wanted = [
            (start + at, field, commitment)
            for at, leaf in enumerate(leaves[start : start + WIDTH])
            if leaf is not None
            for field, commitment in leaf.commitments()
        ]
        lines = bundle.members.get(member, b"").splitlines(keepends=True)
        _check_value_file(report, wanted, lines, leaves, member)


def _check_value_file(
    report: Report, wanted: list[tuple[int, str, str]], lines: list[bytes], leaves: list[Leaf | None], member: str
) -> None:
    """Check one file of values against the commitments of its entries; both come in the same order."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for line in lines:
        try:
            row = read_canonical(line.removesuffix(b"\n"))
        except CanonicalError as error:
            report.add(Exit.TAMPERED, None, f"{member}: {error}")
            continue
        if not isinstance(row, dict) or not line.endswith(b"\n"):
            report.add(Exit.TAMPERED, None, f"{member}: a line is cut or not an object")
            continue
        found[str(row.get("index")), str(row.get("field"))] = row
    known = {key for key in found if not _of_a_missing_entry(key[0], leaves)}  # that one is reported already
    in_order = [(str(index), field) for index, field, _ in wanted if (str(index), field) in found]
    if len(found) != len(lines) or [key for key in found if key in known] != in_order:
        report.add(Exit.TAMPERED, None, f"{member}: a line is doubled, out of order or belongs to no entry")
    for index, field, commitment in wanted:
        _check_value(report, (index, field, commitment), found.get((str(index), field)), leaves)


def _of_a_missing_entry(index: str, leaves: list[Leaf | None]) -> bool:
    return index.isdecimal() and int(index) < len(leaves) and leaves[int(index)] is None


def _check_value(
    report: Report, wanted: tuple[int, str, str], row: dict[str, object] | None, leaves: list[Leaf | None]
) -> None:
    index, field, commitment = wanted
    if row is None:
        report.add(Exit.INCOMPLETE, index, f"entry {index}: the value of {field} is missing")
    elif row.keys() == {"erased", "field", "index"}:
        if _erases(leaves, row["erased"], leaves[index], field):
            report.erased += 1
        else:
            report.add(Exit.INCOMPLETE, index, f"entry {index}: no entry says that {field} was erased")
    elif row.keys() == {"field", "index", "salt", "value"} and _fits(row, commitment):
        report.values += 1
    else:
        report.add(Exit.TAMPERED, index, f"entry {index}: the value of {field} is not the one committed to")


def _fits(row: dict[str, object], commitment: str) -> bool:
    try:
        salt = bytes.fromhex(str(row["salt"]))
    except ValueError:
        return False
    return salt.hex() == row["salt"] and holds(commitment, salt, canonical(row["value"]))


def _erases(leaves: list[Leaf | None], by: object, erased: Leaf | None, field: str) -> bool:
    """Tell whether the entry `by` says that it erased this field of this entry."""
    if type(by) is not int or not 0 <= by < len(leaves) or erased is None:
        return False
    leaf = leaves[by]
    if leaf is None or leaf.action != ERASE or leaf.source[0] != "audit":
        return False
    target = leaf.data["object"]
    return (target.get("id"), target.get("version")) == (erased.id, field)
