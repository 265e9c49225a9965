"""What waits to be sequenced, and the answers it can get.

What is made once an entry is a NamedTuple: a third of what a frozen dataclass costs to make, and as unchangeable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from audit_contract.entry import Plain
from audit_contract.form import Unplaced
from audit_service.store.records import LogRecord


class SequenceError(Exception):
    """A request that was not sequenced; nothing of it is durable."""


class OutOfStepError(SequenceError):
    """The drafts' numbers are not the ones that come next for their source. `recorded` are ids the log already has."""

    def __init__(self, expected: int, recorded: Sequence[str]) -> None:
        super().__init__(f"src.seq: {expected} is expected next")
        self.expected = expected
        self.recorded = tuple(recorded)


class OtherBodyError(SequenceError):
    """The log has an entry with this id and another body."""


class BusyError(SequenceError):
    """Too much is waiting, or this process is not the writer: come again."""


class Item(NamedTuple):
    """One draft, ready but for its place. Its values (field number, sealed bytes) lie beside it."""

    id: str
    unplaced: Unplaced
    seq: int
    values: tuple[tuple[int, bytes], ...]


class Placed(NamedTuple):
    """Where an entry is."""

    id: str
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks for
    hash: bytes


class Outcome(NamedTuple):
    """The answer to a request: a place a draft, and the source's next number."""

    placed: tuple[Placed, ...]
    next: int


class Answer(Protocol):
    """What is told how a request went, once: a future, or what calls back at once."""

    def done(self) -> bool:
        """Tell whether it was told, or whoever asked went away."""

    def set_result(self, outcome: Outcome, /) -> None:
        """Tell that the request is durable."""

    def set_exception(self, error: Exception, /) -> None:
        """Tell that nothing of it is."""


class Nobody:
    """The answer that nobody waits for, or not yet."""

    __slots__ = ()

    def done(self) -> bool:
        """Say that it may come."""
        return False

    def set_result(self, _: Outcome, /) -> None:
        """Be told in vain."""

    def set_exception(self, _: Exception, /) -> None:
        """Be told in vain."""


@dataclass(eq=False, slots=True)
class Request:
    """Drafts of one source for one log, all or none of which become durable. An own entry is numbered by the service.

    `drafts` gives them as they came: asked for only when one of them may be recorded already.
    """

    log: LogRecord
    kind: str
    source: str
    items: tuple[Item, ...]
    drafts: Callable[[], Sequence[Plain]]
    numbered: bool = True
    answer: Answer = field(default_factory=Nobody)
