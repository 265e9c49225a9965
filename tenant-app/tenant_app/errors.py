"""Every error that people or callers can meet, with its HTTP status and the words they read.

The type fixes the answer: `status` is the HTTP status, `code` a stable machine word, `title` the heading of the error page.
`detail` (the message) is written for people and never holds a secret or another person's data.
"""

from typing import ClassVar


class AppError(Exception):
    """Base of all expected errors."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"

    @property
    def detail(self) -> str:
        """What happened, in words for people."""
        return str(self) or self.title


class InvalidInput(AppError):
    """A form or request body breaks a rule; nothing was changed."""

    status = 422
    code = "invalid_input"
    title = "Please check what you entered"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class TooLarge(InvalidInput):
    """An upload is over the limit."""

    status = 413
    code = "too_large"
    title = "That file is too large"


class SignInRefused(AppError):
    """The sign-in is refused. The words never tell which part was wrong."""

    status = 401
    code = "sign_in_refused"
    title = "Sign-in refused"


class AccountAmbiguous(SignInRefused):
    """More than one entry of the directory answers to the name: nobody is picked, and the security unit is told (AT-40)."""


class SignInDelayed(SignInRefused):
    """Too many failures: the account waits before the next try (11.300(d))."""

    status = 429
    code = "sign_in_delayed"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many failed attempts. Please wait {seconds} seconds, then try again.")
        self.seconds = seconds


class SigningRefused(AppError):
    """A signing did not go through: wrong components, a used challenge, or a locked account (11.200, 11.300(d))."""

    status = 403
    code = "signing_refused"
    title = "Not signed"


class NotSignedIn(AppError):
    """No live session: absent, timed out, displaced, or bound to another client."""

    status = 401
    code = "not_signed_in"
    title = "Please sign in"


class Forbidden(AppError):
    """The person's roles do not give the right (11.10(d), 11.10(g)). The attempt is recorded."""

    status = 403
    code = "forbidden"
    title = "You do not have this right"


SUSPENDED = "Your access is suspended since a loss was reported. Two administrators can restore it."


class AccessSuspended(AppError):
    """A loss of the person's credential was reported; nothing goes until two administrators restore the access (11.300(c))."""

    status = 403
    code = "access_suspended"
    title = "Your access is suspended"


class NotReadyToSign(SigningRefused):
    """Something has to be there before this person signs: an enrolment, an accepted policy (11.10(j), 11.100(b))."""

    code = "not_ready_to_sign"
    title = "Before you can sign"

    def __init__(self, message: str, *, link: str = "/me", label: str = "Go there") -> None:
        super().__init__(message)
        self.link = link
        self.label = label


class SecondFactorMissing(AppError):
    """The tenant demands a second factor, and this person has not set one up: until then their session opens nothing."""

    status = 403
    code = "second_factor_missing"
    title = "Set up your second factor first"
    link = "/second-factor"
    label = "Set it up"


class ForgeryRefused(AppError):
    """A state-changing request came without its token or from another site."""

    status = 403
    code = "forgery_refused"
    title = "This form is no longer valid"


class NotFound(AppError):
    """No such thing, or nothing the person may know of."""

    status = 404
    code = "not_found"
    title = "Nothing here"


class Conflict(AppError):
    """The request does not fit the current state, such as the same version twice (11.10(f))."""

    status = 409
    code = "conflict"
    title = "That does not fit the document's current state"


class IntegrityViolation(AppError):
    """Stored bytes do not match what was recorded (11.10(a)). Nothing of them is shown."""

    status = 500
    code = "integrity_violation"
    title = "This record failed its integrity check"


class DependencyAway(AppError):
    """A part that the request needs does not answer; worth retrying."""

    status = 503
    code = "dependency_away"
    title = "A part of the system does not answer"


class VaultAway(DependencyAway):
    """Vault is sealed, down or unreachable."""

    code = "vault_away"


class VaultRefused(AppError):
    """Vault answered and said no: a policy, a missing key, or a ciphertext that is not ours."""

    status = 500
    code = "vault_refused"
    title = "The key service refused"


class DirectoryAway(DependencyAway):
    """The directory is unreachable or its certificate does not verify."""

    code = "directory_away"


class ProviderAway(DependencyAway):
    """The OpenID provider does not answer, or answers nothing that can be used."""

    code = "provider_away"


class AuditAway(DependencyAway):
    """The audit service is away for longer than the policy allows: changes are paused, reads go on."""

    code = "audit_away"
    title = "Changes are paused"


class AuditRefusal(AuditAway):
    """The audit service answers and will not take an entry: for the app the same as away, for its operators a defect."""

    code = "audit_refused"


class SinkAway(DependencyAway):
    """An alert sink did not take an alert."""

    code = "sink_away"
