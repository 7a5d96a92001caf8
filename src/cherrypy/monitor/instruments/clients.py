"""HTTP clients that have one method through which a request goes: urllib3, requests, httpx, aiohttp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ..patches import Patches
from ..traces import EXTERNAL
from .awaits import Wait, covered
from .external import Call, inside
from .httpclient import layered


def urllib3(module: Any) -> Callable[[], object]:
    """Have `HTTPConnectionPool.urlopen` counted; what it tries again is the same call."""

    def make(plain: Any) -> Any:
        def urlopen(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            if inside():
                return plain(self, method, url, *args, **kwargs)
            call = Call("urllib3", method, self.scheme, self.host)
            return _called(call, lambda: plain(self, method, url, *args, **kwargs), "status")

        return urlopen

    patches = Patches()
    patches.method(module.HTTPConnectionPool, "urlopen", make)
    return patches.end


def requests(module: Any) -> Callable[[], object]:
    """Have `HTTPAdapter.send` counted: each request of a chain of redirects is one."""

    def make(plain: Any) -> Any:
        def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            if inside():
                return plain(self, request, *args, **kwargs)
            scheme, host = where(request.url)
            call = Call("requests", request.method, scheme, host)
            return _called(call, lambda: plain(self, request, *args, **kwargs), "status_code")

        return send

    patches = Patches()
    patches.method(module.HTTPAdapter, "send", make)
    return patches.end


def httpx(module: Any) -> Callable[[], object]:
    """Have the transports counted, each request of a chain of redirects, and bodies in the layer."""

    def make(plain: Any) -> Any:
        def handle_request(self: Any, request: Any) -> Any:
            if inside():
                return plain(self, request)
            call = Call("httpx", request.method, request.url.scheme, request.url.host)
            return _called(call, lambda: plain(self, request), "status_code")

        return handle_request

    def make_async(plain: Any) -> Any:
        async def handle_async_request(self: Any, request: Any) -> Any:
            if covered.get():
                return await plain(self, request)
            call = Call("httpx", request.method, request.url.scheme, request.url.host)
            return await _awaited(call, plain(self, request), "status_code")

        return handle_async_request

    patches = Patches()
    patches.method(module.HTTPTransport, "handle_request", make)
    patches.method(module.AsyncHTTPTransport, "handle_async_request", make_async)
    patches.method(module.Response, "read", layered)
    patches.method(module.Response, "iter_raw", _streaming)
    return patches.end


def _streaming(plain: Any) -> Any:
    """Have the steps of a generator in the layer."""

    def iter_raw(self: Any, *args: Any, **kwargs: Any) -> Any:
        parts, end = plain(self, *args, **kwargs), object()
        step = layered(lambda: next(parts, end))
        try:
            while (part := step()) is not end:
                yield part
        finally:
            parts.close()

    return iter_raw


def aiohttp(module: Any) -> Callable[[], object]:
    """Have `ClientSession.request` and its likes counted, redirects included."""

    def make(plain: Any) -> Any:
        async def _request(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            if covered.get():
                return await plain(self, method, url, *args, **kwargs)
            build = getattr(self, "_build_url", None)
            scheme, host = where(str(build(url) if build is not None else url))
            call = Call("aiohttp", method, scheme, host)
            return await _awaited(call, plain(self, method, url, *args, **kwargs), "status")

        return _request

    patches = Patches()
    patches.method(module.ClientSession, "_request", make)
    return patches.end


def where(url: Any) -> tuple[str, str]:
    """The scheme and the host of a URL; '' for what it lacks."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or ""
    except (ValueError, TypeError, AttributeError):
        return "", ""


def _called(call: Call, plain: Callable[[], Any], status: str) -> Any:
    call.enter()
    try:
        response = plain()
    except BaseException as error:
        call.failed(error)
        raise
    call.answered(getattr(response, status))
    return response


async def _awaited(call: Call, waited_for: Any, status: str) -> Any:
    call.wait = Wait(EXTERNAL)
    try:
        response = await waited_for
    except BaseException as error:
        call.failed(error)
        raise
    call.answered(getattr(response, status))
    return response
