"""Deny by default both ways, then exactly the paths that are needed; and the probe that shows the cluster enforces it.

A NetworkPolicy is a wish: on a network plugin without enforcement it is accepted and does nothing. So a probe pod, which
may reach its own database (the positive control) and nothing else, tries what must not work, the operator's open `beacon`
among it. Only its report makes `IsolationProven` true.
"""

import json
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from tenant_operator.api.names import LABEL_COMPONENT
from tenant_operator.api.reasons import ConditionType, Reason
from tenant_operator.api.tenant import InventoryItem, Network
from tenant_operator.stack import pdfa_judge, probe
from tenant_operator.stack.part import Context, Desired, Evidence, Finding, Manifest, ObjectKey, Observed, Removal
from tenant_operator.stack.render import meta, obj

NAME = "network"
_NAMESPACE_LABEL = "kubernetes.io/metadata.name"
_DNS_PORTS = (53, 5353)
"""The Service's port, and the pods' own where they do not run as root: a policy sees the pods' port."""

_PORTS = {"https": 443, "ldaps": 636, "ldap": 389, "smtp": 25, "smtps": 465}

Peer = dict[str, Any]


def _tcp(*ports: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def _select(**labels: str) -> Peer:
    return {"podSelector": {"matchLabels": labels}}


def component(name: str) -> Peer:
    """Return the selector of the tenant's own pods of a component."""
    return _select(**{LABEL_COMPONENT: name})


def namespace_peer(namespace: str, labels: Mapping[str, str] | None = None) -> Peer:
    """Return the selector of another namespace's pods."""
    peer: Peer = {"namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: namespace}}}
    if labels:
        peer["podSelector"] = {"matchLabels": dict(labels)}
    return peer


def cidr_error(network: Network) -> str | None:
    """Return which CIDR of a Tenant is none, or None."""
    named = [(f"ingressFrom[{i}]", peer.cidr) for i, peer in enumerate(network.ingress_from)]
    named += [(f"egressTo[{i}]", peer.cidr) for i, peer in enumerate(network.egress_to)]
    for where, cidr in named:
        try:
            ip_network(cidr)
        except ValueError as error:
            return f"{where}.cidr: {error}"
    return None


def namespace_of(url: str) -> str:
    """Return the namespace of the Service that an address names, "" when it is one outside the cluster."""
    labels = (urlsplit(url).hostname or "").split(".")
    return labels[1] if len(labels) >= 3 and labels[2] == "svc" else ""  # noqa: PLR2004 - service.namespace.svc


def url_rule(url: str) -> dict[str, Any]:
    """Return the egress rule for an https, ldap or smtp address: its Service's namespace when it has one, else any address.

    A name outside the cluster has no selector in a NetworkPolicy; then the port is what is left to bound it by.
    """
    parts = urlsplit(url)
    port = parts.port or _PORTS[parts.scheme]
    if namespace := namespace_of(url):
        # The policy sees the pod's port, which need not be the Service's: inside a named namespace all ports are open.
        return {"to": [namespace_peer(namespace)]}
    return {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}], "ports": _tcp(port)}


def _distinct(rules: Sequence[Manifest]) -> list[Manifest]:
    return [rule for index, rule in enumerate(rules) if rule not in rules[:index]]


def policy(ctx: Context, name: str, who: str, *, ingress: Sequence[Any] = (), egress: Sequence[Any] = ()) -> Manifest:
    """Return a policy that opens the given paths for one component."""
    types = [kind for kind, rules in (("Ingress", ingress), ("Egress", egress)) if rules]
    spec: dict[str, Any] = {"podSelector": {"matchLabels": {LABEL_COMPONENT: who}}, "policyTypes": types}
    if ingress:
        spec["ingress"] = list(ingress)
    if egress:
        spec["egress"] = list(egress)
    return obj("networking.k8s.io/v1", "NetworkPolicy", meta(ctx, NAME, name), spec=spec)


def _deny_all(ctx: Context) -> Manifest:
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    return obj("networking.k8s.io/v1", "NetworkPolicy", meta(ctx, NAME, "default-deny"), spec=spec)


def _dns(ctx: Context) -> Manifest:
    ports = [{"protocol": protocol, "port": port} for protocol in ("UDP", "TCP") for port in _DNS_PORTS]
    # Names can carry what a hostile file found out: who calls nobody asks for no names.
    silent = {"key": LABEL_COMPONENT, "operator": "NotIn", "values": [pdfa_judge.COMPONENT]}
    spec = {
        "podSelector": {"matchExpressions": [silent]} if pdfa_judge.wanted(ctx) else {},
        "policyTypes": ["Egress"],
        "egress": [{"to": [namespace_peer("kube-system", ctx.platform.dns)], "ports": ports}],
    }
    return obj("networking.k8s.io/v1", "NetworkPolicy", meta(ctx, NAME, "allow-dns"), spec=spec)


