"""Errors, redirects and error pages: what the peer reads, and what it must never read."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from spine_kit import call, mount

from cherrypy.framework import errors
from cherrypy.framework.errors import (
    HTTPError,
    HTTPRedirect,
    InternalRedirect,
    NotFound,
    bare_error,
    format_exc,
    get_error_page,
)
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import response
from cherrypy.framework.site import site


class Root:
    @expose
    def index(self) -> str:
        return "index"

    @expose
    def fail(self, status: str = "404", message: str | None = None) -> str:
        raise HTTPError(int(status) if status.isdigit() else status, message)

    @expose
    def boom(self) -> str:
        raise ValueError("a <secret>")

    @expose
    def go(self, to: str = "/x", status: str = "0") -> str:
        raise HTTPRedirect(to, int(status) or None)

    @expose
    def status(self, to: str) -> str:
        response.status = int(to) if to.isdigit() else to
        return "content"

    @expose
    def inner(self, to: str) -> str:
        raise InternalRedirect(to)

    @expose
    def seen(self, **kwargs: str) -> str:
        from cherrypy.framework.serving import request

        return f"{sorted(kwargs.items())} {request.prev and request.prev.path_info}"


def test_an_unanticipated_error_says_nothing(caplog: Any) -> None:
    answer = call(mount(Root()), "/boom")
    assert answer.status == "500 Internal Server Error"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert __file__ not in answer.text
    traced = [r for r in caplog.records if "a <secret>" in r.getMessage() or r.exc_info]
    assert len(traced) == 1  # logged, and once


def test_a_traceback_only_where_it_is_wanted_and_escaped() -> None:
    answer = call(mount(Root(), {"request.show_tracebacks": True}), "/boom")
    assert "ValueError: a &lt;secret&gt;" in answer.text
    assert "Traceback (most recent call last)" in answer.text


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("status=404", "404 Not Found", "Nothing matches the given URI"),
        ("status=404&message=a%3Cb", "404 Not Found", "a&lt;b"),
        ("status=404+Gone+fishing", "404 Gone fishing", "Nothing matches"),
        ("status=781", "500 Internal Server Error", "status from server (781 is out of range)."),
        ("status=error", "500 Internal Server Error", "('error' is non-numeric)."),
        ("status=200", "500 Internal Server Error", "unexpected condition"),
    ],
)
def test_http_errors(query: str, status: str, text: str) -> None:
    answer = call(mount(Root()), "/fail", query)
    assert answer.status == status
    assert text in answer.text
    assert answer["Content-Type"] == "text/html;charset=utf-8"


def test_the_paths_of_not_found() -> None:
    assert "The path '/app/x' was not found." in call(mount(Root(), at="/app"), "/app/x").text
    assert NotFound("/p").args == (404, "The path '/p' was not found.")


def test_fields_of_the_failed_representation_go() -> None:
    class Page:
        @expose
        def index(self) -> str:
            for name in ("ETag", "Content-Encoding", "Vary", "Last-Modified", "X-Mine", "Allow"):
                response.headers[name] = "v"
            raise HTTPError(404)

    names = [name for name, _ in call(mount(Page())).headers]
    assert "Allow" in names
    assert "X-Mine" in names
    assert not {"Etag", "Content-Encoding", "Vary", "Last-Modified"} & set(names)


class TestPages:
    def test_files(self, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        page.write_text("<h1>%(status)s|%(message)s|%(version)s</h1>")
        answer = call(mount(Root(), {"error_page.404": str(page)}), "/fail")
        assert answer.text.rstrip(" ") == (
            f"<h1>404 Not Found|Nothing matches the given URI|{_version()}</h1>"
        )
        assert len(answer.body) == 513  # old browsers replace what is smaller

    def test_callables_and_the_default(self) -> None:
        conf = {
            "error_page.404": lambda **kw: "four " + kw["message"],
            "error_page.default": lambda **kw: (x for x in ("other", b"!")),
        }
        tree = mount(Root(), conf)
        assert call(tree, "/fail").text.startswith("four Nothing matches")
        assert call(tree, "/boom").text.rstrip() == "other!"
        assert call(tree, "/fail", "status=401").body == b"other!"

    def test_a_failing_page_is_said_and_logged(self, caplog: Any) -> None:
        def page(**kwargs: Any) -> str:
            raise KeyError("<inner>")

        answer = call(mount(Root(), {"error_page.404": page}), "/fail", "message=m")
        expected = (
            "m<br />In addition, the custom error page failed:\n<br />KeyError: '&lt;inner&gt;'"
        )
        assert expected in answer.text
        assert any(record.exc_info for record in caplog.records)

    def test_a_missing_page_does_not_tell_where_it_should_be(self) -> None:
        conf: dict[str, Any] = {"error_page.404": "/secret/place.html"}
        answer = call(mount(Root(), conf), "/fail")
        assert "FileNotFoundError: [Errno 2] No such file or directory" in answer.text
        assert "secret" not in answer.text
        conf["request.show_tracebacks"] = True
        assert "'/secret/place.html'" in call(mount(Root(), conf), "/fail").text

    def test_the_default_page(self) -> None:
        page = get_error_page("404 Foo", message="<m>", traceback="<t>", version="9<").decode()
        for text in ("<title>404 Foo</title>", "&lt;m&gt;", "&lt;t&gt;", "CherryPy 9&lt;"):
            assert text in page


def _version() -> str:
    return str(getattr(site, "__version__", "18.10.0"))


class TestRedirects:
    @pytest.mark.parametrize(
        ("status", "text"),
        [
            (300, "can be found at"),
            (301, "has permanently moved to"),
            (302, "resides temporarily at"),
            (303, "can be found at"),
            (307, "has moved temporarily to"),
            (308, "has been moved to"),
        ],
    )
    def test_bodies(self, status: int, text: str) -> None:
        answer = call(mount(Root()), "/go", f"status={status}")
        assert answer.code == status
        assert answer["Location"] == "http://localhost/x"
        url = "http://localhost/x"
        assert answer.text == f'This resource {text} <a href="{url}">{url}</a>.'

    def test_without_a_body(self) -> None:
        answer = call(mount(Root()), "/go", "status=304")
        assert (answer.code, answer.body) == (304, b"")
        assert "Content-Type" not in dict(answer.headers)
        answer = call(mount(Root()), "/go", "status=305")
        assert (answer["Location"], answer["Content-Length"]) == ("http://localhost/x", "0")
        assert call(mount(Root()), "/go", "status=306").code == 500

    def test_defaults_by_protocol(self) -> None:
        assert call(mount(Root()), "/go").code == 303
        assert call(mount(Root()), "/go", SERVER_PROTOCOL="HTTP/1.0").code == 302

    @pytest.mark.parametrize(
        ("to", "location"),
        [
            ("y", "http://localhost/y"),
            ("?a=b", "http://localhost/go?a=b"),
            ("http%3A//e.com/z", "http://e.com/z"),
            ("/a%20%E2%82%AC", "http://localhost/a%20%E2%82%AC"),
        ],
    )
    def test_targets(self, to: str, location: str) -> None:
        assert call(mount(Root()), "/go", "to=" + to)["Location"] == location

    def test_nothing_can_be_injected(self) -> None:
        answer = call(mount(Root()), "/go", "to=/x%0D%0ASet-Cookie:a=b%00%22%3E%3Cscript%3E")
        assert all("\r" not in v and "\n" not in v and "\0" not in v for _, v in answer.headers)
        assert answer.all("Set-Cookie") == []
        assert "<script>" not in answer.text

    def test_the_exception(self) -> None:
        redirect = HTTPRedirect(["http://h/a", b"http://h/b"], "301")
        assert redirect.urls == ["http://h/a", "http://h/b"]
        assert redirect.status == 301
        assert str(redirect) == "(['http://h/a', 'http://h/b'], 301)"
        assert HTTPRedirect.default_status == 303
        for bad in (404, 200, 999):
            with pytest.raises(ValueError, match="between 300 and 399"):
                HTTPRedirect("http://h/", bad)
        with pytest.raises(HTTPRedirect):
            redirect()


class TestInternalRedirects:
    def test_path_and_query(self) -> None:
        tree = mount(Root(), at="/app")
        assert call(tree, "/app/inner", "to=/seen%3Fa=1").text == "[('a', '1')] /inner"
        assert call(tree, "/app/inner", "to=seen").text == "[] /inner"
        assert call(tree, "/app/inner", "to=/none").code == 404

    def test_the_method_becomes_get(self) -> None:
        answer = call(mount(Root()), "/inner", method="POST", body=b"to=/seen")
        assert answer.text == "[] /inner"

    def test_loops_end(self) -> None:
        answer = call(mount(Root()), "/inner", "to=/inner%3Fto=/inner")
        assert answer.code == 404 or "Unrecoverable" in answer.text

        class Loop:
            @expose
            def index(self) -> str:
                raise InternalRedirect("/")

        site_conf = {"request.show_tracebacks": True}
        dict.update(site.config, site_conf)
        try:
            answer = call(mount(Loop()))
        finally:
            dict.pop(site.config, "request.show_tracebacks")
        assert answer.code == 500
        assert "InternalRedirector visited the same URL twice: '/'" in answer.text

    def test_no_other_host(self) -> None:
        assert InternalRedirect("//evil/x").path == "/evil/x"


class TestStatus:
    @pytest.mark.parametrize("code", [204, 205, 304])
    def test_without_content(self, code: int) -> None:
        answer = call(mount(Root()), "/status", f"to={code}")
        assert (answer.code, answer.body) == (code, b"")
        assert "Content-Length" not in dict(answer.headers)

    def test_reasons(self) -> None:
        tree = mount(Root())
        assert call(tree, "/status", "to=201+Made").status == "201 Made"
        assert call(tree, "/status", "to=413+A%0D%0AX%3A+y%E2%82%AC").status == "413 AX: y?"
        assert "999 is out of range" in call(tree, "/status", "to=999").text
        assert "('abc' is non-numeric)" in call(tree, "/status", "to=abc").text


def test_throw_errors_lets_them_out_to_the_trapper() -> None:
    answer = call(mount(Root(), {"request.throw_errors": True}), "/boom")
    assert answer.body == b"Unrecoverable error in the server.\n"
    assert answer.calls == 1


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), SystemExit(3)])
def test_what_ends_the_process_is_not_answered(exc: BaseException) -> None:
    ended = []

    class Page:
        @expose
        def index(self) -> str:
            raise exc

    answer = call(mount(Page(), {"hooks.on_end_request": lambda: ended.append(1)}))
    assert answer.error is exc
    assert answer.calls == 0
    assert ended == [1]


def test_error_response() -> None:
    def mine() -> None:
        response.status = 503
        response.body = [b"mine"]

    answer = call(mount(Root(), {"request.error_response": mine}), "/boom")
    assert (answer.code, answer.body) == (503, b"mine")
    answer = call(mount(Root(), {"request.error_response": HTTPError(503)}), "/boom")
    assert answer.body == b"Unrecoverable error in the server.\n"


def test_an_error_before_configuration_is_logged_too(caplog: Any) -> None:
    with caplog.at_level(logging.INFO):
        assert call(mount(Root(), {"request.dispatch": 5}), "/boom").code == 500
        assert call(mount(Root(), {"hooks.nowhere": 5}), "/boom").code == 500
    assert sum(1 for record in caplog.records if record.exc_info) == 2


def test_handle() -> None:
    with pytest.raises(HTTPError) as caught, HTTPError.handle(ValueError, 404, "gone"):
        raise ValueError("x")
    assert (caught.value.code, caught.value._message) == (404, "gone")
    with pytest.raises(HTTPError) as caught, HTTPError.handle((KeyError, ValueError), "403 No"):
        raise ValueError("why")
    assert (caught.value.status, caught.value._message) == ("403 No", "why")
    with pytest.raises(TypeError), HTTPError.handle(ValueError):
        raise TypeError


def test_the_names_of_the_old_module() -> None:
    for name in [
        "CherryPyException",
        "HTTPError",
        "HTTPRedirect",
        "InternalRedirect",
        "NotFound",
        "_HTTPErrorTemplate",
        "_be_ie_unfriendly",
        "_ie_friendly_error_sizes",
        "bare_error",
        "clean_headers",
        "format_exc",
        "get_error_page",
        "_exc_info",
        "TimeoutError",
    ]:
        assert hasattr(errors, name), name
    assert format_exc() == ""
    try:
        raise ValueError("x")
    except ValueError as exc:
        assert format_exc() == format_exc(exc) != ""
    assert bare_error("\xe9")[2] == [b"Unrecoverable error in the server.\n\xc3\xa9"]
    assert bare_error()[1][1] == (b"Content-Length", b"34")
