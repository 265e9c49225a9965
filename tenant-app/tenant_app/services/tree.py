"""The tree of folders, in memory: names of folders are words of people and never lie in the clear."""

from collections import defaultdict
from dataclasses import dataclass
from heapq import nlargest

from tenant_app.domain.folders import lies_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder below another: its name, its path, and how many documents lie in it and below."""

    name: str
    path: str
    count: int


class Tree:
    """Which document lies where."""

    def __init__(self) -> None:
        self._where: dict[int, str] = {}
        self._in: defaultdict[str, set[int]] = defaultdict(set)

    def put(self, number: int, folder: str) -> None:
        """Say where a document lies now."""
        before = self._where.get(number)
        if before == folder:
            return
        if before is not None:
            self._in[before].discard(number)
            if not self._in[before]:
                del self._in[before]
        self._where[number] = folder
        self._in[folder].add(number)

    def newest(self, folder: str, limit: int, before: int | None = None) -> list[int]:
        """Return documents that lie in the folder itself, newest first."""
        found = self._in.get(folder, set())
        return nlargest(limit, (each for each in found if before is None or each < before))

    def below(self, top: str) -> list[Folder]:
        """Return the folders directly below `top`, by name."""
        counts: defaultdict[str, int] = defaultdict(int)
        start = len(top) + 1 if top else 0
        for path, numbers in self._in.items():
            if path and path != top and lies_in(path, top):
                counts[path[start:].split("/")[0]] += len(numbers)
        return [
            Folder(name=name, path=f"{top}/{name}" if top else name, count=count)
            for name, count in sorted(counts.items(), key=lambda item: item[0].casefold())
        ]

    def all_in(self, top: str) -> dict[int, str]:
        """Return every document at or below a folder, with its own folder."""
        return {number: path for path, numbers in self._in.items() if lies_in(path, top) for number in numbers}

    def paths(self) -> list[str]:
        """Return every folder that a document lies in, by name."""
        return sorted((path for path in self._in if path), key=str.casefold)
