"""Residency: everything that holds the tenant's bytes is where its Region says, observed, not assumed.

Pods are pinned by required node affinity (`stack.render`), volumes by the Region's StorageClass, and an admission policy
in the chart refuses an unpinned pod even from an administrator. This part looks at what actually happened: the labels of
the node each pod runs on, the node affinity of each volume.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.api.tenant import InventoryItem
from tenant_operator.stack.part import Context, Desired, Evidence, Finding, Manifest, Observed, Removal

NAME = "residency"


def desired(ctx: Context) -> Sequence[Desired]:  # noqa: ARG001 - one of the five questions
    """Return nothing: the pins are in every other part's pods and volumes, the guard is in the chart."""
    return []


def _in_region(ctx: Context, labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in ctx.region.node_selector.items())


def _volume_terms(volume: Manifest) -> list[dict[str, set[str]]]:
    terms = volume["spec"].get("nodeAffinity", {}).get("required", {}).get("nodeSelectorTerms", [])
    return [{e["key"]: set(e.get("values", ())) for e in term.get("matchExpressions", ())} for term in terms]


def volume_labels(volume: Manifest, nodes: Mapping[str, Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Return the labels of every node a volume can be used on; empty when its place cannot be told."""
    terms = _volume_terms(volume)
    return [
        labels
        for labels in nodes.values()
        if any(term and all(labels.get(key) in values for key, values in term.items()) for term in terms)
    ]


def volume_of(claim: Manifest, seen: Observed) -> Manifest | None:
    """Return the volume a claim is bound to."""
    return seen.volumes.get(claim.get("spec", {}).get("volumeName", ""))


def region_of(labels: Mapping[str, str]) -> str:
    """Return the region a node's labels name."""
    return labels.get("topology.kubernetes.io/region", "")


def _strays(ctx: Context, seen: Observed) -> Iterator[str]:
    for key, pod in seen.other.items():
        node = pod.get("spec", {}).get("nodeName") if key.kind == "Pod" else None
        if node and not _in_region(ctx, seen.nodes.get(node, {})):
            yield f"pod {key.name} runs on node {node}"
    for key, claim in seen.objects.items():
        volume = volume_of(claim, seen) if key.kind == "PersistentVolumeClaim" else None
        if volume is None:
            continue
        places = volume_labels(volume, seen.nodes)
        if not places:
            yield f"where volume {volume['metadata']['name']} lies cannot be told from its node affinity"
        elif not all(_in_region(ctx, labels) for labels in places):
            yield f"volume {volume['metadata']['name']} can be used outside the region"


def checks(ctx: Context, seen: Observed) -> Sequence[Finding]:
    """Return ResidencyVerified."""
    kind = ConditionType.RESIDENCY_VERIFIED
    strays = list(_strays(ctx, seen))
    if strays:
        return [Finding(kind, "False", Reason.OUT_OF_REGION, f"outside {ctx.spec.region}: {'; '.join(strays)}")]
    pods = [pod for key, pod in seen.other.items() if key.kind == "Pod" and pod.get("spec", {}).get("nodeName")]
    claims = [claim for key, claim in seen.objects.items() if key.kind == "PersistentVolumeClaim"]
    bound = [claim for claim in claims if volume_of(claim, seen)]
    if not bound:
        return [Finding(kind, "Unknown", Reason.NOT_OBSERVED, "no volume is bound yet, so its place was not seen")]
    message = (
        f"{len(pods)} pods and {len(bound)} volumes seen in {ctx.spec.region}; bucket at"
        f" {ctx.region.object_store.endpoint} and keys at {ctx.region.vault.address} as the Region declares them"
    )
    return [Finding(kind, "True", Reason.IN_REGION, message)]


def teardown(ctx: Context) -> Sequence[Removal]:  # noqa: ARG001 - one of the five questions
    """Return nothing of its own."""
    return []


def inventory(ctx: Context, seen: Observed) -> Sequence[InventoryItem]:  # noqa: ARG001 - one of the five questions
    """Return nothing of its own: each part lists its own bytes."""
    return []


def proof(ctx: Context, seen: Observed) -> Sequence[Evidence]:
    """Return for each running pod that its node's labels are the Region's."""
    wanted: dict[str, Any] = dict(sorted(ctx.region.node_selector.items()))
    found = []
    for key, pod in sorted(seen.other.items()):
        node = pod.get("spec", {}).get("nodeName") if key.kind == "Pod" else None
        if node:
            labels = seen.nodes.get(node, {})
            observed = {label: labels.get(label, "") for label in wanted}
            found.append(Evidence(f"node of pod {key.name}", str(wanted), str(observed)))
    return found
