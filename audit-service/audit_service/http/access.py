"""Who may do what. Pure: each question is a function of the caller and the log."""

from audit_service.http.errors import ApiError
from audit_service.http.identity import Caller
from audit_service.settings import Identity
from audit_service.store.records import LogRecord

# What a tenant's service accounts may say they are. The rest of them, and nobody else, are jobs.
_TENANT_KINDS = {"app": "app", "auditor": "auditor"}
# Who of a tenant's own may read its log: its auditor, and the export that takes the log along for the customer.
_TENANT_READERS = frozenset({"auditor", "export"})


def check_operator(caller: Caller, identity: Identity) -> None:
    """Refuse everyone but the operator. Raises ApiError 403."""
    if caller.subject != identity.operator:
        raise ApiError(403, f"{caller.subject} is not the operator")


def may_read(caller: Caller, log: LogRecord, identity: Identity) -> bool:
    """Tell whether the caller is a reader of this log."""
    if caller.subject == identity.operator or caller.subject in identity.platform_auditors:
        return True
    return log.kind == "tenant" and caller.namespace == log.namespace and caller.account in _TENANT_READERS


def is_own(caller: Caller, log: LogRecord) -> bool:
    """Tell whether this is the log of the caller's own tenant, in which it finds what it wrote itself."""
    return log.kind == "tenant" and caller.namespace == log.namespace


def wrote(caller: Caller, source: str) -> bool:
    """Tell whether an entry's source (`<service account>/<pod uid>…`) is the caller's service account, in whichever pod."""
    return source.split("/", maxsplit=1)[0] == caller.account


def check_append(caller: Caller, log: LogRecord, kind: str, source: str, identity: Identity) -> None:
    """Refuse a source that is not the caller's own or not entitled to this log. Raises ApiError 403."""
    if caller.subject == identity.operator:
        kinds = {"operator"}
    elif caller.subject == identity.admission:
        kinds = {"admission"}  # and nothing else: who asked is said by the webhook alone, and by nobody who acts on it
    elif log.kind == "tenant" and caller.namespace == log.namespace:
        kinds = {_TENANT_KINDS.get(caller.account, "job")}
    else:
        raise ApiError(403, f"{caller.subject} may not write to {log.name}")
    if kind not in kinds:
        raise ApiError(403, f"src.kind: {caller.subject} is not a source of kind {kind} in {log.name}")
    account, pod, *_ = source.split("/")
    if account != caller.account or (caller.pod and pod != caller.pod):
        raise ApiError(403, f"src.id: {caller.subject} writes as {caller.account}/{caller.pod or '<pod uid>'}")
