"""All of it together: a program run by the command, its dashboard's listener, and those who ask there."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from export_kit import MONITOR, Program, done, free_port, get, until, write_site
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from cherrypy.monitor.exporters import words
from cherrypy.monitor.metrics import METRICS

#: Imports its driver as programs do, before anything else.
PROGRAM = """
from sqlite3 import connect

class More(Root):
    @cherrypy.expose
    def rows(self):
        with connect(":memory:") as connection:
            return str(connection.execute("select 7").fetchone()[0])

if __name__ == "__main__":
    main(None, More())
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, int, int]]:
    """A site run by the command, its port and that of its dashboard."""
    folder = tmp_path_factory.mktemp("watched")
    path, port = write_site(folder, PROGRAM)
    path.write_text("from sqlite3 import connect as early\n" + path.read_text())
    at = free_port()
    options = ["--listen", f"127.0.0.1:{at}", "--set", "service=shop"]
    program = Program([sys.executable, *MONITOR, "run", *options, str(path)], folder)
    with program:
        program.said("READY")
        yield program, port, at


def test_a_scrape_of_the_dashboard_s_listener(watched: tuple[Program, int, int]) -> None:
    _, port, at = watched
    for _ in range(10):
        assert get(port, "/rows") == (200, "7")
    assert get(port, "/fail")[0] == 500

    def families() -> dict[str, Any]:
        status, text = get(at, "/metrics", {"Accept": "application/openmetrics-text"})
        assert status == 200
        return {family.name: family for family in parse(text)}

    def total(family: Any, **labels: str) -> float:
        return sum(
            float(sample.value)
            for sample in family.samples
            if sample.name.endswith(("_total", "_count"))
            and labels.items() <= sample.labels.items()
        )

    found = until(
        lambda: (
            (f := families())
            and "db_client_operation_duration_seconds" in f
            and "cherrypy_request_duration_quantile_seconds" in f
            and total(f["cherrypy_responses"]) >= 11
            and f
        ),
        20,
    )
    # The driver is seen, though the program took its function before anything else.
    assert total(found["cherrypy_db_calls"], db_system_name="sqlite", method="execute") == 10
    assert total(found["http_server_request_duration_seconds"], http_route="/rows") == 10
    assert total(found["cherrypy_exceptions"], http_route="/fail") == 1
    # What is worked out from the history.
    quantiles = {
        sample.labels["q"]: sample.value
        for sample in found["cherrypy_request_duration_quantile_seconds"].samples
        if sample.labels["http_route"] == "/rows"
    }
    assert {"0.5", "0.95", "0.99", "1"} <= set(quantiles)
    assert 0 < quantiles["0.5"] <= quantiles["0.95"] <= quantiles["1"] < 5
    # Of the process, by worker.
    memory = found["process_memory_usage_bytes"].samples
    assert [sample.labels for sample in memory] == [{"worker": str(watched[0].process.pid)}]
    assert memory[0].value > 1e6
    (target,) = found["target"].samples
    assert target.labels["service_name"] == "shop"
    known = {words.family_name(metric) for metric in METRICS.values()} | {"target"}
    assert set(found) <= known
    assert len(found) > 60


def test_health_at_the_dashboard_s_listener(watched: tuple[Program, int, int]) -> None:
    _, port, at = watched
    assert get(at, "/-/ready") == (200, "ready\n")
    assert get(at, "/-/live") == (200, "alive\n")
    status, text = get(at, "/-/ready", {"Accept": "application/json"})
    assert (status, json.loads(text)["status"]) == (200, "ready")
    assert get(port, "/-/ready")[0] == 404


def test_the_table_asks_there_without_being_told_where(watched: tuple[Program, int, int]) -> None:
    _, port, at = watched
    words_ = ["show", "--at", f"127.0.0.1:{at}", "--interval", "1.5", "--once"]
    shown = Program([sys.executable, *MONITOR, *words_], Path("/"))
    with shown:
        while shown.process.poll() is None:
            get(port, "/users/1")
    assert shown.process.returncode == 0, shown.text
    (line,) = (line for line in shown.lines if line.startswith("/users/{id}"))
    _, rpm, errors, p50, unit, *_ = line.split()
    assert float(rpm) > 60
    assert errors == "0.0%"
    assert unit in ("µs", "ms")
    assert 0 < float(p50) < 1000


def test_a_listener_that_wants_a_token(tmp_path: Path) -> None:
    path, _ = write_site(tmp_path, PROGRAM)
    at = free_port()
    token = "a-token-of-enough-letters-and-more"
    options = ["--listen", f"127.0.0.1:{at}", "--set", f"dashboard.auth=token:{token}"]
    with Program([sys.executable, *MONITOR, "run", *options, str(path)], tmp_path) as program:
        program.said("READY")
        ask = [*MONITOR, "show", "--at", f"127.0.0.1:{at}", "--interval", "0.5", "--once"]
        status, _, errors = done(*ask)
        assert status == 1
        assert "--token" in errors
        assert done(*ask, CHERRYPY_MONITOR_TOKEN=token)[0] == 0
        assert get(at, "/metrics", {"Authorization": f"Bearer {token}"})[0] == 200
        assert get(at, "/metrics")[0] == 401
        assert get(at, "/-/ready")[0] == 200  # probes have no token


# -- serve -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words_"),
    [
        (["--set", "levle=1"], "Did you mean monitor.level?"),
        ([], "There is no socket to collect at"),
    ],
)
def test_serve_says_what_it_lacks(tmp_path: Path, options: list[str], words_: str) -> None:
    status, _, errors = done(*MONITOR, "serve", *options, cwd=tmp_path)
    assert status == 2
    assert words_ in errors
    assert "Traceback" not in errors


def test_a_process_that_collects_is_scraped_for_another(tmp_path: Path) -> None:
    path, port = write_site(tmp_path, PROGRAM)
    at = free_port()
    folder = tempfile.mkdtemp()  # a socket's path is short
    socket = f"socket={folder}/m.sock"
    serve = ["serve", "--set", socket, "--listen", f"127.0.0.1:{at}"]
    with Program([sys.executable, *MONITOR, *serve], tmp_path) as collector:
        until(lambda: Path(folder, "m.sock").exists(), 20)
        run = [sys.executable, *MONITOR, "run", "--set", socket, str(path)]
        with Program(run, tmp_path) as program:
            program.said("READY")
            for _ in range(5):
                assert get(port)[0] == 200

            def told() -> str:
                with suppress(ConnectionRefusedError):  # the socket is there before the listener
                    return get(at, "/metrics")[1]
                return ""

            until(lambda: 'cherrypy_responses_total{class="2xx"} 5' in told(), 20)
            worker = f'process_uptime_seconds{{worker="{program.process.pid}'
            assert worker in told()
        # It has ended, and what it has counted stays.
        until(lambda: worker not in told(), 20)
        assert 'cherrypy_responses_total{class="2xx"} 5' in told()
        assert get(at, "/-/ready")[0] == 200
        collector.process.terminate()
        assert collector.ended() == 0
    shutil.rmtree(folder)
