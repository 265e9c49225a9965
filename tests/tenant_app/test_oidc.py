"""OpenID Connect beside LDAP, against a real provider on loopback, and the ways it could be cheated (11.10(d), 11.100, 11.200)."""

import base64
import hmac
import json
import re
import ssl
import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tenant_app import factory, settings
from tenant_app.adapters.directory import LdapDirectory
from tests.tenant_app.support import people
from tests.tenant_app.support.provider import CLIENT, SECRET, Provider, provider, unsigned
from tests.tenant_app.support.site import Browser, Site
from tests.tenant_app.test_workflow import reviewer_sub, sign

DORA = {
    "sub": "d0ra",
    "preferred_username": "dora",
    "name": "Dora Draft",
    "email": "dora@acme.example",
    "groups": ["writers"],
}


@pytest.fixture
def idp(authority):
    with provider(authority.issue("provider")) as found:
        found.person = dict(DORA)
        yield found


@pytest.fixture
async def make(fresh, keys, audit, authority, idp, tmp_path):
    made = []

    async def site(policy: str = "optional", **more) -> Site:
        secret = tmp_path / "client-secret"
        secret.write_text(SECRET + "\n")
        section = {
            "issuer": idp.issuer, "clientId": CLIENT, "clientSecretFile": secret, "caFile": authority.ca,
            "groups": [{"group": "writers", "role": "author"}, {"group": "admins", "role": "administrator"}], **more,
        }  # fmt: skip
        found = fresh.model_copy(
            update={
                "oidc": settings.OidcSection.model_validate(section),
                "second_factor": settings.SecondFactorSection(policy=policy),
            }
        )
        ports = factory.Ports(
            keys=keys, directory=LdapDirectory(found.ldap), audit=audit, provider=factory.provider_of(found)
        )
        app = factory.build(found, ports)
        await app.database.open()
        made.append((Site(app), app))
        return made[-1][0]

    yield site
    for found, app in made:
        await found.close()
        await app.close()


class Traveller:
    """A browser that follows the way to the provider and back, and may be robbed on it."""

    def __init__(self, authority, browser: Browser) -> None:
        self.browser = browser
        self._tls = ssl.create_default_context(cafile=str(authority.ca))

    async def out(self, path: str = "/oidc/start?next=/documents") -> str:
        answer = await self.browser.get(path)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def visit(self, address: str) -> str:
        """Go to the provider; return the path with which it sends the browser back."""
        async with httpx.AsyncClient(verify=self._tls) as http:
            answer = await http.get(address)
        back = urlsplit(answer.headers["location"])
        return f"{back.path}?{back.query}"

    async def whole(self, path: str = "/oidc/start?next=/documents") -> httpx.Response:
        return await self.browser.get(await self.visit(await self.out(path)))


@pytest.fixture
def travel(authority):
    return lambda browser: Traveller(authority, browser)


async def test_a_person_of_the_provider_signs_in_with_the_roles_of_their_groups(make, travel, idp: Provider, audit):
    site = await make()
    browser = site.browser()
    assert "Sign in with your organisation" in (await browser.get("/sign-in?next=/documents")).text
    answer = await travel(browser).whole()
    assert answer.headers["location"] == "/documents"
    page = (await browser.get("/documents")).text
    assert "Dora Draft" in page
    session = (await browser.http.get("/api/v1/session")).json()
    assert session["rights"] == ["annotate", "author", "view"]
    await site.app.watch.look()
    assert (await browser.get("/documents")).status_code == 200
    await site.app.relay.deliver_all()
    entry = next(each for each in audit.entries if each["action"] == "app:session:login")
    assert entry["actor"]["auth"]["method"] == "oidc"
    assert entry["actor"]["sub"].startswith("oidc:")
    assert SECRET not in json.dumps(audit.entries)


async def test_issuer_and_sub_are_the_identity_and_names_are_not(make, travel, idp: Provider, server, fresh):
    site = await make()
    await travel(site.browser()).whole()
    idp.person = {**DORA, "preferred_username": "alice", "name": "Alice Author"}
    await travel(site.browser()).whole()
    idp.person = {**DORA, "sub": "somebody-else"}
    await travel(site.browser()).whole()
    with server.admin(fresh.database.name) as conn:
        subs = [row[0] for row in conn.execute("SELECT sub FROM people")]
    assert len(subs) == 2
    assert await reviewer_sub(site, "alice") not in subs


