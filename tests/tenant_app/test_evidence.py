"""Evidence that outsiders check: one entry, one signature, alone and offline (11.10(e), 11.70, 11.100(c), AT-32)."""

import io
import json
import re
import subprocess
import sys
import zipfile

import pytest

from audit_contract.__main__ import main as cloister_verify
from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tests.tenant_app.support.site import Browser, Site
from tests.tenant_app.test_audit_service import TENANT_LOG, adapter, service
from tests.tenant_app.test_workflow import approved

__all__ = ["service"]


@pytest.fixture
async def proven(fresh, keys, service, tmp_path):
    """A site whose trail is delivered to the real audit service, with an approved document."""
    log = adapter(fresh, service, tmp_path, "pod-1")
    app = factory.build(fresh, factory.Ports(keys=keys, directory=LdapDirectory(fresh.ldap), audit=log))
    await app.database.open()
    site = Site(app)
    document = await approved(site)
    delivered = await app.relay.deliver_all()
    async with service.client():
        await service.signed(TENANT_LOG, delivered + 1)
    yield site, document
    await site.close()
    await app.close()


async def signatures_of(browser: Browser, document: str) -> list[str]:
    page = (await browser.get(f"/documents/{document}")).text
    return re.findall(r"/signatures/([0-9a-f-]{36})/evidence\.zip", page)


def unpack(content: bytes, folder) -> None:
    folder.mkdir()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert not [name for name in archive.namelist() if name.startswith("/") or ".." in name]
        archive.extractall(folder)


def checked(folder) -> tuple[int, str]:
    """Run the pack's own program as a stranger would: nothing of ours on its path, no network used."""
    command = [sys.executable, "-I", str(folder / "check.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    return done.returncode, done.stdout


def verified(folder, *arguments: str) -> int:
    origin = re.search(r"--log (\S+)", (folder / "README.txt").read_text())[1]
    named = [
        "entry", str(folder / "entry.tlog-proof"), "--leaf", str(folder / "entry.json"), "--log", origin,
        "--keys", str(folder / "log-keys.txt"), *arguments,
    ]  # fmt: skip
    pyz = subprocess.run(
        [sys.executable, str(folder / "cloister-verify.pyz"), *named], capture_output=True, check=False
    )
    ours = cloister_verify(named)
    assert pyz.returncode == ours
    return ours


async def test_at32_the_evidence_pack_of_one_signature_verifies_alone(proven, tmp_path):
    site, document = proven
    rita = await site.as_("rita")
    for place, signature in enumerate(await signatures_of(rita, document)):
        answer = await rita.get(f"/documents/{document}/signatures/{signature}/evidence.zip")
        assert answer.status_code == 200
        folder = tmp_path / str(place)
        unpack(answer.content, folder)
        code, said = checked(folder)
        assert (code, "FAILED" in said) == (0, False), said
        assert "the log's entry names exactly this signature" in said
        assert verified(folder) == 0
    assert place == 2


@pytest.mark.parametrize(
    "name",
    ["payload.json", "signature.dsse.json", "statement.txt", "content/note.txt", "entry.json", "before/0000.json"],
)
async def test_at32_at29_a_pack_with_anything_altered_or_missing_does_not_verify(proven, tmp_path, name):
    site, document = proven
    rita = await site.as_("rita")
    newest = (await signatures_of(rita, document))[0]
    answer = await rita.get(f"/documents/{document}/signatures/{newest}/evidence.zip")
    unpack(answer.content, tmp_path / "pack")
    path = tmp_path / "pack" / name
    original = path.read_bytes()
    if name.endswith("dsse.json"):
        envelope = json.loads(original)
        envelope["signatures"][0]["sig"] = "A" + envelope["signatures"][0]["sig"][1:]
        path.write_text(json.dumps(envelope))
    elif name == "entry.json":
        path.write_bytes(original.replace(b'"app:signature:create"', b'"app:signature:revoke"'))
        assert verified(tmp_path / "pack") == 1
        return
    else:
        path.write_bytes(original[:-3] + b"?" + original[-2:])
    assert checked(tmp_path / "pack")[0] == 1
    path.unlink()
    assert checked(tmp_path / "pack")[0] == 1


async def test_every_entry_of_a_trail_has_a_proof_that_checks_offline(proven, tmp_path):
    site, document = proven
    rita = await site.as_("rita")
    page = (await rita.get(f"/documents/{document}/trail")).text
    found = sorted({int(seq) for seq in re.findall(r"/trail/(\d+)/proof\.zip", page)})
    assert len(found) > 8
    for seq in found:
        answer = await rita.get(f"/documents/{document}/trail/{seq}/proof.zip")
        assert answer.status_code == 200, answer.text
        folder = tmp_path / str(seq)
        unpack(answer.content, folder)
        assert verified(folder) == 0
        assert json.loads((folder / "entry.json").read_bytes())["object"]["id"] == document
    other = tmp_path / str(found[0])
    (other / "entry.json").write_bytes((tmp_path / str(found[1]) / "entry.json").read_bytes())
    assert verified(other) != 0
    assert (await rita.get(f"/documents/{document}/trail/0/proof.zip")).status_code == 404


async def test_a_pack_made_before_the_log_has_the_entry_says_so_and_still_verifies(site: Site, tmp_path):
    document = await approved(site)
    rita = await site.as_("rita")
    newest = (await signatures_of(rita, document))[0]
    answer = await rita.get(f"/documents/{document}/signatures/{newest}/evidence.zip")
    unpack(answer.content, tmp_path / "pack")
    assert "had no proof" in (tmp_path / "pack" / "README.txt").read_text()
    assert checked(tmp_path / "pack")[0] == 0
    assert (await rita.get(f"/documents/{document}/trail/9999/proof.zip")).status_code == 404
    max_ = await site.as_("max")
    assert (await max_.get(f"/documents/{document}/signatures/{newest}/evidence.zip")).status_code == 403
