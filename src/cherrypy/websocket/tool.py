"""The tool `websocket`: a page becomes one end of a WebSocket, once all other tools have had their say.

Law: whoever may not see the page does not get a WebSocket either, and the session is given back before
the first message.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cherrypy.framework.dispatch.handlers import test_callable_spec
from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site
from cherrypy.framework.tools import HookSpec, Tool
from kirsch.server.endpoints import Options
from kirsch.server.exchange import Exchange
from kirsch.server.gateway import FileWrapper
from kirsch.server.link import Link
from kirsch.server.upgrades import upgrade
from kirsch.wire.websocket.handshake import SAME_HOST, Acceptance, Refusal, Rules, judge

from .compression import settings_of
from .handlers import WebSocket
from .sockets import PageSocket

if TYPE_CHECKING:
    from kirsch.server.gateway import Upgrade

__all__ = ("WebSocketTool",)

_options = lru_cache(maxsize=512)(Options)
_usual = Options()  # what the server takes where nothing else is said

#: What a 101 does not say (RFC 9110, 8.6 and 15.2), or says in its own words.
_NOT_IN_101 = frozenset(
    ("connection", "content-length", "content-type", "date", "transfer-encoding", "upgrade")
)
_ELSEWHERE = (
    "This server cannot switch to WebSocket: it is not kirsch, or something stands between."
)


class Opening:
    """The body of a response that opens a WebSocket, until the gateway makes a 101 of it."""

    def __init__(self, acceptance: Acceptance, handler: Any, options: Options) -> None:
        self.acceptance = acceptance
        self.handler = handler
        self.options = options

    def give_upgrade(self, pairs: list[tuple[str, str]]) -> Upgrade:
        """Return what the server wants, with those of the response's fields that a 101 may have."""
        more = [pair for pair in pairs if pair[0].lower() not in _NOT_IN_101]
        return upgrade(self.acceptance, self.handler, self.options, self.attach, more)

    def attach(self, wire: Any) -> None:
        """Give the handler its end, and tell those who keep lists."""
        handler = self.handler
        handler._wire = wire
        site.engine.publish("handle-websocket", handler, wire.conn.remote)

    def __iter__(self) -> Iterator[bytes]:
        # A WSGI middleware asks for the bytes of a body that has none.
        raise RuntimeError(_ELSEWHERE)


def open_websocket(
    handler_cls: Any = None,
    protocols: Any = (),
    extensions: Any = None,
    version: Any = None,
    heartbeat_freq: float | None = None,
    origins: Any = (SAME_HOST,),
    host: str | None = None,
    subprotocol_required: bool = False,
    compression: Any = None,
    max_message: int = _usual.max_message,
    ping_interval: float = _usual.ping_interval,
    ping_timeout: float = _usual.ping_timeout,
    close_timeout: float = _usual.close_timeout,
    max_output: int = _usual.max_output,
    max_queue: int = _usual.max_queue,
) -> None:
    """Open a WebSocket in answer to this request, when the page has returned.

    handler_cls
        A class like `WebSocket`, or whatever makes a handler when called as that class is. The page
        runs before it opens and finds it as `cherrypy.request.ws_handler`. None: the page itself is
        the handler and gets the socket as its first argument.
    protocols
        The subprotocols known here, or a callable that chooses of the client's list.
    extensions, version
        Not looked at; ws4py has them.
    heartbeat_freq
        The same as `ping_interval`; a handler's own goes before it.
    origins
        Whose pages may connect: `'same-host'`, `'https://example.org'`, `'null'`, `'*'`.
    host
        What `'same-host'` compares with; by default the host of `request.base`.
    compression
        True, or a dict of settings, to agree to permessage-deflate.
    max_message, ping_interval, ping_timeout, close_timeout, max_output, max_queue
        See `kirsch.server.endpoints.Options`.

    Raises HTTPError 400, 403, 405 or 426 for a handshake that is none, 501 behind another server.
    """
    request = serving.request
    if request.handler is None:
        return  # another tool has answered
    acceptance = _judged(
        Rules(
            origins=[origins] if isinstance(origins, str) else origins,
            subprotocols=[protocols] if isinstance(protocols, str) else protocols or (),
            subprotocol_required=subprotocol_required,
            compression=settings_of(compression),
        ),
        host,
    )
    if not _can_switch(request):
        raise HTTPError(501, _ELSEWHERE)
    if handler_cls is None:
        handler: Any = _page_socket(request)
        key = _name(handler._page[0])
        request.handler = _nothing
    else:
        handler = _made(handler_cls, request, acceptance, heartbeat_freq)
        key = _name(handler_cls)
        own = getattr(handler, "heartbeat_freq", None)
        heartbeat_freq = heartbeat_freq if own is None else own
    if acceptance.subprotocol is not None:
        handler.subprotocol = acceptance.subprotocol
    request.ws_handler = handler
    pongs = getattr(type(handler), "ponged", None) not in (None, WebSocket.ponged)
    options = _options(
        f"websocket {key}",
        blocking=handler_cls is None,
        pongs=pongs,
        max_message=max_message,
        ping_interval=ping_interval if heartbeat_freq is None else heartbeat_freq,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
        max_output=max_output,
        max_queue=max_queue,
    )
    request._opening = Opening(acceptance, handler, options)


