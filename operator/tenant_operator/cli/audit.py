"""`cloister audit`: the log read through the API server, checked here, by the same code that a stranger would use."""

import re
import ssl
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.markup import escape

from audit_contract.report import Report
from audit_contract.verify import verify_bundle
from tenant_operator.api.names import AUDIT_AUDIENCE, PLATFORM_LOG
from tenant_operator.cli.kube import Kube
from tenant_operator.cli.problems import Exit, ProblemError
from tenant_operator.cli.tenants import the
from tenant_operator.cli.words import console, counted

NAMESPACE = "cloister-audit"
READER = "platform-auditor"
_TOKEN_SECONDS = 600
_BROWSE_SECONDS = 3600
_for_ever = threading.Event().wait
_EXPORT_SECONDS = 600
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
_SHOWN_PROBLEMS = 20


def log_of(kube: Kube, tenant: str) -> str:
    """Return the name of a tenant's log; `platform` has its own."""
    if tenant == PLATFORM_LOG:
        return PLATFORM_LOG
    found, record = the(kube, tenant)
    number = ((record or {}).get("spec") or {}).get("id") or ((found or {}).get("status") or {}).get("id")
    if not number:
        raise ProblemError(
            f"{tenant} has no id yet, so it has no log", hint=f"cloister wait {tenant}", code=Exit.NOT_FOUND
        )
    return f"tenant-{number}"


def fetch(kube: Kube, tenant: str) -> bytes:
    """Return a log's export bundle."""
    log = log_of(kube, tenant)
    token, context = _token(kube), _trust(kube)
    with _forwarded(kube) as port, httpx.Client(verify=context, timeout=_EXPORT_SECONDS) as client:
        try:
            answer = client.get(
                f"https://localhost:{port}/v1/logs/{log}/export", headers={"Authorization": f"Bearer {token}"}
            )
        except httpx.HTTPError as error:
            hint = f"kubectl -n {NAMESPACE} get pods"
            said = f"the audit service does not answer: {type(error).__name__}: {error}"
            raise ProblemError(said, hint=hint, code=Exit.UNREACHABLE) from error
    if answer.is_success:
        return answer.content
    code = Exit.NOT_FOUND if answer.status_code == httpx.codes.NOT_FOUND else Exit.FAILED
    raise ProblemError(f"the audit service says {answer.status_code}: {answer.text.strip()}", code=code)


def _token(kube: Kube, seconds: int = _TOKEN_SECONDS) -> str:
    """Return a short-lived token of the service account that may read every log."""
    spec = {"audiences": [AUDIT_AUDIENCE], "expirationSeconds": seconds}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = kube.call("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{READER}/token", body)
    return str(answer["status"]["token"])


def _trust(kube: Kube) -> ssl.SSLContext:
    """Trust the installation's own authority where the person may read it.

    Who may not (the Secret holds a key as well) relies on the API server, which picked the pod that the tunnel ends in; what
    is read is checked by its signatures in any case.
    """
    import base64

    context = ssl.create_default_context()
    try:
        found = kube.call("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/audit-tls")
        context.load_verify_locations(cadata=base64.b64decode(found["data"]["ca.crt"]).decode())
    except ProblemError as problem:
        if problem.code is not Exit.UNREACHABLE:
            raise
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def _forwarded(kube: Kube) -> Iterator[int]:
    """Have a port of this machine that leads to the audit service, through the API server."""
    command = ["kubectl", "-n", NAMESPACE, "port-forward", "service/audit", ":8443"]
    if kube.kubeconfig:
        command += ["--kubeconfig", kube.kubeconfig]
    if kube.context:
        command += ["--context", kube.context]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError as error:
        hint = "Install kubectl and put it on the PATH."
        raise ProblemError("kubectl is needed to reach the audit service", hint=hint, code=Exit.UNREACHABLE) from error
    with process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            match = _FORWARDING.match(line)
            if match is None:
                said = (process.stderr.read() if process.stderr else "").strip() or line.strip()
                hint = f"kubectl -n {NAMESPACE} get pods"
                raise ProblemError(f"the audit service cannot be reached: {said}", hint=hint, code=Exit.UNREACHABLE)
            # It says a line a connection; nobody reading them would stop it in the end.
            threading.Thread(target=deque, args=(process.stdout, 0), daemon=True).start()
            yield int(match[1])
        finally:
            process.terminate()


def export(kube: Kube, tenant: str, file: Path) -> None:
    """Write a log's bundle to a file."""
    data = fetch(kube, tenant)
    file.write_bytes(data)
    report = verify_bundle(data)
    said = f"{file}: {counted(report.size, 'entry')} of {report.log}, {len(data)} bytes."
    console.print(f"{said} Check it anywhere: cloister audit check {file}", soft_wrap=True)


def browse(kube: Kube, tenant: str, until: Callable[[], object] = _for_ever) -> None:
    """Hold the way open to the inspector's page of a log, and say where it is and what to sign in with."""
    log = log_of(kube, tenant)
    with _forwarded(kube) as port:
        console.print(f"Open https://localhost:{port}/inspect/{log} and sign in with this token, good for an hour:")
        console.print(_token(kube, _BROWSE_SECONDS), soft_wrap=True, highlight=False, markup=False)
        console.print(
            "[dim]The certificate is this installation's own. Ctrl-C closes the way; what is read is recorded.[/]"
        )
        until()


def verify(kube: Kube, tenant: str, keys: Sequence[str]) -> None:
    """Fetch a log and prove every entry. Raises ProblemError when something does not hold."""
    with console.status(f"Reading the audit log of {tenant} …"):
        data = fetch(kube, tenant)
    say(verify_bundle(data, keys), tenant)


def check(file: Path, keys: Sequence[str]) -> None:
    """Prove every entry of a bundle, with no cluster."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ProblemError(f"{file}: {error.strerror}", code=Exit.NOT_FOUND) from error
    say(verify_bundle(data, keys), str(file))


def say(report: Report, name: str) -> None:
    """Say what a check found."""
    for problem in report.problems[:_SHOWN_PROBLEMS]:
        where = "" if problem.index is None else f" entry {problem.index}:"
        console.print(f"[red]✗[/] {problem.kind.name.lower()}:{where} {escape(problem.text)}", soft_wrap=True)
    if not report.ok:
        count = len(report.problems)
        said = f"{name}: {report.proven} of {report.size} entries proven, {counted(count, 'problem')}"
        raise ProblemError(
            said, hint="Keep this bundle and the audit database's volume as they are; this is an incident."
        )
    console.print(f"[green]✓[/] {name}: {counted(report.size, 'entry')}, all proven.")
    details = [
        f"log {report.log}",
        f"root {report.root[:16]}…",
        f"{counted(report.sources, 'source')}, none with a gap",
        f"{counted(report.values, 'old and new value')} fit their commitments",
    ]
    if report.erased:
        details.append(f"{counted(report.erased, 'value')} erased, on the record")
    if report.open_intents:
        details.append(f"{counted(len(report.open_intents), 'act')} under way, or never finished")
    details += [f"signed by {signer}" for signer in report.signed_by]
    for line in details:
        console.print(f"  [dim]{escape(line)}[/]", soft_wrap=True)
    if not report.trusted:
        console.print("  [dim]The keys are the bundle's own: pin yours with --key to show whose log it is.[/]")
