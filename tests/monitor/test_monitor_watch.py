"""The watch: what is served before the recorder sees the servers leaves nothing behind in a thread's trace."""

from __future__ import annotations

import cherrypy
from cherrypy.monitor.recorder import Recorder
from cherrypy.monitor.shards import own
from cherrypy.monitor.watch import Watch
from cherrypy.testing import Client


class Page:
    _cp_config = {"tools.trailing_slash.on": True, "tools.expires.on": True}

    @cherrypy.expose
    def index(self) -> str:
        return "page"


def test_a_request_that_nobody_counts_leaves_no_time() -> None:
    own.trace.forget()  # tests before this have used the thread, too
    watch = Watch(Recorder())
    try:
        with Client(cherrypy.Application(Page())) as client:
            assert client.get("/").body == b"page"
        trace = own.trace
        assert not any(trace.seconds) and trace.request is None and trace.page is None
    finally:
        watch.end()