def _judged(rules: Rules, host: str | None) -> Acceptance:
    request = serving.request
    fields = request._fields
    if fields is None:
        fields = request.wsgi_environ or {}
    if host is None:
        host = request.base.partition("://")[2]
    minor = 1 if request.protocol >= (1, 1) else 0
    try:
        return judge(request.method, minor, fields, rules, host=host)
    except Refusal as refusal:
        for name, value in refusal.headers:
            serving.response.headers[name] = value
        raise HTTPError(refusal.status, refusal.text) from None


def _can_switch(request: Any) -> bool:
    """Whether kirsch is at the other end: of this call, or of WSGI."""
    if isinstance(request._origin, (Exchange, Link)):
        return True
    environ = request.wsgi_environ
    return environ is not None and environ.get("wsgi.file_wrapper") is FileWrapper


def _nothing() -> bytes:
    """Stand for a page that has yet to run."""
    return b""


def _name(callable: Any) -> str:
    function = getattr(callable, "__func__", callable)
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', repr(type(callable)))}"


def _page_socket(request: Any) -> PageSocket:
    """Make the socket of a page that is itself the handler. Raises HTTPError for wrong arguments."""
    page = request._ws_page
    callable = getattr(page, "callable", page)
    args, kwargs = tuple(getattr(page, "args", ())), dict(getattr(page, "kwargs", {}))
    test_callable_spec(callable, (None, *args), kwargs)
    session = serving.__dict__.get("session")
    snapshot = dict(session.items()) if session is not None else {}
    return PageSocket(callable, args, kwargs, request, snapshot)


def _made(
    handler_cls: Any, request: Any, acceptance: Acceptance, heartbeat_freq: float | None
) -> Any:
    """Make a handler as ws4py does."""
    if isinstance(handler_cls, str):
        from cherrypy.framework.reprconf import attributes

        handler_cls = attributes(handler_cls)
    origin = request._origin
    link = getattr(origin, "connection", origin)
    plain = isinstance(handler_cls, type) and handler_cls.__init__ is WebSocket.__init__  # type: ignore[misc]  # only compared
    make: Any = getattr(origin, "environ", None)
    return handler_cls(
        getattr(link, "sock", None) if not plain else None,
        protocols=[acceptance.subprotocol] if acceptance.subprotocol else [],
        extensions=[],
        environ=make if plain and make is not None else dict(request.wsgi_environ or {}),
        heartbeat_freq=heartbeat_freq,
    )


class WebSocketTool(Tool):
    """Makes pages WebSockets; its arguments are those of `open_websocket`.

    `cherrypy.tools.websocket` is one. A program that assigns its own, as ws4py's had to, may.
    """

    def __init__(self) -> None:
        Tool.__init__(self, "before_handler", open_websocket, "websocket", 90)

    def hooks(self, conf: dict[str, Any]) -> Iterator[HookSpec]:
        """Yield what notes the page, judges the handshake behind all other tools, and switches."""
        yield "before_request_body", self._note, 1, {}
        yield self._point, self.callable, self._priority_of(conf), conf
        yield "before_finalize", self._switch, 110, {}
        yield "on_end_resource", self._call_it_101, 50, {}

    def _note(self) -> None:
        # Before other tools put their wrappers around it.
        request = serving.request
        request._ws_page = request.handler
        request._opening = None

    def _switch(self) -> None:
        request, response = serving.request, serving.response
        opening = getattr(request, "_opening", None)
        if opening is None or response.status not in (None, 200, "200 OK"):
            return  # refused, or an error page
        response.body = opening
        response.stream = True

    def _call_it_101(self) -> None:
        request, response = serving.request, serving.response
        opening = getattr(request, "_opening", None)
        if opening is not None and response._body is opening:
            response.status = "101 Switching Protocols"
