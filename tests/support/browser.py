"""Debian's Chromium through playwright's synchronous API, and axe-core to judge pages with; for every house that has pages."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
_AXE = Path.home() / ".cache" / "cloister" / "axe"
_AXE_EDITION = "axe-core@4.14.1"  # a later one may ask for more: that is for whoever changes this, not for a chance
_AXE_FILE = _AXE / "node_modules" / "axe-core" / "axe.min.js"


@contextmanager
def chromium(*more: str) -> Iterator[Browser]:
    """Start it, with more flags if given."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*FLAGS, *more])
        try:
            yield browser
        finally:
            browser.close()


def axe_source() -> str:
    """Return axe-core's program: from the npm registry, kept in the cache."""
    if not _AXE_FILE.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("axe-core comes from the npm registry, and there is no npm here")
        _AXE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [npm, "install", "--silent", "--prefix", str(_AXE), _AXE_EDITION], check=True, capture_output=True
        )
    return _AXE_FILE.read_text()
