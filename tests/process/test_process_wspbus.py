"""The bus: channels, priorities, failures, states, waiting."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from bus_kit import Child, until

from cherrypy.process import wspbus
from cherrypy.process.wspbus import ChannelFailures

LIFE = ["Bus STARTING", "Bus STARTED", "Bus STOPPING", "Bus STOPPED", "Bus EXITING", "Bus EXITED"]


# ------------------------------------------------------------------ channels


def test_a_new_bus_has_the_built_in_channels():
    made = wspbus.Bus()
    assert made.listeners == {
        name: set() for name in ("start", "stop", "exit", "graceful", "log", "main")
    }
    assert made.state is made.states.STOPPED
    assert made.execv is False
    assert repr(made.states.STARTED) == "states.STARTED"
    assert made.states.STARTED.name == "STARTED"


def test_priorities_order_the_listeners_and_equals_keep_their_turn(bus):
    called = []

    def listener(name, priority=None):
        def call():
            called.append(name)
            return name

        if priority is not None:
            call.priority = priority
        return call

    bus.subscribe("x", listener("c"))
    bus.subscribe("x", listener("b", 20))
    bus.subscribe("x", listener("d", 10), 60)  # the argument wins over the attribute
    for name in "efgh":
        bus.subscribe("x", listener(name), 70)
    bus.subscribe("x", listener("a"), 0)
    assert bus.publish("x") == list("abcdefgh")
    assert called == list("abcdefgh")


def test_arguments_reach_listeners_and_unknown_channels_are_silent(bus):
    bus.subscribe("x", lambda *args, **kwargs: (args, kwargs))
    assert bus.publish("x", 1, two=2) == [((1,), {"two": 2})]
    assert bus.publish("nobody", 1) == []


def test_the_decorator_form_keeps_the_name(bus):
    @bus.subscribe("x", priority=6)
    def function():
        return 6

    @bus.subscribe("x")
    def other():
        return 50

    assert function() == 6
    assert bus.publish("x") == [6, 50]
    assert bus._priorities["x", function] == 6


def test_direct_changes_of_the_sets_are_obeyed_at_once(bus):
    def one():
        return 1

    def two():
        return 2

    two.priority = 10
    bus.subscribe("x", one)
    assert bus.publish("x") == [1]
    bus.listeners["x"].add(two)
    assert bus.publish("x") == [2, 1]
    bus.listeners["x"].remove(one)
    assert bus.publish("x") == [2]
    bus.listeners["x"] = {one}
    assert bus.publish("x") == [1]
    bus.listeners = {"x": {two}, "log": set()}
    assert bus.publish("x") == [2]
    bus.listeners["x"].clear()
    assert bus.publish("x") == []


def test_a_second_subscription_changes_the_priority(bus):
    def one():
        return 1

    def two():
        return 2

    bus.subscribe("x", one, 10)
    bus.subscribe("x", two, 20)
    assert bus.publish("x") == [1, 2]
    bus.subscribe("x", one, 30)
    assert bus.publish("x") == [2, 1]


def test_unsubscribe_forgets_and_forgives(bus):
    def one():
        return 1

    bus.subscribe("x", one)
    bus.unsubscribe("x", one)
    bus.unsubscribe("x", one)
    bus.unsubscribe("unheard", one)
    assert bus.publish("x") == []
    assert ("x", one) not in bus._priorities
    assert "unheard" not in bus.listeners


def test_subscribing_from_threads_while_publishing_loses_nothing(bus):
    bus.subscribe("x", lambda: None)
    stop = threading.Event()
    problems = []

    def hammer():
        try:
            for _ in range(200):

                def listener():
                    return None

                bus.subscribe("x", listener)
                bus.publish("x")
                bus.unsubscribe("x", listener)
        except Exception as exc:
            problems.append(exc)

    def publish():
        try:
            while not stop.is_set():
                bus.publish("x")
        except Exception as exc:
            problems.append(exc)

    publisher = threading.Thread(target=publish)
    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in (publisher, *threads):
        thread.start()
    for thread in threads:
        thread.join(20)
    stop.set()
    publisher.join(20)
    assert problems == []
    assert len(bus.listeners["x"]) == 1


# ------------------------------------------------------------------ failures


def test_failures_are_logged_and_the_others_still_run(bus):
    called = []

    def bad():
        raise ValueError("no")

    def worse():
        raise KeyError("k")

    bus.subscribe("x", bad, 10)
    bus.subscribe("x", lambda: called.append(1), 20)
    bus.subscribe("x", worse, 30)
    bus.subscribe("x", lambda: called.append(2), 40)
    with pytest.raises(ChannelFailures) as caught:
        bus.publish("x")
    assert called == [1, 2]
    assert str(caught.value) == repr(caught.value) == "ValueError('no')\nKeyError('k')"
    assert [type(one) for one in caught.value.get_instances()] == [ValueError, KeyError]
    assert bool(caught.value) is True
    assert bool(ChannelFailures()) is False
    levels = [level for level, _ in bus.lines]
    assert levels == [40, 40]
    assert bus.texts[0].startswith(f"Error in 'x' listener {bad!r}\nTraceback (most recent")
    assert bus.texts[0].rstrip().endswith("ValueError: no")


def test_a_failing_log_raises_but_is_not_logged(bus):
    def bad(msg, level):
        raise ValueError("disk full")

    bus.subscribe("log", bad)
    with pytest.raises(ChannelFailures, match="disk full"):
        bus.log("x")
    assert bus.texts == ["x"]
    # ... and does not keep the bus from moving.
    bus.start()
    bus.exit()
    assert bus.state is bus.states.EXITING
    assert bus.texts == ["x", *LIFE]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_at_once(bus, error):
    called = []

    def interrupt():
        raise error()

    bus.subscribe("x", interrupt, 10)
    bus.subscribe("x", lambda: called.append(1), 20)
    with pytest.raises(error):
        bus.publish("x")
    assert called == []


@pytest.mark.parametrize(("code", "expected"), [(0, 1), (None, 1), (3, 3), ("text", "text")])
def test_a_clean_system_exit_after_a_failure_is_not_clean(bus, code, expected):
    def bad():
        raise ValueError

    def leave():
        raise SystemExit(code)

    bus.subscribe("x", bad, 10)
    bus.subscribe("x", leave, 20)
    with pytest.raises(SystemExit) as caught:
        bus.publish("x")
    assert caught.value.code == expected


def test_log_adds_the_traceback(bus):
    bus.log("plain")
    try:
        raise ValueError("seen")
    except ValueError:
        bus.log("with", level=40, traceback=True)
    bus.log("none", traceback=True)
    assert bus.lines[0] == (20, "plain")
    assert bus.lines[1][0] == 40
    assert "ValueError: seen" in bus.texts[1]
    assert bus.texts[2] == "none\nNoneType: None\n"


# -------------------------------------------------------------------- states


def test_a_life_and_another_after_it(bus):
    seen = []
    for channel in ("start", "stop", "exit", "graceful"):
        bus.subscribe(channel, lambda channel=channel: seen.append((channel, bus.state.name)))
    for _ in range(2):
        bus.start()
        assert bus.state is bus.states.STARTED
        bus.graceful()
        bus.exit()
        assert bus.state is bus.states.EXITING
    one_life = [
        ("start", "STARTING"),
        ("graceful", "STARTED"),
        ("stop", "STOPPING"),
        ("exit", "EXITING"),
    ]
    assert seen == one_life * 2
    assert bus.texts == (LIFE[:2] + ["Bus graceful"] + LIFE[2:]) * 2


def test_exit_without_start_and_twice(bus):
    bus.exit()
    bus.exit()
    assert bus.texts == LIFE[2:] * 2
    assert bus.execv is False


def test_restart_asks_block_for_a_new_process_and_start_withdraws_it(bus):
    bus.start()
    bus.restart()
    assert bus.execv is True
    assert bus.state is bus.states.EXITING
    bus.start()
    assert bus.execv is False


def test_a_failing_start_listener_stops_everything_and_raises(bus):
    seen = []
    for channel in ("stop", "exit"):
        bus.subscribe(channel, lambda channel=channel: seen.append(channel))

    def bad():
        raise ZeroDivisionError("by design")

    bus.subscribe("start", bad)
    with pytest.raises(ChannelFailures, match="by design"):
        bus.start()
    assert seen == ["stop", "exit"]
    assert bus.state is bus.states.EXITING
    assert any(
        text.startswith("Shutting down due to error in start listener:\nTraceback")
        for text in bus.texts
    )
    bus.unsubscribe("start", bad)
    bus.start()
    assert bus.state is bus.states.STARTED


def test_an_interrupt_during_start_stops_everything_and_raises_itself(bus):
    def interrupt():
        raise KeyboardInterrupt

    bus.subscribe("start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bus.start()
    assert bus.state is bus.states.EXITING
    bus.unsubscribe("start", interrupt)


def test_exit_by_a_start_listener_raises_in_the_starter(bus):
    later = []
    bus.subscribe("start", bus.exit, 10)
    bus.subscribe("start", lambda: later.append(1), 20)
    with pytest.raises(SystemExit) as caught:
        bus.start()
    assert caught.value.code == 70
    assert later == []
    assert bus.texts == ["Bus STARTING", *LIFE[2:]]
    bus.unsubscribe("start", bus.exit)


def test_exit_by_another_thread_during_start_is_not_lost(bus):
    stops = []
    bus.subscribe("stop", lambda: stops.append(1))

    @bus.subscribe("start")
    def slow():
        thread = threading.Thread(target=bus.exit)
        thread.start()
        thread.join(10)

    bus.start()
    assert bus.state is bus.states.EXITING
    assert "Bus STARTED" not in bus.texts
    bus.block()
    assert len(stops) == 2  # once more for what was started in the meantime
    bus.listeners["start"].clear()


@pytest.mark.parametrize("channel", ["stop", "exit"])
def test_failures_while_exiting_do_not_keep_the_rest_up(bus, channel):
    seen = []

    def bad():
        raise ValueError("stuck")

    bus.subscribe(channel, bad, 10)
    for name in ("stop", "exit"):
        bus.subscribe(name, lambda name=name: seen.append(name), 90)
    bus.start()
    with pytest.raises(ChannelFailures, match="stuck"):
        bus.exit()
    assert seen == ["stop", "exit"]
    assert bus.state is bus.states.EXITING
    bus.unsubscribe(channel, bad)


def test_exit_inside_exit_returns_at_once(bus):
    bus.subscribe("stop", bus.exit)
    bus.subscribe("exit", bus.exit)
    bus.start()
    bus.exit()
    assert bus.texts == LIFE


# ------------------------------------------------------------------- waiting


def test_wait_takes_one_state_or_several(bus):
    bus.start()
    bus.wait(bus.states.STARTED)
    bus.wait([bus.states.EXITING, bus.states.STARTED])


def test_wait_wakes_at_once(bus):
    bus.start()
    woken = []

    def wait():
        bus.wait(bus.states.EXITING, interval=30)
        woken.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: bus._waiters)
    began = time.monotonic()
    bus.exit()
    thread.join(10)
    assert woken and woken[0] - began < 5
    assert bus._waiters == []


def test_wait_publishes_the_channel_every_interval(bus):
    times = []
    bus.subscribe("mine", lambda: times.append(time.monotonic()))
    bus.start()
    timer = threading.Timer(0.55, bus.exit)
    timer.start()
    bus.wait(bus.states.EXITING, interval=0.1, channel="mine")
    timer.join()
    assert 3 <= len(times) <= 6
    assert all(b - a > 0.05 for a, b in itertools.pairwise(times))


def test_start_with_callback(bus):
    called = []

    def callback(*args, **kwargs):
        called.append((args, kwargs, bus.state, threading.current_thread().name))

    thread = bus.start_with_callback(callback, (1,), {"x": 2})
    thread.join(5)
    assert called == [((1,), {"x": 2}, bus.states.STARTED, thread.name)]
    assert thread.name.startswith("Bus Callback ")
    bus.exit()
    bus.start_with_callback(callback).join(5)
    assert len(called) == 2
    assert called[1][:2] == ((), {})


def test_the_callback_is_not_called_when_the_start_fails(bus):
    called = []

    def bad():
        raise ValueError

    before = set(threading.enumerate())
    bus.subscribe("start", bad)
    with pytest.raises(ChannelFailures):
        bus.start_with_callback(called.append, (1,))
    # One daemon watches for the end of the main thread; it is nobody's callback.
    until(
        lambda: {t for t in threading.enumerate() if not t.daemon} <= before,
        what="the end of the callback's thread",
    )
    assert called == []


def test_without_block_the_end_of_the_program_stops_the_bus_with_a_warning(tmp_path):
    with Child("bus.start()\n", tmp_path) as child:
        assert child.end()[0] == 0
    assert "RuntimeWarning: The main thread is exiting, but the Bus is in the" in child.output
    assert "states.STARTED state; shutting it down automatically now." in child.output
    assert child.lines[-1] == "LOG 20 Bus EXITED"


def test_a_forked_child_leaves_the_bus_of_its_parent_alone(tmp_path):
    source = """
        bus.start()
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        os.waitpid(pid, 0)
        print('child gone', flush=True)
        bus.exit()
        """
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 0
    assert child.output.count("Bus STOPPING") == 1
    assert child.output.index("child gone") < child.output.index("Bus STOPPING")


def test_a_failing_start_listener_ends_a_program_with_an_error(tmp_path):
    source = """
        bus.subscribe('start', lambda: 1 / 0)
        bus.start()
        bus.block()
        """
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 1
    assert "LOG 20 Bus EXITED" in child.output
    assert "ZeroDivisionError" in child.lines[-1]


def test_publish_is_cheap():
    made = wspbus.Bus()
    made.subscribe("one", lambda: None)

    def cost(channel):
        best = 1.0
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(1000):
                made.publish(channel)
            best = min(best, time.perf_counter() - began)
        return best * 1000  # microseconds a call

    # Five times what they take on a quiet machine: a lost cache or a sort shows all the same.
    assert cost("nobody") < 0.5
    assert cost("one") < 1.5
