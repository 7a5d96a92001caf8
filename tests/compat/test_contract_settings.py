"""Part A3 of the compatibility contract: tools and their arguments, hook points, keys, channels, dispatchers."""

from __future__ import annotations

import time
from typing import Any

import pytest
from contract_kit import FORM, served

import cherrypy


class Added:
    @cherrypy.expose
    def index(self) -> str:
        return "x"


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    @cherrypy.expose
    def index(self) -> str:
        return f"{self.name} {cherrypy.request.script_name}"


# --------------------------------------------------------------------------------------- tools


def test_a_tool() -> None:
    def call(x: int = 0) -> None:
        """Says what it does."""

    tool = cherrypy.Tool("before_handler", call, name=None, priority=33)
    assert (tool._point, tool._priority, tool.callable) == ("before_handler", 33, call)
    assert callable(tool._setup)
    box = cherrypy._cptools.Toolbox("contractbox")
    box.own = tool
    assert tool._name == "own"
    assert tool.namespace == "contractbox"
    with pytest.raises(AttributeError):
        _ = tool.on
    with pytest.raises(AttributeError):
        tool.on = True

    @box.register("before_finalize", priority=2)
    def registered() -> None:
        pass

    assert (box.registered._point, box.registered._priority) == ("before_finalize", 2)
    for name in ("staticdir", "staticfile", "session_auth"):
        assert callable(getattr(cherrypy.tools, name).handler)


class Own:
    """Anything with a name and a set-up is a tool."""

    _name = None
    _priority = 50
    setups = 0

    def _setup(self) -> None:
        Own.setups += 1
        conf = cherrypy.serving.request.toolmaps["tools"]["contract_any"]
        cherrypy.response.headers["X-Conf"] = str(conf.get("value"))


class Callback:
    failsafe = True
    priority = 10

    def __call__(self, **conf: Any) -> None:
        cherrypy.response.headers["X-Callback"] = repr(conf)


def test_tools_of_other_kinds() -> None:
    cherrypy.tools.contract_any = Own()
    cherrypy.tools.contract_instance = cherrypy.Tool("before_handler", Callback())
    config = {"/": {"tools.contract_any.on": True, "tools.contract_any.value": 7,
                    "tools.contract_instance.on": True, "tools.contract_instance.word": "x"}}  # fmt: skip
    try:
        with served(Added(), config) as ask:
            answer = ask("/")
            assert answer["X-Conf"] == "7"
            assert answer["X-Callback"] == "{'word': 'x'}"
            assert Own.setups == 1
    finally:
        del cherrypy.tools.contract_any
        del cherrypy.tools.contract_instance


TOOLS = """
accept auth_basic auth_digest autovary caching decode encode err_redirect etags expires flatten gzip
json_in json_out log_headers log_hooks log_tracebacks params proxy referer response_headers session_auth
sessions staticdir staticfile trailing_slash xmlrpc redirect allow ignore_headers
"""
ARGUMENTS = """
accept.media auth_basic.realm auth_basic.checkpassword auth_basic.accept_charset auth_digest.realm
auth_digest.get_ha1 auth_digest.key auth_digest.debug auth_digest.accept_charset decode.encoding
decode.default_encoding encode.encoding encode.text_only encode.add_charset err_redirect.url
err_redirect.internal etags.autotags expires.secs expires.force gzip.compress_level gzip.mime_types
params.error params.exception proxy.base proxy.local proxy.scheme referer.pattern referer.accept
referer.accept_missing response_headers.headers session_auth.check_username_and_password
sessions.storage_class sessions.storage_path sessions.timeout sessions.clean_freq sessions.path
sessions.name sessions.persistent staticdir.dir staticdir.root staticdir.index staticdir.section
staticfile.filename trailing_slash.extra xmlrpc.allow_none
"""


@pytest.mark.parametrize("name", TOOLS.split())
def test_default_tool(name: str) -> None:
    assert getattr(cherrypy.tools, name)._name == name


@pytest.mark.parametrize("name", ARGUMENTS.split())
def test_argument_of_a_tool(name: str) -> None:
    import inspect

    tool, _, argument = name.partition(".")
    if name in ("sessions.storage_class", "sessions.storage_path"):
        # Other keywords go to the class.
        assert "kwargs" in inspect.signature(cherrypy.lib.sessions.init).parameters
        return
    if name.startswith(("session_auth", "xmlrpc")):
        where = (
            cherrypy.lib.cptools.SessionAuth if "auth" in tool else cherrypy.lib.xmlrpcutil.respond
        )
        assert hasattr(where, argument) or argument in inspect.signature(where).parameters
        return
    found: Any = getattr(cherrypy.tools, tool).callable
    kinds = inspect.signature(found).parameters
    assert argument in kinds or hasattr(found, argument)


# ----------------------------------------------------------------- hook points, keys, channels

POINTS = "on_start_resource before_request_body before_handler before_finalize on_end_resource on_end_request"
SEEN: list[str] = []


class Failing:
    @cherrypy.expose
    def index(self) -> str:
        return "x"

    @cherrypy.expose
    def boom(self) -> str:
        raise RuntimeError


