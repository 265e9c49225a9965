"""The local cluster's front door: passes TLS streams from this machine to the tenants' apps.

The relay reads only the name in the ClientHello and never the content: TLS ends in the app. It
finds the app's Service in the API server and connects from the bridge's address, 10.89.0.1, which a
tenant's NetworkPolicy admits by `ipBlock` (see docs of the local cluster).

Run as a process of its own: `python -m localcluster.relay`.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress

from localcluster import facts, sni
from localcluster.api import Api
from localcluster.errors import LocalClusterError
from localcluster.paths import Layout

_HELLO_SECONDS = 5.0
_CONNECT_SECONDS = 5.0
_REMEMBER_SECONDS = 2.0
_CHUNK = 64 * 1024
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# TLS alert, fatal, unrecognized_name: what a browser shows best when there is no such tenant.
_UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])


class NoSuchTenantError(LocalClusterError):
    """The name belongs to no tenant of this cluster."""


def namespace_of(host: str | None) -> str:
    """Give the namespace behind a host name like `acme-pharma.cloister.localhost`."""
    label, _, domain = (host or "").partition(".")
    if domain != facts.APP_DOMAIN or not _LABEL.fullmatch(label):
        raise NoSuchTenantError(f"{host!r} is not <tenant>.{facts.APP_DOMAIN}")
    return f"tenant-{label}"


class Relay:
    """Accepts connections and passes them on."""

    def __init__(self, layout: Layout) -> None:
        self._api = Api(layout)
        self._asking = asyncio.Lock()
        self._known: dict[str, tuple[float, str]] = {}

    async def serve(self) -> None:
        """Listen until the process ends."""
        host, port = facts.RELAY_ADDRESS
        server = await asyncio.start_server(self._accept, host, port, limit=sni.MAXIMUM_RECORD * 2)
        print(f"relay: https://<tenant>.{facts.APP_DOMAIN}:{port} is open on {host}", flush=True)
        async with server:
            await server.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host: str | None = None
        try:
            hello, host = await asyncio.wait_for(_hello(reader), _HELLO_SECONDS)
            address = await self._address(namespace_of(host))
            source = (str(facts.GATEWAY), 0)
            upstream = asyncio.open_connection(address, facts.APP_PORT, local_addr=source)
            up_reader, up_writer = await asyncio.wait_for(upstream, _CONNECT_SECONDS)
        except (LocalClusterError, ValueError, OSError, TimeoutError, EOFError) as error:
            print(f"relay: {host}: {type(error).__name__}: {error}", flush=True)
            if isinstance(error, NoSuchTenantError):
                writer.write(_UNRECOGNIZED_NAME)
            await _close(writer)
            return
        up_writer.write(hello)
        await asyncio.gather(_pass_on(reader, up_writer), _pass_on(up_reader, writer))

    async def _address(self, namespace: str) -> str:
        """Ask for the Service, at most every two seconds a tenant."""
        async with self._asking:
            asked, address = self._known.get(namespace, (0.0, ""))
            if time.monotonic() - asked > _REMEMBER_SECONDS:
                service = await asyncio.to_thread(self._api.get, "Service", "app", namespace)
                if service is None:
                    raise NoSuchTenantError(f"no Service app in {namespace}")
                address = str(service["spec"]["clusterIP"])
                if address == "None":
                    address = await asyncio.to_thread(self._endpoint, namespace)
                self._known[namespace] = (time.monotonic(), address)
            return address

    def _endpoint(self, namespace: str) -> str:
        """Give the address of a ready pod of a Service that has none itself."""
        for part in self._api.items("EndpointSlice", namespace, "labelSelector=kubernetes.io%2Fservice-name%3Dapp"):
            for endpoint in part.get("endpoints") or []:
                if endpoint.get("conditions", {}).get("ready") and endpoint["addresses"]:
                    return str(endpoint["addresses"][0])
        raise LocalClusterError(f"no pod of {namespace}'s app is ready")


async def _hello(reader: asyncio.StreamReader) -> tuple[bytes, str | None]:
    data = b""
    while len(data) <= sni.MAXIMUM_RECORD * 2:
        with suppress(sni.IncompleteError):
            return data, sni.server_name(data)
        part = await reader.read(_CHUNK)
        if not part:
            raise EOFError("closed before it said a name")
        data += part
    raise sni.NotTlsError("a ClientHello without end")


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await source.read(_CHUNK):
            target.write(part)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
            return
    await _close(target)


async def _close(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.close()
        await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(Relay(Layout.from_environment()).serve())
