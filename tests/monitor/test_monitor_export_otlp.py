"""OpenTelemetry's protocol: what a collector receives, read by the protocol's own definitions."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from export_kit import everything, free_port, get, site, until
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from cherrypy.monitor.exporters import otlp, protobuf
from cherrypy.monitor.histograms import SECONDS
from cherrypy.monitor.metrics import COUNTER, GAUGE, HISTOGRAM, METRICS
from cherrypy.monitor.snapshots import Snapshot
from cherrypy.monitor.table import itself

CUMULATIVE = 2


class Collector:
    """An HTTP server that takes what is pushed, and answers with what is told."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
                kind = self.headers["Content-Type"]
                if kind == "application/json":
                    message = json_format.Parse(body, ExportMetricsServiceRequest())
                else:
                    assert kind == "application/x-protobuf"
                    message = ExportMetricsServiceRequest.FromString(body)
                collector.taken.append(message)
                collector.times.append(time.monotonic())
                collector.headers.append({**self.headers, "path": self.path})
                status, headers, answer = (
                    collector.answers.pop(0) if collector.answers else (200, {}, b"")
                )
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def metrics(self, index: int = -1) -> dict[str, Any]:
        ((scope,),) = [resource.scope_metrics for resource in self.taken[index].resource_metrics]
        return {metric.name: metric for metric in scope.metrics}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def pushing(collector: Collector) -> Iterator[Any]:
    """A monitor with everything, and its exporter, which pushes when told."""
    monitor = everything()
    said: list[str] = []
    monitor.bus.subscribe("log", lambda msg, level: said.append(msg))
    monitor.said = said
    settings = monitor.settings
    settings["otlp.interval"] = 3600
    settings["otlp.endpoint"] = collector.url + "/v1/metrics"
    exporter: Any = otlp.begin(monitor)
    exporter.push = lambda: exporter._tell(False)
    for metric in (itself.MONITOR_EXPORT_FAILURES, itself.MONITOR_EXPORT_DURATION):
        metric.on = True
    yield exporter
    for metric in (itself.MONITOR_EXPORT_FAILURES, itself.MONITOR_EXPORT_DURATION):
        metric.on = False
    exporter.end()


def attributes(point: Any) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in point.attributes
    }


def failures(kind: str) -> float:
    from cherrypy.monitor import shards

    counts = shards.total().counts
    return counts.get((itself.MONITOR_EXPORT_FAILURES, ("otlp", kind)), 0)


# -- what is said ----------------------------------------------------------------------------------


def test_every_metric_as_the_protocol_has_it(collector: Collector, pushing: Any) -> None:
    pushing.push()
    assert len(collector.taken) == 1
    found = collector.metrics()
    assert list(found) == list(METRICS)
    for place, metric in enumerate(METRICS.values(), 1):
        told = found[metric.name]
        assert told.description == metric.help
        assert " " not in told.unit
        assert told.unit in (metric.unit, "1")
        kind = told.WhichOneof("data")
        if metric.kind == GAUGE:
            assert kind in ("gauge", "sum")  # test_monitor_semconv says which
        else:
            assert kind == {COUNTER: "sum", HISTOGRAM: "histogram"}[metric.kind]
        (point,) = getattr(told, kind).data_points
        each = {"worker": "1"} if metric.merge == "each" else {}
        labels = {name: f"v{index}" for index, name in enumerate(metric.labels)}
        assert attributes(point) == labels | each
        assert 0 < point.start_time_unix_nano < point.time_unix_nano
        assert abs(point.time_unix_nano / 1e9 - time.time()) < 60
        if kind == "gauge":
            assert point.as_double == place
            continue
        if metric.kind == GAUGE:
            assert not told.sum.is_monotonic
            assert point.as_double == place
            continue
        assert getattr(told, kind).aggregation_temporality == CUMULATIVE
        if kind == "sum":
            assert told.sum.is_monotonic
            value = point.WhichOneof("value")
            assert value == ("as_double" if metric.unit == "s" else "as_int")
            assert getattr(point, value) == place
        else:
            assert point.count == place == sum(point.bucket_counts)
            assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
            assert point.max == (2.5 if place > 3 else 0.0625)
            if metric.unit == "s":
                assert tuple(point.explicit_bounds) == SECONDS
                quarter = place // 4
                # Up to 0.075, and up to 2.5.
                counts = list(point.bucket_counts)
                assert (counts[4], counts[10]) == (place - quarter, quarter)


