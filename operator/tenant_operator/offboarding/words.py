"""The words of an offboarding: phases, conditions, reasons and marks. Closed sets, each explained."""

from enum import StrEnum

from tenant_operator.api.common import GROUP

APPROVALS_NEEDED = 2

MARK_OFFBOARDING = f"{GROUP}/offboarding"
"""On the TenantRecord: UID of the offboarding that has taken the tenant over. The tenant's reconciler keeps its hands off."""
MARK_DESTROYING = f"{GROUP}/destroying"
"""On the TenantRecord: UID of the offboarding that began to destroy. There is no way back: half a tenant is never started."""

FREEZE_FOR_EXPORT = True
"""Stop the app before the export, not after it: whatever people write between the dump and the stop would be in no export and
would be destroyed. The database runs on until the destruction; a withdrawn offboarding starts the app again."""


class Phase(StrEnum):
    """Where an offboarding is, derived anew from what is observed."""

    REFUSED = "Refused"
    HELD = "Held"
    AWAITING_APPROVALS = "AwaitingApprovals"
    EXPORTING = "Exporting"
    GRACE_PERIOD = "GracePeriod"
    DESTROYING = "Destroying"
    CERTIFIED = "Certified"


class Promise(StrEnum):
    """The condition types of a TenantOffboarding."""

    APPROVED = "Approved"
    NOT_HELD = "NotHeld"
    EXPORT_VERIFIED = "ExportVerified"
    GRACE_ELAPSED = "GraceElapsed"
    CERTIFIED = "Certified"
    STALLED = "Stalled"


class Word(StrEnum):
    """The reasons of those conditions."""

    APPROVED = "Approved"
    APPROVALS_MISSING = "ApprovalsMissing"
    SAME_PERSON_TWICE = "SamePersonTwice"  # a second approval by a person who already approved does not count
    APPROVER_NOT_A_PERSON = "ApproverNotAPerson"  # a service account or a component of the cluster cannot approve
    FOR_ANOTHER_OFFBOARDING = "ForAnotherOffboarding"  # an approval carries another UID: it was for an earlier object
    NO_HOLD = "NoHold"
    LEGAL_HOLD = "LegalHold"
    EXPORT_WAITING = "ExportWaiting"
    EXPORT_RUNNING = "ExportRunning"
    EXPORT_FAILED = "ExportFailed"
    EXPORT_MISMATCH = "ExportMismatch"  # what was read back is not what the job says it wrote
    EXPORT_VERIFIED = "ExportVerified"
    GRACE_PERIOD = "GracePeriod"
    GRACE_ELAPSED = "GraceElapsed"
    DESTROYING = "Destroying"
    CERTIFIED = "Certified"
    NO_SUCH_TENANT = "NoSuchTenant"
    ALREADY_DESTROYED = "AlreadyDestroyed"
    ANOTHER_OFFBOARDING = "AnotherOffboarding"  # an older offboarding of the same tenant comes first
    INVALID = "Invalid"
    PROGRESSING = "Progressing"
