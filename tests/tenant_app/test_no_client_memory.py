"""Data is a record when it is created, and never lies in temporary memory only (FDA data integrity Q&A 2018).

The app saves nothing by itself while one types: what was not sent is no record, and the browser keeps none of it. What was sent is
in the database with its entry, in one transaction, at the moment the answer comes.
"""

import re
from contextlib import contextmanager

import pytest

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tests.tenant_app.support import people
from tests.tenant_app.support.chromium import chromium, new_page, sign_in
from tests.tenant_app.support.live import served

# Everything that a page could keep in a browser beside what it shows.
KEPT = """async () => {
  const folder = await navigator.storage.getDirectory();
  const files = [];
  for await (const name of folder.keys()) files.push(name);
  return {
    local: {...localStorage}, session: {...sessionStorage}, databases: await indexedDB.databases(), caches: await caches.keys(),
    workers: (await navigator.serviceWorker.getRegistrations()).length, files, bytes: (await navigator.storage.estimate()).usage,
    cookies: document.cookie, window: window.name, history: history.state,
  };
}"""
NOTHING = {
    "local": {}, "session": {}, "databases": [], "caches": [], "workers": 0, "files": [], "bytes": 0, "cookies": "",
    "window": "", "history": None,
}  # fmt: skip
TITLE, REMARK, REASON = "Stability of lot 4711", "Humidity on page 3 is missing", "Humidity added"


class Walk:
    """One person's window, and the database to look into at each answer."""

    def __init__(self, page, server, database: str) -> None:
        self.page, self.server, self.database = page, server, database
        self.answers: list = []
        page.on("response", self.answered)

    def answered(self, answer) -> None:
        self.answers.append(answer)

    def one(self, query: str, *values) -> tuple:
        with self.server.admin(self.database) as conn:
            return conn.execute(query, values).fetchone()

    def entries(self) -> int:
        return self.one("SELECT count(*) FROM audit_outbox")[0]

    @contextmanager
    def sending(self):
        """Do something that sends a form; on leaving, its answer has come, and nothing after it is waited for."""
        with self.page.expect_response(lambda each: each.request.method == "POST") as found:
            yield
        assert found.value.status == 303, found.value.url

    def committed(self, table: str, action: str, where: str, *values) -> None:
        """Check that one row is there, and that its entry was committed by the very same transaction."""
        entry = "EXISTS (SELECT 1 FROM audit_outbox o WHERE o.xmin = t.xmin AND o.action = %s AND o.result = 'ok')"
        query = f"SELECT count(*), bool_and({entry}) FROM {table} t WHERE {where}"  # noqa: S608  # names of this test
        assert self.one(query, action, *values) == (1, True), (table, action)

    def nothing_kept(self) -> None:
        assert self.page.evaluate(KEPT) == NOTHING
        for cookie in self.page.context.cookies():
            assert cookie["httpOnly"]
            assert cookie["secure"]
            assert cookie["name"].startswith("__Host-cloister")
            assert not re.search("stability|humidity|password", cookie["value"], re.IGNORECASE)


@pytest.fixture
def ports(fresh, keys, audit):
    return factory.Ports(keys=keys, directory=LdapDirectory(fresh.ldap), audit=audit)


