"""Two values of one field, as a line for people: configuration that is JSON inside a string is opened. Pure."""

import json
from collections.abc import Iterator
from typing import Any

_LONG = 60


def value_at(value: Any, path: str) -> Any:
    """Return the value at a path such as `data.config.json` or `spec.ports[0].port`; a key may hold dots itself."""
    if not path:
        return value
    if isinstance(value, list):
        number, _, rest = path.removeprefix("[").partition("]")
        inside = int(number) if number.isdigit() else len(value)
        return value_at(value[inside], rest.removeprefix(".")) if inside < len(value) else None
    if isinstance(value, dict):
        for key in sorted(value, key=len, reverse=True):
            if path == key or path.startswith((f"{key}.", f"{key}[")):
                return value_at(value[key], path[len(key) :].removeprefix("."))
    return None


def changed(path: str, before: Any, after: Any) -> Iterator[str]:
    """Yield a line for each thing that differs between two values of a field."""
    if before == after:
        return
    one, other = _opened(before), _opened(after)
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            yield from changed(
                f"{path} {key}" if isinstance(before, str) else f"{path}.{key}", one.get(key), other.get(key)
            )
    elif isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        lost, won = set(before.splitlines()), set(after.splitlines())
        yield from (f"{path}: - {_short(line)}" for line in before.splitlines() if line not in won)
        yield from (f"{path}: + {_short(line)}" for line in after.splitlines() if line not in lost)
    else:
        yield f"{path}: {_short(before)} → {_short(after)}"


def _opened(value: Any) -> Any:
    """Return what a string of JSON holds, or the value itself."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
