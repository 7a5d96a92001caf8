"""One request from its path to its response, called in process."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from spine_kit import app_of, call, environ, mount, without_hooks

from cherrypy.framework.application import Application
from cherrypy.framework.errors import HTTPError, NotFound
from cherrypy.framework.helpers import expose
from cherrypy.framework.request import LazyUUID4, Request
from cherrypy.framework.response import Response
from cherrypy.framework.serving import request, response, serving
from cherrypy.framework.site import site
from kirsch.http.hosts import Host


@pytest.fixture(autouse=True)
def clean() -> None:
    without_hooks()


class Root:
    @expose
    def index(self) -> Any:
        return "Hello World!"

    @expose
    def echo(self, *args: str, **kwargs: Any) -> Any:
        return repr((args, sorted(kwargs.items())))

    @expose
    def value(self, name: str) -> Any:
        return RESULTS[name]()

    @expose
    def boom(self) -> Any:
        raise ValueError("a secret")


RESULTS: dict[str, Any] = {
    "text": lambda: "h\xe9llo \u20ac",
    "bytes": lambda: b"raw",
    "none": lambda: None,
    "empty": lambda: "",
    "list": lambda: ["a", b"b"],
    "generator": lambda: (x for x in ("a", b"b", "\xe9")),
}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("text", "h\xe9llo \u20ac".encode()),
        ("bytes", b"raw"),
        ("none", b""),
        ("empty", b""),
        ("list", b"ab"),
        ("generator", b"ab\xc3\xa9"),
    ],
)
def test_what_a_handler_may_return(name: str, body: bytes) -> None:
    answer = call(mount(Root()), "/value/" + name)
    assert answer.status == "200 OK"
    assert answer.body == body
    assert answer["Content-Length"] == str(len(body))
    assert answer["Content-Type"] == "text/html;charset=utf-8"


def test_the_plain_response_has_four_fields_in_order() -> None:
    answer = call(mount(Root()), "/")
    assert [name for name, _ in answer.headers] == [
        "Content-Type",
        "Server",
        "Date",
        "Content-Length",
    ]
    assert answer.calls == 1


def test_what_nobody_asked_for_is_not_made() -> None:
    seen: dict[str, Any] = {}

    class Page:
        @expose
        def index(self) -> str:
            seen["request"] = set(vars(serving.request))
            seen["response"] = set(vars(serving.response))
            return "x"

    assert call(mount(Page()), HTTP_COOKIE="a=b").status == "200 OK"
    for name in ("headers", "_headers", "cookie", "hooks", "_hooks", "toolmaps", "base", "body"):
        assert name not in seen["request"]
    assert not {"headers", "_headers", "cookie", "_cookie"} & seen["response"]


def test_facts_of_a_request() -> None:
    class Page:
        @expose
        def page(self, **kw: str) -> str:
            r = request
            return "\n".join(
                map(
                    str,
                    (
                        r.base,
                        r.request_line,
                        r.remote.ip,
                        r.local.port,
                        r.headers["x-foo"],
                        r.headers.get("host"),
                        r.cookie["a"].value,
                        r.path_info,
                        r.script_name,
                        r.protocol,
                        r.login,
                        sorted(r.toolmaps["tools"]),
                        "X-FOO" in dict(r.header_list),
                        r.is_index,
                    ),
                )
            )

    tree = mount(Page(), at="/app")
    answer = call(
        tree, "/app/page", "q=1", HTTP_X_FOO="=?utf-8?q?f=C3=A9?=", HTTP_COOKIE="a=b; bad name=x"
    )
    assert answer.text.splitlines() == [
        "http://localhost",
        "GET /app/page?q=1 HTTP/1.1",
        "127.0.0.9",
        "8080",
        "f\xe9",
        "localhost",
        "b",
        "/page",
        "/app",
        "(1, 1)",
        "None",
        "['encode', 'log_headers', 'log_tracebacks', 'trailing_slash']",
        "True",
        "False",
    ]


def test_a_host_cannot_bring_in_a_line() -> None:
    class Page:
        @expose
        def index(self) -> str:
            return str(request.base + " " + request.headers["Host"])

    answer = call(mount(Page()), HTTP_HOST="=?iso-8859-1?q?foo=0Abar?=")
    assert answer.text == "http://foobar foobar"


def test_a_request_without_a_host_is_refused_by_http_1_1_only() -> None:
    tree = mount(Root())
    answer = call(tree, HTTP_HOST=None)
    assert answer.code == 400
    assert "requires a &#x27;Host&#x27;" in answer.text or "requires a 'Host'" in answer.text
    assert call(tree, HTTP_HOST=None, SERVER_PROTOCOL="HTTP/1.0").code == 200
    assert call(tree, SERVER_PROTOCOL="nonsense").code == 400


def test_attributes_set_on_a_request_are_gone_with_the_next() -> None:
    class Page:
        @expose
        def index(self) -> str:
            before = getattr(request, "mine", None)
            request.mine = request.show_tracebacks = 5
            return repr(before)

    tree = mount(Page())
    assert [call(tree).text for _ in range(2)] == ["None", "None"]


def test_a_query_in_another_charset_is_not_found() -> None:
    answer = call(mount(Root()), "/echo", "a=%ff")
    assert answer.code == 404
    assert "Query strings for this resource must be encoded with 'utf8'." in answer.text
    assert (
        "latin"
        in call(
            mount(Root(), {"request.query_string_encoding": "latin-1"}), "/echo", "a=latin%ff"
        ).text
    )


def test_paths_are_utf8_where_they_can_be() -> None:
    tree = mount(Root())
    assert call(tree, "/echo/\xc3\xa9").text == "(('\xe9',), [])"
    assert call(tree, "/echo/\xff").text == "(('\xff',), [])"


def test_head_has_the_fields_and_no_body() -> None:
    answer = call(mount(Root()), method="HEAD")
    assert answer["Content-Length"] == "12"
    assert answer.body == b""


def test_head_closes_what_it_does_not_send() -> None:
    closed = []

    class Page:
        @expose
        def index(self) -> Any:
            response.stream = True

            def chunks() -> Any:
                try:
                    yield b"x"
                finally:
                    closed.append(True)

            made = chunks()
            next(made)
            return made

    call(mount(Page()), method="HEAD")
    assert closed == [True]


def test_a_posted_form() -> None:
    answer = call(mount(Root()), "/echo", "q=1", method="POST", body=b"a=1&b=2")
    assert answer.text == "((), [('a', '1'), ('b', '2'), ('q', '1')])"


def test_accept_charset_goes_through_the_tool() -> None:
    tree = mount(Root())
    answer = call(tree, "/value/text", HTTP_ACCEPT_CHARSET="utf-16")
    assert answer["Content-Type"] == "text/html;charset=utf-16"
    assert answer.body.decode("utf-16") == "h\xe9llo \u20ac"
    answer = call(tree, "/value/text", HTTP_ACCEPT_CHARSET="us-ascii")
    assert answer.code == 406
    assert "We tried these charsets: iso-8859-1, us-ascii." in answer.text


def test_text_without_the_encode_tool_is_an_error() -> None:
    assert call(mount(Root(), {"tools.encode.on": False}), "/").code == 500
    assert call(mount(Root(), {"tools.encode.on": False}), "/value/bytes").code == 200


def test_text_under_another_content_type_is_utf8() -> None:
    class Page:
        @expose
        def json(self) -> str:
            response.headers["Content-Type"] = "application/json"
            return '"\xe9"'

        @expose
        def plain(self) -> str:
            response.headers["Content-Type"] = "text/plain"
            response.headers["Content-Length"] = "999"
            return "x"

    tree = mount(Page())
    answer = call(tree, "/json")
    assert (answer["Content-Type"], answer.body) == ("application/json", b'"\xc3\xa9"')
    answer = call(tree, "/plain")
    assert (answer["Content-Type"], answer["Content-Length"]) == ("text/plain;charset=utf-8", "1")


def test_the_access_log_is_asked_and_a_replaced_one_is_called() -> None:
    tree = mount(Root())
    seen = []
    app = app_of(tree)
    app.log.access = lambda: seen.append(serving.response.status)
    call(tree)
    assert seen == ["200 OK"]
    del app.log.access
    site.log.access = lambda: seen.append("site")
    try:
        call(tree)
    finally:
        del site.log.access
    assert seen == ["200 OK", "site"]


def test_the_access_log_knows_the_length(caplog: Any) -> None:
    with caplog.at_level("INFO"):
        call(mount(Root()), HTTP_USER_AGENT="me")
    assert any(
        '"GET / HTTP/1.1" 200 12 "" "me"' in record.getMessage() for record in caplog.records
    )


def test_publishes_are_seen_by_who_patches_the_engine() -> None:
    published = []
    original = site.engine.publish
    site.engine.publish = lambda channel, *a, **kw: (
        published.append(channel) or original(channel, *a, **kw)
    )
    try:
        call(mount(Root()))
    finally:
        del site.engine.publish
    assert published[:2] == ["acquire_thread", "before_request"]
    assert published[-1] == "after_request"


def test_serving_is_cleared_after_the_body() -> None:
    during = []

    class Page:
        @expose
        def index(self) -> Any:
            response.stream = True

            def chunks() -> Any:
                during.append(serving.request.path_info)
                yield b"x"

            return chunks()

    default = serving.request
    call(mount(Page()))
    assert during == ["/"]
    assert serving.request is default


def test_a_stream_may_be_pulled_and_closed_by_another_thread() -> None:
    ended: list[Any] = []

    class Page:
        @expose
        def index(self) -> Any:
            response.stream = True
            serving.request.hooks.attach("on_end_request", lambda: ended.append(request.path_info))

            def chunks() -> Any:
                for _ in range(3):
                    yield request.path_info.encode()

            return chunks()

    tree = mount(Page())
    result = tree(environ(), lambda status, headers: None)
    chunks = iter(result)
    assert next(chunks) == b"/"
    got: list[Any] = []

    def elsewhere() -> None:
        before = serving.request
        got.extend(chunks)
        result.close()
        result.close()
        got.append(serving.request is before)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(5)
    assert got == [b"/", b"/", True]
    assert ended == ["/"]
    serving.clear()


def test_run_with_a_plain_list_of_fields() -> None:
    app = Application(Root(), "")
    req, resp = app.get_serving(Host("127.0.0.1", 80), Host("10.0.0.1", 5), "https", "HTTP/1.1")
    try:
        fields = [("Host", "foo"), ("X-A", "1"), ("x-a", "2"), ("Cookie", "a=b")]
        assert req.run("GET", "/echo/1", "b=2", "HTTP/1.1", fields, None) is resp
        assert resp.output_status == b"200 OK"
        assert b"".join(resp.body) == b"(('1',), [('b', '2')])"
        assert dict(resp.header_list)[b"Content-Length"] == b"22"
        assert req.headers["X-A"] == "1, 2"
        assert req.cookie["a"].value == "b"
        assert req.base == "https://foo"
        assert req.header_list == fields
        assert req.remote.ip == "10.0.0.1"
    finally:
        app.release_serving()
    assert req.closed


def test_a_request_class_of_ones_own() -> None:
    made = []

    class MyRequest(Request):
        def __init__(self, local: Any, remote: Any, *rest: Any) -> None:
            made.append((local.port, remote.ip))
            super().__init__(local, remote, *rest)

    class MyResponse(Response):
        def finalize(self) -> None:
            self.headers["X-Mine"] = "yes"
            super().finalize()

    tree = mount(Root())
    app_of(tree).request_class = MyRequest
    app_of(tree).response_class = MyResponse
    answer = call(tree)
    assert (answer.body, answer["X-Mine"]) == (b"Hello World!", "yes")
    assert made == [(8080, "127.0.0.9")]


def test_unique_ids() -> None:
    one = LazyUUID4()
    assert str(one) == str(one) == one.uuid4
    assert len(str(one)) == 36
    assert str(LazyUUID4()) != str(one)


class TestNative:
    fields = {"HTTP_HOST": "localhost:8080", "HTTP_X_A": "1"}

    def respond(self, app: Any, path: str = "/", query: str = "", method: str = "GET") -> Any:
        return app.respond(
            method, path, query, self.fields, None, ("127.0.0.1", 80), ("10.1.1.1", 9)
        )

    def test_the_same_response_without_wsgi(self) -> None:
        tree = mount(Root())
        default = serving.request
        status, headers, body = self.respond(app_of(tree), "/echo/\xc3\xa9", "a=1")
        assert status == "200 OK"
        assert body == "(('\xe9',), [('a', '1')])".encode()
        assert dict(headers)["Content-Length"] == str(len(body))
        assert serving.request is default  # nothing waits for the end of the body

    def test_facts_without_an_environment(self) -> None:
        class Page:
            @expose
            def index(self) -> str:
                r = request
                return f"{r.remote.ip} {r.local.port} {r.base} {r.headers['X-A']} {r.wsgi_environ}"

        _, _, body = self.respond(app_of(mount(Page())))
        assert body == b"10.1.1.1 80 http://localhost:8080 1 None"

    def test_on_end_request_waits_for_close(self) -> None:
        ended: list[bool] = []
        tree = mount(Root(), {"hooks.on_end_request": lambda: ended.append(True)})
        _, _, body = self.respond(app_of(tree))
        assert b"".join(body) == b"Hello World!"
        assert ended == []
        body.close()
        body.close()
        assert ended == [True]

    def test_streams_errors_and_redirects(self) -> None:
        from cherrypy.framework.errors import InternalRedirect

        class Page:
            @expose
            def stream(self) -> Any:
                response.stream = True
                return (x for x in (b"a", b"b"))

            @expose
            def go(self) -> Any:
                raise InternalRedirect("/stream?x=1" if "q" in request.params else "/there")

            @expose
            def there(self) -> str:
                return str(request.prev.path_info)

            @expose
            def loop(self) -> Any:
                raise InternalRedirect("/loop")

        app = app_of(mount(Page(), at="/app"))
        status, headers, body = self.respond(app, "/app/stream")
        assert "Content-Length" not in dict(headers)
        assert b"".join(body) == b"ab"
        body.close()
        assert self.respond(app, "/app/go")[2] == b"/go"
        status, headers, body = self.respond(app, "/app/loop")
        assert status == "500 Internal Server Error"
        assert b"Unrecoverable error" in b"".join(body)
        assert self.respond(app, "/app/nowhere")[0] == "404 Not Found"

    def test_the_tree_says_who_can_do_without_wsgi(self) -> None:
        tree = mount(Root())
        app = app_of(tree)
        assert tree.direct("/x") is app
        tree.graft(lambda environ, start_response: [], "/raw")
        assert tree.direct("/x") is app
        assert tree.direct("/raw/x") is None
        app.wsgiapp.pipeline.append(("mine", lambda nextapp: nextapp))
        assert tree.direct("/x") is None


def test_errors_are_classes_users_know() -> None:
    assert issubclass(NotFound, HTTPError)


def test_many_threads_at_once_see_only_their_own() -> None:
    class Page:
        @expose
        def index(self, n: str) -> str:
            request.hooks.attach("before_finalize", lambda: response.headers.update({"X-N": n}))
            return f"{request.params['n']} {serving.request.query_string}"

    tree = mount(Page(), {"tools.response_headers.on": True})
    wrong: list[Any] = []

    def work(number: int) -> None:
        for count in range(100):
            n = f"{number}-{count}"
            answer = call(tree, "/", "n=" + n)
            if (answer.text, answer["X-N"]) != (f"{n} n={n}", n):
                wrong.append(answer)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert wrong == []


class TestHostilePaths:
    @pytest.mark.parametrize("config", [{}, {"/": {}, "/b": {"tools.gzip.on": False}}])
    @pytest.mark.parametrize("path", ["/" + "a/" * 80_000, "/" + "\xc3\xa9/" * 40_000])
    def test_a_path_of_many_segments_costs_little(self, config: Any, path: str) -> None:
        tree = mount(Root(), config=config)
        started = time.thread_time()
        answer = call(tree, path)
        assert time.thread_time() - started < 0.2
        assert answer.status.startswith("414")
