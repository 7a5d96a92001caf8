"""The settings of the monitor: every source, who goes over whom, and what is said of what is wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from export_kit import Program, get, site, until, write_site

import cherrypy
from cherrypy.monitor import sources
from cherrypy.monitor.plugin import Monitor
from cherrypy.monitor.settings import CONFIGURATION, ENVIRONMENT, SETTINGS, Settings
from cherrypy.monitor.sources import Sources, entries_of, environment, read_file, value_of
from cherrypy.process.wspbus import Bus
from docs_kit import check_program, page, programs, samples


class Told:
    """A bus that keeps its log."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.lines: list[str] = []
        self.bus.subscribe("log", lambda msg, level: self.lines.append(msg))
        self.monitor = Monitor(self.bus)


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    yield made
    made.monitor.unsubscribe()


@pytest.fixture
def fresh() -> Iterator[Any]:
    """The engine of the process, with a monitor of the test's own."""
    engine: Any = cherrypy.engine
    before = vars(engine).pop("monitor", None)
    yield engine
    made = vars(engine).pop("monitor", None)
    if made is not None:
        made.unsubscribe()
    if before is not None:
        engine.monitor = before


def refused(what: Any, *words: str) -> None:
    with pytest.raises(ValueError) as caught:
        what()
    for word in words:
        assert word in str(caught.value)


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_default_is_allowed(name: str) -> None:
    known = SETTINGS[name]
    assert known.check is not None
    assert known.check(known.default), known.kind
    assert known.kind != "anything"
    assert known.doc.endswith(".")


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("level", 3, "0, 1 or 2"),
        ("level", True, "0, 1 or 2"),
        ("level", "1", "0, 1 or 2"),
        ("on", 1, "True or False"),
        ("metrics.include", "cherrypy.*", "a list of texts"),
        ("apdex", 0, "a number above 0"),
        ("apdex", {"/": "fast"}, "{route: number}"),
        ("slow_threshold", -1, "a number from 0 on"),
        ("slow_threshold", float("nan"), "a number from 0 on"),
        ("store.retention", {"10s": 6}, "s, m, h or d"),
        ("otlp.endpoint", "collector:4318", "http://"),
        ("otlp.headers", {"A": "b\r\nC: d"}, "{name: text}"),
        ("otlp.interval", 0, "above 0"),
        ("statsd", "127.0.0.1", "'host:port'"),
        ("statsd.dialect", "graphite", "'statsd' or 'dogstatsd'"),
        ("health.mount", "health", "begins with a slash"),
        ("names", "influx", "'otel' or 'librato'"),
    ],
)
def test_a_wrong_value_is_told_what_it_may_be(name: str, wrong: Any, words: str) -> None:
    settings = Settings()
    refused(lambda: settings.__setitem__(name, wrong), f"monitor.{name} cannot be", words)
    assert settings[name] == SETTINGS[name].default


def test_an_unknown_name_is_told_which_is_near() -> None:
    settings = Settings()
    refused(
        lambda: settings.__setitem__("otlp.endpont", None), "There is no", "monitor.otlp.endpoint?"
    )


def test_who_goes_over_whom(tmp_path: Path) -> None:
    settings = Settings()
    heard: list[str] = []
    settings.changed.append(heard.append)
    assert settings.source("level") == "default"
    settings.replace(CONFIGURATION, {"level": 2, "service": "shop"})
    assert (settings["level"], settings.source("level")) == (2, "configuration")
    settings.replace(ENVIRONMENT, {"level": 0})
    assert settings["level"] == 0
    settings.replace(CONFIGURATION, {"level": 1})
    assert settings["level"] == 0
    assert settings["service"] is None  # the configuration says it no more
    settings["level"] = 2
    assert settings["level"] == 2
    assert heard == ["level", "service", "level", "service", "level"]


