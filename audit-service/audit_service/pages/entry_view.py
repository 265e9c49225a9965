"""An entry as a page shows it: its facts, and each value it commits to as shown, erased (by whom and why), or missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from audit_contract.leaf import Leaf, read_leaf
from audit_service.http.entries import revealed
from audit_service.http.state import State
from audit_service.store.records import LogRecord, Stored


@dataclass(frozen=True, slots=True)
class Erased:
    """The act that took a value away: the entry that records it, who, when and why."""

    index: int
    who: str
    at: str
    reason: str


@dataclass(frozen=True, slots=True)
class Side:
    """One value: `absent` (there was none), `shown`, `erased`, or `missing` although no act says that it was erased."""

    state: Literal["absent", "shown", "erased", "missing"]
    value: Any = None
    commitment: str = ""
    erased: Erased | None = None


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One field of an object, before and after."""

    path: str
    old: Side
    new: Side


@dataclass(frozen=True, slots=True)
class EntryView:
    """One entry. `data` is the leaf's JSON; `hash` in hex."""

    index: int
    hash: str
    data: Mapping[str, Any]
    changes: tuple[ChangeView, ...]
    reason: Side

    @property
    def who(self) -> str:
        """Return the actor's name, or what it is known by."""
        return who(self.data)


def who(data: Mapping[str, Any]) -> str:
    """Return an entry's actor in words."""
    return str(data["actor"].get("name") or data["actor"]["sub"])


async def views(state: State, log: LogRecord, indices: Sequence[int]) -> list[EntryView]:
    """Return these entries, in the order asked for."""
    stored = {each.index: each for each in await state.reading.entries(log.number, indices)}
    return [await _view(state, log, stored[index]) for index in indices]


async def _view(state: State, log: LogRecord, stored: Stored) -> EntryView:
    leaf = read_leaf(stored.data)
    values = await revealed(state, log, stored)
    sides = {field: await _side(state, log, values.get(field), commitment) for field, commitment in leaf.commitments()}
    absent = Side("absent")
    changes = tuple(
        ChangeView(
            str(change["path"]), sides.get(f"change.{number}.old", absent), sides.get(f"change.{number}.new", absent)
        )
        for number, change in enumerate(leaf.data.get("change", ()))
    )
    return EntryView(stored.index, stored.hash.hex(), leaf.data, changes, sides.get("reason.text", absent))


async def _side(state: State, log: LogRecord, row: Mapping[str, Any] | None, commitment: str) -> Side:
    if row is None:
        return Side("missing", commitment=commitment)
    if "erased" not in row:
        return Side("shown", value=row["value"], commitment=commitment)
    return Side("erased", commitment=commitment, erased=await _erasure(state, log, row["erased"]))


async def _erasure(state: State, log: LogRecord, index: int) -> Erased:
    """Return who erased a value and why, from the entry that records it."""
    stored = (await state.reading.entries(log.number, [index]))[0]
    leaf = read_leaf(stored.data)
    text = (await revealed(state, log, stored)).get("reason.text", {}).get("value", "")
    code = leaf.data.get("reason", {}).get("code", "")
    return Erased(index, who(leaf.data), leaf.received, ": ".join(str(each) for each in (code, text) if each))


async def relations(state: State, log: LogRecord, leaf: Leaf, index: int, size: int) -> tuple[int | None, list[int]]:
    """Return the index of the intent that an outcome ends, and the indices of the outcomes that end an intent."""
    if leaf.data.get("intent"):
        known = await state.reading.known(log.number, [leaf.data["intent"]])
        return next((each.index for each in known.values() if each.index < size), None), []
    if leaf.data["phase"] != "intent":
        return None, []
    same = {"object_type": leaf.data["object"]["type"], "object_id": leaf.data["object"]["id"], "action": leaf.action}
    near = await state.reading.find(log.number, index + 1, _NEAR, same, size)
    found = await state.reading.entries(log.number, near)
    return None, [each.index for each in found if read_leaf(each.data).data.get("intent") == leaf.id]


_NEAR = 64
