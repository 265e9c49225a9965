"""A real versitygw over TLS: the store of the local cluster, started for a test."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import urllib3

from tenant_operator.clients.objectstore_calls import StoreAccess, connect
from tenant_operator.stack.part import Context
from tests.support.postgres_server import free_port

_CACHE = Path(os.environ.get("CLOISTER_CACHE") or Path.home() / ".cache" / "cloister")
_BUILT = sorted(_CACHE.glob("bin/versitygw-*/versitygw"), key=lambda file: file.stat().st_mtime)
needs_store = pytest.mark.skipif(not _BUILT, reason="needs versitygw, which `make unit` builds")


class ObjectStore:
    """One store of a Region, with its administrator's access."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.root = Path(tempfile.mkdtemp(prefix="cloister-s3-"))
        self.port = free_port()
        pair = ctx.derive.certificate("test-store", ("localhost", "127.0.0.1"), ctx.now)
        for name in ("buckets", "versions", "iam"):
            (self.root / name).mkdir()
        (self.root / "tls.crt").write_text(pair.certificate)
        (self.root / "tls.key").write_text(pair.key)
        self.access = StoreAccess(
            f"https://localhost:{self.port}", "eu-central-1", "root", "root-secret", ctx.derive.ca.certificate
        )
        self._process = None

    def start(self) -> "ObjectStore":
        assert _BUILT, f"no versitygw under {_CACHE}: run `make unit`, it builds one"
        command = [
            str(_BUILT[-1]), f"--port=127.0.0.1:{self.port}", f"--cert={self.root}/tls.crt", f"--key={self.root}/tls.key",
            "--region=eu-central-1", f"--iam-dir={self.root}/iam", "--health=/health", "--quiet", "posix",
            f"--versioning-dir={self.root}/versions", f"{self.root}/buckets",
        ]  # fmt: skip
        env = {"ROOT_ACCESS_KEY": "root", "ROOT_SECRET_KEY": "root-secret", "PATH": os.environ["PATH"]}
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        pool = connect(self.access).pool
        for _ in range(200):
            try:
                if pool.request("GET", f"{self.access.endpoint}/health").status == 200:
                    break
            except urllib3.exceptions.HTTPError:
                time.sleep(0.05)
        else:
            raise AssertionError((self.root / "log").read_text())
        pool.clear()
        return self

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)
