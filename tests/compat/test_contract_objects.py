"""Part A2 of the compatibility contract: objects and the members that programs use."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import pytest
from contract_kit import served

import cherrypy
from cherrypy.process import wspbus

# ------------------------------------------------------------------------------------- the bus


def test_the_bus() -> None:
    bus = wspbus.Bus()
    told: list[Any] = []
    bus.subscribe("log", lambda msg, level: told.append(msg))
    bus.subscribe("start", lambda: told.append("late"), 90)
    bus.subscribe("own", lambda *args: args)
    assert bus.publish("own", 1, 2) == [(1, 2)]
    assert bus.publish("nobody") == []
    assert callable(next(iter(bus.listeners["own"])))
    names = ("STARTING", "STARTED", "STOPPED", "EXITING")
    assert all(getattr(bus.states, name) is not None for name in names)
    assert bus.state == bus.states.STOPPED
    bus.start()
    bus.wait(bus.states.STARTED, interval=0.01)
    bus.wait([bus.states.STARTED, bus.states.EXITING], interval=0.01, channel="main")
    assert told[-1] == "Bus STARTED"
    assert "late" in told
    bus.graceful()
    assert "Bus graceful" in told
    bus.stop()
    bus.exit()
    bus.exit()
    assert bus.state == bus.states.EXITING
    for word in ("STARTING", "STARTED", "STOPPING", "STOPPED", "EXITING", "EXITED"):
        assert f"Bus {word}" in told
    try:
        raise KeyError("shown")
    except KeyError:
        bus.log("with", traceback=True)
    assert "KeyError: 'shown'" in told[-1]


def test_listeners_in_both_forms() -> None:
    engine = cherrypy.engine
    seen = []

    @engine.subscribe("start", priority=6)
    def early() -> None:
        seen.append("early")

    def late() -> None:
        seen.append("late")

    engine.subscribe("start", late, 95)
    try:
        with served(None):
            assert seen == ["early", "late"]
            assert engine.state == engine.states.STARTED
    finally:
        engine.unsubscribe("start", early)
        engine.unsubscribe("start", late)


def test_start_with_callback() -> None:
    bus = wspbus.Bus()
    seen = []
    thread = bus.start_with_callback(seen.append, ("called",), {})
    bus.wait(bus.states.STARTED, interval=0.01)
    (thread or _callback_thread()).join(10)
    assert seen == ["called"]
    bus.exit()


def _callback_thread() -> Any:
    import threading

    found = [t for t in threading.enumerate() if "callback" in t.name.lower() or "Bus" in t.name]
    return found[0] if found else threading.Thread(target=lambda: None)


# ---------------------------------------------------------------------------- server and tree


SERVER = """
socket_host socket_port socket_timeout protocol_version max_request_body_size ssl_certificate
ssl_private_key wsgi_version httpserver bind_addr bound_addr thread_pool socket_file nodelay
max_request_header_size accepted_queue_size accepted_queue_timeout shutdown_timeout
"""


def test_the_server() -> None:
    server = cherrypy.server
    for name in SERVER.split():
        assert hasattr(server, name), name
    assert server.httpserver is None
    assert server.socket_timeout == 10
    with served(None) as ask:
        assert server.bound_addr == server.bind_addr == ("127.0.0.1", ask.port)
        for name in ("using_wsgi", "using_apache"):  # set by harnesses
            setattr(server, name, False)
            assert getattr(server, name) is False
            delattr(server, name)
    with served(None, **{"server.socket_port": 0}):
        assert server.bind_addr == ("127.0.0.1", 0)
        assert server.bound_addr[1] > 0
    assert server.bound_addr == server.bind_addr


class Sized:
    @cherrypy.expose
    def index(self) -> str:
        return str(len(cherrypy.request.body.read()))


def test_the_limit_on_bodies_changes_while_serving() -> None:
    with served(Sized()) as ask:
        kind = "application/octet-stream"
        assert ask("/", "POST", b"x" * 100, Content_Type=kind).text == "100"
        cherrypy.server.max_request_body_size = 50
        try:
            assert ask("/", "POST", b"x" * 100, Content_Type=kind).status == 413
        finally:
            cherrypy.server.max_request_body_size = 100 * 1024 * 1024
        assert ask("/", "POST", b"x" * 100, Content_Type=kind).text == "100"


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    @cherrypy.expose
    def index(self) -> str:
        return f"{self.name} {cherrypy.request.script_name}"


def test_the_tree_and_applications() -> None:
    with served(Named("root")) as ask:
        tree = cherrypy.tree
        one = tree.mount(Named("one"), "/one", {"/": {"own": 1}})
        assert ask("/one/").text == "one /one"
        tree.mount(Named("again"), "/one")
        assert ask("/one/").text == "again /one"

        def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [environ["SCRIPT_NAME"].encode()]

        tree.graft(wsgi, "/grafted")
        assert ask("/grafted").text == "/grafted"
        assert tree.script_name("/one/x") == "/one"
        del tree.apps["/one"]
        assert ask("/one/").status == 404
        assert one.config["/"]["own"] == 1
        one.merge({"/": {"more": 2}})
        assert one.config["/"] == {"own": 1, "more": 2}
        assert isinstance(one.wsgiapp.pipeline, list)
        assert isinstance(one.wsgiapp.config, dict)
        assert "tools" in one.request_class.namespaces or "request" in one.request_class.namespaces
        assert cherrypy.Application(Named("x"), script_name=None).root.name == "x"
        statuses: list[str] = []
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": "/", "SCRIPT_NAME": "", "SERVER_NAME": "h",
            "SERVER_PORT": "80", "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "::1",
            "REMOTE_PORT": "1", "wsgi.url_scheme": "http", "wsgi.version": (1, 0),
            "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.multithread": True,
            "wsgi.multiprocess": False, "wsgi.run_once": False, "HTTP_HOST": "h",
        }  # fmt: skip
        body = tree(environ, lambda status, fields, exc=None: statuses.append(status))
        assert b"".join(body) == b"root "
        assert statuses == ["200 OK"]


def test_configuration(tmp_path: Path) -> None:
    config, before = cherrypy.config, dict(cherrypy.config)
    try:
        config["contract.item"] = 1
        config.update({"contract.dict": 2})
        path = tmp_path / "site.conf"
        path.write_text("[global]\ncontract.file = 3\n")
        config.update(str(path))
        config.update(io.StringIO("[global]\ncontract.object = 4\n"))
        found = [
            config.get(f"contract.{name}") for name in ("item", "dict", "file", "object", "no")
        ]
        assert found == [1, 2, 3, 4, None]
        seen = []
        config.namespaces["contracted"] = lambda key, value: seen.append((key, value))
        try:
            config.update({"contracted.key": "value"})
        finally:
            del config.namespaces["contracted"]
        assert seen == [("key", "value")]

        @config(**{"a.b": 1}, c=2)
        def decorated() -> None:
            """Has the configuration as an attribute."""

        assert decorated._cp_config == {"a.b": 1, "c": 2}
        config.reset()
        assert "contract.item" not in config
    finally:
        config.clear()
        dict.update(config, before)


# ------------------------------------------------------------------------ request and response

REQUEST = """
base body config cookie error_response handler headers hooks local.ip local.port login method params
path_info prev process_request_body query_string remote.ip remote.name
request_line rfile.read scheme show_tracebacks unique_id wsgi_environ body.read headers.elements
headers.get hooks.attach app script_name protocol server_protocol header_list stage toolmaps args kwargs
is_index namespaces methods_with_bodies body.processors body.length body.fp body.params body.parts dispatch
"""
RESPONSE = "body collapse_body cookie headers header_list status stream time timed_out timeout check_timeout"


class Members:
    @cherrypy.expose
    def index(self, name: str, kind: str = "request") -> str:
        found: Any = getattr(cherrypy, kind)
        for part in name.split("."):
            found = getattr(found, part)
        return "there"

    @cherrypy.expose
    def own(self) -> str:
        request = cherrypy.request
        had = hasattr(request, "own_attribute")
        request.own_attribute = 1  # type: ignore[attr-defined]  # any may be set
        return str(had)

    @cherrypy.expose
    def swapped(self) -> str:
        return "never called"

    @cherrypy.expose
    def moved(self, **params: str) -> str:
        raise cherrypy.InternalRedirect("/there")

    @cherrypy.expose
    def there(self, **params: str) -> str:
        prev = cherrypy.request.prev
        return f"{prev.query_string} {prev.closed}"

    @cherrypy.expose
    def upload(self, file: Any) -> str:
        return f"{file.filename} {file.content_type} {file.file.read().decode()}"


@functools.cache
def answers() -> dict[str, str]:
    """What the members are, and what else there is to ask of that site: asked for once."""

    def swap() -> None:
        cherrypy.request.handler = lambda: "another handler"

    cherrypy.tools.contract_swap = cherrypy.Tool("before_handler", swap)
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
        b"Content-Type: text/x-own\r\n\r\ncontent\r\n--b--\r\n"
    )
    kind = "multipart/form-data; boundary=b"
    try:
        with served(Members(), {"/swapped": {"tools.contract_swap.on": True}}) as ask:
            found = {f"request {name}": ask(f"/?name={name}").text for name in REQUEST.split()}
            for name in RESPONSE.split():
                found[f"response {name}"] = ask(f"/?name={name}&kind=response").text
            found["own"] = " ".join(ask("/own").text for _ in range(4))
            found["swapped"] = ask("/swapped").text
            found["upload"] = ask("/upload", "POST", body, Content_Type=kind).text
            found["prev"] = ask("/moved?a=1").text
    finally:
        del cherrypy.tools.contract_swap
    return found


@pytest.mark.parametrize("name", REQUEST.split())
def test_member_of_requests(name: str) -> None:
    assert answers()[f"request {name}"] == "there"


@pytest.mark.parametrize("name", RESPONSE.split())
def test_member_of_responses(name: str) -> None:
    assert answers()[f"response {name}"] == "there"


def test_the_request_before_an_internal_redirect() -> None:
    assert answers()["prev"] == "a=1 True"


def test_attributes_are_gone_at_the_next_request() -> None:
    assert answers()["own"] == "False False False False"


def test_a_handler_may_be_replaced() -> None:
    assert answers()["swapped"] == "another handler"


def test_an_upload_has_file_name_and_type() -> None:
    assert answers()["upload"] == "a.txt text/x-own content"


def test_a_body_and_a_configuration_may_be_replaced() -> None:
    class Body:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def process(self) -> None:
            cherrypy.request.params["own"] = "processed"

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    def replace() -> None:
        cherrypy.request.body = Body(cherrypy.request.body)
        cherrypy.request.config = cherrypy._cpconfig.Config({"global": {"own": 7}})

    class Page:
        @cherrypy.expose
        def index(self, **params: str) -> str:
            return f"{params} {cherrypy.request.config.get('own')}"

    cherrypy.tools.contract_replace = cherrypy.Tool("before_request_body", replace)
    try:
        with served(Page(), {"/": {"tools.contract_replace.on": True}}) as ask:
            kind = "application/x-www-form-urlencoded"
            assert ask("/", "POST", b"a=1", Content_Type=kind).text == "{'own': 'processed'} 7"
    finally:
        del cherrypy.tools.contract_replace


class Added:
    @cherrypy.expose
    def index(self) -> str:
        return "x"


def test_fields_may_be_added_behind_finalize() -> None:
    def add() -> None:
        cherrypy.response.header_list.append((b"X-Late", b"late"))

    cherrypy.tools.contract_late = cherrypy.Tool("on_end_resource", add)
    try:
        with served(Added(), {"/": {"tools.contract_late.on": True}}) as ask:
            assert ask("/")["X-Late"] == "late"
    finally:
        del cherrypy.tools.contract_late


# ------------------------------------------------------------------------------------ sessions


class Session:
    @cherrypy.expose
    def index(self) -> str:
        session = cherrypy.session
        session["a"] = 1
        session["b"] = 2
        assert "a" in session
        assert len(session) >= 0  # of the sessions that are kept
        del session["b"]
        assert session.get("b") is None
        assert list(session.items()) == [("a", 1)]
        assert session._data == {"a": 1}
        for name in (
            "cache",
            "delete",
            "load",
            "missing",
            "originalid",
            "regenerate",
            "regenerated",
        ):
            assert hasattr(session, name), name
        return str(session.id)

    @cherrypy.expose
    def regenerate(self) -> str:
        cherrypy.tools.sessions.regenerate()
        return str(cherrypy.session.id)


def test_sessions() -> None:
    with served(Session(), {"/": {"tools.sessions.on": True}}) as ask:
        answer = ask("/")
        assert answer.status == 200
        cookie = f"session_id={answer.text}"
        assert cookie in str(answer["Set-Cookie"])
        again = ask("/regenerate", Cookie=cookie)
        assert again.status == 200
        assert again.text != answer.text
        assert f"session_id={again.text}" in str(again["Set-Cookie"])
