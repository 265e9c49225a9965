"""Runs `cloister` in this process against a FakeKube. Import the fixtures where they are used: `from … import cloister, kube`."""

import pytest

from tenant_operator.cli import main as cli
from tenant_operator.cli import words
from tests.support.fake_kube import FakeKube


@pytest.fixture
def kube(monkeypatch) -> FakeKube:
    """Have the API server in memory."""
    fake = FakeKube()
    monkeypatch.setattr(cli, "Kube", lambda *_: fake)
    monkeypatch.setattr(words.console, "width", 200)
    monkeypatch.setattr(words.errors, "width", 200)
    return fake


@pytest.fixture
def cloister(kube, monkeypatch, capsys):
    """Run the command line; return its exit code, what it printed and what it complained."""

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["cloister", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run
