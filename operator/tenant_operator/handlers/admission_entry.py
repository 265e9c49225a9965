"""From an AdmissionReview to what the webhook answers and what the audit log is told. Pure."""

import base64
import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any, Final, Literal

from audit_contract.actions import Action
from audit_contract.canonical import canonical
from audit_contract.entry import MAX_CHANGES, MAX_VALUE, Actor, Change, Draft, ObjectRef, Reason, timestamp
from tenant_operator.api.names import ANNOTATION_ADMISSION, ANNOTATION_REASON, ANNOTATION_TICKET
from tenant_operator.stack import stamp
from tenant_operator.stack.part import Manifest

Request = Mapping[str, Any]
_ACTIONS: Final = {
    "CREATE": Action.RESOURCE_CREATE,
    "UPDATE": Action.RESOURCE_UPDATE,
    "DELETE": Action.RESOURCE_DELETE,
}
_TEXT: Final = 1024
_REASON: Final = 4000
_GROUPS: Final = 64
_CREDENTIAL: Final = "authentication.kubernetes.io/credential-id"


def changes_spec(request: Request) -> bool:
    """Tell whether a request is one to record: a create, a delete, or an update of the spec."""
    if request["operation"] != "UPDATE":
        return True
    return bool((request["object"] or {}).get("spec") != (request["oldObject"] or {}).get("spec"))


def stamped(request: Request, key: bytes, entry: str) -> list[dict[str, Any]]:
    """Return the JSON patch that puts the right stamp on the object, whatever it carries; empty when it is there.

    A new spec gets a new stamp; one that stays keeps the stamp it had, or none.
    """
    item: Manifest = request["object"]
    annotations = dict((item["metadata"].get("annotations")) or {})
    if changes_spec(request):
        before = ((request.get("oldObject") or {}).get("metadata") or {}).get("generation", 0)
        wanted: str | None = str(stamp.make(key, item, entry, before + 1))
    else:
        kept = ((request["oldObject"]["metadata"].get("annotations")) or {}).get(ANNOTATION_ADMISSION)
        wanted = kept
    if annotations.get(ANNOTATION_ADMISSION) == wanted:
        return []
    if wanted is None:
        return [{"op": "remove", "path": f"/metadata/annotations/{_pointer(ANNOTATION_ADMISSION)}"}]
    if not annotations:
        return [{"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION_ADMISSION: wanted}}]
    return [{"op": "add", "path": f"/metadata/annotations/{_pointer(ANNOTATION_ADMISSION)}", "value": wanted}]


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def draft(request: Request, entry: str) -> Draft:
    """Return the entry of a request. The same request and entry id give the same draft, so it may be sent again."""
    item: Manifest = request.get("object") or request["oldObject"]
    meta = item["metadata"]
    generation = meta.get("generation")
    return Draft(
        id=entry,
        event=timestamp(stamp.time_of(entry)),
        actor=actor(request["userInfo"]),
        action=_ACTIONS[request["operation"]],
        object=ObjectRef(
            type=request["kind"]["kind"],
            id=meta.get("name") or request.get("name") or meta.get("generateName", "-"),
            version=str(generation) if generation else None,
            sha256=stamp.spec_digest(item),
        ),
        change=changes((request.get("oldObject") or {}).get("spec"), (request.get("object") or {}).get("spec")),
        reason=reason(request),
        result="ok",
        request=request["uid"],
    )


def actor(user: Mapping[str, Any]) -> Actor:
    """Return who the API server authenticated: name, groups, and the id of the credential where it says one."""
    name = _clean(user.get("username") or "system:anonymous")
    groups = [_clean(group) for group in user.get("groups") or () if group]
    facts: dict[str, Any] = {"by": "kubernetes"}
    if user.get("uid"):
        facts["uid"] = _clean(user["uid"])
    if groups:
        facts["groups"] = groups[:_GROUPS]
    if len(groups) > _GROUPS:
        facts["groupsInAll"] = len(groups)
    credential = [_clean(text) for text in (user.get("extra") or {}).get(_CREDENTIAL, ()) if text]
    if credential:
        facts["credential"] = credential
    kind: Literal["user", "service", "system"] = "system" if name.startswith("system:") else "user"
    if name.startswith("system:serviceaccount:"):
        kind = "service"
    return Actor(type=kind, sub=name, auth=facts)


def _clean(text: str) -> str:
    return unicodedata.normalize("NFC", text)[:_TEXT]


def reason(request: Request) -> Reason:
    """Return why, as the object's annotations say.

    Code `Given`: with this request. `Standing`: the words stood there before, and may be about an earlier edit. `NoneGiven`.
    """
    told, before = (_told(request.get(side)) for side in ("object", "oldObject"))
    words = told or (before if request["operation"] == "DELETE" else "")
    if not words:
        return Reason(code="NoneGiven")
    return Reason(code="Standing" if words == before else "Given", text=words)


def _told(item: Manifest | None) -> str:
    annotations = ((item or {}).get("metadata") or {}).get("annotations") or {}
    ticket, why = annotations.get(ANNOTATION_TICKET, ""), annotations.get(ANNOTATION_REASON, "")
    said = ": ".join(part for part in (f"ticket {ticket}" if ticket else "", why) if part)
    return unicodedata.normalize("NFC", said)[:_REASON]


def changes(old: Any, new: Any) -> tuple[Change, ...]:
    """Return the fields of the spec that differ, as deep as they go; by whole top fields when those are too many."""
    found = list(_differing("/spec", old or {}, new or {}, deep=True))
    if len(found) > MAX_CHANGES:
        found = list(_differing("/spec", old or {}, new or {}, deep=False))
    return tuple(_change(*item) for item in found[:MAX_CHANGES])


_ABSENT: Final = object()


def _differing(path: str, old: Any, new: Any, *, deep: bool) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            one, other = old.get(name, _ABSENT), new.get(name, _ABSENT)
            if one == other:
                continue
            inside = f"{path}/{_pointer(name)}"
            if deep and isinstance(one, dict) and isinstance(other, dict):
                yield from _differing(inside, one, other, deep=True)
            else:
                yield inside, one, other


def _change(path: str, old: Any, new: Any) -> Change:
    given = {side: _value(value) for side, value in (("old", old), ("new", new)) if value is not _ABSENT}
    return Change(path=path[:_TEXT], **given)


def _value(value: Any) -> Any:
    """Return a value as the log takes it: one that is too large is named by its digest."""
    data = canonical(value)
    return value if len(data) <= MAX_VALUE else {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def review(request: Request, **answer: Any) -> dict[str, Any]:
    """Return the AdmissionReview that answers a request."""
    body = {"uid": request["uid"], **answer}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": body}


def patched(request: Request, patch: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer that allows a request with a JSON patch."""
    if not patch:
        return review(request, allowed=True)
    text = base64.b64encode(json.dumps(patch).encode()).decode()
    return review(request, allowed=True, patchType="JSONPatch", patch=text)


def refused(request: Request, message: str, code: int = 403) -> dict[str, Any]:
    """Return the answer that refuses a request, with words for the person who made it."""
    word = "ServiceUnavailable" if code == 503 else "Forbidden"  # noqa: PLR2004 - HTTP
    return review(request, allowed=False, status={"code": code, "reason": word, "message": message})
