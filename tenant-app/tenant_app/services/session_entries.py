"""The entries of signing in and out."""

import hashlib
from collections.abc import Mapping

from tenant_app.domain import lockout
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Actor, Change, Entry, Json, ObjectRef, Reason
from tenant_app.domain.identity import Person, Session, SessionEnd


def refusal(account: str, code: str, *, address: str, request: str) -> Entry:
    """Return the entry of a sign-in that was refused."""
    return Entry(
        action=Action.SIGN_IN_REFUSED,
        actor=Actor(type="user", sub="unknown", name=account or "(nothing usable)"),
        object=_account_ref(account),
        changes=(Change(path="/address", new=address),),
        reason=Reason(code=code),
        result="denied",
        request=request,
    )


def slowed(account: str, counter: lockout.Failures, *, address: str, request: str) -> Entry:
    """Return the entry of an account or a source whose further tries are delayed (11.300(d))."""
    whose = "this account" if counter.scope is lockout.Scope.ACCOUNT else "this source"
    return Entry(
        action=Action.ACCOUNT_LOCKED,
        actor=Actor(type="user", sub="unknown", name=account or "(nothing usable)"),
        object=_account_ref(account),
        changes=(Change(path="/address", new=address),),
        reason=Reason(code="sign_in", text=f"{counter.count} failed sign-ins of {whose}: further tries are delayed."),
        result="denied",
        request=request,
    )


def _account_ref(account: str) -> ObjectRef:
    return ObjectRef(type="Account", id=hashlib.sha256(account.encode()).hexdigest()[:16])


def signed_in(session: Session, changes: tuple[Change, ...], *, address: str, request: str) -> Entry:
    """Return the entry of a session that was opened; `changes` are what is to be told beside the address."""
    told = (Change(path="/address", new=address), *changes)
    return Entry(
        action=Action.SIGN_IN, actor=actor_of(session), object=_session_ref(session), changes=told, request=request
    )


def ended(session: Session, why: SessionEnd, request: str) -> Entry:
    """Return the entry of a session's end."""
    return Entry(
        action=Action.SIGN_OUT if why is SessionEnd.SIGNED_OUT else Action.SESSION_EXPIRED,
        actor=actor_of(session),
        object=_session_ref(session),
        reason=Reason(code=why.value),
        request=request,
    )


def stepped_up(session: Session, request: str) -> Entry:
    """Return the entry of somebody who has just typed their credentials at the provider again."""
    return Entry(action=Action.STEPPED_UP, actor=actor_of(session), object=_session_ref(session), request=request)


def person_changed(person: Person, old: Mapping[str, Json], new: Mapping[str, Json], request: str) -> Entry:
    """Return the entry of a person whom the directory describes in other words than at their last sign-in."""
    return Entry(
        action=Action.PERSON_CHANGED,
        actor=Actor(type="user", sub=person.sub, name=person.name),
        object=ObjectRef(type="Person", id=person.sub),
        changes=tuple(
            Change(path=f"/{name}", old=old.get(name), new=value)
            for name, value in new.items()
            if old.get(name) != value
        ),
        reason=Reason(code="directory", text="As the directory describes the person at sign-in."),
        request=request,
    )


def _session_ref(session: Session) -> ObjectRef:
    return ObjectRef(type="Session", id=session.id_hash.hex()[:16])


def actor_of(session: Session) -> Actor:
    """Return a session's person as entries name them."""
    auth = {"session": session.id_hash.hex()[:16], "method": session.method}
    return Actor(type="user", sub=session.sub, name=session.name, auth=auth)
