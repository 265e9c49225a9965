"""Showing whether network policies are enforced, with real pods and real connections."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from localcluster import baseimage, facts, nodeimages
from localcluster.api import Api, Object
from localcluster.console import say, step
from localcluster.errors import LocalClusterError
from localcluster.paths import Layout
from localcluster.services.common import namespace
from localcluster.shell import run
from localcluster.waiting import Seen, WaitedInVainError, wait_for

_HERE, _THERE = "prove-here", "prove-there"
_SETTLE_SECONDS = 10
_SERVER = """
import socketserver
class Hello(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"hello " + self.client_address[0].encode())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(("", 8080), Hello).serve_forever()
"""
_CLIENT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1.5) as s:
        sys.stdout.write(s.recv(99).decode())
except OSError as e:
    sys.stdout.write("FAILED %s" % e)
"""


@dataclass(frozen=True)
class Probe:
    """A pod that tries to reach the server."""

    namespace: str
    pod: str


_CLIENT_PODS = (Probe(_HERE, "friend"), Probe(_HERE, "neighbour"), Probe(_THERE, "stranger"))
_ALL = frozenset(probe.pod for probe in _CLIENT_PODS)


@dataclass(frozen=True)
class Case:
    """A set of policies, and who may then reach the server."""

    name: str
    policies: tuple[Object, ...]
    reach: frozenset[str]


def _policy(within: str, name: str, spec: Object) -> Object:
    meta = {"name": name, "namespace": within}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


_DENY = _policy(_HERE, "deny", {"podSelector": {}, "policyTypes": ["Ingress"]})
_ALLOW = _policy(
    _HERE,
    "allow-friend",
    {
        "podSelector": {"matchLabels": {"pod": "server"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"pod": "friend"}}}], "ports": [{"port": 8080}]},
        ],
    },
)
_SHUT_IN = _policy(_THERE, "shut-in", {"podSelector": {}, "policyTypes": ["Egress"]})
CASES = (
    Case("no policy", (), _ALL),
    Case("default deny at the server", (_DENY,), frozenset()),
    Case("the friend is let in", (_DENY, _ALLOW), frozenset({"friend"})),
    Case("the stranger may not go out", (_SHUT_IN,), _ALL - {"stranger"}),
    Case("policies taken away", (), _ALL),
)


def run_cases(layout: Layout) -> list[tuple[Case, dict[str, bool]]]:
    """Try every case; give who reached the server by its pod's address and by its service's name."""
    api = Api(layout)
    results = []
    with _pods(api, layout):
        server = api.get("Pod", "server", _HERE) or {}
        targets = (str(server["status"]["podIP"]), f"server.{_HERE}.svc")
        for case in CASES:
            for other in (_DENY, _ALLOW, _SHUT_IN):
                if other not in case.policies:
                    api.delete("NetworkPolicy", other["metadata"]["name"], other["metadata"]["namespace"])
            api.apply(*case.policies)
            results.append((case, _settled(layout, case, targets)))
            reached = ", ".join(pod for pod, ok in results[-1][1].items() if ok) or "nobody"
            say(f"  {case.name}: reached by {reached}")
    return results


def run_proof(layout: Layout) -> None:
    """Print the verdict; raise when a cluster that should enforce policies does not."""
    with step("network policies"):
        results = run_cases(layout)
    wrong = [case.name for case, seen in results if {pod for pod, ok in seen.items() if ok} != case.reach]
    cni = json.loads((layout.state / "cluster.json").read_text())["cni"]
    if cni == "bridge":
        say("this cluster (--cni bridge) enforces no policy, as it is meant to" if wrong else "policies are enforced?!")
        return
    if wrong:
        raise LocalClusterError(f"policies are not enforced as they should be: {'; '.join(wrong)}")
    say("proven: every policy is enforced, on the same node and across, by address and by name")


def _settled(layout: Layout, case: Case, targets: tuple[str, str]) -> dict[str, bool]:
    """Try until it is as expected, at most the time policies may take to arrive."""
    end = time.monotonic() + _SETTLE_SECONDS
    while True:
        seen = {probe.pod: _reaches(layout, probe, targets) for probe in _CLIENT_PODS}
        if {pod for pod, ok in seen.items() if ok} == case.reach or time.monotonic() > end:
            return seen
        time.sleep(0.3)


def _reaches(layout: Layout, probe: Probe, targets: tuple[str, str]) -> bool:
    """Tell whether both the address and the name are answered; one of two counts as reached too."""
    port = {targets[0]: "8080", targets[1]: "80"}
    return any("hello" in _exec(layout, probe, "python3", "-c", _CLIENT, target, port[target]) for target in targets)


def _exec(layout: Layout, probe: Probe, *words: str) -> str:
    kubectl = (layout.bin / "kubectl", f"--kubeconfig={layout.admin_kubeconfig}", "--namespace", probe.namespace)
    return run(*kubectl, "exec", probe.pod, "--", *words, check=False, timeout=60)


@contextmanager
def _pods(api: Api, layout: Layout) -> Iterator[None]:
    image = _toolbox(layout)
    here, there = facts.NODES
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server", "namespace": _HERE},
        "spec": {"selector": {"pod": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    for name in (_HERE, _THERE):
        api.apply(namespace(name))
    api.apply(service, _pod(_HERE, "server", here.name, image, _SERVER))
    for probe, node in zip(_CLIENT_PODS, (here, there, there), strict=True):
        api.apply(_pod(probe.namespace, probe.pod, node.name, image, "import signal; signal.pause()"))
    try:
        for probe in (Probe(_HERE, "server"), *_CLIENT_PODS):
            wait_for(f"pod {probe.pod}", lambda probe=probe: _running(api, probe), seconds=60)  # type: ignore[misc]
        yield
    finally:
        for name in (_HERE, _THERE):
            api.delete("Namespace", name)
        _wait_gone(api)


def _wait_gone(api: Api) -> None:
    try:
        wait_for(
            "the probe's namespaces to go",
            lambda: Seen(not any(api.get("Namespace", name) for name in (_HERE, _THERE)), "still there"),
            seconds=60,
        )
    except WaitedInVainError as error:
        say(str(error))


def _running(api: Api, probe: Probe) -> Seen:
    pod = api.get("Pod", probe.pod, probe.namespace) or {}
    phase = pod.get("status", {}).get("phase", "absent")
    return Seen(phase == "Running" and bool(pod["status"].get("podIP")), phase)


def _toolbox(layout: Layout) -> str:
    """Find the image with a Python in it that `up` has loaded."""
    names = sorted(name for name in nodeimages.images(layout, facts.NODES[0]) if "/cloister/toolbox:" in name)
    if not names:
        raise LocalClusterError(f"no toolbox image (base {baseimage.cache_key()}) in the cluster; run `up` first")
    return names[-1]


def _pod(within: str, name: str, node: str, image: str, program: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": within, "labels": {"pod": name}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "Never",
                    "command": ["python3", "-c", program],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
