"""`python -m cherrypy monitor`: programs run as ever, lists and files that hold, a table that moves."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from export_kit import MONITOR, command, done, everything, get, site, until, write_site

from cherrypy.monitor.exporters import words
from cherrypy.monitor.exporters.prometheus import answer
from cherrypy.monitor.metrics import METRICS

RUN = [*MONITOR, "run", "--listen", "False"]


# -- run: a program cannot tell --------------------------------------------------------------------

ITSELF = """
'''The program.'''
import sys, os, pickle, __main__, threading, atexit, inspect
class Thing: pass
print(sys.argv, __name__, __doc__, __package__, __spec__ and __spec__.name)
print(os.path.basename(__file__), os.path.isabs(__file__), sys.path[0], type(__loader__).__name__)
print(__main__.Thing is Thing, sys.modules["__main__"].__dict__ is globals())
print(type(pickle.loads(pickle.dumps(Thing()))) is Thing)
print(type(__builtins__).__name__, threading.current_thread() is threading.main_thread())
print(sorted(name for name in globals() if name[:2] == "__"))
def later():
    # Threads and farewells see the same __main__.
    import time; time.sleep(0.1)
    print("later", type(pickle.loads(pickle.dumps(Thing()))) is Thing)
threading.Thread(target=later).start()
atexit.register(lambda: print("bye", sys.modules["__main__"].Thing is Thing))
"""

ENDS = {
    "falls off": "print('end')",
    "status": "import sys; sys.exit(3)",
    "words": "import sys; sys.exit('words')",
    "no status": "import sys; sys.exit()",
    "system exit": "raise SystemExit(True)",
    "at once": "import os; os._exit(7)",
    "exception": "def f():\n    raise ValueError('no')\nf()",
    "chained": "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e",
    "hook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1/0",
    "interrupt": "import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(5)",
    "terminated": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "syntax": "print('a'\nx = = 1",
    "thread": "import threading, time\ndef f():\n    time.sleep(.1); print('t')\n"
    "threading.Thread(target=f).start()",
    "atexit": "import atexit, sys; atexit.register(print, 'bye'); sys.exit(4)",
}


def layout(folder: Path, source: str) -> dict[str, list[str]]:
    """The program in each of the ways to have one; the words that run it."""
    (folder / "app.py").write_text(source)
    package = folder / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(source)
    (package / "site.py").write_text(source)
    directory = folder / "dir"
    directory.mkdir()
    (directory / "__main__.py").write_text(source)
    with zipfile.ZipFile(folder / "app.zip", "w") as archive:
        archive.writestr("__main__.py", source)
    return {
        "script": ["app.py"],
        "path": [str(folder / "app.py")],
        "package": ["-m", "shop"],
        "module": ["-m", "shop.site"],
        "folder": ["dir"],
        "archive": ["app.zip"],
    }


@pytest.mark.parametrize("way", ["script", "path", "package", "module", "folder", "archive"])
def test_a_program_is_what_it_is_without(tmp_path: Path, way: str) -> None:
    target = layout(tmp_path, ITSELF)[way]
    arguments = ["--level", "-x", "--", "a b", "-m"]
    folder = tmp_path / "empty" if way == "path" else tmp_path
    folder.mkdir(exist_ok=True)
    plain = done(*target, *arguments, cwd=folder)
    assert plain[0] == 0
    assert len(plain[1].splitlines()) == 8
    assert done(*RUN, *target, *arguments, cwd=folder) == plain


@pytest.mark.parametrize("how", sorted(ENDS))
def test_a_program_ends_as_it_ends_without(tmp_path: Path, how: str) -> None:
    (tmp_path / "app.py").write_text(ENDS[how])
    status, out, errors = done("app.py", cwd=tmp_path)
    watched = done(*RUN, "app.py", cwd=tmp_path)
    assert watched[:2] == (status, out)
    if how == "interrupt":  # its traceback has our frames, too
        assert watched[2].splitlines()[-1] == errors.splitlines()[-1]
    else:
        assert watched[2] == errors


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        (["no.py"], 2, "can't open file"),
        (["-m", "no_such_module"], 1, "No module named no_such_module"),
        (["-m", "no_such.module"], 1, "No module named 'no_such'"),
        (["-m", "shop"], 1, "cannot be directly executed"),
        (["empty"], 1, "can't find '__main__' module"),
    ],
)
def test_a_program_that_is_not_there(
    tmp_path: Path, target: list[str], status: int, words: str
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "empty").mkdir()
    plain = done(*target, cwd=tmp_path)
    watched = done(*RUN, *target, cwd=tmp_path)
    assert (plain[0], watched[0]) == (status, status)
    assert words in watched[2]
    assert "Traceback" not in watched[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "levle=2"], "Did you mean monitor.level?"),
        (["--set", "level=9"], "0, 1 or 2"),
        (["--set", "level"], "NAME=VALUE"),
        (["--config", "no.toml"], "No such file"),
        (["--config", "app.py"], "app.py"),
    ],
)
def test_wrong_settings_start_nothing(tmp_path: Path, options: list[str], words: str) -> None:
    (tmp_path / "app.py").write_text("print('started')")
    status, out, errors = done(*MONITOR, "run", *options, "app.py", cwd=tmp_path)
    assert (status, out) == (2, "")
    assert words in errors
    assert "Traceback" not in errors


TELLS = """
def tell():
    m = cherrypy.engine.monitor
    s = m.settings
    print("HAS", m.running, s["level"], s["service"], s["store.path"], s["apdex"], flush=True)
