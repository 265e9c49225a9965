"""The installation's own beginnings: the root seed, and the secrets of the audit service that are derived from it.

Nothing of a tenant exists before this, and the audit service cannot record what it needs in order to start; so these few
writes precede the log and are told to it by `operator:self:start`, which names their digests.
"""

import base64
import os
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from audit_contract.keys import KeySigner, KeyType
from tenant_operator.errors import AlreadyThere, Refused
from tenant_operator.ports import Cluster
from tenant_operator.reconcile.compare import differences
from tenant_operator.stack import audit_keys
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import Manifest, ObjectKey

ROOT = "cloister-root"
_SEED_BYTES = 32


async def root(cluster: Cluster, namespace: str) -> Deriver:
    """Return the deriver of this installation; make its seed when there is none. Two starts at once agree on one seed."""
    key = ObjectKey("v1", "Secret", namespace, ROOT)
    found = await cluster.read(key)
    if found is None:
        values = {
            "seed": base64.b64encode(os.urandom(_SEED_BYTES)).decode(),
            "created": datetime.now(UTC).replace(microsecond=0).isoformat(),
        }
        try:
            found = await cluster.create(audit_keys.secret(namespace, ROOT, values, immutable=True))
        except AlreadyThere:
            found = await cluster.read(key)
    values = {name: base64.b64decode(value).decode() for name, value in ((found or {}).get("data") or {}).items()}
    try:
        return Deriver(base64.b64decode(values["seed"], validate=True), datetime.fromisoformat(values["created"]))
    except (KeyError, ValueError) as error:
        said = f"Secret {namespace}/{ROOT} is damaged ({error}): restore it from a backup; every password rests on it"
        raise Refused(said) from error


def audit_secrets(derive: Deriver, namespace: str, now: datetime, *, in_vault: bool = False) -> list[Manifest]:
    """Return the audit service's certificate, its database's, the passwords, and the log's keys unless they are in Vault."""
    ca = derive.ca.certificate

    def tls(name: str, *hosts: str) -> Manifest:
        pair = derive.certificate(f"platform/{name}", hosts, now)
        return audit_keys.secret(namespace, name, {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": ca})

    found = [
        tls("audit-tls", f"audit.{namespace}.svc", "audit", "localhost"),
        tls("audit-database-tls", f"audit-database.{namespace}.svc", "audit-database"),
        audit_keys.secret(
            namespace,
            "audit-database-superuser",
            {"username": "postgres", "password": derive.password("platform", "postgres")},
        ),
        audit_keys.secret(
            namespace,
            "audit-database-service",
            {"username": "audit_service", "password": derive.password("platform", "audit_service")},
        ),
    ]
    return found if in_vault else [*found, audit_keys.secret(namespace, audit_keys.KEYS, _audit_keys(derive))]


def witness_secrets(derive: Deriver, namespace: str, now: datetime) -> list[Manifest]:
    """Return the witness's certificate and the public keys of the logs it is to know.

    The keys it signs with are not here and do not derive from the seed: it makes them itself, so that whoever has this seed
    cannot sign in its name.
    """
    pair = derive.certificate("platform/witness-tls", (f"witness.{namespace}.svc", "witness", "localhost"), now)
    return [
        audit_keys.secret(namespace, "witness-tls", {"tls.crt": pair.certificate, "tls.key": pair.key}),
        audit_keys.witness_logs(namespace, derived_vkeys(derive)),
    ]


def derived_vkeys(derive: Deriver) -> list[str]:
    """Return the verifier keys of the signing keys that derive from the seed, under the name `audit`."""
    return [KeySigner("audit", kind, key).verifier.vkey for kind, key in _signing_keys(derive).items()]


def _signing_keys(derive: Deriver) -> dict[KeyType, Ed25519PrivateKey | MLDSA44PrivateKey]:
    return {
        KeyType.ED25519: Ed25519PrivateKey.from_private_bytes(derive.bytes_for("audit/ed25519")),
        KeyType.ML_DSA_44: MLDSA44PrivateKey.from_seed_bytes(derive.bytes_for("audit/ml-dsa-44")),
    }


def _audit_keys(derive: Deriver) -> dict[str, str]:
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    ed25519, ml_dsa = _signing_keys(derive).values()
    return {
        "ed25519.pem": ed25519.private_bytes(*pem).decode(),
        "ml-dsa-44.pem": ml_dsa.private_bytes(*pem).decode(),
        "sealing.key": base64.b64encode(derive.bytes_for("audit/sealing")).decode(),
    }


async def ensure_audit_secrets(
    cluster: Cluster, derive: Deriver, namespace: str, witness: str = "", *, in_vault: bool = False
) -> list[str]:
    """Make or renew the audit service's secrets, and its witness's where there is one; return those that were changed.

    With the keys in Vault none of them is derived, and which public ones the witness knows is `reconcile.audit_keys`' to say:
    here that Secret is only made, so that the witness can start.
    """
    changed = []
    now = datetime.now(UTC)
    wanted = audit_secrets(derive, namespace, now, in_vault=in_vault)
    if witness:
        tls, logs = witness_secrets(derive, witness, now)
        wanted += [tls, audit_keys.witness_logs(witness, []) if in_vault else logs]
    for each in wanted:
        live = await cluster.read(ObjectKey.of(each))
        if live is None:
            await cluster.create(each)
        elif differences(each, live) and not (in_vault and each["metadata"]["name"] == audit_keys.LOGS):
            await cluster.apply(each, force=True)
        else:
            continue
        changed.append(each["metadata"]["name"])
    return changed


RENEW_EVERY = timedelta(hours=12)
"""How often the audit service's certificates are looked at; they change with their rotation period."""
