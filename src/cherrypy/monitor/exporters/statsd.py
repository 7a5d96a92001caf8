"""StatsD over UDP: what has happened since the last time, a few datagrams every interval.

Law: nothing here is done for a request, and nothing waits for a peer.
"""

from __future__ import annotations

import math
import re
import socket
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..histograms import SCALES, Spread, floor_of
from ..metrics import COUNTER, GAUGE, Labels, Metric
from .librato import names_of
from .periodic import Periodic
from .series import Family, families, since

if TYPE_CHECKING:
    from ..plugin import Monitor

#: Bytes of a datagram: what goes through an Ethernet in one piece.
MOST_BYTES = 1432
#: Datagrams of one interval, and how many go out before a millisecond's rest.
MOST_DATAGRAMS = 2000
AT_ONCE = 10
#: Values of a histogram that are sent in one interval; more are sent as so many, with their share.
MOST_VALUES = 100

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_NOT_IN_TAGS = re.compile(r"[,|#\s]+")

Key = tuple[str, str, str]  # name, letter of its type, tags


class StatsD(Periodic):
    """Sends to the server at `statsd`."""

    name = "statsd"
    where = "statsd"
    interval = "statsd.interval"

    def __init__(self, monitor: Monitor) -> None:
        self._known: dict[tuple[Metric, Labels], Any] = {}
        self._workers: set[str] = set()  # older than this, and heard of
        self._at = time.time()
        super().__init__(monitor)

    def began(self) -> None:
        """What has been until now is no news."""
        self._known = {}
        self._at = time.time()
        self._workers = self._older()
        for family in families(self.monitor):
            if family.metric.kind != GAUGE:
                for _ in since(self._known, family):
                    pass

    def _older(self) -> set[str]:
        return {one.worker for one in self.monitor.site.workers() if one.born < self._at}

    def tell(self, last: bool) -> None:
        if self._older() - self._workers:
            # Processes that another one has collected from until now: that has told what they had counted.
            self.began()
        settings = self.monitor.settings
        stats = self.stats(families(self.monitor))
        prefix = settings["statsd.prefix"] or ""
        lines = [
            line
            for (name, letter, tags), value in stats.items()
            for line in written(prefix + "." + name if prefix else name, letter, tags, value)
        ]
        host, _, port = settings["statsd"].rpartition(":")
        send(host.strip("[]"), int(port), datagrams(lines))

    def stats(self, all_: list[Family]) -> dict[Key, Any]:
        """Return what is news, by name, type and tags; what has the same is added up."""
        settings = self.monitor.settings
        stats: dict[Key, Any] = {}
        librato = settings["names"] == "librato"
        naming = _Librato(all_) if librato else _Own(settings["statsd.dialect"], settings)
        for family in all_:
            metric = family.metric
            letter = {COUNTER: "c", GAUGE: "g"}.get(metric.kind) or naming.letter(metric)
            news = (
                ((row, row[1]) for row in family.rows)
                if metric.kind == GAUGE
                else since(self._known, family)
            )
            for row, value in news:
                for name, tags in naming.names(family, row[0]):
                    kind, number = letter, value
                    if name.endswith(".requests") and isinstance(value, Spread):
                        kind, number = "c", value.count
                    _add(stats, (name, kind, tags), number)
        if librato and stats:
            stats["statsd.numStats", "g", ""] = len(stats)
        return stats


def _add(stats: dict[Key, Any], key: Key, value: Any) -> None:
    known = stats.get(key)
    if isinstance(value, Spread):
        if known is None:
            stats[key] = value.copy()
        else:
            known.add(value)
    else:
        stats[key] = value if known is None else known + value


