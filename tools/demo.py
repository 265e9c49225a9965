"""`make demo`: from a bare machine to two running tenants, with what to look at next."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from tools.console import ROOT, StepError, fail, run, say, step
from tools.install import install, local_values

EXAMPLES = ("regions", "classes", "acme-pharma", "globex-bio")
TENANTS = ("acme-pharma", "globex-bio")


def environment() -> dict[str, str]:
    """Return the environment that points kubectl, helm and cloister at the local cluster."""
    env = dict(os.environ)
    for line in run([sys.executable, "-m", "localcluster", "env"], quiet=True).splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        env[name] = value.strip("\"'").replace("$PATH", os.environ["PATH"]).replace("${PATH}", os.environ["PATH"])
    env["PATH"] = f"{ROOT / '.venv' / 'bin'}:{env['PATH']}"
    return env


def local_cluster(also: Sequence[str] = ()) -> dict[str, str]:
    """Bring up the local cluster and install Cloister in it, with the images on request that `also` names.

    Return the environment that points at it.
    """
    more = [f"--also={image}" for image in also]
    with step("the local cluster: Kubernetes, two regions, Vault, object storage, a directory"):
        run([sys.executable, "-m", "localcluster", "up"])
    with step("images of the operator, the audit service, the app and PostgreSQL"):
        run([sys.executable, "-m", "localcluster", "images", *more])
        said = run([sys.executable, "-m", "localcluster", "images", "--json", *more], quiet=True)
        images = json.loads(said[said.index("{") :])
    env = environment()
    with step("Cloister, by Helm"):
        install(local_values(images), env)
    return env


def own_cluster() -> dict[str, str]:
    """Install Cloister in the cluster that KUBECONFIG names, with the values that VALUES names."""
    env = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
    if not env.get("VALUES"):
        raise StepError(
            "VALUES must name a file with the chart's values for your cluster (see charts/cloister/values.yaml)"
        )
    with step(f"Cloister, by Helm, in the cluster of {env.get('KUBECONFIG', '~/.kube/config')}"):
        install(yaml.safe_load(Path(env["VALUES"]).read_text()), env)
    return env


def onboard(env: dict[str, str]) -> None:
    """Apply the examples and wait until both tenants are Ready."""
    with step("two regions, two classes, two tenants"):
        for name in EXAMPLES:
            run(["kubectl", "apply", "--server-side", "-f", f"examples/{name}.yaml"], env=env)
    with step("both tenants Ready"):
        for name in TENANTS:
            run(["cloister", "wait", name, "--timeout", "300"], env=env)


def tell(env: dict[str, str], *, local: bool) -> None:
    """Show what there is and what to try."""
    say()
    run(["kubectl", "get", "tenants"], env=env)
    say()
    if not local:
        return
    run([sys.executable, "-m", "localcluster", "people"], env=env)
    say(
        """
  The apps     https://acme-pharma.cloister.localhost:8443   https://globex-bio.cloister.localhost:8443
               (certificates are the installation's own; the browser will ask)

  Try          eval "$(make -s env)"
               cloister describe acme-pharma          what holds, what was observed, where its bytes lie
               cloister audit verify acme-pharma      every entry, proven on this machine
               kubectl -n tenant-acme-pharma delete networkpolicy default-deny    and see it come back
               kubectl delete tenant globex-bio       gone, and retained: cloister tenants --retained
               cloister offboard globex-bio           export, two approvals, destruction, certificate
               make down                              ends all of this
"""
    )


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--own-cluster", action="store_true", help="use the cluster that KUBECONFIG names, with VALUES")
    parser.add_argument("--install-only", action="store_true", help="onboard nobody")
    parser.add_argument("--also", action="append", default=[], metavar="IMAGE", help="an image on request: pdfa-judge")
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        env = own_cluster() if arguments.own_cluster else local_cluster(arguments.also)
        if arguments.install_only:
            return 0
        onboard(env)
        tell(env, local=not arguments.own_cluster)
    except StepError as error:
        return fail(error)
    say(f"Ready after {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
