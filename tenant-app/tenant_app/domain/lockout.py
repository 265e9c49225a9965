"""Progressive delay after failed sign-ins (11.300(d), AT-49).

Three counters: the account from this source, the account from anywhere, the source on any account. A stranger who fails on
purpose slows mostly their own source: the account's own counter is capped low, so that nobody can lock everyone out, while
guessing one account from many sources still meets a wait at each try.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType


class Scope(StrEnum):
    """What a counter counts."""

    ACCOUNT_AT_SOURCE = "account_at_source"
    ACCOUNT = "account"
    SOURCE = "source"
    SIGNING = "signing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Failures that are free, the first wait, and the longest. Each further failure doubles the wait."""

    free: int
    longest: timedelta
    first: timedelta = timedelta(seconds=1)


FORGET_AFTER = timedelta(hours=1)
# The security unit hears of an account, and of a source, once in a run of failures: at these counts.
ALERT_AT = {Scope.ACCOUNT: 5, Scope.SOURCE: 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """A counter as stored."""

    scope: Scope
    count: int
    last_at: datetime


def curves(
    *,
    sign_in_failures: int = 10,
    sign_in_wait: timedelta = timedelta(seconds=30),
    signing_failures: int = 5,
    signing_wait: timedelta = timedelta(minutes=15),
) -> Mapping[Scope, Curve]:
    """Return the curve of each scope; what a tenant sets is the account's own, and that of signing."""
    return MappingProxyType(
        {
            Scope.ACCOUNT_AT_SOURCE: Curve(free=3, longest=timedelta(minutes=15)),
            Scope.ACCOUNT: Curve(free=sign_in_failures, longest=sign_in_wait),
            Scope.SOURCE: Curve(free=30, longest=timedelta(minutes=5)),
            # Wrong components lock signing for this person outright, and the security unit is told (AT-44).
            Scope.SIGNING: Curve(free=signing_failures, longest=signing_wait, first=signing_wait),
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LockoutRules:
    """What failures cost in this tenant."""

    curves: Mapping[Scope, Curve] = field(default_factory=curves)

    def wait_of(self, failures: Failures) -> timedelta:
        """Return how long after the last failure the next try is allowed."""
        curve = self.curves[failures.scope]
        over = failures.count - curve.free
        if over < 0:
            return timedelta(0)
        return min(curve.first * (1 << min(over, 20)), curve.longest)

    def remaining(self, counters: list[Failures], *, now: datetime) -> timedelta:
        """Return how long the next try has to wait; zero when it may go ahead."""
        waits = [
            self.wait_of(counter) - (now - counter.last_at)
            for counter in counters
            if counter.last_at > self.forget_before([counter.scope], now)
        ]
        return max([timedelta(0), *waits])

    def locks(self, failures: Failures) -> bool:
        """Say whether so many failures make the next try wait."""
        return failures.count >= self.curves[failures.scope].free

    def forget_before(self, scopes: Iterable[Scope], now: datetime) -> datetime:
        """Return the time before which failures count no more: never while their wait lasts."""
        return now - max([FORGET_AFTER, *(self.curves[scope].longest for scope in scopes)])
