"""`python -m cherrypy monitor show`: a table that moves, of sites that answer and of those that do not."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from export_kit import MONITOR, Program, done, free_port, get, site, until
from test_monitor_export_prometheus import METRICS_PAGE

from cherrypy.monitor import show


@pytest.mark.parametrize("where", ["port", "socket"])
def test_a_table_of_a_site(tmp_path: Path, where: str) -> None:
    last = METRICS_PAGE
    at = str(tmp_path / "s")
    if where == "socket":
        more = f"cherrypy.config.update({{'server.unix.socket_file': {at!r}}})\n"
        last = last.replace("main({", more + "main({")
    program, port = site(tmp_path, last)
    address = f"127.0.0.1:{port}" if where == "port" else f"unix:{at}"
    with (
        program,
        Program(
            [sys.executable, *MONITOR, "show", "--at", address, "--interval", "1.5"], tmp_path
        ) as shown,
    ):

        def rows() -> dict[str, list[str]]:
            for _ in range(5):
                get(port, "/users/7")
                get(port, "/fail")
            return {
                line.split()[0]: line.split()[1:]
                for line in shown.lines
                if line.startswith("/") and float(line.split()[1]) > 0
            }

        found = until(lambda: (r := rows()) and {"/users/{id}", "/fail"} <= set(r) and r, 20)
        rpm, errors, p50, _, p95, _, _p99, _ = found["/users/{id}"]
        assert float(rpm) > 10
        assert errors == "0.0%"
        assert 0 < float(p50) < 1000
        assert 0 < float(p95) < 1000
        assert found["/fail"][1] == "100.0%"
        shown.signal(signal.SIGINT)
        assert shown.ended() == 0
        assert "Traceback" not in shown.text


def test_once_in_an_order(tmp_path: Path) -> None:
    program, port = site(tmp_path, METRICS_PAGE)
    with program:
        watcher = Program(
            [
                sys.executable,
                *MONITOR,
                *("show", "--at", f"http://127.0.0.1:{port}/", "--once", "--interval", "2"),
                *("--sort", "route", "--route", "/*s*"),
            ],
            tmp_path,
        )
        with watcher:
            while watcher.process.poll() is None:
                for path in ("/", "/users/1", "/none"):
                    get(port, path)
        assert watcher.process.returncode == 0
        routes = [line.split()[0] for line in watcher.lines[2:]]
        assert routes == ["/metrics", "/users/{id}"]


def test_a_terminal_is_drawn_over(tmp_path: Path) -> None:
    program, port = site(tmp_path, METRICS_PAGE)
    with program:
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [
                *(sys.executable, *MONITOR, "show"),
                *("--at", f"127.0.0.1:{port}", "--interval", "0.3"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=follower,
            stderr=follower,
        )
        os.close(follower)
        seen = b""
        try:
            while seen.count(b"\x1b[H") < 3:
                seen += os.read(leader, 4096)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
            os.close(leader)
        assert b"requests a minute\x1b[K" in seen
        assert b"\x1b[J" in seen


@pytest.mark.parametrize(
    ("page_", "words_"),
    [
        ("raise cherrypy.HTTPError(401)", "--token"),
        ("raise cherrypy.NotFound()", "answers 404"),
    ],
)
def test_what_answers_otherwise(tmp_path: Path, page_: str, words_: str) -> None:
    last = f"""
    class Other:
        @cherrypy.expose
        def metrics(self):
            {page_}
    main(None, Other())
    """
    program, port = site(tmp_path, last)
    with program:
        status, out, errors = done(*MONITOR, "show", "--at", f"127.0.0.1:{port}")
    assert (status, out) == (1, "")
    assert words_ in errors
    assert "Traceback" not in errors


def test_nobody_answers() -> None:
    status, _, errors = done(*MONITOR, "show", "--at", f"127.0.0.1:{free_port()}")
    assert status == 1
    assert "nothing answers at" in errors


def test_a_token_is_sent(tmp_path: Path) -> None:
    last = """
    class Other:
        @cherrypy.expose
        def metrics(self):
            if cherrypy.request.headers.get("Authorization") != "Bearer secret":
                raise cherrypy.HTTPError(401)
            return ""
    main(None, Other())
    """
    program, port = site(tmp_path, last)
    with program:
        words_ = ["show", "--at", f"127.0.0.1:{port}", "--once", "--interval", "0.1"]
        assert done(*MONITOR, *words_, "--token", "secret")[0] == 0
        status, out, _ = done(*MONITOR, *words_, CHERRYPY_MONITOR_TOKEN="secret")
        assert status == 0
        assert out.splitlines()[-1] == "no requests"


def test_quantiles_between_bounds_and_of_the_history() -> None:
    name = show.DURATION
    lines = [f'{name}_count{{http_route="/a",http_response_status_code="200"}} 100']
    for bound, within in (("0.005", 0), ("0.01", 50), ("0.025", 90), ("+Inf", 100)):
        lines.append(f'{name}_bucket{{http_route="/a",le="{bound}"}} {within}')
    before = show.State(0.0, {}, {}, {})
    now = show.read("\n".join(lines))._replace(at=60.0)
    (route,) = show.routes(before, now)
    assert route == show.Route("/a", 100.0, 0.0, pytest.approx(0.01), 0.025, 0.025)
    lines.append(f'{show.QUANTILE}{{q="0.95",app="",http_route="/a"}} 0.123')
    (route,) = show.routes(before, show.read("\n".join(lines))._replace(at=60.0))
    assert route.p95 == 0.123


def test_a_route_cannot_steer_the_terminal() -> None:
    evil = show.Route("/\x1b[2Jx\r\n", 1.0, 0.0, None, 1.5, 0.0001)
    lines = show.table([evil] * 50, "rpm", 60, 10)
    assert len(lines) == 8
    assert lines[-1] == "and 44 more"
    assert not re.search(r"[\x00-\x1f]", "".join(lines))
    assert ("1.50 s" in lines[1], "100 µs" in lines[1]) == (True, True)


def test_labels_with_everything_are_read() -> None:
    text = 'a{b="x\\"},{\\\\\\n",c="2"} 3\na 4\nbroken{ 5\na{b="1"} x'
    found = list(show.samples(text))
    assert found[:2] == [("a", {"b": 'x"},{\\\n', "c": "2"}, 3.0), ("a", {}, 4.0)]
