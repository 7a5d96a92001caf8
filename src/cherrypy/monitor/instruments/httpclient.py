"""http.client: what urllib, urllib3 and with it requests, and most libraries of services stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ..patches import Patches
from ..shards import own
from ..traces import EXTERNAL
from .awaits import covered
from .external import Call, inside

LIBRARY = "http.client"
_NAME = "_monitor_call"  # the attribute of a connection


def instrument(module: Any) -> Callable[[], object]:
    """Have the requests of all connections counted."""
    patches = Patches()
    connection = module.HTTPConnection
    patches.method(connection, "putrequest", _putrequest)
    patches.method(connection, "endheaders", _sending)
    patches.method(connection, "send", layered)
    patches.method(connection, "getresponse", _getresponse)
    patches.method(connection, "close", _close)
    return patches.end


def bodies(module: Any) -> Callable[[], object]:
    """Have the reading of responses in the layer."""
    patches = Patches()
    for name in ("read", "read1", "readinto", "readline", "peek"):
        patches.method(module.HTTPResponse, name, layered)
    return patches.end


def _where(connection: Any, url: Any) -> tuple[str, Any]:
    """The scheme and the host of what is asked, which a proxy is told in the URL."""
    if isinstance(url, str) and url[:7].lower() in ("http://", "https:/"):
        parts = urlsplit(url)
        return parts.scheme, parts.hostname
    secure = connection.default_port == 443
    host = getattr(connection, "_tunnel_host", None) or connection.host
    return "https" if secure else "http", host


def _putrequest(plain: Any) -> Any:
    def putrequest(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        known = self.__dict__.pop(_NAME, None)
        if known is not None:
            known.dropped()
        if not inside():
            self.__dict__[_NAME] = Call(LIBRARY, method, *_where(self, url))
        try:
            return plain(self, method, url, *args, **kwargs)
        except BaseException:
            known = self.__dict__.pop(_NAME, None)
            if known is not None:  # nothing was sent
                known.dropped()
            raise

    return putrequest


def _sending(plain: Any) -> Any:
    """Connect, if need be, and send."""

    def endheaders(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = self.__dict__.get(_NAME)
        if call is None:
            return plain(self, *args, **kwargs)
        call.enter()
        try:
            answer = plain(self, *args, **kwargs)
        except BaseException as error:
            self.__dict__.pop(_NAME, None)
            call.failed(error)
            raise
        call.leave()
        return answer

    return endheaders


def _getresponse(plain: Any) -> Any:
    def getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = self.__dict__.pop(_NAME, None)
        if call is None:
            return plain(self, *args, **kwargs)
        call.enter()
        try:
            response = plain(self, *args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        call.answered(response.status)
        return response

    return getresponse


def _close(plain: Any) -> Any:
    def close(self: Any) -> Any:
        # Not popped while it is in its layer: then whoever entered that counts the failure.
        call = self.__dict__.get(_NAME)
        if call is not None and call.shard is None:
            del self.__dict__[_NAME]
            call.dropped()
        return plain(self)

    return close


def layered(plain: Any) -> Any:
    def method(*args: Any, **kwargs: Any) -> Any:
        trace = own.trace
        if trace.layer == EXTERNAL or covered.get():
            return plain(*args, **kwargs)
        before = trace.enter(EXTERNAL)
        try:
            return plain(*args, **kwargs)
        finally:
            trace.leave(before)

    return method
