"""The export bundle: a whole log in one file that says everything a stranger needs to check it. Pure.

A plain ustar archive with one fixed form (no times, no owners, this order), so the same log at the same size gives the
same bytes, and a changed byte anywhere is found by writing the archive again and comparing:

| member | content |
| --- | --- |
| `manifest.json` | RFC 8785: `{"format": FORMAT, "log": origin, "size": leaves}` |
| `checkpoint` | C2SP checkpoint of that size |
| `keys` | verifier keys that signed it, one a line; a convenience, never the ground for trust |
| `policy` | C2SP tlog-policy: the witnesses and their quorum; only where the installation has witnesses |
| `rotation/<n>.checkpoint`, `rotation/<n>.keys` | hand-over to the n-th keys after the first, signed by those before |
| `tsr/<size>.checkpoint`, `tsr/<size>.<authority>.tsq`, `.tsr` | RFC 3161: what was stamped, request, reply |
| `tile/<L>/<N>[.p/<W>]` | C2SP tlog-tiles; unpacked, the archive is a static log that tlog-tiles tools read |
| `tile/entries/<N>[.p/<W>]` | C2SP entry bundles |
| `values/<N>.ndjson` | what the entries of that bundle commit to, one RFC 8785 object a line, in order |

A value's line is `{"field", "index", "salt", "value"}`, or `{"erased": index of the entry that erased it, "field", "index"}`.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from audit_contract.canonical import CanonicalError, encode_plain, read_canonical
from audit_contract.tiles import WIDTH, name, tiles_of, width_at

FORMAT: Final = "cloister.dev/audit-bundle/v1"
_BLOCK: Final = 512
_MAX_SIZE: Final = 1 << 40
_WHOLE: Final = r"(0|[1-9][0-9]{0,12})"
_EXTRA: Final = re.compile(
    rf"policy|rotation/{_WHOLE}\.(checkpoint|keys)|tsr/{_WHOLE}\.(checkpoint|[a-z0-9][a-z0-9-]{{0,31}}\.(tsq|tsr))"
)


class BundleError(ValueError):
    """The bytes are not an export bundle in its one form."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read: whose log, how many leaves, and the members by name."""

    log: str
    size: int
    members: Mapping[str, bytes]

    def entry_members(self) -> list[str]:
        """Return the names of the entry bundles this size has."""
        return entry_members(self.size)

    def value_members(self) -> list[str]:
        """Return the names of the value files this size has."""
        return value_members(self.size)


def entry_members(size: int) -> list[str]:
    """Return the names of the entry bundles of a log of `size` leaves."""
    return [f"tile/entries/{name(index, width_at(0, index, size))}" for index in range(-(-size // WIDTH))]


def value_members(size: int) -> list[str]:
    """Return the names of the value files of a log of `size` leaves."""
    return [f"values/{name(index)}.ndjson" for index in range(-(-size // WIDTH))]


def member_names(size: int, extra: Iterable[str] = ()) -> list[str]:
    """Return every member's name for a log of `size` leaves, in the bundle's order; `extra` are those it need not have."""
    tiles = [tile.path for tile in tiles_of(size)]
    return ["manifest.json", "checkpoint", "keys", *sorted(extra), *tiles, *entry_members(size), *value_members(size)]


def is_extra(path: str) -> bool:
    """Tell whether a bundle may have this member and need not."""
    return _EXTRA.fullmatch(path) is not None


def extras(bundle: Bundle, folder: str, ending: str) -> list[str]:
    """Return the members `<folder>/….<ending>` that this bundle has, sorted by the number they begin with."""
    found = [path for path in bundle.members if is_extra(path) and path.startswith(f"{folder}/")]
    return sorted((path for path in found if path.endswith(f".{ending}")), key=lambda path: (number_of(path), path))


def number_of(path: str) -> int:
    """Return the number an extra member's name begins with."""
    return int(path.partition("/")[2].partition(".")[0])


def manifest(log: str, size: int) -> bytes:
    """Return the manifest's bytes."""
    return encode_plain({"format": FORMAT, "log": log, "size": size})


def write_member(path: str, data: bytes) -> bytes:
    """Return one archive member: header, data and padding."""
    return _header(path, len(data)) + data + bytes(-len(data) % _BLOCK)


def write_end() -> bytes:
    """Return the archive's end."""
    return bytes(2 * _BLOCK)


def write(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a whole bundle from its members, which must come in the bundle's order."""
    return b"".join([*(write_member(path, data) for path, data in members), write_end()])


def _header(path: str, size: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.size = size
    info.mode = 0o444
    return info.tobuf(tarfile.USTAR_FORMAT)


def read(data: bytes) -> Bundle:
    """Read a bundle. Raises BundleError unless it is in the one form; which entries are missing is left to `verify`."""
    members = dict(_members(data))
    try:
        said = read_canonical(members.get("manifest.json", b""))
    except CanonicalError as error:
        raise BundleError(f"manifest.json: {error}") from error
    if not isinstance(said, dict) or said.keys() != {"format", "log", "size"} or said["format"] != FORMAT:
        raise BundleError(f"manifest.json is not that of a {FORMAT}")
    log, size = said["log"], said["size"]
    if not isinstance(log, str) or type(size) is not int or not 0 <= size < _MAX_SIZE:
        raise BundleError("manifest.json: log is text and size a whole number")
    if size // WIDTH > len(data) // _BLOCK:
        raise BundleError(f"manifest.json: {size} leaves cannot be in {len(data)} bytes")
    expected = member_names(size, filter(is_extra, members))
    unknown = members.keys() - set(expected)
    if unknown:
        raise BundleError(f"a bundle of {size} leaves has no member {min(unknown)}")
    if list(members) != [each for each in expected if each in members]:
        raise BundleError("the members are not in order")
    return Bundle(log, size, members)


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content), refusing every archive that `write` would not have written."""
    at = 0
    seen = set()
    while data[at : at + _BLOCK] != bytes(_BLOCK):
        try:
            info = tarfile.TarInfo.frombuf(data[at : at + _BLOCK], "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise BundleError(f"at byte {at}: not an archive member: {error}") from error
        if info.name in seen or _header(info.name, info.size) != data[at : at + _BLOCK]:
            raise BundleError(f"at byte {at}: {info.name!r} is doubled or its header is not in the one form")
        seen.add(info.name)
        at += _BLOCK
        content = data[at : at + info.size]
        at += info.size
        padding = -info.size % _BLOCK
        if len(content) != info.size or data[at : at + padding] != bytes(padding):
            raise BundleError(f"{info.name} is cut or badly padded")
        at += padding
        yield info.name, content
    if data[at:] != write_end():
        raise BundleError(f"at byte {at}: the archive's end is cut or followed by something")


def value_line(index: int, field: str, salt: bytes, value: object) -> dict[str, Any]:
    """Return the line of a value that an entry commits to."""
    return {"field": field, "index": index, "salt": salt.hex(), "value": value}


def erased_line(index: int, field: str, by: int) -> dict[str, Any]:
    """Return the line of a value that the entry `by` erased."""
    return {"erased": by, "field": field, "index": index}
