"""Statistics of requests in `logging.statistics`, a dict that any package may add to, and a page.

Turn on `tools.cpstats` for the paths to be counted, and mount a `StatsPage`.
"""

from __future__ import annotations

import html
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from cherrypy.framework.errors import HTTPRedirect, NotFound
from cherrypy.framework.helpers import expose
from cherrypy.framework.helpers import url as make_url
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site
from cherrypy.framework.tools import Tool, default_toolbox

from .cptools import allow

cherrypy = sys.modules["cherrypy"]

thisdir = os.path.dirname(os.path.abspath(__file__))
missing = object()

if not hasattr(logging, "statistics"):
    # A name on a module of the standard library, by agreement among frameworks.
    setattr(logging, "statistics", {})  # noqa: B010 - the type checker knows no such name


def _statistics() -> dict[str, Any]:
    found: dict[str, Any] = vars(logging)["statistics"]
    return found


def extrapolate_statistics(scope: Any) -> Any:
    """Return a copy of `scope` in which callables are replaced by what they say of it."""
    if not isinstance(scope, dict):
        return scope
    extrapolated: dict[Any, Any] = {}
    for name, value in scope.copy().items():
        if isinstance(value, dict):
            value = extrapolate_statistics(value)
        elif isinstance(value, (list, tuple)):
            value = [extrapolate_statistics(record) for record in value]
        elif callable(value):
            try:
                value = value(scope)
            except Exception as exc:  # of whoever has put it there; the others are still shown
                value = f"{type(exc).__name__}: {exc}"
        extrapolated[name] = value
    return extrapolated


def _rate(amount: str, of: str) -> Any:
    return lambda s: (s[of] and s[amount] / float(s[of])) or 0.0


def _uptime(s: dict[str, Any]) -> float:
    return float(time.time() - s["Start Time"])


def _per_second(amount: str) -> Any:
    return lambda s: s[amount] / max(_uptime(s), 1e-9)


appstats: dict[str, Any] = _statistics().setdefault("CherryPy Applications", {})
appstats.update(
    {
        "Enabled": True,
        "Bytes Read/Request": _rate("Total Bytes Read", "Total Requests"),
        "Bytes Read/Second": _per_second("Total Bytes Read"),
        "Bytes Written/Request": _rate("Total Bytes Written", "Total Requests"),
        "Bytes Written/Second": _per_second("Total Bytes Written"),
        "Current Time": lambda s: time.time(),
        "Current Requests": 0,
        "Requests/Second": _per_second("Total Requests"),
        "Server Version": getattr(cherrypy, "__version__", ""),
        "Start Time": time.time(),
        "Total Bytes Read": 0,
        "Total Bytes Written": 0,
        "Total Requests": 0,
        "Total Time": 0,
        "Uptime": _uptime,
        "Requests": {},
    }
)

# Counters are read, changed and written: without it increments get lost.
_lock = threading.Lock()

#: Threads whose last request is shown; threads come and go.
_MOST_THREADS = 1000