# -- the environment -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("on", "1", True),
        ("on", "yes", True),
        ("on", "False", False),
        ("on", "off", False),
        ("level", "2", 2),
        ("app_version", "1.10", "1.10"),
        ("app_version", "None", None),
        ("service", "shop", "shop"),
        ("service", "'1'", "1"),
        ("libraries", "sqlite3, redis", ["sqlite3", "redis"]),
        ("libraries", "['sqlite3']", ["sqlite3"]),
        ("libraries", "", []),
        ("dashboard.listen", "False", False),
        ("dashboard.listen", "127.0.0.1:0", "127.0.0.1:0"),
        ("dashboard.auth", "token:abc", "token:abc"),
        ("apdex", "{'/search': 1.5}", {"/search": 1.5}),
        ("statsd", "[::1]:8125", "[::1]:8125"),
        ("otlp.headers", "{'A': 'b'}", {"A": "b"}),
        ("slow_threshold", "2", 2),
    ],
)
def test_texts_of_the_environment(name: str, text: str, value: Any) -> None:
    assert value_of(name, text) == value
    variable = "CHERRYPY_MONITOR_" + name.upper().replace(".", "_")
    assert sources.variable(name) == variable
    assert environment({variable: text, "HOME": "/"}) == ({name: value}, [])


def test_faults_of_the_environment_are_all_told() -> None:
    entries, faults = environment(
        {
            "CHERRYPY_MONITOR_LEVEL": "9",
            "CHERRYPY_MONITOR_LEVLE": "1",
            "CHERRYPY_MONITOR_ON": "maybe",
            "CHERRYPY_MONITOR_SERVICE": "shop",
        }
    )
    assert entries == {"service": "shop"}
    assert len(faults) == 3
    assert "CHERRYPY_MONITOR_LEVEL: monitor.level cannot be 9. It may be 0, 1 or 2." in faults[0]
    assert "Did you mean CHERRYPY_MONITOR_LEVEL?" in faults[1]
    assert "monitor.on cannot be 'maybe'" in faults[2]


def test_the_token_of_the_command_is_no_setting() -> None:
    assert environment({"CHERRYPY_MONITOR_TOKEN": "secret"}) == ({}, [])


def test_a_deep_text_is_only_a_text() -> None:
    assert value_of("service", "(" * 20_000).startswith("((")


def test_the_environment_alone_switches_it_on(tmp_path: Path) -> None:
    last = """
    cherrypy.engine.subscribe("start", lambda: print("ON", cherrypy.engine.monitor.running), 98)
    main({"global": {"monitor.level": 2, "monitor.on": False}})
    """
    program, _ = site(
        tmp_path, last, CHERRYPY_MONITOR_ON="1", CHERRYPY_MONITOR_DASHBOARD_LISTEN="False"
    )
    with program:
        program.said("ON True")


def test_a_wrong_environment_keeps_the_engine_from_starting(tmp_path: Path) -> None:
    path, _ = write_site(tmp_path)
    with Program(
        [sys.executable, str(path)], tmp_path, CHERRYPY_MONITOR_ON="1", CHERRYPY_MONITOR_LEVEL="x"
    ) as program:
        assert program.ended() != 0
        assert "monitor.level cannot be 'x'. It may be 0, 1 or 2" in program.text


# -- files -----------------------------------------------------------------------------------------


def test_sections_of_a_configuration() -> None:
    assert entries_of(
        {
            "global": {"monitor.level": 2, "server.socket_port": 1},
            "monitor": {"on": True, "monitor.service": "shop"},
            "/": {"tools.gzip.on": True},
        }
    ) == {"level": 2, "on": True, "service": "shop"}
    assert entries_of({"monitor.level": 2}) == {"level": 2}


TOML = """
[monitor]
on = true
level = 2
apdex = { "/search" = 1.5, "*" = 0.5 }
"statsd.dialect" = "dogstatsd"
libraries = ["sqlite3"]
[monitor.store]
path = "m.sqlite3"
retention = { "10s" = "1h" }
[monitor.otlp.headers]
Authorization = "Bearer x"
[[monitor.alerts]]
metric = "cherrypy.requests"
"""


