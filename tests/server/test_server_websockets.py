"""WebSockets on the server: parked without a thread, answered in order, bounded in time and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from server_kit import Bench, Peer, hello, until

from kirsch.server.endpoints import ConnectionClosed, Options
from kirsch.server.outqueue import BURDEN, OutQueue
from kirsch.server.server import Server
from kirsch.server.upgrades import upgrade
from kirsch.server.wsgi import WSGIGateway
from kirsch.wire.websocket.client import check_answer, make_key, read_answer, request_head
from kirsch.wire.websocket.deflate import Settings
from kirsch.wire.websocket.handshake import Refusal, Rules, judge
from kirsch.wire.websocket.protocol import Protocol


class Echo:
    """A handler that notes what it is told."""

    def __init__(self) -> None:
        self.ws: Any = None
        self.told: list[Any] = []
        self.threads: set[str] = set()

    def attach(self, ws: Any) -> None:
        self.ws = ws

    def ws_opened(self) -> None:
        self.told.append("opened")

    def ws_message(self, message: Any) -> None:
        self.threads.add(threading.current_thread().name)
        self.told.append(message)
        if isinstance(message, str):
            self.ws.text(message)
        else:
            self.ws.binary(message)

    def ws_ponged(self, data: bytes) -> None:
        self.told.append(("pong", data))

    def ws_closed(self, code: int, reason: str) -> None:
        self.told.append((code, reason))

    def ws_failed(self, error: BaseException) -> None:
        self.told.append(error)


class Site:
    """A server whose paths /ws... are WebSockets, and everything else WSGI."""

    def __init__(
        self, bench: Bench, make: Callable[[], Any] = Echo, options: Any = None, **settings: Any
    ) -> None:
        self.handlers: list[Any] = []
        self.make = make
        self.options = options or Options("test", pongs=True)
        settings.setdefault("shutdown_timeout", 1)
        self.server = Server(
            ("127.0.0.1", 0), hello, gateway=self.gateway, log=bench.log, **settings
        )
        self.wsgi = WSGIGateway(self.server)
        self.server.start()
        bench.stack.callback(self.server.stop)
        self.bench = bench

    def gateway(self, exchange: Any) -> Any:
        head = exchange.head
        if not head.path.startswith("/ws"):
            return self.wsgi(exchange)
        try:
            rules = Rules(compression=Settings())
            accepted = judge(head.method, head.minor, head.fields, rules)
        except Refusal as refusal:
            return f"{refusal.status} No", refusal.headers, refusal.text.encode()
        handler = self.make()
        self.handlers.append(handler)
        answer = upgrade(accepted, handler, self.options, handler.attach, [("X-More", "yes")])
        return "101 Switching Protocols", [], answer

    def client(self, behind: bytes = b"", compressed: bool = False, **options: Any) -> Client:
        peer = self.bench.peer(self.server, **options)
        return Client(peer, behind, compressed)


class Client:
    """A raw peer, and the protocol's other end."""

    def __init__(self, peer: Peer, behind: bytes = b"", compressed: bool = False) -> None:
        self.peer = peer
        self.events: list[Any] = []
        offer, key = Settings() if compressed else None, make_key()
        peer.send(request_head("/ws", "h", key, compression=offer) + behind)
        while (answer := read_answer(peer.data)) is None:
            assert peer.more()
        self.status, self.fields, size = answer
        agreement = check_answer(self.status, self.fields, key, compression=offer).agreement
        self.core = Protocol(client=True, max_message=0, agreement=agreement)
        self.take(peer.data[size:])

    def take(self, data: bytes) -> None:
        self.events += self.core.feed(data)

    def send(self, *messages: Any) -> None:
        core = self.core
        self.peer.send(
            b"".join(core.text(m) if isinstance(m, str) else core.binary(m) for m in messages)
        )

    def next(self, timeout: float = 10) -> Any:
        """The next event; None at the end of the stream."""
        self.peer.sock.settimeout(timeout)
        while not self.events:
            try:
                data = self.peer.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.take(data)
        return self.events.pop(0)

    def code(self) -> int:
        """Read to the end; the code of the server's Close frame, 1006 without."""
        while self.next() is not None:
            if self.core.ending is not None:
                self.peer.send(self.core.close(self.core.code))
                self.peer.rest()
                break
        return self.core.code