def _length(text: Any) -> int:
    """Return a Content-Length as a number; 0 for what a page has made of it."""
    text = str(text or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def proc_time(s: dict[str, Any]) -> float:
    """Return how long a request has taken, or takes already, in seconds."""
    return float((s.get("End Time") or time.time()) - s["Start Time"])


class ByteCountWrapper:
    """A file whose reads are counted, in `bytes_read`."""

    def __init__(self, rfile: Any) -> None:
        self.rfile = rfile
        self.bytes_read = 0

    def read(self, size: int = -1) -> Any:
        """Read and count."""
        data = self.rfile.read(size)
        self.bytes_read += len(data)
        return data

    def readline(self, size: int = -1) -> Any:
        """Read a line and count."""
        data = self.rfile.readline(size)
        self.bytes_read += len(data)
        return data

    def readlines(self, sizehint: int = 0) -> list[Any]:
        """Read lines and count; about `sizehint` bytes if that is not 0."""
        lines: list[Any] = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if 0 < sizehint <= total:
                break
        return lines

    def close(self) -> None:
        """Close the file."""
        self.rfile.close()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    next = __next__


def average_uriset_time(s: dict[str, Any]) -> float:
    """Return the mean time of the requests of a set, in seconds."""
    return float(s["Sum"] / s["Count"]) if s["Count"] else 0.0


def _get_threading_ident() -> int:
    return threading.get_ident()


class StatsTool(Tool):
    """Counts requests and what they cost.

    Arguments: `uriset`, a name under which the times of these requests are kept together;
    `slow_queries`, seconds from which on a request is noted as slow; `slow_queries_count`, how
    many of those to keep.
    """

    def __init__(self) -> None:
        Tool.__init__(self, "on_end_request", self.record_stop)

    def _setup(self) -> None:
        if appstats.get("Enabled", False):
            Tool._setup(self)
            self.record_start()

    def record_start(self) -> None:
        """Note that a request has begun."""
        request = serving.request
        if request.rfile is not None and not hasattr(request.rfile, "bytes_read"):
            request.rfile = ByteCountWrapper(request.rfile)
            request.body.fp = request.rfile
        remote = request.remote
        # Kept with its request as well, which may end in another thread than it began in.
        record = request._cpstats = {
            "Bytes Read": None,
            "Bytes Written": None,
            # What the peer is called, without asking the DNS.
            "Client": lambda s: f"{remote.ip}:{remote.port}",
            "End Time": None,
            "Processing Time": proc_time,
            "Request-Line": request.request_line,
            "Response Status": None,
            "Start Time": time.time(),
        }
        with _lock:
            appstats["Current Requests"] += 1
            appstats["Total Requests"] += 1
            records = appstats["Requests"]
            records[_get_threading_ident()] = record
            if len(records) > _MOST_THREADS:
                for ident in [one for one, known in records.items() if known["End Time"]]:
                    del records[ident]

    def record_stop(
        self,
        uriset: str | None = None,
        slow_queries: float = 1.0,
        slow_queries_count: int = 100,
        debug: bool = False,
        **kwargs: Any,
    ) -> None:
        """Note that a request has ended."""
        request, response = serving.request, serving.response
        record = getattr(request, "_cpstats", None)
        if record is None:
            return
        read = getattr(request.rfile, "bytes_read", 0) or 0
        written = _length(response.headers.get("Content-Length"))
        with _lock:
            record["Bytes Read"] = read
            appstats["Total Bytes Read"] += read
            record["Bytes Written"] = "chunked" if response.stream and not written else written
            appstats["Total Bytes Written"] += written
            status = response.status
            record["Response Status"] = status if isinstance(status, str) else str(status)
            record["End Time"] = time.time()
            taken = record["End Time"] - record["Start Time"]
            record["Processing Time"] = taken
            appstats["Total Time"] += taken
            appstats["Current Requests"] -= 1
            if debug:
                site.log(f"Stats recorded: {record!r}", "TOOLS.CPSTATS")
            if uriset:
                self._track(uriset, taken)
            if slow_queries and taken > slow_queries:
                slow = appstats.setdefault("Slow Queries", [])
                slow.append(record.copy())
                del slow[: max(0, len(slow) - slow_queries_count)]

    @staticmethod
    def _track(uriset: str, taken: float) -> None:
        sets = appstats.setdefault("URI Set Tracking", {})
        entry = sets.setdefault(
            uriset,
            {
                "Min": None,
                "Max": None,
                "Count": 0,
                "Sum": 0,
                "Avg": average_uriset_time,
            },
        )
        entry["Count"] += 1
        entry["Sum"] += taken
        entry["Min"] = taken if entry["Min"] is None else min(entry["Min"], taken)
        entry["Max"] = taken if entry["Max"] is None else max(entry["Max"], taken)


default_toolbox.cpstats = StatsTool()


def locale_date(v: float) -> str:
    """Return a time as local people write it."""
    return time.strftime("%c", time.gmtime(v))


def iso_format(v: float) -> str:
    """Return a time as ``2026-01-31 12:00:00``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(v))


def _token() -> str:
    """Return the hidden field that the tool `csrf` asks for, where it is on."""
    csrf = sys.modules.get(f"{__package__}.csrf")
    return csrf.hidden_field() if csrf is not None and csrf.is_on() else ""


def _text(value: Any) -> str:
    """Return any value as text for a page; what cannot be sent is escaped as in Python."""
    try:
        text = str(value)
    except Exception:  # anybody's __str__
        text = f"<{type(value).__name__}>"
    return html.escape(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: keys are text, and a number is one."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not -1e308 < value < 1e308:
        return None
    return value


def pause_resume(ns: str) -> Any:
    """Return a formatter that shows a button to stop or go on counting."""

    def _pause_resume(enabled: bool) -> str:
        pause = "" if enabled else "disabled"
        resume = "disabled" if enabled else ""
        name = html.escape(ns)
        token = _token()
        return (
            f'<form action="pause" method="POST" style="display:inline">'
            f'<input type="hidden" name="namespace" value="{name}" />{token}'
            f'<input type="submit" value="Pause" {pause}/></form>'
            f'<form action="resume" method="POST" style="display:inline">'
            f'<input type="hidden" name="namespace" value="{name}" />{token}'
            f'<input type="submit" value="Resume" {resume}/></form>'
        )

    return _pause_resume


def _first(item: tuple[Any, Any]) -> str:
    return str(item[0])


_STYLE = (
    "th,td{padding:.2em .5em;border:1px solid #ddd;text-align:left}"
    "table{border-collapse:collapse}body{font:10pt sans-serif}"
)


class StatsPage:
    """The page: `/` as HTML, `/data` as JSON."""

    formatting: dict[str, dict[str, Any]] = {
        "CherryPy Applications": {
            "Enabled": pause_resume("CherryPy Applications"),
            "Bytes Read/Request": "%.3f",
            "Bytes Read/Second": "%.3f",
            "Bytes Written/Request": "%.3f",
            "Bytes Written/Second": "%.3f",
            "Current Time": iso_format,
            "Requests/Second": "%.3f",
            "Start Time": iso_format,
            "Total Time": "%.3f",
            "Uptime": "%.3f",
            "Slow Queries": {
                "End Time": None,
                "Processing Time": "%.3f",
                "Start Time": iso_format,
            },
            "URI Set Tracking": {"Avg": "%.3f", "Max": "%.3f", "Min": "%.3f", "Sum": "%.3f"},
            "Requests": {
                "Bytes Read": "%s",
                "Bytes Written": "%s",
                "End Time": None,
                "Processing Time": "%.3f",
                "Start Time": None,
            },
        },
        "CherryPy WSGIServer": {
            "Enabled": pause_resume("CherryPy WSGIServer"),
            "Connections/second": "%.3f",
            "Start time": iso_format,
        },
    }

    @staticmethod
    def _shown(formatter: Any, value: Any) -> str:
        try:
            if callable(formatter):
                return str(formatter(value))
            if formatter is not missing and value is not None:
                value = formatter % value
        except Exception:  # a value of another kind than the formatter is for
            pass
        return _text(value)

    @expose
    def index(self) -> Iterator[str]:
        """Show all statistics."""
        yield f"<html><head><title>Statistics</title><style>{_STYLE}</style></head><body>"
        for title, scalars, collections in self.get_namespaces():
            yield f"<h1>{_text(title)}</h1><table>"
            for key, value in scalars:
                yield f"<tr><th>{_text(key)}</th><td>{value}</td></tr>"
            yield "</table>"
            for name, headers, rows in collections:
                yield f"<h2>{_text(name)}</h2><table><tr>"
                yield "".join(f"<th>{_text(header)}</th>" for header in headers)
                yield "</tr>"
                for row in rows:
                    yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
                yield "</table>"
        yield "</body></html>"

    def get_namespaces(self) -> Iterator[tuple[str, list[Any], list[Any]]]:
        """Yield title, scalars and tables of each namespace, ready to be shown."""
        found = extrapolate_statistics(_statistics()).items()
        for title, namespace in sorted(found, key=lambda item: str(item[0])):
            if not isinstance(namespace, dict):
                namespace = {"": namespace}
            formats = self.formatting.get(title, {})
            scalars: list[Any] = []
            collections: list[Any] = []
            for key, value in sorted(namespace.items(), key=lambda item: str(item[0])):
                formatter = formats.get(key, missing)
                if isinstance(value, dict):
                    headers, rows = self.get_dict_collection(value, formatter)
                    collections.append((str(key), ["ID", *headers], rows))
                elif isinstance(value, (list, tuple)):
                    headers, rows = self.get_list_collection(value, formatter)
                    collections.append((str(key), headers, rows))
                elif formatter is not None:
                    scalars.append((key, self._shown(formatter, value)))
            yield str(title), scalars, collections

    def _table(
        self, records: Iterable[tuple[list[Any], Any]], formatting: Any
    ) -> tuple[list[Any], list[list[str]]]:
        formats = formatting if isinstance(formatting, dict) else {}
        records = [(first, record) for first, record in records if isinstance(record, dict)]
        headers = sorted(
            {
                name
                for _, record in records
                for name in record
                if formats.get(name, missing) is not None
            },
            key=str,
        )
        rows = [
            [_text(cell) for cell in first]
            + [self._shown(formats.get(name, missing), record.get(name)) for name in headers]
            for first, record in records
        ]
        return headers, rows

    def get_dict_collection(self, v: Any, formatting: Any) -> tuple[list[Any], list[Any]]:
        """Return headers and rows of a dict of records, the keys in front."""
        return self._table(
            (([key], record) for key, record in sorted(v.items(), key=_first)), formatting
        )

    def get_list_collection(self, v: Any, formatting: Any) -> tuple[list[Any], list[Any]]:
        """Return headers and rows of a list of records."""
        return self._table((([], record) for record in v), formatting)

    @expose
    def data(self) -> bytes:
        """Send all statistics as JSON."""
        serving.response.headers["Content-Type"] = "application/json"
        values = _plain(extrapolate_statistics(_statistics()))
        return json.dumps(values, sort_keys=True, indent=4, default=_text).encode("utf-8")

    def _switch(self, namespace: str, on: bool) -> None:
        from .csrf import check_origin

        # What changes something is no link that a crawler may follow, nor a form of another site.
        allow(["POST"])
        check_origin()
        space = _statistics().get(namespace) if isinstance(namespace, str) else None
        if not isinstance(space, dict) or "Enabled" not in space:
            raise NotFound()
        space["Enabled"] = on
        raise HTTPRedirect(make_url("./"))

    @expose
    def pause(self, namespace: str) -> None:
        """Stop to count."""
        self._switch(namespace, False)

    @expose
    def resume(self, namespace: str) -> None:
        """Go on counting."""
        self._switch(namespace, True)
