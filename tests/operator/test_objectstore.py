"""clients.objectstore against a real versitygw over TLS."""

import io
import os
import ssl
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from minio.commonconfig import COMPLIANCE, GOVERNANCE
from minio.error import S3Error
from minio.retention import Retention

from tenant_operator.api.reasons import Reason
from tenant_operator.clients import objectstore_buckets
from tenant_operator.clients.objectstore import ObjectStores
from tenant_operator.clients.objectstore_calls import StoreAccess, connect
from tenant_operator.errors import Missing, Refused, Retryable
from tenant_operator.jobs.export_pack import digest_file
from tenant_operator.jobs.export_upload import TransferFailed, read_back, upload, upload_bytes
from tenant_operator.stack import backup
from tenant_operator.stack.derive import Deriver
from tenant_operator.stack.part import External, ExternalKey
from tests.support.object_store import ObjectStore
from tests.support.postgres_server import free_port
from tests.support.tenant_context import tenant_context

CTX = tenant_context()


@pytest.fixture(scope="module")
def store():
    store = ObjectStore(CTX).start()
    yield store
    store.remove()


@pytest.fixture
def stores(store):
    async def access(_):
        return store.access

    stores = ObjectStores(access)
    yield stores
    stores.close()


def another(number):
    return tenant_context(identity=f"00000000-0000-4000-8000-{number:012d}")


def externals(ctx):
    return [one for one in backup.desired(ctx) if isinstance(one, External)]


async def make(stores, ctx):
    for wanted in externals(ctx):
        await stores.ensure(ctx, wanted, await stores.observe(ctx, wanted))


def as_tenant(store, ctx):
    return connect(replace(store.access, access_key=ctx.names.bucket, secret_key=backup.secret_key(ctx))).s3


async def test_bucket_and_user_are_made_and_then_seen_as_desired(stores):
    ctx = another(1)
    for wanted in externals(ctx):
        assert await stores.observe(ctx, wanted) is None
        assert await stores.is_absent(ctx, wanted.key)
        assert await stores.ensure(ctx, wanted, None) == "create"
        assert await stores.observe(ctx, wanted) == dict(wanted.spec)
        assert not await stores.is_absent(ctx, wanted.key)
    for wanted in externals(ctx):
        await stores.ensure(ctx, wanted, None)
        assert await stores.observe(ctx, wanted) == dict(wanted.spec)


async def test_a_tenants_key_opens_its_own_bucket_and_no_other(stores, store):
    mine, theirs = another(2), another(3)
    await make(stores, mine)
    await make(stores, theirs)
    key = as_tenant(store, mine)
    key.put_object(mine.names.bucket, "a", io.BytesIO(b"x"), 1)
    assert key.get_object(mine.names.bucket, "a").data == b"x"
    for act in (
        lambda: key.put_object(theirs.names.bucket, "a", io.BytesIO(b"x"), 1),
        lambda: list(key.list_objects(theirs.names.bucket)),
        lambda: key.get_object(theirs.names.bucket, "a"),
        lambda: key.make_bucket("cloister-of-my-own"),
        lambda: key.delete_bucket_policy(mine.names.bucket),
        lambda: key.remove_bucket(mine.names.bucket),
    ):
        with pytest.raises(S3Error) as caught:
            act()
        assert caught.value.code in {"AccessDenied", "NoSuchKey"}
    assert mine.names.bucket not in {bucket.name for bucket in key.list_buckets()} - {mine.names.bucket}


async def test_a_tenants_key_cannot_remove_what_is_locked_nor_bypass(stores, store):
    ctx = another(4)
    await make(stores, ctx)
    key = as_tenant(store, ctx)
    until = datetime.now(UTC) + timedelta(days=1)
    done = key.put_object(ctx.names.bucket, "b", io.BytesIO(b"x"), 1, retention=Retention(GOVERNANCE, until))
    with pytest.raises(S3Error):
        key.remove_object(ctx.names.bucket, "b", version_id=done.version_id)
    from minio.deleteobjects import DeleteObject

    doomed = [DeleteObject("b", done.version_id)]
    assert list(key.remove_objects(ctx.names.bucket, doomed, bypass_governance_mode=True))
    assert key.stat_object(ctx.names.bucket, "b", version_id=done.version_id).size == 1


