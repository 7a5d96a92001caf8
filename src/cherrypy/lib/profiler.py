"""Profiles of requests, kept in files and shown on pages.

`make_app` goes into `wsgi.pipeline`; `serve` shows what it has written.
"""

from __future__ import annotations

import cProfile
import html
import io
import os
import pstats
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_plus

from cherrypy.framework.errors import NotFound
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site

__all__ = ("ProfileAggregator", "Profiler", "make_app", "new_func_strip_path", "serve")

#: Of files by this process.
_count = 0
_count_lock = threading.Lock()

# Since Python 3.12 there is one profiler at a time in a process, before one in each thread.
_one_at_a_time = threading.Lock() if sys.version_info >= (3, 12) else None

#: Seconds that a call waits for another one that is being watched; then it goes unwatched.
PATIENCE = 1.0


def new_func_strip_path(func_name: tuple[str, int, str]) -> tuple[str, int, str]:
    """Return a function's place with only the last part of its path, or two for ``__init__``."""
    filename, line, name = func_name
    head, tail = os.path.split(filename)
    if tail == "__init__.py":
        tail = os.path.join(os.path.basename(head), tail)
    return tail, line, name


def _default_path() -> str:
    return os.path.join(os.path.dirname(__file__), "profile")


class Profiler:
    """Runs functions under a profiler, each into a file of its own.

    Args:
        path: the directory for them.
    """

    #: How many files to keep, about; None: all of them.
    keep: int | None = 1000

    def __init__(self, path: str | None = None) -> None:
        self.path = path or _default_path()
        os.makedirs(self.path, exist_ok=True)

    def run(self, func: Callable[..., Any], *args: Any, **params: Any) -> Any:
        """Call `func` with the other arguments, write its profile, return its result.

        A call that finds another one being watched, and cannot be watched beside it, waits a second
        and goes unwatched.
        """
        global _count
        with _count_lock:
            _count += 1
            number = _count
        if _one_at_a_time is not None and not _one_at_a_time.acquire(timeout=PATIENCE):
            return func(*args, **params)
        try:
            profile = cProfile.Profile()
            try:
                return profile.runcall(func, *args, **params)
            finally:
                self._keep(profile, number)
        finally:
            if _one_at_a_time is not None:
                _one_at_a_time.release()

    def _keep(self, profile: cProfile.Profile, number: int) -> None:
        """Write a profile, in one piece for whoever reads it, and take away the oldest."""
        name = os.path.join(self.path, f"cp_{number:04d}.prof")
        part = f"{name}.{threading.get_ident()}.part"
        profile.dump_stats(part)
        os.replace(part, name)
        if number % 50 == 0 and self.keep is not None:
            self._forget(self.keep)

    def _forget(self, keep: int) -> None:
        names = [os.path.join(self.path, name) for name in self.statfiles()]
        dated = []
        for name in names:
            try:
                dated.append((os.stat(name).st_mtime, name))
            except OSError:  # another process has been quicker
                continue
        for _, name in sorted(dated)[: max(0, len(dated) - keep)]:
            try:
                os.unlink(name)
            except OSError:
                continue

    def statfiles(self) -> list[str]:
        """Return the names of the files."""
        return sorted(
            name
            for name in os.listdir(self.path)
            if name.startswith("cp_") and name.endswith(".prof")
        )

    def stats(self, filename: str, sortby: str = "cumulative") -> str:
        """Return the statistics in a file as text. Raises ValueError for a name that is none."""
        if filename not in self.statfiles():
            raise ValueError("There is no such profile.")
        stream = io.StringIO()
        statistics = pstats.Stats(os.path.join(self.path, filename), stream=stream)
        statistics.strip_dirs().sort_stats(sortby).print_stats()
        return stream.getvalue()

    @expose
    def index(self) -> str:
        """Show the list of profiles beside one of them."""
        return """<html>
<head><title>CherryPy profile data</title></head>
<frameset cols='200, 1*'>
    <frame src='menu' />
    <frame name='main' src='' />
</frameset>
</html>
"""

    @expose
    def menu(self) -> Iterator[str]:
        """List the profiles."""
        yield "<h2>Profiling runs</h2>"
        yield "<p>Click on one of the runs below to see profiling data.</p>"
        for name in reversed(self.statfiles()):
            # Whoever may write there may call a file anything.
            link, shown = (
                quote_plus(os.fsencode(name)),
                os.fsencode(name).decode("utf-8", "replace"),
            )
            yield f"<a href='report?filename={link}' target='main'>{html.escape(shown)}</a><br />"

    @expose
    def report(self, filename: str) -> str:
        """Show one profile; 404 for anything else."""
        try:
            text = self.stats(filename)
        except (EOFError, OSError, TypeError, ValueError):  # no profile, or no longer
            raise NotFound() from None
        serving.response.headers["Content-Type"] = "text/plain"
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


class ProfileAggregator(Profiler):
    """Runs functions under one profiler, into one file."""

    def __init__(self, path: str | None = None) -> None:
        global _count
        super().__init__(path)
        with _count_lock:
            _count += 1
            self.count = _count
        self.profiler = cProfile.Profile()
        self._lock = threading.Lock()

    def run(self, func: Callable[..., Any], *args: Any, **params: Any) -> Any:
        """Call `func` with the other arguments, add to the profile, return its result.

        A call that waits for another one longer than a second goes unwatched.
        """
        # One profiler watches one call at a time.
        lock = _one_at_a_time or self._lock
        if not lock.acquire(timeout=PATIENCE):
            return func(*args, **params)
        try:
            try:
                return self.profiler.runcall(func, *args, **params)
            finally:
                self._keep(self.profiler, self.count)
        finally:
            lock.release()


class make_app:
    """A WSGI application that runs another one under a profiler.

    Args:
        nextapp: the other one.
        path: the directory for the profiles.
        aggregate: write one profile of all requests, not one of each.
    """

    def __init__(
        self, nextapp: Callable[..., Any], path: str | None = None, aggregate: bool = False
    ) -> None:
        self.nextapp = nextapp
        self.aggregate = aggregate
        self.profiler = ProfileAggregator(path) if aggregate else Profiler(path)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer a request under the profiler."""

        def gather() -> list[bytes]:
            response = self.nextapp(environ, start_response)
            try:
                return list(response)
            finally:
                close = getattr(response, "close", None)
                if close is not None:
                    close()

        return self.profiler.run(gather)


def serve(path: str | None = None, port: int = 8080) -> None:
    """Show the profiles in `path` on a server of their own."""
    site.config.update(
        {
            "server.socket_port": int(port),
            "server.thread_pool": 10,
            "environment": "production",
        }
    )
    site.quickstart(Profiler(path))
