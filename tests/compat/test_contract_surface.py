"""Part A1 of the compatibility contract: what programs import, and where, name by name.

These files ask next to nothing of us that CherryPy 18.10 has not: run with its Python, this one fails for
`cherrypy.servers`, `cherrypy._buslog` and `webtest.ignored_exceptions` alone, which older ones had.
"""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import cherrypy

IMPORTED = """
cherrypy: expose tools _cptools _json
cherrypy._cpcompat: HTTPSConnection ntob ntou tonative text_or_bytes
cherrypy._cptree: Application Tree
cherrypy._json: json decode
cherrypy._cpnative_server: CPHTTPServer
cherrypy._cptools: Tool Toolbox HandlerWrapperTool XMLRPCController
cherrypy.lib: auth_basic auth_digest gctools httputil reprconf sessions static
cherrypy.lib.httputil: response_codes HTTPDate decode_TEXT get_ranges urljoin valid_status
cherrypy.process: plugins servers wspbus
cherrypy.test: helper logtest webtest
cherrypy._cperror: get_error_page format_exc HTTPError
cherrypy._cprequest: Hook
cherrypy._cpwsgi: VirtualHost CPWSGIApp
cherrypy._cplogging: LazyRfc3339UtcTime LogManager logfmt
cherrypy._cpserver: Server
cherrypy._cptools: ErrorTool HandlerTool
cherrypy._cpconfig: Config merge
cherrypy._cpreqbody: Part process_multipart process_multipart_form_data
cherrypy._cpdispatch: Dispatcher RoutesDispatcher MethodDispatcher PageHandler
cherrypy._cpchecker: Checker
cherrypy._cpmodpy: ModPythonServer read_process
cherrypy.lib.reprconf: Parser attributes unrepr
cherrypy.lib.encoding: decompress
cherrypy.lib.cptools: SessionAuth accept
cherrypy.lib.gctools: GCRoot
cherrypy.lib.static: serve_file serve_fileobj _serve_fileobj
cherrypy.lib.auth_basic: checkpassword_dict
cherrypy.lib.auth_digest: get_ha1_dict_plain HttpDigestAuthorization
cherrypy.lib.sessions: RamSession FileSession MemcachedSession Session expire
cherrypy.lib.locking: LockChecker
cherrypy.lib.xmlrpcutil: _set_response respond on_error process_body patched_path
cherrypy.lib.cpstats: extrapolate_statistics StatsPage
cherrypy.lib: file_generator set_vary_header
cherrypy.process.wspbus: Bus ChannelFailures bus
cherrypy.process.servers: _safe_wait FlupFCGIServer
cherrypy.process.plugins: Autoreloader Monitor SignalHandler ThreadManager SimplePlugin
"""

REACHED = """
_cperror _cplogging _cprequest _cptools _cptree _cpwsgi dispatch lib.cptools lib.encoding lib.httputil
lib.reprconf engine server servers tree config log tools serving request response Application HTTPError
HTTPError.handle HTTPError.set_response HTTPRedirect InternalRedirect Tool __version__ config.update
dispatch.MethodDispatcher dispatch.RoutesDispatcher dispatch.VirtualHost dispatch.XMLRPCDispatcher
popargs quickstart url checker _buslog process.wspbus process.plugins process.servers
process.plugins.Autoreloader._file_for_file_module _cpreqbody.Part.maxrambytes
_cplogging.LogManager.access_log_format engine.autoreload engine.signal_handler engine.thread_manager
engine._do_execv _cptree.Application.toolboxes _cptree.Application.relative_urls
_cptree.Application.__call__ _cpdispatch.Dispatcher.find_handler _cpdispatch.PageHandler.__call__
_cprequest.Request.handle_error _cpwsgi.CPWSGIApp.__call__ _cperror._exc_info log._get_builtin_handler
_cpdispatch.RoutesDispatcher.find_handler lib.sessions.RamSession.cache lib.sessions.RamSession.locks
lib.sessions.RamSession.acquire_lock lib.sessions.RamSession.release_lock lib.sessions.RamSession.clean_up
lib.caching.MemoryCache.clear _cptools.HandlerTool _cptools.ErrorTool
server.thread_pool _cptools.Tool._setup _cptools.Tool._merged_args lib.sessions.FileSession.SESSION_PREFIX
"""

DOTTED = """
cherrypy._cpwsgi_server.CPWSGIServer cherrypy._cpnative_server.CPHTTPServer
cherrypy._cplogging.LazyRfc3339UtcTime cherrypy._cplogging.LogManager.access_log_format
cherrypy._cpreqbody.Part.maxrambytes cherrypy.lib.sessions.RamSession
cherrypy.lib.sessions.FileSession cherrypy.lib.sessions.MemcachedSession
"""


def imported() -> list[tuple[str, str]]:
    found = []
    for line in IMPORTED.strip().splitlines():
        module, _, names = line.partition(": ")
        found += [(module, name) for name in names.split()]
    return found


@pytest.mark.parametrize(("module", "name"), imported())
def test_import(module: str, name: str) -> None:
    space: dict[str, Any] = {}
    exec(f"from {module} import {name} as found", space)
    assert space["found"] is not None or name == "json"


@pytest.mark.parametrize("name", REACHED.split())
def test_reached_after_a_bare_import(name: str) -> None:
    found: Any = cherrypy
    for part in name.split("."):
        found = getattr(found, part)
    if name != "_cptree.Application.relative_urls":
        assert found is not None


@pytest.mark.parametrize("name", DOTTED.split())
def test_reached_by_a_dotted_string(name: str) -> None:
    from cherrypy.lib.reprconf import attributes

    if name.count(".") > 2:
        module, kind, attribute = name.rsplit(".", 2)
        assert getattr(getattr(importlib.import_module(module), kind), attribute) is not None
    else:
        assert attributes(name).__name__ == name.rpartition(".")[2]