def test_a_file_of_toml(tmp_path: Path) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(TOML)
    if sys.version_info < (3, 11):
        pytest.importorskip("tomli", reason="only on 3.11 without tomli")
    assert read_file(str(path)) == (
        {
            "on": True,
            "level": 2,
            "apdex": {"/search": 1.5, "*": 0.5},
            "statsd.dialect": "dogstatsd",
            "libraries": ["sqlite3"],
            "store.path": "m.sqlite3",
            "store.retention": {"10s": "1h"},
            "otlp.headers": {"Authorization": "Bearer x"},
            "alerts": [{"metric": "cherrypy.requests"}],
        },
        [],
    )
    path.write_text("level = 0\n[store]\nmax_bytes = 1000\n")  # no table around it
    assert read_file(str(path))[0] == {"level": 0, "store.max_bytes": 1000}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "level = ", "it is not TOML"),
        ("a.toml", "[monitor.store]\npth = 1", "There is no setting monitor.store.pth"),
        ("a.toml", "monitor = 1", "has to be a table"),
        ("a.conf", "[global]\nserver.socket_port: 1", "no section [monitor]"),
        ("a.conf", "[monitor]\nlevel: 7", "0, 1 or 2"),
        ("a.conf", "[monitor]\nlevel: two words", "must be valid Python"),
        ("a.conf", "level: 7", "no section headers"),
        ("a.json", "{", "it is not JSON"),
        ("a.json", "[" * 100_000, "it is"),
        ("a.json", "[1]", "has to be an object"),
        ("a.json", '{"port": 99999999}', "'port' cannot be"),
        ("a.json", '{"libraries": 7}', "'libraries' cannot be 7"),
        ("a.toml", "#" * 1_100_000, "more than"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    refused(lambda: read_file(str(path)), str(path), words)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refused(lambda: read_file(str(tmp_path / "no.toml")), "no.toml", "No such file")


def test_the_file_of_librato_s_agent(tmp_path: Path) -> None:
    path = tmp_path / "agent-conf.json"
    path.write_text(
        json.dumps(
            {
                "integration": "django",
                "app_id": "shop",
                "libraries": ["mysqldb", "sqlite3"],
                "flush_interval": 60,
                "pct": 95,
                "port": 8142,
                "api_token": "secret",
            }
        )
    )
    entries, notes = read_file(str(path))
    assert entries == {
        "names": "librato",
        "service": "shop",
        "libraries": ["MySQLdb", "sqlite3"],
        "statsd.interval": 60.0,
        "statsd": "127.0.0.1:8142",
    }
    said = "\n".join(notes)
    assert "'integration' is 'django'" in said
    assert "'api_token' is unknown" in said
    assert "secret" not in said
    assert len(notes) == 3


def test_another_object_of_json_is_settings(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text('{"monitor": {"on": true, "store": {"path": "x"}}}')
    assert read_file(str(path)) == ({"on": True, "store.path": "x"}, [])


# -- the site's configuration ----------------------------------------------------------------------


def test_a_dict_configures_it(fresh: Any) -> None:
    cherrypy.config.update({"monitor.level": 2, "monitor.service": "shop"})
    assert fresh.monitor.settings["level"] == 2
    assert not fresh.monitor.subscribed
    cherrypy.config.update({"monitor": {"level": 0}, "global": {"monitor.apdex": 1.0}})
    settings = fresh.monitor.settings
    assert (settings["level"], settings["apdex"], settings["service"]) == (0, 1.0, "shop")
    cherrypy.config.update({"engine.monitor.level": 1})  # the program's own word
    cherrypy.config.update({"monitor.level": 2})
    assert settings["level"] == 1
    cherrypy.config["monitor.service"] = "other"
    assert settings["service"] == "other"


def test_a_section_leaves_those_of_paths_alone(fresh: Any) -> None:
    given = {"monitor": {"on": False}, "/static": {"tools.staticdir.on": False}}
    before = cherrypy.checker.global_config_contained_paths
    cherrypy.config.update(given)
    assert given["monitor"] == {"on": False}  # the caller's own
    given = {"monitor": {"on": False}, "global": {"server.socket_port": 8080}}
    cherrypy.config.update(given)
    assert given == {"monitor": {"on": False}, "global": {"server.socket_port": 8080}}
    assert cherrypy.checker.global_config_contained_paths == before


def test_on_is_the_last_word_of_a_dict(fresh: Any, tmp_path: Path) -> None:
    """A monitor that starts at once has all that is said beside."""
    cherrypy.config.update(
        {"monitor.on": True, "monitor.dashboard.listen": False, "monitor.level": 0}
    )
    assert fresh.monitor.subscribed
    assert fresh.monitor.settings["level"] == 0
    cherrypy.config.update({"monitor.on": False})
    assert not fresh.monitor.subscribed


def test_a_wrong_entry_is_refused(fresh: Any) -> None:
    refused(lambda: cherrypy.config.update({"monitor.levle": 2}), "Did you mean monitor.level?")
    refused(lambda: cherrypy.config.update({"monitor": {"level": 9}}), "0, 1 or 2")
    refused(lambda: cherrypy.config.update({"engine.monitor.level": 9}), "0, 1 or 2")


def test_a_file_named_in_the_configuration(fresh: Any, tmp_path: Path) -> None:
    path = tmp_path / "more.conf"
    path.write_text("[monitor]\nlevel: 2\n")
    cherrypy.config.update({"monitor.config": str(path), "monitor.level": 0})
    assert fresh.monitor.settings["level"] == 2
    refused(lambda: cherrypy.config.update({"monitor.config": "/no/such/file"}), "/no/such/file")
    path.write_text("[monitor]\nconfig: 'other'\n")
    refused(lambda: setattr(fresh.monitor, "config", str(path) + ""), "cannot name another")


def test_imports_nothing_until_it_is_named() -> None:
    code = """
    import sys, cherrypy
    cherrypy.config.update({"server.socket_port": 1, "/": {}})
    assert not any(name.startswith("cherrypy.monitor") for name in sys.modules)
    cherrypy.config.update({"monitor.level": 1})
    assert "cherrypy.monitor.plugin" in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)


@pytest.mark.parametrize("way", ["update", "quickstart", "cherryd"])
def test_a_section_in_a_file(tmp_path: Path, way: str) -> None:
    conf = tmp_path / "site.conf"
    conf.write_text(
        "[global]\nserver.thread_pool: 4\n"
        "[monitor]\non: True\nlevel: 2\ndashboard.listen: False\nmonitor.service: 'shop'\n"
        "[/]\ntools.gzip.on: True\n"
    )
    last = {
        "update": "cherrypy.config.update('site.conf'); main()",
        "quickstart": "main('site.conf')",
        "cherryd": "from cherrypy.daemon import run\n"
        "cherrypy.tree.mount(Root())\n"
        "cherrypy.config.update({'server.socket_port': PORT, 'log.screen': False})\n"
        "cherrypy.engine.subscribe('start', lambda: print('READY', flush=True), 99)\n"
        "run(['-c', 'site.conf'])",
    }[way]
    path, port = write_site(tmp_path)
    text = path.read_text().replace("\nmain()\n", "\n" + last.replace("PORT", str(port)) + "\n")
    tell = (
        "m = lambda: cherrypy.engine.monitor\n"
        "cherrypy.engine.subscribe('start', lambda: print('HAS', m().running, m().settings['level'],"
        " m().settings['service'], flush=True), 98)\n"
    )
    path.write_text(text.replace("def main", tell + "def main"))
    with Program([sys.executable, str(path)], tmp_path) as program:
        program.said("HAS True 2 shop")
        program.said("READY")
        assert get(port) == (200, "hello")


# -- reading them again ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGHUP"])
def test_reload_by_a_signal_loses_no_count(tmp_path: Path, name: str) -> None:
    conf = tmp_path / "site.conf"
    conf.write_text(
        "[global]\nengine.SIGHUP: cherrypy.engine.graceful\n"
        "[monitor]\non: True\ndashboard.listen: False\nmetrics.exclude: ['cherrypy.responses']\n"
        "slow_threshold: 100\n"
    )
    last = """
    class More(Root):
        @cherrypy.expose
        def counts(self):
            from cherrypy.monitor.metrics import METRICS
            monitor = cherrypy.engine.monitor
            monitor.beat()
            counts = monitor.site.merged().counts
            return " ".join(
                f"{key.name}={sum(v for (m, _), v in counts.items() if m is key):.0f}"
                for key in (METRICS["cherrypy.requests"], METRICS["cherrypy.responses"],
                            METRICS["cherrypy.request.slow"])
            )
    main("site.conf", More())
    """
    program, port = site(tmp_path, last)
    with program:
        for _ in range(20):
            assert get(port)[0] == 200
        assert (
            get(port, "/counts")[1]
            == "cherrypy.requests=20 cherrypy.responses=0 cherrypy.request.slow=0"
        )
        conf.write_text("[monitor]\non: True\ndashboard.listen: False\nslow_threshold: 0\n")
        program.signal(getattr(signal, name))
        program.said("has read its settings again")
        for _ in range(5):
            assert get(port)[0] == 200
        assert (
            get(port, "/counts")[1]
            == "cherrypy.requests=26 cherrypy.responses=26 cherrypy.request.slow=5"
        )
        conf.write_text("[monitor]\nlevle: 1\n")
        program.signal(getattr(signal, name))
        program.said("goes on with the settings it had")
        assert "Did you mean monitor.level?" in program.text
        assert get(port)[0] == 200


def test_what_a_file_says_no_more_falls_back(told: Told, tmp_path: Path) -> None:
    conf, own = tmp_path / "site.conf", tmp_path / "own.conf"
    conf.write_text("[monitor]\nlevel: 2\nservice: 'shop'\n")
    own.write_text("[monitor]\napdex: 2.0\n")
    monitor = told.monitor
    monitor.configure({"level": 2, "service": "shop", "config": str(own)}, str(conf))
    monitor.configure({"slow_threshold": 3.0})
    assert monitor.settings["apdex"] == 2.0
    conf.write_text(f"[monitor]\nlevel: 0\nconfig: {str(own)!r}\n")
    own.write_text("[monitor]\napdex: 3.0\n")
    monitor.graceful()
    settings = monitor.settings
    assert (settings["level"], settings["service"]) == (0, None)
    assert (settings["apdex"], settings["slow_threshold"]) == (3.0, 3.0)
    own.write_text("nothing")
    monitor.graceful()
    assert "goes on with the settings it had" in told.lines[-1]
    assert settings["apdex"] == 3.0
    own.unlink()
    conf.unlink()  # files that have gone say what they said
    monitor.configure({"config": None}, str(conf))
    monitor.graceful()
    assert settings["apdex"] == 0.5


def test_a_file_is_found_again_from_another_folder(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.conf").write_text("[monitor]\napdex: 2.0\n")
    monkeypatch.chdir(tmp_path)
    told.monitor.configure({"config": "own.conf"})
    (tmp_path / "own.conf").write_text("[monitor]\napdex: 3.0\n")
    monkeypatch.chdir("/")
    told.monitor.graceful()
    assert told.monitor.settings["apdex"] == 3.0


def test_many_words_of_a_program_are_kept_as_one(told: Told) -> None:
    for number in range(100):
        told.monitor.configure({"apdex": 1.0 + number})
    assert isinstance(told.monitor.sources, Sources)
    assert len(told.monitor.sources._config) == 1
    assert told.monitor.settings["apdex"] == 100.0
    assert until(lambda: told.monitor.settings["apdex"])


# -- the page --------------------------------------------------------------------------------------


def test_the_table_of_the_page_is_that_of_the_code() -> None:
    lines = page("monitoring/configuration").partition("## All settings")[2].strip().splitlines()
    assert lines[2:] == [
        f"| `{one.name}` | {one.kind} | `{one.default!r}` | {one.doc} |"
        for one in SETTINGS.values()
    ]


@pytest.mark.parametrize("source", programs("monitoring/configuration"))
def test_samples_of_the_page(source: str) -> None:
    check_program(source)


def test_the_ini_of_the_page(tmp_path: Path) -> None:
    (conf,) = samples("monitoring/configuration", "ini")
    path = tmp_path / "site.conf"
    path.write_text(conf)
    assert read_file(str(path))[0] == {"on": True, "level": 2, "store.path": "monitor.sqlite3"}
