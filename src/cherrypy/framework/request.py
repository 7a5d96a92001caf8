"""The request: one exchange from its path to its response, stage by stage.

Law: nothing is made that nobody asked for, and nothing is remembered that could have changed.
"""

from __future__ import annotations

from sys import exc_info
from typing import Any

from kirsch.http.headers import HeaderMap
from kirsch.http.hosts import Host
from kirsch.http.query import parse_query_string

from . import facts
from .dispatch.objects import Dispatcher
from .errors import (
    HTTPError,
    HTTPRedirect,
    InternalRedirect,
    NotFound,
    TimeoutError,  # noqa: A004 - the historical name
    bare_error,
    format_exc,
)
from .facts import LazyUUID4
from .hooks import BEFORE_DISPATCH, SHORTCUTS, Hook, HookMap, at_once, hookpoints
from .logs import access_logged
from .reprconf import NamespaceSet
from .response import Response, ResponseBody, kept, late, lazy, look_at_time, may_log
from .results import settled
from .serving import Serving, serving, witness
from .site import site
from .templates import (
    ENCODE,
    ClassHooks,
    Config,
    Hooks,
    class_hooks,
    error_page_namespace,
    hooks_namespace,
    request_namespace,
    response_namespace,
    template,
)
from .tools import default_toolbox, revision

__all__ = (
    "Hook",
    "HookMap",
    "LazyUUID4",
    "Request",
    "Response",
    "ResponseBody",
    "error_page_namespace",
    "hookpoints",
    "hooks_namespace",
    "request_namespace",
    "response_namespace",
)

_NAMESPACES = NamespaceSet(
    hooks=hooks_namespace,
    request=request_namespace,
    response=response_namespace,
    error_page=error_page_namespace,
    tools=default_toolbox,
)

# ---------------------------------------------------------------------------------- shortcuts


def _trailing_slash(request: Any) -> bool:
    """Only an index page without its slash is redirected, as long as `extra` is off."""
    return request.is_index is True and request.path_info[-1:] != "/"


#: No tree of objects is deeper; the walk of a path that is would only cost time.
MAX_SEGMENTS = 1000

_PROTOCOLS = {"HTTP/1.1": (1, 1), "HTTP/1.0": (1, 0)}

SHORTCUTS["trailing_slash"] = _trailing_slash
SHORTCUTS["encode"] = ENCODE

# ------------------------------------------------------------------------------------ the request


