"""Long campaigns run only when asked for: `pytest -m audit_campaign`."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "audit_campaign: minutes of crashes and mutations, run with -m audit_campaign")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "audit_campaign" in (config.option.markexpr or ""):
        return
    long = [item for item in items if item.get_closest_marker("audit_campaign")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
