"""The app's configuration file (docs/contracts.md): what the Tenant says, in its words. Paths to secrets, never a secret."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from tenant_operator.api.common import seconds
from tenant_operator.api.conduct import Records, Sink
from tenant_operator.api.tenant import TenantSpec
from tenant_operator.stack import pdfa_judge
from tenant_operator.stack.database_config import quantity
from tenant_operator.stack.part import Context
from tenant_operator.stack.text import time_zone_error

RUN = "/var/run/cloister"
PORT = 8443
WORKFLOW_FILE = "/etc/cloister/app/workflow.json"
_DAY = 86400


def image(ctx: Context) -> str:
    """Return the app image: the one named, else the named version of ours, else the operator's own release."""
    wanted = ctx.spec.app
    if wanted.image:
        return wanted.image
    ours = ctx.platform.images.app
    if wanted.version and wanted.version != ctx.platform.version:
        repository = ours.partition("@")[0]
        name, _, tag = repository.rpartition(":")
        return f"{repository if '/' in tag or not name else name}:{wanted.version}"
    return ours


def version(ctx: Context) -> str:
    """Return the version the tenant runs, as people call it."""
    return ctx.spec.app.version or (ctx.spec.app.image or ctx.platform.version)


def _role(name: str, folder: str) -> dict[str, str]:
    return {"user": name, "passwordFile": f"{RUN}/{folder}/password"}


def config(ctx: Context) -> dict[str, Any]:
    """Return the app's configuration file (docs/contracts.md). It holds paths to secrets, never a secret."""
    ldap, names, vault, sessions = ctx.spec.identity.ldap, ctx.names, ctx.region.vault, ctx.spec.sessions
    return {
        "tenant": {
            "id": names.id,
            "name": names.tenant,
            "displayName": ctx.spec.display_name,
            "region": ctx.spec.region,
        },
        "hostname": ctx.spec.hostname,
        "listen": {
            "host": "0.0.0.0",  # noqa: S104 - the network policy decides who gets here
            "port": PORT,
            "certFile": f"{RUN}/tls/tls.crt",
            "keyFile": f"{RUN}/tls/tls.key",
        },
        "database": {
            "host": names.service_host("database"),
            "port": 5432,
            "name": "app",
            "caFile": f"{RUN}/ca/platform.crt",
            "app": _role("app", "database-app"),
            "auditWriter": _role("audit_writer", "database-audit-writer"),
            "owner": _role("app_owner", "database-owner"),
        },
        "vault": {
            "address": vault.address,
            "caFile": f"{RUN}/ca/vault.crt",
            "authMount": vault.auth_mount,
            "role": names.vault_role("app"),
            "transitMount": vault.transit_mount,
            "key": names.transit_key,
            "signingKey": names.signing_key,
            "tokenFile": f"{RUN}/tokens/vault",
        },
        "audit": {
            "url": ctx.platform.audit_url,
            "caFile": f"{RUN}/ca/platform.crt",
            "log": names.audit_log,
            "tokenFile": f"{RUN}/tokens/audit",
        },
        "ldap": {
            "url": ldap.url,
            "startTLS": ldap.tls.start_tls,
            "baseDN": ldap.base_dn,
            "userAttribute": ldap.user_attribute,
            "bindDNFile": f"{RUN}/directory/bindDN",
            "passwordFile": f"{RUN}/directory/password",
            "caFile": f"{RUN}/directory/ca.crt",
            "groups": [{"group": item.group, "role": item.role} for item in ctx.spec.identity.groups],
        },
        "sessions": {
            "idleSeconds": seconds(sessions.idle_timeout),
            "absoluteSeconds": seconds(sessions.absolute_timeout),
            "maxConcurrent": sessions.max_concurrent,
            "lockout": _lockout(ctx),
        },
        **_conduct(ctx),
        "system": {"image": image(ctx), "version": version(ctx)},
    }


def _lockout(ctx: Context) -> dict[str, int]:
    wanted = ctx.spec.sessions.lockout
    return {
        "signInFailures": wanted.sign_in_failures,
        "signInWaitSeconds": seconds(wanted.sign_in_wait),
        "signingFailures": wanted.signing_failures,
        "signingWaitSeconds": seconds(wanted.signing_wait),
    }


