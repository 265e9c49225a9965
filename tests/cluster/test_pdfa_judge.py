"""veraPDF in a tenant's namespace: its own app gets verdicts from it, nobody else reaches it, and it reaches nothing."""

import base64
import json
from collections.abc import Iterator

import pytest

from tests.cluster.test_isolation import _TRY
from tests.support import living
from tests.support.kubectl import get, kubectl
from tests.tenant_app.support.archival import archival

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("demo")]

_ASK = """
import asyncio, base64, sys
from tenant_app.domain.media import PDF
from tenant_app.errors import AppError
from tenant_app.services.inspection import Inspection
from tenant_app.settings import load
try:
    print("pages:", asyncio.run(Inspection(load().uploads).check(PDF, base64.b64decode(sys.argv[1]), "Report")))
except AppError as error:
    print(f"{type(error).__name__}: {error}")
"""
_NAME = """
import socket
try:
    print(socket.getaddrinfo("database", 5432))
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture(scope="module")
def space() -> Iterator[str]:
    config = json.loads(get("configmap", "cloister-operator", "-n", "cloister-system")["data"]["config.json"])
    if not config["images"].get("pdfaJudge"):
        pytest.skip("this installation names no image for the PDF/A validator: make demo ALSO=pdfa-judge")
    name = living.named("pdfa")
    with living.tenant(name, records={"pdfa": "claimed"}):
        living.ready(name)
        yield f"tenant-{name}"


def inside(space: str, component: str, program: str, *arguments: str) -> str:
    """Run a Python program in a component's pod; return its last line."""
    command = ("exec", f"deploy/{component}", "-c", component, "-n", space, "--", "python", "-c", program, *arguments)
    return kubectl(*command).strip().splitlines()[-1]


def asked(space: str, content: bytes) -> str:
    return inside(space, "app", _ASK, base64.b64encode(content).decode())


def address(space: str, service: str) -> str:
    return str(get("service", service, "-n", space)["spec"]["clusterIP"])


def test_the_app_gets_verdicts_from_verapdf_in_a_pod_of_its_own(space):
    assert asked(space, archival()) == "pages: 1"
    refused = asked(space, archival(cmyk=True))
    assert refused.startswith("InvalidInput: The file claims to be PDF/A-2b, and the PDF/A validator finds that it is")
    assert "ISO 19005-2:2011, clause 6.2.4.3, test 3" in refused


def test_it_reaches_nothing_and_asks_no_names(space):
    closed = {
        "own database": (address(space, "database"), 5432),
        "own app": (address(space, "app"), 8443),
        "cluster DNS": (address("kube-system", "kube-dns"), 53),
        "audit service": (address("cloister-audit", "audit"), 8443),
        "the node's API server": ("10.89.0.1", 7443),
        "the world": ("1.1.1.1", 443),
    }
    found = json.loads(inside(space, "pdfa-judge", _TRY, json.dumps(closed)))
    assert found == dict.fromkeys(closed, "TimeoutError")
    assert inside(space, "pdfa-judge", _NAME) == "gaierror"


def test_another_tenants_app_does_not_reach_it(space):
    wanted = {"judge": (address(space, "pdfa-judge"), 8443)}
    assert json.loads(inside(space, "app", _TRY, json.dumps(wanted))) == {"judge": "open"}
    assert json.loads(inside("tenant-acme-pharma", "app", _TRY, json.dumps(wanted))) == {"judge": "TimeoutError"}
