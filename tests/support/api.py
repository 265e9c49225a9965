"""The API server over one kept connection: for tests that ask a hundred small questions, and for watches with times."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from kubernetes import config
from urllib3.exceptions import HTTPError

from tests.support.kubectl import KUBECONFIG

Object = dict[str, Any]


@dataclass
class ApiError(AssertionError):
    """What the API server said, and its status code."""

    status: int
    message: str

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


@cache
def _client() -> Any:
    return config.new_client_from_config(config_file=KUBECONFIG)


def call(
    method: str,
    path: str,
    body: Object | None = None,
    *,
    user: str = "",
    group: str = "",
    kind: str = "application/json",
    **query: str,
) -> Object:
    """Send a request and return the answer. Raises ApiError."""
    client = _client()
    headers = {"accept": "application/json", "Content-Type": kind} | ({"Impersonate-User": user} if user else {})
    headers |= {"Impersonate-Group": group} if group else {}
    url = f"{client.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
    answer = client.rest_client.pool_manager.request(
        method, url, body=json.dumps(body) if body is not None else None, headers=headers, timeout=30
    )
    found: Object = json.loads(answer.data or b"{}")
    if answer.status >= 400:
        raise ApiError(answer.status, str(found.get("message", found)))
    return found


def find(path: str) -> Object | None:
    """Return an object, or None when there is none."""
    try:
        return call("GET", path)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def cloister(plural: str, name: str = "") -> str:
    """Return the path of our own kinds."""
    return f"/apis/cloister.dev/v1alpha1/{plural}" + (f"/{name}" if name else "")


@dataclass
class Seen:
    """One event of a watch, with the monotonic time at which it arrived."""

    at: float
    kind: str
    item: Object


@dataclass
class Watch:
    """A watch in a thread; `with Watch(path) as watch: … watch.events`."""

    path: str
    events: list[Seen] = field(default_factory=list)
    _stop: bool = False
    _answer: Any = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        client = _client()
        listed = call("GET", self.path, limit="1")
        query = urlencode(
            {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"], "timeoutSeconds": "120"}
        )
        self._answer = client.rest_client.pool_manager.request(
            "GET", f"{client.configuration.host}{self.path}?{query}", preload_content=False, timeout=130
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def _read(self) -> None:
        try:
            for line in self._lines():
                event = json.loads(line)
                self.events.append(Seen(time.monotonic(), event["type"], event["object"]))
        except (HTTPError, OSError, ValueError, AttributeError):
            if not self._stop:
                raise

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        while chunk := self._answer.read1():
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole

    def first(self, kind: str, name: str, after: float = 0.0) -> Seen | None:
        """Return the first event of a kind about an object, after a time."""
        fitting = (
            s for s in list(self.events) if s.kind == kind and s.item["metadata"]["name"] == name and s.at >= after
        )
        return next(fitting, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import contextlib
        import socket

        self._stop = True
        with contextlib.suppress(OSError, AttributeError):
            self._answer.connection.sock.shutdown(socket.SHUT_RDWR)
        if self._thread:
            self._thread.join(5)
        self._answer.close()
