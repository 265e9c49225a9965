from localcluster.cluster import Cluster, Options
from localcluster.facts import NODES, POD_CIDR, SERVICE_CIDR, UNDERLAY
from localcluster.paths import Layout

EXPECTED = [
    "packages",
    "binaries",
    "leftovers",
    "choices",
    "certificates",
    "wires and nodes",
    "control plane",
    "container runtimes and kubelets",
    "pod network (cilium)",
    "nodes ready",
    "cluster DNS",
    "storage",
    "vaults, object stores, directory",
    "vaults unsealed",
    "relay",
    "every service answers",
]


def layout(tmp_path):
    return Layout(cache=tmp_path / "cache", state=tmp_path / "state", run=tmp_path / "run")


def test_the_plan_is_what_it_says_and_planning_does_nothing(tmp_path):
    names = [item.name for item in Cluster(layout(tmp_path), Options()).plan()]
    assert names == EXPECTED
    assert list(tmp_path.iterdir()) == []


def test_leftovers_are_cleaned_before_anything_is_started(tmp_path):
    names = [item.name for item in Cluster(layout(tmp_path), Options(cni="bridge")).plan()]
    assert names.index("leftovers") < names.index("wires and nodes")
    assert "pod network (bridge)" in names


def test_the_networks_do_not_overlap_and_hold_the_nodes():
    ranges = (UNDERLAY, POD_CIDR, SERVICE_CIDR)
    assert not any(one.overlaps(other) for one in ranges for other in ranges if one is not other)
    assert all(node.address in UNDERLAY for node in NODES)


def test_the_two_nodes_are_in_different_regions():
    assert len({node.region for node in NODES}) == len(NODES)
