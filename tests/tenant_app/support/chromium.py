"""Debian's Chromium through playwright's synchronous API."""

from playwright.sync_api import Browser, Page

from tests.support.browser import chromium
from tests.tenant_app.support import people

__all__ = ["chromium", "new_page", "sign_in"]


def new_page(browser: Browser, address: str, *, dark: bool = False, phone: bool = False) -> Page:
    size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 860}
    context = browser.new_context(
        base_url=address, ignore_https_errors=True, viewport=size, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    page.problems = []
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    return page


def sign_in(page: Page, uid: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("Name").fill(uid)
    page.get_by_label("Password").fill(people.password(uid))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)
