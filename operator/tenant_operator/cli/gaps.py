"""`cloister audit gaps`: is the record complete? Missing numbers, acts without an end, the API server's record beside ours."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from audit_contract import bundle as bundles
from audit_contract.leaf import Leaf, LeafError, read_leaf
from audit_contract.report import Exit, Report
from audit_contract.tiles import TileError, split_entries
from audit_contract.verify import verify_bundle
from tenant_operator.api.names import PLATFORM_LOG
from tenant_operator.cli import gaps_apiserver as beside
from tenant_operator.cli.words import console, counted

SKEW = timedelta(seconds=2)
"""How far the API server's clock and the audit service's may be apart."""


def leaves_of(data: bytes) -> dict[int, Leaf]:
    """Return a bundle's entries by index; those that cannot be read are left out, and the verifier has said so."""
    found: dict[int, Leaf] = {}
    try:
        bundle = bundles.read(data)
        entries = [
            entry
            for member in bundle.entry_members()
            if member in bundle.members
            for entry in split_entries(bundle.members[member])
        ]
    except (bundles.BundleError, TileError):
        return found
    for index, entry in enumerate(entries):
        try:
            found[index] = read_leaf(entry)
        except LeafError:
            continue
    return found


def find(
    data: bytes,
    tenant: str,
    *,
    keys: Sequence[str] = (),
    bound: timedelta,
    now: datetime,
    calls: Sequence[beside.Call] | None = None,
    platform: Callable[[], bytes] = bytes,
) -> Report:
    """Return the verifier's report with everything that is missing as a problem of kind INCOMPLETE.

    `bound`: how long an intent may wait for its outcome. `calls`: the API server's log, when there is one. `platform` fetches
    the platform's bundle, and is only called when an admission entry is not in the tenant's log.
    """
    report = verify_bundle(data, keys)
    if report.code in {Exit.BAD_INPUT, Exit.TAMPERED}:
        return report
    leaves = leaves_of(data)
    for index in report.open_intents:
        began = datetime.fromisoformat(leaves[index].received)
        if now - began > bound:
            said = (
                f"entry {index}: {_what(leaves[index])} has an intent and no outcome since {began:%Y-%m-%dT%H:%M:%SZ}"
            )
            report.add(Exit.INCOMPLETE, index, said)
    for index in report.orphans:
        report.add(Exit.INCOMPLETE, index, f"entry {index}: an outcome whose intent is not in the log before it")
    if calls is not None:
        _compare(report, leaves, tenant, bound, calls, platform)
    return report


def _what(leaf: Leaf) -> str:
    return f"{leaf.action} of {leaf.data['object']['type']} {leaf.data['object']['id']}"


def _compare(
    report: Report,
    leaves: Mapping[int, Leaf],
    tenant: str,
    bound: timedelta,
    calls: Sequence[beside.Call],
    platform: Callable[[], bytes],
) -> None:
    scope = beside.Scope(tenant)
    known = beside.acts(leaves, scope, bound)
    for text in beside.unrecorded(calls, known, scope, SKEW):
        report.add(Exit.INCOMPLETE, None, text)
    for index, text in beside.undone(calls, known, SKEW):
        report.add(Exit.INCOMPLETE, index, text)
    if tenant == PLATFORM_LOG:
        return
    here = {leaf.id for leaf in leaves.values()}
    missing = {call.entry for call in calls if call.entry and call.about[::2] == ("Tenant", tenant)} - here
    elsewhere = frozenset(leaf.id for leaf in leaves_of(platform()).values()) if missing else frozenset()
    for at, text in beside.admissions(calls, leaves, scope, elsewhere):
        report.add(Exit.INCOMPLETE, at, text)


def say(report: Report, name: str, *, bound: timedelta, calls: int | None, as_json: bool) -> None:
    """Say what was found, as a table or as JSON."""
    if as_json:
        body: dict[str, Any] = {**report.as_json(), "tenant": name, "boundSeconds": int(bound.total_seconds())}
        if calls is not None:
            body["apiserverCalls"] = calls
        console.print_json(json.dumps(body))
        return
    if report.problems:
        # Whole lines, which no terminal's width breaks: the texts are long, and people search for what is in them.
        console.print(f"{'KIND':<11} {'ENTRY':>7}  WHAT IS MISSING", style="dim")
        for problem in report.problems:
            at = "" if problem.index is None else str(problem.index)
            console.print(f"{problem.kind.name.lower():<11} {at:>7}  {problem.text}", soft_wrap=True, markup=False)
    mark = "[green]✓[/]" if report.ok else "[red]✗[/]"
    found = "nothing is missing" if report.ok else counted(len(report.problems), "gap")
    console.print(f"{mark} {name}: {counted(report.size, 'entry')} of {counted(report.sources, 'source')}, {found}.")
    waiting = len(report.open_intents)
    if report.ok and waiting:
        console.print(f"  [dim]{counted(waiting, 'act')} under way for less than {int(bound.total_seconds())} s[/]")
    if calls is None:
        said = "Compared with itself only; --apiserver-log FILE compares it with what the API server saw."
    else:
        said = f"Compared with {counted(calls, 'change')} in the API server's own log, both ways."
    console.print(f"  [dim]{said}[/]", soft_wrap=True)


def gaps(
    fetch: Callable[[str], bytes],
    tenant: str,
    *,
    keys: Sequence[str],
    bound: timedelta,
    files: Sequence[Path],
    as_json: bool,
) -> Exit:
    """Fetch a log, look for gaps, say them; return the verifier's exit code."""
    calls = beside.read(files) if files else None
    report = find(
        fetch(tenant),
        tenant,
        keys=keys,
        bound=bound,
        now=datetime.now(UTC),
        calls=calls,
        platform=lambda: fetch(PLATFORM_LOG),
    )
    say(report, tenant, bound=bound, calls=None if calls is None else len(calls), as_json=as_json)
    return report.code
