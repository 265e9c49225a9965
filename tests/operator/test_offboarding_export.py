"""The export: sealed so that the customer's own age and openssl open it, its manifest signed, its pod closed."""

import base64
import hashlib
import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tenant_operator.jobs.export_pack import PAYLOAD_TYPE, digest_file, manifest, pae, write_tar
from tenant_operator.jobs.export_seal import Recipient, Sealer, SealFailed, recipient_of
from tenant_operator.jobs.export_upload import read_back, upload
from tenant_operator.stack import export
from tests.support.tenant_context import tenant_context

JOB = {"tenant": {"name": "acme"}, "offboarding": {"uid": "u1"}}


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "export"
    (root / "documents/d1/1").mkdir(parents=True)
    (root / "documents/d1/1/Protokoll é.pdf").write_bytes(b"%PDF-1.7 " + bytes(range(256)) * 9000)
    (root / "documents.json").write_text("[]")
    (root / "database.dump").write_bytes(b"PGDMP" * 1000)
    (root / "MANIFEST.json").write_bytes(manifest(root, JOB))
    return root


def check_opened(opened: bytes, folder: Path, where: Path) -> None:
    tar = where / "back.tar"
    tar.write_bytes(opened)
    subprocess.run(["tar", "-xf", str(tar), "-C", str(where)], check=True)
    listed = json.loads((where / "MANIFEST.json").read_text())
    assert {item["path"] for item in listed["files"]} == {
        "documents/d1/1/Protokoll é.pdf",
        "documents.json",
        "database.dump",
    }
    for item in listed["files"]:
        assert digest_file(where / item["path"]) == (item["sha256"], item["size"])
        assert (where / item["path"]).read_bytes() == (folder / item["path"]).read_bytes()


def test_age_alone_opens_it(folder, tmp_path):
    key = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "key.txt").write_text(key)
    public = next(line.split(": ")[1] for line in key.splitlines() if "public key" in line)
    sealed = tmp_path / "export.tar.age"
    with Sealer(Recipient(age=public), sealed) as sealer:
        write_tar(folder, sealer.stream)
    assert b"PGDMP" not in sealed.read_bytes()
    opened = subprocess.run(
        ["age", "-d", "-i", str(tmp_path / "key.txt"), str(sealed)], capture_output=True, check=True
    )
    (tmp_path / "out").mkdir()
    check_opened(opened.stdout, folder, tmp_path / "out")


@pytest.mark.parametrize("kind", [["rsa:3072"], ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]])
def test_openssl_alone_opens_it(folder, tmp_path, kind):
    key, certificate, sealed = tmp_path / "key.pem", tmp_path / "cert.pem", tmp_path / "export.tar.cms"
    make = ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make, "-subj", "/CN=customer", "-days", "30"], check=True, capture_output=True)
    with Sealer(Recipient(x509=certificate.read_text()), sealed) as sealer:
        write_tar(folder, sealer.stream)
    command = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", str(sealed)]
    opened = subprocess.run([*command, "-inkey", str(key), "-recip", str(certificate)], capture_output=True, check=True)
    (tmp_path / "out").mkdir()
    check_opened(opened.stdout, folder, tmp_path / "out")


@pytest.mark.parametrize("bad", [Recipient(age="age1notakey"), Recipient(x509="-----BEGIN CERTIFICATE-----\nxx\n")])
def test_a_bad_recipient_leaves_no_file(folder, tmp_path, bad):
    target = tmp_path / "sealed"
    with pytest.raises(SealFailed), Sealer(bad, target) as sealer:
        write_tar(folder, sealer.stream)
    assert not target.exists()


def test_a_failure_while_writing_leaves_no_file_that_opens(tmp_path):
    certificate = tmp_path / "cert.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "/dev/null",
        "-out",
        str(certificate),
    ]
    subprocess.run([*make, "-subj", "/CN=c"], check=True, capture_output=True)
    target = tmp_path / "sealed"
    (tmp_path / "export").mkdir()
    (tmp_path / "export/here").write_bytes(b"x" * 5_000_000)
    (tmp_path / "export/vanished").symlink_to("/nowhere")

    def failing(sealer: Sealer) -> None:
        write_tar(tmp_path / "export", sealer.stream)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Sealer(Recipient(x509=certificate.read_text()), target) as sealer:
        failing(sealer)
    assert not target.exists()


def test_a_recipient_is_exactly_one():
    assert recipient_of({"age": "age1x"}) == Recipient(age="age1x")
    for spec in ({}, {"age": "a", "x509": "b"}):
        with pytest.raises(SealFailed):
            recipient_of(spec)


def test_the_same_folder_gives_the_same_manifest_and_it_can_be_signed(folder):
    assert manifest(folder, JOB) == manifest(folder, JOB)
    key = Ed25519PrivateKey.generate()
    payload = manifest(folder, JOB)
    key.public_key().verify(key.sign(pae(PAYLOAD_TYPE, payload)), pae(PAYLOAD_TYPE, payload))
    assert pae("t", b"ab") == b"DSSEv1 1 t 2 ab"
    assert base64.b64encode(payload)


class _Store(BaseHTTPRequestHandler):
    kept: ClassVar[dict[str, bytes]] = {}

    def do_PUT(self):
        self.kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        body = self.kept[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def test_what_was_uploaded_is_read_back_in_full_over_a_checked_tls_connection(tmp_path):
    from datetime import UTC, datetime

    from tenant_operator.stack.derive import Deriver

    derive = Deriver(b"x" * 32, datetime(2026, 1, 1, tzinfo=UTC))
    pair = derive.certificate("store", ("127.0.0.1",), datetime.now(UTC))
    (tmp_path / "tls.pem").write_text(pair.certificate + pair.key)
    (tmp_path / "ca.pem").write_text(derive.ca.certificate)
    server = HTTPServer(("127.0.0.1", 0), _Store)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        content = tmp_path / "content"
        content.write_bytes(b"c" * 3_000_000)
        url = f"https://127.0.0.1:{server.server_port}/bucket/key?signature=x"
        upload(url, content, str(tmp_path / "ca.pem"))
        expected = (hashlib.sha256(content.read_bytes()).hexdigest(), 3_000_000)
        assert read_back(url, str(tmp_path / "ca.pem")) == expected == digest_file(content)
    finally:
        server.shutdown()
        server.server_close()


def test_the_job_is_restricted_pinned_keeps_plaintext_in_memory_and_holds_no_credential_of_the_store():
    ctx = tenant_context()
    request = export.ExportRequest("bye", "12345678-aaaa", {"age": "age1x"}, "exports", {"put": "https://s/x?sig=1"})
    policy, config, upload_secret, job = export.manifests(ctx, request)
    pod = job["spec"]["template"]["spec"]
    assert pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert pod["serviceAccountName"] == "export"
    assert pod["automountServiceAccountToken"] is False
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["work"]["emptyDir"] == {"medium": "Memory", "sizeLimit": ctx.klass.jobs.limits.memory}
    for container in (*pod["containers"], *pod["initContainers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        writable = [item["name"] for item in container["volumeMounts"] if not item.get("readOnly")]
        assert all(volumes[name]["emptyDir"].get("medium") == "Memory" or name == "spool" for name in writable)
    assert "spool" not in [item["name"] for item in pod["initContainers"][0]["volumeMounts"]]
    assert policy["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "export"}
    assert "sig=1" not in json.dumps([config, job, policy])
    assert base64.b64decode(upload_secret["data"]["urls.json"]).decode().count("sig=1") == 1
    assert json.loads(config["data"]["app.json"])["vault"]["role"].endswith("-export")
    assert len(job["metadata"]["name"]) < 64
