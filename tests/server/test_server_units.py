"""The parts that need no socket: settings, counters, deadlines."""

import re
import threading

import pytest

from docs_kit import page, samples
from kirsch import Server
from kirsch.server.counters import ACCEPTED, R4XX, RESPONSES, Counters
from kirsch.server.deadlines import GRAIN, NEVER, Wheel
from kirsch.server.limits import TABLE, Settings, table_markdown


def test_settings():
    settings = Settings(threads="4", socket_mode="660", nodelay="no")
    assert (settings.threads, settings.socket_mode, settings.nodelay) == (4, 0o660, False)
    assert settings.pool_max == 256
    assert Settings(threads=5, threads_max=3).pool_max == 5
    assert Settings(threads_max=-1).pool_max == 256
    with pytest.raises(TypeError, match="nonsense"):
        Settings(nonsense=1)
    for bad in ({"threads": 0}, {"head_timeout": -1}, {"protocol": "HTTP/2"}, {"poller": "x"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Settings(**bad)
    with pytest.raises(ValueError):
        Settings(server_name="a\r\nb")


def test_docs_show_the_table():
    text = page("server")
    assert table_markdown() in text
    assert all(row.sentence.endswith(".") for row in TABLE)


def test_docs_name_every_counter():
    table = page("server").partition("| counter | counts |")[2].partition("\n\n")[0]
    named = [
        name
        for line in table.strip().splitlines()
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    server = Server("127.0.0.1:0", lambda environ, start_response: [])
    assert sorted(named) == sorted(server.counters)


def test_docs_sample_runs():
    for sample in samples("server"):
        exec(compile(sample, "docs/server.md", "exec"), {})


def test_counters():
    counters = Counters()

    def work(retire):
        shard = counters.shard()
        for _ in range(1000):
            shard[RESPONSES] += 1
        shard[ACCEPTED] += 1
        shard[R4XX] += 10
        if retire:
            counters.retire(shard)

    for retire in (True, False):
        threads = [threading.Thread(target=work, args=(retire,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    counts = counters.snapshot()
    assert counts["responses"] == 8000 and counts["responses_4xx"] == 80
    assert counts["responses_2xx"] == 7920 and counts["open"] == 8
    assert len(counters.shards) == 4


class Timed:
    deadline = NEVER
    due = None


def test_wheel():
    wheel = Wheel()
    one, two = Timed(), Timed()
    wheel.set(one, 10.0)
    wheel.set(two, 20.0)
    assert 10 <= wheel.next() <= 10 + GRAIN and len(wheel) == 2
    one.deadline = 30.0  # a plain store: the entry is looked at when due, and moved
    assert wheel.expired(11.0) == []
    assert wheel.expired(21.0) == [two] and two.due is None
    wheel.set(one, 25.0)  # sooner: it moves at once
    assert wheel.expired(26.0) == [one]
    wheel.set(one, 40.0)
    wheel.set(one, NEVER)
    assert wheel.expired(50.0) == [] and one.due is None and len(wheel) == 0
    wheel.set(two, 60.0)
    wheel.drop(two)
    assert wheel.expired(100.0) == [] and wheel.next() == NEVER


def test_wheel_is_never_early():
    wheel = Wheel()
    for number in range(200):
        conn = Timed()
        deadline = 100 + number * 0.013
        wheel.set(conn, deadline)
        now = 100.0
        while conn not in wheel.expired(now):
            now += 0.01
            assert now < deadline + 2 * GRAIN
        assert now >= deadline


def test_patience_is_earned_with_bytes_but_never_saved_up() -> None:
    from kirsch.server.deadlines import patience

    assert patience(30, 10, 0, 30, 240) == 20
    assert patience(20, 0, 240, 30, 240) == 21
    # Half a gigabyte at once does not buy weeks.
    assert patience(20, 0, 1 << 29, 30, 240) == 30
    # A byte a second at a rate of 240: the first timeout is all there is.
    left, seconds = 30.0, 0
    while left > 0:
        left = patience(left, 1, 1, 30, 240)
        seconds += 1
    assert seconds == 31
