"""An OpenID Connect provider through authlib: code flow with PKCE, state and nonce; the ID token verified in full (RFC 9700).

Only asymmetric algorithms are taken: `none` proves nothing, and an HMAC under the client's secret would let whoever knows that
secret make anybody's token. Keys come from the provider's own address over verified TLS, and are fetched anew when a token does
not verify under those we know.
"""

import hmac
import logging
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from tenant_app.adapters.ports import Way
from tenant_app.errors import ProviderAway, SignInRefused
from tenant_app.settings import OidcSection, read_secret

log = logging.getLogger(__name__)
TIMEOUT = 5.0
KEEP_SECONDS = 3600.0
SKEW = timedelta(seconds=30)
LONGEST = 64 * 1024
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_REFUSED = "The provider did not vouch for you, or the answer does not belong to this attempt. Please try again."


class OidcProvider:
    """The provider (port `IdentityProvider`)."""

    def __init__(self, section: OidcSection, *, redirect_uri: str) -> None:
        self._section = section
        self._redirect = redirect_uri
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._until = 0.0

    @property
    def issuer(self) -> str:
        """See `IdentityProvider.issuer`."""
        return self._section.issuer

    async def address(self, way: Way) -> str:
        """See `IdentityProvider.address`."""
        found = await self._discovered()
        again = {"prompt": "login", "max_age": "0"} if way.fresh_since else {}
        return str(
            prepare_grant_uri(
                found["authorization_endpoint"],
                self._section.client_id,
                "code",
                redirect_uri=self._redirect,
                scope=" ".join(self._section.scopes),
                state=way.state,
                nonce=way.nonce,
                code_challenge=create_s256_code_challenge(way.verifier),
                code_challenge_method="S256",
                **again,
            )
        )

    async def claims(self, query: Mapping[str, str], way: Way) -> dict[str, Any]:
        """See `IdentityProvider.claims`."""
        found = await self._discovered()
        if not hmac.compare_digest(query.get("state", "").encode(), way.state.encode()):
            raise _refused("another state")
        # RFC 9207: the answer says whose it is, so that one provider's code is not taken to another.
        said = query.get("iss")
        if said != self.issuer and (said is not None or found.get("authorization_response_iss_parameter_supported")):
            raise _refused("another issuer answered")
        if not query.get("code"):
            raise _refused(f"the provider said {query.get('error', 'nothing')[:40]}")
        tokens = await self._tokens(found, query["code"], way)
        return await self._verified(tokens, way)

    async def _tokens(self, found: dict[str, Any], code: str, way: Way) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "code_verifier": way.verifier,
            "client_id": self._section.client_id,
        }
        auth = None
        if self._section.client_secret_file is not None:
            auth = httpx.BasicAuth(self._section.client_id, read_secret(self._section.client_secret_file))
        answer = await self._call("POST", found["token_endpoint"], data=form, auth=auth)
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise ProviderAway("The sign-in provider does not answer. Please try again.")
        if not answer.is_success:
            raise _refused("the code was not taken")
        return _object(answer)

    async def _verified(self, tokens: dict[str, Any], way: Way) -> dict[str, Any]:
        options = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self._section.client_id},
        }
        params: dict[str, Any] = {"nonce": way.nonce, "client_id": self._section.client_id}
        params["access_token"] = tokens.get("access_token", "")
        try:
            token = await self._decoded(str(tokens.get("id_token", "")))
            claims = CodeIDToken(token.claims, token.header, options, params)
            claims.validate(now=int(time.time()), leeway=int(SKEW.total_seconds()))
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _refused(f"the ID token does not hold: {type(error).__name__}") from error
        if not isinstance(claims.get("sub"), str) or not claims["sub"] or claims.get("nonce") != way.nonce:
            raise _refused("the ID token names nobody, or another attempt")
        if way.fresh_since is not None:
            _demand_fresh(claims, way.fresh_since)
        return dict(claims)

    async def _decoded(self, text: str) -> jwt.Token:
        try:
            return jwt.decode(text, await self._key_set(), algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            # The provider may have changed its keys since we looked; once more with today's, then it counts.
            return jwt.decode(text, await self._key_set(fresh=True), algorithms=ALGORITHMS)

    async def _discovered(self) -> dict[str, Any]:
        if self._metadata and time.monotonic() < self._until:
            return self._metadata
        found = _object(await self._get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"))
        # A document that names another issuer is not this provider's (OpenID Connect Discovery §4.3).
        if found.get("issuer") != self.issuer:
            raise ProviderAway("The sign-in provider describes itself by another name than the configuration.")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if urlsplit(str(found.get(name, ""))).scheme != "https":
                raise ProviderAway(f"The sign-in provider's {name} is not an https address.")
        self._metadata, self._keys, self._until = found, None, time.monotonic() + KEEP_SECONDS
        return found

    async def _key_set(self, *, fresh: bool = False) -> KeySet:
        if self._keys is None or fresh:
            found = _object(await self._get((await self._discovered())["jwks_uri"]))
            try:
                self._keys = KeySet.import_key_set(found)  # type: ignore[arg-type]  # checked by the library as it reads
            except (JoseError, ValueError, KeyError, TypeError) as error:
                raise ProviderAway("The sign-in provider's keys cannot be read.") from error
        return self._keys

    async def _get(self, address: str) -> httpx.Response:
        answer = await self._call("GET", address)
        if not answer.is_success:
            raise ProviderAway("The sign-in provider does not answer. Please try again.")
        return answer

    async def _call(self, method: str, address: str, **more: Any) -> httpx.Response:
        context = ssl.create_default_context(cafile=str(self._section.ca_file) if self._section.ca_file else None)
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT, verify=context, follow_redirects=False) as http:
                return await http.request(method, address, **more)
        except (httpx.HTTPError, OSError) as error:
            log.warning("the provider failed: %s", type(error).__name__)
            raise ProviderAway("The sign-in provider does not answer. Please try again.") from error


def _demand_fresh(claims: Mapping[str, Any], since: datetime) -> None:
    told = claims.get("auth_time")
    if not isinstance(told, int | float) or datetime.fromtimestamp(told, UTC) < since - SKEW:
        raise _refused("the provider did not ask for the credentials again")


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json() if len(answer.content) <= LONGEST else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProviderAway("The sign-in provider answered nothing that can be used.")
    return found


def _refused(why: str) -> SignInRefused:
    # The reason goes to the log; people hear one sentence, whatever it was.
    log.warning("sign-in through the provider refused: %s", why)
    return SignInRefused(_REFUSED)
