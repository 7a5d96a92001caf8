"""Announcing threads: once each, small numbers, exact under contention."""

from __future__ import annotations

import threading

import pytest
from bus_kit import LoggedBus

from cherrypy.process.plugins import ThreadManager
from cherrypy.process.wspbus import ChannelFailures


@pytest.fixture
def bus():
    made = LoggedBus()
    made.events = []
    for channel in ("start_thread", "stop_thread"):
        made.subscribe(channel, lambda index, channel=channel: made.events.append((channel, index)))
    made.manager = ThreadManager(made)
    made.manager.subscribe()
    return made


@pytest.fixture(autouse=True)
def _end(bus):
    yield
    if bus.state is not bus.states.EXITING:
        bus.listeners["stop_thread"].clear()
        bus.exit()


def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(10)


def test_the_channels_exist():
    made = LoggedBus()
    ThreadManager(made)
    assert {"acquire_thread", "start_thread", "release_thread", "stop_thread"} <= set(
        made.listeners
    )


def test_a_thread_is_announced_once(bus):
    for _ in range(3):
        bus.publish("acquire_thread")
    assert bus.events == [("start_thread", 1)]
    assert bus.manager.threads == {threading.get_ident(): 1}


def test_release_and_the_smallest_free_index(bus):
    bus.publish("acquire_thread")
    second = threading.Event()
    third = threading.Event()
    done = threading.Event()

    def stay():
        bus.publish("acquire_thread")
        second.set()
        third.wait(5)
        bus.publish("release_thread")
        done.set()

    thread = threading.Thread(target=stay)
    thread.start()
    assert second.wait(5)
    bus.publish("release_thread")
    bus.publish("release_thread")
    bus.publish("acquire_thread")
    third.set()
    thread.join(5)
    assert done.is_set()
    assert bus.events == [
        ("start_thread", 1),
        ("start_thread", 2),
        ("stop_thread", 1),
        ("start_thread", 1),
        ("stop_thread", 2),
    ]


@pytest.mark.parametrize("how", ["graceful", "stop"])
def test_graceful_and_stop_take_leave_of_all(bus, how):
    threads = bus.manager.threads
    bus.publish("acquire_thread")
    in_thread(lambda: bus.publish("acquire_thread"))
    getattr(bus, how)()
    assert bus.events[2:] == [("stop_thread", 1), ("stop_thread", 2)]
    assert bus.manager.threads is threads == {}
    bus.publish("acquire_thread")
    assert bus.events[4:] == [("start_thread", 1)]


def test_a_failing_listener_does_not_hide_the_other_threads(bus):
    bus.publish("acquire_thread")
    in_thread(lambda: bus.publish("acquire_thread"))

    def bad(index):
        raise ValueError(index)

    bus.subscribe("stop_thread", bad, 10)
    with pytest.raises(ChannelFailures):
        bus.manager.stop()
    assert bus.events[2:] == [("stop_thread", 1), ("stop_thread", 2)]
    assert bus.manager.threads == {}


def test_many_threads_at_once_get_each_a_number(bus):
    barrier = threading.Barrier(24)

    def work():
        barrier.wait(10)
        for _ in range(50):
            bus.publish("acquire_thread")
        barrier.wait(10)
        bus.publish("release_thread")

    threads = [threading.Thread(target=work) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    started = [index for channel, index in bus.events if channel == "start_thread"]
    stopped = [index for channel, index in bus.events if channel == "stop_thread"]
    assert sorted(started) == sorted(stopped) == list(range(1, 25))
    assert bus.manager.threads == {}
