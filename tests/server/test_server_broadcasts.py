"""Broadcasts, and the frames that wait for others of their batch or burst: fewer sends, nothing else changed."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from server_kit import Bench, until
from websocket_kit import Client, Echo, Site

from kirsch.server.broadcasts import MANY, Broadcaster
from kirsch.server.endpoints import Options
from kirsch.server.outqueue import JOIN


class Sends:
    """Counts the system calls of one connection; they are still made."""

    def __init__(self, conn: Any) -> None:
        self.sizes: list[int] = []
        self.real = conn.send
        conn.send = self

    def __call__(self, data: Any) -> int:
        self.sizes.append(len(data))
        return int(self.real(data))


def gathered(bench: Bench, count: int = MANY, **settings: Any) -> tuple[Site, list[Client]]:
    site = Site(bench, options=Options("members"), **settings)
    clients = [site.client() for _ in range(count)]
    assert until(lambda: sum(handler.told == ["opened"] for handler in site.handlers) == count)
    return site, clients


def wires(site: Site) -> list[Any]:
    return [handler.ws for handler in site.handlers]


def quick(client: Client) -> None:
    """Let the server find out that the handler is quick, and may keep the baton."""
    for _ in range(30):
        client.send("x")
        assert client.next() == "x"


@pytest.mark.parametrize("groups", [1, 2])
def test_a_burst_arrives_in_order_and_whole_in_few_sends(bench: Bench, groups: int) -> None:
    site, clients = gathered(bench, pollers=groups, threads=4)
    assert len(site.server.groups) == groups
    sends = [Sends(wire.conn) for wire in wires(site)]
    caster = Broadcaster()
    messages = [f"message {i}" for i in range(200)]
    for message in messages:
        assert caster.send(wires(site), message) == MANY
    for client in clients:  # the last ones as well, though nothing else happens on this server
        assert [client.next() for _ in messages] == messages
    assert max(len(one.sizes) for one in sends) < 100


def test_a_single_broadcast_is_with_the_system_when_it_returns(bench: Bench) -> None:
    site, clients = gathered(bench)
    caster = Broadcaster()
    for message in ("one", b"two"):
        assert caster.send(wires(site), message) == MANY
        assert not site.server.groups[0].held
        for client in clients:
            assert client.next() == message
        time.sleep(0.05)  # what is under test: a pause makes it no burst


def test_few_peers_do_not_wait_for_a_burst(bench: Bench) -> None:
    site, clients = gathered(bench, 2)
    sends = [Sends(wire.conn) for wire in wires(site)]
    caster = Broadcaster()
    for i in range(20):
        assert caster.send(wires(site), str(i)) == 2
    assert [len(one.sizes) for one in sends] == [20, 20]
    assert [clients[0].next() for _ in range(20)] == list(map(str, range(20)))


def test_what_one_peer_is_sent_in_the_middle_of_a_burst_keeps_its_place(bench: Bench) -> None:
    site, clients = gathered(bench)
    caster, one = Broadcaster(), wires(site)[0]
    mine = next(c for c, wire in zip(clients, wires(site), strict=True) if wire is one)
    expected = []
    for i in range(100):
        caster.send(wires(site), f"all {i}")
        one.text(f"you {i}")
        expected += [f"all {i}", f"you {i}"]
    one.close(1000, "enough")
    assert [mine.next() for _ in expected] == expected
    assert mine.next().reason == "enough"


def test_a_burst_of_large_messages_does_not_gather_in_memory(bench: Bench) -> None:
    site, clients = gathered(bench)
    caster = Broadcaster()
    readers = [
        threading.Thread(target=lambda c=client: [c.next() for _ in range(40)])  # type: ignore[misc]  # bound at once
        for client in clients
    ]
    for reader in readers:
        reader.start()
    for _ in range(40):
        caster.send(wires(site), b"x" * 30_000)
        for wire in wires(site):
            assert wire._held is None or wire._held_size <= JOIN or type(wire._held) is bytes
    for reader in readers:
        reader.join(10)
    assert site.server.counters["websocket_slow_peers"] == 0


def test_a_peer_that_does_not_read_is_dropped_from_a_burst_and_keeps_nobody_waiting(
    bench: Bench,
) -> None:
    site = Site(bench, options=Options("members", max_output=200_000))
    deaf = site.client(rcvbuf=4096)
    clients = [site.client() for _ in range(MANY)]
    assert until(lambda: sum(handler.told == ["opened"] for handler in site.handlers) == MANY + 1)
    caster = Broadcaster()
    count, went, started, message = 4000, 0, time.monotonic(), b"y" * 2000
    got = [0] * MANY

    def read(number: int) -> None:
        while clients[number].next() == message:
            got[number] += 1
            if got[number] == count:
                return

    readers = [threading.Thread(target=read, args=(number,)) for number in range(MANY)]
    for reader in readers:
        reader.start()
    for _ in range(count):
        went = caster.send(wires(site), message)
        # The readers share our processor: who is behind because of that is not deaf.
        while any(wire._out is not None and wire is not wires(site)[0] for wire in wires(site)):
            time.sleep(0.001)
    for reader in readers:
        reader.join(20)
    assert got == [count] * MANY
    assert went == MANY
    assert site.server.counters["websocket_slow_peers"] == 1
    assert time.monotonic() - started < 60
    deaf.peer.close()


def test_members_that_left_are_not_counted(bench: Bench) -> None:
    site, clients = gathered(bench)
    clients[0].peer.reset()
    assert until(lambda: not all(wire.open for wire in wires(site)))
    caster = Broadcaster()
    for i in range(5):
        assert caster.send(wires(site), str(i)) == MANY - 1
    for client in clients[1:]:
        assert [client.next() for _ in range(5)] == list("01234")


def test_several_messages_in_one_segment_are_answered_in_one_send(bench: Bench) -> None:
    site = Site(bench)
    client = site.client()
    messages = [str(i) for i in range(20)]

    def sends() -> int:
        quick(client)
        made = Sends(site.handlers[0].ws.conn)
        client.send(*messages)
        assert [client.next() for _ in messages] == messages
        return len(made.sizes)

    # On a machine that stops for a moment the handler passes for slow, and each answer leaves by itself.
    assert any(sends() < 5 for _ in range(20))


def test_answers_do_not_wait_for_a_handler_that_turns_out_slow(bench: Bench) -> None:
    """The housekeeper takes the baton from it and sends what was held for the end of its batch."""
    go = threading.Event()

    class Sticks(Echo):
        def ws_message(self, message: Any) -> None:
            if message == "wait":
                go.wait(10)
            super().ws_message(message)

    site = Site(bench, Sticks)
    client = site.client()
    quick(client)
    try:
        client.send("one", "two", "wait", "three")
        assert [client.next(5), client.next(5)] == ["one", "two"]
    finally:
        go.set()
    assert [client.next(), client.next()] == ["wait", "three"]


def test_answers_that_are_held_leave_before_a_close(bench: Bench) -> None:
    class Leaves(Echo):
        def ws_message(self, message: Any) -> None:
            super().ws_message(message)
            if message == "bye":
                self.ws.close(1000, "as you wish")

    site = Site(bench, Leaves)
    client = site.client()
    quick(client)
    core = client.core
    texts = b"".join(map(core.text, ("one", "two", "bye", "unheard")))
    client.peer.send(texts + core.close(1001))  # all of it is done before the batch ends
    assert [client.next() for _ in range(3)] == ["one", "two", "bye"]
    assert client.next().reason == "as you wish"
    assert client.next() is None


def test_answers_that_are_held_leave_before_the_answer_to_a_close(bench: Bench) -> None:
    site = Site(bench)
    client = site.client()
    quick(client)
    core = client.core
    client.peer.send(core.text("one") + core.text("two") + core.close(1000, "bye"))
    assert [client.next(), client.next()] == ["one", "two"]
    assert client.next().code == 1000
    assert client.next() is None


def test_compressed_members_of_a_burst_read_the_same(bench: Bench) -> None:
    site = Site(bench)
    clients = [site.client(compressed=i % 2 == 0) for i in range(MANY)]
    assert until(lambda: sum(handler.told == ["opened"] for handler in site.handlers) == MANY)
    caster = Broadcaster()
    messages = [f"a long message that is worth it, {i} " * 20 for i in range(30)]
    for message in messages:
        assert caster.send(wires(site), message) == MANY
    for client in clients:
        assert [client.next() for _ in messages] == messages


def test_many_threads_broadcast_at_once(bench: Bench) -> None:
    site, clients = gathered(bench)
    caster = Broadcaster()

    def say(name: str) -> None:
        for i in range(200):
            caster.send(wires(site), f"{name} {i}")

    threads = [threading.Thread(target=say, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        got = [client.next() for _ in range(600)]
        for name in "abc":  # each speaker's messages in his order
            assert [m for m in got if m[0] == name] == [f"{name} {i}" for i in range(200)]
