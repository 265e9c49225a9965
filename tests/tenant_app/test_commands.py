"""The image's commands, as separate processes where that matters."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tenant_app import factory
from tenant_app.__main__ import main
from tenant_app.domain.signing import opened
from tenant_app.errors import VaultRefused
from tenant_app.storage.migrations import Migration, MigrationMismatch, in_order, migrate, migrations
from tests.tenant_app.support.site import PDF, Site
from tests.tenant_app.test_renditions import sealed_by
from tests.tenant_app.test_workflow import approved


def test_migrate_is_idempotent_and_forward_only(fresh):
    assert migrate(fresh.database) == []
    numbers = [migration.number for migration in migrations()]
    # Gaps are fine, and one filled later is applied then: branches number apart. A number twice is not.
    assert numbers == sorted(set(numbers))


def test_a_migration_whose_number_lies_before_applied_ones_is_still_applied(fresh, server, monkeypatch):
    earlier = Migration(number=0, name="earlier", text="CREATE TABLE came_later_numbered_before (one integer);")
    monkeypatch.setattr("tenant_app.storage.migrations.migrations", lambda: [earlier, *migrations()])
    assert migrate(fresh.database) == [0]
    with server.admin(fresh.database.name) as conn:
        assert conn.execute("SELECT count(*) FROM came_later_numbered_before").fetchone() == (0,)


def test_two_migrations_of_one_number_are_refused():
    one = Migration(number=1, name="one", text="")
    with pytest.raises(MigrationMismatch, match="0001"):
        in_order([one, Migration(number=1, name="other", text="")])


def test_a_wrong_configuration_names_the_field(tmp_path, monkeypatch, capsys):
    path = tmp_path / "config.json"
    path.write_text("{}")
    monkeypatch.setenv("CLOISTER_APP_CONFIG", str(path))
    assert main(["migrate"]) == 2
    assert "database: Field required" in capsys.readouterr().err


async def test_at04_export_writes_every_version_in_its_original_bytes(site: Site, tmp_path, audit):
    alice = await site.as_("alice")
    one = await alice.uploaded(PDF, "protocol.pdf", "Protocol")
    await alice.add_version(one, PDF + b"\n", expected=1, name="protocol.pdf")
    two = await alice.uploaded("Grüße\n".encode(), "notes β.txt", "Notes")
    done = await site.app.export.run(tmp_path)
    assert (done.documents, done.versions) == (2, 3)
    manifest = json.loads((tmp_path / "documents.json").read_text())
    for document in manifest["documents"]:
        for version in document["versions"]:
            raw = (tmp_path / version["file"]).read_bytes()
            assert hashlib.sha256(raw).hexdigest() == version["sha256"]
            assert (len(raw), version["size"]) == (version["size"], len(raw))
            assert version["sealedSize"] > version["size"]
    assert (tmp_path / "documents" / one / "2" / "protocol.pdf").read_bytes() == PDF + b"\n"
    assert (tmp_path / "documents" / two / "1" / "notes β.txt").exists()
    await site.app.relay.deliver_all()
    assert "app:data:export" in audit.actions()


async def test_at04_the_export_holds_trails_signatures_and_sealed_renditions_that_verify_with_the_exported_keys(
    site: Site, tmp_path, monkeypatch, keys, server, fresh
):
    document = await approved(site)
    gone = await (await site.as_("alice")).uploaded(b"old\n")
    with server.admin(fresh.database.name) as conn:
        conn.execute("ALTER TABLE documents DISABLE TRIGGER retention_kept")
        conn.execute("UPDATE documents SET retain_until = now() - interval '1 day' WHERE id = %s", (gone,))
    pia = await site.as_("pia")
    assert (await pia.post(f"/documents/{gone}/delete", {"reason": "Retention is over"})).status_code == 303

    async def refused(*_args):
        raise VaultRefused("the export may not wrap")

    monkeypatch.setattr(keys, "wrap", refused)
    await site.app.export.run(tmp_path)
    listed = {each["id"]: each for each in json.loads((tmp_path / "documents.json").read_text())["documents"]}
    assert listed[gone]["versions"][0]["destroyed"] is True
    pdf = (tmp_path / listed[document]["versions"][0]["rendition"]).read_bytes()
    status = await sealed_by(pdf, (tmp_path / "keys" / "pdf-seal-issuer.cer").read_bytes())
    assert (status.intact, status.trusted) == (True, True)
    trail = json.loads((tmp_path / listed[document]["trail"]).read_text())
    public = load_pem_public_key((tmp_path / "keys" / "signing-key-v1.pem").read_bytes()).public_bytes_raw()
    signed = [opened(each["envelope"], {1: public}) for each in trail["signatures"]]
    assert [each["meaning"]["code"] for each in signed] == ["authorship", "review", "approval"]
    assert trail["entries"][0]["entry"]["action"] == "app:document:create"
    outlived = json.loads((tmp_path / listed[gone]["trail"]).read_text())
    assert outlived["entries"][-1]["entry"]["action"] == "app:document:delete"


def test_the_export_job_logs_in_with_its_own_vault_role(fresh):
    ports = factory.real_ports(
        fresh.model_copy(update={"vault": fresh.vault.model_copy(update={"role": "cloister-x-app"})}),
        service_account="export",
    )
    assert ports.keys._role == "cloister-x-export"
