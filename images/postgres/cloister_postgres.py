# ruff: noqa: INP001 - files of an image, not of a package
"""Entry point of the postgres image (docs/contracts.md, "What the database's pod finds"). Standard library only.

A volume without a database gets one (`data_directory`); one that has data is never written to. Then the server runs as a child:
SIGTERM becomes a fast shutdown, changed certificates and settings a reload, a changed password an ALTER ROLE.
"""

import base64
import contextlib
import fcntl
import hashlib
import hmac
import os
import pwd
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from data_directory import Unusable, prepare

WATCH_SECONDS = 2.0
STARTING_SECONDS = 0.02
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD}
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$")


@dataclass(frozen=True)
class Paths:
    """Where everything is; each may be overridden in the environment, which is how it is tested outside a container."""

    data: Path
    template: Path
    sockets: Path
    password: Path
    tls: Path
    config: Path
    bin: Path

    @classmethod
    def from_environment(cls) -> "Paths":
        """Return the paths of docs/contracts.md, or what CLOISTER_POSTGRES_<NAME> says."""
        defaults = {
            "data": "/var/lib/postgresql/data/pgdata",
            "template": "/usr/share/cloister/postgres-template",
            "sockets": "/var/run/postgresql",
            "password": "/var/run/cloister/database-superuser/password",
            "tls": "/var/run/cloister/tls",
            "config": "/etc/cloister/postgres",
        }
        found = {name: os.environ.get(f"CLOISTER_POSTGRES_{name.upper()}", path) for name, path in defaults.items()}
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        found["bin"] = os.environ.get("CLOISTER_POSTGRES_BIN", str(programs[-1] if programs else "/usr/bin"))
        return cls(**{name: Path(path) for name, path in found.items()})


def say(message: str) -> None:
    """Write a line to the log."""
    sys.stderr.write(f"cloister-postgres: {message}\n")


def fail(message: str) -> NoReturn:
    """End with a message that also `kubectl describe pod` shows."""
    say(message)
    with contextlib.suppress(OSError):  # outside a pod there is none
        Path("/dev/termination-log").write_text(message, encoding="utf-8")
    sys.exit(1)


class Server:
    """The running server and what is watched for it."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._ready = paths.sockets / "ready"
        self._ready.unlink(missing_ok=True)
        self._passwords_known = ""
        self._watched = self._signature()
        self._pid = self._start()

    def run(self, *, fresh: bool) -> int:
        """Serve until the server ends; return its exit code. `fresh`: the data directory has no password yet."""
        while True:
            serving = self._ready.exists()
            got = signal.sigtimedwait(_SIGNALS, WATCH_SECONDS if serving else STARTING_SECONDS)
            if got is not None and (code := self._handle(got.si_signo)) is not None:
                return code
            if not serving and self._accepts():
                self.keep_password(fresh=fresh)
                self._ready.touch()
            elif serving and (now := self._signature()) != self._watched:
                self._watched = now
                say("certificate, settings or password changed: reloading")
                os.kill(self._pid, signal.SIGHUP)
                self.keep_password()

    def _start(self) -> int:
        """Start postgres with an ident map that lets exactly this operating system user in as the superuser."""
        paths, ident = self._paths, self._paths.sockets / "pg_ident.conf"
        ident.write_text(f"cloister {pwd.getpwuid(os.getuid()).pw_name} postgres\n", encoding="utf-8")
        settings = {
            "config_file": paths.config / "postgresql.conf",
            "hba_file": paths.config / "pg_hba.conf",
            "ident_file": ident,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        program = str(paths.bin / "postgres")
        return os.posix_spawn(program, [program, "-D", str(paths.data), *options], os.environ, setsigmask=[])

    def _handle(self, number: int) -> int | None:
        """Pass a signal on; return the exit code when the server has ended."""
        match number:
            case signal.SIGTERM | signal.SIGINT:  # SIGTERM would wait for clients to leave (PostgreSQL 15, 19.5)
                say("stopping")
                os.kill(self._pid, signal.SIGINT)
            case signal.SIGHUP | signal.SIGQUIT:
                os.kill(self._pid, number)
            case signal.SIGCHLD:
                return self._reap()
            case _:
                pass
        return None

    def _reap(self) -> int | None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == 0:
                return None
            if pid == self._pid:
                self._ready.unlink(missing_ok=True)
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code

    def _accepts(self) -> bool:
        """Tell whether the server takes connections, as pg_ctl does: by the last line of postmaster.pid."""
        try:
            lines = (self._paths.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self._pid) and lines[7].strip() == "ready"  # noqa: PLR2004

    def keep_password(self, *, fresh: bool = False) -> None:
        """Bring the superuser's password to the mounted one. The server sees a SCRAM verifier, never the password."""
        wanted = self._paths.password.read_text(encoding="utf-8").strip()
        if wanted == self._passwords_known:
            return
        stored = "" if fresh else self._psql("SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")
        if not _is_of(stored, wanted):
            self._psql(f"SET log_statement = none; ALTER ROLE postgres PASSWORD '{scram(wanted, os.urandom(16))}'")
            say("set the superuser's password")
        self._passwords_known = wanted

    def _psql(self, statement: str) -> str:
        """Run a statement through the socket as ourselves. It goes by standard input: arguments are seen by others."""
        command = [str(self._paths.bin / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres"]
        done = subprocess.run(
            [*command, "-h", str(self._paths.sockets), "-p", self._port()],
            input=statement, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        if done.returncode:
            fail(f"cannot set the superuser's password: {done.stderr.strip()}")
        return done.stdout.strip()

    def _port(self) -> str:
        return (self._paths.data / "postmaster.pid").read_text().splitlines()[3]

    def _signature(self) -> tuple[tuple[int, int], ...]:
        """Return what changes when a mounted file does: the kubelet swaps a symbolic link, so inode and time differ.

        Nothing when a file goes while it is looked at: that differs from before and from what the next look finds.
        """
        paths = self._paths
        folders = (paths.tls, paths.config, paths.password.parent)
        try:
            files = [file for folder in folders for file in sorted(folder.iterdir()) if file.is_file()]
            return tuple((found.st_ino, found.st_mtime_ns) for found in (file.stat() for file in files))
        except FileNotFoundError:
            return ()


def scram(password: str, salt: bytes, iterations: int = 4096) -> str:
    """Return the SCRAM-SHA-256 verifier of a password (RFC 5803), as pg_authid stores it."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    texts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{texts[0]}${texts[1]}:{texts[2]}"


def _is_of(stored: str, password: str) -> bool:
    found = _VERIFIER.match(stored)
    if found is None:
        return False
    return hmac.compare_digest(stored, scram(password, base64.b64decode(found[2]), int(found[1])))


def main() -> int:
    """Prepare, serve, end as the server does."""
    paths = Paths.from_environment()
    for file in (paths.password, paths.config / "postgresql.conf", paths.config / "pg_hba.conf"):
        if not file.is_file():
            fail(f"{file} is not there: the pod lacks a mount")
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    paths.data.parent.mkdir(parents=True, exist_ok=True)
    with (paths.data.parent / f"{paths.data.name}.lock").open("w") as lock:
        try:  # a container that a lost kubelet could not end may still be at work on this volume
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            fail(f"another container of this node still runs a server on {paths.data}")
        try:
            made = prepare(paths.data, paths.template)
        except Unusable as error:
            fail(str(error))
        if made is not None:
            say(f"made {paths.data} with system identifier {made}")
        return Server(paths).run(fresh=made is not None)


if __name__ == "__main__":
    sys.exit(main())
