"""What the code of a request shows of what it does with its session: through helpers, templates, hooks."""

from __future__ import annotations

import logging

import pytest
import session_writers
from session_pages import READERS, Readers
from session_writers import WRITERS, Visitor, Writers

import cherrypy
import cherrypy.lib.sessions as sessions
from cherrypy.framework.request import Request
from cherrypy.framework.serving import serving
from cherrypy.lib.reading import verdicts

DATA = {"user": "zoe", "n": 5, "things": ["a", "b"], "roles": ["admin"]}


pytestmark = pytest.mark.usefixtures("program")


@pytest.fixture(autouse=True)
def request_of_nobody(monkeypatch):
    """A request that is going on, with a session."""
    monkeypatch.setattr(verdicts, "_known", {})
    verdicts._judged.clear()
    request = Request(None, None)
    request._config = {"change": session_writers.pop_flash}
    request.visitor = Visitor()
    serving.load(request, cherrypy.framework.response.Response())
    session = serving.session = sessions.RamSession()
    session.update(DATA)
    cherrypy.session = sessions._SessionProxy("session")
    monkeypatch.setitem(cherrypy.config, "change", session_writers.pop_flash)
    yield request
    del cherrypy.session
    serving.clear()


def judged(page):
    function = getattr(page, "__func__", page)
    return verdicts.verdict((function, "GET"), page, serving.request)


def reason(page):
    """Why it is not known, for who looks at a failure."""
    flow = verdicts.Flow()
    try:
        flow.settle(lambda: verdicts._go_through(flow, page, serving.request))
    except verdicts.NotKnown as error:
        return str(error)
    return flow.levels, flow.names


@pytest.mark.parametrize("name", READERS)
def test_pages_that_read(name):
    page = getattr(Readers(), name)
    found = judged(page)
    assert found is not None, reason(page)
    assert verdicts.suits(found, DATA), reason(page)


def test_a_page_with_a_logger_is_known_among_any_number_of_loggers():
    known = logging.Logger.manager.loggerDict
    names = [f"test_verdicts_{number}" for number in range(5000)]
    for name in names:
        logging.getLogger(name)
    try:
        assert judged(Readers().for_admins) is not None, reason(Readers().for_admins)
    finally:
        for name in names:
            del known[name]


@pytest.mark.parametrize("name", WRITERS)
def test_pages_that_write(name):
    page = getattr(Writers(), name)
    found = judged(page)
    assert found is None or not verdicts.suits(found, DATA), reason(page)
