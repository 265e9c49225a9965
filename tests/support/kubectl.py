"""kubectl against the cluster that the tests run on."""

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any

import yaml

KUBECONFIG = os.environ.get("KUBECONFIG", "/var/lib/cloister/localcluster/admin.kubeconfig")
OPERATOR = "system:serviceaccount:cloister-system:cloister-operator"


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