@pytest.mark.parametrize("groups", [[], ["nobody"], None, "writers-not", [["writers"]], {"writers": True}, 7])
async def test_without_a_group_that_is_mapped_nobody_gets_in(make, travel, idp: Provider, groups, audit):
    site = await make()
    idp.person = (
        {**DORA, "groups": groups} if groups != 7 else {key: value for key, value in DORA.items() if key != "groups"}
    )
    browser = site.browser()
    answer = await travel(browser).whole()
    assert answer.status_code == 401
    await site.app.relay.deliver_all()
    assert "app:session:failure" in audit.actions()


def _hmac(idp: Provider):
    secret = OctKey.import_key(SECRET)
    return lambda claims: jwt.encode({"alg": "HS256"}, claims, secret, algorithms=["HS256"])


def _public_key_as_secret(idp: Provider):
    def forge(claims):
        text = unsigned(claims, "HS256").rstrip(".")
        seal = hmac.digest(idp.key.as_pem(private=False), text.encode(), "sha256")
        return f"{text}.{base64.urlsafe_b64encode(seal).decode().rstrip('=')}"

    return forge


def _stranger(idp: Provider):
    other = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
    return lambda claims: idp.signed(claims, other)


def _altered(idp: Provider):
    def forge(claims):
        head, _, seal = idp.signed(claims).split(".")
        body = base64.urlsafe_b64encode(json.dumps({**claims, "groups": ["admins"]}).encode()).decode().rstrip("=")
        return f"{head}.{body}.{seal}"

    return forge


FORGERIES = {
    "alg none": lambda idp: unsigned, "alg None": lambda idp: lambda claims: unsigned(claims, "None"), "HMAC by the client secret": _hmac,
    "HMAC by the public key": _public_key_as_secret, "another key under the same id": _stranger, "altered after signing": _altered,
    "nothing": lambda idp: lambda claims: "", "no token": lambda idp: lambda claims: "a.b.c",
}  # fmt: skip


@pytest.mark.parametrize("how", FORGERIES)
async def test_hostile_a_token_that_the_provider_did_not_sign_opens_nothing(make, travel, idp: Provider, how):
    site = await make()
    idp.forge = FORGERIES[how](idp)
    browser = site.browser()
    answer = await travel(browser).whole()
    assert answer.status_code == 401
    assert "__Host-cloister=" not in "".join(answer.headers.get_list("set-cookie"))
    assert (await browser.get("/documents")).status_code == 303
    idp.forge = None
    assert (await travel(browser).whole()).status_code == 303


CHANGES = {
    "another nonce": {"nonce": "x"}, "no nonce": {"nonce": None}, "another issuer": {"iss": "https://evil.example"}, "no issuer": {"iss": None},
    "another audience": {"aud": "another-client"}, "no audience": {"aud": None}, "two audiences, not for us": {"aud": [CLIENT, "other"], "azp": "other"},
    "expired": {"exp": int(time.time()) - 600}, "no expiry": {"exp": None}, "expiry as words": {"exp": "tomorrow"}, "no subject": {"sub": None},
    "empty subject": {"sub": ""}, "subject of another kind": {"sub": 7}, "not yet": {"nbf": int(time.time()) + 3600},
}  # fmt: skip


@pytest.mark.parametrize("how", CHANGES)
async def test_hostile_a_signed_token_of_another_attempt_client_or_time_opens_nothing(make, travel, idp: Provider, how):
    site = await make()
    change = CHANGES[how]
    idp.tamper = lambda claims: {name: value for name, value in {**claims, **change}.items() if value is not None}
    browser = site.browser()
    assert (await travel(browser).whole()).status_code == 401
    assert (await browser.get("/documents")).status_code == 303


async def test_hostile_another_state_another_browser_and_a_used_way_open_nothing(make, travel, idp: Provider):
    site = await make()
    victim, thief = site.browser(), site.browser()
    mine, theirs = travel(victim), travel(thief)
    # The thief's own code, brought to the victim's browser: signing in as the thief without noticing.
    back = await theirs.visit(await theirs.out())
    await mine.out()
    assert (await victim.get(back)).status_code == 401
    # The victim's way, followed by the thief.
    back = await mine.visit(await mine.out())
    assert (await thief.get(back)).status_code == 401
    assert (await victim.get(re.sub(r"state=[^&]+", "state=made-up", back))).status_code == 401
    assert (await victim.get(back)).status_code == 303
    assert (await victim.get(back)).status_code == 401
    for query in ("", "?code=x", "?state=x", "?error=access_denied&state=x"):
        assert (await site.browser().get(f"/oidc/callback{query}")).status_code == 401


