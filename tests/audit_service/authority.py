"""A time-stamp authority of our own: `openssl ts` (Debian's) behind a little HTTP server, with ways to misbehave."""

import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CONFIG = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
signer_cert = {folder}/tsa.crt
{certs}
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[leaf]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[ca]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[request]
distinguished_name = name
[name]
"""


def openssl(*arguments: object) -> bytes:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass
class Authority:
    folder: Path
    url: str = ""
    misbehave: Callable[[bytes], bytes] | None = None
    """Replaces the request before it is answered."""
    replies: list[bytes] = field(default_factory=list)
    replay: bool = False

    @property
    def roots(self) -> Path:
        return self.folder / "ca.crt"

    def answer(self, request: bytes) -> bytes:
        if self.replay and self.replies:
            return self.replies[0]
        if self.misbehave is not None:
            request = self.misbehave(request)
        query, reply = self.folder / "query.tsq", self.folder / "reply.tsr"
        query.write_bytes(request)
        config = self.folder / "openssl.cnf"
        openssl("ts", "-reply", "-config", config, "-section", "one", "-queryfile", query, "-out", reply)
        self.replies.append(reply.read_bytes())
        return self.replies[-1]


def without_nonce(folder: Path) -> Callable[[bytes], bytes]:
    """Answer as an authority that forgets the nonce."""

    def change(request: bytes) -> bytes:
        (folder / "asked.tsq").write_bytes(request)
        text = openssl("ts", "-query", "-in", folder / "asked.tsq", "-text").decode()
        lines = [line[line.index(" - ") + 3 :][:48] for line in text.splitlines() if line.startswith("    0")]
        digest = "".join(char for line in lines for char in line if char in "0123456789abcdef")
        openssl("ts", "-query", "-digest", digest, "-sha256", "-no_nonce", "-cert", "-out", folder / "other.tsq")
        return (folder / "other.tsq").read_bytes()

    return change


def over_another_hash(folder: Path) -> Callable[[bytes], bytes]:
    """Answer for something that was not asked."""

    def change(_: bytes) -> bytes:
        openssl("ts", "-query", "-digest", "ab" * 32, "-sha256", "-cert", "-out", folder / "other.tsq")
        return (folder / "other.tsq").read_bytes()

    return change


def make_authority(
    folder: Path, *, key: tuple[str, ...] = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), chain: bool = False
) -> Authority:
    folder.mkdir()
    config = folder / "openssl.cnf"
    config.write_text(CONFIG.format(folder=folder, certs=f"certs = {folder}/ca.crt" if chain else ""))
    (folder / "serial").write_text("01\n")
    common = ("req", "-config", config, "-x509", "-nodes", "-days", "30", "-newkey", *key)
    openssl(*common, "-subj", "/CN=Root", "-extensions", "ca", "-keyout", folder / "ca.key", "-out", folder / "ca.crt")
    issued = ("-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-extensions", "leaf")
    openssl(*common, "-subj", "/CN=TSA", *issued, "-keyout", folder / "tsa.key", "-out", folder / "tsa.crt")
    return Authority(folder)


@contextmanager
def authority(folder: Path, **more: object) -> Iterator[Authority]:
    """A running authority on loopback."""
    made = make_authority(folder, **more)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = made.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
