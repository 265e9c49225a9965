"""What holds for every test: those that change a cluster run against the local one, unless somebody says otherwise."""

import os
import subprocess

import pytest
from hypothesis import HealthCheck, settings

from tests.support.kubectl import KUBECONFIG

# A slow machine is no failure: timings are for bench/, and a property that never ends has pytest's own timeout.
settings.register_profile("cloister", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cloister")

_LOCAL = "https://10.89.0.1:"
_MARKERS = ("cluster", "e2e")
_ALLOWED = "CLOISTER_TEST_ANY_CLUSTER"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run cluster tests anywhere else: they seal Vaults, kill the operator and delete CRDs."""
    chosen = [item for item in session.items if any(item.get_closest_marker(name) for name in _MARKERS)]
    if not chosen or session.config.option.collectonly or os.environ.get(_ALLOWED) == "1":
        return
    server = _server()
    if not server.startswith(_LOCAL):
        raise pytest.UsageError(
            f"{len(chosen)} of these tests change a cluster, and {KUBECONFIG} leads to {server or 'none'}, not to the local "
            f'one at {_LOCAL}…: point KUBECONFIG at it (`make demo`, then `eval "$(make -s env)"`), leave them out with '
            f'-m "not cluster and not e2e", or set {_ALLOWED}=1 if that cluster is yours to break'
        )


def _server() -> str:
    """Return the address that kubectl would talk to, or nothing."""
    command = ["kubectl", "--kubeconfig", KUBECONFIG, "config", "view", "--minify", "-o"]
    try:
        done = subprocess.run(
            [*command, "jsonpath={.clusters[0].cluster.server}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