cherrypy.engine.subscribe("start", tell, 98)
main({"monitor": {"on": False, "level": 0, "service": "shop"}})
"""


def test_a_site_is_watched_though_it_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "m.conf").write_text("[monitor]\napdex: 2.0\nlevel: 1\n")
    options = ["--set", "level=2", "--config", "m.conf"]
    program, port = site(tmp_path, TELLS, [*RUN, *options])
    with program:
        program.said("HAS True 2 shop None 2.0")
        assert get(port) == (200, "hello")
        program.signal(signal.SIGTERM)
        assert program.ended() == 0


def test_it_is_watched_again_when_it_restarts(tmp_path: Path) -> None:
    """Restarting replaces the process by a new one of the same command."""
    last = 'cherrypy.config.update({"engine.SIGUSR2": cherrypy.engine.restart})' + TELLS
    program, port = site(tmp_path, last, [*RUN, "--set", "level=2"])
    with program:
        assert get(port)[0] == 200
        program.signal(signal.SIGUSR2)
        until(lambda: program.text.count("HAS True 2 shop") == 2, 20)
        until(lambda: program.text.count("READY") == 2, 20)
        assert get(port)[0] == 200


# -- metrics ---------------------------------------------------------------------------------------


def test_all_metrics_are_listed() -> None:
    status, out, errors = done(*MONITOR, "metrics", "--json")
    assert (status, errors) == (0, "")
    facts = json.loads(out)
    assert [fact["name"] for fact in facts] == list(METRICS)
    assert all(fact["help"] for fact in facts)
    uptime = next(fact for fact in facts if fact["name"] == "process.uptime")
    assert uptime["labels"] == ["worker"]


def test_metrics_are_found_by_patterns_and_words() -> None:
    status, out, errors = done(*MONITOR, "metrics", "cherrypy.session*", "lock")
    assert status == 0
    names = [line.split()[0] for line in out.splitlines() if not line.startswith(" ")]
    assert names
    assert all(name.startswith("cherrypy.session") for name in names)
    assert "cherrypy.session.lock.wait" in names
    assert errors == f"{len(names)} of {len(METRICS)} metrics\n"
    status, out, _ = done(*MONITOR, "metrics", "http.server*", "--names", "prometheus")
    assert "http_server_request_duration_seconds  [histogram, s]" in out
    assert done(*MONITOR, "metrics", "no such thing")[0] == 1
    status, out, _ = done(*MONITOR, "metrics", "--level", "2", "--json")
    assert {fact["level"] for fact in json.loads(out)} == {2}


def test_a_reader_that_has_enough() -> None:
    shell = f"'{sys.executable}' -m cherrypy monitor metrics | head -1"
    one = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert len(one.stdout.splitlines()) == 1
    assert "Traceback" not in one.stderr


# -- export ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def board() -> Any:
    status, out, errors = done(*MONITOR, "export", "grafana", "--title", "My shop")
    assert (status, errors) == (0, "")
    return json.loads(out)


def panels(board: Any) -> Iterator[Any]:
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", ())


def test_the_dashboard_s_form(board: Any) -> None:
    """What Grafana's schema asks of a dashboard, its rows and its panels."""
    assert board["title"] == "My shop"
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", board["uid"])
    assert board["schemaVersion"] >= 36
    assert [one["name"] for one in board["templating"]["list"]] == [
        "datasource",
        "job",
        "instance",
    ]
    every = [*board["panels"], *(p for row in board["panels"] for p in row.get("panels", ()))]
    numbers = [panel["id"] for panel in every]
    assert len(numbers) == len(set(numbers))
    taken = set()
    for panel in every:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells
    for panel in panels(board):
        assert panel["type"] == "timeseries"
        assert panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters
        assert len(letters) == len(set(letters))
        assert all(re.fullmatch("[A-Z]", letter) for letter in letters)
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    rows = [row["collapsed"] for row in board["panels"] if row["type"] == "row"]
    assert rows == [False] + [True] * (len(rows) - 1)


def test_every_metric_has_a_panel(board: Any) -> None:
    text = "\n".join(target["expr"] for panel in panels(board) for target in panel["targets"])
    for metric in METRICS.values():
        assert words.sample_name(metric) in text, metric.name
    # And nothing is asked for that is not told.
    told = {
        line.partition(" ")[0].partition("{")[0]
        for line in answer(everything())[1].decode().splitlines()
        if line[:1] != "#"
    }
    asked = set(
        re.findall(r"\b((?:cherrypy|http|db|messaging|process|cpython|system)_\w+)\{", text)
    )
    assert asked - told == set()


