"""Time-outs of responses without a server: names, defaults, and the stages that look at the clock."""

from __future__ import annotations

import builtins
import gc
import re
import sys
import threading
import time
from typing import Any

import pytest
from spine_kit import call

import cherrypy
from cherrypy.framework import response as responses
from cherrypy.framework.serving import lives, serving
from cherrypy.framework.timeouts import TimeoutMonitor, _where
from cherrypy.process.plugins import Monitor
from cherrypy.process.wspbus import Bus

NO_GIL = not getattr(sys, "_is_gil_enabled", lambda: True)()


def overdue() -> None:
    cherrypy.response.timeout = -1
    cherrypy.response.check_timeout()


class Root:
    seen: list[str]

    def __init__(self) -> None:
        self.seen = []

    @cherrypy.expose
    def index(self) -> str:
        self.seen.append("handler")
        return "here"

    @cherrypy.expose
    def late(self) -> str:
        overdue()
        return "late"

    @cherrypy.expose
    def forgiven(self) -> str:
        overdue()
        cherrypy.response.timed_out = False
        return "forgiven"

    @cherrypy.expose
    def late_redirect(self) -> None:
        overdue()
        raise cherrypy.HTTPRedirect("/")

    @cherrypy.expose
    def own(self) -> None:
        raise cherrypy.TimeoutError("as the documentation allows")

    @cherrypy.expose
    def pieces(self) -> Any:
        try:
            yield "one"
            overdue()
            yield "two"
            self.seen.append("went on")
            yield "three"
        finally:
            self.seen.append("closed")


class Streaming(Root):
    _cp_config = {"response.stream": True}


def site(root: Any = None, **config: Any) -> Any:
    entries = {name.replace("__", "."): value for name, value in config.items()}
    return cherrypy.Application(root or Root(), "", {"/": entries})


# ------------------------------------------------------------------------------------- names


def test_names_and_defaults() -> None:
    monitor = cherrypy.engine.timeout_monitor
    assert isinstance(monitor, Monitor)
    assert type(monitor) is cherrypy._TimeoutMonitor
    assert monitor.frequency == 60
    assert monitor.start in cherrypy.engine.listeners["start"]
    assert monitor.start.priority == 70
    assert monitor.servings == []
    assert (monitor.status, monitor.legacy) == (503, False)
    assert issubclass(cherrypy.TimeoutError, cherrypy.CherryPyException)
    assert not issubclass(cherrypy.TimeoutError, builtins.TimeoutError)
    response = cherrypy._cprequest.Response()
    assert type(response).timed_out is False
    assert (response.timeout, response.timed_out) == (300, False)
    assert abs(response.time - time.time()) < 5
    for channel in ("before_request", "after_request"):  # a request does not pay for being watched
        listeners = cherrypy.engine.listeners[channel]
        assert all(getattr(listener, "__self__", None) is not monitor for listener in listeners)


def test_config_of_the_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = cherrypy.engine.timeout_monitor
    monkeypatch.setattr(monitor, "frequency", 60)
    before = dict(cherrypy.config)
    try:
        cherrypy.config.update({"engine.timeout_monitor.on": False})
        assert monitor.start not in cherrypy.engine.listeners["start"]
        cherrypy.config.update({"engine.timeout_monitor.on": True})
        assert monitor.start in cherrypy.engine.listeners["start"]
        cherrypy.config.update({"engine.timeout_monitor.frequency": 0.25})
        assert monitor.frequency == 0.25
    finally:
        monitor.subscribe()
        cherrypy.config.clear()
        dict.update(cherrypy.config, before)


def test_a_frequency_of_nothing_starts_no_thread() -> None:
    bus = Bus()
    monitor = TimeoutMonitor(bus)
    monitor.subscribe()
    monitor.frequency = 0
    bus.start()
    try:
        assert monitor.thread is None
        monitor.frequency = 30
        bus.graceful()
        assert monitor.thread is not None
        monitor.unsubscribe()
        assert monitor.thread is None
        monitor.subscribe()  # the bus runs already
        assert monitor.thread is not None
    finally:
        bus.exit()
    assert monitor.thread is None


