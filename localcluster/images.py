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
from dataclasses import dataclass
from pathlib import Path

from localcluster import baseimage, dockerfile
from localcluster.console import step
from localcluster.errors import LocalClusterError, tail
from localcluster.files import digest_files, locked, write
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


@dataclass(frozen=True)
class Image:
    """A built image: its name, and the archive that holds it."""

    target: str
    name: str
    archive: Path


class Images:
    """Builds the development images and the repository's own."""

    def __init__(self, layout: Layout, binaries: dict[str, Path]) -> None:
        self._layout = layout
        self._binaries = binaries
        self._folder = layout.cache / "images"
        self._store = layout.cache / "containers"

    def development(self, *targets: str) -> dict[str, Image]:
        """Build development images by name."""
        parsed = dockerfile.parse((HOUSE / "Dockerfile").read_text())
        built = {}
        for target in targets or tuple(DEVELOPMENT):
            texts = [line for stage in parsed.chain(target) for line in stage.lines]
            program = DEVELOPMENT[target]
            content = self._binaries[program].parent.name if program else baseimage.cache_key()
            key = hashlib.sha256("\n".join([*texts, content]).encode()).hexdigest()[:12]
            built[target] = self._build(target, key, HOUSE / "Dockerfile", program)
        return built

    def product(self) -> dict[str, Image]:
        """Build every final target of the repository's Dockerfile; none while there is none."""
        path = REPOSITORY / "Dockerfile"
        if not path.exists():
            return {}
        parsed = dockerfile.parse(path.read_text())
        built = {}
        for target in _final_targets(parsed):
            texts, files = parsed.inputs(target, REPOSITORY)
            key = digest_files(files, REPOSITORY, baseimage.cache_key(), *texts)[:12]
            built[target] = self._build(target, key, path)
        return built

    def _build(self, target: str, key: str, file: Path, program: str | None = None) -> Image:
        name = f"localhost/cloister/{target}:{key}"
        image = Image(target, name, self._folder / f"{target}-{key}.tar")
        if image.archive.exists():
            return image
        self._folder.mkdir(parents=True, exist_ok=True)
        # One lock for all: buildah's store is shared, and two cores build one image at a time best.
        with locked(self._layout.cache / "locks" / "images.lock", "building images"):
            if not image.archive.exists():
                with step(f"image {target}"):
                    context = REPOSITORY if program is None else self._context(program)
                    self._run_build(image, file, context)
        return image

    def _context(self, program: str) -> Path:
        context = self._layout.cache / "work" / "context"
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir(parents=True)
        if program:
            shutil.copy2(self._binaries[program], context / program)
        return context

    def _run_build(self, image: Image, file: Path, context: Path) -> None:
        log = self._layout.log(f"image-{image.target}")
        needs_base = "BASE_IMAGE" in "".join(
            line for stage in dockerfile.parse(file.read_text()).chain(image.target) for line in stage.lines
        )
        arguments = ["bud", "--isolation", "chroot", "--layers", "--pull-never", "--target", image.target]
        if needs_base:
            arguments += ["--build-arg", f"BASE_IMAGE={self._base()}", *self._package_settings()]
        else:
            arguments += ["--build-arg", "BASE_IMAGE=scratch"]
        arguments += ["--tag", image.name, "--file", str(file), str(context)]
        self._buildah(log, *arguments)
        temporary = image.archive.with_suffix(".part")
        temporary.unlink(missing_ok=True)
        self._buildah(log, "push", image.name, f"docker-archive:{temporary}:{image.name}")
        temporary.rename(image.archive)

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
        """Let pip inside a build use the index this machine uses, without naming it anywhere."""
        settings: dict[str, str] = {}
        folder = self._layout.cache / "work" / "pip"
        lines = ["[global]"]
        for line in run("pip", "config", "list").splitlines():
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


def _final_targets(parsed: dockerfile.Dockerfile) -> list[str]:
    """A stage that no other stage builds on is a result."""
    used = {name for stage in parsed.stages.values() for name in (stage.base, *stage.uses)}
    return [name for name in parsed.stages if name not in used]
