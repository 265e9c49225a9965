"""Debian's Chromium at a tenant's app, trusting exactly that app's certificate."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.e2e.support.trust import address, pinned_key
from tests.support import browser as shared

MILLISECONDS = 30_000


@contextmanager
def chromium(tenant: str) -> Iterator[Browser]:
    """Start it, with the tenant's key pinned."""
    with shared.chromium(f"--ignore-certificate-errors-spki-list={pinned_key(tenant)}") as browser:
        yield browser


def visit(browser: Browser, tenant: str, *, width: int = 1280, height: int = 860) -> Page:
    """Open a window of its own, with nothing remembered."""
    page = browser.new_context(base_url=address(tenant), viewport={"width": width, "height": height}).new_page()
    page.set_default_timeout(MILLISECONDS)
    return page


def sign_in(page: Page, person: str, word: str) -> None:
    """Fill in the form and send it; whether it opens is for the caller to see."""
    page.goto("/sign-in")
    page.get_by_label("Name").fill(person)
    page.get_by_label("Password").fill(word)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()


def shot(page: Page, name: str) -> None:
    """Keep a picture for people to look at."""
    folder = Path(os.environ.get("CLOISTER_SCREENSHOTS") or "/tmp/cloister-e2e-shots")
    folder.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(700)  # a frame's content is drawn a moment after it is loaded
    page.screenshot(path=folder / f"{name}.png", full_page=True)
