"""A real PostgreSQL 15 for the tests, from Debian's package, in a folder of its own, on loopback."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

BIN = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "superuser-of-the-tests"
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
shared_buffers = 64MB
"""


@dataclass
class Postgres:
    """A server: its folder, port, whether it was told to flush (crash tests need it, others do not), and other settings."""

    folder: Path
    port: int
    fsync: bool = False
    settings: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def password_file(self) -> Path:
        return self.folder / "superuser-password"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password_file.write_text(PASSWORD)
        self._own()
        command = [
            BIN / "initdb",
            "-D",
            self.data,
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "-k",
            "--no-sync",
        ]
        self._run([*command, "--locale=C", f"--pwfile={self.password_file}"])
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"{SETTINGS}{self.settings}\nport = {self.port}\nfsync = {'on' if self.fsync else 'off'}\n")

    def start(self) -> None:
        """Start and wait until it answers. After a crash the dead server's children may hold its memory for moments."""
        for _ in range(50):
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(
                    [BIN / "postgres", "-D", self.data], stdout=log, stderr=log, **self._as_user()
                )
            while self.process.poll() is None:
                ready = subprocess.run(
                    [BIN / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                    check=False,
                    capture_output=True,
                )
                if ready.returncode == 0:
                    return
                time.sleep(0.05)
            time.sleep(0.2)
        raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def stop(self, signal_name: str = "INT") -> None:
        """INT is a fast, clean stop; KILL is a crash."""
        if self.process is None:
            return
        if signal_name == "KILL":
            self.process.kill()
        else:
            self.process.send_signal(2)
        self.process.wait(30)
        self.process = None

    def destroy(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _own(self) -> None:
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            for each in (self.folder, *self.folder.rglob("*")):
                os.chown(each, user.pw_uid, user.pw_gid)

    def _as_user(self) -> dict[str, object]:
        """PostgreSQL refuses to run as root."""
        if os.getuid() != 0:
            return {}
        return {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": "/"}

    def _run(self, command: list[object]) -> None:
        subprocess.run([str(each) for each in command], check=True, capture_output=True, **self._as_user())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