def _policies(ctx: Context) -> list[Manifest]:
    audit = {"to": [namespace_peer(ctx.platform.audit_namespace, {LABEL_COMPONENT: "audit"})], "ports": _tcp(8443)}
    database = {"to": [component("database")], "ports": _tcp(5432)}
    vault = url_rule(ctx.region.vault.address)
    store = url_rule(ctx.region.object_store.endpoint)
    operator = namespace_peer(ctx.platform.operator_namespace, {LABEL_COMPONENT: "operator"})
    clients = [component(name) for name in ("app", "backup", "export", "isolation-probe")]
    people = [{"ipBlock": {"cidr": peer.cidr}} for peer in ctx.spec.network.ingress_from]
    people += [{"ipBlock": {"cidr": cidr}} for cidr in ctx.platform.extra_ingress_cidrs]
    extra = [
        {"to": [{"ipBlock": {"cidr": peer.cidr}}], "ports": _tcp(*peer.ports)} for peer in ctx.spec.network.egress_to
    ]
    app_in = [{"from": people, "ports": _tcp(8443)}] if people else []
    judge = {"to": [component(pdfa_judge.COMPONENT)], "ports": _tcp(pdfa_judge.PORT)}
    judges, asked = ([judge], [_judge(ctx)]) if pdfa_judge.wanted(ctx) else ([], [])
    directory = url_rule(ctx.spec.identity.ldap.url)
    named = [url_rule(sink.url) for sink in ctx.spec.alerts]
    named += [url_rule(ctx.spec.identity.oidc.issuer)] if ctx.spec.identity.oidc else []
    return [
        _deny_all(ctx),
        _dns(ctx),
        policy(ctx, "database", "database", ingress=[{"from": [*clients, operator], "ports": _tcp(5432)}]),
        policy(
            ctx,
            "app",
            "app",
            ingress=app_in,
            egress=[database, vault, audit, directory, *_distinct(named), *extra, *judges],
        ),
        policy(ctx, "backup", "backup", egress=[database, vault, audit, store]),
        policy(ctx, "isolation-probe", "isolation-probe", egress=[database]),
        *asked,
    ]


def _judge(ctx: Context) -> Manifest:
    ingress = [{"from": [component("app")], "ports": _tcp(pdfa_judge.PORT)}]
    return policy(ctx, pdfa_judge.COMPONENT, pdfa_judge.COMPONENT, ingress=ingress)


def desired(ctx: Context) -> Sequence[Desired]:
    """Return the policies in wave 1, before any pod, and the probe after the database it uses as its positive control."""
    return [*(Desired(manifest, wave=1) for manifest in _policies(ctx)), *probe.desired(ctx, NAME)]


def checks(ctx: Context, seen: Observed) -> Sequence[Finding]:
    """Return NetworkIsolated (the policies are there) and IsolationProven (they were seen to work)."""
    kind = ConditionType.NETWORK_ISOLATED
    wanted = [ObjectKey.of(manifest) for manifest in _policies(ctx)]
    missing = [key.name for key in wanted if key not in seen.objects]
    if missing:
        first = Finding(kind, "False", Reason.PROGRESSING, f"network policies not there yet: {', '.join(missing)}")
    else:
        message = f"deny by default both ways and {len(wanted) - 1} allowances in {ctx.namespace}"
        first = Finding(kind, "True", Reason.APPLIED, message)
    return [first, probe.check(ctx, seen)]


def teardown(ctx: Context) -> Sequence[Removal]:  # noqa: ARG001 - one of the five questions
    """Return nothing: the policies stay until the last pod is gone and go with the namespace."""
    return []


def inventory(ctx: Context, seen: Observed) -> Sequence[InventoryItem]:  # noqa: ARG001 - one of the five questions
    """Return nothing: no bytes of the tenant lie here."""
    return []


def proof(ctx: Context, seen: Observed) -> Sequence[Evidence]:
    """Return whether the default deny is installed as specified."""
    wanted = _deny_all(ctx)
    live = seen.objects.get(ObjectKey.of(wanted)) or {}
    expected = json.dumps(wanted["spec"], sort_keys=True)
    return [Evidence("default deny of all traffic", expected, json.dumps(live.get("spec", {}), sort_keys=True))]
