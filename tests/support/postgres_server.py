"""A real PostgreSQL under the image's own entry point, outside a container: same script, its paths overridden."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tenant_operator.stack.database_config import HBA, postgresql_conf
from tenant_operator.stack.database_objects import SUPERUSER
from tenant_operator.stack.part import Context

ENTRY_POINT = Path(__file__).parents[2] / "images" / "postgres" / "cloister_postgres.py"
BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/usr/lib/postgresql/15/bin"))
PYTHON = "/usr/bin/python3"
INITDB = ("--username=postgres", "--data-checksums", "--no-sync", "--no-instructions", "--encoding=UTF8",
          "--locale=C.UTF-8", "--auth-local=peer", "--auth-host=scram-sha-256")  # as images/postgres/build.sh  # fmt: skip


def account() -> pwd.struct_passwd:
    """Return whom the server runs as: PostgreSQL refuses root."""
    return pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def run_as(command: list[str], **more):
    who = account()
    as_user = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    return subprocess.Popen(command, **as_user, **more)


def give(path: Path) -> Path:
    """Hand a file or folder to the server's user."""
    if os.getuid() == 0:
        shutil.chown(path, account().pw_uid, account().pw_gid)
    return path


def make_template(folder: Path) -> Path:
    """Make a template as the image's build does."""
    template = folder / "template"
    process = run_as([str(BIN / "initdb"), f"--pgdata={template}", *INITDB], stdout=subprocess.DEVNULL)
    assert process.wait(120) == 0
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        (template / name).unlink()
    return template


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PostgresServer:
    """One server of one tenant: what the pod would mount lies in folders of its own."""

    def __init__(self, ctx: Context, template: Path, *, settings: str = "") -> None:
        self.ctx = ctx
        self.port = free_port()
        self.root = give(Path(tempfile.mkdtemp(prefix="cloister-pg-")))
        self.data = self.root / "volume" / "pgdata"
        self.log = self.root / "log"
        self.template = template
        self._settings = settings
        self._process = None
        for name in ("volume", "sockets", "superuser", "tls", "config"):
            give_dir(self.root / name)
        self.write_secrets(ctx)
        self.write("config/pg_hba.conf", HBA)
        self.write("config/postgresql.conf", self._configuration())

    def write(self, name: str, text: str, mode: int = 0o600) -> None:
        """Replace a mounted file, as the kubelet does: by renaming."""
        new = self.root / f"{name}.new"
        new.write_text(text)
        new.chmod(mode)
        give(new).rename(self.root / name)

    def write_secrets(self, ctx: Context) -> None:
        pair = ctx.derive.certificate("test", ("localhost", "127.0.0.1"), ctx.now)
        self.write("superuser/password", ctx.derive.password(ctx.names.id, SUPERUSER, 0))
        self.write("tls/tls.key", pair.key)
        self.write("tls/tls.crt", pair.certificate)
        self.write("tls/ca.crt", ctx.derive.ca.certificate)

    def _configuration(self) -> str:
        text = postgresql_conf(self.ctx).replace("/var/run/postgresql", f"{self.root}/sockets")
        text = text.replace("/var/run/cloister/tls", f"{self.root}/tls").replace(
            "port = '5432'", f"port = '{self.port}'"
        )
        return f"{text}shared_buffers = '32MB'\nlisten_addresses = '127.0.0.1'\n{self._settings}"

    def spawn(self) -> subprocess.Popen:
        """Start the entry point."""
        (self.root / "sockets/ready").unlink(missing_ok=True)
        paths = {
            "DATA": self.data, "TEMPLATE": self.template, "SOCKETS": self.root / "sockets", "BIN": BIN,
            "PASSWORD": self.root / "superuser/password", "TLS": self.root / "tls", "CONFIG": self.root / "config",
        }  # fmt: skip
        env = {"PATH": os.environ["PATH"], **{f"CLOISTER_POSTGRES_{name}": str(path) for name, path in paths.items()}}
        with self.log.open("ab") as log:
            self._process = run_as([PYTHON, str(ENTRY_POINT)], env=env, stdout=log, stderr=log, cwd="/")
        return self._process

    def start(self) -> "PostgresServer":
        self.spawn()
        self.wait_ready()
        return self

    def wait_ready(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not (self.root / "sockets/ready").exists():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.01)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(60) if self._process else 0

    def control(self) -> dict[str, str]:
        """Return what pg_controldata says."""
        done = subprocess.run([BIN / "pg_controldata", self.data], capture_output=True, text=True, check=True)
        assert "WARNING" not in done.stdout + done.stderr
        return dict(map(str.strip, line.split(":", 1)) for line in done.stdout.splitlines())

    def remove(self) -> None:
        if self._process and self._process.poll() is None:
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.root, ignore_errors=True)


def give_dir(path: Path) -> Path:
    path.mkdir()
    return give(path)
