"""What has to be right before anything is made: nothing is half made for a Tenant that cannot work."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from tenant_operator.api.conduct import Workflow
from tenant_operator.api.names import LABEL_TENANT
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.api.tenant import TenantSpec
from tenant_operator.stack.app_config import NamedSecret, records_error
from tenant_operator.stack.backup import schedule_error
from tenant_operator.stack.network import cidr_error, namespace_of
from tenant_operator.stack.part import Finding, Manifest

READY = ConditionType.READY
_CLOSED = ("cloister-", "kube-", "tenant-")
"""How the namespaces begin that no Tenant may open a way into: Cloister's, Kubernetes' and other tenants'."""


def stalled(reason: Reason, message: str) -> Finding:
    """Return a finding that says a person has to change something."""
    return Finding(READY, "False", reason, message, stalled=True)


def region(spec: TenantSpec, found: Manifest | None, served: Sequence[str]) -> Finding | None:
    """Return what is wrong with the Tenant's Region."""
    if found is not None:
        return None
    offered = ", ".join(sorted(served)) or "none"
    return stalled(Reason.UNKNOWN_REGION, f"no Region is named {spec.region!r}; this operator serves: {offered}")


def klass(spec: TenantSpec, found: Manifest | None, offered: Sequence[str]) -> Finding | None:
    """Return what is wrong with the Tenant's class."""
    if found is not None:
        return None
    names = ", ".join(sorted(offered)) or "none"
    return stalled(Reason.UNKNOWN_CLASS, f"no TenantClass is named {spec.class_!r}; there are: {names}")


def spec_errors(spec: TenantSpec) -> Finding | None:
    """Return what the CRD's schema cannot see: a schedule that no clock can follow, an address that is none."""
    if error := schedule_error(spec.backup):
        return stalled(Reason.INVALID_SCHEDULE, f"spec.backup: {error}")
    if error := cidr_error(spec.network):
        return stalled(Reason.INVALID_SPEC, f"spec.network: {error}")
    if error := records_error(spec.records):
        return stalled(Reason.INVALID_SPEC, f"spec.records: {error}")
    if error := _address_error(spec.identity.ldap.url):
        return stalled(Reason.INVALID_DIRECTORY, f"spec.identity.ldap.url: {error}")
    named = [(f"spec.alerts[{index}].url", sink.url) for index, sink in enumerate(spec.alerts)]
    named += [("spec.identity.oidc.issuer", spec.identity.oidc.issuer)] if spec.identity.oidc else []
    for field, address in named:
        if error := _address_error(address):
            return stalled(Reason.INVALID_SPEC, f"{field}: {error}")
    return None


def _address_error(address: str) -> str | None:
    """Return what is wrong with an address: its port, whose digits the schema only counts, or where it leads.

    What a Tenant names opens the way to that namespace, and a way into another tenant's, Cloister's or Kubernetes' own is
    no one tenant's to open.
    """
    try:
        port = urlsplit(address).port
    except ValueError as problem:
        return str(problem)
    if port == 0:
        return "port 0 is no port"
    namespace = namespace_of(address)
    if namespace.startswith(_CLOSED):
        return f"namespace {namespace} is closed to tenants; name a service in a namespace of its own, or one outside"
    return None


def bind_secret(tenant: str, spec: TenantSpec, found: Manifest | None, namespace: str) -> Finding | None:
    """Return what is wrong with the directory's bind secret: absent, another tenant's, or incomplete."""
    name = spec.identity.ldap.bind_secret
    where = f"Secret {namespace}/{name} (spec.identity.ldap.bindSecret)"
    if found is None:
        said = (
            f"{where} does not exist: make it with keys bindDN, password and the CA, labelled {LABEL_TENANT}={tenant}"
        )
        return Finding(READY, "False", Reason.BIND_SECRET_MISSING, said)
    labels: Mapping[str, Any] = found["metadata"].get("labels") or {}
    if labels.get(LABEL_TENANT) != tenant:
        return stalled(
            Reason.BIND_SECRET_MISSING, f"{where} is not labelled {LABEL_TENANT}={tenant}: it is not this tenant's"
        )
    return _lacking(where, found, ("bindDN", "password", spec.identity.ldap.tls.ca_secret_key))


def named_secret(tenant: str, wanted: NamedSecret, found: Manifest | None, namespace: str) -> Finding | None:
    """Return what is wrong with another Secret that the Tenant names: absent, another tenant's, or incomplete."""
    where = f"Secret {namespace}/{wanted.name} ({wanted.field})"
    if found is None:
        keys = ", ".join(wanted.keys)
        said = f"{where} does not exist: make it with {keys}, labelled {LABEL_TENANT}={tenant}"
        return Finding(READY, "False", Reason.SECRET_MISSING, said)
    if (found["metadata"].get("labels") or {}).get(LABEL_TENANT) != tenant:
        said = f"{where} is not labelled {LABEL_TENANT}={tenant}: it is not this tenant's"
        return stalled(Reason.SECRET_MISSING, said)
    return _lacking(where, found, wanted.keys, Reason.SECRET_MISSING)


def workflow(tenant: str, wanted: Workflow, found: Manifest | None, namespace: str) -> Finding | None:
    """Return what is wrong with the ConfigMap of the tenant's own workflow. What it says is checked by the app at its start."""
    where = f"ConfigMap {namespace}/{wanted.config_map} (spec.signatures.workflow)"
    if found is None:
        said = f"{where} does not exist: make it with key {wanted.key}, labelled {LABEL_TENANT}={tenant}"
        return Finding(READY, "False", Reason.WORKFLOW_MISSING, said)
    if (found["metadata"].get("labels") or {}).get(LABEL_TENANT) != tenant:
        said = f"{where} is not labelled {LABEL_TENANT}={tenant}: it is not this tenant's"
        return stalled(Reason.WORKFLOW_MISSING, said)
    try:
        json.loads((found.get("data") or {})[wanted.key])
    except KeyError:
        return Finding(READY, "False", Reason.WORKFLOW_MISSING, f"{where} lacks {wanted.key}")
    except ValueError as error:
        return stalled(Reason.INVALID_SPEC, f"{where}: {wanted.key} is no JSON: {error}")
    return None


def _lacking(
    where: str, found: Manifest, needed: Sequence[str], reason: Reason = Reason.BIND_SECRET_MISSING
) -> Finding | None:
    data: Mapping[str, str] = found.get("data") or {}
    if missing := [key for key in needed if not data.get(key)]:
        return Finding(READY, "False", reason, f"{where} lacks {', '.join(missing)}")
    if binary := [key for key in needed if text(data[key]) is None]:
        return Finding(READY, "False", reason, f"{where}: {', '.join(binary)} must be text in UTF-8")
    return None


def text(value: str) -> str | None:
    """Return what a Secret's base64 value says; None when it is no text in UTF-8."""
    try:
        return base64.b64decode(value).decode()
    except UnicodeDecodeError:
        return None
