"""The pages of `cpstats`, `covercp`, `profiler` and `gctools`, as their users and others ask for them."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from coverage import Coverage
from security_kit import served
from session_kit import until

import cherrypy
from cherrypy.lib import covercp, cpstats, gctools, profiler

STATISTICS = vars(logging)["statistics"]
SCRIPT = "<script>alert(1)</script>"
APPS = "CherryPy Applications"
NAMESPACE = "namespace=CherryPy+Applications"
RUBBISH = [
    "",
    "%",
    "%ff",
    "%00",
    "%ED%A0%80",
    "..%2f..%2f..%2fetc%2fpasswd",
    quote(SCRIPT),
    "/",
    "a" * 5000,
]


@pytest.fixture
def table():
    """Return a function that adds a table to the statistics, until the test is over."""
    before = dict(STATISTICS)

    def add(name, values):
        STATISTICS[name] = values

    yield add
    STATISTICS.clear()
    STATISTICS.update(before)
    cpstats.appstats["Enabled"] = True


# --------------------------------------------------------------------------------- statistics


class Counted:
    stats = cpstats.StatsPage()

    @cherrypy.expose
    def index(self, *args, **params):
        return "x"

    default = index

    @cherrypy.expose
    def lies(self):
        cherrypy.response.headers["Content-Length"] = "many"
        return "x"

    @cherrypy.expose
    async def later(self):
        import asyncio

        await asyncio.sleep(0.01)
        return "x"


COUNTED = {"/": {"tools.cpstats.on": True, "tools.cpstats.uriset": SCRIPT}}


def data(ask):
    return json.loads(ask("/stats/data").text)


@pytest.mark.parametrize("native", [False, True])
def test_statistics_of_rubbish(table, native):
    cpstats.appstats["Requests"].clear()
    with served(Counted(), COUNTED, native) as ask:
        for path in RUBBISH:
            assert ask(f"/{path}").status < 500
            assert ask(f"/?{path}={path}").status < 500
        ask("/", method="GET", x_forwarded_for=SCRIPT, user_agent=SCRIPT, referer=SCRIPT)
        page = ask("/stats/")
        assert page.status == 200
        assert page.text.endswith("</html>")
        assert "<script" not in page.text
        assert "&lt;script&gt;" in page.text  # the name of the set
        assert data(ask)[APPS]["URI Set Tracking"][SCRIPT]["Count"] > 1


def test_a_request_is_counted_off_where_it_ends(table):
    """A coroutine, a body of a wrong length: nothing is left as being served."""
    with served(Counted(), COUNTED) as ask:
        before = cpstats.appstats["Current Requests"]
        for _ in range(3):
            assert ask("/later").text == "x"
        for path in ("/lies", "/nowhere/at/all", "/stats/nothing"):
            assert ask(path).status
        deadline = time.monotonic() + 5
        while cpstats.appstats["Current Requests"] != before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert cpstats.appstats["Current Requests"] == before


def test_threads_that_have_ended_are_forgotten(table):
    records = cpstats.appstats["Requests"]
    records.clear()
    records.update({-number: {"End Time": 1.0, "Start Time": 0.0} for number in range(1, 2001)})
    with served(Counted(), COUNTED) as ask:
        ask("/")
    assert len(records) < 10


def test_a_table_that_is_none_hides_no_other(table):
    class Mute:
        def __str__(self):
            raise RuntimeError

    table(
        SCRIPT,
        {
            SCRIPT: SCRIPT,
            "fails": lambda s: 1 / 0,
            5: "mixed",
            "half": "\ud800",
            "nan": float("nan"),
        },
    )
    table("text", "no table")
    table(
        "odd",
        {
            "Requests": {SCRIPT: {SCRIPT: SCRIPT, 3: 4}, "plain": 1},
            "mute": Mute(),
            "list": [1, {"a": Mute()}],
        },
    )
    table(7, {"Enabled": True})
    table(APPS, STATISTICS[APPS] | {"Uptime": "a text, where a number was", "Start Time": None})
    with served(Counted(), COUNTED) as ask:
        page = ask("/stats/")
        assert page.status == 200
        assert page.text.endswith("</html>")
        assert "<script" not in page.text
        assert "ZeroDivisionError: division by zero" in page.text
        assert "a text, where a number was" in page.text
        answer = ask("/stats/data")
        assert answer["Content-Type"].startswith("application/json")
        found = json.loads(answer.text, parse_constant=pytest.fail)
        assert found[SCRIPT]["nan"] is None
        assert found["text"] == "no table"


def test_only_a_post_from_this_site_changes_anything(table):
    with served(Counted(), COUNTED) as ask:
        host = f"127.0.0.1:{ask.address[1]}"
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            body = None if method in ("GET", "HEAD", "OPTIONS") else NAMESPACE
            assert ask(f"/stats/pause?{NAMESPACE}", method, body).status == 405
        for fields in (
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"sec_fetch_site": "cross-site"},
        ):
            assert ask("/stats/pause", "POST", NAMESPACE, **fields).status == 403
        assert cpstats.appstats["Enabled"] is True
        assert ask("/stats/pause", "POST", NAMESPACE, origin=f"http://{host}").status == 303
        assert cpstats.appstats["Enabled"] is False
        assert ask("/stats/resume", "POST", NAMESPACE).status == 303
        assert cpstats.appstats["Enabled"] is True
        for body in (
            "",
            "namespace=",
            "namespace=nothing",
            f"{NAMESPACE}&{NAMESPACE}",
            "namespace=%ff",
        ):
            assert ask("/stats/pause", "POST", body).status in (400, 404), body
        assert set(STATISTICS) <= {APPS}


def test_the_buttons_work_where_forms_need_a_token(table):
    conf = {"/": {"tools.csrf.on": True, "tools.csrf.storage": "cookie"}}
    with served(Counted(), conf) as ask:
        page = ask("/stats/")
        found = re.search(r'name="csrf_token" value="(\w+)"', page.text)
        assert found
        assert ask("/stats/pause", "POST", NAMESPACE, cookie=page.cookies).status == 403
        body = f"{NAMESPACE}&csrf_token={found[1]}"
        assert ask("/stats/pause", "POST", body, cookie=page.cookies).status == 303
        assert cpstats.appstats["Enabled"] is False


def test_what_the_server_has_counted(table):
    """`server.statistics` puts a table of the server beside that of the applications."""
    assert [name for name in STATISTICS if "HTTPServer" in str(name)] == []
    from cherrypy._cpserver import Server

    made = Server.statistics
    Server.statistics = True
    try:
        with served(Counted(), {}) as ask:
            ask("/")
            (title,) = [name for name in data(ask) if "HTTPServer" in name]
            # What was written is counted once it is written: the client may be here before that.
            found = until(lambda: (it := data(ask)[title])["Bytes Written"] > 5000 and it)
            assert found["Requests"] >= 2
            assert found["Accepts"] >= 2
            assert found["Bind Address"] == str(ask.address)
            threads = found["Worker Threads"]
            assert len(threads) == found["Threads"]
            assert sum(one["Requests"] for one in threads.values()) == found["Requests"]
            assert f"<h1>{title}</h1>" in ask("/stats/").text
    finally:
        Server.statistics = made
    assert [name for name in STATISTICS if "HTTPServer" in str(name)] == []


# ----------------------------------------------------------------------------------- coverage

PROGRAM = """
def called(n):
    return "<b>" if n else "</b>"

