"""Words as search compares them."""

import re
import unicodedata

_WORD = re.compile(r"\w+")
# Longer runs are codes and encoded bytes, which nobody types.
_LONGEST = 64


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared: case-folded, without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    found = _WORD.findall("".join(char for char in plain if not unicodedata.combining(char)))
    return [word[:_LONGEST] for word in found]
