"""HTTPS as its clients see it: bodies of any size both ways, keep-alive, ends, and what an application is told."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from server_kit import Bench, Peer, hello, until
from tls_kit import BioPeer, Pki, TLSPeer, both_ways, client_context

from kirsch.server.poller import OUT
from kirsch.server.tls import Channel

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BIG = os.urandom(1 << 20) * 8


def serve(bench: Bench, pki: Pki, app: Any = None, **settings: Any) -> Any:
    settings.setdefault("certificate", pki.local[0])
    settings.setdefault("private_key", pki.local[1])
    return bench.server(app, **settings)


def connect(bench: Bench, server: Any, pki: Pki, **options: Any) -> TLSPeer:
    context = options.pop("context", None) or client_context(pki, **options.pop("client", {}))
    peer = TLSPeer(server.bound_addresses[0], context, **options)
    bench.stack.callback(peer.close)
    return peer


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [hashlib.sha256(body).hexdigest().encode()]


def big(environ: dict[str, Any], start_response: Any) -> Any:
    """BIG in the way that the path says."""
    kind = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Length", str(len(BIG)))])
    if kind == "/bytes":
        return [BIG]
    if kind == "/list":
        return [BIG[i : i + 100_000] for i in range(0, len(BIG), 100_000)]
    if kind == "/file":
        path = environ["big.file"]
        return environ["wsgi.file_wrapper"](open(path, "rb"))
    return (BIG[i : i + 30_000] for i in range(0, len(BIG), 30_000))


@pytest.mark.parametrize("version", [V12, V13])
def test_a_handshake_that_the_socket_does_not_take_at_once(
    bench: Bench, pki: Pki, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A flight of fifty kilobytes to a peer that does not read yet: the poller sends the rest."""
    listener = socket.create_server(("127.0.0.1", 0))
    bench.stack.callback(listener.close)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    middle = pki.issue("Long CA", ca=True)
    certificate, key = pki.issue("localhost", by=middle)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(Path(middle[0]).read_bytes() * 100)
    server = serve(
        bench,
        pki,
        bind=listener,
        certificate=certificate,
        private_key=key,
        certificate_chain=chain,
        threads=1,
        threads_max=1,
    )
    context = client_context(pki, version=version)
    late = Peer(server.bound_addresses[0], rcvbuf=4096)
    bench.stack.callback(late.close)
    late.sock.settimeout(0)
    late.sock = sock = context.wrap_socket(
        late.sock, server_hostname="localhost", do_handshake_on_connect=False
    )
    with pytest.raises(ssl.SSLWantReadError):
        sock.do_handshake()  # ClientHello has gone, and nothing is read
    assert until(lambda: any(conn.mask == OUT for conn in server.groups[0].conns.values()))
    began = time.process_time()
    assert connect(bench, server, pki, client={"version": version}).get()[0] == 200
    assert time.process_time() - began < 1  # nobody turns in circles meanwhile
    sock.settimeout(5)
    sock.do_handshake()
    assert late.get()[2] == b"hello"


@pytest.mark.parametrize("version", [V12, V13])
def test_requests_on_one_connection(bench: Bench, pki: Pki, version: ssl.TLSVersion) -> None:
    server = serve(bench, pki)
    peer = connect(bench, server, pki, client={"version": version})
    for _ in range(50):
        status, _, body = peer.get()
        assert (status, body) == (200, b"hello")
    assert peer.sock.version() == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]
    counts = server.counters
    assert (counts["tls_handshakes"], counts["tls_errors"], counts["requests"]) == (1, 0, 50)
    assert bench.records[0][0].startswith("listening on https://127.0.0.1:")
    assert bench.errors() == []


def test_pipelined_requests_in_one_record_and_in_many(bench: Bench, pki: Pki) -> None:
    server = serve(bench, pki)
    request = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
    peer = connect(bench, server, pki).send(request * 200)
    assert all(peer.response()[2] == b"hello" for _ in range(200))
    for part in request * 20:
        peer.send(bytes([part]))  # a record for each byte
    assert all(peer.response()[2] == b"hello" for _ in range(20))