async def test_another_secret_is_seen_and_rotated(stores, store):
    ctx = another(5)
    await make(stores, ctx)
    user = externals(ctx)[1]
    new = replace(user, spec={**user.spec, "secretEpoch": 1}, secret={"secretKey": "another-secret-key"})
    seen = await stores.observe(ctx, new)
    assert seen["secretEpoch"] == -1
    assert await stores.ensure(ctx, new, seen) == "rotate"
    assert await stores.observe(ctx, new) == dict(new.spec)
    assert (await stores.observe(ctx, user))["secretEpoch"] == -1


async def test_a_policy_changed_by_hand_is_seen_and_put_back(stores, store):
    ctx = another(6)
    await make(stores, ctx)
    user = externals(ctx)[1]
    connect(store.access).s3.delete_bucket_policy(ctx.names.bucket)
    seen = await stores.observe(ctx, user)
    assert seen["actions"] == []
    assert await stores.ensure(ctx, user, seen) == "update"
    assert await stores.observe(ctx, user) == dict(user.spec)


async def test_a_bucket_without_object_lock_is_refused_with_words(stores, store):
    ctx = another(7)
    connect(store.access).s3.make_bucket(ctx.names.bucket)
    bucket = externals(ctx)[0]
    assert (await stores.observe(ctx, bucket))["objectLock"] is False
    with pytest.raises(Refused, match="without Object Lock"):
        await stores.ensure(ctx, bucket, None)


async def test_a_bucket_goes_with_versions_markers_governance_locks_and_unfinished_uploads(stores, store):
    ctx = another(8)
    await make(stores, ctx)
    key, name = as_tenant(store, ctx), ctx.names.bucket
    until = datetime.now(UTC) + timedelta(days=1)
    for number in range(3):
        key.put_object(name, f"ünlike & {number}", io.BytesIO(b"x"), 1)
        key.put_object(name, "same/name", io.BytesIO(b"x"), 1, retention=Retention(GOVERNANCE, until))
    connect(store.access).s3.remove_object(name, "same/name")
    connect(store.access).s3._create_multipart_upload(name, "unfinished", {})
    await stores.delete(ctx, externals(ctx)[0].key)
    assert await stores.is_absent(ctx, externals(ctx)[0].key)
    assert await stores.observe(ctx, externals(ctx)[0]) is None
    await stores.delete(ctx, externals(ctx)[0].key)
    await stores.delete(ctx, externals(ctx)[1].key)
    await stores.delete(ctx, externals(ctx)[1].key)
    assert await stores.is_absent(ctx, externals(ctx)[1].key)


async def test_a_bucket_of_more_than_one_page_goes_whole(stores, store, monkeypatch):
    monkeypatch.setattr(objectstore_buckets, "PAGE", 2)
    bucket = await stores.ensure_export_bucket(CTX)
    for number in range(7):
        await stores.put_stream(CTX, bucket, f"many and more/{number // 2}", io.BytesIO(b"x"), 1)
    connection = connect(store.access)
    for number in range(5):
        connection.s3._create_multipart_upload(bucket, f"never completed/{number // 2}", {})
    assert len(list(objectstore_buckets.versions(connection, bucket))) == 7
    assert len(objectstore_buckets.uploads(connection, bucket)) == 2
    objectstore_buckets.abort_uploads(connection, bucket)
    assert objectstore_buckets.uploads(connection, bucket) == []
    await stores.delete_bucket_and_all_versions(CTX, bucket)
    assert await stores.is_absent(CTX, ExternalKey("objectstore", "bucket", bucket))


async def test_a_compliance_lock_stops_the_deletion_and_is_named(stores, store):
    ctx = another(9)
    await make(stores, ctx)
    until = datetime.now(UTC) + timedelta(days=1)
    admin = connect(store.access).s3
    admin.put_object(ctx.names.bucket, "kept", io.BytesIO(b"x"), 1, retention=Retention(COMPLIANCE, until))
    admin.put_object(ctx.names.bucket, "free", io.BytesIO(b"x"), 1)
    with pytest.raises(Refused, match=r"1 of 2 versions .* are locked: kept"):
        await stores.delete(ctx, externals(ctx)[0].key)


async def test_streams_are_written_listed_and_read_back(stores):
    bucket = await stores.ensure_export_bucket(CTX)
    assert bucket == CTX.region.object_store.export_bucket
    assert await stores.ensure_export_bucket(CTX) == bucket
    content = os.urandom(20 << 20)
    await stores.put_stream(CTX, bucket, "acme/1/export", io.BytesIO(content))
    stored = await stores.stat(CTX, bucket, "acme/1/export")
    assert stored.size == len(content)
    assert set(await stores.list_prefix(CTX, bucket, "acme/")) == {"acme/1/export"}
    assert b"".join([chunk async for chunk in stores.stream(CTX, bucket, "acme/1/export")]) == content
    assert await stores.stat(CTX, bucket, "acme/2/export") is None
    with pytest.raises(Missing):
        async for _ in stores.stream(CTX, bucket, "acme/2/export"):
            pass


