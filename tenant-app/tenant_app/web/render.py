"""Templates: autoescaped, strict about undefined names, with the few filters that pages need."""

import hashlib
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import jinja2
from starlette.responses import HTMLResponse

from tenant_app.domain.access import Right
from tenant_app.domain.delegation import signed_by
from tenant_app.domain.media import BY_NAME
from tenant_app.web.navigation import navigation
from tenant_app.web.visit import Visit
from tenant_app.web.words import (
    ACTION_WORDS,
    MEANING_WORDS,
    NAME_WORDS,
    PART_WORDS,
    PATH_WORDS,
    RIGHT_WORDS,
    ROLE_WORDS,
    STATE_WORDS,
    next_words,
)

_KILO = 1024
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def render(visit: Visit, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Return a page with everything that every page shows: the tenant, the person, what they may do, the audit's state."""
    app, session = visit.app, visit.maybe.session if visit.maybe else None
    text = ENVIRONMENT.get_template(template).render(
        tenant=app.settings.tenant,
        system=app.settings.system,
        session=session,
        may={right.value: visit.may(right) for right in Right},
        csrf=session.csrf if session else "",
        path=visit.request.url.path,
        idle_seconds=app.settings.sessions.idle_seconds,
        audit=app.relay.progress,
        factor_used=app.factor.used,
        navigation=lambda: navigation(visit.may),
        **context,
    )
    return HTMLResponse(text, status_code=status)


def size(count: int) -> str:
    """Return bytes for people."""
    if count < _KILO:
        return f"{count} bytes"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= _KILO
        if value < _KILO or unit == "GiB":
            break
    return f"{value:.1f} {unit}"


def when(moment: datetime) -> str:
    """Return a time with its zone, always UTC, never ambiguous (AT-58)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def exactly(moment: datetime) -> str:
    """Return a time to the second with its zone."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(moment: datetime) -> str:
    """Return how long ago, roughly; the exact time stands beside it or in its title."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    if seconds < _MINUTE:
        return "just now"
    for length, word in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {word}{'s' if count > 1 else ''} ago"
    return "just now"


def initials(name: str) -> str:
    """Return up to two initials of a person's name."""
    words = [word for word in name.split() if word[:1].isalpha()]
    return ("".join(word[0] for word in (words[:1] + words[1:][-1:])) or "?").upper()


def media_label(media_type: str) -> str:
    """Return a media type's name for people."""
    found = BY_NAME.get(media_type)
    return found.label if found else media_type


def path_name(path: str) -> str:
    """Return the words of a changed value's path; a grant's or a training's names what it is about."""
    head, _, rest = path.strip("/").partition("/")
    if rest and head in {"grants", "training"}:
        return f"{'Grant' if head == 'grants' else 'Training'}: {NAME_WORDS.get(rest, rest)}"
    return PATH_WORDS.get(path, head)


def value(found: Any) -> str:
    """Return a changed value for people: lists as their members."""
    return ", ".join(str(each) for each in found) if isinstance(found, list) else str(found)


def asset(name: str) -> str:
    """Return a static file's address with its digest, so that a browser may keep it for ever."""
    if name not in _DIGESTS:
        content = files("tenant_app.web").joinpath("static", name).read_bytes()
        _DIGESTS[name] = hashlib.sha256(content).hexdigest()[:12]
    return f"/static/{name}?v={_DIGESTS[name]}"


_DIGESTS: dict[str, str] = {}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tenant_app.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        {
            "size": size,
            "when": when,
            "exactly": exactly,
            "ago": ago,
            "initials": initials,
            "media": media_label,
            "signed_by": signed_by,
            "path_name": path_name,
            "value": value,
        }
    )
    environment.globals.update(
        asset=asset,
        action_words=ACTION_WORDS,
        meaning_words=MEANING_WORDS,
        name_words=NAME_WORDS,
        next_words=next_words,
        now=lambda: datetime.now(UTC),
        right_words=RIGHT_WORDS,
        part_words=PART_WORDS,
        path_words=PATH_WORDS,
        role_words=ROLE_WORDS,
        state_words=STATE_WORDS,
    )
    return environment


ENVIRONMENT = _environment()
