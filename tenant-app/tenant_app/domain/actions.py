"""The closed set of what the app records. Grammar `app:subject:action`; every value is one of `audit_contract.actions`."""

from enum import StrEnum


class Action(StrEnum):
    """One kind of event in the audit trail (11.10(e))."""

    SIGN_IN = "app:session:login"
    SIGN_IN_REFUSED = "app:session:failure"
    SIGN_OUT = "app:session:logout"
    SESSION_EXPIRED = "app:session:expire"
    SESSION_REVOKED = "app:session:revoke"
    PERSON_ENROLLED = "app:account:enrol"
    PERSON_CHANGED = "app:account:update"
    ACCESS_DENIED = "app:access:deny"
    DOCUMENT_CREATED = "app:document:create"
    DOCUMENT_LISTED = "app:document:list"
    DOCUMENT_READ = "app:document:read"
    DOCUMENT_CHANGED = "app:document:update"
    DOCUMENT_EXPORTED = "app:document:export"
    TRAIL_VIEWED = "app:trail:view"
    INTEGRITY_VIOLATION = "app:integrity:violation"
    TENANT_EXPORTED = "app:data:export"
    APP_STARTED = "app:self:start"
