"""The API server's own audit log beside ours: what is in one record and not in the other. Pure but for reading the files.

One act of the operator may be several requests (fields change hands before they are applied), and a request lies between the
act's intent and its outcome, because the one is durable before it and the other is written after it. So every mutation by an
identity of ours must fall into an act on the same object, and every act must have a request, whatever was answered.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from audit_contract.leaf import Leaf
from tenant_operator.api.names import ADMISSION, PLATFORM_LOG
from tenant_operator.cli.problems import ProblemError
from tenant_operator.clients.resources import CERTIFICATE, CHILDREN, OURS, WEBHOOKS

OPERATOR: Final = "system:serviceaccount:cloister-system:cloister-operator"
ENTRY: Final = "record.admission.cloister.dev/entry"
"""The annotation that the admission webhook leaves in the API server's audit log."""
_MUTATES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_ACTS: Final = frozenset({"create", "apply", "delete", "adopt", "scale"})
_ONCE: Final = frozenset({"create", "delete"})
_CREDENTIALS: Final = frozenset({"token"})
_KIND_OF: Final = {item.plural: item.kind for item in (*CHILDREN, *OURS, *WEBHOOKS, CERTIFICATE)}
_PLATFORM_KINDS: Final = frozenset({"TenantRecord", *(item.kind for item in WEBHOOKS)})
_REFUSED: Final = 300

Object = tuple[str, str, str]
"""Kind, namespace, name."""


@dataclass(frozen=True)
class Call:
    """One request that changes something, as the API server logged it."""

    id: str
    at: datetime
    user: str
    """Whose rights it used: the impersonated one's, where somebody acted as another."""
    behind: str
    """Who impersonated them, if anybody."""
    verb: str
    about: Object
    subresource: str
    code: int
    entry: str
    """The admission entry it names."""

    @property
    def done(self) -> bool:
        """Tell whether it was carried out."""
        return self.code < _REFUSED

    def __str__(self) -> str:
        kind, namespace, name = self.about
        place = f"{namespace}/{name}" if namespace else name
        who = f"{self.user} (in truth {self.behind})" if self.behind else self.user
        return f"{self.at:%Y-%m-%dT%H:%M:%SZ} {who} {self.verb} {kind} {place} (audit id {self.id})"


def read(files: Sequence[Path]) -> list[Call]:
    """Read logs of JSON lines (audit.k8s.io/v1 Event), plain or .gz. Raises ProblemError that names the file and the line."""
    found = {}
    for file in files:
        try:
            with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
                for number, line in enumerate(lines, 1):
                    call = _call(line, f"{file}:{number}")
                    if call is not None:
                        found[call.id] = call
        except OSError as error:
            raise ProblemError(f"{file}: {error.strerror or error}") from error
    return sorted(found.values(), key=lambda call: call.at)


