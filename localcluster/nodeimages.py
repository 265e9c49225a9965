"""The images in the nodes' container stores."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from localcluster import facts
from localcluster.console import step
from localcluster.errors import LocalClusterError
from localcluster.facts import Node
from localcluster.images import Image
from localcluster.ocilayout import write_archive
from localcluster.paths import Layout
from localcluster.shell import run


def images(layout: Layout, node: Node) -> set[str]:
    """List the images in a node's container store."""
    return set(_ctr(layout, node, "images", "ls", "-q").split())


def load_archive(layout: Layout, node: Node, archive: Path) -> None:
    """Put a docker archive into a node's container store."""
    _ctr(layout, node, "images", "import", str(archive))


def load_image(layout: Layout, node: Node, image: Image) -> None:
    """Put a built image into a node's container store: only the layers it lacks."""
    present = set(_ctr(layout, node, "content", "ls", "-q").split())
    command = [
        "ctr",
        "--address",
        str(layout.containerd_socket(node)),
        "--namespace",
        "k8s.io",
        "images",
        "import",
        "-",
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if process.stdin is None:
        raise LocalClusterError("ctr has no standard input")
    with suppress(BrokenPipeError), process.stdin:
        write_archive(process.stdin, image.stored, image.name, present)
    process.stdin = None
    said = process.communicate(timeout=600)[0].decode(errors="replace")
    if process.returncode:
        raise LocalClusterError(f"{image.name} could not be put into {node.name}: {said.strip()[-1000:]}")


def load_missing(layout: Layout, wanted: dict[str, Image]) -> None:
    """Put images into every node that lacks them, both nodes at once."""

    def fill(node: Node) -> None:
        present = images(layout, node)
        lacking = [image for image in wanted.values() if image.name not in present]
        if not lacking:
            return
        with step(f"images into {node.name}: {' '.join(image.target for image in lacking)}"):
            for image in lacking:
                load_image(layout, node, image)

    with ThreadPoolExecutor(len(facts.NODES)) as pool:
        # list() brings an error of a thread to the front.
        list(pool.map(fill, facts.NODES))


def _ctr(layout: Layout, node: Node, *words: str) -> str:
    return run("ctr", "--address", layout.containerd_socket(node), "--namespace", "k8s.io", *words)
