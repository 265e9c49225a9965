"""One running audit service with two logs that have grown, and other people's programs to ask about them."""

import asyncio
import base64
import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from audit_contract.client import AuditUnavailable
from audit_contract.entry import Change, Draft
from tests.audit_service.service import TENANT_LOG, draft
from tests.audit_service.stage import Outside, outside
from tests.interop.programs import programs

SMALL = TENANT_LOG
BIG = "tenant-1b7e6f5c-2f5f-4a53-9e0f-0d8a4c4f3a11"
BIG_SIZE = 65_536 + 2 * 256 + 77
SMALL_SIZES = (1, 2, 3, 256, 257, 600)
_BATCH = 256


@dataclass(frozen=True)
class Grown:
    """A log as a reader finds it: what it says of itself, and the checkpoints that were seen while it grew."""

    url: str
    token: str
    origin: str
    keys: list[str]
    checkpoints: dict[int, bytes]

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token}"})

    def hashes(self, query: str) -> list[str]:
        """Return a proof's hashes, in base64 as they come."""
        with self.http() as http:
            return http.get(query).raise_for_status().text.split()

    @property
    def size(self) -> int:
        return max(self.checkpoints)

    def root(self, size: int) -> str:
        return self.checkpoints[size].decode().split("\n")[2]


def drafts(count: int) -> list[Draft]:
    """Entries of unlike lengths, some with non-ASCII text, some with values beside them."""
    changes = [Change(path="/title", old=None, new={"étape": 1.5})]
    return [
        draft(change=changes) if number % 50 == 0 else draft(request=f"№ {'x' * (number % 300)}")
        for number in range(count)
    ]


async def grow(stage: Outside, log: str, sizes: tuple[int, ...]) -> Grown:
    """Make a log and let it grow to each of these sizes in turn; the first entry is the service's own."""
    checkpoints = {}
    async with stage.client(f"pod-{log[7]}") as client:
        for _ in range(300):
            with contextlib.suppress(AuditUnavailable):  # it is starting
                await client.ensure_log(log, tenant="acme", namespace="tenant-acme", region="r", retention_days=1)
                break
            await asyncio.sleep(0.1)
        at = 1
        for size in sizes:
            for begin in range(at, size, _BATCH):
                await client.append(log, drafts(min(_BATCH, size - begin)))
            at = size
            facts = await client.log(log)
            for _ in range(1500):
                if facts["size"] == size:
                    break
                await asyncio.sleep(0.02)
                facts = await client.log(log)
            checkpoints[size] = facts["checkpoint"].encode()
    url = f"http://127.0.0.1:{stage.settings.listen.port}/v1/logs/{log}/"
    return Grown(url, stage.cluster.token(exp=2**33), facts["origin"], facts["keys"], checkpoints)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("interop")) as found:
        yield found


@pytest.fixture(scope="module")
def small(stage: Outside) -> Grown:
    return asyncio.run(grow(stage, SMALL, SMALL_SIZES))


@pytest.fixture(scope="module")
def big(stage: Outside) -> Grown:
    """A log whose tree has three levels of tiles."""
    return asyncio.run(grow(stage, BIG, (BIG_SIZE,)))


@pytest.fixture(scope="session")
def built() -> dict[str, Path]:
    return programs()


class Strangers:
    """Puts questions to other people's verifiers."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def all(self, questions: list[dict]) -> list[dict]:
        """Return one answer a question, in order."""
        lines = "".join(f"{json.dumps(each)}\n" for each in questions)
        done = subprocess.run([self._program], input=lines, capture_output=True, text=True, check=True, timeout=300)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(questions)
        return answers

    def one(self, **question: object) -> dict:
        return self.all([question])[0]


@pytest.fixture(scope="session")
def strangers(built: dict[str, Path]) -> Strangers:
    return Strangers(built["strangers"])


def b64(data: bytes) -> str:
    """Bytes as Go's JSON reads them."""
    return base64.b64encode(data).decode()