def test_echo_and_the_fields_of_the_101(bench: Bench) -> None:
    site = Site(bench)
    client = site.client()
    assert client.status == 101
    assert client.fields["x-more"] == "yes"
    for message in ("Grüße", b"\0\1", "", "x" * 300_000):
        client.send(message)
        assert client.next() == message
    client.peer.send(client.core.ping(b"there?"))
    assert client.next().data == b"there?"
    client.peer.send(client.core.pong(b"unasked"))
    client.peer.send(client.core.close(4000, "done"))
    assert client.next().code == 4000
    assert client.next() is None
    told = site.handlers[0].told
    assert until(lambda: told[-1] == (4000, "done"))
    assert told[0] == "opened"
    assert told[-2] == ("pong", b"unasked")
    counts = site.server.counters
    assert (counts["websockets"], counts["websocket_messages"]) == (1, 4)
    assert until(lambda: site.server.counters["open"] == 0)


def test_frames_right_behind_the_handshake(bench: Bench) -> None:
    """They may come in the same segment; ws4py lost its way (its issue #230)."""
    core = Protocol(client=True)
    big = core.binary(b"x" * 70_000)
    site = Site(bench)
    client = site.client(core.text("early") + core.ping(b"p") + big[:1000])
    client.peer.send(big[1000:])
    events = [client.next() for _ in range(3)]
    assert sorted(str(event)[:9] for event in events) == ["Pong(b'p'", "b'xxxxxxx", "early"]
    assert site.handlers[0].told == ["opened", "early", b"x" * 70_000]


def test_a_close_right_behind_the_handshake(bench: Bench) -> None:
    core = Protocol(client=True)
    site = Site(bench)
    client = site.client(core.text("hello") + core.close(1000, "bye"))
    told: list[Any] = site.handlers[0].told
    assert until(lambda: told == ["opened", "hello", (1000, "bye")]), told
    assert client.code() == 1000


@pytest.mark.parametrize("ending", ["close", "failure"])
def test_answers_are_not_overtaken_by_the_end(bench: Bench, ending: str) -> None:
    """What was said before a Close, or before a wrong frame, is answered before it."""

    class Slow(Echo):
        def ws_message(self, message: Any) -> None:
            time.sleep(0.02)  # and believed quick: the baton is taken from it meanwhile
            super().ws_message(message)

    site = Site(bench, Slow, linger_timeout=0.2)
    client = site.client()
    assert until(lambda: "test" in site.server.groups[0].means)
    site.server.groups[0].means["test"] = 0.0
    core = client.core
    end = core.ping() + (b"\xff\x80mask" if ending == "failure" else b"")
    frames = core.text("one") + core.text("two") + end
    client.peer.send(frames + (core.close(4000) if ending == "close" else b""))
    got = [client.next() for _ in range(4)]
    assert [event for event in got if isinstance(event, str)] == ["one", "two"]
    assert got[-1].code == (4000 if ending == "close" else 1002)
    assert until(lambda: site.server.counters["open"] == 0)


def test_a_handler_that_takes_too_long_does_not_hold_up_the_close(bench: Bench) -> None:
    go = threading.Event()

    class Stuck(Echo):
        def ws_message(self, message: Any) -> None:
            go.wait(10)

    site = Site(bench, Stuck, Options("stuck", close_timeout=0.3))
    client = site.client()
    client.send("x")
    client.peer.send(client.core.close(1000))
    try:
        assert client.next(5).code == 1000
        assert client.next(5) is None
    finally:
        go.set()
    assert until(lambda: site.handlers[0].told[-1] == (1000, ""))


@pytest.mark.parametrize("poller", ["epoll", "selectors"])
def test_every_poller(bench: Bench, poller: str) -> None:
    site = Site(bench, poller=poller, threads=2)
    clients = [site.client() for _ in range(5)]
    for round_ in range(20):
        for number, client in enumerate(clients):
            client.send(f"{round_} {number}")
        for number, client in enumerate(clients):
            assert client.next() == f"{round_} {number}"
    big = "y" * 3_000_000
    site.options.max_message = 1 << 23
    late = site.client(rcvbuf=4096)
    late.send(big)
    assert late.next() == big  # more than a socket takes at once: the poller flushes


def test_refused_handshakes_leave_an_http_connection(bench: Bench) -> None:
    site = Site(bench)
    peer = bench.peer(site.server)
    peer.send(b"GET /ws HTTP/1.1\r\nHost: h\r\n\r\n")
    status, fields, _ = peer.response()
    assert (status, fields["upgrade"]) == (426, "websocket")
    assert peer.get("/plain")[0] == 200


