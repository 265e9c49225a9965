"""Where alerts arrive: a webhook over TLS and a mail server, on loopback, each able to be away for a while."""

import contextlib
import json
import queue
import socketserver
import ssl
import threading
from collections.abc import Iterator
from email import message_from_string
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.tenant_app.support.certificates import Pair


class Receiver:
    def __init__(self) -> None:
        self.taken: queue.Queue[dict] = queue.Queue()
        self.refuse = 0
        self.tokens: list[str] = []
        self.port = 0


@contextlib.contextmanager
def webhook(pair: Pair) -> Iterator[Receiver]:
    made = Receiver()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            # Here and not around the listening socket, which leaks the connection of a client that turns away.
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.tokens.append(self.headers.get("authorization", ""))
            refused = made.refuse > 0
            made.refuse -= refused
            self.send_response(503 if refused else 204)
            self.end_headers()
            if not refused:
                made.taken.put(json.loads(body))

        def log_message(self, *_args) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_args) -> None:
            pass  # a client that does not trust the certificate is what one test is about

    server = Server(("127.0.0.1", 0), Handler)
    with _running(server, made):
        yield made


@contextlib.contextmanager
def mail_server() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 test\r\n")
            for raw in self.rfile:
                word = raw.decode().strip().upper()
                if word == "DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (line := self.rfile.readline()) != b".\r\n":
                        lines.append(line.decode())
                    mail = message_from_string("".join(lines))
                    body = json.loads(mail.get_payload(decode=True))
                    made.taken.put({**body, "to": mail["To"], "subject": mail["Subject"]})
                    self.wfile.write(b"250 taken\r\n")
                elif word == "QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 fine\r\n")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with _running(server, made):
        yield made


@contextlib.contextmanager
def _running(server: socketserver.BaseServer, made: Receiver) -> Iterator[None]:
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
