"""Progressive delay after failed sign-ins (11.300(d), AT-49).

Three counters: the account from this source, the account from anywhere, the source on any account. A stranger who fails on
purpose slows mostly their own source: the account's own counter is capped low, so that nobody can lock everyone out, while
guessing one account from many sources still meets a wait at each try.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


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


CURVES = {
    Scope.ACCOUNT_AT_SOURCE: Curve(free=3, longest=timedelta(minutes=15)),
    Scope.ACCOUNT: Curve(free=10, longest=timedelta(seconds=30)),
    Scope.SOURCE: Curve(free=30, longest=timedelta(minutes=5)),
    # Five wrong components lock signing for this person outright, and the security unit is told (AT-44).
    Scope.SIGNING: Curve(free=5, longest=timedelta(minutes=15), first=timedelta(minutes=15)),
}
FORGET_AFTER = timedelta(hours=1)
# The security unit hears of an account, and of a source, once in a run of failures: at these counts.
ALERT_AT = {Scope.ACCOUNT: 5, Scope.SOURCE: 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """A counter as stored."""

    scope: Scope
    count: int
    last_at: datetime


def wait_of(failures: Failures) -> timedelta:
    """Return how long after the last failure the next try is allowed."""
    curve = CURVES[failures.scope]
    over = failures.count - curve.free
    if over < 0:
        return timedelta(0)
    return min(curve.first * (1 << min(over, 20)), curve.longest)


def remaining(counters: list[Failures], *, now: datetime) -> timedelta:
    """Return how long the next try has to wait; zero when it may go ahead."""
    waits = [wait_of(counter) - (now - counter.last_at) for counter in counters if now - counter.last_at < FORGET_AFTER]
    return max([timedelta(0), *waits])
