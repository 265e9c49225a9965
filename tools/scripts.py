"""Writes the virtual environment's `cloister` and `kubectl-cloister`, which run from the checkout without an installation."""

import sys
from pathlib import Path

_SCRIPT = """#!{python}
from tenant_operator.cli.main import main

main()
"""


def main() -> int:
    """Write both scripts beside the interpreter."""
    folder = Path(sys.executable).parent
    for name in ("cloister", "kubectl-cloister"):
        script = folder / name
        script.write_text(_SCRIPT.format(python=sys.executable))
        script.chmod(0o755)
    return 0


if __name__ == "__main__":
    sys.exit(main())