def test_at60_what_is_sent_is_stored_with_its_entry_when_the_answer_comes_and_nothing_is_kept_in_the_browser(
    fresh, ports, server, tmp_path
):
    """FDA data integrity Q&A 2018: electronic data is saved when it is created, not kept in temporary memory first."""
    path = tmp_path / "lot-4711.txt"
    path.write_text("Recovery 98.7 %\n")
    with chromium() as browser:
        with served(fresh, ports) as address:
            page = new_page(browser, address)
            walk = Walk(page, server, fresh.database.name)
            sign_in(page, "alice")
            page.goto("/upload")
            page.locator("input[type=file]").set_input_files(path)
            page.get_by_label("Title").fill(TITLE)
            page.get_by_label("Kind").select_option("Report")
            walk.nothing_kept()
            with walk.sending():
                page.get_by_role("button", name="Store version 1").click()
            walk.committed("documents", "app:document:create", "number = 1")
            walk.committed("versions", "app:document:create", "number = 1 AND state = 'draft'")
            walk.committed("contents", "app:document:create", "version = 1")
            page.wait_for_url("**/documents/*")
            document = page.url.rsplit("/", 1)[-1]
            walk.nothing_kept()
            page.get_by_label("Your remark").fill(REMARK)
            with walk.sending():
                page.get_by_role("button", name="Add remark").click()
            walk.committed("annotations", "app:annotation:create", "document = %s", document)
            walk.nothing_kept()
            path.write_text("Recovery 98.7 %, humidity 40 %\n")
            page.goto(f"/documents/{document}")
            page.locator("input[type=file]").set_input_files(path)
            page.get_by_label("Reason for the change").fill(REASON)
            with walk.sending():
                page.get_by_role("button", name="Store version 2").click()
            walk.committed("contents", "app:document:update", "version = 2")
            walk.nothing_kept()
            page.goto(f"/documents/{document}/versions/2/sign/submit")
            page.get_by_label("Rosa Reviewer").check()
            page.get_by_label("Your name").fill("alice")
            page.get_by_label("Password").fill(people.password("alice"))
            walk.nothing_kept()
            with walk.sending():
                page.get_by_role("button", name="Send to review").click()
            walk.committed("signatures", "app:signature:create", "meaning = 'authorship'")
            walk.committed("versions", "app:workflow:transition", "number = 2 AND state = 'in_review'")
            walk.committed("assignments", "app:workflow:assign", "document = %s", document)
            page.wait_for_url(f"**/documents/{document}")
            walk.nothing_kept()
            rosa = Walk(new_page(browser, address), server, fresh.database.name)
            sign_in(rosa.page, "rosa")
            rosa.page.goto(f"/documents/{document}/trail")
            rosa.page.get_by_role("link", name="Sign a review").click()
            rosa.page.get_by_label("What you found").fill("In order")
            rosa.page.get_by_label("Your name").fill("rosa")
            rosa.page.get_by_label("Password").fill(people.password("rosa"))
            with rosa.sending():
                rosa.page.get_by_role("button", name="Sign the review").click()
            rosa.committed("signatures", "app:signature:create", "meaning = 'trail-review'")
            rosa.nothing_kept()
            kept = [each for each in walk.answers + rosa.answers if "/static/" not in each.url]
            assert len(kept) > 20
            assert {each.headers["cache-control"] for each in kept} == {"no-store"}
        # The process is gone, and with it whatever was only in its memory.
        with served(fresh, ports) as address:
            page = new_page(browser, address)
            sign_in(page, "rita")
            page.goto(f"/documents/{document}")
            text = page.locator("main").inner_text()
            for words in (TITLE, REMARK, REASON, "lot-4711.txt", "Authorship", "Trail review"):
                assert words in text, words


def test_at60_what_was_typed_and_not_sent_is_no_record_anywhere(fresh, ports, server):
    """There is no autosave: nothing half-typed is a record on the server, nor a copy in the browser that could be taken for one."""
    with chromium() as browser, served(fresh, ports) as address:
        page = new_page(browser, address)
        walk = Walk(page, server, fresh.database.name)
        sign_in(page, "alice")
        page.goto("/upload")
        before = walk.entries()
        page.get_by_label("Title").fill(TITLE)
        page.get_by_label("Project").fill("Zephyr")
        page.wait_for_timeout(1500)
        walk.nothing_kept()
        assert walk.one("SELECT count(*) FROM documents") == (0,)
        assert walk.entries() == before
        # Not even the way back brings it again: the browser was told not to remember what is typed here.
        page.goto("/")
        page.go_back()
        assert page.get_by_label("Title").input_value() == ""
        walk.nothing_kept()
