"""Signing in through an OpenID provider, and the step-up before a signature (11.10(d), 11.100, 11.200).

With a subject claim the provider proves the person and the directory says who they are: its id, its roles, its word on who is
still there; such a person signs with name and password as everybody does. Without one, a person is the provider's issuer and
sub, and has no password that this app could ask for. What they sign with is two distinct components: their provider's
credentials, typed again for this (`prompt=login`, `max_age=0`, `auth_time` checked), and the code of a device set up here.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tenant_app.adapters.ports import Directory, IdentityProvider, Way
from tenant_app.domain.access import Role
from tenant_app.domain.identity import Person, Session, federated_sub, normalise_account
from tenant_app.domain.ids import new_token, token_hash
from tenant_app.errors import NotFound, SignInRefused
from tenant_app.services.columns import Columns
from tenant_app.services.sessions import Client, Sessions
from tenant_app.settings import OidcSection
from tenant_app.storage import oidc as storage
from tenant_app.storage.database import Database

WAY_LIFE = timedelta(minutes=10)
_UNKNOWN = "The provider knows you, but you may not use this system. Your administrator can tell more."
_EXPIRED = "This sign-in took too long, was used already, or began in another browser. Please try again."


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOut:
    """Where the browser goes, and what it keeps so that only it can come back."""

    address: str
    binder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What a way led to: a new session with its cookie's token, or none for a step-up of the one there is."""

    token: str | None
    session: Session
    target: str


class Oidc:
    """The ways to the provider and back."""

    def __init__(
        self, database: Database, columns: Columns, directory: Directory, sessions: Sessions,
        provider: IdentityProvider | None, section: OidcSection | None,
    ) -> None:  # fmt: skip
        self._database = database
        self._columns = columns
        self._directory = directory
        self._sessions = sessions
        self._provider = provider
        self._section = section

    @property
    def label(self) -> str:
        """Return the words of the button, empty when there is no provider."""
        return self._section.label if self._section else ""

    async def set_out(self, target: str, session: Session | None = None) -> SetOut:
        """Begin a sign-in, or a step-up of a session. Raises NotFound without a provider, ProviderAway."""
        provider, _ = self._configured()
        await self._columns.ready()
        now, binder = datetime.now(UTC), new_token()
        fresh = now if session else None
        way = Way(state=new_token(), nonce=new_token(), verifier=new_token() + new_token(), fresh_since=fresh)
        address = await provider.address(way)
        state = token_hash(way.state)
        words = {"nonce": way.nonce, "verifier": way.verifier, "target": target}
        words["since"] = fresh.isoformat() if fresh else ""
        async with self._database.transaction() as conn:
            await storage.keep_flow(
                conn,
                {
                    "state": state,
                    "browser": token_hash(binder),
                    "session": session.id_hash if session else None,
                    "sealed": self._columns.seal(words, "oidc_flows", state.hex()),
                    "until": now + WAY_LIFE,
                },
                now,
            )
        return SetOut(address=address, binder=binder)

    async def come_back(self, query: dict[str, str], binder: str, client: Client, session: Session | None) -> Returned:
        """Finish what `set_out` began. Raises SignInRefused, ProviderAway, DirectoryAway; every refusal is recorded."""
        provider, section = self._configured()
        try:
            way, target, bound = await self._way(query.get("state", ""), binder)
            claims = await provider.claims(query, way)
            person = await self._person(claims, section)
            if bound is not None and (session is None or session.id_hash != bound or session.sub != person.sub):
                raise SignInRefused("Somebody else signed in at the provider. Nothing was confirmed.")  # noqa: TRY301
        except SignInRefused:
            await self._sessions.record_refusal("(through the provider)", client, "oidc")
            raise
        if bound is None:
            token, opened = await self._sessions.open_vouched(person, client)
            return Returned(token=token, session=opened, target=target)
        if session is None:
            raise SignInRefused(_EXPIRED)
        await self._sessions.note_proof(session, client.request)
        return Returned(token=None, session=session, target=target)

    async def _way(self, state: str, binder: str) -> tuple[Way, str, bytes | None]:
        await self._columns.ready()
        state_hash = token_hash(state)
        async with self._database.transaction() as conn:
            row = await storage.take_flow(conn, state_hash, token_hash(binder), datetime.now(UTC))
        if row is None:
            raise SignInRefused(_EXPIRED)
        words = self._columns.open(row["sealed"], "oidc_flows", state_hash.hex())
        since = datetime.fromisoformat(words["since"]) if words["since"] else None
        way = Way(state=state, nonce=words["nonce"], verifier=words["verifier"], fresh_since=since)
        return way, words["target"], bytes(row["session"]) if row["session"] is not None else None

    async def _person(self, claims: dict[str, Any], section: OidcSection) -> Person:
        if section.subject_claim is not None:
            told = claims.get(section.subject_claim)
            found = await self._directory.find(normalise_account(told)) if isinstance(told, str) else None
            if found is None:
                raise SignInRefused(_UNKNOWN)
            return found
        roles = _roles(claims.get(section.groups_claim), section)
        if not roles:
            raise SignInRefused(_UNKNOWN)
        account = normalise_account(_text(claims, "preferred_username") or _text(claims, "email") or claims["sub"])
        return Person(
            sub=federated_sub(section.issuer, claims["sub"]),
            account=account or claims["sub"],
            dn=f"{section.issuer} {claims['sub']}",
            name=_text(claims, "name") or account or claims["sub"],
            mail=_text(claims, "email"),
            roles=roles,
        )

    def _configured(self) -> tuple[IdentityProvider, OidcSection]:
        if self._provider is None or self._section is None:
            raise NotFound("This tenant has no sign-in provider.")
        return self._provider, self._section


def _roles(told: Any, section: OidcSection) -> frozenset[Role]:  # a claim is any JSON value
    listed = [told] if isinstance(told, str) else told if isinstance(told, list) else []
    groups = {each for each in listed if isinstance(each, str)}
    return frozenset(Role(mapping.role) for mapping in section.groups if mapping.group in groups)


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    return value.strip() if isinstance(value, str) else ""