async def test_hostile_a_code_works_once_and_only_with_its_verifier(make, travel, idp: Provider):
    site = await make()
    one, two = travel(site.browser()), travel(site.browser())
    first = await one.visit(await one.out())
    assert (await one.browser.get(first)).status_code == 303
    second = await two.visit(await two.out())
    used, unused = (parse_qs(urlsplit(path).query)["code"][0] for path in (first, second))
    assert (await two.browser.get(second.replace(unused, used))).status_code == 401
    # A code of a way with another verifier: PKCE.
    third, fourth = await one.visit(await one.out()), await two.visit(await two.out())
    codes = [parse_qs(urlsplit(path).query)["code"][0] for path in (third, fourth)]
    assert (await one.browser.get(third.replace(*codes))).status_code == 401


@pytest.mark.parametrize("iss", ["https%3A%2F%2Fevil.example", ""])
async def test_hostile_an_answer_that_names_another_issuer_or_none_is_refused(make, travel, idp: Provider, iss):
    site = await make()
    way = travel(site.browser())
    back = await way.visit(await way.out())
    assert (await way.browser.get(re.sub(r"&?iss=[^&]+", f"&iss={iss}" if iss else "", back))).status_code == 401


async def test_hostile_a_provider_by_another_name_is_not_used(make, travel, idp: Provider):
    site = await make()
    idp.says_issuer = "https://evil.example"
    answer = await site.browser().get("/oidc/start")
    assert answer.status_code == 503
    assert "another name" in answer.text


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil"])
async def test_open_redirect_the_way_back_ends_on_this_site(make, travel, idp: Provider, target):
    site = await make()
    assert (await travel(site.browser()).whole(f"/oidc/start?next={target}")).headers["location"] == "/"


async def test_with_a_subject_claim_the_directory_is_the_authority(make, travel, idp: Provider, directory, authority):
    site = await make(subjectClaim="preferred_username")
    idp.person = {**DORA, "preferred_username": "Alice", "groups": ["admins"]}
    browser = site.browser()
    assert (await travel(browser).whole()).status_code == 303
    session = (await browser.http.get("/api/v1/session")).json()
    # Roles and name are the directory's; what the provider says about groups is not asked.
    assert (session["name"], session["rights"]) == ("Alice Author", ["annotate", "author", "view"])
    await browser.get("/upload")
    document = await browser.uploaded()
    subs = [await reviewer_sub(site, "rosa")]
    assert (await sign(browser, "alice", document, "submit", reviewers=subs, password="")).status_code == 403
    assert (await sign(browser, "alice", document, "submit", reviewers=subs)).status_code == 303
    for name in ("nobody", "twin", "nora", "*", "alice)(uid=*", "", None):
        idp.person = {**DORA, "preferred_username": name}
        assert (await travel(site.browser()).whole()).status_code == 401, name


async def device(site: Site, browser: Browser, travel, uid: str = "dora") -> pyotp.TOTP:
    assert (await browser.post("/second-factor/begin", {"account": uid, "password": "x"})).status_code == 403
    assert "Confirm at your provider" in (await browser.get("/second-factor")).text
    answer = await travel(browser).whole("/oidc/step-up?next=/second-factor")
    assert answer.headers["location"] == "/second-factor"
    await browser.get("/second-factor")
    answer = await browser.post("/second-factor/begin")
    assert answer.status_code == 200, answer.text
    totp = pyotp.TOTP(re.search(r'<p class="mono wrap">([A-Z2-7 ]+)</p>', answer.text)[1].replace(" ", ""))
    assert (await browser.post("/second-factor/confirm", {"code": totp.now()})).status_code == 200
    return totp


