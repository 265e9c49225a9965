"""The reads, lists and deletions of Vault, with its several ways of saying "there is no such thing" understood in one place."""

from typing import Any

import hvac
from hvac.exceptions import InternalServerError, InvalidPath, InvalidRequest

from tenant_operator.clients.vault_client import data

ROLE_FIELDS = {
    "roleType": "role_type",
    "userClaim": "user_claim",
    "boundAudiences": "bound_audiences",
    "boundSubject": "bound_subject",
    "tokenPolicies": "token_policies",
    "tokenNoDefaultPolicy": "token_no_default_policy",
    "tokenTtlSeconds": "token_ttl",
    "tokenMaxTtlSeconds": "token_max_ttl",
}
"""Our words for a JWT role's fields, and Vault's."""


def read_key(vault: hvac.Client, mount: str, name: str) -> dict[str, Any] | None:
    """Return a transit key, or None."""
    try:
        return data(vault.adapter.get(f"/v1/{mount}/keys/{name}"))
    except InvalidPath:
        return None


def read_policy(vault: hvac.Client, name: str) -> dict[str, Any] | None:
    """Return a policy in the shape of its specification, or None."""
    try:
        return {"rules": data(vault.adapter.get(f"/v1/sys/policies/acl/{name}"))["policy"]}
    except InvalidPath:
        return None


def read_role(vault: hvac.Client, auth: str, name: str) -> dict[str, Any] | None:
    """Return a login role in the shape of its specification, or None."""
    try:
        found = data(vault.adapter.get(f"/v1/auth/{auth}/role/{name}"))
    except InvalidPath:
        return None
    return {ours: found.get(theirs) for ours, theirs in ROLE_FIELDS.items()}


def names_at(vault: hvac.Client, path: str) -> list[str]:
    """Return the names that a LIST gives."""
    try:
        return list(data(vault.adapter.list(path)).get("keys", []))
    except InvalidPath:  # Vault's way of saying that a list is empty
        return []


def delete_key(vault: hvac.Client, mount: str, name: str) -> None:
    """Allow the deletion of a key and delete it with all its versions; a key already gone is fine."""
    if read_key(vault, mount, name) is None:
        return
    vault.adapter.post(f"/v1/{mount}/keys/{name}/config", json={"deletion_allowed": True})
    try:
        vault.adapter.delete(f"/v1/{mount}/keys/{name}")
    except (InvalidRequest, InternalServerError):
        # Someone else's deletion came first, or a real failure: the list decides.
        if read_key(vault, mount, name) is not None:
            raise
