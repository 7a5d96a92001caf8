"""StatsD: what a server at the other end of a real UDP socket receives, in each dialect and naming."""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from export_kit import everything, free_port, get, site, until

from cherrypy.monitor.exporters import librato, statsd
from cherrypy.monitor.histograms import BYTES, SCALES, Spread
from cherrypy.monitor.metrics import HISTOGRAM, METRICS
from cherrypy.monitor.snapshots import Snapshot

#: A line, as Etsy's server and Datadog's agent read it.
LINE = re.compile(
    r"(?P<name>[^:|@#\s]+):(?P<value>-?[0-9.]+(?:e[+-]?[0-9]+)?)\|(?P<type>c|g|ms|h)"
    r"(?:\|@(?P<rate>[0-9.e-]+))?(?:\|#(?P<tags>[^|\s]+))?"
)


#: How a datagram begins that is none of an exporter's.
MARK = b"mark "


class Stat(NamedTuple):
    name: str
    value: float
    type: str
    rate: float
    tags: dict[str, str]


class Server:
    """Receives datagrams, and reads their lines."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.stats: list[Stat] = []
        self.sizes: list[int] = []
        self.marks = 0  # how often it was asked what has come, and how many of these it has read
        self.reached = 0
        self.over = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.over:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                continue
            if data.startswith(MARK):
                self.reached = int(data[len(MARK) :])
                continue
            self.sizes.append(len(data))
            for line in data.decode("ascii").split("\n"):
                found = LINE.fullmatch(line)
                assert found, line
                tags = dict(tag.split(":", 1) for tag in (found["tags"] or "").split(",") if tag)
                self.stats.append(
                    Stat(
                        found["name"],
                        float(found["value"]),
                        found["type"],
                        float(found["rate"] or 1),
                        tags,
                    )
                )

    def close(self) -> None:
        self.over = True
        self.thread.join()
        self.socket.close()

    def settled(self) -> list[Stat]:
        """What was sent until now: a mark is sent behind it, and read when all before it has been.

        To wait until nothing more comes would not do: on a busy machine the reader itself may pause.
        """
        self.marks += 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(MARK + b"%d" % self.marks, self.socket.getsockname())
        until(lambda: self.reached == self.marks, 30.0, "the end of what was sent")
        return list(self.stats)

    def counters(self) -> dict[str, float]:
        sums: dict[str, float] = defaultdict(float)
        for stat in self.settled():
            if stat.type == "c":
                sums[stat.name] += stat.value / stat.rate
        return sums


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def telling(monitor: Any, server: Server, **settings: Any) -> Any:
    """An exporter that begins before anything has been counted, and tells when told."""
    empty, monitor.site = monitor.site, type(monitor.site)()
    monitor.settings["statsd.interval"] = 3600
    for name, value in settings.items():
        monitor.settings[name.replace("_", ".")] = value
    monitor.settings["statsd"] = server.address
    exporter = statsd.begin(monitor)
    monitor.site = empty
    return exporter


# -- our names -------------------------------------------------------------------------------------


def test_everything_in_the_plain_dialect(server: Server) -> None:
    monitor = everything(("1", "2"))
    exporter = telling(monitor, server, statsd_prefix="shop.web")
    exporter._tell(False)
    found: dict[str, list[Stat]] = defaultdict(list)
    for stat in server.settled():
        found[stat.name].append(stat)
    assert all(not stat.tags for stats in found.values() for stat in stats)
    for place, metric in enumerate(METRICS.values(), 1):
        values = [f"v{index}" for index in range(len(metric.labels))]
        each = metric.merge == "each"
        name = ".".join(["shop.web", metric.name, *values, *(["2"] if each else [])])
        stats = found[name]
        scale = 1 if each or metric.merge in ("max", "min", "last") else 2
        if metric.kind == HISTOGRAM:
            assert {stat.type for stat in stats} == {"ms"}
            assert round(sum(1 / stat.rate for stat in stats)) == place * scale
            assert len(stats) == min(100, place * scale)
            least = 62.5 if metric.unit == "s" else 0.0625
            assert abs(min(stat.value for stat in stats) / least - 1) < 0.04
        else:
            (stat,) = stats
            assert (stat.type, stat.value) == (metric.kind[0], place * scale)
    assert max(server.sizes) <= 1432
    assert len(server.sizes) < len(server.stats) / 10
    exporter.end()


def test_tags_of_the_other_dialect(server: Server) -> None:
    monitor = everything(("1", "2"))
    monitor.service, monitor.app_version = "the shop", "1.0"
    exporter = telling(monitor, server, statsd_dialect="dogstatsd")
    exporter._tell(False)
    found = {(stat.name, stat.tags.get("worker")): stat for stat in server.settled()}
    assert len({name for name, _ in found}) == len(METRICS)
    duration = found["http.server.request.duration", None]
    assert duration.type == "ms"
    assert duration.tags == {
        "service": "the_shop",
        "version": "1.0",
        "http.request.method": "v0",
        "http.route": "v1",
        "http.response.status_code": "v2",
        "url.scheme": "v3",
        "network.protocol.version": "v4",
        "error.type": "v5",
        "app": "v6",
    }
    assert found["http.server.response.body.size", None].type == "h"
    assert ("process.uptime", "2") in found
    exporter.end()


def test_only_news_is_told(server: Server) -> None:
    monitor = everything()
    exporter = telling(monitor, server)
    exporter._tell(False)
    first = server.settled()
    exporter._tell(False)
    second = server.settled()[len(first) :]
    assert {stat.type for stat in second} == {"g"}
    snapshot = Snapshot("9", time.time() + 60, 2.0, 0)
    snapshot.counts[METRICS["cherrypy.requests"], ("/blog",)] = 5.0
    monitor.site.take(snapshot)
    exporter._tell(False)
    third = [stat for stat in server.settled()[len(first) + len(second) :] if stat.type != "g"]
    assert [stat[:3] for stat in third] == [("cherrypy.requests.blog", 5.0, "c")]
    exporter.end()


def test_a_server_that_comes_later_is_not_told_of_the_past(server: Server) -> None:
    monitor = everything()
    monitor.settings["statsd.interval"] = 3600
    exporter = statsd.begin(monitor)
    monitor.settings["statsd"] = server.address
    exporter._tell(False)
    assert {stat.type for stat in server.settled()} == {"g"}
    exporter.end()


def test_who_takes_over_does_not_tell_again_what_the_one_before_has_told(server: Server) -> None:
    """Processes that were there before send all that they have ever counted."""
    monitor = everything()
    monitor.site = type(monitor.site)()
    exporter = telling(monitor, server)
    metric = METRICS["cherrypy.redirects"]

    def comes(worker: str, born: float, number: int, count: float) -> None:
        snapshot = Snapshot(worker, born, time.time(), number)
        snapshot.counts[metric, ("x",)] = count
        monitor.site.take(snapshot)
        exporter._tell(False)

    comes("old", time.time() - 100, 50, 1000.0)
    assert server.counters() == {}
    comes("old", monitor.site.workers()[0].born, 51, 1003.0)
    assert server.counters() == {"cherrypy.redirects.x": 3.0}
    comes("new", time.time() + 1, 0, 4.0)
    assert server.counters() == {"cherrypy.redirects.x": 7.0}
    exporter.end()


@pytest.mark.parametrize("dialect", ["statsd", "dogstatsd"])
def test_whatever_a_label_holds_makes_no_other_line(server: Server, dialect: str) -> None:
    monitor = everything()
    exporter = telling(monitor, server, statsd_dialect=dialect)
    exporter._tell(False)
    before = len(server.settled())
    snapshot = Snapshot("9", time.time() + 60, 2.0, 0)
    evil = ["a:1|c\nb:2|c", "x|@0.1|#t", "/users/{id}", "/", "ü,b", "", "y" * 5000, " "]
    for value in evil:
        snapshot.counts[METRICS["cherrypy.redirects"], (value,)] = 2.0
    monitor.site.take(snapshot)
    exporter._tell(False)  # the server reads each line, or fails
    new = [stat for stat in server.settled()[before:] if stat.type == "c"]
    assert {stat.name.split(".")[1] for stat in new} == {"redirects"}
    assert sum(stat.value for stat in new) == 2.0 * len(evil)
    if dialect == "statsd":
        names = {stat.name for stat in new}
        assert {"cherrypy.redirects.users_id", "cherrypy.redirects.root"} <= names
    assert server.thread.is_alive()
    exporter.end()


def test_gauges_below_zero_and_what_is_no_number() -> None:
    assert list(statsd.written("a", "g", "", -2.5)) == ["a:0|g", "a:-2.5|g"]
    assert list(statsd.written("a", "g", "", float("nan"))) == []
    assert list(statsd.written("a", "c", "t:1", 0.00001)) == ["a:0.000010000|c|#t:1"]


@pytest.mark.parametrize("number", [1, 7, 100, 101, 20_000])
def test_values_are_distributed_as_they_were(number: int) -> None:
    chance = random.Random(number)
    spread = Spread(SCALES["s"])
    values = sorted(chance.lognormvariate(-3, 1) for _ in range(number))
    for value in values:
        spread.observe(value)
    chosen, share = statsd.values_of(spread, 100)
    assert len(chosen) == min(number, 100)
    assert round(len(chosen) / share) == number
    for index, value in enumerate(chosen):
        exact = values[min(number - 1, int((index + 0.5) / len(chosen) * number))]
        if 0 < index < len(chosen) - 1 or number <= 100:
            assert abs(value / exact - 1) < (0.04 if number != 101 else 0.3)


def test_bytes_are_not_milliseconds() -> None:
    spread = Spread(SCALES["By"])
    spread.observe(BYTES[3])
    (line,) = statsd.written("a", "ms", "", spread)
    assert line == f"a:{int(BYTES[3])}|ms"


def test_datagrams_are_full_and_not_too_full() -> None:
    lines = [f"name.{number}:1|c" for number in range(1000)] + ["x" * 2000]
    sent = list(statsd.datagrams(lines))
    assert b"\n".join(sent).decode().split("\n") == lines[:-1]
    assert max(map(len, sent)) <= 1432
    assert min(map(len, sent[:-1])) > 1400


# -- Librato's names -------------------------------------------------------------------------------


def test_the_names_of_the_agent() -> None:
    names = librato.all_names()
    assert len(names) == len(set(names))
    # The agent had 72 of them and more, with one database.
    assert len([name for name in names if "mysql" not in name and "postgresql" not in name]) >= 72
    for known in (
        "web.response.latency",
        "wsgi.response.latency",
        "app.response.latency",
        "web.requests",
        "web.status.2xx",
        "web.status.5xx",
        "model.get.latency",
        "model.exists.requests",
        "data.sqlite.execute.latency",
        "data.mysql.fetchall.requests",
        "data.es.search.latency",
        "external.https.status.4xx",
        "external.http.response.latency",
        "messaging.kafka.produce.latency",
        "messaging.kafka.consume.requests",
        "logging.critical.requests",
        "logging.exception.requests",
        "gunicorn.workers",
        "gunicorn.backlog",
    ):
        assert known in names
    for metric, template in librato.NAMES:
        assert metric in METRICS, template


def test_what_has_an_old_name_is_told_under_it(server: Server) -> None:
    monitor = everything()
    exporter = telling(monitor, server, names="librato")
    before = server.settled()
    assert before == []
    snapshot = Snapshot("9", time.time() + 60, 2.0, 0)
    counts, spreads, gauges = snapshot.counts, snapshot.spreads, snapshot.gauges

    def spread(name: str, labels: tuple[str, ...], *values: float) -> None:
        found = spreads[METRICS[name], labels] = Spread(METRICS[name].scale)
        for value in values:
            found.observe(value)

    monitor.site = type(monitor.site)()
    for route in ("/a", "/b"):  # one name
        spread("http.server.request.duration", ("GET", route, "200", "http", "1.1", "", ""), 0.25)
    counts[METRICS["cherrypy.responses"], ("2xx",)] = 7.0
    counts[METRICS["cherrypy.log.records"], ("error",)] = 3.0
    counts[METRICS["cherrypy.external.calls"], ("https", "api.test")] = 2.0
    spread("http.client.request.duration", ("GET", "api.test", "200", ""), 0.5)
    spread("db.client.operation.duration", ("sqlite", "SELECT", "", ""), 0.001, 0.001)
    spread("db.client.operation.duration", ("sqlite", "commit", "", ""), 0.001)
    spread("cherrypy.search.operation.duration", ("elasticsearch", "get"), 0.01)
    spread("messaging.client.operation.duration", ("kafka", "send"), 0.01)
    gauges[METRICS["cherrypy.server.workers"], ("running",)] = 4.0
    gauges[METRICS["cherrypy.server.workers"], ("dead",)] = 1.0
    monitor.site.take(snapshot)
    exporter._tell(False)
    told = server.settled()
    found = {(stat.name, stat.type): stat.value for stat in told if stat.type != "ms"}
    assert found == {
        ("web.status.2xx", "c"): 7.0,
        ("logging.error.requests", "c"): 3.0,
        ("external.https.requests", "c"): 2.0,
        ("data.es.get.requests", "c"): 1.0,
        ("gunicorn.workers", "g"): 4.0,
        ("statsd.numStats", "g"): 12.0,
    }
    times: dict[str, int] = defaultdict(int)
    for stat in told:
        if stat.type == "ms":
            times[stat.name] += 1
    assert times == {
        "web.response.latency": 2,
        "wsgi.response.latency": 2,
        "external.https.response.latency": 1,
        "data.sqlite.execute.latency": 2,
        "data.sqlite.commit.latency": 1,
        "data.es.get.latency": 1,
        "messaging.kafka.produce.latency": 1,
    }
    (latency,) = {stat.value for stat in told if stat.name == "external.https.response.latency"}
    assert abs(latency / 500 - 1) < 0.04
    exporter.end()


# -- a site ----------------------------------------------------------------------------------------

LAST = """
main({"monitor": {"on": True, "dashboard.listen": False, "statsd": ADDRESS,
                  "statsd.interval": 0.2}})