def test_a_thousand_idle_connections_add_no_thread(bench: Bench) -> None:
    site = Site(bench, threads=3)
    threads = threading.active_count()
    clients = [site.client() for _ in range(1000)]
    assert until(lambda: all(handler.told for handler in site.handlers))
    assert until(
        lambda: threading.active_count() <= threads + 3, 15
    )  # what the rush has added leaves
    assert site.server.counters["open"] == 1000
    for client in clients[::97]:
        client.send("x")
        assert client.next() == "x"
    assert bench.peer(site.server).get("/plain")[0] == 200


def test_messages_of_one_peer_come_one_at_a_time_and_in_order(bench: Bench) -> None:
    class Careful(Echo):
        inside = 0

        def ws_message(self, message: Any) -> None:
            self.inside += 1
            assert self.inside == 1
            if message == "100":
                time.sleep(0.05)  # slow now: the baton goes, and others read on for us
            self.told.append(message)
            self.inside -= 1

    site = Site(bench, Careful, threads=4)
    client = site.client()
    for start in range(0, 2000, 10):
        client.send(*(str(number) for number in range(start, start + 10)))
    told = site.handlers[0].told
    assert until(lambda: len(told) == 2001)
    assert told == ["opened", *map(str, range(2000))]


def test_reading_pauses_when_the_handler_lags(bench: Bench) -> None:
    go = threading.Event()

    class Slow(Echo):
        def ws_message(self, message: Any) -> None:
            assert go.wait(10)
            self.told.append(len(message))

    site = Site(bench, Slow, threads=4)
    client = site.client()
    frame = client.core.binary(b"x" * 10_000)
    client.peer.sock.settimeout(0.3)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 10_000:
            client.peer.sock.sendall(frame)
            sent += 1
    before = site.server.counters["bytes_in"]
    assert before < 2_000_000, "it read on without end"
    conn = next(iter(site.server.groups[0].conns.values()))
    waiting = conn.upgraded
    assert len(waiting._inbox) < 400
    go.set()
    assert until(lambda: len(site.handlers[0].told) > sent)  # and goes on when it does not


def test_a_handler_waits_for_its_own_peer_and_for_nobody_else(bench: Bench) -> None:
    """Sending more than max_output in the handler's own thread is slowed down, not dropped."""

    class Fountain(Echo):
        def ws_message(self, message: Any) -> None:
            for _ in range(200):
                self.ws.binary(b"z" * 100_000)

    site = Site(bench, Fountain, Options("fountain", max_output=300_000), threads=3)
    client = site.client(rcvbuf=4096)
    client.send("go")
    other = bench.peer(site.server)
    assert until(lambda: site.handlers[0].ws._room is not None)  # it waits
    assert other.get("/plain")[0] == 200
    assert site.handlers[0].ws._out.weight < 500_000
    for _ in range(200):
        assert client.next() == b"z" * 100_000
    assert site.server.counters["websocket_slow_peers"] == 0


def test_a_peer_that_does_not_read_is_dropped_at_the_limit(bench: Bench) -> None:
    site = Site(bench, options=Options("limit", max_output=200_000))
    client = site.client(rcvbuf=4096)
    handler = site.handlers[0]
    assert until(lambda: handler.told)
    start = time.monotonic()
    with pytest.raises(ConnectionClosed):
        for _ in range(10_000):
            handler.ws.binary(b"x" * 20_000)
    assert time.monotonic() - start < 5
    assert until(lambda: handler.told[-1] == (1006, ""))
    assert site.server.counters["websocket_slow_peers"] == 1
    client.peer.rest()


def test_a_peer_that_does_not_read_is_dropped_at_the_deadline(bench: Bench) -> None:
    site = Site(bench, write_timeout=0.5, write_min_rate=1 << 30)
    client = site.client(rcvbuf=4096)
    handler = site.handlers[0]
    assert until(lambda: handler.told)
    for _ in range(5):
        handler.ws.binary(b"x" * 3_000_000 if _ == 0 else b"x")
    assert until(lambda: handler.told[-1] == (1006, ""))
    assert site.server.counters["websocket_slow_peers"] == 1
    assert client


def test_eight_threads_send_and_no_frame_is_torn(bench: Bench) -> None:
    site = Site(bench, options=Options("many", max_output=1 << 27))
    for compressed in (False, True):
        client = site.client(rcvbuf=8192, compressed=compressed)
        handler = site.handlers[-1]
        assert until(lambda h=handler: h.told)

        def say(mark: str, ws: Any = handler.ws) -> None:
            for number in range(60):
                ws.text(f"{mark}{number} " + mark * 4000)

        threads = [threading.Thread(target=say, args=(mark,)) for mark in "abcdefgh"]
        for thread in threads:
            thread.start()
        counts = dict.fromkeys("abcdefgh", 0)
        for _ in range(480):
            message = client.next()
            mark = message[0]
            assert message == f"{mark}{counts[mark]} " + mark * 4000
            counts[mark] += 1
        for thread in threads:
            thread.join()


