"""Building images without a container engine: buildah, with its store in the cache.

An image is named by the hash of what goes into it, so a name always means the same content, and a
build that was done before is never done again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from localcluster import baseimage, dockerfile
from localcluster.console import step
from localcluster.errors import LocalClusterError, tail
from localcluster.files import digest_files, locked, write
from localcluster.ocilayout import Stored, find
from localcluster.paths import HOUSE, REPOSITORY, Layout
from localcluster.shell import run

# Which compiled programs an image of ours copies.
DEVELOPMENT = {
    "pause": "pause",
    "coredns": "coredns",
    "local-path-provisioner": "local-path-provisioner",
    "vault": "vault",
    "versitygw": "versitygw",
    "toolbox": "",
    "openldap": "",
}

# Final targets of the repository's Dockerfile that are built only when they are asked for: a cold machine has enough to do.
ON_REQUEST = frozenset({"pdfa-judge"})
# What Maven on this machine goes by; a build of an image sees it, and no image keeps it.
_MAVEN_SETTINGS = Path.home() / ".m2" / "settings.xml"
_JAVA_CERTIFICATES = Path("/etc/ssl/certs/java/cacerts")


@dataclass(frozen=True)
class Image:
    """A built image: its target, its name, and where it is stored."""

    target: str
    name: str
    stored: Stored


class Images:
    """Builds the development images and the repository's own."""

    def __init__(self, layout: Layout, binaries: dict[str, Path]) -> None:
        self._layout = layout
        self._binaries = binaries
        self._folder = layout.cache / "images"
        self._store = layout.cache / "containers"

    def development(self) -> dict[str, Image]:
        """Build the development images by name."""
        file = HOUSE / "Dockerfile"
        parsed = dockerfile.parse(file.read_text())
        built = {}
        for target, program in DEVELOPMENT.items():
            texts = [line for stage in parsed.chain(target) for line in stage.lines]
            content = self._binaries[program].parent.name if program else baseimage.cache_key()
            key = hashlib.sha256("\n".join([*texts, content]).encode()).hexdigest()[:12]
            with self._context() as context:
                built[target] = self._build(target, key, file, context, self._binaries.get(program))
        return built

    def product(self, also: Iterable[str] = ()) -> dict[str, Image]:
        """Build the final targets of the repository's Dockerfile; of those on request, the ones in `also`."""
        file = REPOSITORY / "Dockerfile"
        if not file.exists():
            return {}
        parsed = dockerfile.parse(file.read_text())
        built = {}
        for target in wanted_targets(parsed, also):
            texts, files = parsed.inputs(target, REPOSITORY)
            # Set aside, then named: whoever edits meanwhile, a name means the same content.
            with self._context() as context:
                staged = [copy for path in files if (copy := _copy(path, context / path.relative_to(REPOSITORY)))]
                key = digest_files(staged, context, baseimage.cache_key(), *texts)[:12]
                built[target] = self._build(target, key, file, context)
        return built

    def _build(self, target: str, key: str, file: Path, context: Path, program: Path | None = None) -> Image:
        name = f"localhost/cloister/{target}:{key}"
        stored = find(self._folder, name)
        if stored is None or not stored.is_whole:
            # One lock for all: buildah's store is shared, and two cores build one image at a time best.
            with locked(self._layout.cache / "locks" / "images.lock", "building images"):
                stored = find(self._folder, name)
                if stored is None or not stored.is_whole:
                    with step(f"image {target}"):
                        if program is not None:
                            _copy(program, context / program.name)
                        self._run_build(target, name, file, context)
                    stored = find(self._folder, name)
        if stored is None:
            raise LocalClusterError(f"{name} was built, but {self._folder} does not have it")
        return Image(target, name, stored)

    @contextmanager
    def _context(self) -> Iterator[Path]:
        """Give an empty folder to build from."""
        parent = self._layout.cache / "work"
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="context-", dir=parent) as folder:
            yield Path(folder)

    def _run_build(self, target: str, name: str, file: Path, context: Path) -> None:
        log = self._layout.log(f"image-{target}")
        chain = dockerfile.parse(file.read_text()).chain(target)
        arguments = ["bud", "--isolation", "chroot", "--layers", "--pull-never", "--target", target]
        if any("BASE_IMAGE" in line for stage in chain for line in stage.lines):
            arguments += ["--build-arg", f"BASE_IMAGE={self._base()}", *self._package_settings()]
        else:
            arguments += ["--build-arg", "BASE_IMAGE=scratch"]
        arguments += ["--tag", name, "--file", str(file), str(context)]
        self._buildah(log, *arguments)
        self._folder.mkdir(parents=True, exist_ok=True)
        # Layers stay uncompressed: they never leave the machine, and nodes take them as they are.
        self._buildah(log, "push", "--disable-compression", name, f"oci:{self._folder}:{name}")

    def _base(self) -> str:
        """Bring the base into buildah's store and give its name there."""
        name = f"localhost/cloister/base:{baseimage.cache_key()}"
        log = self._layout.log("image-base")
        listed = run(*self._command(), "images", "--format", "{{.Name}}:{{.Tag}}")
        if name not in listed.split():
            archive = baseimage.build(self._layout)
            with step("base image: import"):
                container = f"base-{os.getpid()}"
                self._buildah(log, "from", "--name", container, "scratch")
                self._buildah(log, "add", "--quiet", container, str(archive), "/")
                self._buildah(log, "config", "--env", "LANG=C.UTF-8", "--cmd", '["/bin/sh"]', container)
                self._buildah(log, "commit", "--rm", container, name)
        return name

    def _package_settings(self) -> list[str]:
        """Let pip and Maven inside a build use what this machine uses, without naming it anywhere."""
        settings: dict[str, str] = {}
        folder = self._layout.cache / "work" / "pip"
        lines = ["[global]"]
        for line in run(*_pip(), "config", "list", check=False).splitlines():
            key, _, value = line.partition("=")
            option = key.rpartition(".")[2]
            settings[option] = value.strip("'\"")
        volumes = []
        if certificate := settings.get("cert"):
            write(folder / "ca.crt", Path(certificate).read_bytes())
            settings["cert"] = "/run/cloister-build/ca.crt"
        if wheels := settings.get("find-links"):
            if Path(wheels).is_dir():
                volumes += ["--volume", f"{wheels}:{wheels}:ro"]
            else:
                del settings["find-links"]
        for name, path in (("maven.xml", _MAVEN_SETTINGS), ("java-certificates", _JAVA_CERTIFICATES)):
            if path.is_file():
                write(folder / name, path.read_bytes())
        lines += [f"{key} = {value}" for key, value in sorted(settings.items())]
        write(folder / "pip.conf", "\n".join(lines) + "\n")
        volumes += [
            "--volume",
            f"{folder}:/run/cloister-build:ro",
            "--volume",
            f"{folder / 'pip.conf'}:/etc/pip.conf:ro",
        ]
        return volumes

    def _command(self) -> list[str]:
        # In a mount namespace of its own: whatever ends a build, no mount of it stays.
        store = [f"--root={self._store}", f"--runroot={self._store}-run", "--storage-driver=overlay"]
        return ["unshare", "--mount", "--propagation", "private", "buildah", *store]

    def _buildah(self, log: Path, *arguments: str) -> None:
        policy = self._layout.cache / "work" / "policy.json"
        write(policy, json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
        extra = ["--signature-policy", str(policy)] if arguments[0] in {"bud", "push", "commit", "from"} else []
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as handle:
            shutil.rmtree(f"{self._store}-run", ignore_errors=True)  # counts mounts that are no more
            command = [*self._command(), arguments[0], *extra, *arguments[1:]]
            done = subprocess.run(["nice", "-n", "5", *command], check=False, stdout=handle, stderr=handle)
        if done.returncode:
            raise LocalClusterError(f"buildah {arguments[0]} failed ({done.returncode}); log: {log}\n{tail(log, 25)}")


def _copy(path: Path, target: Path) -> Path | None:
    """Copy a file; None when it has gone since it was listed, as editors' files do."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        return Path(shutil.copy2(path, target))
    return None


def wanted_targets(parsed: dockerfile.Dockerfile, also: Iterable[str]) -> list[str]:
    """Name the targets to build, in the file's order."""
    return [target for target in parsed.final_targets() if target not in ON_REQUEST or target in also]


def _pip() -> list[str]:
    """Find a pip to ask for its settings; a synchronised environment may have none of its own."""
    for name in ("pip3", "pip"):
        if found := shutil.which(name):
            return [found]
    return [sys.executable, "-m", "pip"]
