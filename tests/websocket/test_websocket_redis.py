"""Broadcasts between processes through a real Redis that is killed, frozen and lied to."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_kit import Process, RedisServer
from websocket_site import until

from cherrypy.process.wspbus import Bus
from cherrypy.websocket import Relay, Room
from cherrypy.websocket.envelopes import unpack

pytest.importorskip("redis")

Start = Callable[..., Process]


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def start(redis_server: RedisServer, tmp_path: Path) -> Iterator[Start]:
    """Return what starts one more process; it is connected when this returns."""
    processes: list[Process] = []

    def start(url: str | None = None, connected: bool = True, **settings: Any) -> Process:
        name = f"process{len(processes)}"
        one = Process(url or redis_server.url, tmp_path, name, **settings)
        processes.append(one)
        assert not connected or until(one.carried), one.log()
        return one

    yield start
    for one in processes:
        one.close()


def test_a_shared_room_reaches_all_processes_once(start: Start) -> None:
    first, second, third = start(), start(), start()
    ann, bob, cem = first.connect("/room"), second.connect("/room"), third.connect("/room")
    near = first.connect("/room")
    messages: list[str | bytes] = ["Grüße 🌻", b"\0\xff\n{}\n", "", '{"room": "other"}\nx', "end"]
    for message in messages:
        ann.send(message)
    for client in (near, bob, cem):
        assert [client.recv() for _ in messages] == messages
    # Not to who said it, neither directly nor by way of Redis, and to nobody twice.
    bob.send("last")
    for client in (ann, near, cem):
        assert client.recv() == "last"


def test_a_room_that_is_not_shared_stays_in_its_process(start: Start) -> None:
    first, second = start(), start()
    here, there = first.connect("/alone"), second.connect("/alone")
    namesake = second.connect("/room")  # of the shared room of the same name
    assert first.ask("quiet", text="psst") == "1"
    assert here.recv() == "psst"
    assert second.ask("quiet", text="only here") == "1"
    assert there.recv() == "only here"
    first.ask("say", text="shared")
    assert namesake.recv() == "shared 0"


def test_what_is_broadcast_on_the_bus_reaches_everybody(start: Start) -> None:
    first, second = start(), start()
    ann, bob = first.connect("/anybody"), second.connect("/anybody")
    member = second.connect("/room")  # is somebody, too
    ann.send("to all")
    ann.send(b"\xff")
    for client in (ann, bob, member):
        assert [client.recv(), client.recv()] == ["to all", b"\xff"]
    bob.send("once")
    assert [ann.recv(), bob.recv(), member.recv()] == ["once"] * 3


def test_messages_of_a_process_come_in_their_order(start: Start) -> None:
    first, second = start(), start()
    listener = second.connect("/room")
    other = first.connect("/room")
    count = 2000
    sayers = [
        threading.Thread(target=process.ask, args=("say",), kwargs={"text": text, "times": count})
        for process, text in ((first, "a"), (second, "b"))
    ]
    for thread in sayers:
        thread.start()
    for client in (listener, other):
        got = [str(client.recv()).split() for _ in range(2 * count)]
        for text in "ab":
            assert [int(number) for who, number in got if who == text] == list(range(count))
    for thread in sayers:
        thread.join(10)


def test_applications_that_share_a_redis_take_different_channels(start: Start) -> None:
    one, other = start(), start(redis_channel="other")
    here, there = one.connect("/room"), other.connect("/room")
    one.ask("say", text="one")
    other.ask("say", text="other")
    assert (here.recv(), there.recv()) == ("one 0", "other 0")
    third = start(redis_channel="other")
    third.ask("say", text="third")
    assert there.recv() == "third 0"
    with pytest.raises(TimeoutError):
        here.recv(0.2)


def test_a_redis_that_goes_away_and_comes_back(start: Start, redis_server: RedisServer) -> None:
    first, second = start(), start()
    here, there = first.connect("/room"), second.connect("/room")
    redis_server.kill()
    assert until(lambda: not first.carried() and not second.carried(), 10)
    first.ask("say", text="gone")
    assert here.recv() == "gone 0"  # this process needs no Redis
    assert second.ask("threads") == "2"
    assert first.ask("threads") == "2"
    time.sleep(0.5)  # several attempts fail meanwhile: each would be a log line
    redis_server.start()
    assert until(lambda: first.carried() and second.carried(), 15)
    assert until(lambda: redis_server.subscribers() == 2)
    second.ask("say", text="back")
    first.ask("say", text="and back")
    assert {here.recv(), here.recv()} == {"back 0", "and back 0"}
    assert [there.recv() for _ in range(3)].count("gone 0") == 1
    log = first.log()
    assert log.count("does not serve WebSocket broadcasts") == 1
    assert len(re.findall("serves WebSocket broadcasts:", log)) == 1
    assert len(re.findall("serves WebSocket broadcasts again", log)) == 1
    assert first.ask("threads") == "2"


def test_what_was_sent_while_redis_was_away_waits_for_it(
    start: Start, redis_server: RedisServer
) -> None:
    first = start()
    redis_server.kill()
    assert until(lambda: not first.carried(), 10)
    for number in range(3):
        first.ask("say", text=str(number))
    other = RedisServer()
    try:
        with other.client() as client, client.pubsub() as pubsub:
            pubsub.subscribe("cherrypy.websocket")
            assert pubsub.get_message(timeout=5)["type"] == "subscribe"
            os.replace(other.path, redis_server.path)  # it is there now, with somebody who listens
            got = [until(lambda: pubsub.get_message(timeout=0.1), 10) for _ in range(3)]
        texts = [message["data"].partition(b"\n")[2] for message in got]
        assert texts == [b"0 0", b"1 0", b"2 0"]
    finally:
        other.close()
    assert "did not reach" not in first.log()


def test_a_short_absence_of_redis_loses_nothing(start: Start, redis_server: RedisServer) -> None:
    first, second = start(), start()
    there = second.connect("/room")
    redis_server.kill()
    assert until(lambda: not first.carried() and not second.carried(), 10)
    for number in range(3):
        first.ask("say", text=str(number))
    # The second process comes back later than the first.
    second.process.send_signal(signal.SIGSTOP)
    try:
        redis_server.start()
        assert until(first.carried, 15)
    finally:
        second.process.send_signal(signal.SIGCONT)
    assert [there.recv(15) for _ in range(3)] == ["0 0", "1 0", "2 0"]


def test_a_process_that_starts_before_its_redis(start: Start, redis_server: RedisServer) -> None:
    redis_server.kill()
    first, second = start(connected=False), start(connected=False)
    here, there = first.connect("/room"), second.connect("/room")
    first.ask("say", text="alone")
    assert here.recv() == "alone 0"
    assert until(lambda: "does not serve WebSocket broadcasts" in first.log())
    redis_server.start()
    assert until(lambda: first.carried() and second.carried(), 15)
    second.ask("say", text="together")
    assert here.recv() == "together 0"
    assert there.recv() in ("alone 0", "together 0")


def test_a_redis_that_hangs_holds_nobody_up(start: Start, redis_server: RedisServer) -> None:
    first = start(redis_timeout=1.0, redis_max_queue=1 << 20)
    second = start(redis_timeout=1.0)
    here = first.connect("/room")
    there = second.connect("/room")
    redis_server.freeze()
    try:
        memory = resident(first.process.pid)
        for _ in range(20):  # 200 MB in all, of which no more than one may wait
            sent, took = first.ask("say", text="x", times=100, size=100_000).split()
            assert (sent, float(took) < 2) == ("1", True)
            for number in range(100):
                assert str(here.recv()).startswith(f"x {number}x")
        assert resident(first.process.pid) - memory < 40 << 20
        assert until(lambda: not first.carried(), 10)
        assert first.ask("threads") == "2"
    finally:
        redis_server.thaw()
    assert until(lambda: first.carried() and second.carried(), 20)
    first.ask("say", text="at last")
    assert until(lambda: str(there.recv(10)).startswith("at last"), 20)
    assert first.log().count("does not serve WebSocket broadcasts") == 1
    assert "broadcasts that did not reach the other processes: " in first.log()


def test_a_stop_is_quick_whatever_redis_does(start: Start, redis_server: RedisServer) -> None:
    first, second, third = start(), start(), start()
    watcher = third.connect("/room")
    first.ask("say", text="goodbye", times=500)
    assert first.stop() < 4
    assert [watcher.recv() for _ in range(500)] == [f"goodbye {number}" for number in range(500)]
    redis_server.freeze()
    try:
        second.ask("say", text="into the void")
        assert second.stop() < 6
    finally:
        redis_server.thaw()
    redis_server.kill()
    assert until(lambda: not third.carried(), 10)
    assert third.stop() < 4


def test_what_waits_when_a_process_stops_goes_out(start: Start, redis_server: RedisServer) -> None:
    first, second = start(), start()
    there = second.connect("/room")
    redis_server.freeze()
    try:
        for number in range(10):
            first.ask("say", text=str(number))
        assert first.process.stdin is not None
        first.process.stdin.close()
        assert until(lambda: "Bus STOPPING" in first.log())
    finally:
        redis_server.thaw()
    assert [there.recv() for _ in range(10)] == [f"{number} 0" for number in range(10)]
    assert first.process.wait(20) == 0


def test_stop_and_start_leave_no_thread(start: Start) -> None:
    first, second = start(), start()
    there = second.connect("/room")
    began = time.monotonic()
    for _ in range(5):
        assert first.ask("again") == "0 2"
        assert until(first.carried)
    assert time.monotonic() - began < 2.5  # the listener is woken, and not waited for
    assert until(first.carried)
    first.ask("say", text="still")
    assert there.recv() == "still 0"


def test_a_process_that_is_killed(start: Start, redis_server: RedisServer) -> None:
    first, second, third = start(), start(), start()
    there = third.connect("/room")
    first.process.kill()
    first.process.wait(10)
    assert until(lambda: redis_server.subscribers() == 2)
    second.ask("say", text="on we go")
    assert there.recv() == "on we go 0"
    assert "WebSocket broadcast" not in third.log().partition("serves WebSocket broadcasts:")[2]


BAD = [
    b"",
    b"hello",
    b"hello\nworld",
    b"[]\nx",
    b'{"room": 3}\nx',
    b'{"room": "lobby", "binary": 1}\nx',
    b'{"room": "lobby", "from": null}\nx',
    b'{"room": "lobby"}\n\xff',
    b"{" * 100_000 + b"\n",
    b"[" * 4000 + b"\n",
    b'{"room": "lobby"}\n' + b"x" * 1001,
    b'{"room": "' + b"r" * 5000 + b'"}\nx',
]


def test_what_strangers_publish(start: Start, redis_server: RedisServer) -> None:
    first = start(redis_max_message=1000)
    member, anybody = first.connect("/room"), first.connect("/anybody")
    with redis_server.client() as stranger:
        for raw in BAD:
            stranger.publish("cherrypy.websocket", raw)
        stranger.publish("cherrypy.websocket", b'{"room": "nobody is here"}\nx')
        stranger.publish("cherrypy.websocket", b'{"room": "lobby", "more": 1}\nfrom a shell')
        stranger.publish("cherrypy.websocket", b'{"room": "lobby", "binary": true}\n\xff')
        stranger.publish("cherrypy.websocket", b"{}\nto all")
    assert [member.recv() for _ in range(3)] == ["from a shell", b"\xff", "to all"]
    assert anybody.recv() == "to all"
    log = first.log()
    assert log.count("is no WebSocket broadcast and was skipped") == 1  # it would else fill the log
    assert "Traceback" not in log


def test_too_large_a_message_is_refused_to_who_sends_it(start: Start) -> None:
    first, second = start(redis_max_message=1000), start()
    ann, near, there = first.connect("/room"), first.connect("/room"), second.connect("/room")
    ann.send("x" * 1000)
    assert near.recv() == there.recv() == "x" * 1000
    ann.send("ö" * 501)  # 1002 bytes
    assert ann.wait_closed() == 1011
    assert "engine.websocket.redis_max_message" in first.log()
    assert until(lambda: second.ask("say", text="x"))
    assert near.recv() == "x 0"  # the large one has reached nobody


def test_a_password_is_used_and_not_shown(start: Start, redis_server: RedisServer) -> None:
    with redis_server.client() as admin:
        admin.config_set("requirepass", "se cret")
    right = f"unix://:se%20cret@{redis_server.path}"
    first = start(right)
    second = start(connected=False)
    assert until(lambda: "does not serve WebSocket broadcasts" in second.log())
    assert re.search(r"does not serve WebSocket broadcasts \(.*uthentication", second.log())
    third = start(right)
    there = third.connect("/room")
    first.ask("say", text="x")
    assert there.recv() == "x 0"
    assert "cret" not in first.log() + third.log()


def test_a_redis_that_lets_nobody_publish(start: Start, redis_server: RedisServer) -> None:
    with redis_server.client() as admin:
        admin.execute_command("ACL SETUSER mute on >secret ~* &* +@all -publish")
        first = start(f"unix://mute:secret@{redis_server.path}")
        second = start()
        here, there = first.connect("/room"), second.connect("/room")
        for number in range(5):
            first.ask("say", text=str(number))
            assert here.recv() == f"{number} 0"
            assert until(lambda: not first.carried())
            time.sleep(0.1)  # so that it is tried each time
        second.ask("say", text="heard")
        assert here.recv() == there.recv() == "heard 0"
        assert first.log().count("does not serve WebSocket broadcasts") == 1
        assert first.log().count("serves WebSocket broadcasts again") == 0
        admin.execute_command("ACL SETUSER mute +publish")

    def goes_through() -> bool:
        first.ask("say", text="at last")
        return first.carried()

    assert until(goes_through, 10)
    assert until(lambda: there.recv() == "at last 0")  # behind what has waited
    assert first.log().count("serves WebSocket broadcasts again") == 1


def test_connections_that_redis_ends(start: Start, redis_server: RedisServer) -> None:
    """As it does with who does not keep up, or by a rule of its own."""
    first, second = start(), start()
    here, there = first.connect("/room"), second.connect("/room")
    with redis_server.client() as admin:
        for kind in ("pubsub", "normal"):
            admin.execute_command(f"CLIENT KILL TYPE {kind} SKIPME yes")
            assert until(lambda: first.carried() and second.carried(), 10)
            assert until(lambda: redis_server.subscribers() == 2, 10)
            first.ask("say", text=kind)
            assert here.recv() == there.recv() == f"{kind} 0"
    assert "Traceback" not in first.log() + second.log()


def test_a_redis_on_tcp(start: Start) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = RedisServer("--port", str(port), "--bind", "127.0.0.1")
    try:
        url = f"redis://127.0.0.1:{port}/0"
        first, second = start(url), start(url)
        there = second.connect("/room")
        first.ask("say", text="over TCP")
        assert there.recv() == "over TCP 0"
        assert f"Redis (redis://127.0.0.1:{port}/0) serves" in first.log()
    finally:
        server.close()


def test_wrong_settings_are_told_at_the_start() -> None:
    relay = Relay(Bus())
    relay.redis = "http://localhost"
    with pytest.raises(ValueError, match="scheme"):
        relay.start()
    relay.redis = "unix:///nowhere?decode_responses=True"
    with pytest.raises(ValueError, match="decode_responses"):
        relay.start()
    relay.redis = None
    relay.start()
    assert not relay.connected
    relay.stop()


def test_a_client_of_the_programs_own(redis_server: RedisServer) -> None:
    relay = Relay(Bus())
    with redis_server.client() as client, client.pubsub() as pubsub:
        pubsub.subscribe("cherrypy.websocket")
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"
        relay.redis = client
        relay.start()
        try:
            assert until(lambda: relay.connected)
            Room("any", shared=True).send(b"\xff")
            message = until(lambda: pubsub.get_message(timeout=0.1))
            assert unpack(message["data"], 1)[:2] == ("any", b"\xff")
        finally:
            relay.stop()
        assert client.ping()  # it is not ours to close
    assert Room("any", shared=True).send("nobody carries it") == 0


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024