def test_an_exception_closes_with_1011(bench: Bench) -> None:
    class Fails(Echo):
        def ws_message(self, message: Any) -> None:
            raise RuntimeError("on purpose")

    site = Site(bench, Fails)
    for _ in range(3):
        client = site.client()
        client.send("x", "y")
        assert client.code() == 1011
    assert until(lambda: all(len(h.told) == 3 for h in site.handlers))
    assert [str(told) for told in site.handlers[0].told] == ["opened", "on purpose", "(1011, '')"]
    assert bench.peer(site.server).get("/plain")[0] == 200


def test_an_exception_in_what_is_told_of_the_exception(bench: Bench) -> None:
    class Worse(Echo):
        def ws_message(self, message: Any) -> None:
            raise RuntimeError("on purpose")

        ws_failed = ws_closed = ws_message

    site = Site(bench, Worse)
    client = site.client()
    client.send("x")
    assert client.core.ending is None
    code = client.code()
    assert code == 1011
    assert until(lambda: site.server.counters["open"] == 0)


def test_too_large_a_message_can_read_why(bench: Bench) -> None:
    site = Site(bench, options=Options("small", max_message=1000))
    client = site.client()
    client.peer.send(b"\x82\xfe\x03\xe9mask" + b"x" * 200)  # 1001 bytes are announced
    assert client.code() == 1009


def test_pings_and_the_deadline_of_their_answer(bench: Bench) -> None:
    site = Site(bench, options=Options("beat", ping_interval=0.2, ping_timeout=0.3))
    client = site.client()
    assert type(client.next()).__name__ == "Ping"
    start = time.monotonic()
    assert client.next().code == 1011
    assert 0.2 < time.monotonic() - start < 3
    assert site.server.counters["websocket_unanswered_pings"] == 1
    # Who has something to say is alive, and is not asked.
    busy = site.client()
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        busy.send("x")
        assert busy.next() == "x"
        time.sleep(0.02)


def test_our_close_is_waited_for_and_no_longer(bench: Bench) -> None:
    site = Site(bench, options=Options("close", close_timeout=0.3))
    client = site.client()
    handler = site.handlers[0]
    assert until(lambda: handler.told)
    handler.ws.close(4001, "enough")
    with pytest.raises(ConnectionClosed):
        handler.ws.text("too late")
    assert client.next().code == 4001  # and does not answer
    assert until(lambda: handler.told[-1] == (1006, ""))
    assert not handler.ws.deliver("x", b"\x81\x01x")


def test_stop_says_1001_and_is_bounded(bench: Bench) -> None:
    site = Site(bench, threads=3, shutdown_timeout=1)
    clients = [site.client() for _ in range(20)]
    assert until(lambda: all(handler.told for handler in site.handlers))
    codes: list[int] = []

    def follow(client: Client) -> None:
        event = client.next()
        client.peer.send(client.core.answer(event))
        codes.append(event.code)

    threads = [threading.Thread(target=follow, args=(client,)) for client in clients[:19]]
    for thread in threads:
        thread.start()
    start = time.monotonic()
    site.server.stop()  # one of them does not answer
    assert time.monotonic() - start < 4
    for thread in threads:
        thread.join(5)
    assert codes == [1001] * 19
    assert until(lambda: all(handler.told[-1] != "opened" for handler in site.handlers))
    ends = sorted(handler.told[-1][0] for handler in site.handlers)
    assert ends == [1001] * 19 + [1006]


def test_a_handler_may_stop_the_server(bench: Bench) -> None:
    class Stops(Echo):
        def ws_message(self, message: Any) -> None:
            site.server.stop()

    site = Site(bench, Stops, threads=3, shutdown_timeout=2)
    client = site.client()
    client.send("stop")
    assert client.next().code == 1001
    client.peer.send(client.core.close(1001))
    assert until(lambda: not site.server.ready)
    assert client.next() is None


def test_blocking_handlers_take_a_thread_each_and_give_it_back(bench: Bench) -> None:
    class Talks(Echo):
        def ws_opened(self) -> None:
            try:
                while True:
                    message = self.ws.recv()
                    self.ws.text(message.upper())
            except ConnectionClosed as closed:
                self.told.append(closed.code)

    site = Site(bench, Talks, Options("talk", blocking=True), threads=2, threads_max=20)
    clients = [site.client() for _ in range(10)]
    for client in clients:
        client.send("hello")
        assert client.next() == "HELLO"
    assert bench.peer(site.server).get("/plain")[0] == 200
    for client in clients:
        client.peer.close()
    assert until(lambda: all(handler.told[-1:] == [(1006, "")] for handler in site.handlers))
    assert site.handlers[0].told == [1006, (1006, "")]


