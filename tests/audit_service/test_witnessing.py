"""The service and its witnesses: what is cosigned and when, and that neither a restored nor a forked database goes on."""

# ruff: noqa: S608  # the statements are this test's own text

import asyncio
import base64
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import asyncpg
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from audit_contract import bundle as bundles
from audit_contract.checkpoint import Checkpoint, from_text, open_checkpoint
from audit_contract.client import AuditConflict
from audit_contract.keys import KeySigner, KeyType, parse_vkey
from audit_contract.merkle import leaf_hash, root_of
from audit_contract.note import Note, parse
from audit_contract.policy import write_policy
from audit_contract.report import Exit
from audit_contract.verify import verify_bundle
from audit_service.log.peer import NoGrowthError, OtherSizeError, Peer, WitnessError
from audit_service.settings import Settings, WitnessPeer
from audit_service.store.connect import arguments
from tests.audit_service.postgres import Postgres
from tests.audit_service.service import TENANT_LOG, Service, draft, running, until_writer
from tests.audit_service.witnesses import file_signers, losing_the_reply, prepared, witnesses
from tests.tenant_app.support.certificates import Authority as CertificateAuthority

NUMBER = f"(SELECT number FROM log WHERE name = '{TENANT_LOG}')"


def with_witnesses(settings: Settings, peers: list[object], quorum: int = 1, guard: Path | None = None) -> Settings:
    made = settings.model_copy(update={"witnesses": tuple(peers), "quorum": quorum, "guard_folder": guard})
    pace = made.pace.model_copy(update={"witness_ms": 20})
    return Settings.model_validate(made.model_copy(update={"pace": pace}).model_dump())


async def fill(service: Service, count: int) -> int:
    async with service.client() as client:
        await service.tenant_log(client)
        await client.append(TENANT_LOG, [draft() for _ in range(count)])
        size: int = (await client.log(TENANT_LOG))["durable"]
    await service.signed(TENANT_LOG, size)
    return size


async def until(what: Callable[[], object], said: str) -> None:
    for _ in range(1500):
        found = what()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(said)


async def cosigned(service: Service, size: int) -> bytes:
    record = await service.state.find_log(TENANT_LOG)

    async def there() -> bool:
        note = await service.state.reading.cosigned(record.number)
        return note is not None and from_text(parse(note).text).size >= size

    await until(there, f"not cosigned at {size}")
    return await service.state.reading.cosigned(record.number)


async def as_superuser(settings: Settings, *statements: str) -> None:
    connection = await asyncpg.connect(**arguments(settings.database, settings.database.name, settings.database.admin))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def refusal(service: Service) -> str:
    await until(lambda: service.state.writer.witnesses.refusal, "it did not refuse")
    await until(lambda: not service.state.writer.is_writer, "it still writes")
    async with service.http(None) as http:
        answer = await http.get("/readyz")
    assert answer.status_code == 503
    said: str = answer.json()["witnesses"]
    assert said == service.state.writer.witnesses.refusal
    return said


