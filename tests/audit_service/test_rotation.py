"""Changing the keys that sign: announced by the old ones, followed offline from any of them, never done silently."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from audit_contract import bundle as bundles
from audit_contract.client import AuditClient
from audit_contract.note import Note, parse
from audit_contract.report import Exit
from audit_contract.trust import keys_digest
from audit_contract.verify import verify_bundle
from audit_service import keyring
from audit_service.http.entries import bundle_parts
from audit_service.settings import Keys, Settings
from audit_service.store.connect import arguments
from audit_service.store.records import LogRecord, Signed
from tests.audit_service.postgres import Postgres
from tests.audit_service.service import TENANT_LOG, Service, draft, running, until_writer
from tests.audit_service.witnesses import file_signers, witnesses


def with_keys(settings: Settings, folder: Path | None = None, following: Path | None = None) -> Settings:
    keys = settings.keys
    if folder is not None:
        keys = Keys(
            ed25519_file=folder / "ed25519.pem", ml_dsa44_file=folder / "ml-dsa-44.pem", sealing_file=keys.sealing_file
        )
    return settings.model_copy(update={"keys": keys.model_copy(update={"next_folder": following})})


def new_keys(folder: Path) -> Path:
    assert {file.name for file in keyring.generate(folder, sealing=False)} == {"ed25519.pem", "ml-dsa-44.pem"}
    return folder


async def write(service: Service, client: AuditClient, count: int = 3) -> None:
    await service.tenant_log(client)
    await client.append(TENANT_LOG, [draft() for _ in range(count)])
    await service.signed(TENANT_LOG, (await client.log(TENANT_LOG))["durable"])


async def until_keys(client: AuditClient, wanted: list[str]) -> None:
    for _ in range(1500):
        if (await client.log(TENANT_LOG))["keys"] == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the keys did not take over")


def vkeys(settings: Settings) -> list[str]:
    return [each.verifier.vkey for each in file_signers(settings, settings.origin(TENANT_LOG))]


async def rotated_twice(settings: Settings, postgres: Postgres, tmp_path: Path) -> tuple[bytes, list[list[str]]]:
    """A log signed by three generations; return its bundle and their keys."""
    generations = [vkeys(settings)]
    stages = [settings]
    for number in (1, 2):
        following = new_keys(tmp_path / f"keys-{number}")
        stages.append(with_keys(stages[-1], following=following))
        stages.append(with_keys(settings, following))
        generations.append(vkeys(stages[-1]))
    data = b""
    for stage in stages:
        async with running(stage, postgres) as service:
            await until_writer(service)
            async with service.client(pod=f"pod-{len(data)}") as client:
                await write(service, client)
                following = stage.keys.next_folder
                await until_keys(client, vkeys(with_keys(stage, following)))
                await write(service, client)
                signatures = parse((await client.log(TENANT_LOG))["checkpoint"].encode()).signatures
                assert len(signatures) == (2 if following is None else 4)
                data = await client.export(TENANT_LOG)
    return data, generations


async def test_the_verifier_follows_the_announcements_from_any_generation(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    data, generations = await rotated_twice(settings, postgres, tmp_path)
    members = dict(bundles.read(data).members)
    assert len({tuple(each) for each in generations}) == 3
    for keys in (*generations, generations[0][:1], generations[1][1:]):
        report = verify_bundle(data, keys)
        assert report.problems == []
        assert report.trusted
        assert [each.rsplit("+", 1)[1] for each in report.signed_by] == [each.split("+")[1] for each in generations[2]]
    stranger = [each.verifier.vkey for each in file_signers(with_keys(settings, new_keys(tmp_path / "s")), report.log)]
    assert verify_bundle(data, stranger).code is Exit.POLICY

    def without(*names: str) -> Exit:
        left = {path: each for path, each in members.items() if path not in names}
        return verify_bundle(bundles.write(left.items()), generations[0]).code

    assert without("rotation/2.checkpoint") is Exit.POLICY
    assert without("rotation/1.keys") is Exit.BAD_INPUT

    def changed(path: str, new: bytes) -> Exit:
        assert members[path] != new
        return verify_bundle(bundles.write({**members, path: new}.items()), generations[0]).code

    lines = "".join(f"{each}\n" for each in stranger).encode()
    assert changed("rotation/2.keys", lines) is Exit.TAMPERED  # keys that no entry announces
    own = parse(members["rotation/1.checkpoint"])
    other = file_signers(with_keys(settings, tmp_path / "s"), report.log)
    resigned = Note(own.text, tuple(each.sign(own.text, 1) for each in other)).encode()
    assert changed("rotation/1.checkpoint", resigned) is Exit.POLICY  # not handed over by keys that are trusted
    forged = Note(own.text.replace("\n", "\n1", 1), own.signatures).encode()
    assert changed("rotation/1.checkpoint", forged) is Exit.TAMPERED


async def test_keys_exchanged_without_an_announcement_sign_nothing_and_entries_stay_durable(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    async with running(settings, postgres) as service:
        await until_writer(service)
        async with service.client() as client:
            await write(service, client)
            before = await client.log(TENANT_LOG)
    other = with_keys(settings, new_keys(tmp_path / "other"))
    async with running(other, postgres) as service:
        await until_writer(service)
        async with service.client(pod="pod-2") as client, service.http(None) as http:
            await client.append(TENANT_LOG, [draft()])
            for _ in range(1500):
                ready = await http.get("/readyz")
                if "signingWaits" in ready.json():
                    break
                await asyncio.sleep(0.02)
            assert "keys.nextFolder" in ready.json()["signingWaits"]
            assert ready.status_code == 200  # entries can be recorded, and who sends them must still reach this pod
            after = await client.log(TENANT_LOG)
            assert (after["durable"], after["checkpoint"]) == (before["durable"] + 1, before["checkpoint"])
            assert "cloister_audit_waiting_logs 0.0" not in (await http.get("/metrics")).text
    async with running(settings, postgres) as service:
        await until_writer(service)
        await service.signed(TENANT_LOG, after["durable"])


async def test_who_knows_only_the_new_keys_can_check_a_log_in_which_nothing_happened_since(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    async with running(settings, postgres) as service:
        await until_writer(service)
        async with service.client() as client:
            await write(service, client)
            before = (await client.log(TENANT_LOG))["durable"]
    rotating = with_keys(settings, following=new_keys(tmp_path / "next"))
    old, new = vkeys(settings), vkeys(with_keys(settings, tmp_path / "next"))
    async with running(rotating, postgres) as service:
        await until_writer(service)
        log = await service.state.find_log(TENANT_LOG)
        await service.signed(TENANT_LOG, before + 2)
        found = await service.state.reading.checkpoint(log.number)
        assert found.size == before + 2
        announced, activated = await service.state.reading.leaves(log.number, before, before + 2)
        assert b'"audit:key:announce"' in announced.data
        assert b'"audit:key:activate"' in activated.data
        for keys in (old, new):
            assert verify_bundle(await bundle_of(service, log, found), keys).problems == []
        # The checkpoint by which the old ones handed over: theirs, and the bundle over it says so.
        (_, handed) = await service.state.reading.generations(log.number)
        assert (handed.size, handed.note is not None) == (before + 1, True)
        data = await bundle_of(service, log, Signed(handed.size, b"", handed.note))
        report = verify_bundle(data, old)
        assert (report.problems, report.size) == ([], before + 1)
        assert [path for path in bundles.read(data).members if path.startswith("rotation/")] == []
        assert verify_bundle(data, new).code is Exit.POLICY
        await asyncio.sleep(3 * settings.pace.record_seconds)
        assert (await service.state.reading.checkpoint(log.number)).size == before + 2  # said once


async def bundle_of(service: Service, log: LogRecord, signed: Signed) -> bytes:
    return b"".join([part async for part in bundle_parts(service.state, log, signed)])


async def test_witnesses_that_know_only_the_old_keys_go_on_while_both_sign(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    with witnesses(tmp_path, settings, 1) as (witness,):
        changes = {"witnesses": (witness.peer(vkeys=witness.vkeys()),)}
        rotating = with_keys(settings, following=new_keys(tmp_path / "next")).model_copy(update=changes)
        async with running(rotating, postgres) as service:
            await until_writer(service)
            async with service.client() as client:
                await write(service, client)
                await until_keys(client, vkeys(with_keys(settings, tmp_path / "next")))
                await write(service, client)
                report = verify_bundle(await client.export(TENANT_LOG), vkeys(settings))
                assert (report.problems, len(report.witnessed_by)) == ([], 2)


async def test_a_log_from_before_the_keys_were_noted_gets_its_first_generation(
    settings: Settings, postgres: Postgres
) -> None:
    async with running(settings, postgres) as service:
        await until_writer(service)
        async with service.client() as client:
            await write(service, client)
    connection = await asyncpg.connect(**arguments(settings.database, settings.database.name, settings.database.admin))
    await connection.execute("TRUNCATE generation")
    await connection.close()
    async with running(settings, postgres) as service:
        await until_writer(service)
        record = await service.state.find_log(TENANT_LOG)
        for _ in range(1500):
            found = await service.state.reading.generations(record.number)
            if found:
                break
            await asyncio.sleep(0.02)
        assert [list(each.vkeys) for each in found] == [vkeys(settings)]


def test_the_digest_of_keys_covers_their_order() -> None:
    assert keys_digest(["a", "b"]) != keys_digest(["b", "a"]) != keys_digest(["ba"])


@pytest.mark.parametrize("name", ["ed25519.pem", "ml-dsa-44.pem"])
def test_one_kind_of_key_can_take_over_alone(settings: Settings, tmp_path: Path, name: str) -> None:
    folder = new_keys(tmp_path / "next")
    (folder / name).unlink()
    found = keyring.load(with_keys(settings, following=folder).keys)
    assert found.following is not None
    same = [found.following.ed25519 is found.current.ed25519, found.following.ml_dsa44 is found.current.ml_dsa44]
    assert same == [name == "ed25519.pem", name == "ml-dsa-44.pem"]
    (folder / ({"ed25519.pem", "ml-dsa-44.pem"} - {name}).pop()).unlink()
    assert keyring.load(with_keys(settings, following=folder).keys).following is None