def test_a_request_that_comes_with_the_end_of_the_handshake(bench: Bench, pki: Pki) -> None:
    """Both are in the kernel at once: the poller will not say again what is left in OpenSSL."""
    server = serve(bench, pki)
    peer = BioPeer(server.bound_addresses[0], client_context(pki, version=V13))
    bench.stack.callback(peer.close)
    peer.shake(send_last=False).write(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    peer.flush()
    assert peer.read().endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("kind", ["/bytes", "/list", "/file", "/generator"])
@pytest.mark.parametrize("rcvbuf", [0, 4096])
def test_big_responses(bench: Bench, pki: Pki, tmp_path: Path, kind: str, rcvbuf: int) -> None:
    path = tmp_path / "big"
    path.write_bytes(BIG)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["big.file"] = str(path)
        return big(environ, start_response)

    server = serve(bench, pki, app)
    peer = connect(bench, server, pki, rcvbuf=rcvbuf)
    peer.send(f"GET {kind} HTTP/1.1\r\nHost: t\r\n\r\n".encode() * 2)
    for _ in range(2):
        _, fields = peer.head()
        size, digest, count = int(fields["content-length"]), hashlib.sha256(), 0
        data, peer.data = peer.data, b""
        while True:
            digest.update(data[: size - count])
            if len(data) >= size - count:
                peer.data = data[size - count :]
                break
            count += len(data)
            data = peer.sock.recv(65536)
            assert data, f"the stream ended after {count} bytes"
        assert digest.digest() == hashlib.sha256(BIG).digest()
    assert bench.errors() == [] and server.counters["timeouts_write"] == 0


class Narrow:
    """A socket that takes as many bytes as it is told, which no kernel can be made to do."""

    def __init__(self) -> None:
        self.room = 1 << 30
        self.wire = bytearray()
        self.inbox = b""

    def recv(self, size: int) -> bytes:
        data, self.inbox = self.inbox, b""
        if not data:
            raise BlockingIOError
        return data

    def send(self, data: Any) -> int:
        count = min(self.room, len(data))
        if not count:
            raise BlockingIOError
        self.room -= count
        self.wire += data[:count]
        return count


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("size", [1, 2, 40])
def test_nothing_is_sent_before_its_record_is(pki: Pki, version: Any, size: int) -> None:
    """Else the connection waits for the next request, and the end of this answer for ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pki.local)
    sock: Any = Narrow()
    channel = Channel(sock, context)
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(pki, version=version).wrap_bio(
        ours, theirs, server_hostname="localhost"
    )
    done = False
    while not done:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        done = channel.handshake(theirs.read())
        ours.write(bytes(sock.wire))
        sock.wire.clear()
    if version == V12:
        client.do_handshake()
    text = os.urandom(size)
    for room in range(size + 100):
        rest = memoryview(text)
        sock.room = room
        try:
            rest = rest[channel.send(rest) :]
        except BlockingIOError:
            pass
        assert bool(len(rest)) == bool(channel.out), room
        sock.room = 1 << 30
        if len(rest):
            assert channel.send(rest) == len(rest)
        ours.write(bytes(sock.wire))
        sock.wire.clear()
        assert client.read(1000) == text


def test_slow_readers_hold_no_thread(bench: Bench, pki: Pki) -> None:
    server = serve(bench, pki, big, threads=2, threads_max=2, write_timeout=300)
    slow = [connect(bench, server, pki, rcvbuf=4096) for _ in range(20)]
    for peer in slow:
        peer.send(b"GET /bytes HTTP/1.1\r\nHost: t\r\n\r\n")
    assert until(lambda: server.counters["responses"] == 20)
    assert server.counters["threads"] == 2 and until(lambda: server.counters["threads_busy"] == 0)
    assert len(connect(bench, server, pki).get("/list")[2]) == len(BIG)
    for peer in slow:
        assert peer.response()[2] == BIG


def test_a_reader_that_stops_is_given_up_without_close_notify(bench: Bench, pki: Pki) -> None:
    server = serve(bench, pki, big, write_timeout=0.3, write_min_rate=1_000_000)
    peer = connect(bench, server, pki, rcvbuf=4096)
    peer.send(b"GET /bytes HTTP/1.1\r\nHost: t\r\n\r\n")
    assert until(lambda: server.counters["timeouts_write"] == 1)
    assert until(lambda: server.counters["open"] == 0)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_big_request_bodies(bench: Bench, pki: Pki, framing: str) -> None:
    server = serve(bench, pki, echo)
    peer = connect(bench, server, pki)
    wanted = hashlib.sha256(BIG).hexdigest().encode()
    for _ in range(2):
        if framing == "length":
            peer.send(f"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {len(BIG)}\r\n\r\n".encode())
            peer.send(BIG)
        else:
            peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(BIG), 50_000):
                block = BIG[start : start + 50_000]
                peer.send(b"%x\r\n%b\r\n" % (len(block), block))
            peer.send(b"0\r\n\r\n")
        assert peer.response()[2] == wanted


def test_100_continue(bench: Bench, pki: Pki) -> None:
    peer = connect(bench, serve(bench, pki, echo), pki)
    peer.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert peer.head()[0] == 100
    assert peer.send(b"abc").response()[2] == hashlib.sha256(b"abc").hexdigest().encode()


def test_a_body_is_read_while_the_response_is_written(bench: Bench, pki: Pki) -> None:
    """The worker decrypts while the holder of the baton encrypts, on one connection."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        read = environ["wsgi.input"].read
        while data := read(20_000):
            yield data

    server = serve(bench, pki, app)
    for version in (V12, V13):
        peer = connect(bench, server, pki, rcvbuf=8192, client={"version": version})
        head = f"POST / HTTP/1.0\r\nHost: t\r\nContent-Length: {len(BIG)}\r\n\r\n".encode()
        assert both_ways(peer, head + BIG).partition(b"\r\n\r\n")[2] == BIG
    assert bench.errors() == []


def s_client(bench: Bench, server: Any, pki: Pki) -> Any:
    """openssl's client: a line of K sends a KeyUpdate that asks for one of ours."""
    host, port = server.bound_addresses[0]
    client = subprocess.Popen(
        [
            "openssl",
            "s_client",
            "-connect",
            f"{host}:{port}",
            "-CAfile",
            pki.ca,
            "-tls1_3",
            "-crlf",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,  # nothing is left to be flushed when the client is gone
    )
    bench.stack.enter_context(client)
    bench.stack.callback(client.kill)
    assert until(lambda: server.counters["tls_handshakes"] == 1)
    return client


def say(client: Any, text: bytes, answer: bytes) -> bytes:
    """Write to s_client, and read what it prints up to `answer`; END, once it has left."""
    try:
        client.stdin.write(text)
    except BrokenPipeError:  # between the last answer and now: the server had closed
        return b"END"
    seen = b""
    while answer not in seen:
        data = client.stdout.read(65536)
        if not data:
            return seen + b"END"
        seen += data
    return bytes(seen)


def test_key_updates_are_answered(bench: Bench, pki: Pki) -> None:
    server = serve(bench, pki)
    client = s_client(bench, server, pki)
    for _ in range(3):
        say(client, b"K\n", b"KEYUPDATE\n")
        seen = say(client, b"GET / HTTP/1.1\nHost: t\n\n", b"hello")
        assert not seen.endswith(b"END"), seen
    assert server.counters["tls_errors"] == 0


def test_a_flood_of_key_updates_ends(bench: Bench, pki: Pki, monkeypatch: Any) -> None:
    monkeypatch.setattr("kirsch.server.tls.FLOOD", 500)
    server = serve(bench, pki)
    client = s_client(bench, server, pki)
    for _ in range(100):
        if say(client, b"K\n", b"KEYUPDATE\n").endswith(b"END"):
            break
    assert until(lambda: server.counters["tls_errors"] == 1)
    assert server.counters["open"] == 0


def test_ends(bench: Bench, pki: Pki) -> None:
    """close_notify ends what is whole; what was cut is seen to be cut."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/cut":
            yield b"x" * 10
            raise RuntimeError
        yield b"all"

    server = serve(bench, pki, app, keep_alive_timeout=0.1)
    peer = connect(bench, server, pki).send(b"GET / HTTP/1.0\r\n\r\n")
    assert peer.response()[2] == b"all" and peer.closed_well()
    check_cut(connect(bench, server, pki).send(b"GET /cut HTTP/1.0\r\n\r\n"))
    server.groups[0].means["/cut"] = 0.0  # a quick handler keeps the baton, and the state
    for _ in range(3):
        check_cut(connect(bench, server, pki).send(b"GET /cut HTTP/1.0\r\n\r\n"))
    peer = connect(bench, server, pki)
    peer.get()
    assert peer.closed_well(3)  # idle for too long


def check_cut(peer: TLSPeer) -> None:
    """The response of /cut is seen to be incomplete."""
    assert peer.head()[0] == 200
    while peer.data != b"x" * 10:
        assert peer.more()
    assert not peer.closed_well()


def test_the_peer_ends_his_half(bench: Bench, pki: Pki) -> None:
    """RFC 8446 6.1: close_notify ends one direction; the answer to what came before still goes."""
    server = serve(bench, pki)
    peer = BioPeer(server.bound_addresses[0], client_context(pki)).shake()
    bench.stack.callback(peer.close)
    peer.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").end()
    peer.flush()
    assert peer.read().endswith(b"\r\n\r\nhello")
    assert until(lambda: server.counters["open"] == 0, 3)
    assert server.counters["responses"] == 1


def test_the_environ(bench: Bench, pki: Pki) -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        return hello(environ, start_response)

    connect(bench, serve(bench, pki, app), pki, client={"version": V12}).get()
    environ = seen[0]
    assert environ["wsgi.url_scheme"] == "https" and environ["HTTPS"] == "on"
    assert environ["SSL_PROTOCOL"] == "TLSv1.2"
    assert "GCM" in environ["SSL_CIPHER"] or "CHACHA" in environ["SSL_CIPHER"]
    assert environ["SSL_CLIENT_VERIFY"] == "NONE" and "SSL_CLIENT_CERT" not in environ
    assert environ["SSL_TLS_SNI"] == "localhost"
    assert environ["SSL_SERVER_S_DN"] == "CN=localhost"
    assert environ["SSL_SERVER_I_DN_CN"] == "Test CA"
    assert environ["SSL_SERVER_V_END"].endswith("GMT")


def test_curl(bench: Bench, pki: Pki, tmp_path: Path) -> None:
    server = serve(bench, pki, big)
    host, port = server.bound_addresses[0]
    out = tmp_path / "out"
    done = subprocess.run(
        [
            *("curl", "-sS", "--cacert", pki.ca, "--http1.1", "--fail", "-o", str(out)),
            *("-w", "%{http_code} %{ssl_verify_result} %{num_connects}\n"),
            *(f"https://{host}:{port}/bytes", "-o", str(out), f"https://{host}:{port}/x"),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.split("\n")[:2] == ["200 0 1", "200 0 0"], done.stderr
    assert out.read_bytes() == BIG


def test_alpn(bench: Bench, pki: Pki) -> None:
    context = client_context(pki)
    context.set_alpn_protocols(["h2", "http/1.1"])
    peer = connect(bench, serve(bench, pki), pki, context=context)
    assert peer.sock.selected_alpn_protocol() == "http/1.1"


def test_the_oldest_version(bench: Bench, pki: Pki) -> None:
    server = serve(bench, pki, tls_minimum="1.3")
    with pytest.raises(ssl.SSLError):
        connect(bench, server, pki, client={"version": V12})
    assert connect(bench, server, pki, client={"version": V13}).get()[0] == 200
    assert until(lambda: server.counters["tls_errors"] == 1)


def test_versions_before_1_2_are_never_spoken(bench: Bench, pki: Pki) -> None:
    server = serve(bench, pki)
    host, port = server.bound_addresses[0]
    done = subprocess.run(
        [
            "openssl",
            "s_client",
            "-connect",
            f"{host}:{port}",
            "-tls1_1",
            "-cipher",
            "ALL:@SECLEVEL=0",
        ],
        input=b"",
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode != 0
    assert until(lambda: server.counters["tls_errors"] == 1), server.counters


def test_stopping_does_not_wait_for_handshakes(bench: Bench, pki: Pki) -> None:
    server = serve(bench, pki, shutdown_timeout=5)
    silent = [socket.create_connection(server.bound_addresses[0]) for _ in range(20)]
    idle = connect(bench, server, pki)
    idle.get()
    assert until(lambda: server.counters["open"] == 21)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 2
    assert idle.closed_well()
    for sock in silent:
        sock.close()
