"""The configuration file as the operator would render it, and the servers under it for programs that are no tests."""

import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree

import psycopg
from psycopg import sql

from tenant_app import settings
from tenant_app.storage.migrations import migrate
from tests.tenant_app.support import people
from tests.tenant_app.support.certificates import Authority
from tests.tenant_app.support.processes import postgres, slapd

ROLES = {
    "authors": "author", "reviewers": "reviewer", "approvers": "approver", "publishers": "publisher", "readers": "reader",
    "administrators": "administrator",
}  # fmt: skip


def configuration(folder: Path, authority: Authority, database_port: int, ldap_port: int) -> dict:
    secrets = folder / "secrets"
    secrets.mkdir()
    values = {role: f"{role}-pw" for role in ("app", "audit_writer", "app_owner")}
    values |= {"bindDN": "cn=reader,dc=cloister,dc=local", "bindPassword": "reader-password", "token": "a-token"}
    for name, value in values.items():
        (secrets / name).write_text(value + "\n")
    pair = authority.issue("app.cloister.localhost")
    ca = str(authority.ca)

    def login(user: str) -> dict:
        return {"user": user, "passwordFile": str(secrets / user)}

    return {
        "tenant": {"id": str(uuid.uuid4()), "name": "acme-pharma", "displayName": "Acme Pharma", "region": "eu-central-1"},
        "hostname": "localhost",
        "listen": {"host": "127.0.0.1", "port": 0, "certFile": str(pair.cert), "keyFile": str(pair.key)},
        "database": {
            "host": "127.0.0.1", "port": database_port, "name": "template_app", "caFile": ca,
            "app": login("app"), "auditWriter": login("audit_writer"), "owner": login("app_owner"),
        },
        "vault": {
            "address": "https://127.0.0.1:1", "caFile": ca, "authMount": "jwt", "role": "cloister-x-app", "transitMount": "transit",
            "key": "cloister-x", "signingKey": "cloister-x-signing", "tokenFile": str(secrets / "token"),
        },
        "audit": {"url": "https://127.0.0.1:1", "caFile": ca, "log": "tenant-x", "tokenFile": str(secrets / "token")},
        "ldap": {
            "url": f"ldaps://127.0.0.1:{ldap_port}", "startTLS": False, "baseDN": people.BASE, "userAttribute": "uid",
            "bindDNFile": str(secrets / "bindDN"), "passwordFile": str(secrets / "bindPassword"), "caFile": ca,
            "groups": [{"group": people.group_dn(group), "role": role} for group, role in ROLES.items()],
        },
        "sessions": {"idleSeconds": 900, "absoluteSeconds": 43200, "maxConcurrent": 3},
        "system": {"image": "localhost/cloister/app@sha256:test", "version": "0.1.0"},
    }  # fmt: skip


def make_roles(admin: psycopg.Connection) -> None:
    for role in ("app_owner", "app", "audit_writer"):
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), f"{role}-pw"))
    admin.execute("CREATE DATABASE template_app OWNER app_owner")


def grounded(stack: ExitStack) -> tuple[settings.Settings, dict]:
    """Start PostgreSQL and slapd, migrate; return the settings and a superuser's connection arguments."""
    folder = Path(tempfile.mkdtemp(prefix="cloister-bench-", dir="/tmp"))
    stack.callback(rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    authority = Authority(folder / "pki")
    pair = authority.issue("database")
    port, _ = stack.enter_context(postgres(folder / "postgres", pair.cert, pair.key))
    pair = authority.issue("directory")
    ldap_port, _ = stack.enter_context(slapd(folder / "slapd", authority.ca, pair.cert, pair.key, people.ldif()))
    admin = {
        "host": "127.0.0.1",
        "port": port,
        "user": "postgres",
        "password": "superuser-password",
        "sslmode": "require",
    }
    with psycopg.connect(**admin, dbname="postgres", autocommit=True) as conn:
        make_roles(conn)
    found = settings.Settings.model_validate(configuration(folder, authority, port, ldap_port))
    migrate(found.database)
    return found, {**admin, "dbname": "template_app"}
