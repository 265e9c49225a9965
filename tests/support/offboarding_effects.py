"""Every effect on the small world of the offboarding's tests: counted, judged, and where the process may be killed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.tenant_context import NOW


class Killed(BaseException):
    """kill -9."""


@dataclass
class Effects:
    """The time, and what happened. `judge` is called with what is about to be destroyed; `kill_at` ends the process at an effect."""

    judge: Callable[[Any, str], None] = lambda world, what: None
    kill_at: tuple[int, str] | None = None
    after_effect: Callable[[Any, int], None] = lambda world, number: None
    now_: datetime = NOW
    destroyed: list[str] = field(default_factory=list)
    effects: int = 0

    def now(self) -> datetime:
        return self.now_

    def effect(self, what: str, act: Callable[[], Any], *, destroys: bool = False) -> Any:
        number = self.effects
        self.effects += 1
        if self.kill_at == (number, "before"):
            raise Killed(what)
        if destroys:
            self.judge(self, what)
            self.destroyed.append(what)
        found = act()
        self.after_effect(self, number)
        if self.kill_at == (number, "after"):
            raise Killed(what)
        return found


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
