"""`cloister plan -f tenant.yaml`: what would change if this were applied."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from rich.text import Text
from rich.tree import Tree

from tenant_operator.api.common import API_VERSION
from tenant_operator.api.names import LABEL_PART, LABEL_TENANT
from tenant_operator.cli import rendering
from tenant_operator.cli.kube import Kube, Object, ours
from tenant_operator.cli.problems import Exit, ProblemError
from tenant_operator.cli.rendering import UNKNOWN_ID, Stack
from tenant_operator.cli.values import changed, value_at
from tenant_operator.cli.words import console
from tenant_operator.clients.resources import CHILDREN
from tenant_operator.reconcile.compare import differences
from tenant_operator.reconcile.plan import KEPT
from tenant_operator.stack.part import ExternalKey, Manifest, ObjectKey

_UNREADABLE = "Secret"
"""Their values are derived from the operator's seed; only whether they are there can be told from here."""


@dataclass(frozen=True)
class Change:
    """One thing that would change."""

    sign: Literal["+", "~", "-"]
    part: str
    what: str
    details: tuple[str, ...] = ()


def read(file: Path) -> Object:
    """Return the one Tenant of a file. Raises ProblemError."""
    try:
        found = [item for item in yaml.safe_load_all(file.read_text()) if item]
    except OSError as error:
        raise ProblemError(f"{file}: {error.strerror}", code=Exit.NOT_FOUND) from error
    except yaml.YAMLError as error:
        raise ProblemError(f"{file} is not YAML: {error}") from error
    tenants = [item for item in found if isinstance(item, dict) and item.get("kind") == "Tenant"]
    if (
        len(tenants) != 1
        or tenants[0].get("apiVersion") != API_VERSION
        or not tenants[0].get("metadata", {}).get("name")
    ):
        raise ProblemError(f"{file} must hold one Tenant ({API_VERSION}) with a name; it holds {len(tenants)}")
    body: Object = tenants[0]
    return body


def plan(kube: Kube, file: Path) -> bool:
    """Show what would change; return whether something would."""
    body = read(file)
    name = body["metadata"]["name"]
    spec = rendering.parse(body, str(file))
    live = kube.find(ours("tenants", name))
    record = kube.find(ours("tenantrecords", name))
    _ask_the_api_server(kube, body)
    state, number = ((record or {}).get("spec") or {}).get("state"), ((record or {}).get("spec") or {}).get("id")
    if state == "Destroyed":
        raise ProblemError(
            f"{name} was offboarded and destroyed; its name is not used again", hint="Choose another name."
        )
    new = rendering.stack(rendering.context(kube, name, number, spec))
    if live is None:
        words = "would be taken up again, with its data" if state == "Retained" else "would be onboarded"
    else:
        words = "exists"
    old = (
        rendering.stack(rendering.context(kube, name, number, rendering.parse(live, f"the live {name}")))
        if live
        else None
    )
    changes = compare(old, new, observed(kube, name) if number else {})
    show(name, words, changes)
    return bool(changes) or live is None


def _ask_the_api_server(kube: Kube, body: Object) -> None:
    """Have the API server check it as it would an apply: rules on changes, and the policies. Needs the right to write."""
    path = ours("tenants", body["metadata"]["name"])
    query = {"dryRun": "All", "fieldManager": "cloister-plan", "force": "true", "fieldValidation": "Strict"}
    try:
        kube.call("PATCH", path, body, kind="application/apply-patch+yaml", query=query)
    except ProblemError as problem:
        if problem.code is not Exit.UNREACHABLE or "cannot" not in problem.message:
            raise


def observed(kube: Kube, tenant: str) -> dict[ObjectKey, Manifest]:
    """Return what is live of a tenant, without Secrets."""
    found = {}
    readable = [resource for resource in CHILDREN if resource.kind not in {_UNREADABLE, "Pod"}]
    with ThreadPoolExecutor(len(readable)) as pool:
        label = f"{LABEL_TENANT}={tenant}"
        lists = pool.map(lambda resource: kube.items(resource.collection(), labelSelector=label), readable)
        for resource, items in zip(readable, lists, strict=True):
            for item in items:
                whole = {"apiVersion": resource.api_version, "kind": resource.kind, **item}
                found[ObjectKey.of(whole)] = whole
    return found


def compare(old: Stack | None, new: Stack, live: dict[ObjectKey, Manifest]) -> list[Change]:
    """Return what would change: by the edit (old to new), and by repair (what is live but not as specified)."""
    changes = []
    for key, manifest in new.objects.items():
        before = live.get(key) or (old.objects.get(key) if old and (not live or key.kind == _UNREADABLE) else None)
        part = new.part_of[key]
        if before is None:
            changes.append(Change("+", part, str(key)))
        elif key not in new.create_only and (details := _details(manifest, before, new.hidden.get(key, frozenset()))):
            changes.append(Change("~", part, str(key), details))
    changes += _removed(old, new, live)
    changes += _outside(old, new)
    return changes


def _details(wanted: Manifest, before: Manifest, hidden: frozenset[str]) -> tuple[str, ...]:
    """Return the paths that differ, with both values, but for those that rest on secrets."""
    paths = [path for path in differences(wanted, before) if path not in hidden]
    return tuple(line for path in paths for line in changed(path, value_at(before, path), value_at(wanted, path)))


def _removed(old: Stack | None, new: Stack, live: dict[ObjectKey, Manifest]) -> list[Change]:
    """Return what would be pruned."""
    known = {key: live[key]["metadata"].get("labels", {}).get(LABEL_PART, "") for key in live} if live else {}
    if old:
        known |= {key: old.part_of[key] for key in old.objects if not live or key.kind == _UNREADABLE}
    gone = [key for key in known if key not in new.objects and key.kind not in KEPT and known[key]]
    return [Change("-", known[key], str(key)) for key in gone if key.kind != "Job"]


def _outside(old: Stack | None, new: Stack) -> list[Change]:
    """Return what would change in Vault, PostgreSQL and object storage by the edit; they are not asked from here."""
    changes = []
    for key, spec in new.outside.items():
        before = old.outside.get(key) if old else None
        if before is None:
            changes.append(Change("+", new.part_of[key], _outside_words(key)))
        elif before != spec:
            off = tuple(line for name in spec for line in changed(name, before.get(name), spec[name]))
            changes.append(Change("~", new.part_of[key], _outside_words(key), off))
    return changes


def _outside_words(key: ExternalKey) -> str:
    systems = {"vault": "Vault", "postgres": "PostgreSQL", "objectstore": "object storage", "audit": "audit"}
    return f"{systems[key.system]} {key.kind} {key.name.replace(UNKNOWN_ID, '<its id>')}"


def show(name: str, words: str, changes: list[Change]) -> None:
    """Draw the changes part by part, and count them."""
    styles = {"+": "green", "~": "yellow", "-": "red"}
    if changes:
        tree = Tree(f"[bold]{name}[/] {words}")
        for part in dict.fromkeys(change.part for change in changes):
            branch = tree.add(f"[dim]{part}[/]")
            for change in changes:
                if change.part == part:
                    leaf = branch.add(Text(f"{change.sign} {change.what}", style=styles[change.sign]))
                    for line in change.details:
                        leaf.add(Text(line, style="dim"))
        console.print(tree)
        counts = {sign: sum(change.sign == sign for change in changes) for sign in "+~-"}
        console.print(
            f"\n{counts['+']} to create, {counts['~']} to change, {counts['-']} to remove. Nothing has been changed."
        )
    else:
        console.print(f"[green]✓[/] {name} {words} and is as this file says. Nothing would change.")
