"""Alert sinks: a webhook or a mail server."""

import asyncio
import json
import smtplib
import ssl
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

import httpx

from tenant_app.adapters.ports import Sink
from tenant_app.errors import SinkAway
from tenant_app.settings import SinkSection, read_secret

TIMEOUT = 4.0


def sink_of(section: SinkSection) -> Sink:
    """Return the sink that a section describes."""
    return Webhook(section) if section.kind == "webhook" else Mail(section)


class Webhook:
    """Posts the alert as JSON; a 2xx answer means taken."""

    def __init__(self, section: SinkSection) -> None:
        self._section = section

    @property
    def name(self) -> str:
        """See `Sink.name`."""
        return f"webhook {urlsplit(self._section.url).hostname}"

    async def send(self, body: dict[str, Any]) -> None:
        """See `Sink.send`."""
        headers = {}
        if self._section.token_file is not None:
            headers["Authorization"] = f"Bearer {read_secret(self._section.token_file)}"
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT, verify=_context(self._section)) as http:
                answer = await http.post(self._section.url, json=body, headers=headers)
        except (httpx.HTTPError, OSError) as error:
            raise SinkAway(f"{self.name} does not answer.") from error
        if not answer.is_success:
            raise SinkAway(f"{self.name} answered {answer.status_code}.")


class Mail:
    """Sends the alert as a mail."""

    def __init__(self, section: SinkSection) -> None:
        self._section = section

    @property
    def name(self) -> str:
        """See `Sink.name`."""
        return f"smtp {urlsplit(self._section.url).hostname}"

    async def send(self, body: dict[str, Any]) -> None:
        """See `Sink.send`."""
        await asyncio.to_thread(self._send, body)

    def _send(self, body: dict[str, Any]) -> None:
        message = EmailMessage()
        message["From"] = self._section.sender
        message["To"] = ", ".join(self._section.recipients)
        message["Subject"] = f"Security alert: {body.get('kind', '')}"
        message.set_content(json.dumps(body, indent=2, ensure_ascii=False))
        parts = urlsplit(self._section.url)
        try:
            with smtplib.SMTP(parts.hostname or "", parts.port or 25, timeout=TIMEOUT) as server:
                if server.has_extn("starttls"):
                    server.starttls(context=_context(self._section))
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise SinkAway(f"{self.name} does not take mail.") from error


def _context(section: SinkSection) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(section.ca_file) if section.ca_file else None)
