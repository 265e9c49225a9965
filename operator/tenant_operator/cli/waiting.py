"""`cloister wait`: live progress, part by part."""

import sys
import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from tenant_operator.cli.kube import Kube, Object, ours
from tenant_operator.cli.problems import Exit, ProblemError
from tenant_operator.cli.words import PROMISES, conditions, console, current, mark, next_step, row, span, table

_EVERY_SECONDS = 0.5


@dataclass
class Progress:
    """What is shown while it changes."""

    tenant: str
    wanted: str
    started: float = field(default_factory=time.monotonic)
    item: Object = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)

    @property
    def elapsed(self) -> str:
        """How long it has been."""
        return span(int(time.monotonic() - self.started))

    def __rich__(self) -> RenderableType:
        """Draw every promise with its state."""
        found = conditions(self.item)
        made = table("", "", "")
        made.show_header = False
        for kind, words in PROMISES.items():
            condition = found.get(kind)
            said = Text((condition or {}).get("message", ""), style="dim", overflow="ellipsis", no_wrap=True)
            row(made, mark(condition), words, said)
        return Group(Text.assemble((self.tenant, "bold"), f": waiting for {self.wanted}, {self.elapsed}"), made)

    def news(self) -> list[str]:
        """Return a line for each promise whose state changed, for logs and pipes."""
        lines = []
        for kind, condition in conditions(self.item).items():
            now = f"{condition['status']} {condition['reason']}"
            if self._said.get(kind) != now and kind in {*PROMISES, self.wanted}:
                self._said[kind] = now
                lines.append(
                    f"{self.elapsed:>5}  {mark(condition)} {kind} {condition['reason']}: {condition.get('message', '')}"
                )
        return lines


def wait(kube: Kube, tenant: str, *, wanted: str, timeout: int) -> None:
    """Wait until a condition is True. Raises ProblemError when it is not in time, or a person has to act first."""
    progress = Progress(tenant, wanted)
    if console.is_terminal:
        with Live(progress, console=console, auto_refresh=False, transient=False) as live:
            for item in _looks(kube, progress, timeout):
                progress.item = item
                live.refresh()
    else:
        for item in _looks(kube, progress, timeout):
            progress.item = item
            for line in progress.news():
                console.print(line, soft_wrap=True, markup=False)
            sys.stdout.flush()
    url = (progress.item.get("status") or {}).get("url")
    where = f" {url}" if url and wanted == "Ready" else ""
    console.print(f"[green]✓[/] {tenant} is {wanted} after {progress.elapsed}.{where}")


def _looks(kube: Kube, progress: Progress, timeout: int) -> Any:
    """Yield the Tenant again and again, until it is as wanted."""
    deadline = time.monotonic() + timeout
    while True:
        item = kube.find(ours("tenants", progress.tenant))
        if item is None:
            hint = "Apply its YAML first; `cloister tenants --retained` lists tenants that were deleted."
            raise ProblemError(f"there is no tenant {progress.tenant}", hint=hint, code=Exit.NOT_FOUND)
        yield item
        found = conditions(item)
        if current(item) and (found.get(progress.wanted) or {}).get("status") == "True":
            return
        stalled = found.get("Stalled")
        if current(item) and stalled and stalled["status"] == "True" and progress.wanted != "Stalled":
            said = f"{progress.tenant} cannot go on by itself: {stalled.get('message', '')}"
            raise ProblemError(said, hint=next_step(progress.tenant, found))
        if time.monotonic() > deadline:
            why = (found.get(progress.wanted) or {}).get("message", "the operator has not reported it yet")
            hint = next_step(progress.tenant, found) or f"cloister describe {progress.tenant}"
            said = f"{progress.tenant} is not {progress.wanted} after {progress.elapsed}: {why}"
            raise ProblemError(said, hint=hint)
        time.sleep(_EVERY_SECONDS)
