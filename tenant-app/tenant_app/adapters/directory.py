"""The customer's directory through python-ldap (11.10(d), 11.100(a), 11.300(a)).

Why python-ldap: it is OpenLDAP's own client underneath, kept up with its security fixes, and its bind reports every result code.
Rules kept here: TLS verified always; an empty password never reaches the wire (RFC 4513 would call it a success); exactly one
match; what people typed is escaped; the person's bind is on a fresh connection; identity is entryUUID or objectGUID; no group, no
access.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import ldap
from ldap.filter import escape_filter_chars

from tenant_app.adapters.directory_entries import (
    ANY,
    ATTRIBUTES,
    TIMEOUT,
    Attributes,
    Entry,
    described,
    first,
    member_dns,
    member_filter,
    read,
    same_dn,
    sub_filter,
)
from tenant_app.adapters.password_age import PASSWORD_ATTRIBUTES, changed_at
from tenant_app.domain.access import Role
from tenant_app.domain.identity import Person
from tenant_app.errors import AccountAmbiguous, DirectoryAway, SignInRefused
from tenant_app.settings import LdapSection, read_secret

log = logging.getLogger(__name__)
_REFUSED = "The name or the password is not right, or the account may not use this system."


class LdapDirectory:
    """The directory (port `Directory`). Synchronous underneath, so each call runs in a thread."""

    def __init__(self, section: LdapSection) -> None:
        self._section = section

    async def authenticate(self, account: str, password: str) -> Person:
        """See `Directory.authenticate`."""
        if not account or not password:
            raise SignInRefused(_REFUSED)
        return await asyncio.to_thread(self._authenticate, account, password)

    async def look_up(self, sub: str) -> Person | None:
        """See `Directory.look_up`."""
        return await asyncio.to_thread(self._look_up, sub)

    async def members(self, role: Role) -> list[Person]:
        """See `Directory.members`."""
        return await asyncio.to_thread(self._members, role)

    async def find(self, account: str) -> Person | None:
        """See `Directory.find`."""
        return await asyncio.to_thread(self._find, account) if account else None

    async def password_changed_at(self, sub: str) -> datetime | None:
        """See `Directory.password_changed_at`."""
        return await asyncio.to_thread(self._password_changed_at, sub)

    async def check(self) -> None:
        """See `Directory.check`."""
        await asyncio.to_thread(self._check)

    def _authenticate(self, account: str, password: str) -> Person:
        with self._service() as service:
            found = self._search(service, f"({self._section.user_attribute}={escape_filter_chars(account)})")
            if len(found) != 1:
                # Two entries for one name is a directory fault that must never pick somebody (AT-40).
                log.warning("sign-in refused: %d entries match", len(found))
                raise AccountAmbiguous(_REFUSED) if found else SignInRefused(_REFUSED)
            dn, attributes = found[0]
            self._prove(dn, password)
            person = self._person(service, dn, attributes, account)
        if person is None:
            raise SignInRefused(_REFUSED)
        return person

    def _prove(self, dn: str, password: str) -> None:
        with self._connection() as own:
            try:
                own.simple_bind_s(dn, password)
            except (ldap.INVALID_CREDENTIALS, ldap.UNWILLING_TO_PERFORM, ldap.CONSTRAINT_VIOLATION) as error:
                raise SignInRefused(_REFUSED) from error
            # A server may answer success to a bind that it treated as anonymous; who it thinks we are settles it.
            if not same_dn(own.whoami_s(), dn):
                raise SignInRefused(_REFUSED)

    def _look_up(self, sub: str) -> Person | None:
        with self._service() as service:
            found = self._search(service, sub_filter(sub))
            if len(found) != 1:
                return None
            dn, attributes = found[0]
            account = first(attributes, self._section.user_attribute).casefold()
            return self._person(service, dn, attributes, account)

    def _find(self, account: str) -> Person | None:
        with self._service() as service:
            found = self._search(service, f"({self._section.user_attribute}={escape_filter_chars(account)})")
            return self._person(service, *found[0], account) if len(found) == 1 else None

    def _password_changed_at(self, sub: str) -> datetime | None:
        with self._service() as service:
            found = self._search(service, sub_filter(sub), PASSWORD_ATTRIBUTES)
        return changed_at(found[0][1]) if len(found) == 1 else None

    def _members(self, role: Role) -> list[Person]:
        wanted = [*ATTRIBUTES, self._section.user_attribute]
        with self._service() as service:
            dns = [
                dn
                for mapping in self._section.groups
                if mapping.role == role.value
                for dn in member_dns(service, mapping.group)
            ]
            entries = [each for found in read(service, [(dn, ANY, wanted) for dn in dns]) for each in found]
            found = self._people(
                service,
                [(dn, its, first(its, self._section.user_attribute).casefold()) for dn, its in entries],
            )
        able = {person.sub: person for person in found if person is not None and role in person.roles}
        return sorted(able.values(), key=lambda person: person.name.casefold())

    def _check(self) -> None:
        with self._service():
            pass

    def _person(self, service: Any, dn: str, attributes: Attributes, account: str) -> Person | None:
        return self._people(service, [(dn, attributes, account)])[0]

    def _people(self, service: Any, entries: list[tuple[str, Attributes, str]]) -> list[Person | None]:
        """Return whom the entries describe; None for who is disabled, has no id, or is in none of the groups."""
        groups = self._section.groups
        asked = [
            (mapping.group, member_filter(dn, account), ["1.1"]) for dn, _, account in entries for mapping in groups
        ]
        answers = iter(read(service, asked))
        # A group that does not exist gives nobody its role.
        roles = [frozenset(Role(mapping.role) for mapping in groups if next(answers)) for _ in entries]
        return [described(*entry, its) for entry, its in zip(entries, roles, strict=True)]

    def _search(self, service: Any, filter_text: str, more: list[str] | None = None) -> list[Entry]:
        try:
            rows = service.search_ext_s(
                self._section.base_dn,
                ldap.SCOPE_SUBTREE,
                filter_text,
                [*ATTRIBUTES, self._section.user_attribute, *(more or [])],
                timeout=TIMEOUT,
                sizelimit=2,
            )
        except ldap.SIZELIMIT_EXCEEDED:
            return [("", {}), ("", {})]
        except ldap.NO_SUCH_OBJECT:
            return []
        return [(dn, attributes) for dn, attributes in rows if dn is not None]

    @contextmanager
    def _service(self) -> Iterator[Any]:
        with self._connection() as conn:
            try:
                conn.simple_bind_s(read_secret(self._section.bind_dn_file), read_secret(self._section.password_file))
            except ldap.INVALID_CREDENTIALS as error:
                raise DirectoryAway("The directory refuses this system's own account.") from error
            yield conn

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        try:
            conn = ldap.initialize(self._section.url)
            conn.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
            conn.set_option(ldap.OPT_REFERRALS, 0)
            conn.set_option(ldap.OPT_NETWORK_TIMEOUT, TIMEOUT)
            conn.set_option(ldap.OPT_TIMEOUT, TIMEOUT)
            conn.set_option(ldap.OPT_X_TLS_CACERTFILE, str(self._section.ca_file))
            conn.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
            conn.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
            if self._section.start_tls:
                conn.start_tls_s()
            elif not self._section.url.startswith("ldaps://"):
                raise DirectoryAway("The directory must be reached over TLS.")
            try:
                yield conn
            finally:
                with suppress(ldap.LDAPError):
                    conn.unbind_s()
        except ldap.LDAPError as error:
            log.warning("the directory failed: %s", type(error).__name__)
            raise DirectoryAway("The directory does not answer. Sign-in is not possible until it does.") from error
