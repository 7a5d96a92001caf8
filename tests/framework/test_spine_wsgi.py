"""Applications, the tree and WSGI: mounting at any time, pipelines, streams that break."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from spine_kit import app_of, call, environ, mount

from cherrypy.framework import wsgi
from cherrypy.framework.application import Application
from cherrypy.framework.errors import InternalRedirect
from cherrypy.framework.helpers import expose, url
from cherrypy.framework.response import Response
from cherrypy.framework.serving import request, response, serving
from cherrypy.framework.site import site
from cherrypy.framework.tree import Tree


class Root:
    @expose
    def index(self) -> str:
        return f"{request.script_name}|{request.path_info}"

    @expose
    def default(self, *args: str) -> str:
        return f"{request.script_name}|{'/'.join(args)}"

    @expose
    def redirect(self) -> str:
        raise InternalRedirect("/there")


class TestTree:
    def test_the_nearest_mount_point_serves(self) -> None:
        tree = Tree()
        for at in ("", "/a", "/a/b/"):
            tree.mount(Root(), at)
        assert list(tree.apps) == ["", "/a", "/a/b"]
        assert call(tree, "/x").text == "|x"
        assert call(tree, "/a/x").text == "/a|x"
        assert call(tree, "/a/b/c").text == "/a/b|c"
        assert call(tree, "/ab").text == "|ab"
        assert call(tree, "//a//x").text == "/a|x"
        assert call(tree, "/a").code == 301
        assert tree.script_name("/a/b/c") == "/a/b"
        assert tree.script_name("/zzz") == ""

    def test_mounting_and_deleting_while_serving(self) -> None:
        tree = Tree()
        assert call(tree).code == 404
        tree.mount(Root(), "")
        assert call(tree, "/a/x").text == "|a/x"
        tree.mount(Root(), "/a")
        assert call(tree, "/a/x").text == "/a|x"
        del tree.apps["/a"]
        assert call(tree, "/a/x").text == "|a/x"
        tree.apps[""].root.new = expose(lambda: "new")
        assert call(tree, "/new").text == "new"
        del tree.apps[""]
        assert call(tree).code == 404

    def test_grafts(self) -> None:
        def raw(env: dict[str, Any], start: Any) -> list[bytes]:
            start("200 OK", [])
            return [f"{env['SCRIPT_NAME']}|{env['PATH_INFO']}".encode()]

        tree = mount(Root())
        tree.graft(raw, "/g/")
        assert call(tree, "/g/x").text == "/g|/x"
        assert call(tree, "/g").text == "/g|"

    def test_what_cannot_be_mounted(self) -> None:
        tree = Tree()
        with pytest.raises(TypeError, match="may not be None"):
            tree.mount(Root(), None)
        app = Application(Root(), "/q")
        assert tree.mount(app) is app
        assert tree.apps == {"/q": app}
        with pytest.raises(ValueError, match="different script name"):
            tree.mount(app, "/z")

    def test_the_favicon(self) -> None:
        class Plain:
            pass

        root = Plain()
        Tree().mount(root, "", {"/favicon.ico": {}})
        assert not hasattr(root, "favicon_ico")
        Tree().mount(root, "/sub")
        assert not hasattr(root, "favicon_ico")
        tree = Tree()
        tree.mount(root, "")
        answer = call(tree, "/favicon.ico")
        assert (answer.code, answer["Content-Type"]) == (200, "image/x-icon")

    def test_the_outer_mount_point_is_honoured(self) -> None:
        tree = mount(Root(), at="/pre")
        assert call(tree, "/x", SCRIPT_NAME="/pre").text == "/pre|x"


class TestApplication:
    def test_script_names(self) -> None:
        assert Application(None, "/x/").script_name == "/x"
        app = Application(Root(), None)
        assert app.script_name == ""
        assert call(app, "/", SCRIPT_NAME="/mnt").text == "/mnt|/"
        assert repr(Application(None)) == "cherrypy._cptree.Application(None, '')"

    def test_find_config(self) -> None:
        app = Application(Root(), "", {"/": {"a": 1}, "/x": {"b": 2}})
        found = [app.find_config(path, "b") for path in ("/", "/x", "/x/y", "/xy", "")]
        assert found == [None, 2, 2, None, None]
        assert app.find_config("/x/y", "a", "other") == 1
        assert app.find_config("/x", "c", "other") == "other"

    def test_relative_urls(self) -> None:
        class Page:
            @expose
            def here(self) -> str:
                return f"{url('/x')} {url('x', relative='server')} {url('x', relative=False)}"

        tree = mount(Page(), at="/app")
        app_of(tree).relative_urls = True
        assert call(tree, "/app/here").text == "x /app/x http://localhost/app/x"

    def test_wrapping_the_calls_of_the_classes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # What monitoring agents do: replace methods on classes, at any time.
        from cherrypy.framework.dispatch.handlers import PageHandler
        from cherrypy.framework.dispatch.objects import Dispatcher
        from cherrypy.framework.request import Request

        seen: list[str] = []
        tree = mount(Root())
        call(tree)
        for owner, name in (
            (Application, "__call__"),
            (wsgi.CPWSGIApp, "__call__"),
            (Dispatcher, "find_handler"),
            (PageHandler, "__call__"),
            (Request, "respond"),
        ):
            original = getattr(owner, name)

            def wrapper(self: Any, *args: Any, _o: Any = original, _n: str = name) -> Any:
                seen.append(_n)
                return _o(self, *args)

            monkeypatch.setattr(owner, name, wrapper)
        assert call(tree).code == 200
        assert seen == ["__call__", "__call__", "respond", "find_handler", "__call__"]


class TestPipeline:
    def test_middleware_by_configuration(self) -> None:
        class Upper:
            def __init__(self, nextapp: Any, mark: bytes = b"") -> None:
                self.nextapp, self.mark = nextapp, mark

            def __call__(self, env: Any, start: Any) -> Any:
                inner = self.nextapp(env, start)
                try:
                    return [b"".join(inner).upper() + self.mark]
                finally:
                    inner.close()

        conf = {"wsgi.pipeline": [("upper", Upper)], "wsgi.upper.mark": b"!"}
        tree = mount(Root(), conf)
        assert call(tree, "/abc").text == "|ABC!"
        assert call(tree, "/redirect").text == "|THERE!"
        app = app_of(tree)
        assert [name for name, _ in app.wsgiapp.pipeline] == [
            "ExceptionTrapper",
            "InternalRedirector",
            "upper",
        ]
        app.wsgiapp.pipeline.pop()
        app.wsgiapp.config.clear()
        assert call(tree, "/abc").text == "|abc"

    def test_first_requests_at_once_share_one_pipeline(self) -> None:
        made = []

        def counted(nextapp: Any) -> Any:
            time.sleep(0.05)  # so that all of them come while it is being made
            made.append(nextapp)
            return nextapp

        tree = mount(Root(), {"wsgi.pipeline": [("counted", counted)]})
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _: call(tree, "/abc").text, range(4)))
        assert answers == ["|abc"] * 4
        assert len(made) == 1

    def test_without_any_middleware(self) -> None:
        tree = mount(Root())
        app_of(tree).wsgiapp.pipeline[:] = []
        assert call(tree, "/abc").text == "|abc"
        answer = call(tree, "/redirect")
        assert isinstance(answer.error, InternalRedirect)

    def test_the_real_chain_does_what_the_inline_one_does(self) -> None:
        def passing(nextapp: Any) -> Any:
            return nextapp

        class Page(Root):
            @expose
            def boom(self) -> str:
                response.stream = True

                def chunks() -> Any:
                    raise ValueError("x")
                    yield b""

                return chunks()  # type: ignore[return-value]  # a WSGI body is any iterable

        for pipeline in ([], [("passing", passing)]):
            tree = mount(Page(), {"wsgi.pipeline": pipeline})
            assert call(tree, "/redirect").text == "|there"
            answer = call(tree, "/boom")
            assert answer.calls == 2
            assert answer.status == "500 Internal Server Error"
            assert answer.body == b"Unrecoverable error in the server.\n"

    def test_a_response_class_of_ones_own(self) -> None:
        class Mine(wsgi.AppResponse):
            def translate_headers(self, env: Any) -> Any:
                yield from super().translate_headers(env)
                yield "X-Extra", "1"

        class Page:
            @expose
            def index(self) -> str:
                return f"{request.headers['X-Extra']} {request.headers['Host']}"

        tree = mount(Page(), {"wsgi.response_class": Mine})
        assert call(tree).text == "1 localhost"


class TestStreams:
    def root(self) -> Any:
        class Page:
            closed = 0

            @expose
            def index(self, fail: str = "") -> Any:
                response.stream = True

                def chunks() -> Any:
                    try:
                        yield b"one"
                        if fail:
                            raise ValueError("late")
                        yield b"two"
                    finally:
                        self.closed += 1

                return chunks()

        return Page()

    def test_no_length_and_closed(self) -> None:
        root = self.root()
        answer = call(mount(root))
        assert answer.chunks == [b"one", b"two"]
        assert "Content-Length" not in dict(answer.headers)
        assert root.closed == 1

    def test_an_error_after_output_has_begun_breaks_off(self, caplog: Any) -> None:
        answer = call(mount(self.root()), "/", "fail=1")
        assert answer.chunks == [b"one"]
        assert isinstance(answer.error, ValueError)
        assert answer.calls == 1
        assert sum(1 for record in caplog.records if record.exc_info) == 1

    def test_closing_early_ends_everything_once(self) -> None:
        ended: list[int] = []
        root = self.root()
        tree = mount(root, {"hooks.on_end_request": lambda: ended.append(1)})
        result = tree(environ(), lambda status, headers: None)
        assert next(iter(result)) == b"one"
        result.close()
        result.close()
        assert (root.closed, ended) == (1, [1])


class TestResponse:
    def test_bodies(self) -> None:
        r = Response()
        for value, expected in (
            (b"x", [b"x"]),
            (b"", []),
            (None, []),
            ([b"a"], [b"a"]),
            ((b"a",), (b"a",)),
        ):
            r.body = value
            assert r.body == expected
        for text in ("x", ["x"]):
            with pytest.raises(ValueError, match="MUST return bytes"):
                r.body = text
        r.body = io.BytesIO(b"file")
        assert r.collapse_body() == b"file"
        assert r.body == [b"file"]

    def test_finalize(self) -> None:
        r = Response()
        r.body = [b"abc"]
        r.cookie["a"] = "b"
        r.headers["X-Int"] = 5
        r.headers["X-Euro"] = "\u20ac"
        r.headers["X-Bad"] = "a\r\nB: c\x00"
        r.finalize()
        assert (r.status, r.output_status) == ("200 OK", b"200 OK")
        fields = dict(r.header_list)
        assert fields[b"Content-Length"] == b"3"
        assert fields[b"X-Int"] == b"5"
        assert fields[b"X-Euro"] == b"=?utf-8?b?4oKs?="
        assert fields[b"X-Bad"] == b"aB: c"
        assert r.header_list[-1] == (b"Set-Cookie", b"a=b")

    def test_timeouts(self) -> None:
        r = Response()
        assert (r.timeout, r.timed_out) == (300, False)
        r.check_timeout()
        assert not r.timed_out
        r.timeout = -1
        r.check_timeout()
        assert r.timed_out

    def test_hooks_may_add_fields_at_the_end(self) -> None:
        def late() -> None:
            serving.response.header_list.append((b"X-Late", b"\xe9"))

        assert call(mount(Root(), {"hooks.on_end_resource": late}))["X-Late"] == "\xe9"

    @pytest.mark.parametrize(
        ("pair", "text"),
        [((2, b"v"), "key 2 is not a byte string."), ((b"k", "v"), "value 'v' is not a byte")],
    )
    def test_only_bytes_may_be_added(self, pair: Any, text: str, caplog: Any) -> None:
        def late() -> None:
            serving.response.header_list.append(pair)

        answer = call(mount(Root(), {"hooks.on_end_resource": late}))
        assert answer.code == 500
        assert text in caplog.text

    def test_a_body_set_by_a_hook_as_text(self) -> None:
        def late() -> None:
            serving.response.body = "\xe9"

        answer = call(mount(Root(), {"hooks.before_finalize": late}))
        assert (answer.body, answer["Content-Length"]) == (b"\xc3\xa9", "2")

    def test_cookies_follow_the_fields_and_stay_on_their_line(self) -> None:
        class Page:
            @expose
            def index(self) -> str:
                response.cookie["b"] = "1"
                response.cookie["a"] = "x"
                response.cookie["a"]["path"] = "/a"
                return "x"

        answer = call(mount(Page()))
        assert answer.headers[-2:] == [("Set-Cookie", "a=x; Path=/a"), ("Set-Cookie", "b=1")]


def test_virtual_hosts() -> None:
    def other(env: Any, start: Any) -> Any:
        start("200 OK", [])
        return [b"other"]

    app = wsgi.VirtualHost(mount(Root()), {"www.x.com": other})
    assert call(app, HTTP_HOST="www.x.com").text == "other"
    assert call(app, HTTP_X_FORWARDED_HOST="www.x.com").text == "other"
    assert call(app).text == "|/"
    app.use_x_forwarded_host = False
    assert call(app, HTTP_X_FORWARDED_HOST="www.x.com").text == "|/"


def test_the_site_is_wired() -> None:
    engine = site.engine
    assert {"acquire_thread", "before_request", "after_request"} <= set(engine.listeners)
    assert engine.autoreload.subscribe
    assert site.checker in engine.listeners["start"]
    assert site.tools is Application.toolboxes["tools"]
    assert {k for k in site.config if k.startswith("tools.")} == {
        "tools.log_tracebacks.on",
        "tools.log_headers.on",
        "tools.trailing_slash.on",
        "tools.encode.on",
    }


def test_old_wsgi_environments() -> None:
    env = {"PATH_INFO": "/\xe9", "wsgi.url_encoding": "utf-8", "x": 1}
    assert wsgi.downgrade_wsgi_ux_to_1x(env)["PATH_INFO"] == "/\xc3\xa9"