"""


def test_a_site_that_tells(server: Server, tmp_path: Path) -> None:
    program, port = site(tmp_path, LAST.replace("ADDRESS", repr(server.address)))
    with program:
        for _ in range(20):
            get(port, "/users/1")
        until(lambda: "cherrypy.responses.2xx" in server.counters())
        for _ in range(5):
            get(port, "/fail")  # told at the end
    assert server.counters()["cherrypy.responses.2xx"] == 20
    assert server.counters()["cherrypy.responses.5xx"] == 5
    times = [
        stat
        for stat in server.stats
        if stat.name.startswith("http.server.request.duration.GET.users_id.200")
    ]
    assert round(sum(1 / stat.rate for stat in times)) == 20
    assert all(0 < stat.value < 5000 for stat in times)


@pytest.mark.parametrize("address", ["127.0.0.1:PORT", "no-such-host.invalid:8125"])
def test_nobody_there_harms_nothing(tmp_path: Path, address: str) -> None:
    address = address.replace("PORT", str(free_port()))
    last = LAST.replace("ADDRESS", repr(address)).replace("0.2", "0.05")
    program, port = site(tmp_path, last)
    with program:
        for _ in range(50):
            assert get(port) == (200, "hello")
        program.process.terminate()
        assert program.ended() == 0
        assert "Traceback" not in program.text


def test_more_than_may_be_sent_is_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statsd, "MOST_DATAGRAMS", 3)
    host, _, port = server.address.partition(":")
    with pytest.raises(OSError, match="2 datagrams"):
        statsd.send(host, int(port), [b"a:1|c"] * 5)
    assert [stat.name for stat in server.settled()] == ["a"] * 3