def test_both_encodings_say_the_same(pushing: Any) -> None:
    said = otlp.request(pushing.monitor, 1e9)
    name = "ExportMetricsServiceRequest"
    one = ExportMetricsServiceRequest.FromString(protobuf.as_protobuf(name, said))
    other = json_format.Parse(protobuf.as_json(name, said), ExportMetricsServiceRequest())
    assert one == other
    assert one.ByteSize() > 10_000
    assert ExportMetricsServiceRequest.FromString(one.SerializeToString()) == one


def test_a_status_is_a_number_and_what_is_empty_is_left_out(
    collector: Collector, pushing: Any
) -> None:
    snapshot = Snapshot("2", 1.0, 2.0, 0)
    labels = ("GET", "/ü\udcff", "200", "http", "1.1", "", "")
    metric = METRICS["http.server.request.duration"]
    from cherrypy.monitor.histograms import Spread

    snapshot.spreads[metric, labels] = Spread(metric.scale)
    snapshot.spreads[metric, labels].observe(0.1)
    snapshot.gauges[METRICS["cherrypy.bus.state"], ("a",)] = float("nan")
    pushing.monitor.site.take(snapshot)
    for encoding in ("protobuf", "json"):
        pushing.monitor.settings["otlp.encoding"] = encoding
        pushing.push()
        points = collector.metrics()[metric.name].histogram.data_points
        (point,) = (p for p in points if attributes(p)["http.request.method"] == "GET")
        assert attributes(point) == {
            "http.request.method": "GET",
            "http.route": "/ü?",
            "http.response.status_code": 200,
            "url.scheme": "http",
            "network.protocol.version": "1.1",
        }
        states = collector.metrics()["cherrypy.bus.state"].gauge.data_points
        assert any(point.as_double != point.as_double for point in states)


def test_the_resource(collector: Collector, pushing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "by-environment")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    settings = pushing.monitor.settings
    settings["otlp.headers"] = {"Authorization": "Bearer abc"}
    settings["app_version"] = "2.0"
    pushing.push()
    settings["service"] = "shop"
    pushing.push()
    names = []
    for message in collector.taken:
        (resource,) = message.resource_metrics
        told = attributes(resource.resource)
        names.append(told["service.name"])
        assert told["service.version"] == "2.0"
        assert told["deployment.environment"] == "test"
        assert told["service.instance.id"]
        assert resource.scope_metrics[0].scope.name == "cherrypy.monitor"
    assert names == ["by-environment", "shop"]
    assert collector.headers[0]["Authorization"] == "Bearer abc"
    assert collector.headers[0]["path"] == "/v1/metrics"


def test_an_endpoint_without_a_path_is_that_of_metrics(collector: Collector, pushing: Any) -> None:
    pushing.monitor.settings["otlp.endpoint"] = collector.url
    pushing.push()
    assert collector.headers[0]["path"] == "/v1/metrics"


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**63 - 1, -1, -(2**63)])
def test_integers(value: int) -> None:
    message = {"key": "k", "value": {"intValue": value}}
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    read = KeyValue.FromString(protobuf.as_protobuf("KeyValue", message))
    assert read.value.int_value == value
    assert dict(protobuf.fields(read.SerializeToString()))[1] == b"k"


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\xff\x01", b"\xff" * 20, b"\x0b", b"\x09123"])
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(ValueError):
        list(protobuf.fields(data))


# -- and to whom -----------------------------------------------------------------------------------


def test_what_may_pass_is_tried_again(collector: Collector, pushing: Any) -> None:
    collector.answers = [(503, {"Retry-After": "1"}, b""), (429, {}, b""), (200, {}, b"")]
    before = failures("RefusedError")
    pushing.push()
    assert len(collector.taken) == 3
    assert collector.times[1] - collector.times[0] >= 1.0
    assert failures("RefusedError") == before
    assert pushing.monitor.said == []


def test_what_will_not_pass_is_not(collector: Collector, pushing: Any) -> None:
    collector.answers = [(400, {}, b"no")]
    before = failures("RefusedError")
    pushing.push()
    assert len(collector.taken) == 1
    assert failures("RefusedError") == before + 1
    assert "answers 400" in pushing.monitor.said[0]


