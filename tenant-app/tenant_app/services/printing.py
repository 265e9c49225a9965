"""Copies that leave the system, each recorded before it is handed over (11.10(b), 11.50(b))."""

import asyncio
from typing import Any
from uuid import UUID

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Actor
from tenant_app.domain.documents import Document, Version
from tenant_app.services import renditions
from tenant_app.services.caller import Caller
from tenant_app.services.document_entries import found_row, read_entry
from tenant_app.services.parts import Parts
from tenant_app.services.pdf_seal import PdfSeal
from tenant_app.services.renditions import History
from tenant_app.services.typeset import Typesetter
from tenant_app.storage import workflow


class Printing:
    """Makes copies of documents and of their trails, PDFs sealed."""

    def __init__(self, parts: Parts, seal: PdfSeal, *, display_name: str, zone: str) -> None:
        self._parts = parts
        self.seal = seal
        self._name = display_name
        self._zone = zone

    async def rendition(self, caller: Caller, document: UUID, number: int) -> tuple[Document, bytes]:
        """Return a version as a sealed PDF with its signatures and trail.

        Raises Forbidden, NotFound, VaultAway, and IntegrityViolation when content or a signature is not what was recorded.
        """
        caller.require(Right.VIEW)
        found, version, pdf = await self.make(document, number, actor=caller.actor, request=caller.request)
        entry = read_entry(Action.DOCUMENT_PRINTED, caller, version, part="rendition")
        await self._parts.recorder.alone(entry)
        return found, pdf

    async def make(
        self, document: UUID, number: int, *, actor: Actor, request: str = ""
    ) -> tuple[Document, Version, bytes]:
        """Return the same for services that record it themselves."""
        version, content = await self._parts.documents.fetch(document, number, actor=actor, request=request)
        history = await self.history(document)
        # Setting pages is work for the processor: others are served meanwhile.
        unsealed = await asyncio.to_thread(
            renditions.rendition, version, content, history, Typesetter(self._zone), tenant=self._name
        )
        return history.document, version, await self.seal.seal(unsealed)

    async def trail_pdf(self, caller: Caller, document: UUID) -> tuple[Document, bytes]:
        """Return a document's trail and signatures as a sealed PDF."""
        history = await self._copied(caller, document, "pdf")
        unsealed = await asyncio.to_thread(renditions.trail_pdf, history, Typesetter(self._zone), tenant=self._name)
        return history.document, await self.seal.seal(unsealed)

    async def trail_json(self, caller: Caller, document: UUID) -> tuple[Document, dict[str, Any]]:
        """Return the same for programs."""
        history = await self._copied(caller, document, "json")
        return history.document, renditions.trail_json(history)

    async def history(self, document: UUID) -> History:
        """Return everything that happened to a document, its signatures verified. Raises NotFound, IntegrityViolation."""
        parts = self._parts
        await parts.columns.ready()
        keys = await parts.keyring.public_keys()
        async with parts.database.transaction() as conn:
            found = parts.rows.document(await found_row(conn, document))
            signatures = parts.progress.verified(await workflow.signatures(conn, document), keys, document)
            entries = await parts.recorder.of_object(conn, str(document))
        return History(document=found, entries=entries, signatures=signatures)

    async def _copied(self, caller: Caller, document: UUID, form: str) -> History:
        await self._parts.documents.copy_trail(caller, document, form)
        return await self.history(document)
