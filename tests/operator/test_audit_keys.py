"""Where the audit service's keys are in Vault: what the operator makes, what it tells the witness, and when it deletes what it derived."""

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from audit_contract.keys import KeySigner, KeyType, parse_vkey
from tenant_operator.errors import Retryable
from tenant_operator.handlers import bootstrap
from tenant_operator.reconcile.audit_keys import AuditKeys
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import ObjectKey
from tests.support.world import FakeAudit, FakeCluster

AUDIT, WITNESS = "cloister-audit", "cloister-witness"
KEYS = ObjectKey("v1", "Secret", AUDIT, "audit-keys")
LOGS = ObjectKey("v1", "Secret", WITNESS, "witness-logs")
DERIVE = Deriver(bytes(32), datetime(2026, 1, 1, tzinfo=UTC))


def vkeys(origin: str, seed: bytes) -> list[str]:
    """What the audit service shows of a log that is signed by keys of its own."""
    pair = {
        KeyType.ED25519: Ed25519PrivateKey.from_private_bytes(seed),
        KeyType.ML_DSA_44: MLDSA44PrivateKey.from_seed_bytes(seed),
    }
    return [KeySigner(origin, kind, key).verifier.vkey for kind, key in pair.items()]


def derived(origin: str) -> list[str]:
    parsed = [parse_vkey(vkey) for vkey in bootstrap.derived_vkeys(DERIVE)]
    return [type(each)(origin, each.kind, each.key).vkey for each in parsed]


def material(lines: list[str]) -> set[bytes]:
    return {parse_vkey(line).key.public_bytes_raw() for line in lines}


class World:
    def __init__(self) -> None:
        self.audit = FakeAudit()
        self.cluster = FakeCluster(self.audit)
        self.shown: dict[str, list[str]] = {}
        self.keys = AuditKeys(
            self.cluster, self.audit, self._logs, bootstrap.derived_vkeys(DERIVE), AUDIT, WITNESS, grace_seconds=0
        )

    async def _logs(self) -> dict[str, list[str]]:
        if self.audit.away:
            raise Retryable("away")
        return self.shown

    async def begin(self, *, in_vault: bool) -> list[str]:
        """The operator's start, which comes before any record."""
        self.audit.open_intents += 1
        made = await bootstrap.ensure_audit_secrets(self.cluster, DERIVE, AUDIT, WITNESS, in_vault=in_vault)
        self.audit.open_intents -= 1
        return made

    def witness_knows(self) -> set[bytes]:
        return material(base64.b64decode(self.cluster.get(LOGS)["data"]["vkeys"]).decode().split())

    def acts(self) -> list[tuple[str, str, str]]:
        return [(result, item.action, item.object_id) for log, result, item in self.audit.entries if log == "platform"]


@pytest.fixture
def world() -> World:
    return World()


async def test_no_private_key_of_the_logs_is_derived_and_the_witness_learns_the_public_ones_from_the_service(world):
    made = await world.begin(in_vault=True)
    assert sorted(made) == [
        "audit-database-service", "audit-database-superuser", "audit-database-tls", "audit-tls", "witness-logs", "witness-tls",
    ]  # fmt: skip
    assert world.witness_knows() == set()
    assert not await world.keys.look()  # the audit service has no log yet
    world.shown = {log: vkeys(f"x/audit/{log}", b"v" * 32) for log in ("platform", "tenant-1")}
    assert await world.keys.look()
    assert world.witness_knows() == material(vkeys("any", b"v" * 32))
    assert world.acts() == [
        ("intent", "operator:object:apply", "witness-logs"),
        ("ok", "operator:object:apply", "witness-logs"),
    ]
    assert await world.keys.look()
    assert await world.begin(in_vault=True) == []  # a restart leaves the witness what it knows
    assert world.witness_knows() == material(vkeys("any", b"v" * 32))
    assert len(world.audit.entries) == 2


async def test_derived_keys_are_deleted_once_every_log_has_handed_over_and_not_before(world):
    await world.begin(in_vault=False)
    await world.begin(in_vault=True)
    assert world.cluster.get(KEYS) is not None
    new = vkeys("x/audit/tenant-1", b"v" * 32)
    former = [new[0], derived("x/audit/platform")[1]]  # Ed25519 of Vault beside the derived ML-DSA-44
    for platform in (derived("x/audit/platform"), former):
        world.shown = {"platform": platform, "tenant-1": new}
        assert not await world.keys.look()
        assert world.cluster.get(KEYS) is not None
        assert world.witness_knows() == material([*derived("x"), *new])
    world.shown["platform"] = vkeys("x/audit/platform", b"v" * 32)
    world.keys.grace_seconds = 60
    assert not await world.keys.look()  # both still sign: what the witness was told takes a while to reach it
    assert world.cluster.get(KEYS) is not None
    world.keys.grace_seconds = 0
    assert not await world.keys.look()
    assert world.cluster.get(KEYS) is None
    assert world.acts()[-2:] == [
        ("intent", "operator:object:delete", "audit-keys"),
        ("ok", "operator:object:delete", "audit-keys"),
    ]
    assert await world.keys.look()
    assert world.witness_knows() == material(new)
    assert await world.begin(in_vault=True) == []


async def test_somebody_elses_secret_of_that_name_stays(world):
    world.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "audit-keys", "namespace": AUDIT}})
    world.shown = {"platform": vkeys("x/audit/platform", b"v" * 32)}
    assert await world.keys.look()
    assert world.cluster.get(KEYS) is not None


async def test_while_the_audit_service_is_away_nothing_is_deleted(world):
    await world.begin(in_vault=False)
    world.audit.away = True
    with pytest.raises(Retryable):
        await world.keys.look()
    assert world.cluster.get(KEYS) is not None
    world.audit.away = False
    assert not await world.keys.look()  # it shows no log: that is no reason to believe that none needs the keys
    assert world.cluster.get(KEYS) is not None
