"""As much of DER (X.690) as a time-stamp token needs: definite lengths, one-byte tags, no second spelling. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

INTEGER, OCTETS, OID, TIME, SEQUENCE, SET = 0x02, 0x04, 0x06, 0x18, 0x30, 0x31
_LONG: Final = 0x80
_MAX_LENGTH_BYTES: Final = 4
_MULTI_BYTE_TAG: Final = 0x1F
_CONSTRUCTED: Final = 0x20


class DerError(ValueError):
    """The bytes are not DER as they should be here."""


@dataclass(frozen=True, slots=True)
class Element:
    """A tag, the bytes it holds, and its own whole spelling."""

    tag: int
    content: bytes
    raw: bytes

    def children(self) -> list["Element"]:
        """Return what it holds. Raises DerError when it is not constructed."""
        if not self.tag & _CONSTRUCTED:
            raise DerError(f"tag {self.tag:#x} holds no elements")
        found, at = [], 0
        while at < len(self.content):
            element = _read(self.content, at)
            found.append(element)
            at += len(element.raw)
        return found

    def expect(self, tag: int) -> "Element":
        """Return itself when it has this tag. Raises DerError."""
        if self.tag != tag:
            raise DerError(f"tag {tag:#x} was expected, {self.tag:#x} found")
        return self

    def number(self) -> int:
        """Return an INTEGER's value."""
        return int.from_bytes(self.expect(INTEGER).content, "big", signed=True)

    def oid(self) -> str:
        """Return an OBJECT IDENTIFIER in dots."""
        numbers, value = [], 0
        for byte in self.expect(OID).content:
            value = value << 7 | byte & 0x7F
            if not byte & _LONG:
                numbers.append(value)
                value = 0
        if not numbers:
            raise DerError("an empty object identifier")
        first = min(numbers[0] // 40, 2)
        return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def read(data: bytes) -> Element:
    """Read one element that is the whole. Raises DerError."""
    element = _read(data, 0)
    if len(element.raw) != len(data):
        raise DerError(f"{len(data) - len(element.raw)} bytes follow the element")
    return element


def tagged(elements: Sequence[Element], tag: int) -> Element | None:
    """Return the first element with this tag."""
    return next((each for each in elements if each.tag == tag), None)


def _read(data: bytes, at: int) -> Element:
    head = data[at : at + 2]
    if len(head) < 2 or head[0] & _MULTI_BYTE_TAG == _MULTI_BYTE_TAG:  # noqa: PLR2004  # a tag and a length
        raise DerError(f"at byte {at}: cut, or a tag that is not known here")
    length, begin = head[1], at + 2
    if length & _LONG:
        count = length & 0x7F
        spelled = data[begin : begin + count]
        length = int.from_bytes(spelled, "big")
        begin += count
        if not 0 < count <= _MAX_LENGTH_BYTES or len(spelled) != count or spelled[0] == 0 or length < _LONG:
            raise DerError(f"at byte {at}: a length that DER does not spell so")
    content = data[begin : begin + length]
    if len(content) != length:
        raise DerError(f"at byte {at}: cut")
    return Element(head[0], content, data[at : begin + length])
