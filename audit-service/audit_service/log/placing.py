"""Placing: a request's drafts get their index, their source's number and its previous hash, in a round that is being made.

What is kept in memory (sizes, sources' numbers) is a copy of the store's; after any failure it is forgotten and read again, so
a commit whose answer was lost is found to have happened or not, never assumed.
"""

from dataclasses import dataclass, field

from audit_contract.entry import timestamp
from audit_contract.form import Place
from audit_contract.leaf import read_leaf
from audit_contract.merkle import leaf_hash
from audit_service.log.batch import Item, OtherBodyError, Outcome, OutOfStepError, Placed, Request
from audit_service.log.books import Books
from audit_service.log.clock import Clock, Evidence
from audit_service.log.preparing import is_same
from audit_service.store.reading import ReadingStore
from audit_service.store.records import NewLeaf, SourceHead, Stored
from audit_service.store.writing import SourceKey


@dataclass(slots=True)
class _LogState:
    """What is known of one log: its size, its latest receive time, and where its sources stand."""

    size: int
    received: str
    sources: dict[tuple[str, str], SourceHead]


@dataclass(slots=True)
class Round:
    """One transaction in the making."""

    old_sizes: dict[int, int] = field(default_factory=dict)
    leaves: list[NewLeaf] = field(default_factory=list)
    sources: dict[SourceKey, SourceHead] = field(default_factory=dict)
    ids: dict[tuple[int, str], NewLeaf] = field(default_factory=dict)
    answers: list[tuple[Request, Outcome]] = field(default_factory=list)


class Placing:
    """Knows where every log stands once the rounds that were made are committed."""

    def __init__(self, reading: ReadingStore, books: Books, clock: Clock) -> None:
        self._reading, self._books, self._clock = reading, books, clock
        self._evidence = Evidence()
        self._states: dict[int, _LogState] = {}

    def forget(self) -> None:
        """Read everything again: what was made is not what is stored."""
        self._states.clear()

    def growth(self, made: Round) -> dict[int, tuple[int, int]]:
        """Return the old and new size of each log that a round makes grow."""
        return {log: (old, self._states[log].size) for log, old in made.old_sizes.items()}

    def at_once(self, made: Round, request: Request) -> bool:
        """Place a request for which nothing has to be read; tell whether it was."""
        log = request.log.number
        state = self._states.get(log)
        if state is None or not _in_step(state, request) or any((log, item.id) in made.ids for item in request.items):
            return False
        made.answers.append((request, self._add_all(made, request, state, request.items, {})))
        return True

    async def place(self, made: Round, request: Request, *, look_up: bool) -> None:
        """Place a request. Raises OutOfStepError or OtherBodyError, then places nothing of it."""
        log = request.log.number
        state = self._states.get(log) or await self._load(log)
        if not look_up and self.at_once(made, request):
            return
        known = await self._known(made, request)
        fresh = tuple(item for item in request.items if item.id not in known)
        expected = state.sources.get((request.kind, request.source), SourceHead()).next
        if request.numbered and [item.seq for item in fresh] != list(range(expected, expected + len(fresh))):
            raise OutOfStepError(expected, list(known))
        made.answers.append((request, self._add_all(made, request, state, fresh, known)))

    def _add_all(
        self, made: Round, request: Request, state: _LogState, fresh: tuple[Item, ...], known: dict[str, Stored]
    ) -> Outcome:
        """Give the fresh ones their places."""
        placed = self._add(made, request, state, fresh) if fresh else ()
        if known:
            found = {each.id: each for each in placed}
            found |= {entry: Placed(entry, stored.index, stored.hash) for entry, stored in known.items()}
            placed = tuple(found[item.id] for item in request.items)
        return Outcome(placed, state.sources.get((request.kind, request.source), SourceHead()).next)

    def _add(self, made: Round, request: Request, state: _LogState, items: tuple[Item, ...]) -> tuple[Placed, ...]:
        log, source = request.log.number, (request.kind, request.source)
        made.old_sizes.setdefault(log, state.size)
        state.received = max(state.received, timestamp(self._clock()))
        following, last = state.sources.get(source, SourceHead())
        evidence = self._evidence()
        placed = []
        for number, item in enumerate(items):
            data = item.unplaced.leaf(Place(following + number, last.hex() or None, state.received, evidence))
            last = leaf_hash(data)
            leaf = NewLeaf(log, state.size + number, item.id, last, data, item.values)
            made.leaves.append(leaf)
            made.ids[log, item.id] = leaf
            placed.append(Placed(item.id, leaf.index, last))
        state.size += len(items)
        state.sources[source] = made.sources[log, *source] = SourceHead(following + len(items), last)
        return tuple(placed)

    async def _load(self, log: int) -> _LogState:
        size = await self._reading.size(log)
        received = ""
        if size:
            received = read_leaf((await self._reading.leaves(log, size - 1, size))[0].data).received
        state = self._states[log] = _LogState(size, received, await self._reading.sources(log))
        return state

    async def _known(self, made: Round, request: Request) -> dict[str, Stored]:
        """Return which of the request's drafts are recorded already or in this round. Raises OtherBodyError."""
        log = request.log.number
        known = await self._reading.known(log, [item.id for item in request.items])
        sealer = self._books.sealer(request.log)
        for item, draft in zip(request.items, request.drafts(), strict=True):
            stored = known.get(item.id)
            in_round = made.ids.get((log, item.id))
            values = []
            if stored is not None:
                values = await self._reading.values(log, stored.index, stored.index + 1)
            elif in_round is not None:
                stored = known[item.id] = Stored(in_round.index, in_round.hash, in_round.data)
                values = in_round.as_values()
            if stored is not None and not is_same(draft, request.log, stored, values, sealer):
                raise OtherBodyError(f"the log has an entry {item.id} with another body")
        return known


def _in_step(state: _LogState, request: Request) -> bool:
    if not request.numbered:
        return True
    expected = state.sources.get((request.kind, request.source), SourceHead()).next
    return all(item.seq == number for number, item in enumerate(request.items, expected))