def test_a_check_leaves_the_time_out_of_none_alone() -> None:
    response = cherrypy._cprequest.Response()
    response.timeout = None
    response.time = 0
    response.check_timeout()
    assert response.timed_out is False


def test_what_has_timed_out_is_not_kept() -> None:
    gc.collect()  # what other tests have left
    before = len(responses.late)
    response = cherrypy._cprequest.Response()
    response.timed_out = True
    other = cherrypy._cprequest.Response()
    other.timed_out = True
    assert len(responses.late) == before + 2
    other.timed_out = False
    assert len(responses.late) == before + 1
    del response
    gc.collect()
    assert len(responses.late) == before


# ------------------------------------------------------------------------------------- stages


@pytest.mark.parametrize("point", ["on_start_resource", "before_request_body", "before_handler"])
def test_the_handler_of_a_late_request_is_not_called(point: str) -> None:
    root = Root()
    answer = call(site(root, **{f"hooks.{point}": overdue}))
    assert answer.code == 503
    assert root.seen == []


def test_no_hook_runs_after_the_time_is_up() -> None:
    ran: list[str] = []
    app = site(
        hooks__on_start_resource=overdue,
        hooks__before_handler=lambda: ran.append("before_handler"),
        hooks__before_finalize=lambda: ran.append("before_finalize"),
        hooks__on_end_resource=lambda: ran.append("on_end_resource"),
        hooks__before_error_response=lambda: ran.append("before_error_response"),
        hooks__after_error_response=lambda: ran.append("after_error_response"),
        hooks__on_end_request=lambda: ran.append("on_end_request"),
    )
    assert call(app).code == 503
    assert ran == [
        "on_end_resource",
        "before_error_response",
        "after_error_response",
        "on_end_request",
    ]


@pytest.mark.parametrize("path", ["/late", "/late_redirect", "/own"])
def test_a_late_result_is_an_error_like_any_other(path: str) -> None:
    answer = call(site(request__show_tracebacks=False), path)
    assert answer.status == "503 Service Unavailable"
    assert "did not make the response in time" in answer.text
    assert "Traceback" not in answer.text
    assert answer["Content-Type"].startswith("text/html")


def test_late_at_the_very_end() -> None:
    assert call(site(hooks__on_end_resource=overdue)).code == 503
    assert call(site(hooks__before_finalize=overdue)).code == 503


def test_forgiven() -> None:
    assert call(site(), "/forgiven").text == "forgiven"


def test_pages_statuses_and_messages() -> None:
    def page(status: str, message: str, **more: Any) -> str:
        return f"{status}: {message}"

    app = site(
        error_page__504=page,
        response__timeout_status="504 Gave up",
        response__timeout_message="Come back later.",
    )
    answer = call(app, "/late")
    assert (answer.status, answer.text) == ("504 Gave up", "504 Gave up: Come back later.")


def test_an_error_response_of_ones_own_is_asked() -> None:
    def respond() -> None:
        cherrypy.response.status = 500
        cherrypy.response.body = [b"mine"]

    answer = call(site(request__error_response=respond), "/late")
    assert (answer.code, answer.body) == (500, b"mine")


def test_a_body_is_not_collected_to_its_end() -> None:
    root = Root()
    assert call(site(root), "/pieces").code == 503
    assert root.seen == ["closed"]


def test_a_stream_breaks_off() -> None:
    root = Streaming()
    answer = call(site(root), "/pieces")
    assert isinstance(answer.error, cherrypy.TimeoutError)
    assert answer.chunks == [b"one", b"two"]  # what was made when it turned out
    assert root.seen == ["closed"]


