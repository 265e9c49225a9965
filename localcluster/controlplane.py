"""etcd, the API server and the controllers: processes in the machine's own network namespace."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from localcluster import credentials, facts
from localcluster.credentials import Credentials
from localcluster.files import write
from localcluster.paths import Layout
from localcluster.processes import Processes

ISSUER = "https://kubernetes.default.svc.cluster.local"
_ETCD = f"https://127.0.0.1:{facts.ETCD_PORT}"
_ETCD_PEER = f"https://127.0.0.1:{facts.ETCD_PORT + 1}"


def start_etcd(layout: Layout, processes: Processes, keys: Credentials, *, fsync: bool) -> bool:
    """Start the cluster's memory; without fsync a power cut loses it, which a laptop can bear."""
    flags = {
        "--name": "local",
        "--data-dir": layout.state / "etcd",
        "--listen-client-urls": _ETCD,
        "--advertise-client-urls": _ETCD,
        "--listen-peer-urls": _ETCD_PEER,
        "--initial-advertise-peer-urls": _ETCD_PEER,
        "--initial-cluster": f"local={_ETCD_PEER}",
        "--client-cert-auth": "true",
        "--trusted-ca-file": keys.etcd_ca.certificate,
        "--cert-file": keys.etcd.certificate,
        "--key-file": keys.etcd.key,
        "--peer-client-cert-auth": "true",
        "--peer-trusted-ca-file": keys.etcd_ca.certificate,
        "--peer-cert-file": keys.etcd.certificate,
        "--peer-key-file": keys.etcd.key,
        "--auto-compaction-retention": "10m",
        "--quota-backend-bytes": str(4 * 2**30),
        "--log-level": "warn",
    }
    (layout.state / "etcd").mkdir(mode=0o700, exist_ok=True)
    return processes.start("etcd", [layout.bin / "etcd", *_words(flags), *([] if fsync else ["--unsafe-no-fsync"])])


def start_apiserver(layout: Layout, processes: Processes, keys: Credentials) -> bool:
    """Start the API server as a regulated installation would run it: audited, Secrets encrypted."""
    flags = {
        "--etcd-servers": _ETCD,
        "--etcd-cafile": keys.etcd_ca.certificate,
        "--etcd-certfile": keys.apiserver_to_etcd.certificate,
        "--etcd-keyfile": keys.apiserver_to_etcd.key,
        "--bind-address": facts.GATEWAY,
        "--advertise-address": facts.GATEWAY,
        "--secure-port": facts.API_PORT,
        "--tls-cert-file": keys.apiserver.certificate,
        "--tls-private-key-file": keys.apiserver.key,
        "--tls-min-version": "VersionTLS12",
        "--client-ca-file": keys.cluster_ca.certificate,
        "--authorization-mode": "Node,RBAC",
        "--enable-admission-plugins": "NodeRestriction",
        "--service-cluster-ip-range": facts.SERVICE_CIDR,
        "--service-account-issuer": ISSUER,
        "--service-account-jwks-uri": f"{ISSUER}/openid/v1/jwks",
        "--service-account-key-file": keys.service_accounts.certificate,
        "--service-account-signing-key-file": keys.service_accounts.key,
        "--kubelet-client-certificate": keys.apiserver_to_kubelet.certificate,
        "--kubelet-client-key": keys.apiserver_to_kubelet.key,
        "--kubelet-certificate-authority": keys.cluster_ca.certificate,
        "--kubelet-preferred-address-types": "InternalIP",
        # Webhooks and extension servers are called at their pods' addresses, as on a managed cluster.
        "--enable-aggregator-routing": "true",
        "--requestheader-client-ca-file": keys.front_proxy_ca.certificate,
        "--requestheader-allowed-names": "front-proxy-client",
        "--requestheader-username-headers": "X-Remote-User",
        "--requestheader-group-headers": "X-Remote-Group",
        "--requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "--proxy-client-cert-file": keys.front_proxy.certificate,
        "--proxy-client-key-file": keys.front_proxy.key,
        "--encryption-provider-config": _encryption(layout),
        "--audit-policy-file": _audit_policy(layout),
        "--audit-log-path": layout.logs / "audit.log",
        "--audit-log-maxsize": "50",
        "--audit-log-maxbackup": "2",
        "--endpoint-reconciler-type": "lease",
        "--event-ttl": "2h",
        "--allow-privileged": "true",
        "--profiling": "false",
    }
    return processes.start("kube-apiserver", [layout.bin / "kube-apiserver", *_words(flags)])


def start_controllers(layout: Layout, processes: Processes, keys: Credentials) -> bool:
    """Start the controller manager and the scheduler; alone on the machine, they elect no leader."""
    manager = {
        "--kubeconfig": layout.kubeconfig("system:kube-controller-manager"),
        "--bind-address": "127.0.0.1",
        "--secure-port": "20257",
        "--use-service-account-credentials": "true",
        "--service-account-private-key-file": keys.service_accounts.key,
        "--root-ca-file": keys.cluster_ca.certificate,
        "--cluster-signing-cert-file": keys.cluster_ca.certificate,
        "--cluster-signing-key-file": keys.cluster_ca.key,
        "--allocate-node-cidrs": "true",
        "--cluster-cidr": facts.POD_CIDR,
        "--node-cidr-mask-size": "24",
        "--leader-elect": "false",
        # The defaults wait minutes before a dead node is acted on; a test of that should not.
        "--node-monitor-grace-period": "20s",
        "--profiling": "false",
    }
    scheduler = {
        "--kubeconfig": layout.kubeconfig("system:kube-scheduler"),
        "--bind-address": "127.0.0.1",
        "--secure-port": "20259",
        "--leader-elect": "false",
        "--profiling": "false",
    }
    first = processes.start("kube-controller-manager", [layout.bin / "kube-controller-manager", *_words(manager)])
    return processes.start("kube-scheduler", [layout.bin / "kube-scheduler", *_words(scheduler)]) or first


def _words(flags: dict[str, object]) -> list[str]:
    return [f"{name}={value}" for name, value in flags.items()]


def _encryption(layout: Layout) -> Path:
    key = base64.b64encode(credentials.encryption_key(layout)).decode()
    content = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {
                "resources": ["secrets"],
                "providers": [{"secretbox": {"keys": [{"name": "local", "secret": key}]}}, {"identity": {}}],
            }
        ],
    }
    path = layout.pki / "encryption.json"
    write(path, json.dumps(content, indent=2), 0o600)
    return path


def _audit_policy(layout: Layout) -> Path:
    """Record who did what, never a body; leave out the cluster's own heartbeat."""
    content = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
            {"level": "None", "nonResourceURLs": ["/healthz*", "/readyz*", "/livez*", "/openapi/*"]},
            {"level": "None", "resources": [{"group": "", "resources": ["events"]}]},
            {"level": "None", "resources": [{"group": "events.k8s.io", "resources": ["events"]}]},
            {"level": "Metadata"},
        ],
    }
    path = layout.pki / "audit-policy.json"
    write(path, json.dumps(content, indent=2), 0o644)
    return path
