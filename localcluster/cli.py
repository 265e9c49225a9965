"""The command line: `python -m localcluster <command>`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from localcluster import commands as acts
from localcluster import ending, facts
from localcluster.cluster import Cluster, Options
from localcluster.console import say
from localcluster.errors import LocalClusterError
from localcluster.files import locked
from localcluster.images import ON_REQUEST
from localcluster.paths import Layout


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a failure is a message and a code, not a traceback."""
    options = _parser().parse_args(arguments)
    layout = Layout.from_environment()
    try:
        _require_root(options)
        layout.make()
        options.act(layout, options)
    except LocalClusterError as error:
        print(f"localcluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlocalcluster: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 0


def _require_root(options: argparse.Namespace) -> None:
    if options.needs_root and os.geteuid():
        raise LocalClusterError("the local cluster makes network namespaces and mounts; run it as root")


def _up(layout: Layout, options: argparse.Namespace) -> None:
    chosen = Options(cni=options.cni, fsync=options.fsync, workers=options.workers)
    with locked(layout.run / "up.lock", "bringing the cluster up or down"):
        Cluster(layout, chosen).up()
    say(f"up: export KUBECONFIG={layout.admin_kubeconfig} PATH={layout.bin}:$PATH")


def _down(layout: Layout, options: argparse.Namespace) -> None:
    with locked(layout.run / "up.lock", "bringing the cluster up or down"):
        ending.down(layout, wipe=options.wipe)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m localcluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    up = commands.add_parser("up", help="bring the cluster up; safe to repeat, and to interrupt")
    up.add_argument("--cni", choices=("cilium", "bridge"), default="cilium", help="bridge enforces no policy")
    up.add_argument("--fsync", action="store_true", help="let etcd survive a power cut, at a price")
    up.set_defaults(act=_up, needs_root=True)
    down = commands.add_parser("down", help="end everything that was started")
    down.add_argument("--wipe", action="store_true", help="delete the cluster's data too")
    down.set_defaults(act=_down, needs_root=True)
    build = commands.add_parser("build", help="compile the programs, and print where they are")
    build.set_defaults(act=acts.build, needs_root=False)
    for command in (up, build):
        command.add_argument("--workers", type=int, default=os.cpu_count() or 2, help="packages compiled at once")
    images = commands.add_parser("images", help="build the images of the Dockerfile, and load them")
    images.add_argument("--json", action="store_true", help="print each target's image name as JSON")
    images.add_argument("--no-load", action="store_true", help="do not put them into the running cluster")
    images.add_argument(
        "--also", choices=sorted(ON_REQUEST), action="append", default=[], help="an image that is built only on request"
    )
    images.set_defaults(act=acts.images, needs_root=True)
    load = commands.add_parser("load-image", help="put docker archives into both nodes")
    load.add_argument("archives", nargs="+", type=Path)
    load.set_defaults(act=acts.load_image, needs_root=True)
    _add_looks(commands)
    return parser


def _add_looks(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    status = commands.add_parser("status", help="show processes and pods")
    status.set_defaults(act=acts.status, needs_root=True)
    logs = commands.add_parser("logs", help="print a component's log; without a name, list them")
    logs.add_argument("component", nargs="?")
    logs.add_argument("-n", "--lines", type=int, default=100)
    logs.add_argument("-f", "--follow", action="store_true")
    logs.set_defaults(act=acts.logs, needs_root=True)
    env = commands.add_parser("env", help="print what `eval` makes kubectl and helm work with")
    env.set_defaults(act=acts.env, needs_root=False)
    people = commands.add_parser("people", help="show the sample people and their password")
    people.add_argument("--json", action="store_true")
    people.set_defaults(act=acts.people, needs_root=True)
    unseal = commands.add_parser("vault-unseal", help="unseal every Vault")
    unseal.set_defaults(act=acts.vault_unseal, needs_root=True)
    seal = commands.add_parser("vault-seal", help="seal one region's Vault, to see what its clients do")
    seal.add_argument("region", choices=facts.REGIONS)
    seal.set_defaults(act=acts.vault_seal, needs_root=True)
    prove = commands.add_parser("prove", help="show that network policies are enforced, or that they are not")
    prove.set_defaults(act=acts.prove_policies, needs_root=True)
