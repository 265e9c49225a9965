"""kopf's low-level events of our own kinds: each goes into the store and the queue, nothing more. No finalizer, no annotation."""

from typing import Any

import kopf

from tenant_operator.api.common import GROUP, VERSION

registry = kopf.OperatorRegistry()


@kopf.on.startup(registry=registry)
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Make kopf do only what we use of it (research/aesthetics.md §5)."""
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.persistence.finalizer = f"{GROUP}/operator"
    settings.scanning.disabled = True  # handlers/kinds.py tells when to scan
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 5
    settings.networking.request_timeout = 15
    settings.networking.connect_timeout = 3
    settings.queueing.error_delays = [0.2, 1, 2, 5, 10]
    settings.queueing.worker_limit = 20


@kopf.on.login(registry=registry)
def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Log in as the pod's service account, or as the kubeconfig says."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


@kopf.on.event(GROUP, VERSION, kopf.EVERYTHING, registry=registry)
async def ours(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """Hand what changed to the operator's own loop."""
    memo.deliver({"type": event["type"], "object": dict(event["object"])})
