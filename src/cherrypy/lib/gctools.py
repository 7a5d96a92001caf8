"""What is still alive, and who keeps it: pages and counters for hunting leaks."""

from __future__ import annotations

import gc
import sys
import threading
import time
from types import FrameType
from typing import Any

from cherrypy.framework.application import Application
from cherrypy.framework.helpers import expose
from cherrypy.framework.request import Request
from cherrypy.framework.response import Response
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site
from cherrypy.framework.wsgi import AppResponse
from cherrypy.process.plugins import SimplePlugin

__all__ = (
    "GCRoot",
    "ReferrerTree",
    "RequestCounter",
    "get_context",
    "get_instances",
    "request_counter",
)


class ReferrerTree:
    """The objects that keep an object alive, and who keeps those.

    Args:
        ignore: objects that do not count.
        maxdepth: how far up to look.
        maxparents: how many referrers of one object to look at.
    """

    peek_length = 40

    def __init__(self, ignore: Any = None, maxdepth: int = 2, maxparents: int = 10) -> None:
        self.ignore = list(ignore or [])
        # The lists themselves refer to what is in them.
        self.ignore.append(sys._getframe().f_back)
        self.maxdepth = maxdepth
        self.maxparents = maxparents
        #: When, by `time.monotonic()`, to look no further: each step looks at every object there is.
        self.until: float | None = None

    def ascend(self, obj: Any, depth: int = 1) -> list[Any]:
        """Return ``(referrer, its referrers)`` for each referrer of `obj`."""
        depth += 1
        parents: list[Any] = []
        if self.until is not None and time.monotonic() > self.until:
            return [("[...]", [])]
        # Those that are ours to look with would show themselves.
        referrers = gc.get_referrers(obj)
        own = {id(referrers), id(self.ignore), id(sys._getframe())}
        own.update(id(ignored) for ignored in self.ignore)
        self.ignore.append(referrers)
        try:
            if len(referrers) > self.maxparents:
                return [(f"[{len(referrers)} referrers]", [])]
            for parent in referrers:
                if id(parent) in own or isinstance(parent, FrameType):
                    continue
                above: list[Any] = [("[...]", [])]
                if depth <= self.maxdepth:
                    above = self.ascend(parent, depth)
                parents.append((parent, above))
        finally:
            self.ignore.pop()
        return parents

    def peek(self, s: str) -> str:
        """Return the ends of a long text."""
        if len(s) <= self.peek_length:
            return s
        half = self.peek_length // 2
        return f"{s[:half]}...{s[-half:]}"

    def _format(self, obj: Any, descend: bool = True) -> str:
        """Return a short text for an object."""
        if isinstance(obj, FrameType):
            return f"<frame of {obj.f_code.co_name} in {obj.f_code.co_filename}>"
        if descend and isinstance(obj, dict):
            inside = ", ".join(
                f"{self._format(key, False)}: {self._format(value, False)}"
                for key, value in list(obj.items())[: self.maxparents]
            )
            return "{" + inside + "}"
        if descend and isinstance(obj, (list, tuple)):
            inside = ", ".join(self._format(item, False) for item in obj[: self.maxparents])
            return f"[{inside}]" if isinstance(obj, list) else f"({inside})"
        try:
            return f"{type(obj)}: {self.peek(repr(obj))}"
        except Exception:  # anybody's __repr__
            return f"{type(obj)}"

    def format(self, tree: list[Any]) -> list[str]:
        """Return a tree, as `ascend` gives it, as lines indented by depth."""
        lines: list[str] = []

        def write(branch: list[Any], depth: int) -> None:
            for parent, above in branch:
                lines.append("    " * depth + self._format(parent))
                write(above, depth + 1)

        write(tree, 0)
        return lines


def get_instances(cls: type) -> list[Any]:
    """Return the objects of exactly this class that are alive."""
    return [obj for obj in gc.get_objects() if type(obj) is cls]


class RequestCounter(SimplePlugin):
    """Counts the requests that are being served."""

    count = 0
    #: Requests begin and end in many threads: an increment that is lost would stay.
    _counting = threading.Lock()

    def start(self) -> None:
        """Begin at none."""
        self.count = 0

    def before_request(self) -> None:
        """One more."""
        with self._counting:
            self.count += 1

    def after_request(self) -> None:
        """One less."""
        with self._counting:
            self.count -= 1


request_counter = RequestCounter(site.engine)
request_counter.subscribe()


def get_context(obj: Any) -> str:
    """Return in a few words what an object is about."""
    if isinstance(obj, Request):
        return f"path={obj.path_info};stage={obj.stage}"
    if isinstance(obj, Response):
        return f"status={obj.status}"
    if isinstance(obj, AppResponse):
        environ = getattr(obj, "environ", None) or {}
        return f"PATH_INFO={environ.get('PATH_INFO', '')}"
    if hasattr(obj, "tb_lineno"):
        return f"tb_lineno={obj.tb_lineno}"
    return ""


class GCRoot:
    """Pages that show whether requests leave anything behind."""

    #: class, how many there may be at least and at most, what to say otherwise.
    classes = [
        (Request, 1, 2, "Should be 1 in this request thread and 1 in the main thread."),
        (Response, 0, 2, "Should be 1 in this request thread and 1 in the main thread."),
        (AppResponse, 0, 1, "Should be 1 in this request thread only."),
        (Application, 0, sys.maxsize, ""),
    ]

    #: Of each class, how many objects to tell of; and how many seconds to look for who keeps them.
    _TOLD = 10
    _SECONDS = 3.0

    @expose
    def index(self) -> str:
        """Say hello."""
        return "Hello, world!"

    @expose
    def stats(self) -> str:
        """Count requests, responses and what only cycles keep alive."""
        output = ["Statistics:"]
        # Those of requests that are being served do not count as leaks.
        deadline = time.monotonic() + 1
        while request_counter.count > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        gc.collect()
        unreachable = gc.collect()
        if unreachable:
            output.append(f"\n{unreachable} unreachable objects:")
            kinds: dict[str, int] = {}
            for obj in gc.garbage:
                kinds[str(type(obj))] = kinds.get(str(type(obj)), 0) + 1
            output.extend(f"  {count} {kind}" for kind, count in sorted(kinds.items()))
        trash = self._too_many()
        output.extend(trash)
        if not trash and not unreachable:
            output.append("\nNo leaks found.")
        serving.response.headers["Content-Type"] = "text/plain"
        return "\n".join(output).encode("utf-8", "backslashreplace").decode("utf-8")

    def _too_many(self) -> list[str]:
        lines: list[str] = []
        until = time.monotonic() + self._SECONDS
        for cls, least, most, message in self.classes:
            found = get_instances(cls)
            if least <= len(found) <= most:
                continue
            lines.append(
                f"\nExpected {least} to {most} {cls.__name__} references, got {len(found)}. {message}"
            )
            tree = ReferrerTree(ignore=[found], maxdepth=3)
            tree.until = until
            others = [obj for obj in found if obj not in (serving.request, serving.response)]
            for obj in others[: self._TOLD]:
                lines.append(f"\nReferrers for {cls.__name__} ({get_context(obj)}):")
                lines.extend(tree.format(tree.ascend(obj)))
        return lines