def not_called():
    return 1

called(1)
"""


@pytest.fixture(scope="module")
def covered(tmp_path_factory):
    """Return a folder with a program, one that has gone, and the coverage of both."""
    folder = tmp_path_factory.mktemp("covered")
    coverage = Coverage(data_file=None, include=[f"{folder}/*"], messages=False)
    coverage.start()
    try:
        for name in (f"pro'gram {SCRIPT.replace('/', '_')}.py", "gone.py"):
            path = folder / name
            path.write_text(PROGRAM, "utf-8")
            exec(compile(PROGRAM, str(path), "exec"), {})
    finally:
        coverage.stop()
    (folder / "gone.py").unlink()
    return folder, coverage


def test_coverage_of_files(covered):
    folder, coverage = covered
    with served(covercp.CoverStats(coverage, str(folder))) as ask:
        assert f"menu?base={quote(str(folder), safe='')}" in ask("/").text
        menu = ask(f"/menu?base={quote(str(folder))}&exclude=&showpct=1&pct=0")
        assert menu.status == 200
        assert menu.text.endswith("</html>")
        assert "<script" not in menu.text
        links = re.findall(r"href='(report[^']*)'", menu.text)
        assert len(links) == 1  # what has gone has no percentage
        report = ask("/" + links[0])
        assert report.status == 200
        assert "<script" not in report.text
        assert "&lt;b&gt;" in report.text
        assert len(re.findall('class="notcovered"', report.text)) == 1
        assert "Coverage: 80%" in report.text
        plain = ask(f"/menu?base={quote(str(folder))}&exclude=")
        assert plain.text.count("report?name=") == 2
        less = ask(f"/menu?base={quote(str(folder))}&exclude=gram")
        assert less.text.count("report?name=") == 1


def test_no_other_file_is_shown(covered):
    folder, coverage = covered
    with served(covercp.CoverStats(coverage, str(folder))) as ask:
        names = [
            *RUBBISH,
            "/etc/passwd",
            quote(f"{folder}/../../etc/passwd"),
            quote(__file__),
            quote(f"{folder}/gone.py"),
        ]
        for name in names:
            answer = ask(f"/report?name={name}")
            assert answer.status in (404, 400), name
            assert "root:" not in answer.text
            assert "<script" not in answer.text
        assert ask("/report?name=a&name=b").status == 404
        assert ask("/report").status == 404


def test_menus_of_rubbish(covered):
    folder, coverage = covered
    with served(covercp.CoverStats(coverage, str(folder))) as ask:
        for word in ("base", "pct", "showpct", "exclude"):
            for value in RUBBISH:
                answer = ask(f"/menu?{word}={value}")
                assert answer.status in (200, 400, 404), (word, value)
                assert "<script" not in answer.text
            assert ask(f"/menu?{word}=a&{word}=b").status == 200
        assert ask("/menu?pct=" + "9" * 5000).status == 200
        base = quote(str(folder))
        before = time.process_time()
        for pattern in (
            "(",
            "[",
            "*",
            "a{9999999999}",
            "(a+)+$",
            "(.*)*x",
            ".*.*.*.*.*x",
            "(?P<a",
            "\\",
            "(?R)",
        ):
            answer = ask(f"/menu?base={base}&exclude={quote(pattern)}")
            assert answer.status == 400, pattern
        assert time.process_time() - before < 2


# ----------------------------------------------------------------------------------- profiles


def test_profiles_by_many_threads(tmp_path):
    """Since Python 3.12 one call can be profiled at a time: the others are answered as well."""

    class Root:
        @cherrypy.expose
        def index(self):
            time.sleep(0.02)
            return "x"

    with served(Root()) as ask:
        app = cherrypy.tree.apps[""]
        for aggregate in (False, True):
            path = tmp_path / str(aggregate)

            def made(nextapp, path=path, aggregate=aggregate):
                return profiler.make_app(nextapp, str(path), aggregate)

            app.wsgiapp.pipeline.append(("profiler", made))
            app.wsgiapp.head = None
            with ThreadPoolExecutor(8) as threads:
                statuses = list(threads.map(lambda _: ask("/").status, range(8)))
            assert statuses == [200] * 8
            names = profiler.Profiler(str(path)).statfiles()
            assert len(names) == (1 if aggregate else 8)
            app.wsgiapp.pipeline.pop()
            assert not list(path.glob("*.part"))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="only on Python 3.12 and later")
def test_a_call_that_hangs_keeps_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(profiler, "PATIENCE", 0.05)
    made = profiler.Profiler(str(tmp_path))
    over = threading.Event()
    thread = threading.Thread(target=made.run, args=(over.wait, 20))
    thread.start()
    try:
        deadline = time.monotonic() + 5
        while not profiler._one_at_a_time.locked() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert made.run(lambda: "answered") == "answered"
    finally:
        over.set()
        thread.join(20)


def test_pages_of_profiles(tmp_path):
    made = profiler.Profiler(str(tmp_path))
    made.run(len, "abc")
    (name,) = made.statfiles()
    odd = f"cp_'{SCRIPT.replace('/', '_')}.prof"
    (tmp_path / odd).write_bytes((tmp_path / name).read_bytes())
    (tmp_path / "cp_broken.prof").write_bytes(b"no profile")
    (tmp_path / "cp_empty.prof").write_bytes(b"")
    (tmp_path / "cp_link.prof").symlink_to("/etc/passwd")
    (tmp_path / "cp_half\udcff.prof").write_bytes(b"")
    (tmp_path.parent / "cp_outside.prof").write_bytes((tmp_path / name).read_bytes())
    with served(made) as ask:
        assert "frameset" in ask("/").text
        menu = ask("/menu")
        assert menu.status == 200
        assert "<script" not in menu.text
        links = re.findall(r"href='(report[^']*)'", menu.text)
        assert len(links) == 6
        told = [ask("/" + link).status for link in links]
        assert sorted(told) == [200, 200, 404, 404, 404, 404]
        report = ask(f"/report?filename={name}")
        assert report["Content-Type"].startswith("text/plain")
        assert "function calls" in report.text
        for other in [*RUBBISH, "..%2fcp_outside.prof", quote(str(tmp_path / name)), "/etc/passwd"]:
            answer = ask(f"/report?filename={other}")
            assert answer.status in (400, 404), other
            assert "root:" not in answer.text
        assert ask(f"/report?filename={name}&filename={name}").status == 404
        assert ask("/stats?filename=x").status == 404
        assert ask("/run?func=x").status == 404


def test_old_profiles_are_taken_away(tmp_path, monkeypatch):
    made = profiler.Profiler(str(tmp_path))
    monkeypatch.setattr(made, "keep", 10)
    for _ in range(120):
        made.run(len, "abc")
    assert len(made.statfiles()) < 70


# -------------------------------------------------------------------------------------- leaks


class Leaking:
    gc = gctools.GCRoot()

    @cherrypy.expose
    def default(self, *args, **params):
        KEPT.append(cherrypy.serving.request)
        return "kept"


KEPT: list[object] = []


def test_leaks_are_told_in_plain_text_and_in_time():
    try:
        with served(Leaking()) as ask:
            for number in range(60):
                assert ask(f"/{quote(SCRIPT)}/{number}/%ED%A0%80").status in (200, 404)
                ask(f"/{quote(SCRIPT)}/{number}")
            began = time.monotonic()
            answer = ask("/gc/stats")
            assert time.monotonic() - began < 30  # three, and the steps that it is in by then
            assert answer.status == 200
            assert answer["Content-Type"].startswith("text/plain")
            assert answer.text.startswith("Statistics:")
            assert "Request references, got " in answer.text
            assert len(answer.text) < 500_000
            assert ask("/gc/").text == "Hello, world!"
    finally:
        KEPT.clear()


def test_requests_are_counted_by_many_threads():
    counter = gctools.RequestCounter(cherrypy.engine)

    def work():
        for _ in range(20_000):
            counter.before_request()
            counter.after_request()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        sys.setswitchinterval(before)
    assert counter.count == 0
