"""What the service measures, for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

APPENDED = Counter("cloister_audit_entries_total", "Entries made durable by this process.")
REFUSED = Counter("cloister_audit_refused_total", "Appends that were not taken.", ["status"])
ROUND_DRAFTS = Histogram(
    "cloister_audit_round_entries", "Entries in one transaction.", buckets=(1, 4, 16, 64, 256, 1024, 4096)
)
ROUND_SECONDS = Histogram(
    "cloister_audit_round_seconds",
    "From taking a round to its commit.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
)
CHECKPOINTS = Counter("cloister_audit_checkpoints_total", "Checkpoints signed by this process.")
CHECKPOINT_SECONDS = Histogram(
    "cloister_audit_checkpoint_seconds",
    "Reading back, hashing, signing one log.",
    buckets=(0.002, 0.005, 0.01, 0.05, 0.25, 1, 5),
)
COSIGNED = Counter("cloister_audit_cosigned_total", "Checkpoints that a quorum of witnesses cosigned.")
UNWITNESSED = Gauge(
    "cloister_audit_unwitnessed_seconds", "For how long the oldest entry has waited for a quorum of witnesses."
)
WITNESS_FAILURES = Counter("cloister_audit_witness_failures_total", "Questions a witness did not answer.", ["witness"])
STAMPS = Counter("cloister_audit_stamps_total", "RFC 3161 time-stamps kept.", ["authority"])
STAMP_FAILURES = Counter(
    "cloister_audit_stamp_failures_total", "Rounds an authority gave no time-stamp.", ["authority"]
)
WRITER = Gauge("cloister_audit_writer", "1 when this process is the one writer.")
LOGS = Gauge("cloister_audit_logs", "Logs there are.")
LAG = Gauge("cloister_audit_unsigned_entries", "Durable entries that no checkpoint covers yet.")
WAITING = Gauge(
    "cloister_audit_waiting_logs", "Logs that wait to be signed because a key cannot be reached or is another."
)
DAMAGED = Gauge(
    "cloister_audit_damaged_logs",
    "Logs that are not signed any further because what is stored is not what was written.",
)
WORM_LAG = Gauge(
    "cloister_audit_worm_lag_seconds",
    "Age of the oldest signed entry that the locked copy does not cover, by the Region whose bucket it is in.",
    ["region"],
)
WORM_UNCOPIED = Gauge(
    "cloister_audit_worm_uncopied_entries", "Signed entries that no checkpoint in the locked copy covers.", ["region"]
)
WORM_WITHOUT_STORE = Gauge("cloister_audit_worm_logs_without_store", "Logs whose Region has no bucket for copies.")
WORM_FAILURES = Counter(
    "cloister_audit_worm_failures_total", "Rounds in which one log's copy did not come on.", ["region"]
)
