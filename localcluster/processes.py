"""Starting, recognising and ending our own processes, and nobody else's.

A pid alone proves nothing: pids are reused, and a machine may have been restarted since. A record
holds the pid with its start time, the boot it belongs to and the command line; only when all of
them still agree is a process ours.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from localcluster.errors import LocalClusterError, tail
from localcluster.files import write
from localcluster.paths import Layout

# The child waits for a word on its standard input before it becomes the program. Should we die
# between starting it and recording it, the pipe closes and it ends: nothing runs unrecorded.
_LAUNCHER = 'read -r word && [ "$word" = go ] && exec "$@" </dev/null'
# They outlive us on purpose; forgetting one would make Python warn that it still runs.
_CHILDREN: list[subprocess.Popen[bytes]] = []
_LOOKS = 2000  # 10 s: the page that a program begins with may have to come from a disk that stands still
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the flags of proc_pid_stat(5)
_KEEP_LOG_BYTES = 20 * 2**20


@dataclass(frozen=True)
class Record:
    """What identifies a process of ours."""

    name: str
    pid: int
    start_ticks: int
    boot: str
    argv: tuple[str, ...]

    @property
    def pid_text(self) -> str:
        """The pid as other programs take it."""
        return str(self.pid)


@dataclass(frozen=True)
class Observed:
    """What the kernel says now about a pid."""

    start_ticks: int
    boot: str
    cmdline: tuple[str, ...]


def is_ours(record: Record, seen: Observed | None) -> bool:
    """Tell whether the process behind a pid is still the one that was recorded.

    The command line is compared from its end: before the program there may still stand `nsenter`
    or the launcher, which become the program without a new pid.
    """
    if seen is None or not seen.cmdline:
        return False
    same_life = seen.start_ticks == record.start_ticks and seen.boot == record.boot
    return same_life and seen.cmdline[-len(record.argv) :] == record.argv


def boot_id() -> str:
    """Name the current boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def observe(pid: int) -> Observed | None:
    """Ask the kernel about a pid; None when there is no such process, only its zombie, or a thread of the kernel.

    In the middle of becoming another program a process has no command line; it is looked at again.
    """
    for _ in range(_LOOKS):
        seen = _look(pid)
        if seen is None or seen.cmdline:
            return seen
        time.sleep(0.005)
    return seen


def _look(pid: int) -> Observed | None:
    folder = Path("/proc") / str(pid)
    try:
        # The name in parentheses may hold spaces and parentheses itself.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        words = (folder / "cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return None
    if fields[0] in {"Z", "X"} or int(fields[6]) & _KERNEL_THREAD:
        return None
    return Observed(int(fields[19]), boot_id(), tuple(word.decode(errors="replace") for word in words))


class Processes:
    """The recorded processes of this machine's cluster."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def records(self) -> list[Record]:
        """Give every record, of the living and the dead."""
        return [record for path in sorted(self._layout.processes.glob("*.json")) if (record := self._read(path))]

    def alive(self, name: str) -> Record | None:
        """Give the record of a process of ours that runs."""
        record = self._read(self._path(name))
        return record if record and is_ours(record, observe(record.pid)) else None

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> bool:
        """Start a program in the background unless it runs already; tell whether it was started.

        One that runs with another command line (new flags, a new binary) is ended first.
        """
        words = tuple(str(word) for word in argv)
        running = self.alive(name)
        if running and running.argv == words:
            return False
        if running:
            self.stop(name)
        log = self._layout.log(name)
        _rotate(log)
        with log.open("ab") as output:
            child = subprocess.Popen(
                ["sh", "-c", _LAUNCHER, "launcher", *prefix, *words],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, **env} if env else None,
                cwd="/",
                start_new_session=True,
            )
        seen = observe(child.pid)
        if seen is None or child.stdin is None:
            raise LocalClusterError(f"{name} ended before it began; log: {log}\n{tail(log)}")
        record = Record(name, child.pid, seen.start_ticks, seen.boot, words)
        write(self._path(name), json.dumps(asdict(record)), 0o600)
        child.stdin.write(b"go\n")
        child.stdin.close()
        _CHILDREN.append(child)
        return True

    def require(self, name: str) -> Record:
        """Give a running process's record, or raise with the end of its log: it has died."""
        record = self.alive(name)
        if record is None:
            log = self._layout.log(name)
            raise LocalClusterError(f"{name} has ended; log: {log}\n{tail(log)}")
        return record

    def stop(self, name: str, seconds: float = 10) -> bool:
        """End a process of ours, politely, then by force; tell whether there was one."""
        record = self._read(self._path(name))
        stopped = record is not None and end(record, seconds)
        self._path(name).unlink(missing_ok=True)
        return stopped

    def forget_dead(self) -> list[str]:
        """Drop the records of processes that are no more; give their names."""
        dead = [record.name for record in self.records() if not is_ours(record, observe(record.pid))]
        for name in dead:
            self._path(name).unlink(missing_ok=True)
        return dead

    def _path(self, name: str) -> Path:
        return self._layout.processes / f"{name}.json"

    @staticmethod
    def _read(path: Path) -> Record | None:
        try:
            data = json.loads(path.read_text())
            return Record(**{**data, "argv": tuple(data["argv"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None


def end(record: Record, seconds: float) -> bool:
    """Send the signals through a pidfd, so that a reused pid can never be hit."""
    try:
        handle = os.pidfd_open(record.pid)
    except OSError:
        return False
    try:
        # Looked at after the handle was opened: the handle cannot change its process any more.
        if not is_ours(record, observe(record.pid)):
            return False
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], patience)[0]:
                break
        with suppress(ChildProcessError):
            os.waitpid(record.pid, os.WNOHANG)
        return True
    finally:
        os.close(handle)


def _rotate(log: Path) -> None:
    """Keep one older log, so that logs cannot fill the disk over many runs."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _KEEP_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("a") as handle:
        handle.write(f"--- started {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
