"""What a caller is told when something cannot be done: a status, a sentence, and facts it can act on."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit_service.log.batch import BusyError, OtherBodyError, OutOfStepError, SequenceError
from audit_service.log.guard import ForkError
from audit_service.metrics import REFUSED
from audit_service.store.errors import DamagedError, StoreError, StoreFullError

_RETRY_AFTER = {"Retry-After": "1"}
_COME_AGAIN = frozenset({503, 507})


class ApiError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, text: str, **facts: object) -> None:
        super().__init__(text)
        self.status = status
        self.facts = facts


EXPECTED: Final = (ApiError, SequenceError, StoreError)
"""What is answered and needs no line in the service's log."""


def translate(error: BaseException) -> ApiError:
    """Return what an error means to the caller."""
    match error:
        case ApiError():
            return error
        case OutOfStepError():
            return ApiError(409, str(error), expected=error.expected, recorded=list(error.recorded))
        case OtherBodyError() | ForkError():
            return ApiError(409, str(error))
        case DamagedError():
            return ApiError(500, str(error))
        case BusyError() | StoreError():
            return ApiError(507 if isinstance(error, StoreFullError) else 503, str(error))
        case _:
            return ApiError(500, "an error of the audit service; its log says more")


def response(error: Exception) -> Response:
    """Return the answer that an error is to the caller."""
    said = translate(error)
    headers = _RETRY_AFTER if said.status in _COME_AGAIN else None
    return JSONResponse({"error": str(said), **said.facts}, said.status, headers)


def count(status: int) -> None:
    """Count a refusal."""
    REFUSED.labels(status=str(status)).inc()


async def handle(_: Request, error: Exception) -> Response:
    """Answer an error (Starlette's exception handler)."""
    said = response(error)
    count(said.status_code)
    return said
