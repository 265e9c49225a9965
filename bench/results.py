"""bench/RESULTS.md: one section a benchmark, replaced as a whole when it is run again."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
_BUSY = 1.0
_LOAD_BEFORE = os.getloadavg()[0]


def machine() -> str:
    """Say when and on what, in words and without names."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    cores = os.cpu_count()
    beside = (
        ", so **other work took most of the machine and these figures are interim**" if _LOAD_BEFORE > _BUSY else ""
    )
    return (
        f"{when} on a virtual machine with {cores} cores and {memory:.0f} GiB ({platform.machine()}, Linux, Python "
        f"{platform.python_version()}; load average before it began {_LOAD_BEFORE:.1f}{beside})"
    )


def table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def replace_section(title: str, text: str) -> None:
    """Put a section where the one with this title was, or at the end."""
    before = RESULTS.read_text() if RESULTS.exists() else "# Results\n"
    section = f"## {title}\n{text.strip()}\n"
    found = re.search(rf"(?ms)^## {re.escape(title)}\n.*?(?=^## |\Z)", before)
    if found is None:
        whole = f"{before.rstrip()}\n\n{section}"
    else:
        rest = before[found.end() :]
        whole = before[: found.start()] + section + ("\n" + rest if rest else "")
    RESULTS.write_text(whole)
