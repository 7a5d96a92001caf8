"""WebSockets over TLS: what a connection becomes by its 101 stays one of TLS."""

import threading

from tls_kit import client_context
from websocket_kit import Site
from websockets.sync.client import connect


def open_one(site, pki):
    port = site.server.bound_addresses[0][1]
    return connect(f"wss://localhost:{port}/ws", ssl=client_context(pki), compression=None)


def secure(bench, pki):
    return Site(bench, certificate=pki.local[0], private_key=pki.local[1])


def test_messages_of_all_sizes_both_ways(bench, pki):
    site = secure(bench, pki)
    with open_one(site, pki) as peer:
        for message in ("short", b"\0" * 70_000, "x" * 300_000, b"", b"\1" * 1_000_000):
            peer.send(message)
            assert peer.recv(timeout=10) == message
    assert peer.close_code == 1000
    assert bench.until(lambda: site.server.counters["open"] == 0)
    assert site.server.counters["websockets"] == 1
    assert bench.errors() == []


def test_many_threads_may_send_while_the_peer_does(bench, pki):
    """OpenSSL's state is one for both directions."""
    site = secure(bench, pki)
    with open_one(site, pki) as peer:
        peer.send("first")
        assert peer.recv(timeout=10) == "first"
        (handler,) = site.handlers

        def shout(number):
            for turn in range(50):
                handler.ws.text(f"{number} {turn} " + "y" * 3000)

        threads = [threading.Thread(target=shout, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(50):
            peer.send(f"mine {turn}")
        heard = [peer.recv(timeout=10) for _ in range(250)]
        for thread in threads:
            thread.join(10)
    assert [text for text in heard if text.startswith("mine")] == [f"mine {n}" for n in range(50)]
    for number in range(4):
        told = [text.split()[1] for text in heard if text.startswith(f"{number} ")]
        assert told == [str(turn) for turn in range(50)]


def test_the_stop_of_the_server_is_told(bench, pki):
    site = secure(bench, pki)
    with open_one(site, pki) as peer:
        peer.send("hello")
        assert peer.recv(timeout=10) == "hello"
        site.server.stop()
        assert list(peer) == []
        assert peer.close_code == 1001
