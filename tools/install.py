"""Installs or upgrades Cloister in a cluster as a user would: CRDs by server-side apply, the chart by Helm."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localcluster.paths import Layout
from localcluster.services.vault import AUDIT_REGION
from tools.console import ROOT, run, say

RELEASE = "cloister"
NAMESPACE = "cloister-system"


def digest(paths: Sequence[Path], more: Mapping[str, Any]) -> str:
    """Return one digest of everything an installation depends on."""
    total = hashlib.sha256(json.dumps(more, sort_keys=True).encode())
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    for file in files:
        if file.is_file():
            total.update(f"{file.relative_to(ROOT)}\0".encode())
            total.update(file.read_bytes())
    return total.hexdigest()


def installed(env: Mapping[str, str]) -> str:
    """Return the digest of the installed release, or nothing."""
    listed = json.loads(run(["helm", "list", "-n", NAMESPACE, "-o", "json"], env=env, quiet=True) or "[]")
    if not any(item["name"] == RELEASE and item["status"] == "deployed" for item in listed):
        return ""
    status = json.loads(run(["helm", "status", RELEASE, "-n", NAMESPACE, "-o", "json"], env=env, quiet=True))
    described: str = status.get("info", {}).get("description", "")
    return described


def install(values: Mapping[str, Any], env: Mapping[str, str]) -> bool:
    """Install what is not installed yet; return whether anything was changed."""
    wanted = digest([ROOT / "charts" / "cloister", ROOT / "crds"], values)
    changed = installed(env) != wanted
    if changed:
        _install(values, env, wanted)
    else:
        say("  · Cloister is installed as it should be")
    _until_it_runs(values, env)
    return changed


def _install(values: Mapping[str, Any], env: Mapping[str, str], wanted: str) -> None:
    run(["kubectl", "apply", "--server-side", "--force-conflicts", "-f", "crds"], env=env, quiet=True)
    file = Path(os.environ.get("TMPDIR", "/tmp")) / f"cloister-values-{os.getpid()}.json"  # noqa: S108 - no secret in it
    file.write_text(json.dumps(values))
    try:
        command = ["helm", "upgrade", "--install", RELEASE, "charts/cloister", "-n", NAMESPACE, "--create-namespace"]
        run([*command, "--skip-crds", "-f", str(file), "--description", wanted], env=env, quiet=True)
    finally:
        file.unlink()


def _until_it_runs(values: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Wait for what was installed, now or by a run that was interrupted before it had waited."""
    guards = values.get("admission", {})
    webhook = guards.get("enabled", True) and guards.get("webhook", {}).get("enabled", True)
    for namespace, kind in (
        ("cloister-audit", "statefulset/audit-database"),
        ("cloister-witness", "deployment/witness"),
        ("cloister-audit", "deployment/audit"),
        (NAMESPACE, "deployment/cloister-operator"),
        *([(NAMESPACE, "deployment/cloister-admission")] if webhook else []),
    ):
        run(["kubectl", "-n", namespace, "rollout", "status", kind, "--timeout=180s"], env=env, quiet=True)


def local_values(images: Mapping[str, str]) -> dict[str, Any]:
    """Return the chart's values for the local cluster, which is up: its services' authority is in them."""
    region = {"topology.kubernetes.io/region": AUDIT_REGION}
    ca = (Layout.from_environment().pki / "services-ca.crt").read_text()
    named = {name: images[name] for name in ("operator", "audit", "app", "postgres")}
    if judge := images.get("pdfa-judge"):
        named["pdfaJudge"] = judge
    return {
        "images": named,
        "audit": {
            "nodeSelector": region,
            "storage": {"size": "2Gi", "storageClassName": f"local-{AUDIT_REGION}"},
            "vault": {
                "address": f"https://vault-{AUDIT_REGION}.vault.svc:8200",
                "ca": ca,
                "role": "cloister-audit",
                "signingKey": "cloister-audit-signing",
                "sealingKey": "cloister-audit-sealing",
            },
            "egress": {"namespaces": [{"name": "vault", "ports": [8200]}, {"name": "objectstore", "ports": [7070]}]},
        },
        "witness": {
            "enabled": True,
            "nodeSelector": region,
            "storage": {"size": "64Mi", "storageClassName": f"local-{AUDIT_REGION}"},
        },
        "apiServer": {"cidrs": ["10.89.0.1/32"], "ports": [7443]},
        "egress": {"namespaces": [{"name": "vault", "ports": [8200]}, {"name": "objectstore", "ports": [7070]}]},
        "rbac": {"approvers": [{"kind": "Group", "name": "cloister:approvers"}]},
    }
