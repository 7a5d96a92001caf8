"""Signals as channels: in this process for the table, in children for the endings."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from bus_kit import Child, LoggedBus

from cherrypy.process.plugins import SignalHandler

SERVE = """
handler = plugins.SignalHandler(bus)
handler.subscribe()
bus.start()
bus.block()
print('END', flush=True)
"""


@pytest.fixture
def handler():
    before = {number: signal.getsignal(number) for number in (1, 10, 12, 15)}
    made = SignalHandler(LoggedBus())
    yield made
    made.unsubscribe()
    assert {number: signal.getsignal(number) for number in before} == before


def raise_signal(signum, condition, seconds=5):
    os.kill(os.getpid(), signum)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_table(handler):
    assert set(handler.handlers) == {"SIGTERM", "SIGHUP", "SIGUSR1"}
    assert handler.handlers["SIGTERM"] == handler.bus.exit
    assert handler.handlers["SIGUSR1"] == handler.bus.graceful
    assert handler.signals[signal.SIGTERM] == "SIGTERM"
    assert handler.signals[9] == "SIGKILL"
    assert not any(name.startswith("SIG_") for name in handler.signals.values())


def test_subscribe_and_unsubscribe_leave_no_trace(handler):
    bus = handler.bus
    handler.subscribe()
    assert signal.getsignal(signal.SIGTERM) == handler._handle_signal
    assert bus.texts == [f"Listening for {name}." for name in ("SIGTERM", "SIGHUP", "SIGUSR1")]
    handler.subscribe()  # again: the previous handlers are still those of before
    handler.unsubscribe()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert bus.texts[-1] == f"Restoring SIGUSR1 handler {signal.SIG_DFL!r}."
    assert bus.listeners["SIGTERM"] == set()


def test_a_signal_is_published_under_its_name(handler):
    seen = []
    handler.set_handler("SIGUSR2", lambda: seen.append("name"))
    handler.set_handler(signal.SIGUSR2, lambda: seen.append("number"))
    raise_signal(signal.SIGUSR2, lambda: len(seen) == 2)
    assert "Caught signal SIGUSR2." in handler.bus.texts


@pytest.mark.parametrize("wrong", ["NOSUCH", "getsignal", "SIGNOPE", 999])
def test_unknown_signals_are_refused(handler, wrong):
    with pytest.raises(ValueError, match="No such signal: "):
        handler.set_handler(wrong)


def test_signals_that_cannot_be_caught_are_refused(handler):
    with pytest.raises(OSError):
        handler.set_handler("SIGKILL", lambda: None)


def test_the_table_may_be_changed(handler):
    seen = []
    handler.handlers["SIGUSR1"] = None
    handler.handlers["SIGHUP"] = lambda: seen.append("hup")
    handler.handlers["SIGNOTHERE"] = lambda: None  # other systems have other signals
    del handler.handlers["SIGTERM"]
    handler.subscribe()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    raise_signal(signal.SIGHUP, lambda: seen)
    raise_signal(signal.SIGUSR1, lambda: "Caught signal SIGUSR1." in handler.bus.texts)
    assert "Bus graceful" not in handler.bus.texts


def test_a_foreign_handler_is_put_back(handler):
    def mine(signum, frame):
        raise AssertionError("not called")

    before = signal.signal(signal.SIGUSR2, mine)
    try:
        handler.set_handler("SIGUSR2", lambda: None)
        handler.unsubscribe()
        assert signal.getsignal(signal.SIGUSR2) is mine
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_another_thread_gets_a_line_in_the_log(handler):
    problems = []

    def subscribe():
        try:
            handler.subscribe()
            handler.set_handler("SIGUSR2", lambda: None)
        except BaseException as exc:
            problems.append(exc)

    thread = threading.Thread(target=subscribe, name="embedder")
    thread.start()
    thread.join(5)
    assert problems == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert handler.bus.lines == [
        (
            30,
            f"Not listening for {what}: handlers can be installed only in the main thread, and "
            "this is 'embedder'.",
        )
        for what in ("signals", "SIGUSR2")
    ]


def test_a_failing_graceful_is_logged_and_survived(handler):
    bus = handler.bus
    bus.subscribe("graceful", lambda: 1 / 0)
    handler.subscribe()
    bus.start()
    raise_signal(signal.SIGUSR1, lambda: any("Error in 'SIGUSR1'" in text for text in bus.texts))
    assert bus.state is bus.states.STARTED
    bus.exit()


@pytest.mark.parametrize(
    ("daemon", "text", "execv"),
    [(True, "while daemonized. Restarting.", True), (False, "but not daemonized. Exiting.", False)],
)
def test_hangup(handler, daemon, text, execv):
    handler._is_daemonized = lambda: daemon
    handler.handle_SIGHUP()
    assert handler.bus.texts[0] == f"SIGHUP caught {text}"
    assert handler.bus.execv is execv
    assert handler.bus.state is handler.bus.states.EXITING


def test_a_fork_without_a_terminal_is_a_daemon(tmp_path):
    source = """
        handler = plugins.SignalHandler(bus)
        print('SELF', handler._is_daemonized(), flush=True)
        if os.fork() == 0:
            print('FORK', handler._is_daemonized(), flush=True)
            os._exit(0)
        os.wait()
        """
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 0
    assert child.lines == ["SELF False", "FORK True"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_program_cleanly(tmp_path, signum):
    with Child(SERVE, tmp_path) as child:
        child.wait_for("Bus STARTED")
        child.send(signum)
        status, took = child.end()
    assert status == 0
    assert took < 2
    assert f"LOG 20 Caught signal {signal.Signals(signum).name}." in child.lines
    assert child.lines[-1] == "END"


def test_sigint_ends_a_program_cleanly(tmp_path):
    with Child(SERVE, tmp_path) as child:
        child.wait_for("Bus STARTED")
        child.send(signal.SIGINT)
        status, took = child.end()
    assert status == 0
    assert took < 2
    assert "LOG 20 Keyboard Interrupt: shutting down bus" in child.lines


def test_sigusr1_is_graceful_and_the_program_goes_on(tmp_path):
    with Child(SERVE, tmp_path) as child:
        child.wait_for("Bus STARTED")
        for count in (1, 2):
            child.send(signal.SIGUSR1)
            child.wait_for("LOG 20 Bus graceful", times=count)
        child.send(signal.SIGTERM)
        assert child.end()[0] == 0


def test_sigterm_during_a_slow_start_undoes_it(tmp_path):
    source = """
        plugins.SignalHandler(bus).subscribe()
        bus.subscribe('start', lambda: (print('SLOW', flush=True), time.sleep(30)))
        bus.start()
        bus.block()
        """
    with Child(source, tmp_path) as child:
        child.wait_for("SLOW")
        child.send(signal.SIGTERM)
        status, _ = child.end()
    assert status == 0
    assert "LOG 20 Bus EXITED" in child.lines
    assert "LOG 20 Bus STARTED" not in child.lines


#: Servers that are told to stop while they start: one that notices, one that has not begun to listen, one that
#: forgets it when it begins, and one that fails.
STARTING = """
from cherrypy.process import servers

