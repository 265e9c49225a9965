"""Make `cloister-verify`: one file with everything the verifier needs but Python and `cryptography`.

`python -m audit_contract.zipapp OUT` writes it and says its SHA-256. The same sources give the same bytes on any machine:
fixed times and modes, sorted names, nothing compiled or compressed. The audit service offers the same file and records its hash.
"""

import functools
import io
import sys
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

_MODULES: Final = (
    "__init__", "__main__", "bundle", "canonical", "checkpoint", "commitment", "der", "keys", "leaf", "merkle", "note", "policy",
    "proof", "report", "tiles", "timestamp", "trust", "verify", "verify_stamps", "verify_values",
)  # fmt: skip
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_MODE: Final = 0o100644
_MAIN: Final = "import sys\nfrom audit_contract.__main__ import main\nsys.exit(main())\n"


@dataclass(frozen=True, slots=True)
class Program:
    """The file as this build ships it, and its hash in hex."""

    data: bytes
    sha256: str


@functools.cache
def program() -> Program:
    """Return the program, made once."""
    data = build()
    return Program(data, sha256(data).hexdigest())


def build() -> bytes:
    """Return the program's bytes."""
    ours, theirs = files("audit_contract"), files("rfc8785")
    found: dict[str, str] = {f"audit_contract/{name}.py": (ours / f"{name}.py").read_text() for name in _MODULES}
    found |= {f"rfc8785/{each.name}": each.read_text() for each in _sources(theirs)}
    found["__main__.py"] = _MAIN
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for name, text in sorted(found.items()):
            member = zipfile.ZipInfo(name, _EPOCH)
            member.create_system, member.external_attr = _UNIX, _MODE << 16
            out.writestr(member, text)
    return b"#!/usr/bin/env python3\n" + archive.getvalue()


def _sources(folder: Traversable) -> list[Traversable]:
    return [each for each in folder.iterdir() if each.name.endswith(".py")]


def main(arguments: list[str]) -> int:
    """Write the program to the named file and say its hash."""
    (target,) = (Path(each) for each in arguments)
    program = build()
    target.write_bytes(program)
    target.chmod(0o755)
    sys.stdout.write(f"{sha256(program).hexdigest()}  {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
