"""What the verifier found, and the exit code that says it. Pure."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """The verifier's exit codes."""

    OK = 0
    TAMPERED = 1
    INCOMPLETE = 2
    POLICY = 3
    BAD_INPUT = 4
    TIME = 5


_GRAVEST_FIRST = (Exit.BAD_INPUT, Exit.TAMPERED, Exit.POLICY, Exit.INCOMPLETE, Exit.TIME)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: which kind, at which entry (None: the whole), in words."""

    kind: Exit
    index: int | None
    text: str

    def as_json(self) -> dict[str, Any]:
        """Return the problem as JSON."""
        return {"problem": self.kind.name.lower(), "index": self.index, "text": self.text}


@dataclass(slots=True)
class Report:
    """The result of checking one bundle."""

    log: str = ""
    size: int = 0
    root: str = ""
    """The root hash in hex, as signed."""
    proven: int = 0
    """Entries whose bytes are in the signed tree."""
    values: int = 0
    """Values that fit their commitments."""
    erased: int = 0
    """Values that a recorded act erased."""
    sources: int = 0
    signed_by: list[str] = field(default_factory=list)
    witnessed_by: list[str] = field(default_factory=list)
    """Keys of the policy's witnesses that cosigned the checkpoint."""
    stamps: int = 0
    """Time-stamps that fit."""
    stamped: str = ""
    """The latest time they show, ISO 8601."""
    stamps_trusted: bool = False
    """Whether the caller said which authorities count."""
    trusted: bool = False
    """Whether the keys came from the caller, not from the bundle itself."""
    open_intents: list[int] = field(default_factory=list)
    """Entries that announce an act whose outcome is not in the log."""
    orphans: list[int] = field(default_factory=list)
    """Outcomes whose intent is not in the log before them."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def code(self) -> Exit:
        """Return the exit code: the gravest problem's, 0 when there is none."""
        kinds = {problem.kind for problem in self.problems}
        return next((kind for kind in _GRAVEST_FIRST if kind in kinds), Exit.OK)

    @property
    def ok(self) -> bool:
        """Tell whether nothing is wrong."""
        return self.code is Exit.OK

    @property
    def first_bad(self) -> int | None:
        """Return the lowest index among the problems."""
        return min((each.index for each in self.problems if each.index is not None), default=None)

    def add(self, kind: Exit, index: int | None, text: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(kind, index, text))

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "ok": self.ok,
            "code": int(self.code),
            "log": self.log,
            "size": self.size,
            "root": self.root,
            "proven": self.proven,
            "values": self.values,
            "erased": self.erased,
            "sources": self.sources,
            "signedBy": self.signed_by,
            "witnessedBy": self.witnessed_by,
            "stamps": self.stamps,
            "stamped": self.stamped,
            "stampsTrusted": self.stamps_trusted,
            "trusted": self.trusted,
            "openIntents": self.open_intents,
            "orphans": self.orphans,
            "firstBad": self.first_bad,
            "problems": [problem.as_json() for problem in self.problems],
        }
