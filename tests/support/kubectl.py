"""kubectl against the cluster that the tests run on."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import yaml

KUBECONFIG = os.environ.get("KUBECONFIG", "/var/lib/cloister/localcluster/admin.kubeconfig")
OPERATOR = "system:serviceaccount:cloister-system:cloister-operator"
MASTERS = ("system:masters",)
"""Whoever is in this group has every right; what admission says of the user still holds."""


class KubectlError(AssertionError):
    """What kubectl or the API server said."""


def kubectl(*args: str, stdin: Any = None, user: str | None = None, groups: Sequence[str] = ()) -> str:
    """Run kubectl, as somebody else if asked; an object or a list of them goes in. Raises KubectlError with its error output."""
    command = ["kubectl", "--kubeconfig", KUBECONFIG, *args]
    if user:
        command += ["--as", user, *(f"--as-group={group}" for group in groups)]
    text = yaml.safe_dump_all(stdin) if isinstance(stdin, list) else json.dumps(stdin) if stdin else None
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=90)
    if done.returncode:
        raise KubectlError(done.stderr or done.stdout)
    return done.stdout


def exists(*args: str) -> bool:
    """Tell whether `kubectl get ARGS` finds something."""
    try:
        kubectl("get", *args)
    except KubectlError as error:
        if "NotFound" in str(error):
            return False
        raise
    return True


def get(*args: str) -> dict[str, Any]:
    """Return what `kubectl get ARGS -o json` finds. Raises KubectlError when it is not there."""
    found: dict[str, Any] = json.loads(kubectl("get", *args, "-o", "json"))
    return found


@contextmanager
def forwarded(namespace: str, target: str, port: int) -> Iterator[int]:
    """Have a port of this machine that leads to a pod or Service, through the API server and the kubelet."""
    command = ["kubectl", "--kubeconfig", KUBECONFIG, "-n", namespace, "port-forward", target, f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            match = re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", line)
            if match is None:
                process.terminate()
                raise KubectlError(
                    f"no way to {target} in {namespace}: {process.stderr.read() if process.stderr else line}"
                )
            yield int(match[1])
        finally:
            process.terminate()
