"""The image's commands, as separate processes where that matters."""

import hashlib
import json

from tenant_app import factory
from tenant_app.__main__ import main
from tenant_app.storage.migrations import migrate, migrations
from tests.tenant_app.support.site import PDF, Site


def test_migrate_is_idempotent_and_forward_only(fresh):
    assert migrate(fresh.database) == []
    numbers = [migration.number for migration in migrations()]
    # Gaps are fine, and one filled later is applied then: branches number apart. A number twice is not.
    assert numbers == sorted(set(numbers))


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


def test_the_export_job_logs_in_with_its_own_vault_role(fresh):
    ports = factory.real_ports(
        fresh.model_copy(update={"vault": fresh.vault.model_copy(update={"role": "cloister-x-app"})}),
        service_account="export",
    )
    assert ports.keys._role == "cloister-x-export"
