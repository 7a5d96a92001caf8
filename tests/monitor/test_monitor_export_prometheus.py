"""What Prometheus reads: both formats, by the official parsers, by promtool, and by a Prometheus server."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from export_kit import Program, command, everything, free_port, get, site, until
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from cherrypy.monitor.exporters import words
from cherrypy.monitor.exporters.prometheus import (
    OPENMETRICS,
    answer,
    number,
    wants_openmetrics,
)
from cherrypy.monitor.histograms import SECONDS
from cherrypy.monitor.metrics import HISTOGRAM, METRICS
from cherrypy.monitor.plugin import Monitor
from cherrypy.monitor.snapshots import Snapshot
from cherrypy.process.wspbus import Bus

WANTS = "application/openmetrics-text; version=1.0.0"

#: A page that answers scrapes, as the dashboard's listener does.
METRICS_PAGE = """
class Scraped(Root):
    @cherrypy.expose
    def metrics(self):
        from cherrypy.monitor.exporters import prometheus
        accept = cherrypy.request.headers.get("Accept")
        kind, body = prometheus.answer(cherrypy.engine.monitor, accept)
        cherrypy.response.headers["Content-Type"] = kind
        return body

main({"monitor": {"on": True, "dashboard.listen": False, "service": "shop"}}, Scraped())
"""


def scraped(monitor: Any, accept: str | None = None) -> dict[str, Any]:
    """The families of an answer, by the official client's parser of its format."""
    kind, body = answer(monitor, accept)
    parse = parse_openmetrics if kind == OPENMETRICS else parse_text
    return {family.name: family for family in parse(body.decode())}


def one(family: Any, name: str, **labels: str) -> float:
    (found,) = (
        sample.value
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
    return float(found)


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("http.server.request.duration", "http_server_request_duration_seconds"),
        ("http.server.request.body.size", "http_server_request_body_size_bytes"),
        ("cherrypy.requests", "cherrypy_requests_total"),
        ("cherrypy.request.throughput", "cherrypy_request_throughput_per_minute"),
        ("cherrypy.cache.bytes", "cherrypy_cache_bytes"),
        ("cherrypy.gzip.bytes", "cherrypy_gzip_bytes_total"),
        ("cherrypy.apdex", "cherrypy_apdex"),
        ("process.cpu.time", "process_cpu_time_seconds_total"),
        ("process.cpu.utilization", "process_cpu_utilization_ratio"),
        ("cherrypy.request.error.ratio", "cherrypy_request_error_ratio_percent"),
        (
            "cherrypy.server.tls.certificate.expiry",
            "cherrypy_server_tls_certificate_expiry_seconds",
        ),
    ],
)
def test_names(metric: str, name: str) -> None:
    assert words.sample_name(METRICS[metric]) == name


def test_no_two_metrics_have_one_name() -> None:
    names: list[str] = []
    for metric in METRICS.values():
        name = words.sample_name(metric)
        kinds = ("_bucket", "_count", "_sum") if metric.kind == HISTOGRAM else ("",)
        names += [name + kind for kind in kinds]
    assert len(names) == len(set(names))


