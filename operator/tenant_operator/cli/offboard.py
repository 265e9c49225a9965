"""`cloister offboard`: asking for it, approving it, watching it, and the certificate at its end."""

import re
from pathlib import Path

from rich.markup import escape
from rich.text import Text

from tenant_operator.api.common import API_VERSION
from tenant_operator.cli.kube import Kube, Object, ours
from tenant_operator.cli.problems import Exit, ProblemError
from tenant_operator.cli.tenants import the
from tenant_operator.cli.words import ago, conditions, console, mark, row, table
from tenant_operator.offboarding import certificate
from tenant_operator.offboarding.approvals import approval_name
from tenant_operator.offboarding.words import APPROVALS_NEEDED, Phase

STAGES = {
    "NotHeld": "No legal hold",
    "Approved": "Approved by two people",
    "ExportVerified": "Export made, encrypted, read back",
    "GraceElapsed": "Grace period over",
    "Certified": "Destroyed, absence proved, certified",
}
"""The conditions of an offboarding, in the order they come true."""


def latest(kube: Kube, tenant: str) -> Object | None:
    """Return the tenant's offboarding that counts: the oldest that was not refused, else the newest refused one."""
    found = [item for item in kube.items(ours("tenantoffboardings")) if item["spec"]["tenant"] == tenant]
    found.sort(key=lambda item: str(item["metadata"]["creationTimestamp"]))
    live = [item for item in found if phase(item) != Phase.REFUSED]
    return live[0] if live else found[-1] if found else None


def phase(item: Object) -> str:
    """Return the phase, or that the operator has not seen it yet."""
    return str((item.get("status") or {}).get("phase") or "Requested")


def existing(kube: Kube, tenant: str) -> Object:
    """Return the tenant's offboarding. Raises ProblemError when nobody asked for one."""
    found = latest(kube, tenant)
    if found is None:
        the(kube, tenant)
        hint = f"Ask for it: cloister offboard request {tenant} --reason … --recipient …"
        raise ProblemError(f"nobody has asked to offboard {tenant}", hint=hint, code=Exit.NOT_FOUND)
    return found


def recipient_of(text: str) -> dict[str, str]:
    """Return the recipient that an age key or the file of an X.509 certificate names."""
    if text.startswith("age1"):
        return {"age": text}
    try:
        content = Path(text).read_text()
    except (OSError, UnicodeDecodeError) as error:
        hint = "Give the customer's age public key (age1…), or the file of their X.509 certificate (PEM)."
        raise ProblemError(f"{text} is neither an age key nor a readable file", hint=hint) from error
    age = re.search(r"^age1[02-9ac-hj-np-z]{58}$", content, re.MULTILINE)
    return {"age": age[0]} if age else {"x509": content}


def request(kube: Kube, tenant: str, *, reason: str, recipient: str, grace: str | None) -> Object:
    """Ask for an offboarding."""
    the(kube, tenant)
    spec = {"tenant": tenant, "requestedBy": kube.me(), "reason": reason, "recipient": recipient_of(recipient)}
    if grace:
        spec["gracePeriod"] = grace
    meta = {"generateName": f"{tenant}-"}
    body = {"apiVersion": API_VERSION, "kind": "TenantOffboarding", "metadata": meta, "spec": spec}
    made = kube.call("POST", ours("tenantoffboardings"), body)
    console.print(
        f"[green]✓[/] {made['metadata']['name']}: {spec['requestedBy']} asks to offboard {tenant}. Nothing has been touched."
    )
    console.print(f"[bold]Next:[/] {APPROVALS_NEEDED} other people approve it: cloister offboard approve {tenant}")
    return made


def approve(kube: Kube, tenant: str, *, statement: str) -> None:
    """Approve a tenant's offboarding as the person one is."""
    found = existing(kube, tenant)
    name, me = found["metadata"]["name"], kube.me()
    spec = {"offboarding": name, "offboardingUID": found["metadata"]["uid"], "approver": me, "statement": statement}
    spelled = approval_name(name, me)
    meta = {"name": spelled} if spelled else {"generateName": f"{name}."}
    body = {"apiVersion": API_VERSION, "kind": "TenantApproval", "metadata": meta, "spec": spec}
    kube.call("POST", ours("tenantapprovals"), body)
    console.print(f"[green]✓[/] {me} approved {name}.")
    console.print(f"[bold]Next:[/] see how far it is: cloister offboard status {tenant}")


