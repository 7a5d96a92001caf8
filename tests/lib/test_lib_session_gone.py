"""A session that goes while a request runs: by another request, or by its time."""

from __future__ import annotations

import datetime
import threading

import pytest
import session_kit
from guarded_pages import DEEDS, Shop, Thing
from session_checks import Asked
from session_kit import Slow, back, until

from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessions

pytestmark = pytest.mark.usefixtures("program", "nothing_is_known")


class Leaving(Shop):
    """Pages that take long after the session has gone, and before they look for it."""

    def __init__(self):
        super().__init__()
        self.came, self.read = threading.Event(), threading.Event()
        self.gone = False

    @expose
    def leave(self, how):
        owner.session["held"] = True
        if how == "removed":
            owner.session.delete()
        self.entered.set()
        assert self.go.wait(20)
        return "left"

    @expose
    def read_late(self, deed):
        self.came.set()
        assert self.read.wait(20)
        return f"{DEEDS[deed](owner.session, 'n')}"


@pytest.mark.parametrize("kind", session_kit.KINDS)
@pytest.mark.parametrize("how", ["removed", "expired"])
@pytest.mark.parametrize("deed", ["look", "count"])
def test_nobody_waits_for_a_session_that_has_gone(serve, tmp_path, monkeypatch, kind, how, deed):
    """It is as if the request had come a moment later: it has a new one."""
    site = serve(Leaving(), session_kit.configuration(session_kit.store(kind, tmp_path)))
    root = site.app.root
    headers = back(site("/start"))
    asked = Asked(site, "/read_late", headers, f"deed={deed}")
    try:
        assert root.came.wait(10)
        with Slow(site, "/leave", headers, f"how={how}"):
            if how == "expired":
                now = sessions.Session.now
                hours = datetime.timedelta(hours=2)
                monkeypatch.setattr(sessions.Session, "now", lambda self: now(self) + hours)
            root.read.set()
            asked.thread.join(5)
            answer = asked.answer
            monkeypatch.undo()
    finally:
        root.read.set()
        asked.thread.join(20)
    assert answer is not None
    assert (answer.status, answer.text) == (200, "None")
    assert answer.cookie != headers["Cookie"]
    if deed == "count" and how == "removed":
        assert site("/count", headers=back(answer)).text == "2"
        assert site("/get", headers=headers).text == "None"


@pytest.mark.parametrize("kind", ["ram", "file"])
@pytest.mark.parametrize("deed", ["look", "count"])
def test_who_reads_a_session_once_more_when_it_has_gone_has_a_new_one(serve, tmp_path, kind, deed):
    class Twice(Leaving):
        @expose
        def twice(self, deed):
            DEEDS["look"](owner.session, "n")
            self.came.set()
            assert self.read.wait(20)
            owner.session.load()
            return f"{DEEDS[deed](owner.session, 'n')}"

    site = serve(Twice(), session_kit.configuration(session_kit.store(kind, tmp_path)))
    headers = back(site("/start"))
    asked = Asked(site, "/twice", headers, f"deed={deed}")
    try:
        assert site.app.root.came.wait(10)
        assert site("/delete", headers=headers).status == 200
    finally:
        site.app.root.read.set()
        asked.thread.join(20)
    assert (asked.answer.status, asked.answer.text) == (200, "None")
    assert asked.answer.cookie != headers["Cookie"]
    assert site("/get", headers=back(asked.answer)).text == ("1" if deed == "count" else "None")
    assert sessions.RamSession.locks == {}


@pytest.mark.parametrize("locking", ["adaptive", "implicit"])
def test_who_comes_when_all_locks_have_been_given_back_takes_none(serve, conf, locking):
    class Late(Shop):
        @expose
        def late(self):
            def look():
                DEEDS["raise"](owner.session, "k")

            serving.request.hooks.attach("on_end_request", look, priority=95)
            return "x"

    thing = Thing()
    site = serve(Late(), {**conf, "tools.sessions.locking": locking})
    site.app.root.kept = {"k": thing}
    headers = back(site("/start"))
    assert site("/late", headers=headers).text == "x"
    assert thing.n == 1
    until(lambda: sessions.RamSession.locks == {}, 1)