async def test_at33_a_person_of_the_provider_signs_with_credentials_typed_again_and_a_code(
    make, travel, idp: Provider, server, fresh
):
    site = await make()
    browser = site.browser()
    await travel(browser).whole()
    await browser.get("/upload")
    subs = [await reviewer_sub(site, "rosa")]
    one, two = await browser.uploaded(b"one\n"), await browser.uploaded(b"two\n")
    # Without a device of their own they cannot sign at all: the provider's session would be the only thing.
    assert (await browser.get(f"/documents/{one}/versions/1/sign/submit")).status_code == 403
    totp = await device(site, browser, travel)
    await travel(browser).whole()

    def code() -> str:
        with server.admin(fresh.database.name) as conn:
            conn.execute("UPDATE second_factors SET last_step = 0")
        return totp.now()

    dialog = f"/documents/{one}/versions/1/sign/submit"
    assert "Confirm at your provider" in (await browser.get(dialog)).text
    assert (await sign(browser, "dora", one, "submit", reviewers=subs, code=code())).status_code == 403
    assert (await travel(browser).whole(f"/oidc/step-up?next={dialog}")).headers["location"] == dialog
    assert idp.asked[-1]["prompt"] == "login"
    assert idp.asked[-1]["max_age"] == "0"
    assert (await sign(browser, "dora", one, "submit", reviewers=subs)).status_code == 403
    assert (await sign(browser, "dora", one, "submit", reviewers=subs, code="123456")).status_code == 403
    assert (await sign(browser, "dora", one, "submit", reviewers=subs, code=code())).status_code == 303
    assert (await sign(browser, "dora", two, "submit", reviewers=subs, code=code())).status_code == 303
    found = []
    with server.admin(fresh.database.name) as conn:
        for row in conn.execute("SELECT id, document, sealed FROM signatures ORDER BY at").fetchall():
            envelope = site.app.columns.open(bytes(row[2]), "signatures", str(row[0]), str(row[1]))
            found.append(json.loads(base64.b64decode(envelope["payload"]))["auth"])
    assert [auth["components"] for auth in found] == [["provider", "totp"], ["totp"]]
    assert {auth["method"] for auth in found} == {"oidc-step-up"}


@pytest.mark.parametrize("told", [None, -3600, "now"])
async def test_hostile_a_step_up_that_asked_for_nothing_anew_proves_nothing(make, travel, idp: Provider, told):
    site = await make()
    browser = site.browser()
    await travel(browser).whole()
    value = int(time.time()) + told if isinstance(told, int) else told
    idp.tamper = lambda claims: {
        name: each for name, each in {**claims, "auth_time": value}.items() if each is not None
    }
    assert (await travel(browser).whole("/oidc/step-up?next=/second-factor")).status_code == 401
    assert "Confirm at your provider" in (await browser.get("/second-factor")).text


async def test_hostile_a_step_up_by_somebody_else_or_for_another_session_proves_nothing(make, travel, idp: Provider):
    site = await make()
    browser = site.browser()
    await travel(browser).whole()
    idp.person = {**DORA, "sub": "another"}
    assert (await travel(browser).whole("/oidc/step-up?next=/second-factor")).status_code == 401
    idp.person = dict(DORA)
    way = travel(browser)
    back = await way.visit(await way.out("/oidc/step-up?next=/second-factor"))
    await way.whole()  # a new session in the meantime
    assert (await browser.get(back)).status_code == 401
    assert "Confirm at your provider" in (await browser.get("/second-factor")).text


async def test_required_sends_a_person_of_the_provider_to_set_up_a_device_first(make, travel, idp: Provider):
    site = await make("required")
    browser = site.browser()
    assert (await travel(browser).whole()).headers["location"] == "/second-factor"
    assert (await browser.get("/documents")).status_code == 403
    await device(site, browser, travel)
    assert (await travel(browser).whole()).headers["location"] == "/documents"
    assert (await browser.get("/documents")).status_code == 200


async def test_without_a_provider_its_addresses_lead_nowhere_and_ldap_goes_on(site: Site):
    for path in ("/oidc/start", "/oidc/callback?code=x&state=y"):
        assert (await site.browser().get(path)).status_code == 404
    assert "organisation" not in (await site.browser().get("/sign-in")).text
    assert (await site.browser().sign_in("alice", people.password("alice"))).status_code == 303


async def test_a_provider_that_is_away_stops_nobody_of_the_directory(make, fresh, idp: Provider):
    site = await make(issuer="https://localhost:1/realm")
    assert (await site.browser().get("/oidc/start")).status_code == 503
    assert (await site.browser().sign_in("alice")).status_code == 303
