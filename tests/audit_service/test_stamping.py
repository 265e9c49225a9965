"""RFC 3161: checkpoints are stamped by an authority, kept, exported and checked offline; what is not right is not kept."""

import asyncio
from pathlib import Path

import pytest
from cryptography import x509

from audit_contract import bundle as bundles
from audit_contract.report import Exit
from audit_contract.timestamp import StampError, check_stamp
from audit_contract.verify import verify_bundle
from audit_service import settings as configuration
from audit_service.log.stamping import NoStampError, obtain
from audit_service.settings import Settings, Timestamps
from tests.audit_service.authority import (
    Authority,
    authority,
    make_authority,
    openssl,
    over_another_hash,
    without_nonce,
)
from tests.audit_service.postgres import Postgres
from tests.audit_service.service import TENANT_LOG, draft, running, until_writer

MESSAGE = b"a checkpoint\n"
KEYS = {
    "rsa": ("rsa:2048",),
    "ec": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "p384": ("ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
}


def named(tsa: Authority, roots: Path | None = None) -> configuration.Authority:
    return configuration.Authority(name="tsa", url=tsa.url, roots_file=roots or tsa.roots)


@pytest.mark.parametrize("chain", [False, True])
@pytest.mark.parametrize("kind", KEYS)
async def test_a_reply_is_checked_and_kept_for_every_usual_kind_of_key(tmp_path: Path, kind: str, chain: bool) -> None:
    with authority(tmp_path / "tsa", key=KEYS[kind], chain=chain) as tsa:
        request, reply = await obtain(named(tsa), MESSAGE)
    roots = x509.load_pem_x509_certificates(tsa.roots.read_bytes())
    stamp = check_stamp(reply, request, MESSAGE, roots)
    assert stamp.signer.subject.rfc4514_string() == "CN=TSA"
    assert stamp.nonce > 0
    with pytest.raises(StampError, match="not over this checkpoint"):
        check_stamp(reply, request, MESSAGE + b"x", roots)


async def test_a_reply_without_or_with_an_old_nonce_or_over_something_else_is_refused(tmp_path: Path) -> None:
    with authority(tmp_path / "tsa") as tsa:
        tsa.misbehave = without_nonce(tsa.folder)
        with pytest.raises(NoStampError, match="nonce"):
            await obtain(named(tsa), MESSAGE)
        tsa.misbehave = over_another_hash(tsa.folder)
        with pytest.raises(NoStampError, match="another hash"):
            await obtain(named(tsa), MESSAGE)
        tsa.misbehave, tsa.replay = None, True
        tsa.replies.clear()
        await obtain(named(tsa), MESSAGE)
        with pytest.raises(NoStampError, match="nonce"):
            await obtain(named(tsa), MESSAGE)


async def test_an_authority_that_is_not_trusted_or_not_one_or_not_there_is_refused(tmp_path: Path) -> None:
    stranger = make_authority(tmp_path / "stranger")
    with authority(tmp_path / "tsa") as tsa, pytest.raises(NoStampError, match="nobody that is trusted"):
        await obtain(named(tsa, stranger.roots), MESSAGE)
    with pytest.raises(NoStampError, match="cannot be reached"):
        await obtain(named(tsa), MESSAGE)
    request, reply = tsa.folder / "query.tsq", tsa.folder / "reply.tsr"
    signer = x509.load_pem_x509_certificate((tsa.folder / "tsa.crt").read_bytes())
    assert check_stamp(reply.read_bytes(), request.read_bytes(), MESSAGE).signer == signer


async def test_every_bit_of_what_is_signed_in_a_reply_counts(tmp_path: Path) -> None:
    with authority(tmp_path / "tsa", key=KEYS["ec"]) as tsa:
        request, reply = await obtain(named(tsa), MESSAGE)
    roots = x509.load_pem_x509_certificates(tsa.roots.read_bytes())
    good = check_stamp(reply, request, MESSAGE, roots)
    accepted = 0
    for at in range(len(reply)):
        changed = bytearray(reply)
        changed[at] ^= 0x10
        try:
            found = check_stamp(bytes(changed), request, MESSAGE, roots)
        except StampError:
            continue
        accepted += 1
        assert (found.time, found.nonce) == (good.time, good.nonce)  # such a byte is in no signed part
    assert accepted < len(reply) / 10
    for at in range(0, len(reply), 7):
        with pytest.raises(StampError):
            check_stamp(reply[:at], request, MESSAGE, roots)


async def test_stamps_are_in_the_bundle_and_the_verifier_and_openssl_check_them(
    settings: Settings, postgres: Postgres, tmp_path: Path
) -> None:
    with authority(tmp_path / "tsa") as tsa:
        stamps = Timestamps(authorities=(named(tsa),), every_seconds=0.3)
        async with running(settings.model_copy(update={"timestamps": stamps}), postgres) as service:
            await until_writer(service)
            async with service.client() as client:
                await service.tenant_log(client)
                await client.append(TENANT_LOG, [draft() for _ in range(5)])
                record = await service.state.find_log(TENANT_LOG)
                for _ in range(1500):
                    found = await service.state.reading.stamps(record.number, 6, 9)
                    if found and found[-1].size == 6:
                        break
                    await asyncio.sleep(0.02)
                await client.append(TENANT_LOG, [draft()])
                await service.signed(TENANT_LOG, 7)
                data = await client.export(TENANT_LOG)
                keys = (await client.log(TENANT_LOG))["keys"]
    report = verify_bundle(data, keys, tsa=tsa.roots.read_bytes())
    assert report.problems == []
    assert report.stamps >= 1
    assert report.stamps_trusted
    assert verify_bundle(data, keys).stamps_trusted is False
    members = dict(bundles.read(data).members)
    for ending in ("checkpoint", "tsa.tsq", "tsa.tsr"):
        (tmp_path / ending).write_bytes(members[f"tsr/6.{ending}"])
    said = openssl("ts", "-verify", "-data", tmp_path / "checkpoint", "-in", tmp_path / "tsa.tsr", "-CAfile", tsa.roots)
    assert b"Verification: OK" in said
    openssl("ts", "-verify", "-queryfile", tmp_path / "tsa.tsq", "-in", tmp_path / "tsa.tsr", "-CAfile", tsa.roots)

    stranger = make_authority(tmp_path / "stranger").roots.read_bytes()
    assert verify_bundle(data, keys, tsa=stranger).code is Exit.TIME
    assert verify_bundle(data, keys, tsa=b"no certificate").code is Exit.BAD_INPUT

    def code(path: str, new: bytes | None) -> Exit:
        changed = {name: each if name != path else new for name, each in members.items()}
        kept = {name: each for name, each in changed.items() if each is not None}
        return verify_bundle(bundles.write(kept.items()), keys, tsa=tsa.roots.read_bytes()).code

    assert code("tsr/6.checkpoint", members["checkpoint"]) is Exit.TIME
    assert code("tsr/6.checkpoint", None) is Exit.TIME
    assert code("tsr/6.tsa.tsq", None) is Exit.TIME
    assert code("tsr/6.tsa.tsr", members["tsr/6.tsa.tsr"][:-9] + bytes(9)) is Exit.TIME
    without = {name: each for name, each in members.items() if not name.startswith("tsr/")}
    assert verify_bundle(bundles.write(without.items()), keys).code is Exit.OK
    assert verify_bundle(bundles.write(without.items()), keys, tsa=tsa.roots.read_bytes()).code is Exit.TIME
