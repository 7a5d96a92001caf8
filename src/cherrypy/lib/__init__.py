"""The tools' working parts. Law: the framework never imports anything from here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cherrypy.framework.response import ResponseBody

__all__ = (
    "by_https",
    "file_generator",
    "file_generator_limited",
    "give_requests",
    "is_closable_iterator",
    "is_iterator",
    "set_vary_header",
)


def is_iterator(obj: Any) -> bool:
    """Tell whether `obj` is an iterator itself (like a generator), not merely iterable."""
    return hasattr(obj, "__next__") and hasattr(obj, "__iter__") and iter(obj) is obj


def is_closable_iterator(obj: Any) -> bool:
    """Tell whether `obj` is an iterator whose `close` can be called without arguments.

    Generators always can. Files are left to whoever opened them.
    """
    if not is_iterator(obj) or hasattr(obj, "read"):
        return False
    close = getattr(obj, "close", None)
    if not callable(close):
        return False
    code = getattr(getattr(close, "__func__", close), "__code__", None)
    if code is None:
        return True
    own = 1 if hasattr(close, "__self__") else 0
    defaults = getattr(getattr(close, "__func__", close), "__defaults__", None) or ()
    return bool(code.co_argcount - own - len(defaults) <= 0)


class file_generator:
    """Yield the rest of a file-like object in chunks and close it at the end.

    Args:
        input: what is read; it stays readable as the attribute `input`.
        chunkSize: bytes a chunk.
    """

    def __init__(self, input: Any, chunkSize: int = 65536) -> None:
        self.input = input
        self.chunkSize = chunkSize

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        chunk = self.input.read(self.chunkSize)
        if chunk:
            return chunk
        if hasattr(self.input, "close"):
            self.input.close()
        raise StopIteration

    next = __next__

    def __del__(self) -> None:
        """Close the file of a response that nobody read to its end."""
        close = getattr(getattr(self, "input", None), "close", None)
        if close is not None:
            close()


# Files that handlers return are wrapped in the class that programs know.
ResponseBody.wrap_file = file_generator


def file_generator_limited(fileobj: Any, count: int, chunk_size: int = 65536) -> Iterator[Any]:
    """Yield `count` bytes of `fileobj`, `chunk_size` at a time; the file stays open."""
    remaining = count
    while remaining > 0:
        chunk = fileobj.read(min(chunk_size, remaining))
        if not chunk:
            return
        remaining -= len(chunk)
        yield chunk


def set_vary_header(response: Any, header_name: str) -> None:
    """Add `header_name` to the Vary field of `response`, which stays sorted."""
    headers = response.headers
    known = headers.get("Vary", "")
    if not known:
        headers["Vary"] = header_name
        return
    names = {name.strip() for name in known.split(",") if name.strip()}
    names.add(header_name)
    headers["Vary"] = ", ".join(sorted(names))


def by_https(request: Any) -> bool:
    """Tell whether a request came by https, to us or to the proxy that the tool `proxy` heeds."""
    return bool(request.scheme == "https" or request.base[:6] == "https:")


def give_requests(name: str, make: Any) -> None:
    """Give all requests an attribute that `make(request)` makes when it is first asked for.

    Until then the request's `_<name>` is None.
    """
    from cherrypy.framework.request import Request
    from cherrypy.framework.response import kept

    attribute = kept(make, "")
    attribute.__set_name__(Request, name)
    setattr(Request, name, attribute)
    setattr(Request, attribute.slot, None)


#: Reached as attributes after a bare `import cherrypy`, and loaded when they are.
_ROOMS = frozenset(
    [
        "allowedhosts",
        "auth_basic",
        "auth_digest",
        "caching",
        "compression",
        "covercp",
        "cpstats",
        "cptools",
        "csrf",
        "encoding",
        "gctools",
        "headers",
        "httputil",
        "jsontools",
        "locking",
        "profiler",
        "ratelimit",
        "reprconf",
        "secureheaders",
        "sessions",
        "sse",
        "static",
        "xmlrpcutil",
    ]
)


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import sys

    room = f"{__name__}.{name}"
    __import__(room)  # `importlib` is three modules more
    return sys.modules[room]
