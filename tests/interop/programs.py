"""Other people's programs, compiled once a machine from `strangers/` and the modules it names.

The place is the cache that `localcluster` uses for its tools, keyed by everything that goes into a build. It appears by one
rename, and a lock keeps two runs from compiling the same thing twice.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from localcluster.binaries import GO_FLAGS, go_version
from localcluster.files import digest_files, locked
from localcluster.paths import Layout

SOURCE = Path(__file__).parent / "strangers"
_TESSERA = "github.com/transparency-dev/tessera"
PACKAGES = {
    "strangers": ".",
    "fsck": f"{_TESSERA}/cmd/fsck",
    "posix": f"{_TESSERA}/cmd/conformance/posix",
    "hammer": f"{_TESSERA}/internal/hammer",
}
TESSERA_VERSION = next(
    line.split()[1] for line in (SOURCE / "go.mod").read_text().splitlines() if line.split()[:1] == [_TESSERA]
)
_LINKER_FLAGS = "-s -w"


def programs() -> dict[str, Path]:
    """Return each program's place, building them all when the sources or the compiler are new. Takes a minute then."""
    sources = [path for path in SOURCE.iterdir() if path.name in {"go.mod", "go.sum"} or path.suffix == ".go"]
    key = digest_files(sources, SOURCE, go_version(), *GO_FLAGS, _LINKER_FLAGS, *PACKAGES.values())[:16]
    cache = Layout.from_environment().cache
    place = cache / "bin" / f"strangers-{key}"
    if not place.is_dir():
        with locked(cache / "locks" / "strangers.lock", "compiling strangers' verifiers"):
            if not place.is_dir():
                _build(place)
    return {name: place / name for name in PACKAGES}


def _build(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    for stale in place.parent.glob(".strangers-*"):
        shutil.rmtree(stale, ignore_errors=True)
    out = Path(tempfile.mkdtemp(prefix=".strangers-", dir=place.parent))
    command = ["nice", "-n", "10", "go", "build", *GO_FLAGS, "-mod=readonly", "-ldflags", _LINKER_FLAGS]
    try:
        done = subprocess.run(
            [*command, "-o", f"{out}/", *PACKAGES.values()],
            cwd=SOURCE,
            env={**os.environ, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the Go programs in {SOURCE} do not build:\n{done.stderr[-3000:]}")
        out.chmod(0o755)
        out.rename(place)
    finally:
        shutil.rmtree(out, ignore_errors=True)
