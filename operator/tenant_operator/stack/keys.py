"""The tenant's keys in Vault: one that seals its data, one that signs its records, and who may use them.

Both keys are made eagerly (a key that is made when first needed may never have existed when its destruction is to be proved),
cannot leave Vault and cannot be deleted until an offboarding allows it. The operator itself rotates the sealing key when it
is due, so that the rotation is in the tenant's audit log. The signing key is not rotated on schedule: who holds one of its
signatures holds its public key, and a change of it is a decision, not a timer.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tenant_operator.api.common import ConditionStatus, seconds
from tenant_operator.api.names import VAULT_AUDIENCE
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.api.tenant import InventoryItem
from tenant_operator.stack.part import (
    Context,
    Evidence,
    External,
    ExternalKey,
    Finding,
    Observed,
    Removal,
    Resource,
    Trouble,
)

NAME = "keys"
WAVE = 2
SEALING_TYPE = "aes256-gcm96"
SIGNING_TYPE = "ed25519"
SERVICE_ACCOUNTS = ("app", "backup", "export")
TOKEN_SECONDS = 900
TOKEN_MAX_SECONDS = 3600

_SEALING = "transit key that seals the tenant's data"
_SIGNING = "transit key that signs the tenant's records"


def key(name: str) -> ExternalKey:
    """Return the key of a transit key."""
    return ExternalKey("vault", "key", name)


def policy_rules(ctx: Context, service_account: str) -> str:
    """Return the Vault policy of one service account: the least it needs, on its own tenant's keys only."""
    mount, sealing, signing = ctx.region.vault.transit_mount, ctx.names.transit_key, ctx.names.signing_key
    use = {
        # `update` without `create`: encrypting with a key that is gone must fail, never make a new key of that name.
        "app": [
            (f"{mount}/encrypt/{sealing}", "update"),
            (f"{mount}/decrypt/{sealing}", "update"),
            (f"{mount}/rewrap/{sealing}", "update"),
            (f"{mount}/datakey/plaintext/{sealing}", "update"),
            (f"{mount}/sign/{signing}", "update"),
            (f"{mount}/verify/{signing}", "update"),
            (f"{mount}/keys/{signing}", "read"),
        ],
        # A restore has to unwrap the repository key that an earlier backup wrapped, hence decrypt; nothing is signed.
        "backup": [
            (f"{mount}/datakey/plaintext/{sealing}", "update"),
            (f"{mount}/decrypt/{sealing}", "update"),
        ],
        "export": [
            (f"{mount}/decrypt/{sealing}", "update"),
            (f"{mount}/sign/{signing}", "update"),
            (f"{mount}/keys/{signing}", "read"),
        ],
    }[service_account]
    own_token = [
        ("auth/token/lookup-self", "read"),
        ("auth/token/renew-self", "update"),
        ("auth/token/revoke-self", "update"),
    ]
    rules = [f'path "{path}" {{\n  capabilities = ["{right}"]\n}}\n' for path, right in [*use, *own_token]]
    head = f"# Service account {service_account} of tenant {ctx.names.tenant}; written by the Cloister operator.\n"
    return head + "".join(rules)


def desired(ctx: Context) -> Sequence[Resource]:
    """Return two keys, then a policy and a login role for each service account."""
    period = seconds(ctx.spec.encryption.rotation_period)
    policies = [
        External(
            ExternalKey("vault", "policy", ctx.names.vault_role(account)), {"rules": policy_rules(ctx, account)}, WAVE
        )
        for account in SERVICE_ACCOUNTS
    ]
    roles = [
        External(ExternalKey("vault", "role", ctx.names.vault_role(account)), _role(ctx, account), WAVE)
        for account in SERVICE_ACCOUNTS
    ]
    return [
        External(key(ctx.names.transit_key), _key_spec(SEALING_TYPE, period), WAVE),
        External(key(ctx.names.signing_key), _key_spec(SIGNING_TYPE, 0), WAVE),
        *policies,
        *roles,
    ]


def _key_spec(kind: str, period: int) -> dict[str, Any]:
    return {
        "type": kind,
        "exportable": False,
        "allowPlaintextBackup": False,
        "deletionAllowed": False,
        "autoRotateSeconds": 0,
        "rotationPeriodSeconds": period,
        "rotationDue": False,
    }


def _role(ctx: Context, account: str) -> dict[str, Any]:
    return {
        "roleType": "jwt",
        "userClaim": "sub",
        "boundAudiences": [VAULT_AUDIENCE],
        "boundSubject": f"system:serviceaccount:{ctx.namespace}:{account}",
        "tokenPolicies": [ctx.names.vault_role(account)],
        "tokenNoDefaultPolicy": True,
        "tokenTtlSeconds": TOKEN_SECONDS,
        "tokenMaxTtlSeconds": TOKEN_MAX_SECONDS,
    }


