"""WebSockets over TLS: what a connection becomes by its 101 stays one of TLS."""

import threading

from tls_kit import TLSPeer, client_context
from websocket_kit import Client, Site


def open_one(bench, site, pki):
    """A client that keeps to one thread: that of `websockets` uses OpenSSL in two at once, which fails
    now and then."""
    peer = TLSPeer(site.server.bound_addresses[0], client_context(pki))
    bench.stack.callback(peer.close)
    return Client(peer)


def secure(bench, pki):
    return Site(bench, certificate=pki.local[0], private_key=pki.local[1])


def test_messages_of_all_sizes_both_ways(bench, pki):
    site = secure(bench, pki)
    client = open_one(bench, site, pki)
    for message in ("short", b"\0" * 70_000, "x" * 300_000, b"", b"\1" * 1_000_000):
        client.send(message)
        assert client.next() == message
    client.peer.send(client.core.close())
    assert client.code() == 1000
    assert bench.until(lambda: site.server.counters["open"] == 0)
    assert site.server.counters["websockets"] == 1
    assert bench.errors() == []


def test_many_threads_may_send_while_the_peer_does(bench, pki):
    """OpenSSL's state is one for both directions."""
    site = secure(bench, pki)
    client = open_one(bench, site, pki)
    client.send("first")
    assert client.next() == "first"
    (handler,) = site.handlers

    def shout(number):
        for turn in range(50):
            handler.ws.text(f"{number} {turn} " + "y" * 3000)

    threads = [threading.Thread(target=shout, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(50):
        client.send(f"mine {turn}")
    heard = [client.next() for _ in range(250)]
    for thread in threads:
        thread.join(10)
    assert [text for text in heard if text.startswith("mine")] == [f"mine {n}" for n in range(50)]
    for number in range(4):
        told = [text.split()[1] for text in heard if text.startswith(f"{number} ")]
        assert told == [str(turn) for turn in range(50)]


def test_the_stop_of_the_server_is_told(bench, pki):
    site = secure(bench, pki)
    client = open_one(bench, site, pki)
    client.send("hello")
    assert client.next() == "hello"
    stopper = threading.Thread(target=site.server.stop)
    stopper.start()
    assert client.code() == 1001
    stopper.join(10)
    assert not stopper.is_alive()
