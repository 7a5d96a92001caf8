"""Connections that proxies announce: byte by byte, before TLS, by a real HAProxy; and what a peer can do wrong."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from server_kit import Bench, Peer, server_threads, until
from tls_kit import Pki, client_context

from kirsch.server.connection import Connection
from kirsch.server.limits import Settings
from kirsch.server.tls import TLSConnection

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
REQUEST = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
LINE = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = socket.inet_aton("203.0.113.9") + socket.inet_aton("192.0.2.1") + b"\x12\x67\x01\xbb"
BINARY = SIGNATURE + b"\x21\x11\x00\x0c" + V4
TLVS = SIGNATURE + b"\x21\x11\x00\x13" + V4 + b"\x04\x00\x04abcd"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
CLIENT = b"203.0.113.9:4711"
TRUSTED = {"proxy_protocol": ["127.0.0.1"]}


def who(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = f"{environ['REMOTE_ADDR']}:{environ['REMOTE_PORT']}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def own(peer: Any) -> bytes:
    host, port = peer.sock.getsockname()[:2]
    return f"{host}:{port}".encode()


# --------------------------------------------------------------------------------- who it is


@pytest.mark.parametrize("poller", ["auto", "selectors"])
@pytest.mark.parametrize("header", [LINE, BINARY, TLVS])
def test_the_announced_client_is_the_peer(bench: Bench, header: bytes, poller: str) -> None:
    server = bench.server(who, poller=poller, **TRUSTED)
    peer = bench.peer(server)
    peer.send(header + REQUEST)
    assert peer.response()[2] == CLIENT
    # It is of the connection, not of the request; and a header in its midst is no HTTP.
    assert peer.get()[2] == CLIENT
    assert peer.send(header).response()[0] == 400
    assert peer.closed()


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ::1 ::2 1 2\r\n", LOCAL])
def test_who_is_not_announced_keeps_his_address(bench: Bench, header: bytes) -> None:
    server = bench.server(who, **TRUSTED)
    peer = bench.peer(server)
    peer.send(header + REQUEST)
    assert peer.response()[2] == own(peer)


@pytest.mark.parametrize("header", [LINE, BINARY, TLVS, LOCAL])
def test_byte_by_byte(bench: Bench, header: bytes) -> None:
    server = bench.server(who, **TRUSTED)
    peer = bench.peer(server)
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(len(header)):
        peer.send(header[at : at + 1])
        time.sleep(0.001)
    expected = own(peer) if header is LOCAL else CLIENT
    for at in range(len(REQUEST)):
        peer.send(REQUEST[at : at + 1])
    assert peer.response()[2] == expected
    assert bench.errors() == []


def test_many_at_every_split(bench: Bench) -> None:
    server = bench.server(who, **TRUSTED)
    data = TLVS + REQUEST
    peers = [bench.peer(server) for _ in data]
    for at, peer in enumerate(peers):
        peer.send(data[:at])
    for at, peer in enumerate(peers):
        peer.send(data[at:])
    assert {peer.response()[2] for peer in peers} == {CLIENT}


def test_a_unix_socket(bench: Bench, tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    for trusted, expected in ((["unix"], CLIENT), (["127.0.0.1"], b":")):
        server = bench.server(who, f"unix:{path}", proxy_protocol=trusted)
        peer = bench.peer(server)
        peer.send((LINE if expected == CLIENT else b"") + REQUEST)
        assert peer.response()[2] == expected
        server.stop()


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("header", [LINE, BINARY, LOCAL])
def test_nobody_else_announces_anything(bench: Bench, header: bytes) -> None:
    server = bench.server(who, proxy_protocol=["192.0.2.0/24"])
    peer = bench.peer(server)
    peer.send(header + REQUEST)
    assert peer.response()[0] == 400
    assert peer.closed()
    # As himself he is served.
    peer = bench.peer(server)
    assert peer.get()[2] == own(peer)


def test_a_server_that_was_told_nothing_takes_no_header(bench: Bench) -> None:
    server = bench.server(who)
    assert server.groups[0].connection is Connection  # nothing that a plain listener would pay for
    peer = bench.peer(server)
    assert peer.send(LINE + REQUEST).response()[0] == 400


@pytest.mark.parametrize(
    "data",
    [
        REQUEST,
        b"\r\n" + REQUEST,
        b"PROXY TCP4 evil evil 1 2\r\n" + REQUEST,
        b"PROXY " + b"x" * 5000,
        SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 5000,
        bytes(range(256)) * 300,
        b"P\0",
    ],
)
def test_rubbish_of_a_trusted_peer_is_refused(bench: Bench, data: bytes) -> None:
    server = bench.server(who, linger_timeout=0.2, **TRUSTED)
    peer = bench.peer(server)
    with contextlib.suppress(ConnectionError):
        peer.send(data)
    status, _, text = peer.response()
    assert (status, text) == (400, b"This port expects the PROXY protocol from this peer.")
    assert peer.closed()
    assert until(lambda: server.counters["open"] == 0)
    assert server.counters["parse_errors"] == 1
    assert bench.errors() == []
    assert bench.peer(server).send(LINE + REQUEST).response()[2] == CLIENT


@pytest.mark.parametrize("sent", [b"", b"PRO", SIGNATURE, BINARY[:-1]])
def test_the_time_for_it_is_total(bench: Bench, sent: bytes) -> None:
    server = bench.server(who, head_timeout=1.0, threads=2, **TRUSTED)
    threads = sorted(server_threads())
    began = time.monotonic()
    peers = [bench.peer(server) for _ in range(20)]
    for at, byte in enumerate(sent):
        for peer in peers:
            peer.send(bytes((byte,)))
        time.sleep(0.6 / len(sent))  # a drip does not make it longer
        assert at < 100
    for peer in peers:
        assert peer.closed(3)
    assert 1.0 <= time.monotonic() - began < 2.5
    assert server.counters["timeouts_head"] == 20
    assert sorted(server_threads()) == threads
    assert until(lambda: server.counters["open"] == 0)


def test_the_head_has_its_own_time_after_it(bench: Bench) -> None:
    server = bench.server(who, head_timeout=1.0, **TRUSTED)
    peer = bench.peer(server)
    time.sleep(0.7)
    peer.send(LINE)
    time.sleep(0.7)
    assert peer.send(REQUEST).response()[2] == CLIENT
    silent = bench.peer(server).send(LINE)
    began = time.monotonic()
    assert silent.closed(4)
    assert time.monotonic() - began < 2.5


def test_peers_that_leave(bench: Bench) -> None:
    server = bench.server(who, **TRUSTED)
    for sent in (b"", b"PROXY ", SIGNATURE, LINE, BINARY + b"GET"):
        bench.peer(server).send(sent).close()
        bench.peer(server).send(sent).reset()
    assert until(lambda: server.counters["closed"] == 10)
    assert server.counters["open"] == 0
    assert bench.errors() == []
    assert bench.peer(server).send(LINE + REQUEST).response()[2] == CLIENT


def test_a_stop_does_not_wait_for_an_announcement(bench: Bench) -> None:
    server = bench.server(who, shutdown_timeout=5, **TRUSTED)
    silent, half = bench.peer(server), bench.peer(server).send(b"PROXY ")
    assert until(lambda: server.counters["open"] == 2)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 2
    assert silent.closed() and half.closed()


# --------------------------------------------------------------------------------------- TLS


def secure(bench: Bench, pki: Pki, **settings: Any) -> Any:
    settings = {**TRUSTED, **settings}
    return bench.server(who, certificate=pki.local[0], private_key=pki.local[1], **settings)


def over_tls(bench: Bench, server: Any, pki: Pki, header: bytes, single: bool = False) -> Any:
    peer: Any = bench.peer(server)
    if single:
        for byte in header:
            peer.send(bytes((byte,)))
            time.sleep(0.001)
    else:
        peer.send(header)
    context = client_context(pki)
    peer.sock = context.wrap_socket(peer.sock, server_hostname="localhost")
    return peer


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("header", [LINE, BINARY, TLVS])
def test_before_tls(bench: Bench, pki: Pki, header: bytes, single: bool) -> None:
    server = secure(bench, pki)
    peer = over_tls(bench, server, pki, header, single)
    assert peer.get()[2] == CLIENT
    assert peer.get()[2] == CLIENT


def test_a_header_and_a_client_hello_in_one_piece(bench: Bench, pki: Pki) -> None:
    import ssl

    server = secure(bench, pki)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(pki).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    peer = bench.peer(server)
    peer.send(TLVS + outgoing.read())
    while True:
        incoming.write(peer.sock.recv(65536))
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            continue
    tls.write(REQUEST)
    peer.send(outgoing.read())
    got = b""
    while CLIENT not in got:
        incoming.write(peer.sock.recv(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            got += tls.read(65536)


def test_what_is_refused_before_tls(bench: Bench, pki: Pki) -> None:
    server = secure(bench, pki)
    # No header, from whom it is expected: nothing is said in the clear.
    for data in (b"\x16\x03\x01\x00\xc8\x01", REQUEST, b"PROXY nonsense\r\n"):
        assert bench.peer(server).send(data).closed()
    assert server.counters["parse_errors"] == 3
    assert server.counters["tls_handshakes"] == 0
    server = secure(bench, pki, proxy_protocol=["192.0.2.1"])
    for header in (LINE, BINARY):
        peer = bench.peer(server).send(header + REQUEST)
        assert peer.response()[0] == 400
    assert issubclass(server.groups[0].connection, TLSConnection)
    peer = over_tls(bench, server, pki, b"")
    assert peer.get()[2] == own(peer)


@pytest.mark.parametrize("sent", [b"", b"PROXY ", LINE])
def test_header_and_handshake_share_their_time(bench: Bench, pki: Pki, sent: bytes) -> None:
    server = secure(bench, pki, tls_timeout=1.0, head_timeout=30.0)
    began = time.monotonic()
    peer = bench.peer(server)
    time.sleep(0.5)
    peer.send(sent)
    assert peer.closed(4)
    assert 0.9 <= time.monotonic() - began < 2.5
    assert server.counters["timeouts_tls"] + server.counters["timeouts_head"] == 1


# ------------------------------------------------------------------------------ the real thing


CONF = """
global
    maxconn 64
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen one
    bind 127.0.0.1:{one}
    server kirsch 127.0.0.1:{inner} send-proxy check check-send-proxy inter 100