class _Own:
    """Our names: with the values of labels behind them, or with these as tags."""

    def __init__(self, dialect: str, settings: Any) -> None:
        self.tagged = dialect == "dogstatsd"
        self.common = [
            f"{name}:{_NOT_IN_TAGS.sub('_', settings[setting])}"
            for name, setting in (("service", "service"), ("version", "app_version"))
            if settings[setting]
        ]

    def letter(self, metric: Metric) -> str:
        """The type of a histogram's values; plain StatsD knows none but times."""
        return "ms" if metric.unit == "s" or not self.tagged else "h"

    def names(self, family: Family, values: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Yield the name and the tags of a series."""
        name = family.metric.name
        if self.tagged:
            tags = [
                f"{label}:{_NOT_IN_TAGS.sub('_', value)[:200]}"
                for label, value in zip(family.labels, values, strict=True)
                if value
            ]
            yield name, ",".join([*self.common, *tags])
        else:
            yield ".".join([name, *(_part(value) for value in values if value)]), ""


def _part(value: str) -> str:
    """A label's value as a part of a name: '/users/{id}' is 'users_id', and '/' is 'root'."""
    return _NOT_IN_NAMES.sub("_", value).strip("_")[:100] or "root"


class _Librato:
    """The names of Librato's agent."""

    def __init__(self, all_: list[Family]) -> None:
        self.schemes: dict[str, str] = {}
        for family in all_:
            if family.metric.name == "cherrypy.external.calls":
                for (scheme, address, *_), _value in family.rows:
                    self.schemes[address] = scheme

    def letter(self, metric: Metric) -> str:
        return "ms"

    def names(self, family: Family, values: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        labels = dict(zip(family.labels, values, strict=True))
        for name in names_of(family.metric.name, labels, self.schemes):
            yield ".".join(_part(part) for part in name.split(".")), ""


# -- lines and datagrams ---------------------------------------------------------------------------


def written(name: str, letter: str, tags: str, value: Any) -> Iterator[str]:
    """Yield the lines of a stat."""
    tail = f"|#{tags}" if tags else ""
    if isinstance(value, Spread):
        factor = 1000.0 if letter == "ms" and value.scale is SCALES["s"] else 1.0
        chosen, share = values_of(value, MOST_VALUES)
        rate = f"|@{share:.6g}" if share < 1 else ""
        for one in chosen:
            yield f"{name}:{_number(one * factor)}|{letter}{rate}{tail}"
    elif math.isfinite(value):
        if letter == "g" and value < 0:  # a sign would make it a change
            yield f"{name}:0|g{tail}"
        yield f"{name}:{_number(value)}|{letter}{tail}"


def _number(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.6g}" if abs(value) >= 1e-4 else f"{value:.9f}"


def values_of(spread: Spread, most: int) -> tuple[list[float], float]:
    """Return values that are distributed as those of a spread, and which share of its count they are."""
    joined: dict[int, int] = {}
    for number, count in spread.buckets.items():
        joined[abs(number)] = joined.get(abs(number), 0) + count
    total = sum(joined.values())
    wanted = min(total, most)
    chosen: list[float] = []
    seen = 0
    for number, count in sorted(joined.items()):
        seen += count
        middle = min((floor_of(number) + floor_of(number + 1)) / 2, spread.most or math.inf)
        # The middle of each of `wanted` equal shares.
        while len(chosen) < wanted and (len(chosen) + 0.5) / wanted * total <= seen:
            chosen.append(middle if number else 0.0)
    return chosen, wanted / total if total else 1.0


def datagrams(lines: Iterable[str]) -> Iterator[bytes]:
    """Yield lines in datagrams, each as full as may be; a line that is too long is left out."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        data = line.encode("ascii", "replace")
        if len(data) > MOST_BYTES:
            continue
        if size + len(data) + 1 > MOST_BYTES and batch:
            yield b"\n".join(batch)
            batch, size = [], 0
        batch.append(data)
        size += len(data) + 1
    if batch:
        yield b"\n".join(batch)


def send(host: str, port: int, all_: Iterable[bytes]) -> None:
    """Send datagrams without waiting for anybody. Raises OSError for those that cannot be sent."""
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    lost = 0
    with socket.socket(family, kind, proto) as sender:
        sender.setblocking(False)
        for number, data in enumerate(all_, 1):
            if number > MOST_DATAGRAMS:
                lost += 1
                continue
            try:
                sender.sendto(data, address)
            except (BlockingIOError, ConnectionRefusedError):
                lost += 1
            if number % AT_ONCE == 0:
                time.sleep(0.001)  # receivers have small buffers
    if lost:
        raise OSError(f"{lost} datagrams were not sent")


def begin(monitor: Monitor) -> StatsD:
    """A part of the monitor."""
    return StatsD(monitor)
