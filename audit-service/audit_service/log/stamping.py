"""Time-stamps by authorities outside (RFC 3161): that a checkpoint was there at a time does not rest on our clock alone.

A reply is kept only when it is over this checkpoint, by an authority whose certificates were given, and with the very nonce it
was asked with; a reply without one could be an old answer.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import httpx
from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from audit_contract.timestamp import check_stamp
from audit_service.metrics import STAMP_FAILURES, STAMPS
from audit_service.settings import Authority, Timestamps
from audit_service.store.errors import FencedError, StoreError
from audit_service.store.reading import ReadingStore
from audit_service.store.records import Stamped
from audit_service.store.writing import WritingStore

_log = logging.getLogger(__name__)
_MAX_REPLY: Final = 1 << 17
_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"
_LOOK: Final = 60.0


class NoStampError(Exception):
    """The authority gave no time-stamp that can be kept; asking again later may help."""


class Stamping:
    """Asks the authorities. `run` is one task of the writer."""

    def __init__(self, reading: ReadingStore, writing: WritingStore, settings: Timestamps) -> None:
        self._reading, self._writing, self._settings = reading, writing, settings

    async def run(self) -> None:
        """Have every log that has grown stamped, now and again, for ever."""
        while self._settings.authorities:
            for authority in self._settings.authorities:
                try:
                    await self._round(authority)
                except FencedError:
                    raise
                except (NoStampError, StoreError) as error:
                    STAMP_FAILURES.labels(authority=authority.name).inc()
                    _log.warning("not stamped now: %s", error)
            await asyncio.sleep(min(self._settings.every_seconds, _LOOK))

    async def _round(self, authority: Authority) -> None:
        """Stamp what is due. It ends at the first failure: an authority that is away is not asked once a log."""
        for log in await self._reading.unstamped(authority.name, self._settings.every_seconds):
            signed = await self._reading.checkpoint(log)
            request, reply = await obtain(authority, signed.note)
            await self._writing.stamp(log, Stamped(signed.size, authority.name, signed.note, request, reply))
            STAMPS.labels(authority=authority.name).inc()


async def obtain(authority: Authority, message: bytes) -> tuple[bytes, bytes]:
    """Return request and reply, both DER, of a time-stamp that was checked. Raises NoStampError."""
    asked = TimestampRequestBuilder().data(message).hash_algorithm(HashAlgorithm.SHA256).build().as_bytes()
    reply = await _post(authority, asked)
    try:
        pem = await asyncio.to_thread(authority.roots_file.read_bytes)
        check(reply, asked, message, x509.load_pem_x509_certificates(pem))
    except (OSError, ValueError, VerificationError) as error:  # StampError is a ValueError
        raise NoStampError(f"{authority.name}: its reply is not believed: {error}") from error
    return asked, reply


def check(reply: bytes, request: bytes, message: bytes, roots: Sequence[x509.Certificate]) -> None:
    """Check a reply with what the offline verifier will check it with, and with the library for a second opinion.

    Raises ValueError or VerificationError.
    """
    stamp = check_stamp(reply, request, message, roots)
    try:
        decoded = decode_timestamp_response(reply)
    except (
        ValueError
    ) as error:  # it reads only tokens whose certificates are sorted as DER wants; OpenSSL does not sort them
        _log.debug("no second opinion of this token: %s", error)
        return
    builder = VerifierBuilder(nonce=stamp.nonce)
    for root in roots:
        builder = builder.add_root_certificate(root)
    builder.build().verify_message(decoded, message)


async def _post(authority: Authority, request: bytes) -> bytes:
    try:
        async with (
            httpx.AsyncClient(timeout=authority.timeout_seconds) as client,
            client.stream("POST", authority.url, content=request, headers={"Content-Type": _QUERY}) as answer,
        ):
            kind = answer.headers.get("content-type", "").partition(";")[0].strip()
            if answer.status_code != httpx.codes.OK or kind != _REPLY:
                raise NoStampError(f"{authority.name}: it answers {answer.status_code} with {kind or 'nothing'}")
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MAX_REPLY:
                    raise NoStampError(f"{authority.name}: its reply is larger than {_MAX_REPLY} bytes")
            return body
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise NoStampError(f"{authority.name}: it cannot be reached: {str(error) or type(error).__name__}") from error
