"""The commands beside up and down: looking, and small acts on a running cluster."""

from __future__ import annotations

import argparse
import json
import os
import time

from rich.console import Console
from rich.table import Table

from localcluster import binaries, facts, leftovers, nodeimages, prove
from localcluster.api import Api, ApiError
from localcluster.console import say
from localcluster.credentials import API_URL
from localcluster.errors import LocalClusterError
from localcluster.images import Images
from localcluster.paths import Layout
from localcluster.pki import Authority
from localcluster.processes import Processes, is_ours, observe
from localcluster.services import directory
from localcluster.services.common import Surroundings
from localcluster.services.vault import Vault, open_all


def status(layout: Layout, _options: argparse.Namespace) -> None:
    """Show what runs; end with an error when something that should does not."""
    console = Console(width=None if os.isatty(1) else 160)
    records = Processes(layout).records()
    table = Table("process", "pid", "state", "log", title="processes", title_justify="left")
    dead = []
    for record in records:
        alive = is_ours(record, observe(record.pid))
        dead += [] if alive else [record.name]
        table.add_row(record.name, str(record.pid), "running" if alive else "[red]ended", str(layout.log(record.name)))
    console.print(table)
    if not records:
        left = leftovers.remaining(layout)
        raise LocalClusterError("the cluster is down" + ("; left over: " + ", ".join(left) if left else ""))
    if dead:
        raise LocalClusterError(f"ended by themselves: {', '.join(dead)}; `up` starts them again")
    _show_pods(console, Api(layout))


def _show_pods(console: Console, api: Api) -> None:
    try:
        pods = api.items("Pod")
    except ApiError as error:
        raise LocalClusterError(f"the API server at {API_URL}: {error}") from error
    table = Table("namespace", "pod", "node", "phase", "ready", title=f"pods ({API_URL})", title_justify="left")
    for pod in pods:
        containers = pod.get("status", {}).get("containerStatuses", [])
        ready = f"{sum(item['ready'] for item in containers)}/{len(pod['spec']['containers'])}"
        where, phase = pod["spec"].get("nodeName", "-"), pod.get("status", {}).get("phase", "?")
        table.add_row(pod["metadata"]["namespace"], pod["metadata"]["name"], where, phase, ready)
    console.print(table)


def logs(layout: Layout, options: argparse.Namespace) -> None:
    """Print a component's log, or name the components that have one."""
    known = sorted(path.stem for path in layout.logs.glob("*.log"))
    if not options.component:
        print("\n".join(known))
        return
    if options.component not in known:
        raise LocalClusterError(f"no log of {options.component}; there are: {', '.join(known)}")
    with layout.log(options.component).open(errors="replace") as handle:
        lines = handle.readlines()
        print("".join(lines[-options.lines :]), end="")
        while options.follow:
            line = handle.readline()
            print(line, end="", flush=True) if line else time.sleep(0.3)


def build(layout: Layout, options: argparse.Namespace) -> None:
    """Compile the programs, and print where they are."""
    for name, place in binaries.build_all(layout, options.workers).items():
        print(f"{name}\t{place}")


def images(layout: Layout, options: argparse.Namespace) -> None:
    """Build the images of the repository's Dockerfile; put them into a running cluster."""
    built = Images(layout, {}).product(options.also)
    if not built:
        say("the repository has no Dockerfile yet: nothing to build")
    running = Processes(layout).alive("kube-apiserver") is not None
    if running and not options.no_load:
        nodeimages.load_missing(layout, built)
    if options.json:
        print(json.dumps({target: image.name for target, image in built.items()}, indent=2))
    else:
        for image in built.values():
            print(image.name)


def load_image(layout: Layout, options: argparse.Namespace) -> None:
    """Put docker archives into both nodes."""
    for archive in options.archives:
        if not archive.exists():
            raise LocalClusterError(f"{archive} does not exist")
        for node in facts.NODES:
            nodeimages.load_archive(layout, node, archive.absolute())
            say(f"{archive} is in {node.name}")


def env(layout: Layout, _options: argparse.Namespace) -> None:
    """Print what a shell evaluates to have kubectl and helm at hand."""
    print(f'export KUBECONFIG="{layout.admin_kubeconfig}"')
    print(f'export PATH="{layout.bin}:$PATH"')


def people(layout: Layout, options: argparse.Namespace) -> None:
    """Show the sample people and how they sign in."""
    around = Surroundings(layout, Api(layout), Authority(layout.pki, "services"), {})
    word = directory.password(around)
    rows = [
        {"tenant": person.tenant, "user": person.uid, "name": person.name, "group": person.group, "password": word}
        for person in directory.PEOPLE
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("tenant", "user", "name", "group", "password")
    for row in rows:
        table.add_row(*row.values())
    Console(width=None if os.isatty(1) else 120).print(table)


def vault_unseal(layout: Layout, _options: argparse.Namespace) -> None:
    """Open every Vault."""
    open_all(layout, Api(layout))
    say("every Vault is unsealed")


def vault_seal(layout: Layout, options: argparse.Namespace) -> None:
    """Seal one region's Vault, to see what its clients do."""
    Vault(layout, Api(layout), options.region).seal()
    say(f"vault-{options.region} is sealed; `vault-unseal` opens it")


def prove_policies(layout: Layout, _options: argparse.Namespace) -> None:
    """Show on the running cluster whether network policies are enforced."""
    prove.run_proof(layout)
