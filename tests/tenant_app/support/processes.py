"""Real servers on loopback: PostgreSQL and slapd, started as a user that is not root, stopped by their own id."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")


def free_port() -> int:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen, log: Path, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"ended with {process.returncode}: {log.read_text()[-2000:]}")
        with closing(socket.socket()) as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}: {log.read_text()[-2000:]}")


def unprivileged() -> dict:
    """Keyword arguments for subprocess that drop root; PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give(path: Path) -> None:
    if os.geteuid() == 0:
        entry = pwd.getpwnam("nobody")
        for each in [path, *path.rglob("*")]:
            os.chown(each, entry.pw_uid, entry.pw_gid)


@contextmanager
def running(command: list[str], log: Path, port: int, *, seconds: float = 20, **more) -> Iterator[subprocess.Popen]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, **more)
    try:
        wait_for(port, process, log, seconds)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@contextmanager
def postgres(folder: Path, cert: Path, key: Path) -> Iterator[tuple[int, Path]]:
    """Yield (port, data directory) of a server that takes TLS connections only, its superuser `postgres`."""
    data, run = folder / "data", folder / "run"
    run.mkdir(parents=True)
    shutil.copy(cert, folder / "server.crt")
    shutil.copy(key, folder / "server.key")
    (folder / "pw").write_text("superuser-password\n")
    give(folder)
    drop = unprivileged()
    initdb = [POSTGRES_BIN / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", folder / "pw"]
    subprocess.run([*map(str, initdb), "--data-checksums", "-E", "UTF8", "--locale=C.UTF-8"], check=True,
                   capture_output=True, cwd=folder, **drop)  # fmt: skip
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\nlocal all all scram-sha-256\n")
    port = free_port()
    options = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": run, "ssl": "on",
        "ssl_cert_file": folder / "server.crt", "ssl_key_file": folder / "server.key", "max_connections": 120,
        "shared_buffers": "32MB", "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
    }  # fmt: skip
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    command = [str(POSTGRES_BIN / "postgres"), "-D", str(data), *flags]
    with running(command, folder / "postgres.log", port, cwd=folder, **drop):
        ready = [str(POSTGRES_BIN / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        for _ in range(200):
            if subprocess.run(ready, check=False).returncode == 0:
                break
            time.sleep(0.05)
        yield port, data


SLAPD_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile {folder}/slapd.pid
TLSCACertificateFile {ca}
TLSCertificateFile {cert}
TLSCertificateKeyFile {key}
security tls=1
database mdb
suffix "dc=cloister,dc=local"
rootdn "cn=admin,dc=cloister,dc=local"
rootpw admin-password
directory {folder}/db
overlay ppolicy
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=reader,dc=cloister,dc=local" read by self read by users none by * none
"""


@contextmanager
def slapd(folder: Path, ca: Path, cert: Path, key: Path, ldif: str) -> Iterator[tuple[int, int]]:
    """Yield (ldaps port, ldap port with StartTLS) of a directory holding `ldif`."""
    (folder / "db").mkdir(parents=True)
    for source, name in ((ca, "ca.crt"), (cert, "server.crt"), (key, "server.key")):
        shutil.copy(source, folder / name)
    conf = folder / "slapd.conf"
    conf.write_text(
        SLAPD_CONF.format(folder=folder, ca=folder / "ca.crt", cert=folder / "server.crt", key=folder / "server.key")
    )
    (folder / "people.ldif").write_text(ldif)
    give(folder)
    # Where a test puts the clock ahead, the directory keeps the real time: it does not bear the library that does it.
    drop = {**unprivileged(), "env": {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}}
    subprocess.run(["/usr/sbin/slapadd", "-f", str(conf), "-l", str(folder / "people.ldif")], check=True,
                   capture_output=True, cwd=folder, **drop)  # fmt: skip
    secure, plain = free_port(), free_port()
    urls = f"ldaps://127.0.0.1:{secure} ldap://127.0.0.1:{plain}"
    command = ["/usr/sbin/slapd", "-f", str(conf), "-h", urls, "-d", "none"]
    with running(command, folder / "slapd.log", secure, cwd=folder, **drop):
        yield secure, plain
