"""One S3 a region."""

from __future__ import annotations

from localcluster import facts
from localcluster.services.common import Surroundings, namespace, secret

NAMESPACE = "objectstore"


def install(around: Surroundings) -> list[tuple[str, str, str]]:
    """Install the object stores, and hand their root credentials to the operator's namespace."""
    around.api.apply(namespace(NAMESPACE))
    for region in facts.REGIONS:
        name = f"objectstore-{region}"
        credentials = {
            "accessKey": f"cloister-{region}",
            "secretKey": around.secret_value(f"{name}-secret-key", 30),
        }
        tls, root = around.certificate(name, NAMESPACE), secret(f"{name}-root", NAMESPACE, credentials)
        around.api.apply(tls, root, secret(name, facts.SYSTEM_NAMESPACE, credentials))
        around.api.apply(
            *around.manifest(
                "objectstore",
                tls,
                root,
                REGION=region,
                IMAGE=around.images["versitygw"].name,
                TOOLBOX=around.images["toolbox"].name,
            )
        )
    return [("StatefulSet", NAMESPACE, f"objectstore-{region}") for region in facts.REGIONS]
