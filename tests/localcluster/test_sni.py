import contextlib
import socket
import ssl
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster import sni


def client_hello(name: str | None) -> bytes:
    """Let the standard library say hello to a socket pair, and keep what it said."""
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def test_the_name_is_read_from_a_real_client_hello():
    assert sni.server_name(client_hello("Acme-Pharma.cloister.localhost")) == "acme-pharma.cloister.localhost"


def test_a_client_that_names_nobody():
    assert sni.server_name(client_hello(None)) is None


def test_every_true_prefix_is_incomplete():
    hello = client_hello("acme-pharma.cloister.localhost")
    for length in range(len(hello)):
        with pytest.raises(sni.IncompleteError):
            sni.server_name(hello[:length])


def test_bytes_after_the_hello_do_not_matter():
    assert sni.server_name(client_hello("a.cloister.localhost") + b"early data") == "a.cloister.localhost"


def test_a_hello_spread_over_several_records_is_put_together():
    hello = client_hello("acme-pharma.cloister.localhost")
    version, body = hello[1:3], hello[5:]
    parts = [body[start : start + 40] for start in range(0, len(body), 40)]
    spread = b"".join(b"\x16" + version + len(part).to_bytes(2, "big") + part for part in parts)
    assert sni.server_name(spread) == "acme-pharma.cloister.localhost"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03\x01\xff\xff"])
def test_what_is_no_hello_is_refused(data):
    with pytest.raises(sni.NotTlsError):
        sni.server_name(data)


@given(st.binary(max_size=300))
def test_nothing_else_is_ever_raised(data):
    for candidate in (data, b"\x16\x03\x01" + len(data).to_bytes(2, "big") + data):
        with contextlib.suppress(sni.NotTlsError, sni.IncompleteError):
            sni.server_name(candidate)


HELLO = client_hello("acme-pharma.cloister.localhost")


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_hello_raises_nothing_else(place, value):
    damaged = bytearray(HELLO)
    damaged[place % len(damaged)] = value
    with contextlib.suppress(sni.NotTlsError, sni.IncompleteError):
        sni.server_name(bytes(damaged))


def test_the_helper_says_hello_as_a_client_on_a_wire_would():
    left, right = socket.socketpair()
    context = ssl.create_default_context()
    context.check_hostname = False

    def hang_up():
        with pytest.raises(OSError):  # noqa: PT011 - any way of ending will do
            context.wrap_socket(left, server_hostname="a.cloister.localhost")

    client = threading.Thread(target=hang_up)
    client.start()
    heard = right.recv(65536)
    right.close()
    client.join()
    left.close()
    assert sni.server_name(heard) == "a.cloister.localhost"
