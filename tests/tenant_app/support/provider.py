"""A small OpenID provider on loopback: discovery, keys, authorization, token; with switches to make it lie."""

import base64
import contextlib
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.tenant_app.support.certificates import Pair
from tests.tenant_app.support.processes import free_port

CLIENT, SECRET = "cloister", "a-client-secret"


class Provider:
    """Signs in `person` without asking; `tamper` changes the claims, `forge` the whole token, just before they are sent."""

    def __init__(self, port: int) -> None:
        self.issuer = f"https://localhost:{port}/realm"
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.person: dict = {}
        self.authenticated_at: float | None = None
        self.tamper: Callable[[dict], dict] = dict
        self.forge: Callable[[dict], str] | None = None
        self.says_issuer: str | None = None
        self.asked: list[dict] = []
        self._codes: dict[str, dict] = {}

    def routes(self) -> list[Route]:
        return [
            Route("/realm/.well-known/openid-configuration", self.discovery),
            Route("/realm/keys", self.keys),
            Route("/realm/authorize", self.authorize),
            Route("/realm/token", self.token, methods=["POST"]),
        ]

    async def discovery(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.says_issuer or self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def keys(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        self.asked.append(asked)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(24)
        self._codes[code] = asked
        again = asked.get("prompt") == "login"
        if again or self.authenticated_at is None:
            self.authenticated_at = time.time()
        query = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
        return RedirectResponse(f"{asked['redirect_uri']}?{query}", 303)

    async def token(self, request: Request) -> Response:
        form = dict(await request.form())
        basic = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.headers.get("authorization") != basic:
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self._codes.pop(form["code"], None)
        proof = (
            base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            .decode()
            .rstrip("=")
        )
        if asked is None or asked["code_challenge"] != proof or asked["redirect_uri"] != form["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"],
            "auth_time": int(self.authenticated_at or now), **self.person,
        }  # fmt: skip
        claims = self.tamper(claims)
        text = self.forge(claims) if self.forge else self.signed(claims)
        return JSONResponse({"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "id_token": text})

    def signed(self, claims: dict, key: RSAKey | None = None) -> str:
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, key or self.key)


def unsigned(claims: dict, alg: str = "none") -> str:
    def part(value: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': alg, 'typ': 'JWT'})}.{part(claims)}."


@contextlib.contextmanager
def provider(pair: Pair) -> Iterator[Provider]:
    port = free_port()
    made = Provider(port)
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=made.routes()),
            host="127.0.0.1",
            port=port,
            log_config=None,
            access_log=False,
            ssl_certfile=str(pair.cert),
            ssl_keyfile=str(pair.key),
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    try:
        yield made
    finally:
        server.should_exit = True
        thread.join(20)