def test_promtool_understands_every_expression(board: Any, tmp_path: Path) -> None:
    promtool = command("promtool")
    rules = [
        {
            "record": f"panel:{panel['id']}:{target['refId']}",
            "expr": target["expr"]
            .replace("$__rate_interval", "1m")
            .replace("$job", ".*")
            .replace("$instance", ".*"),
        }
        for panel in panels(board)
        for target in panel["targets"]
    ]
    assert len(rules) > 200
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    one = subprocess.run(
        [promtool, "check", "rules", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert one.returncode == 0, one.stdout + one.stderr
    assert f"{len(rules)} rules found" in one.stdout


#: What happens, by the minute, and when the bell rings.
RULE_TEST = """
rule_files: [rules.yml]
evaluation_interval: 30s
tests:
- interval: 30s
  input_series:
  - series: 'http_server_request_duration_seconds_count{job="shop",http_route="/a",http_response_status_code="200"}'
    values: '0+90x60'
  - series: 'http_server_request_duration_seconds_count{job="shop",http_route="/a",http_response_status_code="500"}'
    values: '0+10x60'
  - series: 'http_server_request_duration_seconds_count{job="calm",http_route="/a",http_response_status_code="200"}'
    values: '0+99x60'
  - series: 'cherrypy_server_threads{job="shop",instance="a",worker="1",state="idle"}'
    values: '3 3 0x60'
  - series: 'cherrypy_server_tls_certificate_expiry_seconds{job="shop",instance="a",listener="x"}'
    values: '864000x200'
  promql_expr_test:
  - expr: job:cherrypy_server_errors:ratio5m
    eval_time: 20m
    exp_samples:
    - labels: 'job:cherrypy_server_errors:ratio5m{job="shop"}'
      value: 0.1
    - labels: 'job:cherrypy_server_errors:ratio5m{job="calm"}'
      value: 0
  alert_rule_test:
  - eval_time: 20m
    alertname: CherryPyServerErrors
    exp_alerts:
    - exp_labels: {severity: critical, job: shop}
      exp_annotations:
        summary: "More than 5 % of the answers of shop are errors of the server."
  - eval_time: 2m
    alertname: CherryPyServerErrors
  - eval_time: 20m
    alertname: CherryPyThreadsBusy
    exp_alerts:
    - exp_labels: {severity: critical, job: shop, instance: a, worker: "1"}
      exp_annotations: {summary: "All threads of a are busy."}
  - eval_time: 30s
    alertname: CherryPyThreadsBusy
  - eval_time: 61m
    alertname: CherryPyCertificateExpires
    exp_alerts:
    - exp_labels: {severity: warning, job: shop, instance: a, listener: x}
      exp_annotations: {summary: "The certificate of a expires in 10d 0h 0m 0s."}
"""


def test_the_rules_ring_when_they_should(tmp_path: Path) -> None:
    promtool = command("promtool")
    path = tmp_path / "rules.yml"
    assert done(*MONITOR, "export", "prometheus-rules", "-o", str(path))[0] == 0
    (tmp_path / "test.yml").write_text(RULE_TEST)
    for arguments in (["check", "rules", "rules.yml"], ["test", "rules", "test.yml"]):
        one = subprocess.run(
            [promtool, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert one.returncode == 0, one.stdout + one.stderr
        assert "SUCCESS" in one.stdout


def test_names_of_statsd() -> None:
    status, out, _ = done(*MONITOR, "export", "statsd-names")
    assert status == 0
    assert len(out.splitlines()) == len(METRICS)
    assert "cherrypy.responses.<class>" in out
    status, out, _ = done(*MONITOR, "export", "statsd-names", "--names", "librato")
    assert "web.response.latency" in out.splitlines()
    status, _, errors = done(*MONITOR, "export", "statsd-names", "-o", "/no/such/folder/x")
    assert (status, "No such file" in errors) == (2, True)


# -- all of it -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "run", "show", "metrics", "export", "serve"])
def test_help_says_what_there_is(name: str) -> None:
    status, out, _ = done(*MONITOR, *([name] if name else []), "--help")
    assert status == 0
    assert "python -m cherrypy monitor" in out
    if name:
        assert "examples:" in out
        for line in re.findall(r"^  python -m cherrypy monitor (.*)", out, re.MULTILINE):
            assert line.split()[0] == name


def test_cherryd_and_the_doctor_are_where_they_were(tmp_path: Path) -> None:
    assert done("-m", "cherrypy", "--version")[0] == 0
    assert "doctor" in done("-m", "cherrypy", "doctor", "--help")[1]
    path, _ = write_site(tmp_path)
    assert path.exists()
