"""One byte form for JSON: RFC 8785 (JCS), and a reader that refuses every other form.

Two writers give the same bytes: `canonical` takes any JSON value; `encode_plain` is four times as fast and takes only what
a leaf is made of (ASCII keys, text, integers, true, false, null). A property test holds them equal.
"""

import json
from typing import Final

import rfc8785

MAX_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8785 section 3.2.2.3, I-JSON)."""


_DIGITS: Final = 17  # more than the sixteen digits and a sign that a safe integer can have
_FOUR_BYTES: Final = bytes(range(0xF0, 0x100))

_encoder = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)


class CanonicalError(ValueError):
    """The bytes are not the RFC 8785 form of a JSON value, or the value has none."""


def canonical(value: object) -> bytes:
    """Return the RFC 8785 bytes of any JSON value.

    Raises CanonicalError for NaN, infinities, integers beyond 2^53-1, lone surrogates and what is not JSON.
    """
    if type(value) is str:
        return encode_plain(value)
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # it checks the type itself
    except (ValueError, TypeError, RecursionError) as error:
        raise CanonicalError(f"not a JSON value: {error}") from error


def encode_plain(value: object) -> bytes:
    """Return the RFC 8785 bytes of a value made of ASCII keys, text, integers below 2^53, booleans and null.

    The caller answers for that: sorting by code point equals RFC 8785's UTF-16 order only for such keys. Raises
    CanonicalError for lone surrogates.
    """
    try:
        return _encoder.encode(value).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise CanonicalError(f"not a JSON value: {error}") from error


def read_json(data: bytes) -> object:
    """Return the JSON value of any JSON text. Whole numbers beyond 2^53-1 become floats, as RFC 8785 has it: JavaScript's.

    Raises ValueError or RecursionError.
    """
    value: object = json.loads(data.decode(), parse_int=_number)
    return value


def _number(digits: str) -> int | float:
    value = int(digits) if len(digits) <= _DIGITS else MAX_INTEGER + 1
    return value if abs(value) <= MAX_INTEGER else float(digits)


def read_canonical(data: bytes) -> object:
    """Return the JSON value whose RFC 8785 form is exactly `data`; raises CanonicalError for anything else.

    Encoding again and comparing refuses double keys, other spellings of numbers and text, spaces, and a byte order mark.
    """
    fractions: list[float] = []

    def fraction(text: str) -> float:
        fractions.append(float(text))
        return fractions[-1]

    def whole(text: str) -> int | float:
        value = _number(text)
        return value if type(value) is int else fraction(text)

    try:
        value: object = json.loads(data.decode(), parse_int=whole, parse_float=fraction)
    except (ValueError, RecursionError) as error:
        raise CanonicalError(f"not JSON: {error}") from error
    # Without fractions and without characters of four UTF-8 bytes the fast writer's form is RFC 8785's.
    plain = not fractions and data.translate(None, _FOUR_BYTES) == data
    if (encode_plain(value) if plain else canonical(value)) != data:
        raise CanonicalError("not in RFC 8785 canonical form")
    return value
