"""The default toolbox: every tool that comes with the framework, at its point and priority.

Also stands for the old module `cherrypy._cptools`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cherrypy.framework.helpers import expose
from cherrypy.framework.hooks import AT_ONCE, BEFORE_DISPATCH, shortcut
from cherrypy.framework.serving import serving
from cherrypy.framework.tools import (
    ErrorTool,
    HandlerTool,
    HandlerWrapperTool,
    HookSpec,
    Tool,
    Toolbox,
    _attr_error,
    _getargs,
    default_toolbox,
)

from . import auth_basic, auth_digest, caching, cptools, encoding, jsontools, sessions, static
from . import xmlrpcutil as _xmlrpc
from .sessionbase import ADAPTIVE

__all__ = (
    "CachingTool",
    "ErrorTool",
    "HandlerTool",
    "HandlerWrapperTool",
    "SessionAuthTool",
    "SessionTool",
    "Tool",
    "Toolbox",
    "XMLRPCController",
    "_attr_error",
    "_d",
    "_getargs",
    "default_toolbox",
)


class SessionTool(Tool):
    """Gives requests a session, as `cherrypy.session`.

    Its arguments are those of `cherrypy.lib.sessions.init`, and `locking`: ``'adaptive'`` (the
    default) takes the lock of the session when it is first used, unless by a page that is known to
    read only, and gives it back when it is saved; ``'implicit'`` makes no such difference;
    ``'early'`` takes it before the request's body is read; ``'explicit'`` leaves it to the
    handler, by `cherrypy.session.acquire_lock()`.
    """

    def __init__(self) -> None:
        Tool.__init__(self, "before_request_body", sessions.init)

    def _lock_session(self) -> None:
        serving.session.acquire_lock()

    def hooks(self, conf: dict[str, Any]) -> Iterator[HookSpec]:
        """Yield what opens, locks, saves and closes the session."""
        priority = self._priority_of(conf)
        locking = conf.pop("locking", ADAPTIVE)
        if locking not in (ADAPTIVE, "implicit", "early", "explicit"):
            raise ValueError(
                "tools.sessions.locking must be 'adaptive', 'implicit', 'early' or 'explicit', not "
                f"{locking!r}."
            )
        if locking in (ADAPTIVE, "implicit"):
            conf["_lock_on_access"] = ADAPTIVE if locking == ADAPTIVE else True
        yield self._point, self.callable, priority, conf
        if locking == "early":
            # Before the body is read.
            yield "before_request_body", self._lock_session, 60, {}
        yield "before_finalize", sessions.save, None, {}
        yield "before_error_response", sessions.retry, None, {}
        yield "on_end_request", sessions.close, None, {}

    def regenerate(self) -> None:
        """Give the session a new id, and the client its cookie.

        For every change of what a user may do: an id from before is worth nothing afterwards.
        """
        serving.session.regenerate()
        conf = self._merged_args()
        known = _getargs(sessions.set_response_cookie)
        settings = {name: value for name, value in conf.items() if name in known}
        if not conf.get("persistent", True):
            settings["timeout"] = None
        sessions.set_response_cookie(**settings)


class SessionAuthTool(HandlerTool):
    """Lets in only requests whose session holds a user name; see `cptools.SessionAuth`."""


class CachingTool(Tool):
    """Answers from the cache what is in it, and puts in it what is not."""

    def _wrapper(self, **kwargs: Any) -> None:
        request = serving.request
        if self.callable(**kwargs):
            request.handler = None
        elif request.cacheable:
            # Late, so that what is stored is what is sent.
            request.hooks.attach("before_finalize", caching.tee_output, priority=100)

    def hooks(self, conf: dict[str, Any]) -> Iterator[HookSpec]:
        """Yield what looks into the cache."""
        # Early: other tools would work in vain.
        priority = conf.pop("priority", None)
        yield "before_handler", self._wrapper, 50 if priority is None else priority, conf


class XMLRPCController:
    """A base for controllers of XML-RPC methods.

    Methods are found below it by their dotted names; they need `exposed`.
    """

    #: Turns the errors of methods into faults.
    _cp_config = {"tools.xmlrpc.on": True}

    @expose
    def default(self, *vpath: Any, **params: Any) -> Any:
        """Call the method that the request's body names, and return its value as XML."""
        args, name = _xmlrpc.process_body()
        method: Any = self
        for attribute in str(name).split("."):
            # Names with an underscore in front are nobody else's business.
            method = None if attribute.startswith("_") else getattr(method, attribute, None)
            if method is None:
                break
        if method is None or not getattr(method, "exposed", False):
            # What a client gets to see, as of old.
            raise Exception(f'method "{name}" is not supported')
        body = method(*(vpath + args), **params)
        conf = serving.request.toolmaps["tools"].get("xmlrpc", {})
        _xmlrpc.respond(body, conf.get("encoding", "utf-8"), conf.get("allow_none", 0))
        return serving.response.body


