"""`cloister offboard TENANT`: walks a person through the whole of it, one step at a time, and never takes one unasked."""

import sys
import time
from pathlib import Path

from rich.markup import escape
from rich.prompt import Confirm, Prompt

from tenant_operator.cli import offboard
from tenant_operator.cli.kube import Kube, Object
from tenant_operator.cli.problems import ProblemError
from tenant_operator.cli.tenants import the
from tenant_operator.cli.words import console
from tenant_operator.offboarding.approvals import person
from tenant_operator.offboarding.words import APPROVALS_NEEDED, Phase

_EVERY_SECONDS = 1.0
_WORKING = {"Requested", Phase.EXPORTING, Phase.GRACE_PERIOD, Phase.DESTROYING}
"""Phases in which the operator is at work and nobody is asked anything."""

INTRODUCTION = f"""\
Offboarding [bold]{{tenant}}[/] means, in this order:
  1. somebody [bold]requests[/] it, naming the customer's own public key;
  2. at least {APPROVALS_NEEDED} different people [bold]approve[/] it;
  3. the operator stops the app, [bold]exports[/] every document, the database and the audit log, encrypts all of it to the
     customer, and reads it back;
  4. a [bold]grace period[/] passes, in which it can still be called off;
  5. everything is [bold]destroyed[/], the keys included, each absence is proved, and a signed [bold]certificate[/] says so.
Until the fifth step nothing is lost. Deleting the Tenant instead only stops it.
"""


def guide(kube: Kube, tenant: str) -> None:
    """Show where the offboarding is, and do the next step with the person if it is theirs to do."""
    found = offboard.latest(kube, tenant)
    if found is None or offboard.phase(found) == Phase.REFUSED:
        the(kube, tenant)
        console.print(INTRODUCTION.format(tenant=tenant))
        _request(kube, tenant)
        return
    found = offboard.status(kube, tenant)
    now = offboard.phase(found)
    if now == Phase.AWAITING_APPROVALS:
        _approve(kube, tenant, found)
    elif now in _WORKING and sys.stdin.isatty() and Confirm.ask("\nWatch it go on?", default=True, console=console):
        watch(kube, tenant)
    elif now == Phase.CERTIFIED and sys.stdin.isatty():
        file = Prompt.ask("\nWrite the certificate to", default=f"{tenant}-certificate.json", console=console)
        offboard.write_certificate(kube, tenant, Path(file))


def _request(kube: Kube, tenant: str) -> None:
    if not sys.stdin.isatty():
        hint = f"cloister offboard request {tenant} --reason … --recipient age1…"
        raise ProblemError("a request has to be made first, and this is no terminal to ask in", hint=hint)
    if not Confirm.ask(f"Request it, as {kube.me()}?", default=False, console=console):
        console.print("Nothing has been done.")
        return
    reason = Prompt.ask("Why does the tenant leave (with a ticket)", console=console)
    recipient = Prompt.ask("The customer's age public key, or the file of their certificate", console=console)
    offboard.request(kube, tenant, reason=reason, recipient=recipient, grace=None)


def _approve(kube: Kube, tenant: str, found: Object) -> None:
    me, approved = kube.me(), (found.get("status") or {}).get("approvals", [])
    if person(me) in map(person, approved):
        console.print(f"You ({me}) have approved; now somebody else has to.")
    elif person(me) == person(found["spec"]["requestedBy"]):
        console.print(f"You ({me}) asked for it; approvals are for others to give.")
    elif sys.stdin.isatty() and Confirm.ask(f"\nApprove it, as {me}?", default=False, console=console):
        words = Prompt.ask("What do you approve, in your own words", console=console)
        offboard.approve(kube, tenant, statement=words)


def watch(kube: Kube, tenant: str) -> None:
    """Print each change until nothing more happens by itself."""
    said: set[str] = set()
    while True:
        found = offboard.existing(kube, tenant)
        now = offboard.phase(found)
        steps = (found.get("status") or {}).get("steps", [])
        for line in [f"[bold]{now}[/]", *(f"  {step['state']:<10} {step['name']}" for step in steps)]:
            if line not in said:
                said.add(line)
                console.print(line, soft_wrap=True)
        if now not in _WORKING:
            console.print(f"\n[bold]Next:[/] {escape(offboard.following(tenant, found))}", soft_wrap=True)
            return
        time.sleep(_EVERY_SECONDS)