def status(kube: Kube, tenant: str) -> Object:
    """Show how far an offboarding is, and what comes next."""
    found = existing(kube, tenant)
    spec, state = found["spec"], found.get("status") or {}
    now = phase(found)
    console.print(f"[bold]{found['metadata']['name']}[/]: {now}")
    console.print(
        f"[dim]asked by {spec['requestedBy']} {ago(found['metadata']['creationTimestamp'])} ago: {escape(spec['reason'])}[/]\n",
        markup=True,
    )
    seen = conditions(found)
    made = table("", "", "")
    made.show_header = False
    for kind, words in STAGES.items():
        condition = seen.get(kind)
        row(made, mark(condition), words, Text((condition or {}).get("message", ""), style="dim"))
    console.print(made)
    _steps(state.get("steps", []))
    if said := following(tenant, found):
        console.print(f"\n[bold]Next:[/] {escape(said)}")
    return found


def _steps(steps: list[dict[str, str]]) -> None:
    if not steps:
        return
    console.print(
        f"\n[bold]Destroyed and proved absent[/] ({sum(step['state'] == 'Absent' for step in steps)} of {len(steps)})"
    )
    made = table("What", "State", "Evidence")
    for step in steps:
        style = "green" if step["state"] == "Absent" else "yellow"
        row(made, step["name"], Text(step["state"], style=style), Text(step.get("evidence", ""), style="dim"))
    console.print(made)


_FOLLOWING = {
    "Requested": "the operator has not looked at it yet.",
    Phase.HELD: "nothing is destroyed while a legal hold exists: cloister hold list --tenant {tenant}",
    Phase.AWAITING_APPROVALS: "{missing} more to approve, each a different person: cloister offboard approve {tenant}",
    Phase.EXPORTING: "the operator exports everything, encrypts it to the customer, and reads it back.",
    Phase.GRACE_PERIOD: "destruction may begin at {after}. To stop it: kubectl delete tenantoffboarding {name}, "
    "or a legal hold: cloister hold add {tenant} --matter …",
    Phase.DESTROYING: "the operator destroys in reverse order and proves each absence.",
    Phase.CERTIFIED: "hand the certificate over: cloister offboard certificate {tenant} -o {tenant}-certificate.json",
    Phase.REFUSED: "this request does not count: {refusal}. Ask anew if it should.",
}


def following(tenant: str, item: Object) -> str:
    """Return what comes next, and who has to do it."""
    state = item.get("status") or {}
    return _FOLLOWING[phase(item)].format(
        tenant=tenant,
        name=item["metadata"]["name"],
        missing=APPROVALS_NEEDED - len(state.get("approvals", [])),
        after=state.get("destroyAfter"),
        refusal=(conditions(item).get("Stalled") or {}).get("message", "see its conditions"),
    )


def write_certificate(kube: Kube, tenant: str, file: Path | None) -> None:
    """Write the certificate of destruction to a file, or show it."""
    _, record = the(kube, tenant)
    body = ((record or {}).get("spec") or {}).get("certificate")
    if not body:
        found = latest(kube, tenant)
        hint = following(tenant, found) if found else f"cloister offboard request {tenant}"
        raise ProblemError(
            f"{tenant} has no certificate of destruction: it is not destroyed", hint=hint, code=Exit.NOT_FOUND
        )
    data = certificate.encode(body)
    if file is None:
        console.print_json(data.decode())
        return
    file.write_bytes(data)
    console.print(f"[green]✓[/] {file}. Anyone can check it, with no cluster: cloister certificate verify {file}")


def verify_certificate(file: Path, key: Path | None) -> None:
    """Check a certificate file. Raises ProblemError when it does not hold."""
    try:
        data = file.read_bytes()
        pinned = key.read_bytes() if key else None
    except OSError as error:
        raise ProblemError(f"{error.filename}: {error.strerror}", code=Exit.NOT_FOUND) from error
    findings = certificate.verify(data.rstrip(b"\n"), public_key=pinned)
    for finding in findings:
        sign = "[red]✗[/]" if finding.level == "error" else "[dim]i[/]"
        console.print(f"{sign} {escape(finding.text)}", soft_wrap=True)
    if not certificate.holds(findings):
        raise ProblemError(f"{file} does not hold")
    console.print(f"[green]✓[/] {file} holds.")
