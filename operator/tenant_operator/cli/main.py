"""The commands of `cloister`: each checks what was typed and hands over to the module that does it."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tenant_operator.api.reasons import ConditionType
from tenant_operator.cli import (
    audit,
    audit_restore,
    gaps,
    holds,
    logs,
    offboard,
    offboard_guide,
    planning,
    tenants,
    waiting,
)
from tenant_operator.cli.kube import Kube
from tenant_operator.cli.problems import EXIT_CODES, Exit, ProblemError
from tenant_operator.cli.running import OffboardGroup, run

_HELP = "Onboard, watch, prove and offboard regulated tenants."
app = typer.Typer(help=_HELP, epilog=EXIT_CODES, no_args_is_help=True, rich_markup_mode="rich", add_completion=False)
audit_app = typer.Typer(help="Read an audit log and prove every entry of it.", no_args_is_help=True)
offboard_app = typer.Typer(
    cls=OffboardGroup,
    no_args_is_help=True,
    help="Export a tenant's data to its owner, then destroy the rest: `offboard TENANT` walks you through.",
)
certificate_app = typer.Typer(help="Check a certificate of destruction, with no cluster.", no_args_is_help=True)
hold_app = typer.Typer(help="Legal holds: while one exists, nothing of the tenant is destroyed.", no_args_is_help=True)
for name, group in (
    ("audit", audit_app),
    ("offboard", offboard_app),
    ("certificate", certificate_app),
    ("hold", hold_app),
):
    app.add_typer(group, name=name)

Tenant = Annotated[str, typer.Argument(help="Name of the tenant.", show_default=False)]
Keys = Annotated[list[str] | None, typer.Option("--key", help="A verifier key you trust; may be given again.")]


class Output(StrEnum):
    """How a list is shown."""

    TABLE = "table"
    JSON = "json"


@app.callback()
def options(
    ctx: typer.Context,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig, as for kubectl.")] = None,
    kubeconfig: Annotated[
        str | None, typer.Option(help="Path of the kubeconfig; else KUBECONFIG, else ~/.kube/config.")
    ] = None,
) -> None:
    """Note where the cluster is; nobody connects before it is needed."""
    ctx.obj = (context, kubeconfig)


def _kube(ctx: typer.Context) -> Kube:
    return Kube(*ctx.obj)


@app.command("tenants")
def list_tenants(
    ctx: typer.Context,
    *,
    retained: Annotated[
        bool, typer.Option("--retained", help="Tenants that were deleted and kept, or destroyed.")
    ] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="table or json.")] = Output.TABLE,
) -> None:
    """List the tenants and how they are."""
    tenants.listing(_kube(ctx), retained=retained, output=output)


@app.command()
def describe(ctx: typer.Context, tenant: Tenant) -> None:
    """Say what is promised about a tenant, what was observed, where its bytes lie, and what to do next."""
    tenants.describe(_kube(ctx), tenant)


@app.command()
def plan(
    ctx: typer.Context,
    file: Annotated[Path, typer.Option("--filename", "-f", help="YAML file with one Tenant.", show_default=False)],
) -> None:
    """Show what applying a Tenant would change. Changes nothing; exit code 2 when something would."""
    if planning.plan(_kube(ctx), file):
        raise typer.Exit(Exit.CHANGES)


@app.command()
def wait(
    ctx: typer.Context,
    tenant: Tenant,
    wanted: Annotated[str, typer.Option("--for", help="Which condition to wait for.")] = "Ready",
    timeout: Annotated[int, typer.Option(min=1, help="Seconds to wait at most.")] = 600,
) -> None:
    """Wait until a tenant is Ready, showing every part as it comes up."""
    if wanted not in set(ConditionType):
        raise ProblemError(f"{wanted} is no condition", hint=f"One of: {', '.join(ConditionType)}", code=Exit.USAGE)
    waiting.wait(_kube(ctx), tenant, wanted=wanted, timeout=timeout)


@app.command("logs")
def show_logs(
    ctx: typer.Context,
    tenant: Tenant,
    component: Annotated[str, typer.Argument(help="app, database, backup, export or isolation-probe.")] = "app",
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    tail: Annotated[int, typer.Option(help="Lines from the end.")] = 200,
) -> None:
    """Show what a part of a tenant says."""
    logs.show(_kube(ctx), tenant, component, follow=follow, tail=tail)


@audit_app.command("verify")
def audit_verify(ctx: typer.Context, tenant: Tenant, key: Keys = None) -> None:
    """Fetch a tenant's audit log (or `platform`) and prove every entry against its signed checkpoint."""
    audit.verify(_kube(ctx), tenant, key or ())


@audit_app.command("export")
def audit_export(
    ctx: typer.Context,
    tenant: Tenant,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.", show_default=False)],
) -> None:
    """Write a tenant's audit log, with everything needed to check it anywhere."""
    audit.export(_kube(ctx), tenant, output)


@audit_app.command("browse")
def audit_browse(ctx: typer.Context, tenant: Tenant) -> None:
    """Open the way to the inspector's page of a tenant's audit log (or `platform`), until Ctrl-C."""
    audit.browse(_kube(ctx), tenant)


