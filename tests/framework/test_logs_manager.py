"""Access and error logs: handlers, lines, escaping, and what they cost."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import timeit

import pytest
from framework_asking import ask, expose

from cherrypy.framework import logs
from cherrypy.framework.application import Application
from cherrypy.framework.logs import LogManager, access_wanted
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site


class Root:
    @expose
    def index(self):
        return "hello"


@pytest.fixture(autouse=True)
def no_screen():
    before = site.log.screen
    site.log.screen = False
    yield
    site.log.screen = before


@pytest.fixture
def log():
    manager = LogManager("test", "test_of_logs")
    yield manager
    for logger in (manager.error_log, manager.access_log):
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


TIME = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\]"


def test_the_defaults(log):
    assert log.error_log.name == "test_of_logs.error.test"
    assert log.access_log.name == "test_of_logs.access.test"
    assert (log.screen, log.access_file, log.error_file, log.wsgi) == (False, "", "", False)
    assert log.error_log.level == log.access_log.level == logging.INFO
    assert re.fullmatch(TIME, log.time())
    assert LogManager("test", "test_of_logs").error_log.handlers == log.error_log.handlers
    assert len(log.error_log.handlers) == 1


def test_errors(log, tmp_path):
    log.error_file = str(tmp_path / "error.log")
    log.error("hello", "CTX")  # noqa: PLE1205 - no logger of `logging`
    log("100 % €")
    log(5, severity=logging.DEBUG)
    try:
        raise KeyError("inside")
    except KeyError:
        log("it", traceback=True)
    log("nothing wrong", traceback=True)
    text = read(log.error_file)
    assert re.match(TIME + " CTX hello\n" + TIME + "  100 % €\n" + TIME + "  it\nTraceback", text)
    assert "KeyError: 'inside'" in text
    assert "NoneType" not in text


def test_files_can_be_changed_and_reopened(log, tmp_path):
    first, second = tmp_path / "1.log", tmp_path / "2.log"
    log.error_file = str(first)
    handler = log._get_builtin_handler(log.error_log, "file")
    log.error_file = str(first)
    assert log._get_builtin_handler(log.error_log, "file") is handler
    log.error_file = str(second)
    log.error("one")
    os.rename(second, first)
    logs.reopen_all()
    log.error("two")
    assert read(first).endswith("one\n")
    assert read(second).endswith("two\n")
    log.error_file = None
    assert log.error_file == ""
    assert len(log.error_log.handlers) == 1


def line_of(tmp_path, monkeypatch, fmt=None, **more):
    app = Application(Root())
    app.log.access_file = str(tmp_path / "access.log")
    try:
        if fmt:
            monkeypatch.setattr(LogManager, "access_log_format", fmt)
        app.log.error_file = str(tmp_path / "error.log")
        ask(app, "/", **more)
        return read(app.log.access_file)
    finally:
        app.log.access_file = app.log.error_file = ""


def test_the_line_of_a_request(tmp_path, monkeypatch):
    headers = [("Referer", "http://r/"), ("User-Agent", "agent")]
    line = line_of(tmp_path, monkeypatch, query="a=1", headers=headers)
    assert re.fullmatch(
        rf'1\.2\.3\.4 - - {TIME} "GET /\?a=1 HTTP/1\.1" (200|404) \d+ "http://r/" "agent"\n', line
    )


def test_all_atoms(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "LazyRfc3339UtcTime", lambda: "now")
    line = line_of(tmp_path, monkeypatch, "{s} {o} {z} {i}|100%|{h!r}")
    assert re.fullmatch(r"200 host\.example now [0-9a-f-]{36}\|100%\|'1\.2\.3\.4'\n", line)


def test_lines_cannot_be_forged(tmp_path, monkeypatch):
    headers = [("User-Agent", 'a"\r\n\t\x00\x1b\x7f\xe9€b\\')]
    line = line_of(tmp_path, monkeypatch, "{a}", headers=headers)
    assert line == r"a\"\r\n\t\x00\x1b\x7f\xc3\xa9\xe2\x82\xacb" + "\\\\\n"


def test_an_unknown_atom_does_not_break_the_request(tmp_path, monkeypatch):
    assert line_of(tmp_path, monkeypatch, "{q}") == ""
    assert "KeyError: 'q'" in read(tmp_path / "error.log")


def test_the_utc_time():
    text = str(logs.LazyRfc3339UtcTime())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00Z", text)


def test_wsgi_errors(log):
    log.wsgi = True
    log.wsgi = True
    assert log.wsgi is True
    log.error("dropped: no request")
    stream = io.StringIO()

    class Request:
        wsgi_environ = {"wsgi.errors": stream}

    serving.request = Request()
    try:
        log.error("kept")
    finally:
        serving.clear()
    assert stream.getvalue().endswith(" kept\n")
    log.wsgi = False
    assert log.wsgi is False


def test_access_is_wanted_only_if_somebody_listens(log, monkeypatch, tmp_path):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    assert access_wanted(log) is False
    log.access_file = str(tmp_path / "x")
    assert access_wanted(log) is True
    log.access_file = None
    root.handlers.append(logging.StreamHandler(io.StringIO()))
    assert access_wanted(log) is True
    log.access_log.propagate = False
    assert access_wanted(log) is False
    log.access = lambda: None
    assert access_wanted(log) is True
    del log.access
    monkeypatch.setattr(LogManager, "access", lambda self: None)
    assert access_wanted(log) is True


def test_a_replaced_access_is_called():
    calls = []
    app = Application(Root())
    app.log.access = lambda: calls.append(1)
    ask(app, "/")
    assert calls == [1]


def test_asking_is_cheap(log, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    best = min(timeit.repeat(lambda: access_wanted(log), number=2000, repeat=7)) / 2000
    assert best < 3e-6  # 0.25 microseconds where it is quiet


SCREEN = """
import logging, sys
from cherrypy.framework.site import site
from cherrypy.framework.logs import LogManager
{root}
site.log.screen = {screen}
app = LogManager("app")
app.screen = {screen}
app.error("printed")
site.log.error("also")
"""


@pytest.mark.parametrize(
    ("root", "screen", "count"),
    [
        ("", True, 1),
        ("logging.basicConfig(level=logging.INFO)", True, 1),
        ("logging.basicConfig(level=logging.INFO, stream=sys.stdout)", True, 1),
        ("logging.basicConfig(level=logging.ERROR)", True, 1),
        ("logging.getLogger().handlers[:] = [logging.NullHandler()]", True, 1),
        ("", False, 0),
    ],
)
def test_nothing_is_printed_twice(root, screen, count):
    code = SCREEN.format(root=root, screen=screen)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    output = done.stdout + done.stderr
    assert (output.count("printed"), output.count("also")) == (count, count), output


def test_other_handlers_of_the_parents_still_get_everything(tmp_path, caplog):
    manager = LogManager("caplog")
    with caplog.at_level(logging.INFO):
        manager.error("seen")
    assert any(record.getMessage().endswith("seen") for record in caplog.records)
