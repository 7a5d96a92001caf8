"""Part C of the compatibility contract: the response timeouts of CherryPy 3.0 to 11, their names and defaults."""

from __future__ import annotations

import builtins
import threading
import time

from compat_process import wait_for
from contract_kit import served

import cherrypy


def test_names_and_defaults() -> None:
    assert issubclass(cherrypy.TimeoutError, cherrypy.CherryPyException)
    assert cherrypy.TimeoutError is not builtins.TimeoutError
    kind = cherrypy._cprequest.Response
    assert kind.timeout == 300
    assert kind.timed_out is False
    before = time.time()
    response = kind()
    assert before <= response.time <= time.time()
    monitor = cherrypy.engine.timeout_monitor
    assert isinstance(monitor, cherrypy.process.plugins.Monitor)
    assert monitor.frequency == 60
    assert monitor.servings == []
    assert monitor.start.priority == 70
    for channel in ("before_request", "after_request"):
        assert channel in cherrypy.engine.listeners


def test_check_timeout() -> None:
    response = cherrypy._cprequest.Response()
    response.check_timeout()
    assert response.timed_out is False
    response.time -= response.timeout + 1
    response.check_timeout()
    assert response.timed_out is True


def test_it_is_subscribed_until_somebody_says_otherwise() -> None:
    monitor = cherrypy.engine.timeout_monitor
    try:
        for switch in ("configuration", "call"):
            with served(None):
                assert monitor.thread is not None, switch
            if switch == "call":
                monitor.unsubscribe()
            else:
                cherrypy.config.update({"engine.timeout_monitor.on": False})
            with served(None):
                assert monitor.thread is None, switch
            if switch == "call":
                monitor.subscribe()
            else:
                cherrypy.config.update({"engine.timeout_monitor.on": True})
        for frequency in (0, -1):
            cherrypy.config.update({"engine.timeout_monitor.frequency": frequency})
            with served(None):
                assert monitor.thread is None, frequency
    finally:
        cherrypy.config.update({"engine.timeout_monitor.frequency": 60})
        del cherrypy.config["engine.timeout_monitor.frequency"]
        del cherrypy.config["engine.timeout_monitor.on"]


class Slow:
    over = threading.Event()

    @cherrypy.expose
    def hangs(self) -> str:
        self.over.wait(20)
        return "late"

    @cherrypy.expose
    def polls(self) -> str:
        while not cherrypy.response.timed_out:
            time.sleep(0.01)
        cherrypy.response.timed_out = False
        return "noticed"

    @cherrypy.expose
    def longer(self) -> str:
        cherrypy.response.timeout = 60
        time.sleep(0.8)
        return "in time"

    @cherrypy.expose
    def serves(self) -> str:
        return f"{len(cherrypy.engine.timeout_monitor.servings)} {cherrypy.response.timeout}"


def test_they_work() -> None:
    """As the documentation promised, and the real ones did not."""
    config = {
        "/": {"response.timeout": 0.3},
        "/serves": {"response.timeout": 7},
    }
    settings = {"engine.timeout_monitor.frequency": 0.05}
    try:
        with served(Slow(), config, **settings) as ask:
            assert ask("/serves").text == "1 7"
            answer = ask("/hangs")
            assert answer.status in (500, 503)
            Slow.over.set()
            assert ask("/polls").status in (200, 500, 503)  # the loop ends, whoever answers
            assert ask("/longer").text == "in time"
            monitor = cherrypy.engine.timeout_monitor
            wait_for(lambda: not monitor.servings, "no request being served")
    finally:
        Slow.over.set()
        cherrypy.config.update({"engine.timeout_monitor.frequency": 60})
        del cherrypy.config["engine.timeout_monitor.frequency"]