class Request:
    """One request, and the stages it goes through.

    local_host, remote_host
        `Host` objects of the two ends; None where they are to be found out if asked for.
    scheme
        'http' or 'https'.
    server_protocol
        The highest protocol version of the server.

    Everything that has a default here may be set in the configuration as `request.<name>`, and on
    the object by anybody at any time. An object serves once.
    """

    prev: Any = facts.from_environ("cherrypy.previous_request")
    """The request that redirected here internally, or None."""

    local: Any = lazy(facts.local, Host("127.0.0.1", 80))
    remote: Any = lazy(facts.remote, Host("127.0.0.1", 1111))
    scheme: str = "http"
    server_protocol: str = "HTTP/1.1"
    base: Any = lazy(facts.base, "")
    request_line: Any = lazy(facts.request_line, "")
    method: str = "GET"
    query_string: str = ""
    query_string_encoding: str = "utf8"
    protocol: tuple[int, int] = (1, 1)
    params: dict[str, Any] = {}
    header_list: Any = lazy(facts.header_list, [])
    headers: Any = kept(facts.headers, HeaderMap())
    cookie: Any = kept(facts.cookie)
    rfile: Any = None
    process_request_body: bool = True
    """Whether `body.process` parses the entity of methods that have one."""

    methods_with_bodies: tuple[str, ...] = ("POST", "PUT", "PATCH")
    body: Any = lazy(facts.body)
    dispatch: Any = Dispatcher()
    """The callable that finds the handler of a path; set by `request.dispatch`."""

    script_name: str = ""
    path_info: str = "/"
    login: Any = lazy(facts.login)
    app: Any = None
    handler: Any = None
    toolmaps: Any = lazy(facts.toolmaps, {})
    config: Any = Config(None)
    """The configuration of the path, a dict of the request's own."""

    is_index: Any = None
    hooks: Any = Hooks(None)
    error_response: Any = HTTPError(500).set_response
    """The callable that makes the response to an unanticipated error."""

    error_page: Any = lazy(lambda request: {}, {})
    show_tracebacks: bool = False
    """Show the traceback on error pages. Off: it tells strangers about the inside."""

    show_mismatched_params: bool = True
    throws: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, InternalRedirect)
    """Exceptions that no stage handles."""

    throw_errors: bool = False
    """True: let unanticipated errors out of `run`, for a debugger or a WSGI middleware."""

    closed: bool = False
    stage: Any = None
    """Where in its life the request is, for those who look from outside."""

    unique_id: Any = lazy(lambda request: LazyUUID4())
    namespaces: Any = kept(lambda request: _NAMESPACES.copy(), _NAMESPACES)

    multithread: Any = facts.from_environ("wsgi.multithread")
    multiprocess: Any = facts.from_environ("wsgi.multiprocess")
    args: Any = ()
    kwargs: Any = {}

    wsgi_environ: Any = kept(facts.wsgi_environ)
    _wsgi_environ: Any = None
    # The same object in all requests that had come when a server took up the first of them: what
    # was looked up for one of them holds for the others. None: everything is looked up anew.
    _turn: Any = None
    _origin: Any = None  # who handed the request over: addresses, scheme, perhaps an environment
    _fields: Any = None  # CGI names and values, when the request came as such
    _target: Any = None
    _proxied: Any = None  # what the tool `proxy` has put in place of what
    _protocol_text = "HTTP/1.1"
    _headers: Any = None
    _cookie: Any = None
    _hooks: Any = None
    _namespaces: Any = None
    _configured = False
    _timed_out = False  # TimeoutError has been raised
    _logs: Any = None  # whether this thread writes the line of the access log
    # The request that was left so that this one begins anew; it was never there to others.
    _anew: Any = None
    _plan: Any = None
    _config: Any = None
    _template: Any = None
    _points: dict[str, list[Hook]] = {}  # the hooks: the template's, or those of its own
    _quiet = False  # they are the template's, and none but before the handler and for errors
    _ends_idly = False  # those of its end have been asked, and have nothing to do

    def __init__(
        self,
        local_host: Any,
        remote_host: Any,
        scheme: str = "http",
        server_protocol: str = "HTTP/1.1",
    ) -> None:
        if local_host is not None:
            self.local = local_host
        if remote_host is not None:
            self.remote = remote_host
        if scheme != "http":
            self.scheme = scheme
        self.server_protocol = server_protocol

    def close(self) -> None:
        """Run the `on_end_request` hooks, once."""
        if not self.closed:
            self.closed = True
            if not (self._quiet or self._ends_idly) and "on_end_request" in self._points:
                self.stage = "on_end_request"
                self._run_hooks("on_end_request")
            self.stage = "close"

    def needs_closing(self) -> bool:
        """Return whether the template's hooks at the end of the request have anything to do."""
        held = self._template
        if held is None or held.closers is None:
            return True
        for needed in held.closers:  # noqa: SIM110 - any() would make a generator
            if needed(self):
                return True
        return False

    def run(
        self,
        method: str,
        path: str,
        query_string: str,
        req_protocol: str,
        headers: Any,
        rfile: Any,
    ) -> Any:
        """Serve the request and return its response.

        method, path, query_string, req_protocol
            What the request line says; the path percent-decoded, 'HTTP/1.1'.
        headers
            The fields: a list of `(name, value)`, or a dict of CGI names ('HTTP_HOST').
        rfile
            The entity: a file-like object.

        Raises what `throws` lists, and any error under `throw_errors`; all else is answered.
        """
        self.method = method
        self._target = path = path or "/"
        self.query_string = query_string
        self.params = {}
        self.rfile = rfile
        if req_protocol != "HTTP/1.1":
            self._protocol_text = req_protocol
        if type(headers) is dict:
            self._fields = headers
        else:
            self.header_list = list(headers)
        try:
            app = self.app
            script_name = app._script_name
            if script_name is None:
                script_name = app.script_name
            if script_name:
                self.script_name = script_name
                path = path[len(script_name) :]
            self.path_info = path
            self.respond(path)
        except self.throws:
            raise
        except BaseException:
            if self.throw_errors:
                raise
            self.stage = "error"
            site.log("Unrecoverable error.", "HTTP", 40, traceback=True)
            trace = format_exc() if self.show_tracebacks else ""
            response = serving.response
            response.output_status, response.header_list, response.body = bare_error(trace)
            response.status = "500 Internal Server Error"
        if method == "HEAD":
            # RFC 9110, 9.3.2: all the fields, no content.
            response = serving.response
            body = response.body
            response.body = None
            if hasattr(body, "close"):
                body.close()
        # A line a request: when the timeout monitor has answered it has written that, too.
        app, turn = self.app, self._turn
        if (
            (app is None or app._unlogged is not turn)
            and access_logged(app, turn)
            and may_log(self, True)
        ):
            try:
                site.log.access()
            except Exception:
                site.log("The access log failed.", "HTTP", 40, traceback=True)
        self.stage = "done"
        return serving.response

    def _negotiate(self) -> None:
        """Settle on the lower of the protocol versions of client and server."""
        req_protocol = self._protocol_text
        mine = _PROTOCOLS.get(self.server_protocol) or _version(self.server_protocol)
        theirs = _PROTOCOLS.get(req_protocol) or _version(req_protocol)
        self.protocol = min(mine, theirs)
        if self.protocol != (1, 1):
            headers = serving.response.headers
            headers.protocol = self.protocol

    def respond(self, path_info: str) -> None:
        """Go through the stages; turn whatever is raised into a response."""
        try:
            try:
                try:
                    self._do_respond(path_info)
                except (HTTPRedirect, HTTPError) as answer:
                    if late:
                        look_at_time(self)
                    answer.set_response()
                    self.stage = "before_finalize (HTTPError)"
                    if "before_finalize" in self._points:
                        self._run_hooks("before_finalize")
                    serving.response.finalize()
            finally:
                if not self._quiet and "on_end_resource" in self._points:
                    self.stage = "on_end_resource"
                    self._run_hooks("on_end_resource")
            if late:
                look_at_time(self, serving.response._body, True)
        except self.throws:
            raise
        except BaseException:
            if self.throw_errors:
                raise
            self.handle_error()

    def _do_respond(self, path_info: str) -> None:
        """The stages of a request that goes well."""
        app = self.app
        if app is None:
            raise NotFound()
        if self._protocol_text != "HTTP/1.1" or self.server_protocol != "HTTP/1.1":
            self._negotiate()
        fields = self._fields
        if fields is None or "HTTP_HOST" not in fields or type(self) is not Request:
            self.process_headers()
        self.stage = "get_resource"
        self.get_resource(path_info)
        self._configure()
        self._configured = True

        if not self._quiet and "on_start_resource" in self._points:
            self.stage = "on_start_resource"
            self._run_hooks("on_start_resource")
        if self.query_string:
            self.stage = "process_query_string"
            self.process_query_string()
        if self.method not in self.methods_with_bodies:
            self.process_request_body = False
        elif self._fields is not None and "HTTP_TRANSFER_ENCODING" in self._fields:
            from .chunks import ChunkedFile

            self.rfile = ChunkedFile(self.rfile)
        if not self._quiet and "before_request_body" in self._points:
            self.stage = "before_request_body"
            self._run_hooks("before_request_body")
        if self.process_request_body:
            self.body.process()

        if late:
            look_at_time(self)
        self.stage = "before_handler"
        encode = None
        held = self._template
        if held is None or held.before_handler is None or self._hooks is not None:
            self._run_hooks("before_handler")
        else:
            for needed, hook in held.before_handler:
                if needed is None or needed(self):
                    hook()
            encode = held.encode
        handler: Any = self.handler
        if handler:
            self.stage = "handler"
            if late:
                look_at_time(self)
            result = handler()
            if late:
                look_at_time(self, result)
            # When the encode tool has not run, `settled` does its work.
            if encode is None:
                serving.response.body = result
            elif settled(self, serving.response, encode, result):
                return
        if "before_finalize" in self._points:
            self.stage = "before_finalize"
            self._run_hooks("before_finalize")
        serving.response.finalize()

    def process_query_string(self) -> None:
        """Parse the query into `params`. Raises HTTPError 404 when its bytes are in another code."""
        try:
            found = parse_query_string(self.query_string, encoding=self.query_string_encoding)
        except UnicodeDecodeError:
            raise HTTPError(
                404,
                "The given query string could not be processed. Query strings for this resource "
                f"must be encoded with {self.query_string_encoding!r}.",
            ) from None
        self.params.update(found)

    def process_headers(self) -> None:
        """See that the fields are as they must be. Raises HTTPError 400.

        What is made of them (`headers`, `cookie`, `base`) is made when it is asked for.
        """
        fields = self._fields
        if fields is not None:
            if "HTTP_HOST" in fields:
                return
        elif "Host" in self.headers:
            return
        # RFC 9112, 3.2.
        if self.protocol >= (1, 1):
            raise HTTPError(400, "HTTP/1.1 requires a 'Host' request header.")

    def get_resource(self, path: str) -> None:
        """Call the dispatcher of `path`: it sets `handler`, `config` and `is_index`."""
        if len(path) > MAX_SEGMENTS and path.count("/") > MAX_SEGMENTS:
            raise HTTPError(414)
        app = self.app
        if app._undirected is self._turn:
            self.dispatch(path)
            return
        after, plain, dispatch = None, True, self.dispatch
        own = getattr(app.root, "_cp_config", None) or ()
        for entry, act in BEFORE_DISPATCH.items():
            if entry in site.config or entry in own or (app.config and app.names(entry)):
                plain, after = False, act(self, path)
        if app.config and app.names("request.dispatch"):
            dispatch = app.find_config(path, "request.dispatch", dispatch)
        elif plain and self._turn is not None:
            app._undirected = self._turn
        dispatch(path)
        if after is not None:
            after(self)

    def _configure(self) -> None:
        """Let the entries of `config` act, through the template of its plan where that holds."""
        plan, turn = self._plan, self._turn
        if turn is not None and plan is not None:
            held = plan.state.get(Request)
            if (
                held is not None
                and held.known[0] is turn
                and held.known[1] is self.app.toolboxes
                and type(self) is Request
                and self._config is self._namespaces is self._hooks is None
            ):
                self._template = held
                self._points = held.points
                self._quiet = held.quiet
                for handler, key, value in held.calls:
                    handler(key, value)
                return
        self._configure_anew(plan)

    def _configure_anew(self, plan: Any) -> None:
        """The same, when it is not known whether the template holds."""
        toolboxes = self.app.toolboxes
        # A request class may have namespaces and hooks of its own.
        cls = type(self)
        namespaces = _NAMESPACES if cls is Request else cls.namespaces
        config = self._config
        held = None
        if (
            plan is not None
            and self._namespaces is None
            and (config is None or config == plan.config)
        ):
            held = plan.state.get(cls)
            if held is None or held.made_of != (revision.now, namespaces, toolboxes):
                held = plan.state[cls] = template(plan, namespaces, toolboxes)
        if held is None:
            self._configure_fully(cls, toolboxes)
            return
        self._template = held
        if ClassHooks.seen or self._hooks is not None or not held.simple or cls is not Request:
            self._hook_all(cls, held)
            return
        if self._turn is not None:
            held.known = (self._turn, toolboxes)
        self._points = held.points
        self._quiet = held.quiet
        for handler, key, value in held.calls:
            handler(key, value)

    def _hook_all(self, cls: type[Request], held: Any) -> None:
        """Take the steps of a template one by one, into a map of this request's own."""
        hooks = self._hooks
        if hooks is None:
            base = class_hooks(cls)
            if held.simple and not any(base.values()):
                self._points = held.points
                for handler, key, value in held.calls:
                    handler(key, value)
                return
            hooks = self._hooks = self._points = HookMap(hookpoints)
            for point, more in base.items():
                hooks[point].extend(more)
        for what, value in held.steps:
            if isinstance(value, Hook):
                hooks[what].append(value.__copy__())
            elif value is None:
                what._setup()
            elif hasattr(what, "__exit__"):
                with what as handler:
                    for key, entry in value:
                        handler(key, entry)
            else:
                for key, entry in value:
                    what(key, entry)
        for act, kwargs in at_once(hooks):
            act(self, kwargs)

    def _configure_fully(self, cls: type[Request], toolboxes: dict[str, Any]) -> None:
        """Hand every entry of `config` to its namespace, as nothing is known of it."""
        if self._hooks is None:
            self._hooks = self._points = HookMap(hookpoints)
            for point, more in class_hooks(cls).items():
                self._hooks[point].extend(more)
        self.toolmaps = {}
        namespaces = NamespaceSet(self.namespaces)
        namespaces.update(toolboxes)
        namespaces(self.config or {})
        for act, kwargs in at_once(self._points):
            act(self, kwargs)

    def _run_hooks(self, point: str) -> None:
        """Run the hooks of `point`: those of this request, or the template's."""
        if late and point not in _ENDS:
            look_at_time(self)
        hooks = self._hooks
        if hooks is not None:
            hooks.run(point)
        else:
            known = iter(self._points.get(point, ()))
            try:
                for hook in known:
                    if type(hook) is Hook:  # without the detour that its __call__ is
                        hook.callback(**hook.kwargs)
                    else:
                        hook()
            except BaseException:
                HookMap.run_hooks(hook for hook in known if hook.failsafe)
                raise

    def handle_error(self) -> None:
        """Answer an error nobody anticipated: hooks, `error_response`, hooks."""
        response = serving.response
        error = exc_info()[1]
        if witness.errors is not None and error is not None:
            witness.errors.append(error)
        if not self._configured and not (self._hooks and self._hooks["before_error_response"]):
            # It came before the hook that logs it was there.
            site.log("", "HTTP", 40, traceback=True)
        try:
            self._run_hooks("before_error_response")
            if self.error_response is _USUAL_ERROR and isinstance(error, TimeoutError):
                error.set_response()
            elif self.error_response:
                self.error_response()
            self._run_hooks("after_error_response")
            response.finalize()
        except HTTPRedirect as answer:
            answer.set_response()
            response.finalize()


#: What has to run whatever time it is.
_ENDS = frozenset(
    ("on_end_resource", "on_end_request", "before_error_response", "after_error_response")
)

_USUAL_ERROR = Request.error_response


def _version(text: str) -> tuple[int, int]:
    """Read 'HTTP/1.1'. Raises HTTPError 400: whatever that was, it was not HTTP."""
    major, _, minor = text[5:].partition(".")
    if text[:5] != "HTTP/" or not (major.isdecimal() and minor.isdecimal()):
        raise HTTPError(400, "Malformed protocol version.")
    return int(major[:2]), int(minor[:2])


# What threads see that serve nothing.
Serving.request = Request(Host("127.0.0.1", 80), Host("127.0.0.1", 1111))
