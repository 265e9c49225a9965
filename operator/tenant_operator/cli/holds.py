"""`cloister hold`: legal holds. While one exists, nothing of the tenant is destroyed."""

from tenant_operator.api.common import API_VERSION
from tenant_operator.cli.kube import Kube, ours
from tenant_operator.cli.tenants import the
from tenant_operator.cli.words import ago, console, row, table


def add(kube: Kube, tenant: str, *, matter: str) -> None:
    """Place a hold."""
    the(kube, tenant)
    spec = {"tenant": tenant, "matter": matter, "requestedBy": kube.me()}
    body = {"apiVersion": API_VERSION, "kind": "TenantHold", "metadata": {"generateName": f"{tenant}-"}, "spec": spec}
    name = kube.call("POST", ours("tenantholds"), body)["metadata"]["name"]
    console.print(
        f"[green]✓[/] {name}: nothing of {tenant} is destroyed until it is released: cloister hold release {name}"
    )


def release(kube: Kube, name: str) -> None:
    """Release a hold."""
    kube.call("DELETE", ours("tenantholds", name))
    console.print(f"[green]✓[/] {name} is released.")


def listing(kube: Kube, tenant: str | None) -> None:
    """List holds, of one tenant or of all."""
    found = [item for item in kube.items(ours("tenantholds")) if tenant in {None, item["spec"]["tenant"]}]
    if not found:
        console.print(f"No legal hold on {tenant or 'any tenant'}.")
        return
    made = table("NAME", "TENANT", "MATTER", "ASKED BY", "AGE")
    for item in found:
        spec, meta = item["spec"], item["metadata"]
        row(made, meta["name"], spec["tenant"], spec["matter"], spec["requestedBy"], ago(meta["creationTimestamp"]))
    console.print(made)
