"""Pages and tools that read sessions by way of helpers answer at their first request, while another has the session."""

from __future__ import annotations

import contextlib
import http.client
import threading

import pytest
import session_kit
from security_kit import served
from session_kit import KINDS
from session_pages import (
    READERS,
    Hooked,
    Readers,
    check_conditions,
    check_login,
    count_visits,
    framed,
)

import cherrypy
from cherrypy.framework.tools import HandlerWrapperTool, Tool, default_toolbox
from cherrypy.lib import sessionreads
from cherrypy.lib.reading import verdicts

pytestmark = pytest.mark.usefixtures("program")


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch):
    monkeypatch.setattr(sessionreads, "_reads_only", {})
    monkeypatch.setattr(verdicts, "_known", {})
    verdicts._judged.clear()


@pytest.fixture
def kind():
    return "ram"


@pytest.fixture
def conf(kind, tmp_path):
    # Who waits gets 503 long before the other request is over.
    settings = session_kit.configuration(session_kit.store(kind, tmp_path))
    return {**settings, "tools.sessions.lock_timeout": 0.3}


class Holding:
    """Pages that fill the session and hold it."""

    def __init__(self):
        self.entered = threading.Event()
        self.go = threading.Event()

    @cherrypy.expose
    def start(self, user="zoe"):
        cherrypy.session.update({"user": user, "n": 5, "things": ["a", "b"], "roles": ["admin"]})
        return "started"

    @cherrypy.expose
    def hold(self):
        cherrypy.session["held"] = True
        self.entered.set()
        assert self.go.wait(100)
        return "held"

    @cherrypy.expose
    def visits(self):
        return str(cherrypy.session.get("visits", 0))


def patient(get, path, cookie):
    """The answer to a request that takes as long as all the others together."""
    connection = http.client.HTTPConnection(*get.address[:2], timeout=100)
    try:
        connection.request("GET", path, headers={"Cookie": cookie})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@contextlib.contextmanager
def held(root, conf, holding=None):
    """A site, and a cookie of a session that a request has for as long as this lasts."""
    root.holding = Holding()
    plain = {key: value for key, value in conf.items() if key.startswith("tools.sessions.")}
    off = {key: False for key in conf if key.endswith(".on") and key not in plain}
    with served(root, {"/": conf, "/holding": off}) as get:
        get.timeout = 60  # who waits for the lock is answered long before
        cookie = get("/holding/start").cookies
        answers = []
        slow = threading.Thread(
            target=lambda: answers.append(patient(get, "/holding/hold", cookie))
        )
        slow.start()
        try:
            assert root.holding.entered.wait(20)
            yield get, cookie
            assert answers == []
        finally:
            root.holding.go.set()
            slow.join(30)
        assert answers == ["held"]


@pytest.mark.parametrize("kind", KINDS)
def test_pages_with_helpers_wait_for_nobody_the_first_time(conf):
    with held(Readers(), conf) as (get, cookie):
        for name in READERS:
            answer = get(f"/{name}", cookie=cookie)
            assert answer.status == 200, (name, answer.text)


@contextlib.contextmanager
def tools(**made):
    for name, tool in made.items():
        setattr(default_toolbox, name, tool)
    try:
        yield {f"tools.{name}.on": True for name in made}
    finally:
        for name in made:
            delattr(default_toolbox, name)


CHECKS = {
    "check_login": lambda: Tool("before_handler", check_login),
    "check_conditions": lambda: Tool("before_handler", check_conditions),
    "framed": lambda: HandlerWrapperTool(framed),
}


@pytest.mark.parametrize("kind", KINDS)
def test_tools_that_look_first_wait_for_nobody(conf):
    with tools(**{name: make() for name, make in CHECKS.items()}) as on:
        with held(Hooked(), {**conf, **on}) as (get, cookie):
            answer = get("/page", cookie=cookie)
            assert (answer.status, answer.text) == (200, "[5 for zoe]")
            assert get("/aside", cookie=cookie).text == "[nothing of a session for zoe]"


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_logged_in_by_session_auth_waits_for_nobody(conf):
    conf = {**conf, "tools.session_auth.on": True, "tools.session_auth.session_key": "user"}
    with held(Hooked(), conf) as (get, cookie):
        answer = get("/page", cookie=cookie)
        assert (answer.status, answer.text) == (200, "5")


@pytest.mark.parametrize("kind", KINDS)
def test_a_tool_that_writes_has_its_page_wait(conf):
    with tools(count_visits=Tool("before_handler", count_visits)) as on:
        with held(Hooked(), {**conf, **on}) as (get, cookie):
            assert get("/page", cookie=cookie).status == 503
