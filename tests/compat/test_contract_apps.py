"""Part B of the compatibility contract: what published applications and their plugins do with the framework."""

from __future__ import annotations

import contextlib
import http.cookies
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compat_process import free_port, get
from contract_kit import served

import cherrypy


class Root:
    @cherrypy.expose
    def default(self, *args: str, **params: str) -> str:
        return f"page {args} {params}"


@contextlib.contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[Any]:
    """As `mock.patch.object` does it, and wrapt's agents."""
    before = owner.__dict__.get(name, owner)
    old = getattr(owner, name)
    setattr(owner, name, value(old) if callable(value) else value)
    try:
        yield old
    finally:
        if before is owner:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


# -------------------------------------------------------------------- B1, private modules


def test_listeners_of_their_own() -> None:
    """SABnzbd, CherryMusic, WMCore: `Server()`, some settings, `subscribe()`."""
    server = cherrypy._cpserver.Server()
    port = free_port()
    server._socket_host = "127.0.0.1"
    server.socket_port = port
    server.thread_pool = 3
    server.ssl_module = "builtin"
    server.ssl_certificate_chain = None
    server.subscribe()
    try:
        with served(Root()) as ask:
            assert get(port)[1] == ask("/").text == "page () {}"
    finally:
        server.unsubscribe()


def test_a_toolbox_of_their_own() -> None:
    """cherrypy-cors: `Toolbox('cors')` among `Application.toolboxes`."""
    box = cherrypy._cptools.Toolbox("contracted")
    box.mark = cherrypy.Tool("before_handler", lambda text="": _field("X-Mark", text))
    cherrypy._cptree.Application.toolboxes.update(contracted=box)
    try:
        config = {"/": {"contracted.mark.on": True, "contracted.mark.text": "marked"}}
        with served(Root(), config) as ask:
            assert ask("/")["X-Mark"] == "marked"
    finally:
        del cherrypy._cptree.Application.toolboxes["contracted"]


def _field(name: str, value: str) -> None:
    cherrypy.response.headers[name] = value


def test_configuration_is_merged(tmp_path: Path) -> None:
    """girder: its whole configuration by `_cpconfig.merge(cherrypy.config, file)`."""
    path = tmp_path / "girder.conf"
    path.write_text("[global]\ncontract.a = 1\n[server]\nmode = 'testing'\n")
    base = cherrypy._cpconfig.Config()
    cherrypy._cpconfig.merge(base, str(path))
    cherrypy._cpconfig.merge(base, {"server": {"more": 2}})
    assert base["server"] == {"mode": "testing", "more": 2}
    assert base["global"] == {"contract.a": 1}


def test_config_parsing_goes_through_as_dict(tmp_path: Path) -> None:
    """ldapcherry and dnscherry replace it."""
    path = tmp_path / "ldap.conf"
    path.write_text("[global]\na = not python\n")

    def replaced(old: Any) -> Any:
        def as_dict(self: Any, raw: bool = False, vars: Any = None) -> dict[str, Any]:
            return {name: dict(self.items(name)) for name in self.sections()}

        return as_dict

    from cherrypy.lib import reprconf

    with patched(reprconf.Parser, "as_dict", replaced):
        assert reprconf.Parser().dict_from_file(str(path))["global"] == {"a": "not python"}
        assert reprconf.Config(str(path))["global"] == {"a": "not python"}
    assert reprconf.unrepr("[1, 'x', None]") == [1, "x", None]


class Uploaded:
    @cherrypy.expose
    def index(self, file: Any) -> str:
        assert isinstance(file, cherrypy._cpreqbody.Part)
        return str(file.file.read().decode())


BOUNDARY = "multipart/form-data; boundary=b"
UPLOAD = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nsent\r\n--b--\r\n'
)

#: What agents wrap, on its class or module, and how often one request of each kind goes through it.
WRAPPED = [
    ("_cpreqbody", "", "process_multipart", "POST"),
    ("_cpdispatch", "Dispatcher", "find_handler", "GET"),
    ("_cpdispatch", "PageHandler", "__call__", "GET"),
    ("_cptree", "Application", "__call__", "GET"),
    ("_cpwsgi", "CPWSGIApp", "__call__", "GET"),
    ("_cprequest", "Request", "handle_error", "ERROR"),
    ("_cprequest", "Request", "respond", "GET"),
]