def test_a_blocking_handler_gets_what_came_with_the_handshake(bench: Bench) -> None:
    class Talks(Echo):
        def ws_opened(self) -> None:
            self.told.append(self.ws.recv())
            try:
                self.ws.recv()
            except ConnectionClosed as closed:
                self.told.append(closed.code)

    core = Protocol(client=True)
    site = Site(bench, Talks, Options("talk", blocking=True), threads=2)
    client = site.client(core.text("early") + core.close(4000))
    assert client.code() == 4000
    assert until(lambda: site.handlers[0].told == ["early", 4000, (4000, "")])
    assert until(lambda: site.server.counters["open"] == 0)


def test_a_blocked_handler_is_woken_by_the_stop(bench: Bench) -> None:
    ends: list[Any] = []

    class Waits(Echo):
        def ws_opened(self) -> None:
            try:
                self.ws.recv()
            except ConnectionClosed as closed:
                ends.append(closed.code)

    site = Site(bench, Waits, Options("wait", blocking=True), threads=2, shutdown_timeout=0.5)
    client = site.client()  # does not answer the 1001
    assert client.status == 101
    assert until(lambda: site.handlers)
    site.server.stop()
    assert until(lambda: ends) == [1006]


def test_all_workers_busy_and_no_more_allowed(bench: Bench) -> None:
    """Messages wait for a worker then, while somebody still reads and answers pings."""
    go = threading.Event()

    class Busy(Echo):
        def ws_message(self, message: Any) -> None:
            if message == "wait":
                assert go.wait(10)
            super().ws_message(message)

    site = Site(bench, Busy, threads=2, threads_max=2)
    clients = [site.client() for _ in range(6)]
    assert until(lambda: all(handler.told for handler in site.handlers))
    for client in clients:
        client.send("wait")
    last = clients[-1]

    def answered() -> bool:
        last.peer.send(last.core.ping(b"?"))
        return type(last.next(5)).__name__ == "Pong"

    assert answered()
    go.set()
    for client in clients:
        assert client.next() == "wait"


def test_a_broken_peer_costs_only_itself(bench: Bench) -> None:
    site = Site(bench, threads=3)
    stays = site.client()
    for _ in range(50):
        client = site.client()
        client.send("x")
        client.peer.reset()
    stays.send("still")
    assert stays.next() == "still"
    assert until(lambda: site.server.counters["open"] == 1)
    assert until(lambda: sum(h.told[-1:] == [(1006, "")] for h in site.handlers) == 50)


class Taker:
    """A socket that takes a few bytes at a time."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.got = b""
        self.calls = 0

    def send(self, data: Any) -> int:
        self.calls += 1
        if not self.room:
            raise BlockingIOError
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.got += taken
        return len(taken)


def test_the_queue_joins_small_frames_and_weighs_them() -> None:
    queue = OutQueue(memoryview(b"rest"))
    for number in range(1000):
        queue.add(b"%03d" % number)
    assert queue.weight == 3004 + 1001 * BURDEN
    taker: Any = Taker(1000)
    assert not queue.flush(taker)
    assert queue.size == 2004
    taker.room = 1 << 20
    assert queue.flush(taker)
    assert taker.got == b"rest" + b"".join(b"%03d" % number for number in range(1000))
    assert taker.calls <= 3
    assert (queue.size, queue.weight) == (0, 0)


def test_numbers_of_closed_sockets_are_not_mixed_up(bench: Bench) -> None:
    """A descriptor that is closed and given to the next peer belongs to nobody's old WebSocket."""
    site = Site(bench, threads=3)
    stop = threading.Event()
    faults: list[Any] = []

    def shout() -> None:
        while not stop.is_set():
            for handler in list(site.handlers):
                try:
                    handler.ws.text("news")
                except ConnectionClosed:
                    pass
                except Exception as error:
                    faults.append(error)

    shouting = threading.Thread(target=shout)
    shouting.start()
    try:
        for _ in range(150):
            client = site.client()
            client.peer.reset()
            del site.handlers[:-3]
            peer = bench.peer(site.server)
            assert peer.get("/plain")[2] == b"hello"  # and not one byte of a frame
            peer.close()
    finally:
        stop.set()
        shouting.join()
    assert faults == []
