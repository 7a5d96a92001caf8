"""Part B3 of the compatibility contract: what is documented, but used in ways that bind the implementation."""

from __future__ import annotations

import io
import sys
from typing import Any

from contract_kit import FORM, served

import cherrypy


class Root:
    @cherrypy.expose
    def default(self, *args: str, **params: str) -> str:
        return f"page {args} {params}"


def test_requests_in_the_process() -> None:
    """girder's tests: no server, `get_serving` and `run`."""
    from cherrypy.lib.httputil import Host

    app = cherrypy.tree.mount(Root(), "/inside")
    try:
        local, remote = Host("127.0.0.1", 30000), Host("127.0.0.1", 30001)
        request, response = cherrypy.tree.apps["/inside"].get_serving(
            local, remote, "http", "HTTP/1.1"
        )
        fields = [("Host", "127.0.0.1"), ("Content-Type", FORM), ("Content-Length", "3")]
        try:
            response = request.run(
                "POST", "/inside/x", "q=1", "HTTP/1.1", fields, io.BytesIO(b"b=2")
            )
            assert b"".join(response.body) == b"page ('x',) {'q': '1', 'b': '2'}"
            assert response.output_status == b"200 OK"
            assert list(response.cookie) == []
        finally:
            request.close()
            app.release_serving()
    finally:
        del cherrypy.tree.apps["/inside"]


def test_processors_of_their_own() -> None:
    """salt: other processors for each request, an HTTPError in place of the last."""

    def process(entity: Any) -> None:
        entity.params["told"] = entity.fp.read().decode()
        cherrypy.serving.request.own_data = "set"

    def choose() -> None:
        body = cherrypy.request.body
        body.processors.clear()
        body.default_proc = cherrypy.HTTPError(406, "Content type not supported")
        body.processors["text/x-own"] = process

    cherrypy.tools.contract_choose = cherrypy.Tool("before_request_body", choose)
    try:
        with served(Root(), {"/": {"tools.contract_choose.on": True}}) as ask:
            assert (
                ask("/", "POST", b"abc", Content_Type="text/x-own").text
                == "page () {'told': 'abc'}"
            )
            answer = ask("/", "POST", b"abc", Content_Type="text/plain")
            assert answer.status == 406
            assert "Content type not supported" in answer.text
            assert ask("/", "POST", b"abc", Content_Type="text/x-own").status == 200
    finally:
        del cherrypy.tools.contract_choose


def test_tools_whose_base_is_made_by_hand() -> None:
    """ws4py, ddtrace, WMCore: `Tool.__init__(self, point, callable, priority=)`; `_setup` is their own."""

    class OwnTool(cherrypy.Tool):
        def __init__(self) -> None:
            cherrypy.Tool.__init__(self, "before_handler", self.call, priority=7)

        def _setup(self) -> None:
            conf = self._merged_args()
            conf.pop("priority", None)
            hooks = cherrypy.serving.request.hooks
            hooks.attach(self._point, self.callable, priority=self._priority, **conf)
            cherrypy.Tool._setup(self)

        def call(self, word: str = "") -> None:
            calls.append(word)

    calls: list[str] = []
    cherrypy.tools.contract_made = OwnTool()
    try:
        config = {"/": {"tools.contract_made.on": True, "tools.contract_made.word": "x"}}
        with served(Root(), config) as ask:
            assert ask("/").status == 200
    finally:
        del cherrypy.tools.contract_made
    assert calls == ["x", "x"]


def test_helpers() -> None:
    class Response:
        headers: dict[str, str] = {"Vary": "Host"}

    cherrypy.lib.set_vary_header(Response, "Accept")
    assert sorted(Response.headers["Vary"].split(", ")) == ["Accept", "Host"]
    assert cherrypy.lib.httputil.get_ranges("bytes=0-0", 5) == [(0, 1)]


def test_the_session_may_be_a_dict_of_the_test() -> None:
    """ldapcherry's tests."""
    had = "session" in vars(cherrypy)
    before = vars(cherrypy).get("session")
    cherrypy.session = {}
    cherrypy.session["a"] = 1
    assert vars(sys.modules["cherrypy"])["session"] == {"a": 1}
    if had:
        cherrypy.session = before
    else:
        del cherrypy.session
