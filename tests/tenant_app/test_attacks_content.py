"""Attacks through what is uploaded and typed: bombs, oversize, file names, stored scripts, content types (11.10(a), 11.10(h))."""

import html.parser
import re
import resource
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest

from tests.tenant_app.support import bombs, people
from tests.tenant_app.support.site import PDF, Site
from tests.tenant_app.test_attacks_requests import GETS, concrete
from tests.tenant_app.test_workflow import approved, reviewer_sub, sign

# Closes attributes, elements, scripts, comments and titles, and is an expression of the template language beside it, whose
# value is too long to be found by chance in a digest or a nonce.
PRODUCT = str(65537 * 99991)
POISON = "x'\"></title></textarea></script>--><pwned-x data-pwned=\"1\" onload='pwn()'>{{65537*99991}}<img src=x onerror=pwn()>"


class _Page(html.parser.HTMLParser):
    """Collects what a browser would make of a page: elements and the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}


def dangers(text: str) -> list[str]:
    page = _Page()
    page.feed(text)
    found = [name for name in page.attributes if name.startswith("on") or name in {"data-pwned", "style"}]
    found += ["pwned-x"] if "pwned-x" in page.elements else []
    found += ["template"] if PRODUCT in text else []
    return found + (["inline script"] if re.search(r"<script(?![^>]*\bsrc=)", text) else [])


def test_the_checker_itself_sees_what_was_let_through():
    assert set(dangers(f"<p>{POISON}</p>")) >= {"data-pwned", "onload", "onerror", "pwned-x"}
    assert dangers(jinja2.Environment(autoescape=True).from_string(POISON[POISON.index("{{") :]).render()) == [
        "onerror",
        "template",
    ]


async def poisoned(site: Site) -> tuple[str, list]:
    """Put the poison into every field of every form; return a document that is full of it, and people to look."""
    alice, rosa, manager = await site.as_("alice"), await site.as_("rosa"), await site.as_("max")
    short = POISON[:80]
    name = f"{POISON[:105]}.txt"
    answer = await alice.upload(POISON.encode(), name, title=POISON[:150], project=short, reference=short)
    assert answer.status_code == 303, answer.text
    document = answer.headers["location"].rsplit("/", 1)[-1]
    assert (await alice.add_version(document, b"two", expected=1, reason=POISON, name=name)).status_code == 303
    remark = {"text": POISON, "place": short}
    for browser in (alice, rosa):
        assert (await browser.post(f"/documents/{document}/versions/2/annotations", remark)).status_code == 303
    subs = [await reviewer_sub(site, "rosa")]
    assert (await sign(alice, "alice", document, "submit", number=2, reviewers=subs)).status_code == 303
    assert (await sign(rosa, "rosa", document, "reject_review", number=2, reason=POISON)).status_code == 303
    number = (await alice.http.get(f"/api/v1/documents/{document}")).json()["number"]
    await manager.post("/admin/holds", {"number": number, "reason": POISON, "act": "hold"})
    sub = await reviewer_sub(site, "rosa")
    await manager.post(f"/admin/people/{sub}/end-sessions", {"reason": POISON})
    return document, [alice, await site.as_("rosa"), await site.as_("omar"), manager]


async def test_stored_xss_what_is_typed_into_any_field_is_text_on_every_page(site: Site):
    document, lookers = await poisoned(site)
    shown, wrong = 0, []
    for browser in lookers:
        for page in GETS:
            path = concrete(page.path.replace("{number:int}", "2"), document)
            for query in (
                "",
                f"?q={'%22%3E%3Cpwned-x%20onload=1%3E'}",
                f"?show={POISON[:20]}",
                f"?next=/{POISON[:30]}&why={POISON[:20]}",
            ):
                answer = await browser.get(path + query)
                if not answer.headers.get("content-type", "").startswith("text/html"):
                    continue
                shown += "pwned-x" in answer.text
                wrong += [(path + query, danger) for danger in dangers(answer.text)]
    assert wrong == []
    assert shown > 10


async def test_reflected_xss_what_is_refused_is_shown_as_text(site: Site):
    stranger, alice, manager = site.browser(), await site.as_("alice"), await site.as_("max")
    document = await alice.uploaded()
    answers = [
        await stranger.sign_in(POISON, "x"),
        await alice.upload(b"", f"{POISON}.txt", title=POISON),
        await alice.upload(b"x", "x.txt", title=POISON * 5, kind=POISON, project=POISON, reference=POISON),
        await alice.add_version(document, b"x", expected=9, reason=POISON),
        await sign(alice, "alice", document, "submit", nonce=POISON, reason=POISON, reviewers=[POISON], account=POISON),
        await manager.post("/admin/holds", {"number": POISON, "reason": POISON, "act": POISON}),
        await alice.get(f"/documents/{POISON}"),
        await alice.get(f"/documents?q={POISON}"),
        await alice.get(f"/{POISON}"),
    ]
    for answer in answers:
        assert answer.status_code >= 400 or answer.request.method == "GET"
        assert dangers(answer.text) == [], answer.request.url


async def test_stored_xss_names_from_the_directory_are_text_too(site: Site, monkeypatch):
    real = site.app.ports.directory.authenticate

    async def renamed(account, password):
        person = await real(account, password)
        return type(person)(
            **{name: getattr(person, name) for name in person.__slots__} | {"name": POISON, "title": POISON}
        )

    monkeypatch.setattr(site.app.ports.directory, "authenticate", renamed)
    document = await approved(site)
    for uid in ("alice", "max"):
        browser = await site.as_(uid)
        for page in GETS:
            answer = await browser.get(concrete(page.path, document))
            if "html" in answer.headers.get("content-type", ""):
                assert dangers(answer.text) == [], page.path


@pytest.mark.parametrize(
    ("name", "content", "inline"),
    [
        ("a.txt", b"<html><script>alert(1)</script>", True), ("a.csv", b"<script>alert(1)</script>", False),
        ("a.xml", b"<html xmlns='http://www.w3.org/1999/xhtml'><script>1</script></html>", False), ("a.json", b"{}", False),
        ("a.pdf", PDF, True), ("a.png", bombs.png_of(9, 9) + b"<script>alert(1)</script>", True),
    ],
)  # fmt: skip
async def test_downloads_keep_their_own_type_are_never_sniffed_and_run_nothing(site: Site, name, content, inline):
    alice = await site.as_("alice")
    path = f"/documents/{await alice.uploaded(content, name)}/versions/1/content"
    for address, shown in ((path, inline), (f"{path}?download=1", False), (f"/api/v1{path}", False)):
        answer = await alice.http.get(address, headers={"accept": "text/html"})
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"].startswith("inline" if shown else "attachment")
        assert "html" not in answer.headers["content-type"]
        policy = answer.headers["content-security-policy"]
        assert "sandbox" in policy or "script-src 'none'" in policy or "default-src 'none'; script-src 'self'" in policy
        assert not shown or "'unsafe-inline'" not in policy.partition("script-src")[2]


@pytest.mark.parametrize(
    "given",
    [
        "../../etc/passwd.txt",
        "..\\..\\windows\\a.txt",
        "/etc/cron.d/a.txt",
        "C:\\a.txt",
        "a/../../b.txt",
        "....//a.txt",
        ".txt.txt",
    ],
)
async def test_path_traversal_in_file_names_leaves_the_last_part_only(site: Site, given, fresh):
    alice = await site.as_("alice")
    document = await alice.uploaded(name=given)
    name = (await alice.http.get(f"/api/v1/documents/{document}")).json()["latest"]["fileName"]
    assert not re.search(r"[/\\:]", name)
    assert not name.startswith(".")


async def test_oversized_a_stream_without_a_length_is_stopped_at_the_limit_and_not_held(site: Site, fresh):
    alice = await site.as_("alice")
    limit, sent = fresh.uploads.max_bytes, 0

    async def endless():
        nonlocal sent
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        while True:
            sent += 1 << 20
            yield b"x" * (1 << 20)

    headers = {"content-type": "multipart/form-data; boundary=b", "x-csrf-token": alice.token}
    answer = await alice.http.post("/upload", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert sent <= limit + (3 << 20)


@pytest.mark.parametrize("signed_in", [True, False])
@pytest.mark.parametrize(
    "path", ["/sign-in", "/sign-out", "/admin/holds", "/api/v1/documents/{document}/versions/1/annotations"]
)
async def test_oversized_a_route_that_takes_no_file_stops_a_body_early(site: Site, path, signed_in):
    browser = await site.as_("omar") if signed_in else site.browser()
    sent = 0

    async def endless():
        nonlocal sent
        yield b'{"text":"csrf='
        while True:
            sent += 65536
            yield b"x" * 65536

    kind = "application/json" if path.startswith("/api") else "application/x-www-form-urlencoded"
    address = concrete(path)
    answer = await browser.http.post(
        address, content=endless(), headers={"content-type": kind, "x-csrf-token": browser.token}
    )
    assert answer.status_code in {303, 401, 403, 413}
    assert sent <= 1 << 20


@pytest.mark.parametrize(
    "make",
    [
        "pdf_with_object_stream(700)",
        "pdf_with_object_stream(700, twice=True)",
        "office(700)",
        "png_of(2**31 - 1, 2**31 - 1)",
    ],
)
def test_bombs_a_small_file_that_expands_never_fills_the_memory(make):
    """Opened as the inspector's process opens it, which holds qpdf to its limits; without them this takes a gigabyte."""
    program = (
        "import resource, sys\n"
        "from tests.tenant_app.support.bombs import *\n"
        f"made = {make}\n"
        "from tenant_app.domain.media import recognise\n"
        "from tenant_app.inspector import inspect\n"
        "from tenant_app.errors import InvalidInput\n"
        "name = {b'%P': 'a.pdf', b'PK': 'a.docx'}.get(made[:2], 'a.png')\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    recognise(name, made)\n    print(inspect(made)['problem'] if name == 'a.pdf' else None)\n"
        "except InvalidInput as error:\n    print(error)\n"
        "print(len(made), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": "tenant-app:audit-service:."},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, figures = done.stdout.splitlines()
    size, grown = map(int, figures.split())
    # The picture is not opened here at all: only its first bytes are looked at.
    assert said == "None" if make.startswith("png") else "None" not in said
    assert size < 2 << 20
    assert grown < 200, f"{size} bytes grew to {grown} MiB"


@pytest.mark.parametrize("make", [bombs.office(300), bombs.pdf_with_object_stream(300)])
async def test_bombs_are_refused_at_upload_with_words(site: Site, make):
    alice = await site.as_("alice")
    answer = await alice.upload(make, "a.pdf" if make.startswith(b"%P") else "a.docx")
    assert answer.status_code == 422
    assert "The file" in answer.text
    assert people.password("alice") not in answer.text