def test_legacy_looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cherrypy.engine.timeout_monitor, "legacy", True)
    root = Root()
    ran: list[str] = []
    app = site(
        root, hooks__on_start_resource=overdue, hooks__before_finalize=lambda: ran.append("ran")
    )
    assert call(app).code == 503
    assert (root.seen, ran) == (["handler"], ["ran"])


# ----------------------------------------------------------------------------- who is in flight


def test_the_monitor_sees_what_threads_serve_and_forgets_threads() -> None:
    here, go = threading.Event(), threading.Event()

    class Waiting:
        @cherrypy.expose
        def index(self) -> str:
            here.set()
            assert go.wait(10)
            return str(cherrypy.response.timed_out)

    bus = Bus()
    monitor = TimeoutMonitor(bus)
    answers: list[Any] = []
    app = cherrypy.Application(Waiting(), "", {"/": {"response.timeout": 0.01}})
    thread = threading.Thread(target=lambda: answers.append(call(app)))
    thread.start()
    assert here.wait(10)
    (found,) = [(q, s) for q, s in monitor.servings if q.app is app]
    assert found[1].timed_out is False
    deadline = time.monotonic() + 5
    while not found[1].timed_out:
        assert time.monotonic() < deadline
        monitor.run()
    assert monitor.marked == 1
    monitor.run()
    assert monitor.marked == 1  # once each
    ident = thread.ident
    assert ident in [life.ident for life in lives()]
    go.set()
    thread.join()
    assert answers[0].code == 503  # no server gave its connection away: the stages have seen it
    assert monitor.servings == []
    gc.collect()
    assert ident not in [life.ident for life in lives()]


def test_a_time_out_without_sense_harms_nobody_else() -> None:
    bus = Bus()
    told: list[str] = []
    bus.subscribe("log", lambda msg, level: told.append(msg))
    monitor = TimeoutMonitor(bus)
    response = cherrypy._cprequest.Response()
    response.timeout = "soon"
    serving.load(cherrypy._cprequest.Request(None, None), response)
    try:
        monitor.run()
    finally:
        serving.clear()
    assert any("no time-out that makes sense" in msg for msg in told)


@pytest.mark.skipif(NO_GIL, reason="only on a Python with the GIL: no stack is read else")
def test_the_stack_of_another_thread_is_read_while_it_runs() -> None:
    """All of it, from where the thread began, however fast it moves and when it ends meanwhile."""
    ready, done = threading.Event(), threading.Event()

    def bottom():
        ready.set()
        done.wait(10)

    thread = threading.Thread(target=lambda: bottom() or None)
    thread.start()
    ready.wait(10)
    text = _where(thread.ident)
    names = re.findall(r"line \d+, in (\S+)", text)
    assert names[:2] == ["_bootstrap", "_bootstrap_inner"]
    assert names[names.index("<lambda>") + 1] == "bottom"
    assert "done.wait(10)" in text and text.count("\n") == 2 * len(names)
    done.set()
    thread.join(10)
    assert _where(thread.ident) == ""

    def deep(levels):
        return [deep(levels - 1) for _ in range(1 if levels else 0)] and next(iter([levels]))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            thread = threading.Thread(target=lambda: [deep(30) for _ in range(20)])
            thread.start()
            while thread.is_alive():
                text = _where(thread.ident)
                assert text == "" or "_bootstrap" in text.splitlines()[0]
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.skipif(NO_GIL, reason="only on a Python with the GIL: no stack is read else")
def test_no_more_of_a_stack_is_read_than_can_be_shown() -> None:
    ready, done = threading.Event(), threading.Event()

    def deep(levels):
        if levels:
            deep(levels - 1)
        else:
            ready.set()
            done.wait(10)

    thread = threading.Thread(target=deep, args=(300,))
    thread.start()
    ready.wait(10)
    try:
        assert "done.wait(10)" in _where(thread.ident)
        assert "_bootstrap" not in _where(thread.ident)
    finally:
        done.set()
        thread.join(10)