@audit_app.command("check")
def audit_check(
    file: Annotated[Path, typer.Argument(help="A bundle that `audit export` wrote.", show_default=False)],
    key: Keys = None,
) -> None:
    """Prove every entry of an exported log, with no cluster."""
    audit.check(file, key or ())


@audit_app.command("gaps")
def audit_gaps(
    ctx: typer.Context,
    tenant: Tenant,
    key: Keys = None,
    apiserver_log: Annotated[
        list[Path] | None,
        typer.Option(
            "--apiserver-log", help="The API server's own audit log (JSON lines, .gz too); may be given again."
        ),
    ] = None,
    *,
    bound: Annotated[int, typer.Option(min=1, help="Seconds that an act may be under way.")] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Say what is missing in a tenant's audit log (or `platform`): numbers, outcomes, and what only one record has.

    Exit codes as of `cloister-verify`: 0 nothing is missing, 1 tampered, 2 something is missing.
    """
    code = gaps.gaps(
        lambda name: audit.fetch(_kube(ctx), name),
        tenant,
        keys=key or (),
        bound=timedelta(seconds=bound),
        files=apiserver_log or (),
        as_json=as_json,
    )
    raise typer.Exit(code)


@audit_app.command("restore")
def audit_restore_(
    ctx: typer.Context,
    tenant: Annotated[list[str] | None, typer.Argument(help="Tenants, or `platform`.", show_default=False)] = None,
    *,
    origin: Annotated[str, typer.Option("--from", help="The Region whose locked copies to read.", show_default=False)],
    everything: Annotated[bool, typer.Option("--all", help="Every log that has a copy there.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only prove that it could be done; change nothing.")] = False,
) -> None:
    """Make audit logs again from their copies under Object Lock, proven against what was signed."""
    if bool(tenant) == everything:
        raise typer.BadParameter("name tenants, or say --all")
    audit_restore.restore(_kube(ctx), origin, tenant or (), check=check)


@offboard_app.command("guide", hidden=True)
def offboard_walk(ctx: typer.Context, tenant: Tenant) -> None:
    """Walk through an offboarding, one step at a time."""
    offboard_guide.guide(_kube(ctx), tenant)


@offboard_app.command("request")
def offboard_request(
    ctx: typer.Context,
    tenant: Tenant,
    reason: Annotated[str, typer.Option(help="Why the tenant leaves, with a ticket.", show_default=False)],
    recipient: Annotated[
        str, typer.Option(help="The customer's age key (age1…), or the file of their certificate.", show_default=False)
    ],
    grace: Annotated[
        str | None, typer.Option("--grace-period", help="Such as 7d; the Tenant's own when left out.")
    ] = None,
) -> None:
    """Ask for a tenant's offboarding. Nothing is touched before it is approved."""
    offboard.request(_kube(ctx), tenant, reason=reason, recipient=recipient, grace=grace)


@offboard_app.command("approve")
def offboard_approve(
    ctx: typer.Context,
    tenant: Tenant,
    statement: Annotated[str, typer.Option(help="What you approve, in your own words.", show_default=False)],
) -> None:
    """Approve a tenant's offboarding, as the person you are to the API server."""
    offboard.approve(_kube(ctx), tenant, statement=statement)


@offboard_app.command("status")
def offboard_status(
    ctx: typer.Context,
    tenant: Tenant,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until it waits for somebody.")] = False,
) -> None:
    """Show how far an offboarding is, and whose turn it is."""
    if watch:
        offboard_guide.watch(_kube(ctx), tenant)
    else:
        offboard.status(_kube(ctx), tenant)


@offboard_app.command("certificate")
def offboard_certificate(
    ctx: typer.Context,
    tenant: Tenant,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; shown when left out.")] = None,
) -> None:
    """Get the certificate of a destroyed tenant."""
    offboard.write_certificate(_kube(ctx), tenant, output)


@certificate_app.command("verify")
def certificate_verify(
    file: Annotated[Path, typer.Argument(help="The certificate.", show_default=False)],
    key: Annotated[
        Path | None, typer.Option(help="The platform's public key (PEM), to show whose certificate it is.")
    ] = None,
) -> None:
    """Check a certificate: its signature, approvals, times, evidence and audit proofs."""
    offboard.verify_certificate(file, key)


@hold_app.command("add")
def hold_add(
    ctx: typer.Context,
    tenant: Tenant,
    matter: Annotated[str, typer.Option(help="The matter it is held for.", show_default=False)],
) -> None:
    """Place a legal hold on a tenant."""
    holds.add(_kube(ctx), tenant, matter=matter)


@hold_app.command("release")
def hold_release(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="Name of the hold.", show_default=False)]
) -> None:
    """Release a legal hold."""
    holds.release(_kube(ctx), name)


@hold_app.command("list")
def hold_list(
    ctx: typer.Context, tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None
) -> None:
    """List legal holds."""
    holds.listing(_kube(ctx), tenant)


def main() -> None:
    """Run `cloister`, or `kubectl cloister`."""
    run(app)
