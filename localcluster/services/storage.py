"""Dynamic volumes, and the namespace and trust that everything else starts from."""

from __future__ import annotations

import json

from localcluster import facts
from localcluster.services.common import Surroundings, config_map, namespace


def install(around: Surroundings) -> list[tuple[str, str, str]]:
    """Install the provisioner and one storage class a region."""
    paths = [{"node": node.name, "paths": [str(around.layout.node(node) / "volumes")]} for node in facts.NODES]
    for node in facts.NODES:
        (around.layout.node(node) / "volumes").mkdir(exist_ok=True)
    around.api.apply(
        *around.manifest(
            "storage",
            NODE_PATHS=json.dumps({"nodePathMap": paths}),
            TOOLBOX=around.images["toolbox"].name,
            PROVISIONER=around.images["local-path-provisioner"].name,
        )
    )
    for region in facts.REGIONS:
        around.api.apply(*around.manifest("storage-class", REGION=region))
    return [("Deployment", "local-path-storage", "local-path-provisioner")]


def install_system_namespace(around: Surroundings) -> None:
    """Make the operator's namespace as far as the services need it; Helm installs into it later."""
    if around.api.get("Namespace", facts.SYSTEM_NAMESPACE) is None:
        around.api.apply(namespace(facts.SYSTEM_NAMESPACE))
    around.api.apply(config_map("local-services-ca", facts.SYSTEM_NAMESPACE, {"ca.crt": around.ca()}))
