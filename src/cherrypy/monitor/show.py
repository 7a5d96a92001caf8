"""A live table of a running site's routes, in a terminal; it reads what the site tells Prometheus."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from math import inf
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .exporters.words import sample_name
from .metrics import METRICS

DURATION = sample_name(METRICS["http.server.request.duration"])
QUANTILE = sample_name(METRICS["cherrypy.request.duration.quantile"])

#: Seconds that an answer may take, and bytes that it may have.
PATIENCE = 10.0
MOST_BYTES = 64 * 1024 * 1024

_SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SHOWN = {"n": "\n", "\\": "\\", '"': '"'}


class Route(NamedTuple):
    """What a route has done in an interval. Errors are a share in percent, times are seconds."""

    route: str
    rpm: float
    errors: float
    p50: float | None
    p95: float | None
    p99: float | None


class State(NamedTuple):
    """What a site had counted at a moment: requests by route and status, and by route and bound."""

    at: float
    counts: dict[tuple[str, str], float]
    buckets: dict[str, dict[float, float]]
    quantiles: dict[tuple[str, str], float]


# -- asking ----------------------------------------------------------------------------------------


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


def fetch(address: str, token: str | None) -> str:
    """Return the text of `/metrics`. Raises OSError, whose text says what to do."""
    base = ""
    if address.startswith("unix:"):
        connection: http.client.HTTPConnection = _UnixConnection(address.removeprefix("unix:"))
    else:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        base = parts.path.rstrip("/")
        made = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = made(parts.netloc, timeout=PATIENCE)
    headers = {"Accept": "text/plain"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("GET", base + "/metrics", headers=headers)
        answer = connection.getresponse()
        body = answer.read(MOST_BYTES)
    except http.client.HTTPException as error:
        raise OSError(f"what answers at {address} is no dashboard ({error!r})") from None
    except OSError as error:
        raise OSError(
            f"nothing answers at {address} ({error.strerror or error}). Is the site running with "
            "monitor.on, and is this its monitor.dashboard.listen?"
        ) from None
    finally:
        connection.close()
    if answer.status in (401, 403):
        raise OSError(f"{address} wants to know who asks: give it --token")
    if answer.status != 200:
        raise OSError(f"{address} answers {answer.status} {answer.reason} for /metrics")
    return body.decode("utf-8", "replace")


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield names, labels and values in Prometheus's text format."""
    for line in text.splitlines():
        found = _SAMPLE.match(line)
        if found is None:
            continue
        labels = {
            name: re.sub(r"\\(.)", lambda one: _SHOWN.get(one[1], one[1]), value)
            for name, value in _LABEL.findall(found[2] or "")
        }
        try:
            yield found[1], labels, float(found[3])
        except ValueError:
            continue


def read(text: str) -> State:
    """Return what a text tells of the routes."""
    state = State(time.monotonic(), {}, {}, {})
    for name, labels, value in samples(text):
        route = labels.get("http_route", "")
        if name == DURATION + "_count":
            key = (route, labels.get("http_response_status_code", ""))
            state.counts[key] = state.counts.get(key, 0) + value
        elif name == DURATION + "_bucket":
            bounds = state.buckets.setdefault(route, {})
            bound = float(labels.get("le", "inf"))
            bounds[bound] = bounds.get(bound, 0) + value
        elif name == QUANTILE:
            state.quantiles[route, labels.get("q", "")] = value
    return state


# -- reckoning -------------------------------------------------------------------------------------


def routes(before: State, now: State) -> list[Route]:
    """Return what each route has done between two states."""
    minutes = max(now.at - before.at, 1e-3) / 60
    grown: dict[str, list[float]] = {}
    for (route, status), count in now.counts.items():
        more = max(0.0, count - before.counts.get((route, status), 0))
        found = grown.setdefault(route, [0.0, 0.0])
        found[0] += more
        found[1] += more if status[:1] in ("4", "5") else 0
    shown = []
    for route, (number, errors) in grown.items():
        if number <= 0:
            continue
        times = [_within(share, route, before, now) for share in ("0.5", "0.95", "0.99")]
        shown.append(Route(route, number / minutes, 100 * errors / number, *times))
    return shown


def _within(share: str, route: str, before: State, now: State) -> float | None:
    """The time of a quantile: as the site's history knows it, else between the bounds of buckets."""
    known = now.quantiles.get((route, share))
    if known is not None:
        return known
    old = before.buckets.get(route, {})
    bounds = sorted(now.buckets.get(route, {}).items())
    grown = [(bound, count - old.get(bound, 0)) for bound, count in bounds]
    if not grown or grown[-1][1] <= 0:
        return None
    rank = float(share) * grown[-1][1]
    low = below = 0.0
    for bound, count in grown:
        if count >= rank:
            if bound == inf:
                return low
            return low + (bound - low) * (rank - below) / max(count - below, 1e-9)
        low, below = bound, count
    return None


# -- showing ---------------------------------------------------------------------------------------


def table(found: list[Route], sort: str, width: int, height: int) -> list[str]:
    """Return the lines of a table; what does not fit is counted in the last."""
    if sort == "route":
        found = sorted(found)
    else:
        found = sorted(found, key=lambda one: (-(getattr(one, sort) or 0.0), one.route))
    room = max(16, width - 50)
    lines = [f"{'route':<{room}}{'rpm':>10}{'errors':>9}{'p50':>10}{'p95':>10}{'p99':>10}"]
    most = max(1, height - 4)
    for one in found[:most]:
        name = _printable(one.route)
        name = name if len(name) < room else name[: room - 2] + "…"
        times = "".join(f"{_time(value):>10}" for value in (one.p50, one.p95, one.p99))
        lines.append(f"{name:<{room}}{one.rpm:>10.0f}{one.errors:>8.1f}%{times}")
    if len(found) > most:
        lines.append(f"and {len(found) - most} more")
    if not found:
        lines.append("no requests")
    return lines


def _printable(text: str) -> str:
    """A name that cannot steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.0f} µs"


def show(
    address: str,
    *,
    token: str | None = None,
    interval: float = 2.0,
    once: bool = False,
    sort: str = "rpm",
    pattern: str | None = None,
    out: Any = None,
) -> int:
    """Show a site's routes until somebody has had enough. Returns the status for the process."""
    out = out or sys.stdout
    live = not once and out.isatty()
    before = None
    try:
        while True:
            try:
                now = read(fetch(address, token))
            except OSError as error:
                if before is None or once:
                    print(f"show: {error}", file=sys.stderr)
                    return 1
                _draw(out, [f"{time.strftime('%H:%M:%S')}  {error}"], live)
                time.sleep(interval)
                continue
            if before is not None:
                found = routes(before, now)
                found = [one for one in found if fnmatchcase(one.route, pattern or "*")]
                size = shutil.get_terminal_size((100, 40))
                height = size.lines if live else 10_000
                head = (
                    f"{time.strftime('%H:%M:%S')}  {address}  "
                    f"{sum(one.rpm for one in found):.0f} requests a minute"
                )
                _draw(out, [head, *table(found, sort, size.columns, height)], live)
                if once:
                    return 0
            before = now
            time.sleep(interval)
    except KeyboardInterrupt:
        return 0


def _draw(out: Any, lines: list[str], live: bool) -> None:
    # Home, each line cleared to its end, then everything below.
    text = "\x1b[H" + "".join(line + "\x1b[K\n" for line in lines) + "\x1b[J"
    out.write(text if live else "\n".join(lines) + "\n")
    out.flush()