async def test_checkpoints_are_cosigned_and_the_bundle_shows_the_quorum(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    with witnesses(tmp_path, settings, 1) as (witness,):
        pins = tmp_path / "guard"
        pins.mkdir()
        async with running(with_witnesses(settings, [witness.peer()], guard=pins), postgres) as service:
            await until_writer(service)
            size = await fill(service, 300)
            note = await cosigned(service, size)
            await cosigned(service, await fill(service, 5))
            async with service.client() as client, service.http() as http:
                data = await client.export(TENANT_LOG)
                durable = (await client.log(TENANT_LOG))["durable"]  # that it was exported is an entry too
                await cosigned(service, durable)
                shown = await http.get(f"/v1/logs/{TENANT_LOG}/checkpoint/witnessed")
                facts = await client.log(TENANT_LOG)
            assert len(parse(shown.content).signatures) == 4
            assert facts["witnessed"] == from_text(parse(shown.content).text).size
        vkeys = witness.vkeys()
        assert (pins / "w1.witness").read_text().split() == vkeys
    origin = settings.origin(TENANT_LOG)
    both = open_checkpoint(note, origin, [parse_vkey(each) for each in (*facts["keys"], *vkeys)])
    assert len(both.signed_by) == 4
    policy = write_policy(facts["keys"], {"w1": vkeys}, 1)
    for report in (verify_bundle(data, facts["keys"]), verify_bundle(data, policy=policy)):
        assert report.problems == []
        assert (len(report.witnessed_by), report.trusted) == (2, True)
    stranger = file_signers(settings, "witness.example/w2")[1].verifier.vkey
    short = verify_bundle(data, facts["keys"], policy=write_policy((), {"w1": vkeys, "w2": [stranger]}, 2))
    assert (short.code, "too few witnesses" in short.problems[0].text) == (Exit.POLICY, True)
    members = dict(bundles.read(data).members)
    plain = parse(members["checkpoint"])
    members["checkpoint"] = Note(plain.text, plain.signatures[:2]).encode()
    assert verify_bundle(bundles.write(members.items()), facts["keys"]).code is Exit.POLICY


async def test_two_of_three_suffice_and_without_them_entries_are_still_taken(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    with witnesses(tmp_path, settings, 3) as found:
        peers = [each.peer(vkeys=each.vkeys()) for each in found]
        async with running(with_witnesses(settings, peers, quorum=2), postgres) as service:
            await until_writer(service)
            found[0].kill()
            note = await cosigned(service, await fill(service, 3))
            assert {each.name for each in parse(note).signatures} >= {"witness.example/w2", "witness.example/w3"}
            found[1].kill()
            size = await fill(service, 3)
            await until(lambda: len(service.state.writer.witnesses.troubles()) == 2, "nobody noticed")
            await until(lambda: service.state.writer.witnesses.unwitnessed_seconds() > 0.2, "the age does not grow")
            async with service.http(None) as http, service.client() as client:
                ready = await http.get("/readyz")
                assert (ready.status_code, ready.json()["unwitnessedSeconds"] > 0) == (200, True)
                assert "cannot be reached" in ready.json()["witnessTroubles"]["w1"]
                metrics = (await http.get("/metrics")).text
                assert float(metrics.partition("\ncloister_audit_unwitnessed_seconds ")[2].split()[0]) > 0
                report = verify_bundle(await client.export(TENANT_LOG), (await client.log(TENANT_LOG))["keys"])
            assert (report.code, report.size >= size) == (Exit.POLICY, True)
            found[0].start()
            await cosigned(service, size)


async def test_a_witness_killed_after_its_write_and_before_its_reply_goes_on_with_the_same_tree(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    with witnesses(tmp_path, settings, 1) as (witness,):
        vkeys = witness.vkeys()
        async with losing_the_reply(witness) as (port, killed):
            peer = witness.peer(vkeys=vkeys, url=f"http://127.0.0.1:{port}")
            async with running(with_witnesses(settings, [peer]), postgres) as service:
                await until_writer(service)
                size = await fill(service, 9)
                await asyncio.wait_for(killed.wait(), 20)
                await asyncio.to_thread(witness.start)
                assert witness.vkeys() == vkeys
                note = await cosigned(service, await fill(service, 9))
                assert from_text(parse(note).text).size > size


async def test_a_database_that_was_set_back_is_not_written_to_behind_its_witness(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    set_back = [
        f"CREATE TABLE kept AS SELECT * FROM leaf WHERE log = {NUMBER} AND index >= 200",
        f"DELETE FROM leaf WHERE log = {NUMBER} AND index >= 200",
        "ALTER TABLE head DISABLE TRIGGER ALL",
        "ALTER TABLE checkpoint DISABLE TRIGGER ALL",
        f"UPDATE head SET size = 200 WHERE log = {NUMBER}",
        f"UPDATE checkpoint SET size = 200 WHERE log = {NUMBER}",
    ]
    whole = [
        "INSERT INTO leaf SELECT * FROM kept",
        f"UPDATE head SET size = 301 WHERE log = {NUMBER}",
        f"UPDATE checkpoint SET size = 301 WHERE log = {NUMBER}",
        "ALTER TABLE head ENABLE TRIGGER ALL",
        "ALTER TABLE checkpoint ENABLE TRIGGER ALL",
        "DROP TABLE kept",
    ]
    with witnesses(tmp_path, settings, 1) as (witness,):
        watched = with_witnesses(settings, [witness.peer(vkeys=witness.vkeys())])
        async with running(watched, postgres) as service:
            await until_writer(service)
            await cosigned(service, await fill(service, 300))
        await as_superuser(settings, *set_back)
        try:
            async with running(watched, postgres) as service:
                said = await refusal(service)
        finally:
            await as_superuser(settings, *whole)
        assert "witness w1" in said
        assert "301 entries were signed and the database has 200" in said
        assert "WORM copy" in said
        async with running(watched, postgres) as service:
            await until_writer(service)
            await cosigned(service, await fill(service, 3))


async def test_an_emptied_database_and_a_second_log_of_a_known_name_are_refused(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    tables = "log, head, leaf, source, value, tile, checkpoint, span, posting"
    with witnesses(tmp_path, settings, 1) as (witness,):
        watched = with_witnesses(settings, [witness.peer(vkeys=witness.vkeys())])
        async with running(watched, postgres) as service:
            await until_writer(service)
            await cosigned(service, await fill(service, 5))
        await as_superuser(settings, f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
        async with running(watched, postgres) as service:
            assert "the database has 0" in await refusal(service)
        # A witness that saw only the tenant's log: the platform's may begin, the tenant's may not begin again.
        hashed = sha256(settings.origin("platform").encode()).hexdigest()
        (witness.folder / "storage" / "logs" / f"{hashed}.checkpoint").unlink()
        async with running(watched, postgres) as service:
            await until_writer(service)
            async with service.client() as client:
                with pytest.raises(AuditConflict, match="the database has 0"):
                    await service.tenant_log(client)


async def test_a_witness_that_is_ahead_stops_a_running_service_and_a_fork_gets_no_cosignature(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    with witnesses(tmp_path, settings, 1) as (witness,):
        watched = with_witnesses(settings, [witness.peer(vkeys=witness.vkeys())])
        async with running(watched, postgres) as service:
            await until_writer(service)
            size = await fill(service, 4)
            await cosigned(service, size)
            origin = settings.origin(TENANT_LOG)
            leaves = [b"another history %d" % number for number in range(size + 40)]

            def submitted(old: int, new: int, proof: list[bytes]) -> int:
                text = Checkpoint(origin, new, root_of(map(leaf_hash, leaves[:new]))).text()
                note = Note(text, tuple(each.sign(text, 9) for each in file_signers(settings, origin)))
                lines = [f"old {old}", *(base64.b64encode(each).decode() for each in proof)]
                sent = "".join(f"{line}\n" for line in lines).encode() + b"\n" + note.encode()
                return httpx.post(f"{witness.url}/add-checkpoint", content=sent).status_code

            # Two views of one log: whoever holds the log's keys gets the second one cosigned by nobody.
            assert submitted(size, size, []) == 422
            assert submitted(size, size + 8, [bytes(32)] * 4) == 422
            assert submitted(0, size + 8, []) == 409
            # Another database got ahead at the witness: this one stops.
            stored = witness.folder / "storage" / "logs" / f"{sha256(origin.encode()).hexdigest()}.checkpoint"
            stored.unlink()
            assert submitted(0, size + 40, []) == 200
            async with service.client() as client:
                await client.append(TENANT_LOG, [draft()])
            said = await refusal(service)
            assert f"{size + 40} entries were signed" in said


async def test_over_tls_only_a_witness_with_the_given_authoritys_certificate_is_asked(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    authority = CertificateAuthority(tmp_path / "ca")
    pair = authority.issue("witness")
    made = prepared(tmp_path, settings, certFile=str(pair.cert), keyFile=str(pair.key))
    made.ca = authority.ca
    try:
        made.start()
        stranger = KeySigner("x", KeyType.ED25519_COSIGNATURE, Ed25519PrivateKey.generate()).verifier.vkey
        good = made.peer(name="good", vkeys=made.vkeys(), ca_file=authority.ca)
        bad = made.peer(name="bad", vkeys=[stranger])
        async with running(with_witnesses(settings, [good, bad]), postgres) as service:
            await until_writer(service)
            await cosigned(service, await fill(service, 2))
            await until(service.state.writer.witnesses.troubles, "a certificate of nobody was believed")
            assert list(service.state.writer.witnesses.troubles()) == ["bad"]
            assert "certificate" in service.state.writer.witnesses.troubles()["bad"]
        said = made.get("metrics").text
        assert 'cloister_witness_answers_total{status="200"}' in said
        assert "cloister_witness_logs 2.0" in said
    finally:
        made.kill()


async def test_a_private_authority_that_comes_late_or_is_replaced_is_taken_up_without_a_restart(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    """Its file is a ConfigMap's or a Secret's, which the kubelet puts there and changes when it pleases."""
    authority, file = CertificateAuthority(tmp_path / "ca"), tmp_path / "witness-ca.pem"
    pair = authority.issue("witness")
    made = prepared(tmp_path, settings, certFile=str(pair.cert), keyFile=str(pair.key))
    made.ca = authority.ca
    try:
        made.start()
        peer = made.peer(vkeys=made.vkeys(), ca_file=file)
        async with running(with_witnesses(settings, [peer]), postgres) as service:
            await until_writer(service)
            size = await fill(service, 2)
            troubles = service.state.writer.witnesses.troubles
            await until(
                lambda: "No such file" in troubles().get("w1", ""), "a witness without an authority was believed"
            )
            file.write_bytes(CertificateAuthority(tmp_path / "other").ca.read_bytes())
            await until(lambda: "certificate" in troubles().get("w1", ""), "another's authority was believed")
            file.write_bytes(authority.ca.read_bytes())
            await cosigned(service, size)
            await until(lambda: not troubles(), "the trouble did not end")
    finally:
        made.kill()


async def test_one_witness_under_two_names_does_not_count_twice(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "guard").mkdir()
    with witnesses(tmp_path, settings, 1) as (witness,):
        peers = [witness.peer(name=name) for name in ("one", "two")]
        async with running(with_witnesses(settings, peers, quorum=2, guard=tmp_path / "guard"), postgres) as service:
            await until_writer(service)
            size = await fill(service, 2)
            await until(lambda: "another witness" in service.state.writer.witnesses.troubles().get("two", ""), "unseen")
            await fill(service, 2)
            assert service.state.writer.is_writer
            record = await service.state.find_log(TENANT_LOG)
            assert (size > 0, await service.state.reading.cosigned(record.number)) == (True, None)


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (409, "7\n", OtherSizeError),
        (409, "9" * 5000, WitnessError),
        (409, "-1", WitnessError),
        (409, "٣", WitnessError),
        (422, "no", NoGrowthError),
        (200, "", WitnessError),
        (200, "— w.example AAAAAAAA\n", WitnessError),
        (200, "x" * (1 << 19), WitnessError),
        (403, "who", WitnessError),
        (500, "", WitnessError),
    ],
)
async def test_whatever_a_witness_answers_is_an_error_that_can_be_handled(
    status: int, text: str, error: type[Exception]
) -> None:
    signer = KeySigner("w.example", KeyType.ED25519_COSIGNATURE, Ed25519PrivateKey.generate())
    settings = WitnessPeer(name="w", url="http://witness", vkeys=[signer.verifier.vkey])
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text=text))  # a port that says what it likes
    peer = Peer(settings, None, transport)
    with pytest.raises(error):
        await peer.add(Note(Checkpoint("o", 1, bytes(32)).text(), ()), 0, [])
    await peer.close()


async def test_a_kept_key_that_cannot_be_read_is_trouble_not_an_end(tmp_path: Path) -> None:
    (tmp_path / "w.witness").write_text("nonsense\n")
    peer = Peer(WitnessPeer(name="w", url="http://witness"), tmp_path)
    assert await peer.pinned() == []
    with pytest.raises(WitnessError, match="its keys are not known"):
        await peer.latest("o", [])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"quorum": 2}, "2 of 1 witnesses"),
        ({"guard_folder": None}, "guardFolder"),
        ({"witnesses": [{"name": "a", "url": "http://x", "vkeys": ["x"]}]}, "not a verifier key"),
        ({"witnesses": [{"name": "a", "url": "http://x"}] * 2}, "name of its own"),
    ],
)
def test_witnesses_that_cannot_work_are_refused_by_name(more: dict[str, object], words: str) -> None:
    good = {"witnesses": [{"name": "a", "url": "http://x"}], "guard_folder": "/guard"}
    assert Settings.model_validate(good).quorum == 1
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate({**good, **more})
