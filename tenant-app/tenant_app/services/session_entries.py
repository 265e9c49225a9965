"""The entries of signing in and out."""

import hashlib

from tenant_app.domain import lockout
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Actor, Change, Entry, ObjectRef, Reason
from tenant_app.domain.identity import Session


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


def actor_of(session: Session) -> Actor:
    """Return a session's person as entries name them."""
    auth = {"session": session.id_hash.hex()[:16], "method": session.method}
    return Actor(type="user", sub=session.sub, name=session.name, auth=auth)
