"""One person, as an administrator sees and treats them: grants, training, enrolment, sessions, loss."""

from collections.abc import Awaitable, Callable

from starlette.responses import RedirectResponse, Response

from tenant_app.domain.access import Right
from tenant_app.domain.authority import day_end
from tenant_app.errors import AppError
from tenant_app.services.enrolment import RESET
from tenant_app.services.identity_records import Verification
from tenant_app.services.losses import RESTORE
from tenant_app.web.guard import Handler, Page
from tenant_app.web.pages_admin import SHOWN, id_of
from tenant_app.web.render import render
from tenant_app.web.visit import Visit

_SEE_OTHER = 303
_FIELDS = ("name", "reason", "until", "what", "trained_until", "how", "verified_by", "verified_on", "personnel", "lost")


async def person(visit: Visit) -> Response:
    """Show what a person may do and through what."""
    return await _page(visit)


async def history(visit: Visit) -> Response:
    """Show what was done to a person's authority, old and new side by side."""
    sub = visit.request.path_params["sub"]
    entries = await visit.app.administration.history(visit.caller, sub)
    standing = await visit.app.administration.person(visit.caller, sub)
    return render(visit, "admin_history.html", person=standing, entries=entries)


def _acting(act: Callable[[Visit, str], Awaitable[object]]) -> Handler:
    """Return a handler that does `act` and shows the person again, with what was wrong if it was refused."""

    async def handler(visit: Visit) -> Response:
        sub = visit.request.path_params["sub"]
        try:
            await act(visit, sub)
        except SHOWN as error:
            return await _page(visit, error=error)
        return RedirectResponse(f"/admin/people/{sub}", _SEE_OTHER)

    handler.__doc__ = act.__doc__
    return handler


async def _grant(visit: Visit, sub: str) -> None:
    """Give a role or right until a day."""
    until = day_end(visit.text("until"))
    await visit.app.grants.grant(visit.caller, sub, visit.text("name"), visit.text("reason"), until)


async def _revoke(visit: Visit, _sub: str) -> None:
    """Take a grant back."""
    await visit.app.grants.revoke(visit.caller, id_of(visit, "grant"), visit.text("reason"))


async def _train(visit: Visit, sub: str) -> None:
    """Record a training."""
    until = day_end(visit.text("trained_until"))
    await visit.app.grants.record_training(visit.caller, sub, visit.text("name"), visit.text("what"), until)


async def _enrol(visit: Visit, sub: str) -> None:
    """Record a verified identity."""
    given = Verification(
        how=visit.text("how"),
        verified_by=visit.text("verified_by"),
        verified_on=visit.text("verified_on"),
        personnel=visit.text("personnel"),
    )
    await visit.app.enrolments.enrol(visit.caller, sub, given)


async def _end_sessions(visit: Visit, sub: str) -> None:
    """End a person's sessions at once."""
    await visit.app.administration.end_sessions(visit.caller, sub, visit.text("reason"))


async def _lose(visit: Visit, sub: str) -> None:
    """Report a loss for somebody."""
    await visit.app.losses.report(visit.caller, sub, visit.text("lost"))


async def _ask(visit: Visit, sub: str) -> None:
    """Ask for what two administrators have to agree on."""
    await visit.app.two_person.ask(visit.caller, visit.text("kind"), sub, visit.text("reason"))


async def _page(visit: Visit, *, error: AppError | None = None) -> Response:
    app, caller, sub = visit.app, visit.caller, visit.request.path_params["sub"]
    standing = await app.administration.person(caller, sub)
    needless = {
        RESTORE: standing.known.suspended_at is None,
        RESET: not (await app.factor.device(sub)).enrolled,
    }
    kinds = {kind: words for kind, words in app.two_person.kinds.items() if not needless.get(kind)}
    return render(
        visit,
        "admin_person.html",
        status=error.status if error else 200,
        error=error,
        person=standing,
        grants=await app.grants.grants(caller, sub),
        trainings=await app.grants.trainings(caller, sub),
        enrolments=await app.enrolments.of(caller, sub),
        demanded=app.settings.signing.enrolment == "required",
        required=sorted(app.authority.rules.required),
        asked=[each for each in await app.two_person.recent(caller) if each.sub == sub],
        kinds=kinds,
        given={name: visit.text(name) for name in _FIELDS},
    )


_PERSON = "/admin/people/{sub}"
PAGES = [
    Page(method="GET", path=_PERSON, needs=Right.ADMINISTER, handler=person),
    Page(method="GET", path=_PERSON + "/history", needs=Right.ADMINISTER, handler=history),
    Page(method="POST", path=_PERSON + "/grants", needs=Right.ADMINISTER, handler=_acting(_grant)),
    Page(method="POST", path=_PERSON + "/grants/{grant}/revoke", needs=Right.ADMINISTER, handler=_acting(_revoke)),
    Page(method="POST", path=_PERSON + "/training", needs=Right.ADMINISTER, handler=_acting(_train)),
    Page(method="POST", path=_PERSON + "/enrolment", needs=Right.ADMINISTER, handler=_acting(_enrol)),
    Page(method="POST", path=_PERSON + "/end-sessions", needs=Right.ADMINISTER, handler=_acting(_end_sessions)),
    Page(method="POST", path=_PERSON + "/loss", needs=Right.ADMINISTER, handler=_acting(_lose)),
    Page(method="POST", path=_PERSON + "/requests", needs=Right.ADMINISTER, handler=_acting(_ask)),
]