_BEFORE_BODY = "before_request_body"

#: Name, point, callable, priority. `autovary` is before all others: what they read is what the answer varies by.
_PLAIN: tuple[tuple[str, str, Callable[..., Any], int], ...] = (
    ("accept", "on_start_resource", cptools.accept, 50),
    ("allow", "on_start_resource", cptools.allow, 50),
    ("auth_basic", "before_handler", auth_basic.basic_auth, 1),
    ("auth_digest", "before_handler", auth_digest.digest_auth, 1),
    ("autovary", "on_start_resource", cptools.autovary, 0),
    ("decode", _BEFORE_BODY, encoding.decode, 50),
    ("encode", "before_handler", encoding.ResponseEncoder, 70),
    ("etags", "before_finalize", cptools.validate_etags, 75),
    ("expires", "before_finalize", caching.expires, 50),
    ("flatten", "before_finalize", cptools.flatten, 50),
    ("gzip", "before_finalize", encoding.gzip, 80),
    ("ignore_headers", _BEFORE_BODY, cptools.ignore_headers, 50),
    ("json_in", _BEFORE_BODY, jsontools.json_in, 30),
    ("json_out", "before_handler", jsontools.json_out, 30),
    ("log_headers", "before_error_response", cptools.log_request_headers, 50),
    ("log_hooks", "on_end_request", cptools.log_hooks, 100),
    ("log_tracebacks", "before_error_response", cptools.log_traceback, 50),
    ("params", "before_handler", cptools.convert_params, 15),
    ("proxy", _BEFORE_BODY, cptools.proxy, 30),
    ("redirect", "on_start_resource", cptools.redirect, 50),
    ("referer", _BEFORE_BODY, cptools.referer, 50),
    ("response_headers", "on_start_resource", cptools.response_headers, 50),
    ("trailing_slash", "before_handler", cptools.trailing_slash, 60),
)


def _allowed_hosts() -> Tool:
    from .allowedhosts import AllowedHostsTool

    return AllowedHostsTool()


def _compress() -> Tool:
    from .compression import compress

    # Before gzip, which leaves alone what is compressed.
    return Tool("before_finalize", compress, "compress", 79)


def _cors() -> Tool:
    from .cors import CorsTool

    return CorsTool()


def _csrf() -> Tool:
    from .csrf import CsrfTool

    return CsrfTool()


def _rate_limit() -> Tool:
    from .ratelimit import RateLimitTool

    return RateLimitTool()


def _secure_headers() -> Tool:
    from .secureheaders import SecureHeadersTool

    return SecureHeadersTool()


def _basic_auth() -> Tool:
    from . import auth

    return Tool("on_start_resource", auth.basic_auth, "basic_auth")


def _digest_auth() -> Tool:
    from . import auth

    return Tool("on_start_resource", auth.digest_auth, "digest_auth")


#: Tools that are made, and whose modules are imported, when somebody first asks for them.
_LATE: dict[str, Callable[[], Tool]] = {
    "allowed_hosts": _allowed_hosts,
    "compress": _compress,
    "cors": _cors,
    "csrf": _csrf,
    "rate_limit": _rate_limit,
    "secure_headers": _secure_headers,
}


#: Those of CherryPy before 16, likewise.
_OF_OLD: dict[str, Callable[[], Tool]] = {
    "basic_auth": _basic_auth,
    "digest_auth": _digest_auth,
}


def _fill(box: Toolbox) -> Toolbox:
    """Bind every default tool to `box`."""
    for name, point, callback, priority in _PLAIN:
        setattr(box, name, Tool(point, callback, name, priority))
    box.caching = CachingTool("before_handler", caching.get, "caching")
    box.err_redirect = ErrorTool(cptools.redirect)
    box.session_auth = SessionAuthTool(cptools.session_auth)
    box.sessions = SessionTool()
    box.staticdir = HandlerTool(static.staticdir)
    box.staticfile = HandlerTool(static.staticfile)
    box.xmlrpc = ErrorTool(_xmlrpc.on_error)
    for name, make in _LATE.items():
        box.add_late(name, make)
    for name, make in _OF_OLD.items():
        box.add_late(name, make, listed=False)
    return box


_d = _fill(default_toolbox)


def _proxy_before_dispatch(request: Any, path: str) -> Callable[[Any], None] | None:
    from .proxied import before_dispatch

    return before_dispatch(request, path)


def _proxy_at_once(request: Any, settings: dict[str, Any]) -> None:
    from .proxied import at_once

    at_once(request, settings)


BEFORE_DISPATCH["tools.proxy.on"] = _proxy_before_dispatch
AT_ONCE[_BEFORE_BODY, cptools.proxy] = _proxy_at_once

# On every request, and mostly with nothing to do: the request path knows a short way.
shortcut(cptools.trailing_slash, "trailing_slash")
shortcut(encoding.ResponseEncoder, "encode")
shortcut(sessions.close, sessions.is_locked)