async def test_a_presigned_address_allows_one_method_on_one_object(stores, store):
    bucket = await stores.ensure_export_bucket(CTX)
    pool = connect(store.access).pool
    url = await stores.presign(CTX, "PUT", bucket, "given/away", 60)
    assert pool.request("PUT", url, body=b"hello").status == 200
    assert pool.request("GET", url).status == 403
    assert pool.request("PUT", url.replace("given/away", "given/other"), body=b"x").status == 403
    url = await stores.presign(CTX, "GET", bucket, "given/away", 60)
    assert pool.request("GET", url).data == b"hello"


async def test_an_export_that_is_not_taken_or_given_is_said_without_the_addresss_signature(stores, store, tmp_path):
    bucket, (ca, file) = await stores.ensure_export_bucket(CTX), (tmp_path / "ca.pem", tmp_path / "export.tar.age")
    ca.write_text(store.access.ca)
    file.write_bytes(b"sealed")
    put, get = [await stores.presign(CTX, method, bucket, "given/export", 60) for method in ("PUT", "GET")]
    upload(put, file, str(ca))
    assert read_back(get, str(ca)) == digest_file(file)
    for address, act in (
        (get, lambda url: upload(url, file, str(ca))),
        (get, lambda url: upload_bytes(url, b"{}", str(ca))),
        (put, lambda url: read_back(url, str(ca))),
    ):
        with pytest.raises(TransferFailed, match=f"{bucket}/given/export: the store answered 403") as failed:
            act(address)
        assert parse_qs(urlsplit(address).query)["X-Amz-Signature"][0] not in str(failed.value)
        assert "?" not in str(failed.value)


class _Page(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<html><p>sign in<br></html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_PATCH(self):
        self.do_GET()

    def log_message(self, *args):
        pass


async def test_a_server_that_is_no_object_store_is_said_to_be_none(tmp_path):
    pair = CTX.derive.certificate("page", ("localhost",), datetime.now(UTC))
    (tmp_path / "tls.pem").write_text(pair.certificate + pair.key)
    server = HTTPServer(("127.0.0.1", 0), _Page)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stores = failing(
        StoreAccess(f"https://localhost:{server.server_port}", "eu", "key", "secret", CTX.derive.ca.certificate)
    )
    try:
        for wanted in externals(CTX):
            with pytest.raises(Retryable, match="not S3's"):
                await stores.observe(CTX, wanted)
    finally:
        stores.close()
        server.shutdown()
        server.server_close()


def failing(access):
    async def give(_):
        return access

    return ObjectStores(give)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"secret_key": "wrong"}, Refused, Reason.OBJECT_STORE_REFUSED),
        ({"ca": Deriver(b"t" * 32, CTX.derive.created).ca.certificate}, Retryable, Reason.OBJECT_STORE_UNREACHABLE),
        ({"endpoint": f"https://localhost:{free_port()}"}, Retryable, Reason.OBJECT_STORE_UNREACHABLE),
        ({"endpoint": "http://localhost"}, Refused, Reason.OBJECT_STORE_REFUSED),
    ],
    ids=["a wrong key", "another CA", "nobody there", "no TLS"],
)
async def test_errors_say_whether_trying_again_helps(store, change, error, reason):
    stores = failing(replace(store.access, **change))
    for wanted in externals(CTX):
        with pytest.raises(error) as caught:
            await stores.observe(CTX, wanted)
        assert caught.value.reason is reason
        assert store.access.secret_key not in caught.value.message
    stores.close()


async def test_a_tenants_key_is_no_administrator(stores, store):
    ctx = another(10)
    await make(stores, ctx)
    own = replace(store.access, access_key=ctx.names.bucket, secret_key=backup.secret_key(ctx))
    weak = failing(own)
    with pytest.raises(Refused, match="administrator"):
        await weak.observe(ctx, externals(ctx)[1])
    weak.close()


async def test_an_unknown_kind_is_refused(stores):
    with pytest.raises(Refused):
        await stores.observe(CTX, External(ExternalKey("objectstore", "lifecycle", "x"), {}, 0))


def test_no_secret_is_in_a_repr():
    assert "hush" not in repr(StoreAccess("https://x", "r", "k", "hush", "hush"))
    assert urllib3.__version__
