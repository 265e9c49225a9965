"""Sealing a stream to the customer's public key with tools the customer has too: `age`, or OpenSSL's CMS.

Opens with `age -d -i key.txt export.tar.age`, or with `openssl cms -decrypt -binary -inform DER -in export.tar.cms
-inkey key.pem -recip certificate.pem`. Both take the plaintext from a pipe: it never touches a disk.
"""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class SealFailed(Exception):
    """age or openssl did not take the recipient, or ended early."""


@dataclass(frozen=True)
class Recipient:
    """Who can open it: an age recipient or an X.509 certificate in PEM."""

    age: str = ""
    x509: str = ""


def recipient_of(spec: Mapping[str, str | None]) -> Recipient:
    """Return the recipient that a TenantOffboarding names. Raises SealFailed unless it is exactly one."""
    found = Recipient(spec.get("age") or "", spec.get("x509") or "")
    if bool(found.age) == bool(found.x509):
        raise SealFailed("exactly one of age and x509 has to be named")
    return found


class Sealer:
    """A process that seals what is written to `stream` into a file. The file is whole once the block ends without an error."""

    def __init__(self, recipient: Recipient, target: Path) -> None:
        self._recipient = recipient
        self._target = target
        self._certificate: Path | None = None
        self._output: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def stream(self) -> IO[bytes]:
        """Where the plaintext goes."""
        if self._process is None or self._process.stdin is None:
            raise SealFailed("the sealing process does not run")
        return self._process.stdin

    def __enter__(self) -> Self:
        self._output = self._target.open("wb")
        self._process = subprocess.Popen(
            self._command(), stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.PIPE
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None or self._output is None:
            return
        if kind is not None and not issubclass(kind, BrokenPipeError):
            process.kill()  # end of input would make a file that opens and lacks what was not written
        _, said = process.communicate()
        self._output.close()
        if self._certificate:
            self._certificate.unlink(missing_ok=True)
        if process.returncode:
            self._target.unlink(missing_ok=True)
            if kind is None or issubclass(kind, BrokenPipeError):
                raise SealFailed(f"{self._command()[0]}: {said.decode(errors='replace').strip()[-500:]}") from error

    def _command(self) -> Sequence[str]:
        if self._recipient.age:
            return ["age", "--encrypt", "--recipient", self._recipient.age]
        if self._certificate is None:
            with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
                file.write(self._recipient.x509)
            self._certificate = Path(file.name)
        options = ["-encrypt", "-binary", "-stream", "-aes-256-gcm", "-outform", "DER"]
        return ["openssl", "cms", *options, str(self._certificate)]
