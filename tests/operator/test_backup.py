"""stack.backup: schedules, what is rendered, and what an observation means."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tenant_operator.api.reasons import Reason
from tenant_operator.api.tenant import Backup
from tenant_operator.stack import backup
from tenant_operator.stack.part import Desired, External, ExternalKey, ObjectKey, Observed, Trouble
from tests.support.tenant_context import tenant_context

CTX = tenant_context()


@pytest.mark.parametrize(
    ("schedule", "zone", "said"),
    [
        ("0 2 * * *", "Etc/UTC", None),
        ("*/15 0-6,20-23 1 JAN-mar Mon", "Europe/Berlin", None),
        ("0 0 29 2 *", "Etc/UTC", None),
        ("0 0 ? * 0", "Etc/UTC", None),
        ("61 * * * *", "Etc/UTC", "not a cron expression"),
        ("0 2 * *  ", "Etc/UTC", "4 fields instead of five"),
        ("0 0 2 * * *", "Etc/UTC", "6 fields instead of five"),
        ("0 0 30 2 *", "Etc/UTC", "never comes"),
        ("0 0 L * *", "Etc/UTC", "is no day of month"),
        ("0 0 * * 5#2", "Etc/UTC", "is no day of week"),
        ("0 0 * * 7", "Etc/UTC", "Sunday is 0"),
        ("@daily   ", "Etc/UTC", "1 fields instead of five"),
        ("at noon please now ok", "Etc/UTC", "is no minute"),
        ("0 2 * * *", "Mars/Olympus", "not in the IANA"),
        ("0 2 * * *", "../etc/passwd", "not in the IANA"),
        ("0 0 * foo *", "Etc/UTC", "not a cron expression"),
    ],
)
def test_a_schedule_is_checked_before_anything_is_made(schedule, zone, said):
    found = backup.schedule_error(Backup.model_construct(schedule=schedule, time_zone=zone, retention="30d"))
    assert (found is None) if said is None else said in found


def find(kind, name=None):
    return next(
        one.manifest
        for one in backup.desired(CTX)
        if isinstance(one, Desired)
        and one.manifest["kind"] == kind
        and name in {None, one.manifest["metadata"]["name"]}
    )


def test_the_same_context_renders_the_same_bytes():
    one, two = (
        [item.manifest if isinstance(item, Desired) else item.spec for item in backup.desired(ctx)]
        for ctx in (CTX, tenant_context())
    )
    assert json.dumps(one) == json.dumps(two)


def test_the_cron_job_forbids_overlap_and_keeps_one_of_each_kind_of_past():
    spec = find("CronJob")["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1, 1)
    assert (spec["schedule"], spec["timeZone"]) == (CTX.spec.backup.schedule, CTX.spec.backup.time_zone)
    assert spec["suspend"] is False


def test_a_stopped_tenant_suspends_its_backups_and_keeps_its_bucket():
    stopped = list(backup.desired(replace(CTX, running=False)))
    kinds = [one.manifest["kind"] for one in stopped if isinstance(one, Desired)]
    assert kinds == ["Secret", "ConfigMap", "CronJob"]
    assert len([one for one in stopped if isinstance(one, External)]) == 2


def test_no_secret_is_in_the_configuration_or_in_a_repr():
    secret = backup.secret_key(CTX)
    assert secret not in json.dumps(find("ConfigMap"))
    assert secret not in repr([one for one in backup.desired(CTX) if isinstance(one, External)])


def test_the_tenants_key_may_not_bypass_a_lock_or_change_the_bucket():
    assert not [
        action for action in backup.ACTIONS if "Bypass" in action or "PutBucket" in action or "Policy" in action
    ]


def pod(at, message, code=0):
    ended = {"finishedAt": at, "exitCode": code, "message": message}
    labels = {"app.kubernetes.io/component": "backup"}
    meta = {"name": f"backup-{at}", "namespace": CTX.namespace, "labels": labels, "creationTimestamp": at}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": meta,
        "status": {"containerStatuses": [{"name": "backup", "state": {"terminated": ended}}]},
    }  # fmt: skip


def good(at):
    return pod(at, json.dumps({"at": at, "size": 1234}))


def seen(*pods, external=(), cron=None):
    other = {ObjectKey.of(one): one for one in pods}
    objects = {}
    if cron:
        live = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"namespace": CTX.namespace, "name": "backup"}}
        objects[ObjectKey.of(live)] = {**live, "status": {"lastSuccessfulTime": cron}}
    return Observed(objects=objects, other=other, external=dict(external))


BUCKET = ExternalKey("objectstore", "bucket", CTX.names.bucket)
NOON = "2026-11-23T11:00:00Z"  # an hour before the context's now


@pytest.mark.parametrize(
    ("observed", "status", "reason", "said"),
    [
        pytest.param(seen(), "Unknown", Reason.NOT_OBSERVED, "no backup has succeeded", id="nothing ran yet"),
        pytest.param(seen(good(NOON)), "True", Reason.BACKUP_SUCCEEDED, "1234 bytes", id="a report of success"),
        pytest.param(seen(cron=NOON), "True", Reason.BACKUP_SUCCEEDED, NOON, id="only the CronJob remembers"),
        pytest.param(
            seen(good("2026-11-20T03:00:00Z")), "False", Reason.BACKUP_OVERDUE, "two runs are missing", id="overdue"
        ),
        pytest.param(
            seen(good("2026-11-20T03:00:00Z"), cron=NOON), "True", Reason.BACKUP_SUCCEEDED, NOON, id="the newer one counts"
        ),
        pytest.param(
            seen(good("2026-11-23T02:00:00Z"), pod(NOON, "disk full", 1)),
            "False", Reason.BACKUP_FAILED, "disk full", id="failed after a success",
        ),
        pytest.param(
            seen(pod("2026-11-23T02:00:00Z", "disk full", 1), good(NOON)),
            "True", Reason.BACKUP_SUCCEEDED, NOON, id="succeeded after a failure",
        ),
        pytest.param(
            seen(good(NOON), external={BUCKET: Trouble(Reason.OBJECT_STORE_UNREACHABLE, "no route")}.items()),
            "Unknown", Reason.OBJECT_STORE_UNREACHABLE, "no route", id="the store cannot be seen",
        ),
    ],
)  # fmt: skip
def test_backup_current_says_what_was_observed(observed, status, reason, said):
    current, restored = backup.checks(CTX, observed)
    assert (current.status, current.reason) == (status, reason)
    assert said in current.message
    assert (restored.status, restored.reason) == ("Unknown", Reason.NOT_PROBED)


def test_a_message_does_not_change_as_time_passes():
    later = replace(CTX, now=datetime(2026, 11, 23, 13, 0, tzinfo=UTC))
    assert backup.checks(CTX, seen(good(NOON))) == backup.checks(later, seen(good(NOON)))


def test_a_stopped_tenants_backup_is_not_claimed_to_be_current():
    (current, _) = backup.checks(replace(CTX, running=False), seen(good(NOON)))
    assert (current.status, current.reason) == ("Unknown", Reason.RETAINED)


def test_the_inventory_names_the_region_only_when_the_store_said_so():
    assert backup.inventory(CTX, seen())[0].region == ""
    where = {BUCKET: {"region": CTX.region.object_store.region}}
    assert backup.inventory(CTX, seen(external=where.items()))[0].region == CTX.spec.region


def test_proof_compares_the_bucket_with_its_specification():
    evidence = backup.proof(
        CTX, seen(external={BUCKET: {"objectLock": False, "versioning": True, "region": "x"}}.items())
    )
    assert [line.holds for line in evidence] == [False, False, False]


def test_jobs_wait_for_the_database_the_bucket_and_the_keys():
    gate = next(
        one.gate for one in backup.desired(CTX) if isinstance(one, Desired) and one.manifest["kind"] == "CronJob"
    )
    assert not gate(seen())
