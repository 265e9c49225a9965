"""Who calls: a service account token of this cluster, bound to our audience, checked against the API server's keys.

The keys come from the API server's `/openid/v1/jwks`, are kept for five minutes, and are asked for again, at most once in
five seconds, when a token names a key that is not among them. That a token was checked is remembered until it ends, by its hash.
"""

import asyncio
import logging
import ssl
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import httpx
import jwt

from audit_service.http.errors import ApiError
from audit_service.settings import Identity, secret

_log = logging.getLogger(__name__)
_ALGORITHMS: Final = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]
_KEEP_KEYS: Final = 300.0
_ASK_AGAIN: Final = 5.0
_REMEMBERED: Final = 4096
_PREFIX: Final = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Caller:
    """A service account, the pod its token is bound to ("" for one that is bound to none), and the token's id and end.

    The id is the token's `jti`. The API server's own audit log has it as `issued-credential-id` beside the person who asked
    for the token, so an act done with it leads back to a person. `expires` is in seconds since the epoch.
    """

    subject: str
    namespace: str
    account: str
    pod: str
    token: str = ""
    expires: float = 0.0


class TokenChecker:
    """Checks bearer tokens."""

    def __init__(self, identity: Identity, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._identity, self._transport = identity, transport
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = self._asked = float("-inf")
        self._fetching = asyncio.Lock()
        self._known: dict[bytes, tuple[float, Caller]] = {}

    def known(self, authorization: str) -> Caller | None:
        """Return who an Authorization header is by that was checked before and is still good, None for any other."""
        known = self._known.get(_digest(authorization))
        return known[1] if known is not None and known[0] > time.time() else None

    async def check(self, authorization: str) -> Caller:
        """Return who an Authorization header is by. Raises ApiError 401 (not believed) or 503 (the keys cannot be had)."""
        known = self.known(authorization)
        if known is not None:
            return known
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise ApiError(401, "a bearer token is needed: a service account token with this service's audience")
        claims = await self._claims(token)
        caller = _caller(claims)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[_digest(authorization)] = (float(claims["exp"]), caller)
        return caller

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            key_id = jwt.get_unverified_header(token).get("kid", "")
            key = await self._key(key_id)
            if key is None:
                raise ApiError(401, "the token is signed by a key that is not the cluster's")
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=_ALGORITHMS,
                audience=self._identity.audience,
                issuer=self._identity.issuer,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise ApiError(401, f"the token is not believed: {error}") from error
        return claims

    async def _key(self, key_id: str) -> jwt.PyJWK | None:
        stale = time.monotonic() - self._fetched > _KEEP_KEYS
        if stale or key_id not in self._keys:
            async with self._fetching:
                if time.monotonic() - self._asked > _ASK_AGAIN:
                    await self._fetch()
        return self._keys.get(key_id)

    async def _fetch(self) -> None:
        """Read the cluster's keys; keep the ones there are when that fails."""
        self._asked = time.monotonic()
        ca_file = self._identity.jwks_ca_file
        context = ssl.create_default_context(cafile=str(ca_file)) if ca_file is not None else True
        token = secret(self._identity.jwks_token_file)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with httpx.AsyncClient(verify=context, timeout=5.0, transport=self._transport) as client:
                response = await client.get(self._identity.jwks_url, headers=headers)
                found = jwt.PyJWKSet.from_dict(response.raise_for_status().json())
        except (httpx.HTTPError, OSError, ValueError, jwt.PyJWTError) as error:
            self._asked = float("-inf")
            _log.warning("the cluster's keys cannot be read: %s: %s", type(error).__name__, error)
            if not self._keys:
                raise ApiError(503, "the cluster's keys cannot be read") from error
            return
        self._keys = {key.key_id: key for key in found.keys if key.key_id}
        self._fetched = time.monotonic()


def _digest(authorization: str) -> bytes:
    return sha256(authorization.encode("utf-8", "surrogatepass")).digest()


def _caller(claims: dict[str, Any]) -> Caller:
    subject = str(claims["sub"])
    namespace, _, account = subject.removeprefix(_PREFIX).partition(":")
    if not subject.startswith(_PREFIX) or not namespace or not account:
        raise ApiError(401, "the token is not a service account's")
    bound = claims.get("kubernetes.io")
    pod = bound.get("pod", {}).get("uid", "") if isinstance(bound, dict) else ""
    return Caller(subject, namespace, account, str(pod), str(claims.get("jti", "")), float(claims["exp"]))
