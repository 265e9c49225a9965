"""What an observation of the backups means: schedules, gates, BackupCurrent and RestoreVerified. Pure."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

from tenant_operator.api.common import ConditionStatus
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.api.tenant import Backup
from tenant_operator.stack.evidence import reports
from tenant_operator.stack.part import Context, Finding, Observed, Trouble
from tenant_operator.stack.pods import why_not_ready
from tenant_operator.stack.text import time_zone_error

_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
# What Kubernetes' parser (robfig/cron v3) takes: croniter alone would also take L, # and 7 for Sunday.
_PLAIN = re.compile(r"[0-9*?,/-]+")
_NAMED = re.compile(r"([0-9*?,/-]|[A-Za-z]{3})+")
_SUNDAY_7 = re.compile(r"(?:^|[,-])7")


def schedule_error(backup: Backup) -> str | None:
    """Say what is wrong with a backup's schedule or time zone, or None. Ask before anything is made."""
    fields = backup.schedule.split()
    if len(fields) != len(_FIELDS):
        return f"schedule {backup.schedule!r} has {len(fields)} fields instead of five ({', '.join(_FIELDS)})"
    for name, text in zip(_FIELDS, fields, strict=True):
        if not (_NAMED if name in {"month", "day of week"} else _PLAIN).fullmatch(text):
            return f"schedule {backup.schedule!r}: {text!r} is no {name}"
    if _SUNDAY_7.search(fields[4]):
        return f"schedule {backup.schedule!r}: Sunday is 0, not 7"
    return time_zone_error(backup.time_zone) or _expression_error(backup.schedule)


def _expression_error(schedule: str) -> str | None:
    try:
        croniter(schedule.replace("?", "*"), datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))).get_next(datetime)
    except CroniterBadDateError:
        return f"schedule {schedule!r} names a day that never comes"
    except (CroniterBadCronError, ValueError) as error:
        return f"schedule {schedule!r} is not a cron expression: {error}"
    return None


def bucket_present(seen: Observed) -> bool:
    """Gate: the tenant's bucket and its user were seen."""
    found = {key.kind: what for key, what in seen.external.items() if key.system == "objectstore"}
    return all(isinstance(found.get(kind), Mapping) for kind in ("bucket", "bucket-user"))


def bucket_made(seen: Observed) -> bool:
    """Gate for the bucket's user: its bucket was seen."""
    return any(
        isinstance(what, Mapping)
        for key, what in seen.external.items()
        if (key.system, key.kind) == ("objectstore", "bucket")
    )


def checks(ctx: Context, seen: Observed) -> Sequence[Finding]:
    """Return BackupCurrent, and RestoreVerified: nothing restores yet, so nothing is claimed."""
    return [
        _current(ctx, seen),
        Finding(ConditionType.RESTORE_VERIFIED, "Unknown", Reason.NOT_PROBED, "no backup has been restored as a test"),
    ]


def _finding(status: ConditionStatus, reason: Reason, message: str) -> Finding:
    return Finding(ConditionType.BACKUP_CURRENT, status, reason, message)


def _current(ctx: Context, seen: Observed) -> Finding:
    for key, what in seen.external.items():
        if key.system == "objectstore" and isinstance(what, Trouble):
            return _finding("Unknown", what.reason, f"{key.kind} {key.name}: {what.message}")
    found = reports(seen, "backup")
    good = _newest_success(ctx, seen, found)
    bad = next((report for report in found if "error" in report), None)
    last = "no backup has succeeded yet" if good is None else _words(good)
    if not ctx.running:
        return _finding("Unknown", Reason.SUSPENDED if ctx.spec.suspend else Reason.RETAINED, f"stopped; {last}")
    if bad and (good is None or _time(bad["at"]) > _time(good["at"])):
        return _finding("False", Reason.BACKUP_FAILED, f"the backup of {bad['at']} failed: {bad['error']}; {last}")
    if good is None:
        reason, message = why_not_ready(seen, "backup", Reason.NOT_OBSERVED)
        return _finding("Unknown" if reason is Reason.NOT_OBSERVED else "False", reason, f"{last}; {message}")
    if ctx.now > (due := _second_run_after(ctx, _time(good["at"]))):
        return _finding("False", Reason.BACKUP_OVERDUE, f"two runs are missing, by {due.isoformat()}; {last}")
    return _finding("True", Reason.BACKUP_SUCCEEDED, last)


def _newest_success(ctx: Context, seen: Observed, found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the newest success: as a job's pod reported it, or as the CronJob remembers it after its pods are gone."""
    reported = next((report for report in found if "error" not in report), None)
    cron = seen.get("CronJob", ctx.namespace, "backup") or {}
    remembered = cron.get("status", {}).get("lastSuccessfulTime")
    if remembered and (reported is None or _time(remembered) > _time(reported["at"])):
        return {"at": remembered}
    return reported


def _second_run_after(ctx: Context, when: datetime) -> datetime:
    zone = ZoneInfo(ctx.spec.backup.time_zone)
    runs = croniter(ctx.spec.backup.schedule.replace("?", "*"), when.astimezone(zone))
    runs.get_next(datetime)
    second: datetime = runs.get_next(datetime)
    return second


def _words(report: Mapping[str, Any]) -> str:
    size = f", {report['size']} bytes sealed" if "size" in report else ""
    return f"the newest backup is of {report['at']}{size}"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
