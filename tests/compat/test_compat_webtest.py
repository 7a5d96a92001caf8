"""The test helpers, used as application test suites use them: under pytest and under unittest."""

from __future__ import annotations

import datetime
import io
import subprocess
import sys
import unittest
from pathlib import Path

import pytest
from compat_process import free_port

import cherrypy
from cherrypy.test import helper, logtest, webtest


class TestServed(helper.CPWebCase):
    PORT = free_port()
    interactive = False

    @classmethod
    def setup_server(cls) -> None:
        class Root:
            @cherrypy.expose
            def index(self, a: str = "") -> str:
                return f"index {a}"

            @cherrypy.expose
            def cookie(self) -> str:
                cherrypy.response.cookie["one"] = "1"
                return "set"

            @cherrypy.expose
            def missing(self) -> str:
                raise cherrypy.HTTPError(404, "not <here>")

            @cherrypy.expose
            def broken(self) -> str:
                raise ValueError("broken on purpose")

            @cherrypy.expose
            def told(self) -> str:
                webtest.server_error((ValueError, ValueError("x"), None))
                return "told"

        cherrypy.tree.mount(Root())
        cherrypy.tree.mount(Root(), "/below")

    def test_get_page(self) -> None:
        status, headers, body = self.getPage("/?a=1")
        assert (status, body) == ("200 OK", b"index 1")
        assert dict(headers)["Content-Type"] == "text/html;charset=utf-8"
        self.assertStatus(200)
        self.assertStatus("200 OK")
        self.assertStatus((404, 200))
        self.assertBody("index 1")
        self.assertInBody("index")
        self.assertMatchesBody(r"index \d")
        self.assertHeader("content-length", 7)
        self.assertHeaderIn("Content-Length", ["6", "7"])
        self.assertNoHeader("X-Other")
        assert self.status_code == 200
        assert self.time is not None

    def test_failures_raise(self) -> None:
        self.getPage("/")
        for fails in (
            lambda: self.assertStatus(404),
            lambda: self.assertBody("other"),
            lambda: self.assertInBody("other"),
            lambda: self.assertNotInBody("index"),
            lambda: self.assertMatchesBody("other"),
            lambda: self.assertHeader("X-Other"),
            lambda: self.assertHeader("Content-Type", "other"),
            lambda: self.assertHeaderIn("Content-Type", ["other"]),
            lambda: self.assertHeaderItemValue("Content-Type", "other"),
            lambda: self.assertNoHeader("Content-Type"),
        ):
            with pytest.raises(AssertionError):
                fails()

    def test_cookies(self) -> None:
        self.getPage("/cookie")
        assert self.cookies == [("Cookie", "one=1")]
        self.getPage("/", self.cookies)
        assert self.cookies == []

    def test_error_page(self) -> None:
        self.getPage("/missing")
        self.assertErrorPage(404, "not <here>")
        with pytest.raises(AssertionError):
            self.assertErrorPage(404, "something else")
        with pytest.raises(AssertionError):
            self.assertErrorPage(500, "not <here>")

    def test_error_page_with_traceback(self) -> None:
        """The environment of tests shows them."""
        self.getPage("/broken")
        self.assertErrorPage(500, pattern="ValueError: broken on purpose")
        with pytest.raises(AssertionError):
            self.assertErrorPage(500, pattern="KeyError")
        with pytest.raises(AssertionError):
            self.assertErrorPage(500, pattern=None)

    def test_server_error(self) -> None:
        with pytest.raises(webtest.ServerError):
            self.getPage("/told")
        webtest.ServerError.on = False

    def test_script_name(self) -> None:
        self.script_name = "/below"
        self.getPage("/?a=2")
        self.assertBody("index 2")
        assert self.base() == f"http://127.0.0.1:{self.PORT}/below"
        assert self.prefix() == "/below"

    def test_persistent(self) -> None:
        self.persistent = True
        try:
            self.getPage("/")
            first = self.HTTP_CONN.sock
            self.getPage("/?a=2")
            assert self.HTTP_CONN.sock is first
            self.assertBody("index 2")
        finally:
            self.persistent = False
        assert not self.persistent

    def test_post(self) -> None:
        self.getPage("/", method="POST", body="a=posted")
        self.assertBody("index posted")

    def test_bytes_path(self) -> None:
        self.getPage(b"/?a=%C3%A9")
        self.assertBody("index \u00e9")

    def test_dates(self) -> None:
        one = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 naive on purpose
        self.assertEqualDates(one, one + datetime.timedelta(seconds=1))
        with pytest.raises(AssertionError):
            self.assertEqualDates(one, one + datetime.timedelta(seconds=3))
        with pytest.raises(AssertionError):
            self.assertEqualDates(one, one + datetime.timedelta(seconds=1), seconds=0.5)

    def test_skip(self) -> None:
        with pytest.raises(unittest.SkipTest):
            self.skip("because")