def test_hook_points() -> None:
    points = [*POINTS.split(), "before_error_response", "after_error_response"]
    hooks = {f"hooks.{point}": (lambda point=point: SEEN.append(point)) for point in points}
    with served(Failing(), {"/": hooks}) as ask:
        SEEN.clear()
        ask("/")
        _until(lambda: "on_end_request" in SEEN)
        assert POINTS.split() == SEEN
        SEEN.clear()
        ask("/boom")
        _until(lambda: "on_end_request" in SEEN)
        wanted = ["on_start_resource", "before_request_body", "before_handler", "on_end_resource"]
        assert [*wanted, "before_error_response", "after_error_response", "on_end_request"] == SEEN


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


KEYS = {
    "environment": "test_suite",
    "checker.on": False,
    "log.screen": False,
    "log.access_file": "",
    "log.error_file": "",
    "error_page.404": None,
    "request.methods_with_bodies": ("POST", "PUT", "PATCH"),
    "request.process_request_body": True,
    "request.query_string_encoding": "utf8",
    "request.show_mismatched_params": True,
    "request.show_tracebacks": False,
    "request.throw_errors": False,
    "request.body.attempt_charsets": ["utf-8"],
    "request.body.maxbytes": 1000,
    "response.stream": False,
    "response.headers.X-Configured": "yes",
    "server.nodelay": True,
    "server.max_request_body_size": 1000,
    "server.max_request_header_size": 100_000,
    "server.accepted_queue_size": -1,
    "server.accepted_queue_timeout": 10,
    "server.protocol_version": "HTTP/1.1",
    "server.socket_timeout": 10,
    "server.ssl_certificate": None,
    "server.ssl_private_key": None,
    "server.socket_file": None,
}


def test_every_key_is_taken() -> None:
    keys = {key: value for key, value in KEYS.items() if key != "error_page.404"}
    keys["error_page.404"] = lambda **told: f"own page: {told['status']}"
    before = {key: getattr(cherrypy.server, key[7:]) for key in keys if key.startswith("server.")}
    try:
        with served(Failing(), {"/": {}}, **keys) as ask:
            assert ask("/")["X-Configured"] == "yes"
            assert ask("/nothing").text.strip() == "own page: 404 Not Found"
            assert cherrypy.server.max_request_body_size == 1000
            assert ask("/", "POST", b"a=" + b"x" * 2000, Content_Type=FORM).status == 413
    finally:
        for key, value in before.items():
            setattr(cherrypy.server, key[7:], value)


def test_channels() -> None:
    seen: list[str] = []
    listeners: list[tuple[str, Any]] = []
    for channel in ("start", "stop", "exit", "graceful", "start_thread", "stop_thread", "own"):

        def listen(*args: Any, channel: str = channel) -> None:
            seen.append(channel)

        listeners.append((channel, listen))
        cherrypy.engine.subscribe(channel, listen)
    try:
        with served(Failing()) as ask:
            ask("/")
            cherrypy.engine.publish("own", 1)
            cherrypy.engine.graceful()
        assert seen == [
            "start",
            "start_thread",
            "own",
            "graceful",
            "stop_thread",
            "stop",
            "exit",
        ] or (
            set(seen) >= {"start", "start_thread", "own", "graceful", "stop_thread", "stop", "exit"}
        )
    finally:
        for channel, listen in listeners:
            cherrypy.engine.unsubscribe(channel, listen)


# ------------------------------------------------------------------------------------ dispatch


class Verbs:
    exposed = True

    def get_it(self) -> str:
        return "underscored"

    def GET(self, *path: str) -> str:
        return f"got {'/'.join(path)}"


class Page:
    @cherrypy.expose
    def index(self, **params: str) -> str:
        return repr(params)


def test_dispatchers() -> None:
    method = {
        "/": {"request.dispatch": cherrypy.dispatch.MethodDispatcher(dispatch_method_name="_own")}
    }
    with served(Verbs(), method) as ask:
        assert ask("/a/b").text == "got a/b"
        answer = ask("/", "PUT", b"")
        assert answer.status == 405
        assert answer["Allow"] == "GET, HEAD"
        assert cherrypy.lib.httputil.response_codes[405][1] in answer.text
    hosts = {"/": {"request.dispatch": cherrypy.dispatch.VirtualHost(**{"www.other": "/other"})}}
    root = Page()
    root.other = Named("other")  # type: ignore[attr-defined]  # a page below
    with served(root, hosts) as ask:
        assert ask("/?a=1").text == "{'a': '1'}"
        assert ask("/", Host="www.other").text == "other "
    routes = cherrypy.dispatch.RoutesDispatcher()
    routes.connect("named", "/r/{word}", Routed(), action="page")
    assert routes.mapper is not None
    with served(None, {"/": {"request.dispatch": routes}}) as ask:
        assert ask("/r/x").text == "routed x"


class Routed:
    def page(self, word: str) -> str:
        return f"routed {word}"


def test_the_dispatcher_of_xml_rpc() -> None:
    import xmlrpc.client

    class Calls(cherrypy._cptools.XMLRPCController):
        @cherrypy.expose
        def add(self, a: int, b: int) -> int:
            return a + b

    class Root:
        rpc = Calls()

    config = {
        "/": {
            "request.dispatch": cherrypy.dispatch.XMLRPCDispatcher(),
            "tools.xmlrpc.allow_none": 0,
        }
    }
    with served(Root(), config) as ask:
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{ask.port}/rpc/") as proxy:
            assert proxy.add(1, 2) == 3
            with pytest.raises(xmlrpc.client.Fault) as told:
                proxy.nothing()
    assert 'method "nothing" is not supported' in told.value.faultString
