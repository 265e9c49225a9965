"""How to reach PostgreSQL: TLS with the server's name checked, passwords read anew at each connection, short timeouts."""

import ssl
from typing import Any, Final

import asyncpg

from audit_service.settings import Database, Login, secret

CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 30.0
POOL_SECONDS: Final = 10.0
"""For taking a connection from the pool and for giving it back: without it, a query that is cancelled while its server is
killed waits for ever for the answer to its cancellation, and a writer that should give up never does."""

# A server whose client has vanished frees that client's lock within half a minute, and no statement waits for ever.
_SERVER_SETTINGS: Final = {
    "application_name": "cloister-audit",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "synchronous_commit": "on",
    "jit": "off",
}


def arguments(database: Database, name: str, login: Login) -> dict[str, Any]:
    """Return asyncpg's arguments for one connection."""
    context: ssl.SSLContext | bool = False
    if database.ca_file is not None:
        context = ssl.create_default_context(cafile=str(database.ca_file))
    return {
        "host": database.host,
        "port": database.port,
        "database": name,
        "user": login.user,
        "password": secret(login.password_file),
        "ssl": context,
        "timeout": CONNECT_SECONDS,
        "command_timeout": COMMAND_SECONDS,
        "server_settings": _SERVER_SETTINGS,
    }


def service_arguments(database: Database) -> dict[str, Any]:
    """Return asyncpg's arguments for the service's own role."""
    return arguments(database, database.name, Login(user=database.user, password_file=database.password_file))


async def open_pool(database: Database) -> asyncpg.Pool:
    """Open the pool. It connects when first used, so the service starts, and says why it is not ready, without a server."""
    return await asyncpg.create_pool(
        min_size=0, max_size=database.connections, reset=_leave, **service_arguments(database)
    )


async def _leave(_: asyncpg.Connection) -> None:
    """Take a connection back as it is. No statement of ours leaves anything behind, and asyncpg's own reset is a round trip."""
