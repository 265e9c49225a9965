"""What the part `keys` says of what was seen: true only when it was seen, with the cause when it was not."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tenant_operator.api.reasons import Reason
from tenant_operator.clients.objectstore import ObjectStores
from tenant_operator.clients.vault import Vault
from tenant_operator.offboarding.ports import ExportStore, KeyVault
from tenant_operator.ports import OutsideSystem
from tenant_operator.stack import keys
from tenant_operator.stack.part import Observed, Trouble
from tests.support.tenant_context import IDENTITY, tenant_context

CTX = tenant_context()


def seen(**changes) -> Observed:
    facts = {"latestVersion": 3, "latestVersionAt": "2026-10-01T00:00:00+00:00"}
    states = {wanted.key: {**wanted.spec, **facts} for wanted in keys.desired(CTX)}
    for wanted in keys.desired(CTX):
        if wanted.key.kind in changes:
            change = changes[wanted.key.kind]
            states[wanted.key] = {**states[wanted.key], **change} if isinstance(change, Mapping) else change
    return Observed(external=states)


def test_everything_seen_is_ready_and_named():
    (finding,) = keys.checks(CTX, seen())
    assert (finding.status, finding.reason) == ("True", Reason.KEY_PRESENT)
    for word in (f"cloister-{IDENTITY}", "version 3", "2026-10-01", "2026-12-30", f"cloister-{IDENTITY}-signing"):
        assert word in finding.message


def test_the_message_does_not_change_while_nothing_does():
    later = replace(CTX, now=CTX.now.replace(year=2027))
    assert keys.checks(CTX, seen()) == keys.checks(later, seen())


@pytest.mark.parametrize("reason", [Reason.VAULT_SEALED, Reason.VAULT_UNREACHABLE, Reason.VAULT_REFUSED])
@pytest.mark.parametrize("retryable", [True, False])
def test_what_cannot_be_seen_is_unknown_with_its_cause(reason, retryable):
    for kind in ("key", "policy", "role"):
        (finding,) = keys.checks(CTX, seen(**{kind: Trouble(reason, "Vault said so", retryable)}))
        assert (finding.status, finding.reason, finding.message) == ("Unknown", reason, "Vault said so")
        assert finding.stalled is not retryable


def test_what_was_never_looked_at_is_unknown():
    (finding,) = keys.checks(CTX, Observed())
    assert (finding.status, finding.reason) == ("Unknown", Reason.NOT_OBSERVED)


def test_what_is_absent_is_missing_by_name():
    (finding,) = keys.checks(CTX, seen(role=None))
    assert (finding.status, finding.reason) == ("False", Reason.MISSING)
    assert f"vault role cloister-{IDENTITY}-export" in finding.message


def test_a_rotation_that_is_due_is_said_and_keeps_nobody_waiting():
    observed = seen(key={"rotationDue": True})
    (finding,) = keys.checks(CTX, observed)
    assert (finding.status, finding.reason) == ("True", Reason.ROTATION_DUE)
    assert keys.keys_ready(CTX, observed)


def test_a_key_that_can_leave_needs_a_person_and_drift_does_not():
    (finding,) = keys.checks(CTX, seen(key={"exportable": True}))
    assert (finding.status, finding.reason, finding.stalled) == ("False", Reason.NOT_AS_SPECIFIED, True)
    (finding,) = keys.checks(CTX, seen(role={"boundSubject": "system:serviceaccount:other:app"}))
    assert (finding.status, finding.stalled) == ("False", False)
    assert "boundSubject" in finding.message


def test_the_gate_needs_every_key_policy_and_role():
    assert keys.keys_ready(CTX, seen())
    assert not keys.keys_ready(CTX, Observed())
    for kind in ("key", "policy", "role"):
        assert not keys.keys_ready(CTX, seen(**{kind: None}))
        assert not keys.keys_ready(CTX, seen(**{kind: Trouble(Reason.VAULT_SEALED, "")}))


def test_each_policy_names_its_own_tenants_keys_only_and_creates_none():
    for account in keys.SERVICE_ACCOUNTS:
        rules = keys.policy_rules(CTX, account)
        paths = [line.split('"')[1] for line in rules.splitlines() if line.startswith("path")]
        assert all(IDENTITY in path or path.startswith("auth/token/") for path in paths)
        assert not any("*" in path or "+" in path for path in paths)
        assert not any(right in rules for right in ("create", "delete", "sudo", "list", "patch"))


def test_the_keys_go_last_and_the_sealing_key_last_of_all():
    order = [removal.key.kind for removal in reversed(keys.teardown(CTX))]
    assert order == ["role"] * 3 + ["policy"] * 3 + ["key"] * 2
    assert keys.teardown(CTX)[0].key.name == f"cloister-{IDENTITY}"


def test_the_same_context_gives_the_same_answer():
    assert keys.desired(CTX) == keys.desired(tenant_context())


def test_the_clients_are_what_the_offboarding_asks_for():
    """Checked by mypy where the operator is put together; here so that a change of either is seen at once."""
    for protocol, client in (
        (KeyVault, Vault),
        (OutsideSystem, Vault),
        (ExportStore, ObjectStores),
        (OutsideSystem, ObjectStores),
    ):
        wanted = {name for name in dir(protocol) if not name.startswith("_")}
        assert wanted <= set(dir(client)), protocol