def test_attempts_have_an_end(collector: Collector, pushing: Any) -> None:
    collector.answers = [(503, {}, b"")] * 50
    pushing.monitor.settings["otlp.timeout"] = 2.0
    began = time.monotonic()
    pushing.push()
    assert time.monotonic() - began < 4
    assert 1 < len(collector.taken) <= otlp.MOST_ATTEMPTS
    collector.answers = [(503, {"Retry-After": "100000"}, b"")] * 2
    began, taken = time.monotonic(), len(collector.taken)
    pushing.push()
    assert time.monotonic() - began < 2
    assert len(collector.taken) == taken + 1
    for _ in range(5):
        collector.answers = [(500, {}, b"")]
        pushing.push()
    assert len(pushing.monitor.said) == 3  # then it is known


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_points_that_are_rejected_are_told(
    collector: Collector, pushing: Any, encoding: str
) -> None:
    pushing.monitor.settings["otlp.encoding"] = encoding
    partial = ExportMetricsServiceResponse(
        partial_success=ExportMetricsPartialSuccess(rejected_data_points=3, error_message="too old")
    )
    told = partial.SerializeToString()
    if encoding == "json":
        told = json_format.MessageToJson(partial).encode()
    collector.answers = [(200, {}, told), (200, {}, b"\xff\xffgarbage"), (200, {}, b"[]")]
    for _ in range(3):
        pushing.push()
    assert len(pushing.monitor.said) == 1
    assert "3 points were rejected: too old" in pushing.monitor.said[0]


def test_it_begins_and_ends_with_its_setting(collector: Collector) -> None:
    monitor = everything()
    exporter = otlp.begin(monitor)

    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "monitor-otlp"]

    assert threads() == []
    monitor.settings["otlp.interval"] = 0.05
    monitor.settings["otlp.endpoint"] = collector.url
    until(lambda: len(collector.taken) > 2)
    monitor.settings["otlp.interval"] = 3600
    time.sleep(0.2)
    number = len(collector.taken)
    monitor.settings["otlp.interval"] = 0.05
    until(lambda: len(collector.taken) > number)
    monitor.settings["otlp.endpoint"] = None
    until(lambda: threads() == [])
    monitor.settings["otlp.endpoint"] = collector.url
    until(lambda: len(threads()) == 1)
    monitor.settings["otlp.interval"] = 3600
    until(lambda: len(collector.taken) > number)
    number = len(collector.taken)
    exporter.end()
    assert threads() == []
    assert len(collector.taken) >= number + 1  # the last word
    assert monitor.settings.changed.count(exporter._changed) == 0


LAST = """
main({"monitor": {"on": True, "dashboard.listen": False, "otlp.endpoint": URL,
                  "otlp.interval": INTERVAL, "service": "shop"}})
"""


def test_a_site_that_pushes(collector: Collector, tmp_path: Path) -> None:
    last = LAST.replace("URL", repr(collector.url)).replace("INTERVAL", "0.2")
    program, port = site(tmp_path, last)

    def total(index: int) -> int:
        told = collector.metrics(index).get("cherrypy.requests")
        return sum(point.as_int for point in told.sum.data_points) if told else 0

    with program:
        get(port)
        until(lambda: collector.taken and total(-1) == 1)
        for _ in range(10):
            get(port, "/users/1")
        # The last push, at the end, has what no beat has seen yet.
    numbers = [total(index) for index in range(len(collector.taken))]
    assert numbers[-1] == 11
    assert numbers == sorted(numbers)
    starts = {
        point.start_time_unix_nano
        for index, number in enumerate(numbers)
        if number
        for point in collector.metrics(index)["cherrypy.requests"].sum.data_points
    }
    assert len(starts) == 1


@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_a_dead_collector_harms_nothing(tmp_path: Path, kind: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if kind == "silent":
            listener.listen(50)
            port_ = listener.getsockname()[1]
        else:
            port_ = free_port()
        last = LAST.replace("URL", repr(f"http://127.0.0.1:{port_}")).replace("INTERVAL", "0.05")
        program, port = site(tmp_path, last)
        with program:
            began = time.monotonic()
            for _ in range(100):
                assert get(port) == (200, "hello")
            assert time.monotonic() - began < 5
            began = time.monotonic()
            program.process.terminate()
            assert program.ended() == 0
            assert time.monotonic() - began < 6
            assert "Traceback" not in program.text
