"""Paths of the kinds we touch. A table, not discovery: an operator that knows its kinds needs no requests to find them."""

from typing import NamedTuple

from tenant_operator.api.common import API_VERSION
from tenant_operator.api.kinds import KINDS
from tenant_operator.stack.part import ObjectKey


class Resource(NamedTuple):
    """One kind of the API: where it lives."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def root(self) -> str:
        """The path of its group and version."""
        return f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"

    def collection(self, namespace: str = "") -> str:
        """The path of all its objects, or of those in a namespace."""
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.root}{inside}/{self.plural}"

    def path(self, key: ObjectKey) -> str:
        """The path of one object."""
        return f"{self.collection(key.namespace)}/{key.name}"


CHILDREN: tuple[Resource, ...] = (
    Resource("v1", "Namespace", "namespaces", namespaced=False),
    Resource("v1", "ResourceQuota", "resourcequotas", namespaced=True),
    Resource("v1", "LimitRange", "limitranges", namespaced=True),
    Resource("v1", "ServiceAccount", "serviceaccounts", namespaced=True),
    Resource("v1", "Secret", "secrets", namespaced=True),
    Resource("v1", "ConfigMap", "configmaps", namespaced=True),
    Resource("v1", "Service", "services", namespaced=True),
    Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims", namespaced=True),
    Resource("v1", "Pod", "pods", namespaced=True),
    Resource("apps/v1", "StatefulSet", "statefulsets", namespaced=True),
    Resource("apps/v1", "Deployment", "deployments", namespaced=True),
    Resource("batch/v1", "CronJob", "cronjobs", namespaced=True),
    Resource("batch/v1", "Job", "jobs", namespaced=True),
    Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", namespaced=True),
    Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", namespaced=True),
    Resource("networking.k8s.io/v1", "Ingress", "ingresses", namespaced=True),
    Resource("rbac.authorization.k8s.io/v1", "Role", "roles", namespaced=True),
    Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", namespaced=True),
)
"""Kinds of the tenants' objects: watched with a label selector."""

PLACES: tuple[Resource, ...] = (
    Resource("v1", "Node", "nodes", namespaced=False),
    Resource("v1", "PersistentVolume", "persistentvolumes", namespaced=False),
)
"""Where bytes lie: watched whole, they carry no label of ours."""

OURS: tuple[Resource, ...] = tuple(Resource(API_VERSION, kind.kind, kind.plural, namespaced=False) for kind in KINDS)
"""Our own kinds: kopf feeds these."""

CRD = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
"""Our own, by label: when they come and go, kopf begins anew."""

CERTIFICATE = Resource("cert-manager.io/v1", "Certificate", "certificates", namespaced=True)
"""Watched only where the chart names an issuer: the kind is cert-manager's, which need not be installed."""

WEBHOOKS: tuple[Resource, ...] = tuple(
    Resource("admissionregistration.k8s.io/v1", kind, f"{kind.lower()}s", namespaced=False)
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
)
"""Where the admission webhook is registered: ours are watched, by name."""

_EVENT = Resource("v1", "Event", "events", namespaced=True)
BY_KIND: dict[tuple[str, str], Resource] = {
    (item.api_version, item.kind): item for item in (*CHILDREN, *PLACES, *OURS, *WEBHOOKS, CERTIFICATE, _EVENT)
}


def resource_of(key: ObjectKey) -> Resource:
    """Return the resource of an object's key."""
    return BY_KIND[key.api_version, key.kind]
