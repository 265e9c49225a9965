"""The command line: `python -m localcluster <command>`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from localcluster import binaries, cluster, facts, nodes
from localcluster.cluster import Cluster, Options
from localcluster.console import say
from localcluster.errors import LocalClusterError
from localcluster.files import locked
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
        cluster.down(layout, wipe=options.wipe)


def _build(layout: Layout, options: argparse.Namespace) -> None:
    for name, place in binaries.build_all(layout, options.workers).items():
        print(f"{name}\t{place}")


def _env(layout: Layout, _options: argparse.Namespace) -> None:
    print(f'export KUBECONFIG="{layout.admin_kubeconfig}"')
    print(f'export PATH="{layout.bin}:$PATH"')


def _load_image(layout: Layout, options: argparse.Namespace) -> None:
    for archive in options.archives:
        for node in facts.NODES:
            nodes.load_image(layout, node, str(archive.absolute()))
            say(f"{archive} is in {node.name}")


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
    build.set_defaults(act=_build, needs_root=False)
    for command in (up, build):
        command.add_argument("--workers", type=int, default=os.cpu_count() or 2, help="packages compiled at once")
    load = commands.add_parser("load-image", help="put docker archives into both nodes")
    load.add_argument("archives", nargs="+", type=Path)
    load.set_defaults(act=_load_image, needs_root=True)
    env = commands.add_parser("env", help="print what `eval` makes kubectl and helm work with")
    env.set_defaults(act=_env, needs_root=False)
    return parser
