"""Around every cluster test: what it is, and that the demo's tenants are there and Ready when the cluster tests begin and end."""

from collections.abc import Iterator

import pytest

from tests.support import living
from tests.support.waiting import say


@pytest.fixture(autouse=True)
def _announced(request: pytest.FixtureRequest) -> None:
    """Begin a test's own lines with its name, for whoever runs `pytest -s`."""
    say(f"▸ {request.node.name}")


@pytest.fixture(scope="session")
def _demo() -> Iterator[None]:
    living.ready(*living.DEMO)
    yield
    living.ready(*living.DEMO)


@pytest.fixture
def demo(_demo: None) -> Iterator[None]:
    """Have acme-pharma and globex-bio Ready, and Ready again afterwards, so that no test leaves its trouble to the next."""
    living.ready(*living.DEMO)
    yield
    living.ready(*living.DEMO)