class Agents(Uploaded):
    @cherrypy.expose
    def page(self) -> str:
        return "page"

    @cherrypy.expose
    def error(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("number", range(len(WRAPPED)))
def test_what_agents_wrap(number: int) -> None:
    """newrelic; it wraps while the server runs or before, and must see every request."""
    module, kind, name, method = WRAPPED[number]
    owner = getattr(cherrypy, module)
    owner = getattr(owner, kind) if kind else owner
    seen = []

    def wrapper(old: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            return old(*args, **kwargs)

        return wrapped

    def asking(ask: Any) -> None:
        if method == "POST":
            assert ask("/", "POST", UPLOAD, Content_Type=BOUNDARY).text == "sent"
        elif method == "ERROR":
            assert ask("/error").status == 500
        else:
            assert ask("/page").text == "page"

    with served(Agents()) as ask:
        with patched(owner, name, wrapper):
            for times in (1, 2, 3):
                asking(ask)
                assert len(seen) == times
        asking(ask)
        assert len(seen) == 3


def test_what_find_handler_gives_is_called() -> None:
    """newrelic names transactions by it; MethodDispatcher looks the verb up on what it gives."""
    seen = []

    class Verbs:
        exposed = True

        def GET(self, *path: str) -> str:
            return f"got {path}"

    class Wrapper:
        exposed = True

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            seen.append(name)
            return getattr(self.inner, name)

    def wrapper(old: Any) -> Any:
        def find_handler(self: Any, path: str) -> Any:
            handler, vpath = old(self, path)
            return Wrapper(handler), vpath

        return find_handler

    config = {"/": {"request.dispatch": cherrypy.dispatch.MethodDispatcher()}}
    with patched(cherrypy._cpdispatch.Dispatcher, "find_handler", wrapper):
        with served(Verbs(), config) as ask:
            assert ask("/x").text == "got ('x',)"
    assert "GET" in seen


def test_errors_are_read_after_their_page() -> None:
    """ddtrace: `_exc_info()` and `format_exc()` from `after_error_response`."""
    seen: list[Any] = []

    def look() -> None:
        seen.append(cherrypy._cperror._exc_info()[0])
        seen.append(cherrypy._cperror.format_exc())

    tool = cherrypy.Tool("after_error_response", look)
    cherrypy.tools.contract_look = tool
    try:
        with served(Agents(), {"/": {"tools.contract_look.on": True}}) as ask:
            assert ask("/error").status == 500
    finally:
        del cherrypy.tools.contract_look
    assert seen[0] is RuntimeError
    assert "RuntimeError" in seen[1]


def test_logs() -> None:
    """WMCore subclasses the manager; others take handlers away, or put functions in their place."""

    class Own(cherrypy._cplogging.LogManager):
        def access(self) -> None:
            lines.append(cherrypy.request.request_line)

    lines: list[str] = []
    log = cherrypy.log
    assert isinstance(cherrypy._cplogging.logfmt, logging.Formatter)
    assert log._get_builtin_handler(log.error_log, "no such kind") is None
    before = log.error_log.handlers, log.access_log.handlers, log.access_log.propagate
    with served(Root()) as ask:
        log.error_log.handlers = []
        log.access_log.handlers = []
        log.access_log.propagate = False
        log.error = lambda *args, **kwargs: lines.append("an error")
        try:
            log.error("x")
            assert ask("/").status == 200
            app = cherrypy.tree.apps[""]
            app.log, kept = Own(), app.log
            assert ask("/own").status == 200
            app.log = kept
        finally:
            del log.error
            log.error_log.handlers, log.access_log.handlers, log.access_log.propagate = before
    assert lines == ["an error", "GET /own HTTP/1.1"]


def test_the_engine_is_rebuilt() -> None:
    """WMCore makes its own, of the same parts."""
    from cherrypy.process import plugins, wspbus

    bus = wspbus.Bus()
    for kind in (plugins.Autoreloader, plugins.ThreadManager):
        kind(bus).subscribe()
    handler = plugins.SignalHandler(bus)
    assert callable(handler.subscribe)
    assert callable(handler.unsubscribe)
    server = cherrypy._cpserver.Server()
    assert hasattr(server, "bus")
    assert cherrypy._cpchecker.Checker().on in (True, False)
    assert callable(bus._do_execv)
    assert hasattr(cherrypy.engine, "signal_handler")


def _own_json(*args: Any, **kwargs: Any) -> bytes:
    """rdiffweb, CherryMusic, pacifica."""
    value = cherrypy.serving.request._json_inner_handler(*args, **kwargs)
    return json.dumps({"wrapped": value}).encode()


class Formats:
    @cherrypy.expose
    @cherrypy.tools.json_out(handler=_own_json)
    def own(self) -> Any:
        return {"a": 1}


def test_json_handlers_of_their_own() -> None:
    with served(Formats()) as ask:
        answer = ask("/own")
        assert answer.text == '{"wrapped": {"a": 1}}'
        assert answer["Content-Type"] == "application/json"


def test_relative_links() -> None:
    """SABnzbd sets the class attribute."""

    class Linked:
        @cherrypy.expose
        def index(self) -> str:
            return str(cherrypy.url("/x/y"))

    application = cherrypy._cptree.Application
    with served(Linked()) as ask:
        with patched(application, "relative_urls", True):
            assert not ask("/").text.startswith("http")
        assert ask("/").text == f"http://127.0.0.1:{ask.port}/x/y"


def test_files_that_are_open(tmp_path: Path) -> None:
    """pacifica-proxy: `lib.static._serve_fileobj`; girder, WMCore: `lib.file_generator`."""

    class Files:
        @cherrypy.expose
        def raw(self) -> Any:
            return cherrypy.lib.static._serve_fileobj(io.BytesIO(b"content"), "text/x-own", 7)

        @cherrypy.expose
        def generated(self) -> Any:
            made = cherrypy.lib.file_generator(io.BytesIO(b"content"), 3)
            assert isinstance(made, cherrypy.lib.file_generator)
            return made

        @cherrypy.expose
        def served(self) -> Any:
            body = cherrypy.lib.static.serve_file(str(path))
            assert body.input.read() == b"text"
            body.input.seek(0)
            return body

    path = tmp_path / "a.txt"
    path.write_bytes(b"text")
    with served(Files()) as ask:
        answer = ask("/raw")
        assert (answer.text, answer["Content-Length"]) == ("content", "7")
        assert ask("/generated").text == "content"
        assert ask("/served").text == "text"


def test_sessions_of_their_own() -> None:
    """cherrys and cherrypy-foundation: a subclass that a plugin puts beside the others."""
    kept: dict[str, Any] = {}
    locks: list[str] = []

    class ContractSession(cherrypy.lib.sessions.Session):
        @classmethod
        def setup(cls, **kwargs: Any) -> None:
            for name, value in kwargs.items():
                setattr(cls, name, value)

        def _exists(self) -> bool:
            return self.id in kept

        def _load(self) -> Any:
            return kept.get(self.id)

        def _save(self, expiration_time: Any) -> None:
            kept[self.id] = (dict(self._data), expiration_time)

        def _delete(self) -> None:
            kept.pop(self.id, None)

        def acquire_lock(self) -> None:
            self.locked = True
            locks.append("taken")

        def release_lock(self) -> None:
            self.locked = False
            locks.append("given back")

    class Page:
        @cherrypy.expose
        @cherrypy.tools.sessions(storage_class=ContractSession, own="setting")
        def index(self) -> str:
            cherrypy.session["n"] = cherrypy.session.get("n", 0) + 1
            cherrypy.session.release_lock()
            return str(cherrypy.session["n"])

    with served(Page()) as ask:
        answer = ask("/")
        cookie = str(answer["Set-Cookie"]).partition(";")[0]
        assert ask("/", Cookie=cookie).text == "2"
    assert ContractSession.own == "setting"
    (saved,) = [data for data, _ in kept.values()]
    assert saved == {"n": 2}
    assert locks[0] == "taken"
    from cherrypy.lib.locking import LockChecker

    assert LockChecker("id", None).expired() is False


def test_a_session_is_looked_up_by_the_cookie_of_the_moment() -> None:
    """salt puts it into `request.cookie` before, and reads `session.cache`."""

    class Page:
        @cherrypy.expose
        def index(self) -> str:
            cherrypy.session["seen"] = 1
            data, _ = cherrypy.session.cache.get("no such id", ({}, None))
            assert data == {}
            return str(cherrypy.session.id)

    cherrypy.tools.contract_token = cherrypy.Tool("on_start_resource", _take_token)
    try:
        config = {"/": {"tools.sessions.on": True, "tools.contract_token.on": True}}
        with served(Page(), config) as ask:
            first = ask("/").text
            assert ask("/", X_Auth_Token=first).text == first
    finally:
        del cherrypy.tools.contract_token


def _take_token() -> None:
    token = cherrypy.request.headers.get("X-Auth-Token")
    if token:
        cherrypy.request.cookie["session_id"] = token


def test_the_cache_is_emptied() -> None:
    """rdiffweb's tests."""

    class Cached:
        calls = 0

        @cherrypy.expose
        @cherrypy.tools.caching()
        def index(self) -> str:
            self.calls += 1
            return str(self.calls)

    with served(Cached()) as ask:
        assert (ask("/").text, ask("/").text) == ("1", "1")
        cherrypy._cache.clear()
        assert ask("/").text == "2"


def test_config_namespaces_of_their_own() -> None:
    seen: dict[str, Any] = {}
    cherrypy.config.namespaces["contract_ns"] = seen.__setitem__
    try:
        with served(Root(), None, **{"contract_ns.key": 1}):
            assert seen == {"key": 1}
    finally:
        del cherrypy.config.namespaces["contract_ns"]


def test_statistics() -> None:
    """salt shows them, WMCore reads them."""
    from cherrypy.lib import cpstats

    assert isinstance(vars(logging)["statistics"], dict)
    nested = {"a": 1, "b": lambda s: s["a"] + 1}
    assert cpstats.extrapolate_statistics(nested) == {"a": 1, "b": 2}
    assert callable(cpstats.StatsPage().data)


def test_odd_cookie_names(tmp_path: Path) -> None:
    """SABnzbd replaces `_is_legal_key` of the standard library; either way nothing is refused."""

    class Cookies:
        @cherrypy.expose
        def index(self) -> str:
            return str(sorted(cherrypy.request.cookie))

    with patched(http.cookies, "_is_legal_key", lambda old: lambda key: True):
        with served(Cookies()) as ask:
            answer = ask("/", Cookie="a=1; odd[name]=2; b=3")
    assert answer.status == 200
    assert "'a'" in answer.text
    assert "'b'" in answer.text


# ------------------------------------------------------------------------ B2, in place of Cheroot


class Bodies:
    @cherrypy.expose
    @cherrypy.config(**{"request.process_request_body": False})
    def raw(self) -> str:
        rfile = cherrypy.request.rfile
        return (
            f"{rfile.readline().decode().strip()} {rfile.read(3).decode()} {rfile.read().decode()}"
        )

    @cherrypy.expose
    def counted(self) -> str:
        body = cherrypy.request.body
        data = body.read()
        return f"{body.length} {body.fp.bytes_read} {len(data)}"


def test_bodies_as_files() -> None:
    with served(Bodies()) as ask:
        kind = "application/octet-stream"
        assert ask("/raw", "POST", b"line\nabcdef", Content_Type=kind).text == "line abc def"
        assert ask("/counted", "POST", b"x" * 99, Content_Type=kind).text == "99 99 99"


class Chunks:
    @cherrypy.expose
    @cherrypy.config(**{"request.process_request_body": False})
    def apart(self) -> str:
        """girder: `_fetch` until there is enough, or no more."""
        rfile = cherrypy.request.rfile
        pieces = []
        while True:
            while not rfile.closed and len(rfile.buffer) < 4:
                rfile._fetch()
            piece, rfile.buffer = rfile.buffer[:4], rfile.buffer[4:]
            if not piece:
                return " ".join(pieces)
            pieces.append(piece.decode())

    @cherrypy.expose
    def whole(self, **params: str) -> str:
        return repr(params)


def test_chunks_are_taken_apart() -> None:
    head = (
        b"POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n%s\r\n"
    )
    chunks = b"3\r\nabc\r\n4\r\ndefg\r\n2\r\nhi\r\n0\r\n\r\n"
    with served(Chunks()) as ask:
        assert ask.raw(head % (b"/apart", b"") + chunks).endswith(b"abcd efgh i")
        assert ask.raw(head % (b"/apart", b"") + b"0\r\n\r\n").endswith(b"\r\n\r\n")
        form = b"Content-Type: application/x-www-form-urlencoded\r\n"
        data = b"3\r\na=1\r\n4\r\n&b=2\r\n0\r\n\r\n"
        assert ask.raw(head % (b"/whole", form) + data).endswith(b"{'a': '1', 'b': '2'}")


def test_the_server_is_forgotten_after_a_stop() -> None:
    """WMCore and pytest-girder set it to None, and start again."""
    for _ in range(2):
        with served(Root()) as ask:
            assert cherrypy.server.httpserver is not None
            assert ask("/").status == 200
        assert cherrypy.server.httpserver is None
