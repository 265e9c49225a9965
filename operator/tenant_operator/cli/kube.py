"""The API server, as the person's own kubeconfig reaches it: plain JSON in and out, every refusal in one line."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from tenant_operator.api.common import GROUP, VERSION
from tenant_operator.cli.problems import Exit, ProblemError

Object = dict[str, Any]
_NOT_FOUND, _UNAUTHORIZED, _FORBIDDEN = 404, 401, 403
_TIMEOUT_SECONDS = 30


class Kube:
    """One connection, for one command."""

    def __init__(self, context: str | None = None, kubeconfig: str | None = None) -> None:
        # Late: this client takes a second to import, and `--help` needs none of it.
        from kubernetes import config

        self.context, self.kubeconfig = context, kubeconfig
        try:
            self._api: Any = config.new_client_from_config(config_file=kubeconfig, context=context)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            hint = 'Point KUBECONFIG at your cluster; for the local one: eval "$(make -s env)"'
            raise ProblemError(f"no usable kubeconfig: {error}", hint=hint, code=Exit.UNREACHABLE) from error

    @property
    def host(self) -> str:
        """The API server's address."""
        return str(self._api.configuration.host)

    def _send(self, method: str, path: str, query: Mapping[str, str], body: Any, kind: str) -> Any:
        from urllib3.exceptions import HTTPError

        headers = {"accept": "application/json", "Content-Type": kind}
        for setting in self._api.configuration.auth_settings().values():
            headers[setting["key"]] = setting["value"]
        url = f"{self.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            return self._api.rest_client.request(method, url, headers, body, _request_timeout=_TIMEOUT_SECONDS)
        except (HTTPError, OSError) as error:
            message = f"the API server at {self.host} does not answer: {type(error).__name__}"
            hint = "Is the cluster up (`make up` for the local one), and is this the right context?"
            raise ProblemError(message, hint=hint, code=Exit.UNREACHABLE) from error

    def call(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """Send a request and return the answer. Raises ProblemError in the API server's own words."""
        data: Any = json.dumps(body) if body is not None and "json" not in kind else body
        answer = self._send(method, path, query or {}, data, kind)
        text = answer.read() or b"{}"
        if answer.status < 400:  # noqa: PLR2004 - HTTP's own line between done and not
            found: Object = json.loads(text)
            return found
        raise self._problem(answer.status, text)

    def _problem(self, status: int, text: bytes) -> ProblemError:
        try:
            message = json.loads(text).get("message") or text.decode()
        except ValueError:
            message = text.decode(errors="replace")
        if status == _NOT_FOUND:
            return ProblemError(message, code=Exit.NOT_FOUND)
        if status == _UNAUTHORIZED:
            return ProblemError(
                "the API server does not know you",
                hint="Sign in again, or pick another --context.",
                code=Exit.UNREACHABLE,
            )
        if status == _FORBIDDEN and " cannot " in message:
            hint = "Ask for the ClusterRole that carries this right: cloister-platform-engineer, -approver, -legal or -auditor."
            return ProblemError(message, hint=hint, code=Exit.UNREACHABLE)
        return ProblemError(_without_frame(message))

    def find(self, path: str) -> Object | None:
        """Return an object, or None when there is none."""
        try:
            return self.call("GET", path)
        except ProblemError as problem:
            if problem.code is Exit.NOT_FOUND:
                return None
            raise

    def items(self, path: str, **query: str) -> list[Object]:
        """Return the objects of a list."""
        found: list[Object] = self.call("GET", path, query=query).get("items", [])
        return found

    def lines(self, path: str, **query: str) -> Iterator[str]:
        """Yield the lines of a stream, such as a pod's log, as they come."""
        answer = self._send("GET", path, query, None, "application/json")
        if answer.status >= 400:  # noqa: PLR2004 - as above
            raise self._problem(answer.status, answer.read())
        rest = b""
        for chunk in answer.response.stream(8192, decode_content=True):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
        if rest:
            yield rest.decode(errors="replace")

    def me(self) -> str:
        """Return the user name that the API server knows the person by."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = self.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
        return str(answer["status"]["userInfo"]["username"])


def ours(plural: str, name: str | None = None) -> str:
    """Return the path of our own kinds."""
    path = f"/apis/{GROUP}/{VERSION}/{plural}"
    return f"{path}/{quote(name, safe='')}" if name is not None else path


def _without_frame(message: str) -> str:
    """Return what one of our policies or our webhook says, without the API server's frame around it."""
    for frame in ("denied request: ", "denied the request: "):
        _, found, inside = message.partition(frame)
        if found:
            return inside
    return message
