"""One witness, as the service asks it: C2SP tlog-witness over HTTP, its keys pinned."""

import asyncio
import base64
import re
import ssl
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import httpx

from audit_contract.checkpoint import Checkpoint, open_checkpoint
from audit_contract.keys import KeyVerifier, parse_vkey
from audit_contract.note import Note, NoteError, Signature, SignatureError, UnsignedError, open_note
from audit_service.durable import write_durably
from audit_service.settings import WitnessPeer

_MAX_ANSWER: Final = 1 << 18
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class WitnessError(Exception):
    """The witness did not do what it was asked; asking again later may help."""


class UnreachableError(WitnessError):
    """Nobody answers there."""


class OtherSizeError(Exception):
    """The witness last signed a tree of `size` leaves."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the witness last signed {size} leaves")
        self.size = size


class NoGrowthError(Exception):
    """The witness says that this tree does not continue the one it signed."""


class Peer:
    """A witness. `sizes` remembers what it last signed of each origin; it is only a hint that saves a question."""

    def __init__(
        self, settings: WitnessPeer, pins: Path | None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.name = settings.name
        self.sizes: dict[str, int] = {}
        self._settings, self._pins, self._transport = settings, pins, transport
        self._known = [parse_vkey(vkey) for vkey in settings.vkeys]
        self._client: httpx.AsyncClient | None = None
        self._ca: bytes | None = None
        self._replaced: list[httpx.AsyncClient] = []
        self._connecting = asyncio.Lock()
        self._pinning = asyncio.Lock()  # several logs meet the witness for the first time at once

    async def close(self) -> None:
        """Close the connections."""
        for client in [*self._replaced, *([] if self._client is None else [self._client])]:
            await client.aclose()
        self._client, self._replaced = None, []

    async def keys(self) -> list[KeyVerifier]:
        """Return its keys: given in the settings, or those it showed at the first meeting, kept in the guard's folder."""
        async with self._pinning:
            if self._known or self._pins is None:
                return self._known
            pin = self._pins / f"{self.name}.witness"
            if not await asyncio.to_thread(pin.exists):
                text = (await self._get("vkey")).decode("utf-8", "strict")
                if not text.split():
                    raise WitnessError(f"{self.name}: it shows no verifier key")
                [parse_vkey(each) for each in text.split()]
                await asyncio.to_thread(write_durably, pin, text.encode())
            self._known = [parse_vkey(each) for each in (await asyncio.to_thread(pin.read_text)).split()]
        return self._known

    async def pinned(self) -> list[KeyVerifier]:
        """Return its keys when they are known already, without asking it; none when what was kept cannot be read."""
        pin = None if self._pins is None else self._pins / f"{self.name}.witness"
        if not self._known and (pin is None or not await asyncio.to_thread(pin.exists)):
            return []
        try:
            return await self.keys()
        except (OSError, ValueError):  # who asks for a signature is told
            return []

    async def latest(self, origin: str, log_keys: Iterable[KeyVerifier]) -> Checkpoint | None:
        """Return what it last signed of a log, None when nothing. Raises WitnessError.

        The log's own signature is checked as well, so that a witness cannot make up a tree that never was.
        """
        known = await self._checked_keys()
        try:
            data = await self._get(f"{sha256(origin.encode()).hexdigest()}/checkpoint", missing=b"")
            if not data:
                return None
            point = open_checkpoint(data, origin, known).checkpoint
            open_checkpoint(data, origin, log_keys)
        except (NoteError, SignatureError, UnsignedError) as error:
            raise WitnessError(f"{self.name}: its checkpoint of {origin} is not believed: {error}") from error
        return point

    async def add(self, note: Note, old: int, proof: Sequence[bytes]) -> tuple[Signature, ...]:
        """Ask for cosignatures of a checkpoint; return those by its known keys, which are all there.

        Raises OtherSizeError, NoGrowthError or WitnessError.
        """
        known = await self._checked_keys()
        lines = [f"old {old}", *(base64.b64encode(each).decode() for each in proof)]
        body = "".join(f"{line}\n" for line in lines).encode() + b"\n" + note.encode()
        answer = await self._call("POST", "add-checkpoint", body)
        text = answer.text.strip()
        match answer.status_code:
            case 200:
                return self._believed(note, answer.content, known)
            case 409 if _SIZE.fullmatch(text):
                raise OtherSizeError(int(text))
            case 422:
                raise NoGrowthError(f"{self.name}: {text[:200]}")
            case status:
                raise WitnessError(f"{self.name}: it answers {status}: {text[:200]}")

    def _believed(self, note: Note, lines: bytes, known: Sequence[KeyVerifier]) -> tuple[Signature, ...]:
        try:
            whole, signed = open_note(Note(note.text, ()).encode() + lines, known)
        except (NoteError, SignatureError, UnsignedError) as error:
            raise WitnessError(f"{self.name}: its answer is not believed: {error}") from error
        missing = {each.vkey for each in known} - {each.vkey for each in signed if isinstance(each, KeyVerifier)}
        if missing:
            raise WitnessError(f"{self.name}: it did not sign with {min(missing)[:80]}")
        ids = {(each.name, each.key_id) for each in known}
        return tuple(each for each in whole.signatures if (each.name, each.key_id) in ids)

    async def _checked_keys(self) -> list[KeyVerifier]:
        try:
            return await self.keys()
        except (OSError, ValueError) as error:
            raise WitnessError(f"{self.name}: its keys are not known: {error}") from error

    async def _get(self, path: str, missing: bytes | None = None) -> bytes:
        answer = await self._call("GET", path)
        if answer.status_code == httpx.codes.NOT_FOUND and missing is not None:
            return missing
        if answer.status_code != httpx.codes.OK:
            raise WitnessError(f"{self.name}: it answers {answer.status_code} to GET {path}")
        return answer.content

    async def _call(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        """Ask once. Raises WitnessError when it cannot be reached or says too much."""
        try:
            client = await self._connected()
            async with asyncio.timeout(self._settings.timeout_seconds):
                url = f"{self._settings.url.rstrip('/')}/{path}"
                async with client.stream(method, url, content=body) as answer:
                    parts, length = [], 0
                    async for part in answer.aiter_bytes():
                        length += len(part)
                        if length > _MAX_ANSWER:
                            raise WitnessError(f"{self.name}: its answer is larger than {_MAX_ANSWER} bytes")
                        parts.append(part)
            return httpx.Response(answer.status_code, content=b"".join(parts))
        # OSError: also TimeoutError and ssl.SSLError. ValueError: an authority's file that is no text.
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            said = str(error) or type(error).__name__
            raise UnreachableError(f"{self.name}: it cannot be reached: {said}") from error

    async def _connected(self) -> httpx.AsyncClient:
        """Return the client, a new one where the file with its authority was replaced. Raises OSError."""
        file = self._settings.ca_file
        async with self._connecting:
            ca = None if file is None else await asyncio.to_thread(file.read_bytes)
            if self._client is None or ca != self._ca:
                if self._client is not None:
                    self._replaced.append(self._client)  # others may be asking with it
                self._client, self._ca = await asyncio.to_thread(self._connect, ca), ca
            return self._client

    def _connect(self, ca: bytes | None) -> httpx.AsyncClient:
        context = ssl.create_default_context(cadata=None if ca is None else ca.decode())
        return httpx.AsyncClient(verify=context, timeout=self._settings.timeout_seconds, transport=self._transport)
