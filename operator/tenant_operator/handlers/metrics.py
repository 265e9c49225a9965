"""Prometheus metrics of the operator. Names follow the Prometheus conventions: unit in the name, `_total` for counters."""

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("cloister_reconciles_total", "Looks at a tenant, by result.", ["result"])
RECONCILE_SECONDS = Histogram(
    "cloister_reconcile_duration_seconds",
    "How long a look at a tenant took.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
QUEUE = Gauge("cloister_queue_length", "Tenants that wait to be looked at or are being looked at.")
OBJECTS = Gauge("cloister_watched_objects", "Objects in the store that the watches feed.")
TENANTS = Gauge("cloister_tenants", "Tenants by phase.", ["phase"])
AUDIT_UP = Gauge("cloister_audit_up", "1 when the audit service answered when last asked, else 0.")
ADMISSION = Gauge(
    "cloister_admission_in_force", "1 when the admission webhook is registered as it was installed, else 0."
)
