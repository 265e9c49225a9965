"""Reading a Dockerfile just well enough to know what a target depends on."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.errors import LocalClusterError

_CONTINUED = re.compile(r"\\\s*\n(?:[ \t]*#.*\n)*")


@dataclass
class Stage:
    """One `FROM` and what follows it."""

    name: str
    base: str
    lines: list[str] = field(default_factory=list)
    uses: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


@dataclass
class Dockerfile:
    """The stages of a Dockerfile, and the lines before the first."""

    head: list[str]
    stages: dict[str, Stage]

    def chain(self, target: str) -> list[Stage]:
        """Give every stage that takes part in a target, in the file's order."""
        if target not in self.stages:
            raise LocalClusterError(f"the Dockerfile has no target {target}; it has {', '.join(self.stages)}")
        wanted, queue = set(), [target]
        while queue:
            name = queue.pop()
            if name in wanted or name not in self.stages:
                continue
            wanted.add(name)
            queue += [self.stages[name].base, *self.stages[name].uses]
        return [stage for name, stage in self.stages.items() if name in wanted]

    def final_targets(self) -> list[str]:
        """Name the results: the stages that no other stage builds on."""
        used = {name for stage in self.stages.values() for name in (stage.base, *stage.uses)}
        return [name for name in self.stages if name not in used]

    def inputs(self, target: str, context: Path) -> tuple[list[str], list[Path]]:
        """Give what decides about a target's content: its instructions and the files it copies."""
        chain = self.chain(target)
        texts = [*self.head, *(line for stage in chain for line in stage.lines)]
        files: set[Path] = set()
        for pattern in (source for stage in chain for source in stage.sources):
            found = [context] if pattern in {".", "./"} else sorted(context.glob(pattern.strip("/")))
            if not found:
                raise LocalClusterError(f"the Dockerfile copies {pattern}, which is not there")
            for path in found:
                files |= {path} if path.is_file() else {item for item in path.rglob("*") if _counts(item)}
        return texts, sorted(files)


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"


def parse(text: str) -> Dockerfile:
    """Split a Dockerfile into its stages."""
    head: list[str] = []
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for raw in _CONTINUED.sub(" ", text).splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        instruction = word.upper()
        if instruction == "FROM":
            current = _stage(rest, len(stages))
            stages[current.name] = current
        if current is None:
            head.append(line)
            continue
        current.lines.append(line)
        if instruction in {"COPY", "ADD"}:
            _copied(current, rest)
        elif instruction == "RUN":
            _mounted(current, rest)
    return Dockerfile(head, stages)


def _stage(rest: str, number: int) -> Stage:
    words = [word for word in rest.split() if not word.startswith("--")]
    name = words[2] if len(words) == 3 and words[1].upper() == "AS" else str(number)  # noqa: PLR2004
    return Stage(name, words[0])


def _copied(stage: Stage, rest: str) -> None:
    flags = re.findall(r"--\S+", rest)
    plain = re.sub(r"--\S+\s*", "", rest).strip()
    words = json.loads(plain) if plain.startswith("[") else shlex.split(plain)
    origin = [flag.partition("=")[2] for flag in flags if flag.startswith("--from=")]
    if origin:
        stage.uses += origin
    else:
        stage.sources += words[:-1]


def _mounted(stage: Stage, rest: str) -> None:
    """A bind mount of the context is an input too."""
    for mount in re.findall(r"--mount=(\S+)", rest):
        options = dict(part.partition("=")[::2] for part in mount.split(","))
        if "from" in options:
            stage.uses.append(options["from"])
        elif options.get("type", "bind") == "bind" and "source" in options:
            stage.sources.append(options["source"])
