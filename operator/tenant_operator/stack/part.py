"""The unit of growth: a part of the stack, and the five questions each one answers, purely.

`desired`   objects and outside actions, each with the wave it belongs to and the gate it waits for;
`checks`    what was observed → findings (condition, status, reason, message);
`teardown`  what has to go when the tenant is destroyed (the walk over the parts is reversed);
`inventory` where the part's bytes lie, in which region, encrypted by what;
`proof`     what shows that the part is installed as specified.

Parts never do I/O and never look at a clock: `Context.now` is given to them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from tenant_operator.api.common import ConditionStatus
from tenant_operator.api.names import LABEL_COMPONENT, Names
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.api.region import RegionSpec
from tenant_operator.api.tenant import InventoryItem, TenantSpec
from tenant_operator.api.tenant_class import TenantClassSpec
from tenant_operator.stack.derive import Deriver

Manifest = dict[str, Any]


class ObjectKey(NamedTuple):
    """Where an object is: `namespace` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "ObjectKey":
        """Return the key of a manifest."""
        meta = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], meta.get("namespace", ""), meta["name"])

    def __str__(self) -> str:
        """Return `Kind namespace/name`, as people write it."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class ExternalKey(NamedTuple):
    """A thing outside Kubernetes: which system, which kind there, which name."""

    system: Literal["vault", "postgres", "objectstore", "audit"]
    kind: str
    name: str

    def __str__(self) -> str:
        """Return `system kind name`."""
        return f"{self.system} {self.kind} {self.name}"


@dataclass(frozen=True)
class Images:
    """Image references of everything the stack runs."""

    app: str
    postgres: str
    jobs: str
    pdfa_judge: str = ""
    """veraPDF as a service (the Dockerfile's target pdfa-judge); empty where the installation names none."""


@dataclass(frozen=True)
class Platform:
    """What the operator knows about its own installation."""

    images: Images
    version: str
    operator_namespace: str = "cloister-system"
    audit_namespace: str = "cloister-audit"
    audit_url: str = "https://audit.cloister-audit.svc:8443"
    cluster_domain: str = "cluster.local"
    dns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"k8s-app": "kube-dns"}))
    image_pull_policy: str = "IfNotPresent"
    ingress_class: str | None = None
    cert_manager_issuer: str | None = None
    extra_ingress_cidrs: tuple[str, ...] = ()
    vault_ca: str = ""
    object_store_ca: str = ""


@dataclass(frozen=True)
class Context:
    """Everything a part may use to say what it wants. Same context, same answer, byte for byte."""

    names: Names
    generation: int
    spec: TenantSpec
    region: RegionSpec
    klass: TenantClassSpec
    platform: Platform
    derive: Deriver
    now: datetime
    running: bool = True
    bind_secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The tenant's directory bind secret (bindDN, password, CA), decoded, as found in the operator's namespace."""
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """The other Secrets that the Tenant names, decoded, by name."""
    workflow: str = ""
    """The text of the tenant's own workflow; empty when it uses the app's."""

    @property
    def namespace(self) -> str:
        """The tenant's namespace."""
        return self.names.namespace


Gate = Callable[["Observed"], bool]


@dataclass(frozen=True)
class Desired:
    """A Kubernetes object that should exist as written. Applied with one field manager, never by force."""

    manifest: Manifest
    wave: int
    gate: Gate | None = None
    create_only: bool = False
    """Made once and then left alone (Jobs, PVCs' immutable parts): only its absence is drift."""

    @property
    def key(self) -> ObjectKey:
        """The object's key."""
        return ObjectKey.of(self.manifest)


@dataclass(frozen=True)
class External:
    """A thing outside Kubernetes that should exist with this specification (compared by its client's `observe`)."""

    key: ExternalKey
    spec: Mapping[str, Any]
    wave: int
    gate: Gate | None = None
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values the client needs and nobody may log: passwords, for instance."""


Resource = Desired | External


@dataclass(frozen=True)
class Trouble:
    """Why something outside could not be observed, and whether to try again."""

    reason: Reason
    message: str
    retryable: bool = True


@dataclass(frozen=True)
class Observed:
    """What was seen: live objects by key, outside things by key (None: seen to be absent; Trouble: not seen)."""

    objects: Mapping[ObjectKey, Manifest] = field(default_factory=dict)
    external: Mapping[ExternalKey, Mapping[str, Any] | Trouble | None] = field(default_factory=dict)
    nodes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels by node name, for residency."""
    volumes: Mapping[str, Manifest] = field(default_factory=dict)
    """PersistentVolumes by name."""
    other: Mapping[ObjectKey, Manifest] = field(default_factory=dict)
    """Objects in the tenant's namespace that we watch but did not render: pods, jobs made by cron jobs."""

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return a live object by kind and name, or None."""
        for source in (self.objects, self.other):
            for key, manifest in source.items():
                if key.kind == kind and key.namespace == namespace and key.name == name:
                    return manifest
        return None

    def pods(self, component: str) -> list[Manifest]:
        """Return the pods of a component, newest first."""
        found = [
            manifest
            for key, manifest in self.other.items()
            if key.kind == "Pod" and manifest["metadata"].get("labels", {}).get(LABEL_COMPONENT) == component
        ]
        return sorted(found, key=lambda pod: pod["metadata"].get("creationTimestamp", ""), reverse=True)


@dataclass(frozen=True)
class Finding:
    """What a part says about one condition. The worst finding of a condition wins (False, then Unknown, then True)."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str
    stalled: bool = False
    """No use in trying again: a person has to change something."""


@dataclass(frozen=True)
class Removal:
    """One thing that goes at destruction, and how its absence is proved afterwards."""

    key: ObjectKey | ExternalKey
    proof: str
    """In words, for the certificate: `list of buckets does not hold it`."""


@dataclass(frozen=True)
class Evidence:
    """One line of an installation record: what was specified, what was observed, and whether they agree."""

    claim: str
    expected: str
    observed: str

    @property
    def holds(self) -> bool:
        """Tell whether the observation agrees with the specification."""
        return self.expected == self.observed


class Part(Protocol):
    """The five questions. A part is a module with these five functions and a NAME."""

    NAME: str

    def desired(self, ctx: Context) -> Sequence[Resource]:
        """Return what should exist, in wave order."""

    def checks(self, ctx: Context, seen: Observed) -> Sequence[Finding]:
        """Return what the observation means for the conditions this part owns."""

    def teardown(self, ctx: Context) -> Sequence[Removal]:
        """Return what goes at destruction, in the order it was made."""

    def inventory(self, ctx: Context, seen: Observed) -> Sequence[InventoryItem]:
        """Return where bytes lie, in which region as observed, encrypted by what."""

    def proof(self, ctx: Context, seen: Observed) -> Sequence[Evidence]:
        """Return what shows the part installed as specified."""
