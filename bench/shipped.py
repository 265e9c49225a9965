"""The interpreter that the images run: Debian's, with the lock's packages. What builds one for itself may do so without PGO."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_DEBIANS = Path("/usr/bin/python3")


def shipped_python(folder: Path) -> str:
    """Make an environment under `folder` and return its interpreter; this process's own where Debian's is of another version."""
    if _version(str(_DEBIANS)) != _version(sys.executable):
        return sys.executable
    uv, made = ROOT / ".venv/bin/uv", folder / "shipped"
    subprocess.run([uv, "venv", "--quiet", f"--python={_DEBIANS}", made], check=True)
    python = str(made / "bin/python")
    command = [uv, "pip", "sync", "--quiet", "--require-hashes", f"--python={python}", ROOT / "requirements.lock"]
    subprocess.run(command, check=True)
    return python


def _version(python: str) -> str:
    said = "import sys; print(*sys.version_info[:2])"
    try:
        return subprocess.run([python, "-c", said], check=True, capture_output=True, text=True).stdout
    except OSError:
        return "none"
