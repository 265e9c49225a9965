"""Puts together what the parts need to know about one tenant: its Region, class, secrets, and the installation's own facts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from tenant_operator.api.common import API_VERSION
from tenant_operator.api.names import LABEL_TENANT, Names
from tenant_operator.api.reasons import Reason
from tenant_operator.api.region import RegionSpec
from tenant_operator.api.tenant import TenantSpec
from tenant_operator.api.tenant_class import TenantClassSpec
from tenant_operator.ports import Clock, Cluster
from tenant_operator.reconcile import preflight
from tenant_operator.stack.app_config import secrets_named
from tenant_operator.stack.database import storage_error
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import Context, Finding, Manifest, ObjectKey, Platform


class NotReadyError(Exception):
    """The Tenant cannot be served as it is; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass
class Home:
    """Secrets and ConfigMaps of the operator's own namespace, as last seen."""

    cluster: Cluster
    namespace: str

    def secret(self, name: str) -> Manifest | None:
        """Return a Secret."""
        return self.cluster.get(ObjectKey("v1", "Secret", self.namespace, name))

    def secret_values(self, name: str) -> Mapping[str, str] | None:
        """Return a Secret's values, decoded; what is no text in UTF-8 is left out, for nothing of ours is binary."""
        found = self.secret(name)
        if found is None:
            return None
        texts = {key: preflight.text(value) for key, value in (found.get("data") or {}).items()}
        return {key: value for key, value in texts.items() if value is not None}

    def own_values(self, tenant: str, name: str) -> Mapping[str, str]:
        """Return a Secret's values if it is labelled as the tenant's; nothing when it is absent, another's or nobody's."""
        found = self.secret(name)
        return (self.secret_values(name) or {}) if found and _is_of(found, tenant) else {}

    def config_map(self, name: str) -> Manifest | None:
        """Return a ConfigMap."""
        return self.cluster.get(ObjectKey("v1", "ConfigMap", self.namespace, name))

    def text(self, name: str, key: str) -> str | None:
        """Return one value of a ConfigMap."""
        found = self.config_map(name)
        return (found.get("data") or {}).get(key) if found else None


@dataclass
class Contexts:
    """Builds Contexts. Raises NotReadyError with the finding that a person can act on."""

    cluster: Cluster
    home: Home
    platform: Platform
    derive: Deriver
    clock: Clock

    def spec(self, body: Mapping[str, object] | None) -> TenantSpec:
        """Return a parsed spec."""
        try:
            return TenantSpec.model_validate(body or {})
        except ValidationError as error:
            said = "; ".join(f"spec.{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise NotReadyError(preflight.stalled(Reason.INVALID_SPEC, said)) from error

    def build(
        self, names: Names, spec: TenantSpec, generation: int, *, running: bool, needs_directory: bool = True
    ) -> Context:
        """Return the context of one tenant. What is stopped or taken down needs no directory.

        Whether or not it is needed, what the Tenant names gives nothing of another tenant's or of the operator's own: a stack
        that is stopped has its Secrets rendered too.
        """
        region = self._region(spec)
        klass = self._class(spec)
        if wrong := preflight.spec_errors(spec):
            raise NotReadyError(wrong)
        bind_name = spec.identity.ldap.bind_secret
        if (
            running
            and needs_directory
            and (wrong := preflight.bind_secret(names.tenant, spec, self.home.secret(bind_name), self.home.namespace))
        ):
            raise NotReadyError(wrong)
        named = secrets_named(spec)
        if running and needs_directory:
            self._refuse_what_is_named(names.tenant, spec)
        ctx = Context(
            names=names,
            generation=generation,
            spec=spec,
            region=region,
            klass=klass,
            platform=replace(
                self.platform,
                vault_ca=self.ca(region.vault.ca_bundle),
                object_store_ca=self.ca(region.object_store.ca_bundle),
            ),
            derive=self.derive,
            now=self.clock.now(),
            running=running,
            bind_secret=self.home.own_values(names.tenant, bind_name),
            secrets={item.name: self.home.own_values(names.tenant, item.name) for item in named},
            workflow=self._workflow(names.tenant, spec),
        )
        if error := storage_error(ctx):
            raise NotReadyError(preflight.stalled(Reason.INVALID_SPEC, f"spec.database.storage: {error}"))
        return ctx

    def _refuse_what_is_named(self, tenant: str, spec: TenantSpec) -> None:
        """Raise NotReadyError when a Secret or the workflow that the Tenant names is absent, incomplete or another's."""
        home = self.home
        for item in secrets_named(spec):
            if wrong := preflight.named_secret(tenant, item, home.secret(item.name), home.namespace):
                raise NotReadyError(wrong)
        own = spec.signatures.workflow
        if own and (wrong := preflight.workflow(tenant, own, home.config_map(own.config_map), home.namespace)):
            raise NotReadyError(wrong)

    def _workflow(self, tenant: str, spec: TenantSpec) -> str:
        own = spec.signatures.workflow
        found = self.home.config_map(own.config_map) if own else None
        return (self.home.text(own.config_map, own.key) or "") if own and found and _is_of(found, tenant) else ""

    def _region(self, spec: TenantSpec) -> RegionSpec:
        found = self.cluster.get(ObjectKey(API_VERSION, "Region", "", spec.region))
        served = [item["metadata"]["name"] for item in self.cluster.list("Region")]
        if wrong := preflight.region(spec, found, served):
            raise NotReadyError(wrong)
        return RegionSpec.model_validate((found or {})["spec"])

    def _class(self, spec: TenantSpec) -> TenantClassSpec:
        found = self.cluster.get(ObjectKey(API_VERSION, "TenantClass", "", spec.class_))
        offered = [item["metadata"]["name"] for item in self.cluster.list("TenantClass")]
        if wrong := preflight.klass(spec, found, offered):
            raise NotReadyError(wrong)
        return TenantClassSpec.model_validate((found or {})["spec"])

    def ca(self, reference: object) -> str:
        """Return the PEM that a Region's CA bundle names, empty when it names none."""
        name, key = getattr(reference, "name", None), getattr(reference, "key", None)
        if not name or not key:
            return ""
        text = self.home.text(name, key)
        if text is None:
            said = f"ConfigMap {self.home.namespace}/{name} with key {key} does not exist, and the Region names it as its CA"
            raise NotReadyError(Finding(preflight.READY, "False", Reason.WAITING, said))
        return text


def _is_of(found: Manifest, tenant: str) -> bool:
    """Tell whether an object of the operator's namespace is labelled as a tenant's."""
    return bool((found["metadata"].get("labels") or {}).get(LABEL_TENANT) == tenant)
