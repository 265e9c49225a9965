"""The only constructor: everything the operator consists of, put together once, inside the running event loop."""

from datetime import UTC, datetime

from tenant_operator.clients.audit import AuditRecorder
from tenant_operator.clients.cluster import KubernetesCluster
from tenant_operator.clients.resources import CERTIFICATE, CHILDREN, PLACES, Resource
from tenant_operator.clients.store import Store
from tenant_operator.clients.transport import Transport
from tenant_operator.clients.watches import Watch, Watches
from tenant_operator.handlers import admission_watch, bootstrap
from tenant_operator.handlers.access import Access
from tenant_operator.handlers.operator import Operator
from tenant_operator.handlers.settings import OperatorConfig, Pod
from tenant_operator.ports import Planned
from tenant_operator.reconcile.audit_copies import AuditCopies
from tenant_operator.reconcile.audit_keys import AuditKeys
from tenant_operator.reconcile.contexts import Contexts, Home
from tenant_operator.reconcile.execute import Executor
from tenant_operator.reconcile.gather import Gatherer
from tenant_operator.reconcile.ledger import Ledger
from tenant_operator.reconcile.reconciler import Reconciler
from tenant_operator.stack.parts import PARTS


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)


async def build(config: OperatorConfig, pod: Pod) -> Operator:
    """Connect to the cluster, find or make the root seed, and put the operator together."""
    transport = await Transport.open()
    cluster, home_cluster = KubernetesCluster(transport, Store()), KubernetesCluster(transport, Store())
    derive = await bootstrap.root(cluster, config.operator_namespace)
    audit, witness, in_vault = config.audit_namespace, config.witness_namespace, config.audit_keys_in_vault
    made = await bootstrap.ensure_audit_secrets(cluster, derive, audit, witness, in_vault=in_vault)
    if config.admission:
        made += await admission_watch.ensure_secret(cluster, derive, config.operator_namespace)
        made += await admission_watch.ensure_trust(cluster, derive, config.admission)
    ca_file = pod.scratch / "platform-ca.crt"
    ca_file.write_text(derive.ca.certificate)
    recorder = AuditRecorder.connect(
        config.audit_url,
        ca_file=str(ca_file),
        token_file=pod.audit_token,
        actor=f"system:serviceaccount:{config.operator_namespace}:cloister-operator",
        source_id=f"cloister-operator/{pod.uid}",
    )
    clock = SystemClock()
    contexts = Contexts(cluster, Home(home_cluster, config.operator_namespace), config.platform(), derive, clock)
    access = Access(cluster, recorder, clock, contexts, pod.vault_token)
    reconciler = Reconciler(
        cluster=cluster,
        recorder=recorder,
        clock=clock,
        ledger=Ledger(cluster, recorder, clock),
        contexts=contexts,
        gatherer=Gatherer(cluster, cluster.store, access.systems),
        executor=Executor(cluster, access.systems, recorder),
        parts=PARTS,
        gone=cluster.store.gone,
        hands_off=access.hands_off,
    )
    said = f"version {config.version}; images {config.images.manifest()}; secrets made: {', '.join(made) or 'none'}"
    begun = Planned("operator:self:start", "Operator", pod.name, config.operator_namespace, "Start", said)
    operator = Operator(
        workers=config.workers,
        audit_namespace=config.audit_namespace,
        witness_namespace=config.witness_namespace,
        cluster=cluster,
        recorder=recorder,
        reconciler=reconciler,
        offboarder=access.offboarder(),
        derive=derive,
        begun=begun,
        copies=AuditCopies(cluster, access.audit_buckets(), recorder, derive, config.audit_namespace),
    )
    if config.admission:
        reconciler.serving.deletions = True
        operator.admission = admission_watch.AdmissionWatch(
            cluster, recorder, derive, config.operator_namespace, config.admission
        )
    if in_vault:
        derived = bootstrap.derived_vkeys(derive)
        operator.audit_keys = AuditKeys(cluster, recorder, recorder.signing_keys, derived, audit, witness)
    reconciler.audit_alive = lambda: operator.audit_up
    recorder.heard = operator.heard_audit
    children = (*CHILDREN, CERTIFICATE) if config.cert_manager_issuer else CHILDREN
    operator.watches = Watches(transport, cluster.store, children, PLACES, operator.child_changed)
    operator.home_watches = [
        Watch(
            transport,
            home_cluster.store,
            Resource("v1", kind, plural, namespaced=True),
            lambda _key, item: operator.home_changed(item),
            namespace=config.operator_namespace,
        )
        for kind, plural in (("Secret", "secrets"), ("ConfigMap", "configmaps"))
    ]
    return operator
