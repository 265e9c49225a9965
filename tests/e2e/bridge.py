"""A cluster whose network enforces nothing, and a tenant that says so: `python -m tests.e2e.bridge`.

A cluster keeps its pod network for life, so this makes one of its own beside the one in use, with a state and a run folder of
its own. Both want the same addresses: the one in use is ended first, its data kept (`make demo` takes it up again), and the
other is ended and forgotten at the end, whatever happened.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from tools.console import StepError, fail, run, say, step
from tools.demo import environment
from tools.install import install, local_values

TENANT = "acme-pharma"
EXAMPLES = ("regions", "classes", TENANT)
ITS_OWN = {"CLOISTER_STATE": "/var/lib/cloister/bridge", "CLOISTER_RUN": "/run/cloister-bridge-localcluster"}
KIND, WANTED = "IsolationProven", ("False", "PolicyNotEnforced")
SECONDS = 180


def localcluster(*words: str, quiet: bool = False) -> str:
    """Run a command of the local cluster that the environment names."""
    return run([sys.executable, "-m", "localcluster", *words], quiet=quiet)


def bring_up() -> dict[str, str]:
    """Bring up the cluster and install Cloister in it; return the environment that points there."""
    with step("a local cluster with --cni bridge"):
        localcluster("up", "--cni", "bridge")
    with step("images"):
        localcluster("images")
        said = localcluster("images", "--json", quiet=True)
    env = environment()
    if not env["KUBECONFIG"].startswith(ITS_OWN["CLOISTER_STATE"]):
        raise StepError(f"KUBECONFIG is {env['KUBECONFIG']}, not that of the cluster just made")
    with step("Cloister, by Helm"):
        install(local_values(json.loads(said[said.index("{") :])), env)
    return env


def onboard(env: Mapping[str, str]) -> None:
    """Apply the examples."""
    with step(f"two regions, two classes, {TENANT}"):
        for name in EXAMPLES:
            run(["kubectl", "apply", "--server-side", "-f", f"examples/{name}.yaml"], env=env)


def verdict(env: Mapping[str, str]) -> dict[str, Any]:
    """Return what the tenant says of its isolation, once a probe has reported. Raises StepError after the time is up."""
    with step(f"{KIND} of {TENANT}"):
        deadline = time.monotonic() + SECONDS
        while True:
            found = condition(env)
            if found.get("status") in {"True", "False"}:
                return found
            if time.monotonic() > deadline:
                run(["cloister", "describe", TENANT], env=env)
                raise StepError(f"{KIND} of {TENANT} is still {json.dumps(found)} after {SECONDS} s")
            time.sleep(2)


def condition(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the condition as it is, or nothing while there is none."""
    said = run(["kubectl", "get", "tenant", TENANT, "-o", "json"], env=env, quiet=True)
    found = (json.loads(said).get("status") or {}).get("conditions", [])
    return next((item for item in found if item["type"] == KIND), {})


def look() -> dict[str, Any]:
    """Make the cluster, onboard the tenant, return what it says, and end the cluster whatever happened."""
    with step("ending the local cluster in use; its data stays"):
        localcluster("down")
    os.environ.update(ITS_OWN)
    localcluster("down", "--wipe")  # what a killed run left
    try:
        env = bring_up()
        onboard(env)
        return verdict(env)
    finally:
        localcluster("down", "--wipe")


def main() -> int:
    """Return 0 when the tenant says that policies are not enforced, and 1 when it does not or nothing could be seen."""
    started = time.monotonic()
    try:
        found = look()
    except StepError as error:
        return fail(error)
    say(f"{KIND}={found['status']}, reason {found['reason']}: {found['message']}")
    if (found["status"], found["reason"]) != WANTED:
        return fail(StepError(f"on a network that enforces nothing {KIND} must be {' with reason '.join(WANTED)}"))
    say(
        f"Noticed after {time.monotonic() - started:.0f} s. `make demo` takes the cluster up again that was in use before."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
