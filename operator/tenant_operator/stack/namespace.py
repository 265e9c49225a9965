"""The namespace and what bounds it: Pod Security, quota, limits, service accounts without tokens, least Roles."""

from collections.abc import Sequence

from tenant_operator.api.names import ANNOTATION_REGION_SELECTOR, ANNOTATION_SPEC, LABEL_REGION
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.api.tenant import InventoryItem
from tenant_operator.stack.part import Context, Desired, Evidence, Finding, Manifest, ObjectKey, Observed, Removal
from tenant_operator.stack.render import meta, obj
from tenant_operator.stack.text import canonical

NAME = "namespace"

SERVICE_ACCOUNTS = ("app", "database", "backup", "export", "isolation-probe", "auditor")
"""One identity a purpose; Vault roles and audit entitlements are bound to them by name."""

DEFAULT_REQUEST = {"cpu": "10m", "memory": "32Mi"}
"""What a container that names nothing gets."""
DEFAULT_LIMIT = {"cpu": "1", "memory": "512Mi"}


def region_selector(ctx: Context) -> str:
    """Return the Region's node labels as `k=v,k=v`, the form the admission policy reads."""
    return ",".join(f"{key}={value}" for key, value in sorted(ctx.region.node_selector.items()))


def _namespace(ctx: Context) -> Manifest:
    levels = {
        f"pod-security.kubernetes.io/{mode}{suffix}": value
        for mode in ("enforce", "audit", "warn")
        for suffix, value in (("", "restricted"), ("-version", "latest"))
    }
    return obj(
        "v1",
        "Namespace",
        {
            "name": ctx.namespace,
            "labels": {**ctx.names.labels(NAME), LABEL_REGION: ctx.spec.region, **levels},
            "annotations": {
                ANNOTATION_REGION_SELECTOR: region_selector(ctx),
                # The ledger can be rebuilt from here when the CRDs were deleted (DESIGN §2). No secret is in a spec.
                ANNOTATION_SPEC: canonical(ctx.spec.manifest()),
            },
        },
    )


def _quota(ctx: Context) -> Manifest:
    quota = ctx.klass.quota
    hard = {
        "limits.cpu": quota.cpu,
        "limits.memory": quota.memory,
        "pods": str(quota.pods),
        "requests.storage": quota.storage,
        "services.nodeports": "0",
        "services.loadbalancers": "0",
    }
    return obj("v1", "ResourceQuota", meta(ctx, NAME, "tenant"), spec={"hard": hard})


def _limits(ctx: Context) -> Manifest:
    limit = {"type": "Container", "default": DEFAULT_LIMIT, "defaultRequest": DEFAULT_REQUEST}
    return obj("v1", "LimitRange", meta(ctx, NAME, "defaults"), spec={"limits": [limit]})


def _auditor(ctx: Context) -> list[Manifest]:
    """Return what the tenant's auditor may see of the cluster: the state of its own workloads, no secret, no change."""
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["batch"], "resources": ["cronjobs", "jobs"], "verbs": ["get", "list", "watch"]},
    ]
    binding = obj(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        meta(ctx, NAME, "auditor"),
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "auditor"},
        subjects=[{"kind": "ServiceAccount", "name": "auditor", "namespace": ctx.namespace}],
    )
    return [obj("rbac.authorization.k8s.io/v1", "Role", meta(ctx, NAME, "auditor"), rules=rules), binding]


def desired(ctx: Context) -> Sequence[Desired]:
    """Return the namespace in wave 0 and its bounds in wave 1, before anything can run in it."""
    accounts = [
        obj("v1", "ServiceAccount", meta(ctx, NAME, name, name), automountServiceAccountToken=False)
        for name in SERVICE_ACCOUNTS
    ]
    role, binding = _auditor(ctx)
    inside = [_quota(ctx), _limits(ctx), *accounts, role]
    first = [Desired(_namespace(ctx), wave=0), *(Desired(manifest, wave=1) for manifest in inside)]
    # The API server lets one bind only a Role that it can see: that what it grants is not more than the binder has.
    return [*first, Desired(binding, wave=2)]


def checks(ctx: Context, seen: Observed) -> Sequence[Finding]:
    """Return NamespaceReady."""
    kind = ConditionType.NAMESPACE_READY
    live = seen.objects.get(ObjectKey("v1", "Namespace", "", ctx.namespace))
    if live is None:
        return [Finding(kind, "False", Reason.MISSING, f"namespace {ctx.namespace} does not exist yet")]
    if live["metadata"].get("deletionTimestamp"):
        return [Finding(kind, "False", Reason.MISSING, f"namespace {ctx.namespace} is being deleted")]
    missing = [str(item.key) for item in desired(ctx) if item.key not in seen.objects]
    if missing:
        return [Finding(kind, "False", Reason.PROGRESSING, f"not there yet: {', '.join(missing)}")]
    message = f"namespace {ctx.namespace}: Pod Security restricted, quota, limits and {len(SERVICE_ACCOUNTS)} accounts"
    return [Finding(kind, "True", Reason.APPLIED, message)]


def teardown(ctx: Context) -> Sequence[Removal]:
    """Return the namespace, which goes last."""
    key = ObjectKey("v1", "Namespace", "", ctx.namespace)
    return [Removal(key, "the list of namespaces does not hold it")]


def inventory(ctx: Context, seen: Observed) -> Sequence[InventoryItem]:  # noqa: ARG001 - one of the five questions
    """Return where the tenant's Secrets lie: in the cluster's own store."""
    return [
        InventoryItem(
            location=f"secrets of namespace {ctx.namespace}",
            kind="Secret",
            region="",
            encrypted_by="the cluster's encryption at rest, as its API server is configured",
        )
    ]


def proof(ctx: Context, seen: Observed) -> Sequence[Evidence]:
    """Return the namespace's enforced Pod Security level and its id."""
    live = seen.objects.get(ObjectKey("v1", "Namespace", "", ctx.namespace)) or {"metadata": {}}
    labels = live["metadata"].get("labels", {})
    level = labels.get("pod-security.kubernetes.io/enforce", "")
    return [
        Evidence("Pod Security level enforced", "restricted", level),
        Evidence("tenant id on the namespace", ctx.names.id, labels.get("cloister.dev/tenant-id", "")),
    ]