class TestNative(helper.CPWebCase):
    PORT = free_port()
    default_server = "native"

    @staticmethod
    def setup_server() -> None:
        class Root:
            @cherrypy.expose
            def index(self) -> str:
                return type(cherrypy.server.httpserver).__name__

        cherrypy.tree.mount(Root())

    def test_served_natively(self) -> None:
        self.getPage("/")
        self.assertBody("CPHTTPServer")


UNITTEST = """
import unittest, cherrypy
from cherrypy.test import helper

class Case(helper.CPWebCase):
    PORT = %d

    @classmethod
    def setup_server(cls):
        class Root:
            @cherrypy.expose
            def index(self):
                return 'hello'
        cherrypy.tree.mount(Root())

    def test_hello(self):
        self.getPage('/')
        self.assertBody('hello')

    def test_fails(self):
        self.getPage('/')
        self.assertBody('other')

unittest.main()
"""


def test_under_unittest(tmp_path: Path) -> None:
    path = tmp_path / "case.py"
    path.write_text(UNITTEST % free_port())
    done = subprocess.run(
        [sys.executable, str(path), "-v"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    assert "test_hello (__main__.Case" in done.stderr
    assert "Ran 3 tests" in done.stderr
    assert "FAILED (failures=1)" in done.stderr, done.stderr


def test_never_interactive_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Case(webtest.WebCase):
        status = "200 OK"

        def runTest(self) -> None:
            pass

    case = Case()
    assert case.interactive is False
    with pytest.raises(AssertionError):
        case.assertStatus(404)
    monkeypatch.setenv("WEBTEST_INTERACTIVE", "true")
    assert case.interactive is True
    monkeypatch.setattr(sys, "stdin", io.StringIO("s\ni\n"))
    case.assertStatus(404)  # ignored
    monkeypatch.setattr(sys, "stdin", io.StringIO("r\n"))
    with pytest.raises(AssertionError):
        case.assertStatus(404)
    Case.interactive = False
    assert case.interactive is False


def test_interface() -> None:
    assert webtest.interface("0.0.0.0") == "127.0.0.1"
    assert webtest.interface("::") == "::1"
    assert webtest.interface("10.0.0.1") == "10.0.0.1"


def test_clean_headers() -> None:
    clean = webtest.cleanHeaders
    assert clean(None, "GET", None, "h", 80) == [("Host", "h")]
    assert clean(None, "GET", None, "h", 443) == [("Host", "h:443")]
    assert clean([("host", "x")], "POST", b"abc", "h", 8080) == [
        ("host", "x"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", "3"),
    ]
    assert clean([("Content-type", "x")], "POST", b"abc", "h", 8080) == [
        ("Content-type", "x"),
        ("Host", "h:8080"),
    ]


def test_strip_netloc() -> None:
    assert webtest.strip_netloc("https://google.com/foo/bar?bing#baz") == "/foo/bar?bing"
    assert webtest.strip_netloc("//google.com/foo/bar?bing#baz") == "/foo/bar?bing"
    assert webtest.strip_netloc("/foo/bar?bing#baz") == "/foo/bar?bing"


def test_refused_connections_are_raised_at_once_when_asked() -> None:
    with pytest.raises(ConnectionRefusedError):
        webtest.openURL("/", port=free_port(), raise_subcls=ConnectionRefusedError)


def test_ignored_exceptions(capsys: pytest.CaptureFixture[str]) -> None:
    webtest.ServerError.on = False
    webtest.ignored_exceptions.append(KeyError)
    try:
        try:
            raise KeyError("x")
        except KeyError:
            assert webtest.server_error() is False
        assert webtest.ServerError.on is False
        try:
            raise ValueError("shown")
        except ValueError:
            assert webtest.server_error() is True
        assert webtest.ServerError.on is True
    finally:
        webtest.ignored_exceptions.remove(KeyError)
        webtest.ServerError.on = False
    assert "ValueError: shown" in capsys.readouterr().out


class TestLog(logtest.LogCase, unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.logfile = str(tmp_path / "the.log")
        Path(self.logfile).write_bytes(b"zero\n")
        self.lastmarker = None

    def add(self, text: str) -> None:
        assert self.logfile
        with open(self.logfile, "a", encoding="utf-8") as log:
            log.write(text)

    def test_marks(self) -> None:
        self.assertInLog("zero")
        self.markLog()
        self.add("one two\nthree\n")
        self.assertNotInLog("zero")
        self.assertInLog("two")
        self.assertInLog(b"three")
        self.assertLog(0, "one")
        self.assertLog(-1, "three")
        self.assertLog((0, 2), ["one", "three"])
        for fails in (
            lambda: self.assertInLog("four"),
            lambda: self.assertNotInLog("two"),
            lambda: self.assertLog(0, "three"),
            lambda: self.assertLog(7, "three"),
            lambda: self.assertLog((0, 2), ["one", "four"]),
            lambda: self.assertLog((1, 3), ["one", "three"]),
        ):
            with pytest.raises(AssertionError):
                fails()

    def test_named_marks(self) -> None:
        self.markLog("first")
        self.add("a\n")
        self.markLog("second")
        self.add("b\n")
        assert self._read_marked_region("first") == [b"a\n"]
        assert self._read_marked_region() == [b"b\n"]
        self.emptyLog()
        assert self._read_marked_region() == []

    def test_uuid(self) -> None:
        self.markLog()
        self.add("no uuid here\n")
        with pytest.raises(AssertionError):
            self.assertValidUUIDv4()
        self.add("id 7c6bd2bb-5dcd-4b1a-9b0c-2a7a0f8e7b4e\n")
        self.assertValidUUIDv4()


class TestProcess:
    def test_cpprocess(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "cpprocess_app.py").write_text(
            "import cherrypy\nclass Root:\n    @cherrypy.expose\n"
            "    def index(self): return 'child'\n"
            "    @cherrypy.expose\n"
            "    def exit(self):\n        cherrypy.engine.exit()\n        return 'bye'\n"
            "cherrypy.tree.mount(Root())\n"
        )
        monkeypatch.chdir(tmp_path)
        process = helper.CPProcess(socket_host="127.0.0.1", socket_port=free_port())
        process.write_conf(extra="engine.autoreload.on: False")
        process.start(imports="cpprocess_app")
        try:
            page = webtest.openURL("/", host="127.0.0.1", port=process.port)
            assert page[0] == "200 OK"
            assert page[2] == b"child"
            assert process.get_pid() > 0
            webtest.openURL("/exit", host="127.0.0.1", port=process.port)
        finally:
            process.join()
        assert "Bus EXITED" in Path(process.error_log).read_text()
        for name in (process.config_file, process.error_log, process.access_log):
            Path(name).unlink(missing_ok=True)