listen two
    bind 127.0.0.1:{two}
    server kirsch 127.0.0.1:{inner} send-proxy-v2 proxy-v2-options crc32c,unique-id check check-send-proxy inter 100
    unique-id-format %{{+X}}o\\ %ci:%cp
listen secure
    bind 127.0.0.1:{secure}
    server kirsch 127.0.0.1:{tls} send-proxy-v2
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def haproxy(folder: Any, **ports: int) -> Iterator[None]:
    if HAPROXY is None:
        pytest.skip("haproxy is not installed")
    conf = folder / "haproxy.cfg"
    conf.write_text(CONF.format(**ports))
    process = subprocess.Popen(
        [HAPROXY, "-db", "-f", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )

    def listens() -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", ports["two"]), 1).close()
            return True
        return False

    try:
        assert until(listens, 20), process.poll()
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_a_real_haproxy(bench: Bench, pki: Pki, tmp_path: Any) -> None:
    server, over = bench.server(who, **TRUSTED), secure(bench, pki)
    ports = {name: free_port() for name in ("one", "two", "secure")}
    inner, tls = (one.bound_addresses[0][1] for one in (server, over))
    with haproxy(tmp_path, inner=inner, tls=tls, **ports):
        for name in ("one", "two"):
            peer = Peer(("127.0.0.1", ports[name]))
            bench.stack.callback(peer.close)
            for _ in range(2):
                assert peer.get()[2] == own(peer)
        peer = Peer(("127.0.0.1", ports["secure"]))
        bench.stack.callback(peer.close)
        name = own(peer)
        context = client_context(pki)
        peer.sock = context.wrap_socket(peer.sock, server_hostname="localhost")
        assert peer.get()[2] == name
        # Its looks at our health announce nobody, and are no errors.
        assert until(lambda: server.counters["accepted"] >= 8)
        assert server.counters["parse_errors"] == 0
    assert bench.errors() == []


def test_a_real_curl(bench: Bench) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    server = bench.server(who, **TRUSTED)
    url = f"http://127.0.0.1:{server.bound_addresses[0][1]}/"
    command = [curl, "-s", "--max-time", "10", "--haproxy-protocol", "-w", " %{local_port}", url]
    text = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    seen, _, port = text.partition(" ")
    assert seen == f"127.0.0.1:{port}"


# ---------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        ("127.0.0.1", ("127.0.0.1",)),
        ("loopback, 10.0.0.0/8,unix", ("loopback", "10.0.0.0/8", "unix")),
        (["::1", "*"], ("::1", "*")),
        ([], ()),
    ],
)
def test_the_setting(value: Any, kept: Any) -> None:
    assert Settings(proxy_protocol=value).proxy_protocol == kept


@pytest.mark.parametrize("value", ["nonsense", "10.0.0.0/99", ["127.0.0.1", "proxy"], 5])
def test_what_is_no_peer_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="proxy_protocol must be peers"):
        Settings(proxy_protocol=value)