# -- the formats -----------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", [None, WANTS])
def test_every_metric_is_read_by_the_official_parser(accept: str | None) -> None:
    found = scraped(everything(("1", "2")), accept)
    for place, metric in enumerate(METRICS.values(), 1):
        family = found[words.family_name(metric)]
        assert family.type == metric.kind
        assert family.documentation == metric.help
        if accept:
            assert family.unit == words.unit(metric)
        name = words.sample_name(metric)
        each = {"worker": "2"} if metric.merge == "each" else {}
        scale = 1 if each or metric.merge in ("max", "min", "last") else 2
        if metric.kind == HISTOGRAM:
            assert one(family, name + "_count", **each) == place * scale
            assert one(family, name + "_bucket", le="+Inf", **each) == place * scale
            # A quarter has 2.5, on a bound of seconds.
            total = scale * (0.0625 * (place - place // 4) + 2.5 * (place // 4))
            assert math.isclose(one(family, name + "_sum", **each), total)
            if metric.unit == "s":
                assert one(family, name + "_bucket", le="0.05", **each) == 0
                within = scale * (place - place // 4)
                assert one(family, name + "_bucket", le="0.075", **each) == within
                assert one(family, name + "_bucket", le="1.0", **each) == within
                assert one(family, name + "_bucket", le="2.5", **each) == place * scale
        else:
            assert one(family, name, **each) == place * scale * words.factor(metric)


@pytest.mark.parametrize("accept", [None, WANTS])
def test_the_target_is_told(accept: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=a%20b,broken")
    monitor = everything()
    monitor.service = 'a "shop"\\\n'
    monitor.app_version = "1.10"
    family = scraped(monitor, accept)["target" if accept else "target_info"]
    (sample,) = family.samples
    assert sample.name == "target_info"
    assert sample.labels["service_name"] == 'a "shop"\\\n'
    assert sample.labels["service_version"] == "1.10"
    assert sample.labels["deployment_environment"] == "a b"
    assert sample.value == 1


@pytest.mark.parametrize("accept", [None, WANTS])
@pytest.mark.parametrize(
    "value", ['a"b', "a\\", "a\nb", "\\n", "ü€😀", "x\udcff", "{},=", "a\r\nb 1"]
)
def test_whatever_a_label_holds_is_read_as_it_was(accept: str | None, value: str) -> None:
    monitor = everything()
    snapshot = Snapshot("2", 1.0, 2.0, 0)
    snapshot.counts[METRICS["cherrypy.redirects"], (value,)] = 7.0
    snapshot.counts[METRICS["cherrypy.redirects"], (None,)] = 5.0
    monitor.site.take(snapshot)
    _, body = answer(monitor, accept)
    parse = parse_openmetrics if accept else parse_text
    family = next(f for f in parse(body.decode()) if f.name == "cherrypy_redirects")
    shown = value.encode("utf-8", "replace").decode()
    assert one(family, "cherrypy_redirects_total", kind=shown) == 7
    assert [s.value for s in family.samples if not s.labels] == [5]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (2**53 + 1, "9007199254740993"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        (WANTS, True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=2.0.0", False),
        # A Prometheus of today, and one of old.
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;"
            "version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            True,
        ),
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", False),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
        (";;;,q=,=", False),
    ],
)
def test_which_format_is_wanted(accept: str | None, wanted: bool) -> None:
    assert wants_openmetrics(accept) is wanted


def test_promtool_has_nothing_to_say(tmp_path: Path) -> None:
    promtool = command("promtool")
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=answer(everything())[1],
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = [line for line in done.stderr.decode().splitlines() if line]
    # OpenTelemetry's own names end as Prometheus would not have it.
    of_old = [line for line in said if 'should not have "_count" suffix' in line]
    assert [line for line in said if line not in of_old] == []
    assert {line.split()[0] for line in of_old} == {
        words.sample_name(metric)
        for metric in METRICS.values()
        if metric.kind != HISTOGRAM and metric.name.endswith(".count")
    }


def test_what_is_excluded_while_it_runs_is_told_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = everything()
    for name, metric in METRICS.items():
        monkeypatch.setattr(metric, "on", name == "cherrypy.requests")
    monitor.running = True
    try:
        found = scraped(monitor)
    finally:
        monitor.running = False
    assert "cherrypy_requests" in found
    assert "cherrypy_redirects" not in found


# -- a site ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, int]]:
    program, port = site(tmp_path_factory.mktemp("site"), METRICS_PAGE)
    with program:
        for _ in range(30):
            assert get(port, "/users/7") == (200, "user 7")
        for _ in range(3):
            assert get(port, "/fail")[0] == 500
        assert get(port, "/none")[0] == 404
        until(lambda: 'http_route="/fail"' in get(port, "/metrics")[1])
        yield program, port


def test_a_scrape_of_a_site(served: tuple[Program, int]) -> None:
    _, port = served

    def families() -> dict[str, Any]:
        text = get(port, "/metrics", {"Accept": WANTS})[1]
        return {family.name: family for family in parse_openmetrics(text)}

    found = until(
        lambda: (
            (
                all_ := families(),
                one(all_["cherrypy_responses"], "cherrypy_responses_total", **{"class": "5xx"})
                == 3,
            )[1]
            and all_
        )
    )
    responses = found["cherrypy_responses"]
    assert one(responses, "cherrypy_responses_total", **{"class": "4xx"}) == 1
    duration = found["http_server_request_duration_seconds"]
    of_route = {"http_route": "/users/{id}"}
    assert one(duration, "http_server_request_duration_seconds_count", **of_route) == 30
    (labels,) = {
        tuple(sorted((sample.labels | {"le": ""}).items()))
        for sample in duration.samples
        if sample.labels["http_route"] == "/users/{id}"
    }
    assert dict(labels) == {
        "http_request_method": "GET",
        "http_route": "/users/{id}",
        "http_response_status_code": "200",
        "url_scheme": "http",
        "network_protocol_version": "1.1",
        "le": "",
    }
    bounds = [
        sample.labels["le"]
        for sample in duration.samples
        if sample.name.endswith("_bucket") and sample.labels["http_route"] == "/users/{id}"
    ]
    assert bounds == [*(repr(bound) for bound in SECONDS), "+Inf"]
    (target,) = found["target"].samples
    assert target.labels["service_name"] == "shop"


def test_a_prometheus_server_scrapes_it(served: tuple[Program, int], tmp_path: Path) -> None:
    prometheus = command("prometheus")
    _, port = served
    at = free_port()
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 400ms}\n"
        "scrape_configs:\n"
        f"- job_name: shop\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    )
    options = [
        "--config.file=prometheus.yml",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{at}",
    ]

    def query(text: str) -> list[tuple[dict[str, str], str]]:
        status, body = get(at, "/api/v1/query?query=" + urllib.parse.quote(text))
        assert status == 200, body
        return [(row["metric"], row["value"][1]) for row in json.loads(body)["data"]["result"]]

    def up() -> bool:
        try:
            return [value for _, value in query('up{job="shop"}')] == ["1"]
        except (OSError, AssertionError):  # it is still starting
            return False

    with Program([prometheus, *options], tmp_path) as program:
        until(up, 30, "the scrape")
        route = '{http_route="/users/{id}"}'
        ((labels, value),) = query(f"sum(http_server_request_duration_seconds_count{route})")
        assert (labels, value) == ({}, "30")
        ((_, value),) = query('cherrypy_responses_total{class="5xx"}')
        assert value == "3"
        ((_, value),) = query(
            f"histogram_quantile(0.99, http_server_request_duration_seconds_bucket{route})"
        )
        assert 0 < float(value) < 1
        metadata = json.loads(get(at, "/api/v1/metadata?metric=cherrypy_requests_total")[1])
        if not metadata["data"]:  # OpenMetrics has the family's name
            metadata = json.loads(get(at, "/api/v1/metadata?metric=cherrypy_requests")[1])
        ((told,),) = metadata["data"].values()
        assert told["type"] == "counter"
        assert told["help"] == METRICS["cherrypy.requests"].help
        assert program.process.poll() is None


# -- what the application measures itself -----------------------------------------------------------

OWN = """
import sys
from prometheus_client import Counter, Histogram, REGISTRY, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
sys.path.insert(0, KIT)
from export_kit import everything
from cherrypy.monitor.exporters.prometheus import answer
Counter("orders", "Orders.", ["kind"]).labels("big").inc(3)
Counter("cherrypy_redirects", "Mine.", ["kind"]).labels("own").inc(4)
Histogram("basket", "Items.").observe(2)
def stable(text):
    # What changes between two looks.
    return [l for l in text.decode().splitlines() if not l.startswith(("process_", "python_gc"))]
monitor = everything()
theirs = stable(generate_latest(REGISTRY))
ours = stable(answer(monitor)[1])
assert ours[-len(theirs):] == theirs
assert 'cherrypy_redirects_total{kind="own"} 4.0' in ours
assert not any(l.startswith("cherrypy_redirects") and "v0" in l for l in ours)
theirs = stable(generate_openmetrics(REGISTRY))
text = answer(monitor, "application/openmetrics-text")[1]
assert stable(text)[-len(theirs):] == theirs
assert text.count(b"# EOF") == 1
from prometheus_client.openmetrics.parser import text_string_to_metric_families
found = {f.name: f for f in text_string_to_metric_families(text.decode())}
assert found["orders"].samples[0].value == 3
assert "cherrypy_requests" in found
class Broken:
    def collect(self): raise RuntimeError("no")
    def describe(self): return []
REGISTRY.register(Broken())
assert b"cherrypy_requests_total" in answer(monitor)[1]
"""


def alone(source: str, folder: Path, **env: str) -> None:
    kit = str(Path(__file__).parent)
    program = Program([sys.executable, "-c", source.replace("KIT", repr(kit))], folder, **env)
    with program:
        assert program.ended() == 0, program.text


def test_the_registry_of_the_application_follows_unchanged(tmp_path: Path) -> None:
    alone(OWN, tmp_path)


def test_a_registry_of_several_processes(tmp_path: Path) -> None:
    source = """
import os, sys
from prometheus_client import Counter
sys.path.insert(0, KIT)
from export_kit import everything
from cherrypy.monitor.exporters.prometheus import answer
counter = Counter("orders", "Orders.")
if os.fork() == 0:
    counter.inc(2)
    os._exit(0)
os.wait()
counter.inc(1)
assert b"orders_total 3.0" in answer(everything())[1]
"""
    alone(source, tmp_path, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))


def test_a_program_without_the_client_does_not_load_it(tmp_path: Path) -> None:
    source = """
import sys
sys.path.insert(0, KIT)
from export_kit import everything
from cherrypy.monitor.exporters.prometheus import answer
assert b"cherrypy_requests_total" in answer(everything())[1]
assert "prometheus_client" not in sys.modules
"""
    alone(source, tmp_path)


def test_what_a_process_had_counted_is_not_counted_again_when_it_ends() -> None:
    """`sum(rate(...))` over the workers: what each series grows by, and what is gone grows no more."""
    processor = METRICS["process.cpu.time"]
    monitor, born = Monitor(Bus()), time.time()

    def told(worker: str, number: int, seconds: float) -> None:
        snapshot = Snapshot(worker, born, time.time(), number)
        snapshot.counts[processor, ("user",)] = seconds
        snapshot.counts[METRICS["cherrypy.requests"], ("",)] = seconds
        monitor.site.take(snapshot)

    def seen(name: str) -> dict[tuple[tuple[str, str], ...], float]:
        family = scraped(monitor, None)[name]
        return {tuple(one.labels.items()): one.value for one in family.samples}

    for worker in ("1", "2", "3"):
        told(worker, 0, 100.0)
    before, grown = seen("process_cpu_time_seconds"), 0.0
    for step, gone in enumerate(("2", "3"), 1):
        monitor.site.leave(gone)
        told("1", step, 100.0 + step)
        now = seen("process_cpu_time_seconds")
        grown += sum(value - before.get(key, 0.0) for key, value in now.items())
        before = now
    assert grown == 2.0
    assert [dict(key)["worker"] for key in before] == ["1"]
    # What is of the whole site stays.
    assert sum(seen("cherrypy_requests").values()) == 302.0
