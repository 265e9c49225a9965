"""What has to be done so that what was observed becomes what is desired: pure, ordered, and each step with its cause."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tenant_operator.api.names import FIELD_MANAGER, LABEL_PART
from tenant_operator.ports import Planned
from tenant_operator.reconcile.compare import added_only, differences
from tenant_operator.stack.part import (
    Context,
    Desired,
    External,
    Manifest,
    ObjectKey,
    Observed,
    Part,
    Resource,
    Trouble,
)

Verb = Literal["create", "apply", "replace", "delete", "ensure"]
KEPT = frozenset({"Namespace", "PersistentVolumeClaim"})
"""Never pruned: only an offboarding takes these away."""
_SHOWN_PATHS = 6

_EXTERNAL_ACTIONS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("vault", "key"): ("operator:vault-key:create", "operator:vault-key:configure"),
    ("vault", "policy"): ("operator:vault-policy:write", "operator:vault-policy:write"),
    ("vault", "role"): ("operator:vault-role:write", "operator:vault-role:write"),
    ("postgres", "role"): ("operator:database-role:create", "operator:database-role:alter"),
    ("postgres", "database"): ("operator:database:create", "operator:database:configure"),
    ("objectstore", "bucket"): ("operator:bucket:create", "operator:bucket:configure"),
    ("objectstore", "bucket-user"): ("operator:bucket-user:create", "operator:bucket-user:rotate"),
}
"""What creating and changing a thing outside is called in the audit log."""


@dataclass(frozen=True)
class Step:
    """One act."""

    verb: Verb
    wave: int
    resource: Resource | None
    live: Manifest | None
    planned: Planned
    seen: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Plan:
    """All that can be done now, in order, and what waits for something."""

    steps: Sequence[Step] = ()
    waiting: Sequence[str] = ()
    troubles: Sequence[Trouble] = field(default=())

    @property
    def waves(self) -> list[list[Step]]:
        """The steps by wave; the steps of one wave do not depend on each other."""
        numbers = sorted({step.wave for step in self.steps})
        return [[step for step in self.steps if step.wave == number] for number in numbers]


def resources(ctx: Context, parts: Iterable[Part]) -> list[Resource]:
    """Return everything that is desired, in wave order."""
    return sorted((item for part in parts for item in part.desired(ctx)), key=lambda item: item.wave)


def make(ctx: Context, wanted: Sequence[Resource], seen: Observed, gone: Mapping[ObjectKey, Any]) -> Plan:
    """Return the plan."""
    steps: list[Step] = []
    waiting: list[str] = []
    troubles: list[Trouble] = []
    for item in wanted:
        if item.gate and not item.gate(seen):
            waiting.append(str(item.key))
        elif isinstance(item, Desired):
            steps += _for_object(ctx, item, seen, gone, waiting)
        else:
            steps += _for_external(item, seen, troubles)
    steps += _prune(wanted, seen)
    return Plan(tuple(steps), tuple(waiting), tuple(troubles))


def _planned(action: str, key: ObjectKey, reason: str, text: str, **more: Any) -> Planned:
    return Planned(action, key.kind, key.name, key.namespace, reason, text, **more)


def _for_object(
    ctx: Context, item: Desired, seen: Observed, gone: Mapping[ObjectKey, Any], waiting: list[str]
) -> list[Step]:
    key, live = item.key, seen.objects.get(item.key)
    if live is None:
        if key in gone:
            when = gone[key].at.strftime("%Y-%m-%dT%H:%M:%SZ")
            planned = _planned("operator:object:create", key, "Drift", f"{key} was deleted; seen at {when}")
        else:
            planned = _planned("operator:object:create", key, "Specification", f"generation {ctx.generation}")
        return [Step("create", item.wave, item, None, planned)]
    if live["metadata"].get("deletionTimestamp"):
        waiting.append(f"{key} is being deleted")
        return []
    paths = [] if item.create_only else differences(item.manifest, live)
    if not paths:
        return []
    shown = ", ".join(paths[:_SHOWN_PATHS]) + (" …" if len(paths) > _SHOWN_PATHS else "")
    culprit = changed_by(live)
    reason = "Drift" if culprit else "Specification"
    text = f"{key} was changed by {culprit}: {shown}" if culprit else f"generation {ctx.generation}: {shown}"
    verb: Verb = "replace" if added_only(item.manifest, live) else "apply"
    change = (
        []
        if key.kind == "Secret"
        else [(path, at(live, path), at(item.manifest, path)) for path in paths[:_SHOWN_PATHS]]
    )
    planned = _planned("operator:object:apply", key, reason, text, change=change)
    return [Step(verb, item.wave, item, live, planned)]


def at(manifest: Manifest, path: str) -> Any:
    """Return the value at a path such as `spec.ports[0].port`, or None; keys with dots in them are not followed."""
    value: Any = manifest
    for name in path.replace("[", ".").replace("]", "").split("."):
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return value


def changed_by(live: Manifest) -> str:
    """Return who changed an object after us, from its managedFields, or nothing when we did last."""
    ours, theirs, who = "", "", ""
    for entry in live["metadata"].get("managedFields", ()):
        at = entry.get("time", "")
        if entry.get("manager") == FIELD_MANAGER:
            ours = max(ours, at)
        elif not entry.get("subresource") and at >= theirs:
            theirs, who = at, entry.get("manager", "")
    return who if theirs and theirs >= ours else ""


def _for_external(item: External, seen: Observed, troubles: list[Trouble]) -> list[Step]:
    if item.key not in seen.external:
        return []
    state = seen.external[item.key]
    if isinstance(state, Trouble):
        troubles.append(state)
        return []
    create, change = _EXTERNAL_ACTIONS[item.key.system, item.key.kind]
    kind = f"{item.key.system}-{item.key.kind}"
    if state is None:
        planned = Planned(create, kind, item.key.name, reason="Specification", text=f"{item.key} is not there")
        return [Step("ensure", item.wave, item, None, planned)]
    off = [name for name, value in item.spec.items() if state.get(name) != value]
    if not off:
        return []
    if item.key.kind == "key" and off == ["rotationDue"]:
        planned = Planned(
            "operator:vault-key:rotate", kind, item.key.name, reason="RotationDue", text="rotation is due"
        )
    else:
        edits = [(f"/{name}", state.get(name), item.spec[name]) for name in off]
        text = f"{item.key} differs in {', '.join(off)}"
        planned = Planned(change, kind, item.key.name, reason="Drift", text=text, change=edits)
    return [Step("ensure", item.wave, item, None, planned, state)]


def _prune(wanted: Sequence[Resource], seen: Observed) -> list[Step]:
    """Remove what we once rendered and no longer do; last, in one wave."""
    keep = {item.key for item in wanted if isinstance(item, Desired)}
    found = []
    for key, live in sorted(seen.objects.items()):
        meta = live["metadata"]
        if key in keep or key.kind in KEPT or meta.get("deletionTimestamp") or LABEL_PART not in meta.get("labels", {}):
            continue
        planned = _planned("operator:object:delete", key, "NoLongerDesired", f"{key} is no longer part of the stack")
        found.append(Step("delete", 1_000, None, live, planned))
    return found
