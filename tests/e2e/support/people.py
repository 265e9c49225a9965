"""A person at a tenant's app over plain HTTP: the same forms that a browser sends, through the relay."""

import re
from types import TracebackType
from typing import Self

import httpx

from tests.e2e.support.trust import RELAY, context, host

_HIDDEN = re.compile(r'<input type="hidden" name="csrf" value="([^"]+)"')


class Person:
    """Signs in at entering, signs out at leaving."""

    def __init__(self, tenant: str, name: str, word: str) -> None:
        self._name, self._word = name, word
        # Not every machine's resolver knows *.localhost; the relay goes by the name that TLS asks for.
        self._client = httpx.Client(
            base_url=f"https://{RELAY[0]}:{RELAY[1]}",
            verify=context(tenant),
            headers={"Host": host(tenant)},
            timeout=30,
        )
        self._extensions = {"sni_hostname": host(tenant)}

    def __enter__(self) -> Self:
        answer = self.post("/sign-in", "/sign-in", {"account": self._name, "password": self._word})
        assert answer.status_code == httpx.codes.SEE_OTHER, (
            f"{self._name} was not let in: {answer.status_code} {_said(answer)}"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str) -> httpx.Response:
        """Ask for a page."""
        return self._client.get(path, extensions=self._extensions)

    def post(self, page: str, path: str, fields: dict[str, str], files: dict | None = None) -> httpx.Response:
        """Send the form of a page."""
        found = _HIDDEN.search(self.get(page).text)
        assert found, f"{page} has no form: {_said(self.get(page))}"
        return self._client.post(path, data={"csrf": found[1], **fields}, files=files, extensions=self._extensions)

    def upload(self, title: str, name: str, content: bytes) -> str:
        """Store a document; return its id."""
        fields = {"title": title, "kind": "Report", "project": "", "reference": ""}
        answer = self.post("/upload", "/upload", fields, {"file": (name, content, "text/plain")})
        assert answer.status_code == httpx.codes.SEE_OTHER, f"not stored: {answer.status_code} {_said(answer)}"
        return answer.headers["location"].rsplit("/", 1)[-1]

    def content(self, document: str, version: int = 1) -> bytes:
        """Return a version's bytes."""
        answer = self.get(f"/documents/{document}/versions/{version}/content?download=1")
        assert answer.status_code == httpx.codes.OK, f"not given: {answer.status_code} {_said(answer)}"
        return answer.content


def _said(answer: httpx.Response) -> str:
    text = re.sub(r"<(script|style|svg).*?</\1>|<[^>]+>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", text)[:400]
