"""`cloister tenants` and `cloister describe`."""

import json
import sys
from typing import Any

from rich.markup import escape
from rich.text import Text

from tenant_operator.cli.kube import Kube, Object, ours
from tenant_operator.cli.problems import Exit, ProblemError
from tenant_operator.cli.words import PROMISES, ago, conditions, console, current, mark, next_step, row, table


def show_json(value: Any) -> None:
    """Write JSON for programs: no colours, no wrapping."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def listing(kube: Kube, *, retained: bool, output: str) -> None:
    """List tenants, or those that are retained or destroyed."""
    tenants = kube.items(ours("tenants"))
    records = [item for item in kube.items(ours("tenantrecords")) if item["spec"]["state"] != "Live"]
    if output == "json":
        show_json(records if retained else tenants)
    elif retained:
        _list_records(records)
    else:
        _list_tenants(tenants)
        if records:
            console.print(f"\n[dim]{len(records)} more retained or destroyed: cloister tenants --retained[/]")


def _list_tenants(tenants: list[Object]) -> None:
    if not tenants:
        console.print("No tenants yet. Onboard one: kubectl apply -f examples/acme-pharma.yaml")
        return
    made = table("NAME", "READY", "PHASE", "REGION", "CLASS", "AGE", "MESSAGE")
    for item in tenants:
        spec, status, ready = item["spec"], item.get("status") or {}, conditions(item).get("Ready")
        said = status.get("url", "") if (ready or {}).get("status") == "True" else (ready or {}).get("message", "")
        phase = status.get("phase", "Pending") if current(item) else "Changing"
        age = ago(item["metadata"]["creationTimestamp"])
        row(made, item["metadata"]["name"], mark(ready), phase, spec["region"], spec["class"], age, said)
    console.print(made)


def _list_records(records: list[Object]) -> None:
    if not records:
        console.print("No tenant is retained: every tenant that was ever onboarded is live.")
        return
    made = table("NAME", "STATE", "REGION", "SINCE", "What to do")
    for item in records:
        spec, name = item["spec"], item["metadata"]["name"]
        advice = f"apply its YAML again, or: cloister offboard {name}"
        if spec["state"] == "Destroyed":
            advice = f"cloister offboard certificate {name}"
        row(made, name, spec["state"], spec["region"], ago(spec["since"]), Text(advice, style="dim"))
    console.print(made)


def the(kube: Kube, tenant: str) -> tuple[Object | None, Object | None]:
    """Return the Tenant and its TenantRecord; one of them may be missing. Raises ProblemError when both are."""
    found, record = kube.find(ours("tenants", tenant)), kube.find(ours("tenantrecords", tenant))
    if found is None and record is None:
        raise ProblemError(f"there is no tenant {tenant}", hint="`cloister tenants` lists them.", code=Exit.NOT_FOUND)
    return found, record


def describe(kube: Kube, tenant: str) -> None:
    """Say everything about one tenant."""
    found, record = the(kube, tenant)
    if found is None:
        _describe_record(tenant, record or {})
        return
    spec, status = found["spec"], found.get("status") or {}
    region = kube.find(ours("regions", spec["region"]))
    place = f"{region['spec']['displayName']}, {region['spec']['jurisdiction']}" if region else "no such Region"
    console.print(f"[bold]{escape(spec['displayName'])}[/] ({tenant}): {status.get('phase', 'Pending')}\n")
    facts = table("", "")
    facts.show_header = False
    for label, value in (
        ("Address", status.get("url")),
        ("Region", f"{spec['region']} ({place})"),
        ("Class", spec["class"]),
        ("Namespace", status.get("namespace")),
        ("App", status.get("appVersion")),
        ("Id", status.get("id")),
        ("Onboarded", f"{ago(found['metadata']['creationTimestamp'])} ago"),
    ):
        row(facts, Text(label, style="dim"), value or "not yet")
    console.print(facts)
    _promises(found)
    _inventory(status.get("inventory", []))
    if not current(found):
        console.print("\n[yellow]The operator has not looked at the newest change of this Tenant yet.[/]")
    step = next_step(tenant, conditions(found))
    if step:
        console.print(f"\n[bold]Next:[/] {step}")


def _promises(item: Object) -> None:
    found = conditions(item)
    console.print("\n[bold]Promises[/]")
    made = table("", "Promise", "Reason", "Since", "What was observed")
    for kind, words in PROMISES.items():
        if condition := found.get(kind):
            since = ago(condition["lastTransitionTime"])
            row(made, mark(condition), words, condition["reason"], since, condition.get("message", ""))
        else:
            row(made, mark(None), Text(words, style="dim"), "", "", Text("not observed yet", style="dim"))
    console.print(made)


def _inventory(inventory: list[dict[str, str]]) -> None:
    if not inventory:
        return
    console.print("\n[bold]Where its bytes lie[/]")
    made = table("What", "Kind", "Region", "Encrypted by")
    for item in inventory:
        row(made, item["location"], item["kind"], item["region"] or "not known", item["encryptedBy"])
    console.print(made)


def _describe_record(tenant: str, record: Object) -> None:
    spec = record["spec"]
    name = (spec.get("lastSpec") or {}).get("displayName", tenant)
    console.print(f"[bold]{escape(name)}[/] ({tenant}): {spec['state']} since {spec['since']}\n")
    if spec["state"] == "Retained":
        console.print("Stopped. Data, keys, backups and the name are kept.")
        console.print(f"To bring it back, apply its YAML again. To export and destroy it: cloister offboard {tenant}")
    elif spec["state"] == "Destroyed":
        console.print("Exported, destroyed and certified; its audit log is kept and its name is not used again.")
        console.print(f"The certificate: cloister offboard certificate {tenant}")
    _inventory((record.get("status") or {}).get("inventory", []))
