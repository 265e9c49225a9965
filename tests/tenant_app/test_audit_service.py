"""The app's trail delivered to the real audit service: taken whole, once, provable offline."""

import tempfile
from pathlib import Path

import pytest

from audit_contract.verify import verify_bundle
from tenant_app import factory
from tenant_app.adapters.audit import ServiceAuditLog
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.errors import AuditAway
from tests.audit_service.postgres import Postgres, free_port
from tests.audit_service.service import TENANT_LOG, Service, make_settings, migrated, running, until_writer
from tests.tenant_app.support.site import Site
from tests.tenant_app.test_workflow import approved

APP = "system:serviceaccount:tenant-acme-pharma:app"


@pytest.fixture
async def service(tmp_path):
    folder = Path(tempfile.mkdtemp(prefix="cloister-app-audit-"))
    folder.chmod(0o755)
    server = Postgres(folder / "server", free_port())
    server.create()
    server.start()
    try:
        settings = await migrated(make_settings(server, tmp_path))
        async with running(settings, server) as found:
            await until_writer(found)
            async with found.client() as operator:
                await found.tenant_log(operator)
            yield found
    finally:
        server.destroy()
        folder.rmdir()


def adapter(fresh, service: Service, tmp_path: Path, pod: str) -> ServiceAuditLog:
    token = tmp_path / f"token-{pod}"
    token.write_text(service.cluster.token(APP, pod=pod))
    section = fresh.audit.model_copy(update={"log": TENANT_LOG, "token_file": token, "url": "http://audit"})
    return ServiceAuditLog(section, fresh.system, transport=service.transport)


async def test_a_documents_whole_life_is_taken_by_the_real_audit_service_once_and_proven(
    fresh, keys, service, tmp_path
):
    log = adapter(fresh, service, tmp_path, "pod-1")
    app = factory.build(fresh, factory.Ports(keys=keys, directory=LdapDirectory(fresh.ldap), audit=log))
    await app.database.open()
    site = Site(app)
    try:
        document = await approved(site)
        await site.browser().sign_in("alice", "wrong")
        rosa = await site.as_("rosa")
        await rosa.post(
            f"/documents/{document}/versions/1/annotations", {"text": "Grüße 25 °C\nzwei", "place": "page 2"}
        )
        delivered = await app.relay.deliver_all()
        assert app.relay.progress.waiting == 0
        # The pod dies after the service took entries and before we kept the receipts; the next pod sends them again.
        await rosa.get("/documents")
        second = adapter(fresh, service, tmp_path, "pod-2")
        app.relay._audit = second
        assert await _send_again(app, second)
        assert await app.relay.deliver_all() == 1
        delivered += 1
        async with service.client() as operator:
            await service.signed(TENANT_LOG, delivered + 1)
            bundle = await operator.export(TENANT_LOG)
            trusted = (await operator.log(TENANT_LOG))["keys"]
        report = verify_bundle(bundle, trusted)
        assert (report.ok, report.problems, report.size) == (True, [], delivered + 1)
        await second.close()
    finally:
        await site.close()
        await app.close()


async def _send_again(app: factory.App, log: ServiceAuditLog) -> bool:
    """Send the first entries once more as another pod; the service answers as it did."""
    from tenant_app.adapters.ports import Outgoing
    from tenant_app.storage import outbox

    async with app.database.transaction() as conn:
        links = await outbox.since(conn, 0, limit=5)
        chain = str(await outbox.chain_id(conn))
    answers = await log.deliver(chain, [Outgoing(seq=each.seq, body=app.recorder.opened(each).body) for each in links])
    return [answer.log_index for answer in answers] == [link.log_index for link in links]


async def test_a_log_of_another_tenant_does_not_take_our_entries(fresh, service, tmp_path):
    token = tmp_path / "other"
    token.write_text(service.cluster.token("system:serviceaccount:tenant-globex-bio:app"))
    section = fresh.audit.model_copy(update={"log": TENANT_LOG, "token_file": token, "url": "http://audit"})
    from tenant_app.adapters.ports import Outgoing
    from tenant_app.domain.actions import Action
    from tenant_app.domain.audit import SYSTEM, Entry, ObjectRef

    entry = Entry(action=Action.APP_STARTED, actor=SYSTEM, object=ObjectRef(type="App", id="x"))
    with pytest.raises(AuditAway):
        await ServiceAuditLog(section, fresh.system, transport=service.transport).deliver(
            "chain", [Outgoing(seq=0, body=entry.as_json())]
        )
