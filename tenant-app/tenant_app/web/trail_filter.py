"""What a person asked to see of a trail. A filter hides on the page only: copies are always whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from tenant_app.domain.trail_review import READS
from tenant_app.services.recorder import Recorded

_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailFilter:
    """Empty values ask for everything. Days are days of UTC, both included."""

    show: str = ""
    who: str = ""
    action: str = ""
    words: str = ""
    since: date | None = None
    until: date | None = None
    everything: bool = False

    @property
    def narrows(self) -> bool:
        """Say whether anything may be left out."""
        return bool(self.show or self.who or self.action or self.words or self.since or self.until)

    def fits(self, entry: Recorded) -> bool:
        """Say whether an entry is to be shown."""
        read, at = entry.link.action in READS, entry.link.at
        return (
            (self.show == "" or read == (self.show == "reads"))
            and (not self.who or entry.body["actor"]["name"] == self.who)
            and (not self.action or entry.link.action == self.action)
            and (self.since is None or at >= datetime.combine(self.since, time.min, UTC))
            and (self.until is None or at <= datetime.combine(self.until, time.max, UTC))
            and (not self.words or self.words.casefold() in _all_words(entry))
        )


def read(query: Mapping[str, str]) -> TrailFilter:
    """Return the filter of a query; what cannot be understood filters nothing."""
    show = query.get("show", "")
    return TrailFilter(
        show=show if show in {"changes", "reads"} else "",
        who=query.get("who", "")[:_MOST],
        action=query.get("action", "")[:_MOST],
        words=query.get("words", "").strip()[:_MOST],
        since=_day(query.get("since", "")),
        until=_day(query.get("until", "")),
        everything=query.get("everything") == "1",
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _all_words(entry: Recorded) -> str:
    body = entry.body
    values = [str(value) for change in body["change"] for value in change.values()]
    return " ".join([body["actor"]["name"], body.get("reason", {}).get("text", ""), *values]).casefold()
