"""The dashboard's guard, over real sockets: who is let in, what is refused, and that nothing becomes markup."""

from __future__ import annotations

import html.parser
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from dashboard_kit import (
    PROGRAM,
    TOKEN,
    VIEWER,
    Open,
    free_ports,
    monitor_with,
    opened,
    served,
    until,
)

from cherrypy.monitor.dashboard.front import DOORS
from cherrypy.monitor.dashboard.guard import Limit, Unsafe

PAGES = [
    path for path, door in DOORS.items() if door.method == "GET" and not path.startswith("/api")
]
ACTIONS = [path for path, door in DOORS.items() if door.method == "POST" and not door.open]


@pytest.fixture(scope="module")
def dashboard() -> Iterator[Open]:
    with opened() as one:
        yield one


@pytest.fixture(scope="module")
def locked() -> Iterator[Open]:
    with opened(dashboard__auth=[f"token:{TOKEN}", f"view:{VIEWER}"]) as one:
        yield one


def refused(**settings: Any) -> None:
    """See that a dashboard does not start: at once, or when it is to begin."""
    try:
        monitor = monitor_with(**settings)
    except ValueError:
        return
    with pytest.raises(Unsafe):
        monitor.start()
    monitor.stop()


# -- who may start it ------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", ":0", "192.0.2.7:80", "example.org:80"])
def test_the_public_is_not_let_in_without_authentication(listen: str) -> None:
    monitor = monitor_with(dashboard__listen=listen)
    with pytest.raises(Unsafe, match=r"monitor\.dashboard\.auth = 'token:") as refused:
        monitor.start()
    assert refused.value.stops_the_monitor
    monitor.stop()


def test_a_site_with_a_public_dashboard_does_not_start() -> None:
    port, dashboard = free_ports(2)
    with tempfile.TemporaryDirectory() as folder:
        config = {"engine.monitor.dashboard.listen": f"0.0.0.0:{dashboard}", "log.screen": True}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(port), str(dashboard), folder + "/x", repr(config)],
            capture_output=True,
            timeout=30,
            check=False,
        )
    assert done.returncode != 0
    assert b"monitor.dashboard.auth = 'token:...'" in done.stdout + done.stderr


@pytest.mark.parametrize("auth", ["token:short", "secret", "basic:a-long-and-secret-token", 7])
def test_an_authentication_that_is_none_is_refused(auth: Any) -> None:
    refused(dashboard__auth=auth)


def test_with_a_token_any_address_is_fine() -> None:
    with opened(dashboard__listen="0.0.0.0:0", dashboard__auth=f"token:{TOKEN}") as one:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert one.ask("/api/now", headers=bearer).status == 200
        assert one.ask("/api/now").status == 401
        # By any number, as no name of others leads to one; but by no name.
        assert one.ask("/api/now", headers={**bearer, "Host": "192.0.2.1:99"}).status == 200
        assert one.ask("/api/now", headers={**bearer, "Host": "evil.example"}).status == 421


@pytest.mark.parametrize("path", ["/", "//", "monitor", "/a b", "/%41", "/a/../b?"])
def test_a_mount_is_a_path(path: str) -> None:
    refused(dashboard__mount=path, dashboard__auth=f"token:{TOKEN}")


def test_a_mount_needs_authentication() -> None:
    monitor = monitor_with(dashboard__mount="/-/monitor")
    with pytest.raises(Unsafe, match=r"monitor\.dashboard\.auth"):
        monitor.start()
    monitor.stop()


