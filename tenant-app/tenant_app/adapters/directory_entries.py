"""What a directory's entries say, and how many of them are read at once."""

import uuid
from contextlib import suppress
from typing import Any

import ldap
from ldap.dn import str2dn
from ldap.filter import escape_filter_chars

from tenant_app.domain.access import Role
from tenant_app.domain.identity import Person

TIMEOUT = 5
ATTRIBUTES = [
    "entryUUID",
    "objectGUID",
    "displayName",
    "cn",
    "mail",
    "title",
    "pwdAccountLockedTime",
    "userAccountControl",
    "nsAccountLock",
]
_AD_DISABLED = 0x2
ANY = "(objectClass=*)"
# OpenLDAP ends a connection on which too many requests wait (1000 by default).
_TOGETHER = 100
Attributes = dict[str, list[bytes]]
Entry = tuple[str, Attributes]


def read(service: Any, asked: list[tuple[str, str, list[str]]]) -> list[list[Entry]]:
    """Return what lies at each DN and fits its filter; nothing for a DN that is not there or is none.

    They are sent together and then answered, so that a directory far away costs a round trip for many and not for each.
    """
    found: list[list[Entry]] = []
    for start in range(0, len(asked), _TOGETHER):
        sent = [
            service.search_ext(dn, ldap.SCOPE_BASE, filter_text, wanted, timeout=TIMEOUT)
            for dn, filter_text, wanted in asked[start : start + _TOGETHER]
        ]
        for message in sent:
            found.append([])
            with suppress(ldap.NO_SUCH_OBJECT, ldap.INVALID_DN_SYNTAX):
                _, rows = service.result(message, all=1, timeout=TIMEOUT)
                found[-1] += [(dn, attributes) for dn, attributes in rows if dn is not None]
    return found


def described(dn: str, attributes: Attributes, account: str, roles: frozenset[Role]) -> Person | None:
    """Return the person of an entry; None for who is disabled, has no id, or has no role."""
    sub = _sub(attributes)
    if sub is None or _disabled(attributes) or not roles:
        return None
    return Person(
        sub=sub,
        account=account,
        dn=dn,
        name=first(attributes, "displayName") or first(attributes, "cn") or account,
        mail=first(attributes, "mail"),
        title=first(attributes, "title"),
        roles=roles,
    )


def member_filter(dn: str, account: str) -> str:
    """Return what fits a group that this person is in."""
    named = escape_filter_chars(dn)
    return f"(|(member={named})(uniqueMember={named})(memberUid={escape_filter_chars(account)}))"


def member_dns(service: Any, group: str) -> list[str]:
    """Return the DNs of a group's members; none when there is no such group."""
    rows = read(service, [(group, ANY, ["member", "uniqueMember"])])[0]
    return [dn.decode() for _, attributes in rows for values in attributes.values() for dn in values]


def _sub(attributes: Attributes) -> str | None:
    if text := first(attributes, "entryUUID"):
        return text.lower()
    raw = attributes.get("objectGUID")
    # Active Directory stores the first three fields of its GUID little-endian.
    return str(uuid.UUID(bytes_le=raw[0])) if raw else None


def sub_filter(sub: str) -> str:
    """Return what fits the entry with this immutable id."""
    guid = "".join(f"\\{byte:02x}" for byte in uuid.UUID(sub).bytes_le)
    return f"(|(entryUUID={escape_filter_chars(sub)})(objectGUID={guid}))"


def _disabled(attributes: Attributes) -> bool:
    control = first(attributes, "userAccountControl")
    return (
        bool(attributes.get("pwdAccountLockedTime"))
        or (control.isdigit() and bool(int(control) & _AD_DISABLED))
        or first(attributes, "nsAccountLock").lower() == "true"
    )


def first(attributes: Attributes, name: str) -> str:
    """Return an attribute's first value, whatever the case of its name; empty when there is none."""
    for key, values in attributes.items():
        if key.lower() == name.lower() and values:
            return values[0].decode("utf-8", "replace")
    return ""


def same_dn(authzid: str, dn: str) -> bool:
    """Say whether who the server thinks we are (RFC 4532) is the entry at `dn`."""
    if authzid.startswith("u:"):  # Active Directory answers u:DOMAIN\user; any name but none means that the bind took.
        return len(authzid) > len("u:")
    told = authzid.removeprefix("dn:")
    return bool(told) and _normal(told) == _normal(dn)


def _normal(dn: str) -> list[list[tuple[str, str]]]:
    return [[(kind.lower(), value.casefold()) for kind, value, _ in rdn] for rdn in str2dn(dn)]
