"""Replicas of the app that work side by side and are killed, each at a random moment; another takes the place of the one that died."""

import asyncio
import contextlib
import multiprocessing
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from tenant_app import settings
from tests.tenant_app.support import crash
from tests.tenant_app.support.fakes import FakeAuditLog

# One replica an author. One delivers the trail, the others stand by until it is killed.
AUTHORS = ("alice", "andre", "omar")
# A replica is killed a random while after a random one of its first acts: counted in acts, a slow machine sees as many under way.
MOST_ACTS = 40


@dataclass(kw_only=True)
class Replica:
    """One process, the lines to it, and when it is to die."""

    uid: str
    process: BaseProcess
    told: Connection
    line: Connection
    after: int = field(default_factory=lambda: random.randint(2, MOST_ACTS))  # noqa: S311  # not a secret
    acts: int = 0
    first: float = 0.0
    due: float = float("inf")

    def acted(self) -> None:
        """Count an act; after the last one that is waited for, choose the moment: within the time of two more."""
        now = time.monotonic()
        self.first = self.first or now
        self.acts += 1
        if self.acts == self.after:
            self.due = now + random.uniform(0, 2 * (now - self.first) / (self.acts - 1))  # noqa: S311  # not a secret


@dataclass(kw_only=True)
class Campaign:
    """So many kills. `log` takes what the replicas deliver; `stored` and `signed` hold which documents they told of."""

    config: settings.Settings
    keys: str
    reviewer: str
    log: FakeAuditLog = field(default_factory=FakeAuditLog)
    stored: set[str] = field(default_factory=set)
    signed: set[str] = field(default_factory=set)

    def run(self, kills: int) -> Iterator[int]:
        """Begin as many replicas as there are kills, a few at once; yield after each kill how many there were."""
        begun = [self._begin(uid) for uid in AUTHORS[:kills]]
        alive, killed = list(begun), 0
        try:
            while alive:
                self._listen(alive)
                for replica in [each for each in alive if each.due <= time.monotonic()]:
                    alive.remove(replica)
                    self._kill(replica)
                    killed += 1
                    if len(begun) < kills:
                        begun.append(self._begin(replica.uid))
                        alive.append(begun[-1])
                    yield killed
        finally:
            for replica in alive:
                self._kill(replica)

    def _begin(self, uid: str) -> Replica:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pytest", crash.__name__])
        (told, theirs), (line, service) = context.Pipe(), context.Pipe()
        arguments = (self.config, self.keys, uid, self.reviewer, theirs, service)
        process = context.Process(target=crash.run, args=arguments)
        process.start()
        theirs.close()
        service.close()
        return Replica(uid=uid, process=process, told=told, line=line)

    def _listen(self, alive: list[Replica]) -> None:
        """Take what the replicas say until one of them is due."""
        soonest = min(each.due for each in alive)
        seconds = None if soonest == float("inf") else max(0.0, soonest - time.monotonic())
        heard = wait([each for replica in alive for each in (replica.told, replica.line)], seconds)
        for replica in alive:
            if replica.told in heard:
                assert self._hear(replica), f"a replica ended by itself with {replica.process.exitcode}"
                replica.acted()
            if replica.line in heard:
                assert self._take(replica), f"a replica ended by itself with {replica.process.exitcode}"

    def _hear(self, replica: Replica) -> bool:
        """Take note of an act that a replica finished; False once there are no more."""
        try:
            what, document = replica.told.recv()
        except (EOFError, ConnectionResetError):
            return False
        {"stored": self.stored, "signed": self.signed}[what].add(document)
        return True

    def _take(self, replica: Replica) -> bool:
        """Let the log take what a replica delivers; False once there is no more."""
        try:
            chain, entries = replica.line.recv()
        except (EOFError, ConnectionResetError):
            return False
        answer = asyncio.run(self.log.deliver(chain, entries))
        with contextlib.suppress(BrokenPipeError):
            replica.line.send(answer)
        return True

    def _kill(self, replica: Replica) -> None:
        replica.process.kill()
        replica.process.join()
        # What was on its way counts: said is said, and the log takes what reached it, though nobody waits for the answer.
        while self._hear(replica):
            pass
        while self._take(replica):
            pass
        replica.process.close()
        replica.told.close()
        replica.line.close()