def _conduct(ctx: Context) -> dict[str, Any]:
    """Return what the customer's quality people decide (api/conduct.py). A field of no effect is left out."""
    spec = ctx.spec
    signing: dict[str, Any] = {
        "idleSeconds": seconds(spec.signatures.idle_timeout),
        "longestSeconds": seconds(spec.signatures.absolute_timeout),
        "enrolment": spec.signatures.enrolment,
        "meanings": {item.code: item.statement for item in spec.signatures.meanings},
    }
    if spec.signatures.max_password_age:
        signing["maxPasswordAgeDays"] = max(1, seconds(spec.signatures.max_password_age) // _DAY)
    conduct: dict[str, Any] = {
        "signing": signing,
        "workflow": {"file": WORKFLOW_FILE} if spec.signatures.workflow else {},
        "grants": {"longestDays": max(1, seconds(spec.access.longest_grant) // _DAY)},
        "accessReview": {"everyDays": max(1, seconds(spec.access.review_every) // _DAY)},
        "twoPerson": {"coolOffSeconds": seconds(spec.access.cool_off)},
        "training": {"required": sorted(spec.training.required)},
        "uploads": {
            "maxBytes": int(quantity(spec.records.max_upload)),
            "pdfaFor": ["*"] if spec.records.pdfa == "claimed" else [],
            **pdfa_judge.app_settings(ctx),
        },
        "records": {
            "retentionDays": max(1, seconds(spec.records.retention) // _DAY),
            "timeZone": spec.records.time_zone,
            "metadata": [item.manifest() for item in spec.records.metadata],
        },
        "alerts": [_sink(item) for item in spec.alerts],
        "secondFactor": {"policy": spec.identity.second_factor},
    }
    if oidc := spec.identity.oidc:
        conduct["oidc"] = {
            "issuer": oidc.issuer,
            "clientId": oidc.client_id,
            "clientSecretFile": path_of(oidc.client_secret, "clientSecret"),
            "groupsClaim": oidc.groups_claim,
            "groups": [item.manifest() for item in oidc.groups],
            **({"subjectClaim": oidc.subject_claim} if oidc.subject_claim else {}),
            **({"caFile": path_of(oidc.client_secret, oidc.ca_key)} if oidc.ca_key else {}),
        }
    return conduct


def records_error(records: Records) -> str | None:
    """Return what the app would refuse of it at its start: a time zone or a pattern that is none."""
    if error := time_zone_error(records.time_zone):
        return error
    for index, item in enumerate(records.metadata):
        try:
            re.compile(item.pattern or "")
        except re.error as wrong:
            return f"metadata[{index}].pattern: {wrong}"
    return None


def _sink(sink: Sink) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": "smtp" if sink.kind == "mail" else "webhook", "url": sink.url}
    if sink.recipients:
        found["recipients"] = list(sink.recipients)
    if sink.sender:
        found["sender"] = sink.sender
    for field, key in (("tokenFile", sink.token_key), ("caFile", sink.ca_key)):
        if sink.secret and key:
            found[field] = path_of(sink.secret, key)
    return found


def named_secrets(ctx: Context) -> dict[str, str]:
    """Return the values of the Secrets that the Tenant names, as keys of the one Secret that the app's pod mounts."""
    return {
        f"{item.name}.{key}": ctx.secrets.get(item.name, {}).get(key, "")
        for item in secrets_named(ctx.spec)
        for key in item.keys
    }


class NamedSecret(NamedTuple):
    """A Secret of the operator's namespace that a Tenant names: the field that names it, and the keys it must have."""

    name: str
    field: str
    keys: tuple[str, ...]


def secrets_named(spec: TenantSpec) -> Sequence[NamedSecret]:
    """Return the Secrets that a Tenant names besides the directory's."""
    found = [
        NamedSecret(sink.secret, f"spec.alerts[{index}].secret", tuple(filter(None, (sink.token_key, sink.ca_key))))
        for index, sink in enumerate(spec.alerts)
        if sink.secret
    ]
    if oidc := spec.identity.oidc:
        keys = ("clientSecret", *filter(None, (oidc.ca_key,)))
        found.append(NamedSecret(oidc.client_secret, "spec.identity.oidc.clientSecret", keys))
    return found


def path_of(secret: str, key: str) -> str:
    """Return where the app's pod finds a key of a Secret that the Tenant names."""
    return f"{RUN}/named/{secret}.{key}"