class Slow:
    ready = stopped = False
    begins = BEGINS

    def start(self):
        print('BEGINS', flush=True)
        time.sleep(self.begins)
        if self.begins:
            self.stopped = False
        while not self.stopped:
            time.sleep(0.01)
        print('ENDS', flush=True)

    def stop(self):
        self.stopped = True
        if FAILS and self.begins:
            self.begins = 0.0001
            raise OSError('not yet')

plugins.SignalHandler(bus).subscribe()
servers.ServerAdapter(bus, Slow(), ('127.0.0.1', 1)).subscribe()
bus.start()
bus.block()
"""


@pytest.mark.parametrize(("begins", "fails"), [("0", "False"), ("0.5", "False"), ("0.5", "True")])
def test_sigterm_while_a_server_starts_ends_its_thread(tmp_path, begins, fails):
    source = (
        STARTING.replace("BEGINS'", "STARTS'").replace("BEGINS", begins).replace("FAILS", fails)
    )
    with Child(source, tmp_path) as child:
        child.wait_for("STARTS")
        child.send(signal.SIGTERM)
        status, _ = child.end()
    assert status == 0, child.output
    assert "ENDS" in child.lines
    assert "LOG 20 Bus EXITED" in child.lines
    assert "shut down before it had started" in child.output
    assert "in spite of" not in child.output


def test_an_exit_by_another_thread_while_a_server_starts(tmp_path):
    source = (
        STARTING.replace("BEGINS'", "STARTS'").replace("BEGINS", "0.2").replace("FAILS", "False")
    )
    source = source.replace(
        "bus.start()\n", "threading.Timer(0.1, bus.exit).start()\nbus.start()\n"
    )
    with Child(source, tmp_path) as child:
        status, _ = child.end()
    assert status == 0, child.output
    assert "ENDS" in child.lines
    assert "due to error" not in child.output


def test_a_failing_stop_listener_shows_in_the_status(tmp_path):
    with Child("bus.subscribe('stop', lambda: 1 / 0)\n" + SERVE, tmp_path) as child:
        child.wait_for("Bus STARTED")
        child.send(signal.SIGTERM)
        status, _ = child.end()
    assert status == 1
    assert "LOG 20 Bus EXITED" in child.lines


def test_hangup_restarts_a_daemon(tmp_path):
    # A fork without a terminal is what the handler takes for a daemon.
    source = """
        handler = plugins.SignalHandler(bus)
        if os.environ.get('ROUND') == '1':
            print('SECOND ROUND', sys.argv[1:], flush=True)
            sys.exit(0)
        os.environ['ROUND'] = '1'
        if os.fork():
            os.wait()
            print('PARENT ENDS', flush=True)
            sys.exit(0)
        handler.subscribe()
        bus.start()
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGHUP)).start()
        bus.block()
        """
    with Child(source, tmp_path, "arg") as child:
        assert child.end()[0] == 0
    assert "LOG 20 SIGHUP caught while daemonized. Restarting." in child.lines
    assert "SECOND ROUND ['arg']" in child.lines