def _call(line: str, where: str) -> Call | None:
    if not line.strip():
        return None
    try:
        event = json.loads(line)
        about = event.get("objectRef") or {}
        if event["stage"] != "ResponseComplete" or event["verb"] not in _MUTATES or "dryRun=" in event["requestURI"]:
            return None
        kind = _KIND_OF.get(about.get("resource", ""), about.get("resource", ""))
        return Call(
            id=event["auditID"],
            at=datetime.fromisoformat(event["requestReceivedTimestamp"]),
            user=(event.get("impersonatedUser") or event["user"]).get("username", ""),
            behind=event["user"].get("username", "") if event.get("impersonatedUser") else "",
            verb=event["verb"],
            about=(kind, "" if kind == "Namespace" else about.get("namespace", ""), about.get("name", "")),
            subresource=about.get("subresource", ""),
            code=int((event.get("responseStatus") or {}).get("code", 0)),
            entry=(event.get("annotations") or {}).get(ENTRY, ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"{where}: not a line of the API server's audit log: {type(error).__name__}: {error}"
        raise ProblemError(said, hint="It is the file that --audit-log-path of kube-apiserver names.") from error


@dataclass(frozen=True)
class Act:
    """One act of the operator on a Kubernetes object: from its intent to its outcome."""

    index: int
    about: Object
    begin: datetime
    end: datetime
    asked: bool
    """Whether it ended well by a request to the API server; one that failed may never have got so far."""


@dataclass(frozen=True)
class Scope:
    """What a log is about: a tenant's objects, or the platform's."""

    tenant: str
    operator: str = OPERATOR

    @property
    def namespace(self) -> str:
        """The tenant's namespace."""
        return f"tenant-{self.tenant}"

    def holds(self, about: Object) -> bool:
        """Tell whether an object's acts belong in this log."""
        kind, namespace, name = about
        if self.tenant == PLATFORM_LOG:
            return kind in _PLATFORM_KINDS
        return namespace == self.namespace or (kind == "Namespace" and name == self.namespace)

    def ours(self, user: str) -> bool:
        """Tell whether an identity is the operator's, or one of the tenant's own service accounts."""
        return user == self.operator or user.startswith(f"system:serviceaccount:{self.namespace}:")


def acts(leaves: Mapping[int, Leaf], scope: Scope, bound: timedelta) -> list[Act]:
    """Return the log's acts on objects of its scope; one without an outcome counts until the bound."""
    ends = {leaf.data["intent"]: leaf for leaf in leaves.values() if leaf.data["phase"] == "outcome"}
    found: list[Act] = []
    for index, leaf in leaves.items():
        if leaf.action == "operator:self:start" and scope.tenant == PLATFORM_LOG:
            found += _beginning(index, leaf, bound)
        source, subject, verb = leaf.action.split(":")
        about = (leaf.data["object"]["type"], leaf.data["object"].get("namespace", ""), leaf.data["object"]["id"])
        about = (about[0], "" if about[0] == "Namespace" else about[1], about[2])
        if source != "operator" or leaf.data["phase"] != "intent" or not scope.holds(about):
            continue
        if subject == "object" and verb not in _ACTS:
            continue
        begin = datetime.fromisoformat(leaf.data["t"]["event"])
        outcome = ends.get(leaf.id)
        end = datetime.fromisoformat(outcome.data["t"]["recv"]) if outcome else begin + bound
        asked = subject == "object" and outcome is not None and outcome.data.get("result") == "ok"
        found.append(Act(index, about, begin, end, asked))
    return found


def _beginning(index: int, leaf: Leaf, bound: timedelta) -> Iterator[Act]:
    """Yield what an operator does before there is a log to tell: `operator:self:start` tells it afterwards."""
    told = datetime.fromisoformat(leaf.data["t"]["event"])
    for kind in WEBHOOKS:
        yield Act(index, (kind.kind, "", ADMISSION), told - bound, told, asked=False)


def unrecorded(calls: Iterable[Call], known: Iterable[Act], scope: Scope, skew: timedelta) -> Iterator[str]:
    """Yield mutations by our identities that no act of the log covers."""
    by_object: dict[Object, list[Act]] = defaultdict(list)
    for act in known:
        by_object[act.about].append(act)
    for call in calls:
        if not call.done or not scope.ours(call.user) or not scope.holds(call.about) or _is_observation(call):
            continue
        if not any(act.begin - skew <= call.at <= act.end + skew for act in by_object[call.about]):
            yield f"the API server's log has it, the audit log has no act for it: {call}"


def _is_observation(call: Call) -> bool:
    """Tell what is not an act: a status that the operator writes of its own kinds, a token, an Event."""
    return call.subresource in {"status"} | _CREDENTIALS or call.about[0] in {"events", "leases"}


def undone(calls: Sequence[Call], known: Iterable[Act], skew: timedelta) -> Iterator[tuple[int, str]]:
    """Yield acts of the log, within the time the API server's log covers, that it has no request for."""
    if not calls:
        return
    first, last = calls[0].at, calls[-1].at
    by_object: dict[Object, list[datetime]] = defaultdict(list)
    for call in calls:
        by_object[call.about].append(call.at)
    for act in known:
        covered = act.asked and first <= act.begin and act.end <= last
        if covered and not any(act.begin - skew <= at <= act.end + skew for at in by_object[act.about]):
            said = f"entry {act.index}: an act on {' '.join(filter(None, act.about))} that the API server's log does not have"
            yield act.index, said


def admissions(
    calls: Sequence[Call], leaves: Mapping[int, Leaf], scope: Scope, elsewhere: frozenset[str]
) -> Iterator[tuple[int | None, str]]:
    """Yield edits of the Tenant by people that have no admission entry, and admission entries without their request.

    `elsewhere` are ids of entries in the platform's log, where a tenant's first one is.
    """
    if not calls:
        return
    entries = {leaf.id: index for index, leaf in leaves.items() if leaf.action.startswith("admission:")}
    for call in calls:
        if call.about[0] != "Tenant" or call.about[2] != scope.tenant or call.subresource or not call.done:
            continue
        if call.entry and call.entry not in entries and call.entry not in elsewhere:
            yield None, f"the API server's log names admission entry {call.entry}, which is in no log: {call}"
        if not call.entry and call.user != scope.operator and call.verb in _ONCE:
            yield None, f"it went past the admission webhook: {call}"
    named = {call.entry for call in calls if call.entry}
    for entry, index in entries.items():
        at = datetime.fromisoformat(leaves[index].data["t"]["event"])
        if calls[0].at <= at <= calls[-1].at and entry not in named:
            yield index, f"entry {index}: an admission that the API server's log does not have"
