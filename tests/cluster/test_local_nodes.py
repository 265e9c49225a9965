"""The local cluster's two nodes share a machine, and nothing of theirs that a node must own."""

from pathlib import Path

import pytest

from localcluster.facts import NODES
from localcluster.nodes import kubelet_name
from localcluster.paths import Layout
from localcluster.processes import Processes

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("demo")]

# Fixed in the kubelet (k8s.io/kubelet, deviceplugin/v1beta1/constants.go): its --root-dir does not move it.
SOCKET = "var/lib/kubelet/device-plugins/kubelet.sock"


def test_each_kubelet_has_a_socket_of_its_own_for_device_plugins():
    processes = Processes(Layout.from_environment())
    places = set()
    for node in NODES:
        seen = Path(f"/proc/{processes.require(kubelet_name(node)).pid}/root", SOCKET).stat()
        places.add((seen.st_dev, seen.st_ino))
    assert len(places) == len(NODES), "one kubelet took the other's socket"