def test_a_port_that_is_taken_is_not_the_end() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with opened(dashboard__listen=f"127.0.0.1:{port}") as one:
            assert port < one.port <= port + 9
            assert one.ask("/api/now").status == 200


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="only on systems with unix sockets")
def test_a_unix_socket() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/monitor.sock"
        with opened(dashboard__listen=f"unix:{path}"):
            assert os.stat(path).st_mode & 0o777 == 0o600
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(10)
                one.connect(path)
                one.sendall(
                    b"GET /api/now HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )
                assert one.recv(100).startswith(b"HTTP/1.1 200")
        assert not os.path.exists(path)


# -- by which name ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "localhost:1"])
def test_names_of_this_machine(dashboard: Open, host: str) -> None:
    assert dashboard.ask("/api/now", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1", "[::2]"],
)
@pytest.mark.parametrize("path", ["/", "/api/now", "/metrics", "/no-such-page", "/live"])
def test_rebinding(dashboard: Open, host: str, path: str) -> None:
    answer = dashboard.ask(path, headers={"Host": f"{host}:{dashboard.port}"})
    assert answer.status == 421
    assert b"monitor.dashboard.hosts" in answer.body


def test_names_that_are_configured() -> None:
    with opened(dashboard__hosts=["Monitor.example"]) as one:
        assert one.ask("/api/now", headers={"Host": "monitor.example:9191"}).status == 200
        assert one.ask("/api/now", headers={"Host": "other.example"}).status == 421


def test_probes_of_health_come_by_any_name(locked: Open) -> None:
    answer = locked.ask("/-/live", headers={"Host": "10.0.0.7"})
    assert answer.status == 200


# -- what every answer says ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [*PAGES, "/api/now", "/nothing", "/static/style.css", "/static/../x"]
)
def test_fields_of_every_answer(dashboard: Open, path: str) -> None:
    said = dashboard.ask(path).headers
    policy = said["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert said["X-Frame-Options"] == "DENY"
    assert said["X-Content-Type-Options"] == "nosniff"
    assert said["Referrer-Policy"] == "same-origin"
    assert said["Cache-Control"] in ("no-store", "no-cache")


class Inline(html.parser.HTMLParser):
    """Finds what the policy would refuse, and what would run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.found += [
            f"{tag} {name}" for name in names if name.startswith("on") or name == "style"
        ]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        for name in ("href", "src", "action", "xlink:href"):
            value = (names.get(name) or "").strip().lower()
            if value.startswith(("javascript:", "data:", "http:", "https:", "//")):
                self.found.append(f"{tag} {name}={value}")
        if tag in ("iframe", "object", "embed", "base"):
            self.found.append(tag)


def inline(text: str) -> list[str]:
    parser = Inline()
    parser.feed(text)
    return parser.found


# -- injection -------------------------------------------------------------------------------------

PROBE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"' onload=alert(2) {{7*7}}"


def test_probes_from_the_books_stay_text() -> None:
    """Whatever the books hold: each word of it may have been written by a peer."""
    with opened() as one:
        now = time.time()
        error = {
            "type": f"Error{PROBE}",
            "route": PROBE,
            "code": PROBE,
            "count": 3,
            "first": now - 60,
            "last": now,
            "message": PROBE,
            "traceback": f"Traceback\n  {PROBE}",
        }
        slow = {
            "route": PROBE,
            "method": PROBE,
            "status": PROBE,
            "at": now,
            "duration": 2.5,
            "layers": {PROBE: 1.5, "app": 1.0},
            "steps": [[PROBE, PROBE, 0.1, 0.9]],
            "stack": PROBE,
        }
        flight = {
            "worker": PROBE,
            "thread": PROBE,
            "ident": PROBE,
            "route": PROBE,
            "path": PROBE,
            "age": 3.0,
            "phase": PROBE,
        }
        details = one.monitor.taker.details
        details["errors"] = lambda: [error]
        details["slow"] = lambda: [slow]
        details["inflight"] = lambda: [flight]
        details["statements"] = lambda: [{"statement": PROBE, "system": PROBE, "count": 1}]
        fires = SimpleNamespace(name=PROBE, text=PROBE, severity=PROBE, since=now - 5)
        object.__setattr__(one.monitor, "alerts", SimpleNamespace(firing=lambda: [fires]))
        until(lambda: one.ask("/api/errors").json)
        assert one.ask("/api/alerts").json[0]["text"] == PROBE
        paths = [*PAGES, f"/route?route={quote(PROBE)}", f"/transactions?sort={quote(PROBE)}"]
        found = re.search(r'href="(/slow/one\?id=\w+)"', one.ask("/slow").text)
        assert found
        seen = 0
        for path in [*paths, found[1]]:
            if path == "/metrics" or "stacks" in path:
                continue
            answer = one.ask(path, headers={"Accept": "text/html"})
            if "text/html" not in answer.headers["Content-Type"]:
                continue
            assert inline(answer.text) == [], path
            assert "<script>alert" not in answer.text
            assert "<img src=x" not in answer.text
            seen += "&lt;script&gt;alert" in answer.text
        assert seen >= 5


def test_probes_of_peers_stay_text() -> None:
    """A whole site: in the path, a header, an exception's text, a logger's name."""
    with served() as site:
        site.counts()
        for path in (
            "/" + quote(PROBE),
            "/broken/" + quote(PROBE).replace("/", "%2F"),
            "/log/" + quote("<img src=x onerror=alert(1)>").replace("/", "%2F"),
            "/broken?words=" + quote(PROBE),
        ):
            site.ask(path, headers={"User-Agent": PROBE, "Referer": PROBE, "X-Probe": PROBE})
        until(lambda: len(site.look("/api/routes").json) >= 2)
        for path in PAGES:
            answer = site.look(path, headers={"Accept": "text/html"})
            if "text/html" in answer.headers["Content-Type"]:
                assert inline(answer.text) == [], path
                assert "<script>alert" not in answer.text and "<img src=x" not in answer.text


def test_probes_in_the_request_to_the_dashboard_stay_text(dashboard: Open) -> None:
    for path in (f"/{quote(PROBE)}", f"/?range={quote(PROBE)}", f"/api/chart?chart={quote(PROBE)}"):
        answer = dashboard.ask(path, headers={"Accept": "text/html"})
        assert answer.status in (400, 404)
        assert inline(answer.text) == [] and "<script>alert" not in answer.text


def test_csv_holds_no_formula() -> None:
    from cherrypy.monitor.dashboard.api import safe_cell

    assert safe_cell('=cmd|"/c calc"!A1').startswith("'=")
    assert safe_cell("requests") == "requests"


# -- actions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*ACTIONS, "/login", "/logout"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_actions_are_posts(dashboard: Open, path: str, method: str) -> None:
    answer = dashboard.ask(path, method)
    if path == "/login" and method in ("GET", "HEAD"):
        assert (answer.status, answer.headers["Location"]) == (303, "/")  # and no more than that
        assert "Set-Cookie" not in answer.headers
        return
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_no_posts(dashboard: Open, path: str) -> None:
    answer = dashboard.ask(path, "POST", "")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_an_action_needs_the_token_of_the_page(dashboard: Open) -> None:
    assert dashboard.act("/runtime/collect").status == 200
    for wrong in ("", "0" * 64, "é"):
        answer = dashboard.act("/runtime/collect", X_Kirsch_Token=wrong)
        assert answer.status == 403
        assert "load it again" in answer.json["error"]


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_an_action_comes_from_our_own_pages(dashboard: Open, fields: dict[str, str]) -> None:
    assert dashboard.act("/runtime/collect", **fields).status == 403


def test_actions_have_a_rate() -> None:
    with opened() as one:
        token = one.token()
        # One that costs nothing: on a busy machine others take longer than it takes to be allowed again.
        form = f"token={token}&logger=no.such.logger&level=DEBUG"
        found = []
        while 429 not in found and len(found) < 500:
            answer = one.ask("/logs/level", "POST", form)
            found.append(answer.status)
        assert found[:20] == [400] * 20
        assert found[-1] == 429
        assert int(answer.headers["Retry-After"]) >= 1


def test_a_form_that_is_too_long(dashboard: Open) -> None:
    assert dashboard.act("/logs/level", "x" * 20_000).status == 413


@pytest.mark.parametrize(
    "form",
    [
        "logger=no.such.logger&level=DEBUG",
        "logger=&level=LOUD",
        "logger=&level=DEBUG&minutes=0",
        "logger=&level=DEBUG&minutes=1e9",
        "logger=&level=DEBUG&minutes=nan",
    ],
)
def test_actions_take_nothing_for_granted(form: str) -> None:
    with opened() as one:
        assert one.act("/logs/level", form).status == 400


# -- on the site's own servers ---------------------------------------------------------------------


def test_mounted_on_the_site() -> None:
    config = {
        "engine.monitor.dashboard.mount": "/-/monitor/",
        "engine.monitor.dashboard.auth": f"token:{TOKEN}",
    }
    with served(config) as site:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        site.counts(**bearer)
        assert site.ask("/-/monitor/api/now").status == 401
        page = site.ask("/-/monitor/", headers=bearer)
        assert page.status == 200 and 'href="/-/monitor/errors"' in page.text
        found = re.search(r'src="(/-/monitor/static/main\.js\?\w+)"', page.text)
        assert found and site.ask(found[1]).status == 200
        login = site.ask("/-/monitor/login", "POST", f"password={TOKEN}")
        assert "Path=/-/monitor" in login.headers["Set-Cookie"]
        assert site.ask("/-/monitoring").status == 404
        assert site.ask("/").text == "<h1>Shop</h1>"
        # Nobody has asked the site for anything but its front page and what is not there.
        until(lambda: len(site.look("/api/routes", headers=bearer).json) == 2)
        counted = site.look("/api/routes", headers=bearer).json
        assert sum(one["requests"] for one in counted) == 2


# -- limits ----------------------------------------------------------------------------------------


def test_a_limit_is_exact_whoever_comes_at_once() -> None:
    limit = Limit(50, 1000.0)
    passed: list[bool] = []

    def come() -> None:
        passed.extend([limit.wait("somebody") == 0 for _ in range(100)])

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 50


def test_a_limit_remembers_so_many_and_no_more() -> None:
    limit = Limit(1, 1000.0, peers=10)
    for number in range(1000):
        limit.wait(f"peer {number}")
    assert len(limit._due) <= 10


def test_listeners_have_an_end(dashboard: Open) -> None:
    """More event streams than are taken get an answer, and the others go on."""
    streams = []
    head = b"GET /live HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    try:
        statuses = []
        for _ in range(40):
            one = socket.create_connection(("127.0.0.1", dashboard.port), timeout=10)
            streams.append(one)
            one.sendall(head)
            statuses.append(one.recv(12)[9:12])
        assert statuses[:32] == [b"200"] * 32
        assert set(statuses[32:]) == {b"503"}
        assert dashboard.ask("/api/now").status == 200
    finally:
        for one in streams:
            one.close()
    until(lambda: not dashboard.monitor.dashboard.front.live._feeds)


def test_a_site_is_not_counted_by_its_dashboard(dashboard: Open) -> None:
    for _ in range(5):
        dashboard.ask("/")
    time.sleep(1.2)  # for a beat, in which nothing shall come
    assert dashboard.ask("/api/routes").json == []


def test_json_of_errors(dashboard: Open) -> None:
    answer = dashboard.ask("/api/series?metric=nothing")
    assert answer.status == 404 and set(json.loads(answer.body)) == {"status", "error"}
