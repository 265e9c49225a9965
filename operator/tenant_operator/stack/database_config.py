"""PostgreSQL's two configuration files, as functions of the class's sizes: same context, same bytes."""

import re

from tenant_operator.stack.part import Context

PORT = 5432
DATABASE = "app"
SOCKETS = "/var/run/postgresql"
TLS = "/var/run/cloister/tls"

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_FACTOR = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_MIB = 2**20

HBA = """\
# TYPE   DATABASE     USER                           ADDRESS  METHOD
# The entry point, inside the pod, as the operating system user that runs the server; nobody else.
local    all          postgres                                peer map=cloister
local    all          all                                     reject
hostssl  all          postgres                       all      scram-sha-256
hostssl  app          app_owner,app,audit_writer     all      scram-sha-256
hostssl  app          backup                         all      scram-sha-256
hostssl  replication  backup                         all      scram-sha-256
host     all          all                            all      reject
"""


def quantity(text: str) -> float:
    """Return a Kubernetes quantity as a number. Raises ValueError when it is not one."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as 250m or 2Gi")
    return float(match[1]) * _FACTOR.get(match[2] or "", 1)


def storage(ctx: Context) -> str:
    """Return the size of the database's volume."""
    return ctx.spec.database.storage or ctx.klass.database.storage


def storage_error(ctx: Context) -> str | None:
    """Say what is wrong with the size that the tenant asks for, or None. Ask before anything is made."""
    asked, most = storage(ctx), ctx.klass.database.max_storage
    if quantity(asked) > quantity(most):
        return f"database.storage is {asked}, class {ctx.spec.class_} allows at most {most}"
    return None


def postgresql_conf(ctx: Context) -> str:
    """Return postgresql.conf.

    Memory follows the usual quarter/half rule (PostgreSQL 15 documentation, 20.4.1) from the container's limit; WAL is
    bounded by the volume, so that a small volume is not filled by it.
    """
    size = ctx.klass.database
    memory = int(quantity(size.resources.limits.memory)) // _MIB
    volume = int(quantity(storage(ctx))) // _MIB
    workers = max(1, int(quantity(size.resources.limits.cpu)))
    return "".join(f"{name} = '{value}'\n" for name, value in _settings(memory, volume, workers, size.max_connections))


def _settings(memory: int, volume: int, workers: int, connections: int) -> list[tuple[str, object]]:
    return [
        ("listen_addresses", "*"),
        ("port", PORT),
        ("unix_socket_directories", SOCKETS),
        ("unix_socket_permissions", "0700"),
        ("max_connections", connections),
        # TLS and passwords: hba admits nothing else
        ("ssl", "on"),
        ("ssl_cert_file", f"{TLS}/tls.crt"),
        ("ssl_key_file", f"{TLS}/tls.key"),
        ("ssl_ca_file", f"{TLS}/ca.crt"),
        ("ssl_min_protocol_version", "TLSv1.3"),
        ("password_encryption", "scram-sha-256"),
        ("authentication_timeout", "15s"),
        # sizes
        ("shared_buffers", f"{max(16, memory // 4)}MB"),
        ("effective_cache_size", f"{max(32, memory // 2)}MB"),
        ("maintenance_work_mem", f"{max(16, memory // 16)}MB"),
        ("work_mem", f"{max(1, memory // 4 // connections)}MB"),
        ("max_worker_processes", workers + 3),
        ("max_parallel_workers", workers),
        ("max_parallel_workers_per_gather", max(0, workers // 2)),
        # durability, and enough WAL kept for a base backup that fetches it at its end
        ("wal_level", "replica"),
        ("wal_compression", "on"),
        ("max_wal_senders", 5),
        ("max_wal_size", f"{min(1024, max(64, volume // 8))}MB"),
        ("min_wal_size", f"{min(80, max(32, volume // 16))}MB"),
        ("wal_keep_size", f"{min(1024, volume // 8)}MB"),
        # a client that vanished must not hold locks or a connection
        ("tcp_keepalives_idle", 60),
        ("idle_in_transaction_session_timeout", "60s"),
        # the log goes to the container's; values of parameters may be documents, so they never do
        ("log_destination", "stderr"),
        ("logging_collector", "off"),
        ("log_line_prefix", "%m [%p] %q%u@%d %h "),
        ("log_connections", "on"),
        ("log_disconnections", "on"),
        ("log_statement", "ddl"),
        ("log_parameter_max_length", 0),
        ("log_parameter_max_length_on_error", 0),
        ("log_checkpoints", "off"),
        ("log_timezone", "UTC"),
        ("timezone", "UTC"),
    ]