def keys_ready(ctx: Context, seen: Observed) -> bool:
    """Gate for whatever needs the keys: every key, policy and role of the tenant was seen to exist."""
    wanted = [one.key for one in desired(ctx) if isinstance(one, External)]
    return all(isinstance(seen.external.get(key), Mapping) for key in wanted)


def checks(ctx: Context, seen: Observed) -> Sequence[Finding]:
    """Return KeysReady. What could not be observed is Unknown with its cause, never False."""
    wanted = [one for one in desired(ctx) if isinstance(one, External)]
    states = {one.key: seen.external.get(one.key, _UNSEEN) for one in wanted}
    for trouble in states.values():
        if isinstance(trouble, Trouble):
            return [_finding("Unknown", trouble.reason, trouble.message, stalled=not trouble.retryable)]
    missing = [str(key) for key, state in states.items() if state is None]
    if missing:
        return [_finding("False", Reason.MISSING, f"not there yet: {', '.join(missing)}")]
    for one in wanted:
        state = states[one.key]
        if isinstance(state, Mapping) and (off := _differences(one.spec, state)):
            stalled = one.key.kind == "key" and bool({"type", "exportable", "allowPlaintextBackup"} & set(off))
            said = ", ".join(f"{field} is {state.get(field)!r}" for field in off)
            return [_finding("False", Reason.NOT_AS_SPECIFIED, f"{one.key}: {said}", stalled=stalled)]
    return [_present(ctx, states)]


_UNSEEN = Trouble(Reason.NOT_OBSERVED, "the keys were not looked at yet")


def _differences(spec: Mapping[str, Any], state: Mapping[str, Any]) -> list[str]:
    """A rotation that is due is not a fault: the key works, and the reconciler is about to rotate it."""
    return [field for field, value in spec.items() if field != "rotationDue" and state.get(field) != value]


def _present(ctx: Context, states: Mapping[ExternalKey, Any]) -> Finding:
    """Say which version the key is at and of when it is: a date and not an age, so that the message only changes with it."""
    name, state = ctx.names.transit_key, states[key(ctx.names.transit_key)]
    signing = states[key(ctx.names.signing_key)]
    made = datetime.fromisoformat(state["latestVersionAt"])
    period = timedelta(seconds=seconds(ctx.spec.encryption.rotation_period))
    text = (
        f"key {name} is at version {state['latestVersion']} of {state['latestVersionAt']}, to be rotated by "
        f"{(made + period).isoformat(timespec='seconds')}; "
        f"signing key {ctx.names.signing_key} is at version {signing['latestVersion']}"
    )
    return _finding("True", Reason.ROTATION_DUE if state["rotationDue"] else Reason.KEY_PRESENT, text)


def _finding(status: ConditionStatus, reason: Reason, message: str, *, stalled: bool = False) -> Finding:
    return Finding(ConditionType.KEYS_READY, status, reason, message, stalled)


def teardown(ctx: Context) -> Sequence[Removal]:
    """Return the keys first and who may use them after: the walk is reversed, so nobody can log in when the keys go."""
    proofs = {
        "key": "Vault's list of transit keys does not hold it",
        "policy": "Vault's list of policies does not hold it",
        "role": "Vault's list of login roles does not hold it",
    }
    return [Removal(one.key, proofs[one.key.kind]) for one in desired(ctx) if isinstance(one, External)]


def inventory(ctx: Context, seen: Observed) -> Sequence[InventoryItem]:
    """Return where the keys lie: in the Region's Vault, as the Region declares it."""
    address, mount = ctx.region.vault.address, ctx.region.vault.transit_mount
    return [
        InventoryItem(
            location=f"{address} {mount}/keys/{name}",
            kind="TransitKey",
            region=ctx.spec.region,
            encrypted_by=f"Vault at {address} (its seal)",
        )
        for name in (ctx.names.transit_key, ctx.names.signing_key)
        if isinstance(seen.external.get(key(name)), Mapping)
    ]


def proof(ctx: Context, seen: Observed) -> Sequence[Evidence]:
    """Return, per key, policy and role, each specified field and what was observed of it."""
    lines: list[Evidence] = []
    for one in desired(ctx):
        if not isinstance(one, External):
            continue
        state = seen.external.get(one.key)
        what = {ctx.names.transit_key: _SEALING, ctx.names.signing_key: _SIGNING}.get(one.key.name, str(one.key))
        for field, value in one.spec.items():
            found = state.get(field) if isinstance(state, Mapping) else "not observed"
            lines.append(Evidence(f"{what}: {field}", str(value), str(found)))
    return lines
