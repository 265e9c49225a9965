"""The web application driven in process, one cookie jar a person."""

import html
import re

import httpx

from tenant_app import factory
from tenant_app.web.app import create
from tests.tenant_app.support import people

PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


class Browser:
    """One person's browser: keeps cookies, reads the page's form token by itself."""

    def __init__(self, web, *, address: str = "127.0.0.1", agent: str = "test-browser") -> None:
        transport = httpx.ASGITransport(app=web, client=(address, 50000), raise_app_exceptions=False)
        self.http = httpx.AsyncClient(
            transport=transport, base_url="https://localhost", headers={"user-agent": agent}, follow_redirects=False
        )
        self.token = ""

    async def get(self, path: str, **more) -> httpx.Response:
        answer = await self.http.get(path, **more)
        found = (
            re.search(r'name="csrf" value="([^"]*)"', answer.text)
            if "html" in answer.headers.get("content-type", "")
            else None
        )
        if found:
            self.token = html.unescape(found[1])
        return answer

    async def post(self, path: str, data: dict | None = None, **more) -> httpx.Response:
        return await self.http.post(path, data={"csrf": self.token, **(data or {})}, **more)

    async def sign_in(self, uid: str, password: str | None = None) -> httpx.Response:
        await self.get("/sign-in")
        answer = await self.post(
            "/sign-in", {"account": uid, "password": people.password(uid) if password is None else password}
        )
        if answer.status_code == 303:
            await self.get("/")
        return answer

    async def upload(
        self, content: bytes = b"Hello\n", name: str = "note.txt", title: str = "A note", **fields
    ) -> httpx.Response:
        data = {"title": title, "kind": "Report", "project": "", "reference": "", **fields}
        return await self.post("/upload", data, files={"file": (name, content)})

    async def uploaded(self, *args, **kwargs) -> str:
        """Upload and return the document's id."""
        answer = await self.upload(*args, **kwargs)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"].rsplit("/", 1)[-1]

    async def add_version(
        self,
        document: str,
        content: bytes,
        *,
        expected: int,
        reason: str = "Corrected a figure",
        name: str = "note.txt",
    ) -> httpx.Response:
        data = {"reason": reason, "expected": str(expected)}
        return await self.post(f"/documents/{document}/versions", data, files={"file": (name, content)})

    async def content(self, document: str, number: int = 1) -> httpx.Response:
        return await self.get(f"/documents/{document}/versions/{number}/content")


class Site:
    def __init__(self, app: factory.App) -> None:
        self.app = app
        self.web = create(app)
        self._browsers: list[Browser] = []

    def browser(self, **more) -> Browser:
        made = Browser(self.web, **more)
        self._browsers.append(made)
        return made

    async def as_(self, uid: str, **more) -> Browser:
        """Return a browser that is signed in."""
        browser = self.browser(**more)
        answer = await browser.sign_in(uid)
        assert answer.status_code == 303, answer.text
        return browser

    async def close(self) -> None:
        for browser in self._browsers:
            await browser.http.aclose()
