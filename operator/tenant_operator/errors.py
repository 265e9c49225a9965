"""Errors that cross rooms. Each one says whether trying again can help; adapters translate the libraries' errors into these."""

from tenant_operator.api.reasons import Reason


class CloisterError(Exception):
    """Something a person may have to read: what was wrong, where, what to do."""

    retryable: bool = False

    def __init__(self, message: str, *, reason: Reason = Reason.NOT_OBSERVED) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class Retryable(CloisterError):
    """The outside did not answer or was not ready; the same act may succeed later. Nothing is known to have changed."""

    retryable = True


class Refused(CloisterError):
    """The outside understood and said no; trying again without a change is useless."""


class Conflict(Refused):
    """Another field manager owns a field, or the object is not the one that was read (UID, resourceVersion)."""


class Missing(Refused):
    """What was to be read or changed does not exist."""


class AlreadyThere(Refused):
    """What was to be created exists: the store was behind, look again and apply."""