def test_helpers_of_two_pythons() -> None:
    from cherrypy._cpcompat import HTTPSConnection, ntob, ntou, text_or_bytes, tonative

    assert ntob("é") == b"\xe9"
    assert ntou("abc") == "abc"
    assert ntou(r"\u1234", "escape") == r"\u1234"
    assert tonative(b"\xe9") == "é"
    assert tonative("x") == "x"
    assert isinstance("", text_or_bytes)
    assert isinstance(b"", text_or_bytes)
    for wrong in (lambda: ntob(b"x"), lambda: ntou(b"x")):  # type: ignore[arg-type]  # on purpose
        with pytest.raises(TypeError):
            wrong()
    import http.client

    assert HTTPSConnection is http.client.HTTPSConnection


def test_json() -> None:
    from cherrypy._json import decode, json

    assert isinstance(json, types.ModuleType)
    assert decode('{"a": [1, null]}') == {"a": [1, None]}


def test_half_private_names_do_their_work(tmp_path: Path) -> None:
    from cherrypy._cperror import format_exc, get_error_page
    from cherrypy._cplogging import LazyRfc3339UtcTime
    from cherrypy._cprequest import Hook

    page = get_error_page(404, message="<gone>")
    page = page.decode() if isinstance(page, bytes) else page
    assert "404 Not Found" in page
    assert "&lt;gone&gt;" in page
    hooks = [Hook(print, priority=90), Hook(print), Hook(print, priority=10)]
    assert [hook.priority for hook in sorted(hooks)] == [10, 50, 90]
    assert hooks[0].callback is print
    import re

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?Z", str(LazyRfc3339UtcTime())
    )
    try:
        raise ValueError("told")
    except ValueError:
        assert "ValueError: told" in format_exc()
    from cherrypy.lib.reprconf import Parser

    conf = tmp_path / "app.conf"
    conf.write_text("[global]\na: 1\n[/]\nb.c = ['x', None]\n")
    assert Parser().dict_from_file(str(conf)) == {"global": {"a": 1}, "/": {"b.c": ["x", None]}}


def test_http_words() -> None:
    from cherrypy.lib import httputil

    assert httputil.HTTPDate(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert httputil.decode_TEXT("=?utf-8?q?f=C3=BCr?=") == "für"
    assert httputil.get_ranges("bytes=0-1,-2", 10) == [(0, 2), (8, 10)]
    assert httputil.get_ranges(None, 10) is None
    assert httputil.response_codes[405][0] == "Method Not Allowed"
    assert httputil.urljoin("/a/", "/b", "c") == "/a/b/c"
    assert httputil.valid_status("404 Gone fishing")[:2] == (404, "Gone fishing")
    with pytest.raises(ValueError, match=r"Illegal response status from server \(781 is out"):
        httputil.valid_status(781)
    with pytest.raises(ValueError, match=r"\('error' is non-numeric\)\."):
        httputil.valid_status("error")


def test_credentials() -> None:
    from cherrypy.lib.auth_basic import checkpassword_dict
    from cherrypy.lib.auth_digest import HttpDigestAuthorization, get_ha1_dict_plain

    check = checkpassword_dict({"u": "p"})
    assert check("r", "u", "p")
    assert not check("r", "u", "x")
    assert not check("r", "x", "p")
    ha1 = get_ha1_dict_plain({"test": "test"})("wonderland", "test")
    header = (
        'Digest username="test", realm="wonderland", nonce="n", uri="/", qop=auth, '
        'nc=00000001, cnonce="c", response="x", algorithm=MD5'
    )
    given = HttpDigestAuthorization(header, "GET")
    assert (given.realm, given.username) == ("wonderland", "test")
    import hashlib

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    assert given.request_digest(ha1) == md5(f"{ha1}:n:00000001:c:auth:{md5('GET:/')}")


def test_the_icon_and_the_loggers() -> None:
    icon = Path(cherrypy.__file__).with_name("favicon.ico")
    assert icon.stat().st_size > 100
    assert cherrypy.log.error_log is logging.getLogger("cherrypy.error")
    assert cherrypy.log.access_log is logging.getLogger("cherrypy.access")


def test_run_as_a_program() -> None:
    command = [sys.executable, "-m", "cherrypy", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0
    for option in ("-c", "-p", "-i", "-d"):
        assert f" {option}" in done.stdout


def test_the_package_takes_attributes() -> None:
    for name in ("db", "scheduler", "smtp", "ldap", "notification"):
        assert not hasattr(cherrypy, name)
        setattr(cherrypy, name, name)
        try:
            assert importlib.import_module("cherrypy").__dict__[name] == name
        finally:
            delattr(cherrypy, name)


def test_the_client_of_test_harnesses() -> None:
    from cherrypy.test import webtest

    names = "WebCase openURL shb interface cleanHeaders ServerError server_error"
    for name in [*names.split(), "ignored_exceptions", "methods_with_bodies"]:
        assert hasattr(webtest, name), name
    from cherrypy.test.helper import CPWebCase

    assert CPWebCase.PORT == 54583
    assert isinstance(CPWebCase.HOST, str)
    assert CPWebCase.do_gc_test is False
    assert callable(CPWebCase.test_gc)
    for name in ("getPage", "assertStatus", "assertBody", "assertInBody", "assertHeader"):
        assert callable(getattr(CPWebCase, name)), name
    for name in ("assertMatchesBody", "assertErrorPage", "assertNoHeader", "setup_server"):
        assert name == "setup_server" or callable(getattr(CPWebCase, name)), name
