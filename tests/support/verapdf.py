"""The real veraPDF, as the image of the judge has it: its jar through Maven, kept in the cache by what names it."""

import os
import shutil
import subprocess
from pathlib import Path

from localcluster.files import digest_files, locked
from localcluster.paths import REPOSITORY

RECIPE = REPOSITORY / "images" / "verapdf"
FETCH_SECONDS = 900


def verapdf() -> Path:
    """Return the launcher beside its jar. Raises AssertionError with Maven's own words when it cannot be had."""
    cache = Path(os.environ.get("CLOISTER_CACHE") or Path.home() / ".cache" / "cloister")
    folder = cache / "verapdf" / digest_files([path for path in RECIPE.iterdir() if path.is_file()], RECIPE)[:16]
    launcher = folder / "verapdf.sh"
    with locked(cache / "locks" / "verapdf.lock", "fetching veraPDF"):
        if not launcher.exists():
            done = subprocess.run(
                ["sh", str(RECIPE / "fetch.sh"), str(folder)],
                capture_output=True,
                text=True,
                check=False,
                timeout=FETCH_SECONDS,
            )
            assert done.returncode == 0, f"veraPDF could not be fetched: {done.stdout}{done.stderr}"
            # Last, because it tells that the jar is whole.
            shutil.copy(RECIPE / "verapdf.sh", launcher)
    return launcher
