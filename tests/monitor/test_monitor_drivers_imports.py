"""Hooks that run after an import: at the right time, once, and unseen by whoever imports."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import threading
import types
import zipfile

import pytest
from drivers_kit import watching

from cherrypy.monitor.instruments import control, guard, table
from cherrypy.monitor.instruments.imports import Finder


@pytest.fixture
def finder():
    told = []
    finder = Finder(lambda name, error: told.append((name, error)))
    finder.told = told
    finder.begin()
    yield finder
    finder.end()
    assert finder not in sys.meta_path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of modules, whose names are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder, name, text):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    importlib.invalidate_caches()


def test_a_module_that_is_there_is_told_of_at_once(finder):
    got = []
    finder.after("threading", got.append)
    assert got == [threading]


def test_a_module_is_told_of_when_its_code_has_run(finder, folder):
    write(folder, "one_module.py", "import sys\nvalue = 1\nlate = 2\n")
    got = []
    finder.after("one_module", lambda module: got.append((module, module.late)))
    assert got == []
    one = importlib.import_module("one_module")
    assert got == [(one, 2)]
    importlib.reload(one)
    assert len(got) == 1


def test_what_import_gives_is_what_it_gave(finder, folder):
    write(folder, "plain_one.py", "value = 1\n")
    write(folder, "hooked_one.py", "value = 1\n")
    finder.after("hooked_one", lambda module: "ignored")
    plain, hooked = importlib.import_module("plain_one"), importlib.import_module("hooked_one")
    assert set(vars(plain)) == set(vars(hooked))
    assert type(hooked.__loader__) is type(plain.__loader__)
    assert hooked.__spec__.loader is hooked.__loader__
    assert vars(hooked.__loader__).keys() == vars(plain.__loader__).keys()
    assert hooked.__cached__.endswith(".pyc")


def test_packages_submodules_and_extensions(finder, folder):
    write(folder, "a_package/__init__.py", "from . import below\n")
    write(folder, "a_package/below.py", "value = 1\n")
    got = []
    finder.after("a_package.below", lambda module: got.append(module.__name__))
    finder.after("a_package", lambda module: got.append(module.__name__))
    importlib.import_module("a_package")
    assert got == ["a_package.below", "a_package"]


def test_a_zip_file_has_one_loader_for_all_of_its_modules(finder, folder):
    with zipfile.ZipFile(folder / "some.zip", "w") as file:
        file.writestr("zipped/__init__.py", "from . import inner\n")
        file.writestr("zipped/inner.py", "value = 1\n")
    sys.path.insert(0, str(folder / "some.zip"))
    got = []
    try:
        finder.after("zipped", lambda module: got.append((module.__name__, module.inner.value)))
        importlib.import_module("zipped")
    finally:
        sys.path.remove(str(folder / "some.zip"))
    assert got == [("zipped", 1)]


def test_what_there_is_not_is_missing_as_before(finder):
    finder.after("no_such_module_anywhere", lambda module: None)
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("no_such_module_anywhere")
    assert caught.value.name == "no_such_module_anywhere"
    assert importlib.util.find_spec("no_such_module_anywhere") is None


def test_a_module_that_fails_fails_as_before_and_may_be_tried_again(finder, folder):
    write(folder, "failing.py", "raise ZeroDivisionError('mine')\n")
    got = []
    finder.after("failing", got.append)
    with pytest.raises(ZeroDivisionError, match="mine"):
        importlib.import_module("failing")
    assert got == []
    write(folder, "failing.py", "value = 'better this time'\n")
    importlib.import_module("failing")
    assert [module.value for module in got] == ["better this time"]


def test_a_hook_that_raises_is_told_of_and_forgotten(finder, folder):
    write(folder, "hooked_badly.py", "value = 1\n")
    error = RuntimeError("a bad hook")

    def bad(module):
        raise error

    got = []
    finder.after("hooked_badly", bad)
    finder.after("hooked_badly", got.append)
    assert importlib.import_module("hooked_badly").value == 1
    assert finder.told == [("hooked_badly", error)]
    assert len(got) == 1


def test_a_loader_that_takes_no_attributes_is_left_alone(finder):
    class Strict:
        __slots__ = ()

        def create_module(self, spec):
            return None

        def exec_module(self, module):
            module.value = "strict"

    class Strictly:
        def find_spec(self, name, path, target=None):
            if name == "strict_module":
                return importlib.util.spec_from_loader(name, Strict())
            return None

    got = []
    finder.after("strict_module", got.append)
    sys.meta_path.append(Strictly())
    try:
        assert importlib.import_module("strict_module").value == "strict"
    finally:
        sys.meta_path.pop()
        sys.modules.pop("strict_module", None)


def test_threads_that_import_at_once_get_it_whole(finder, folder):
    write(folder, "slow_one.py", "import time\ntime.sleep(0.1)\nvalue = 1\n")
    got, values = [], []
    finder.after("slow_one", lambda module: got.append(module.value))
    threads = [
        threading.Thread(target=lambda: values.append(importlib.import_module("slow_one").value))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert values == [1] * 8
    assert got == [1]


# -- the instruments as a whole --------------------------------------------------------------------


def test_libraries_are_selected_by_patterns():
    names = {row.libraries[0] for row in table.INSTRUMENTS if row.selected(["psycopg*", "logging"])}
    assert names == {"psycopg", "psycopg2", "psycopg_pool", "logging"}
    assert not any(row.selected([]) for row in table.INSTRUMENTS)
    assert all(row.selected(["*"]) for row in table.INSTRUMENTS)
    for row in table.INSTRUMENTS:
        assert callable(row.function())


def test_a_change_of_the_setting_is_obeyed_at_once():
    import sqlite3

    plain = sqlite3.connect
    with watching("logging") as seen:
        assert sqlite3.connect is plain
        seen.monitor.settings["libraries"] = ["sqlite3"]
        assert sqlite3.connect is not plain
        seen.monitor.settings["level"] = 0  # of servers only
        assert sqlite3.connect is plain
        seen.monitor.settings["level"] = 1
        assert sqlite3.connect is not plain
        seen.monitor.settings["libraries"] = []
        assert sqlite3.connect is plain


def test_two_monitors_share_the_instruments():
    import sqlite3

    plain = sqlite3.connect
    with watching("sqlite3") as one:
        with watching("sqlite3") as two:
            connection = sqlite3.connect(":memory:")
            connection.execute("SELECT 1")
            assert two.count("cherrypy.db.calls", "sqlite", "execute") == 1
            assert two.statements() == one.statements() != {}
            connection.close()
        assert sqlite3.connect is not plain
    assert sqlite3.connect is plain


def test_an_instrument_that_fails_three_times_is_taken_off_and_says_so(monkeypatch):
    import sqlite3

    from cherrypy.monitor.instruments import databases

    plain = sqlite3.connect
    with watching("sqlite3") as seen:
        connection = sqlite3.connect(":memory:")

        def broken(*args):
            raise RuntimeError("the monitor's own fault")

        monkeypatch.setattr(databases, "taken_apart", broken)
        for number in range(5):
            assert connection.execute(f"SELECT {number} AS a{number}").fetchone() == (number,)
        assert sqlite3.connect is plain
        failures = [told for told in seen.told if "own fault" in told]
        assert len(failures) == 3
        assert "switched off" in seen.told[-1]
        connection.close()
        seen.told.clear()


def test_a_guard_that_cannot_tell_is_silent():
    watcher = guard.Guard("something", lambda name, error: 1 / 0)
    watcher.end = lambda: 1 / 0
    for _ in range(4):
        watcher.failed(ValueError("x"))
    assert watcher.off


def test_an_instrument_that_cannot_be_put_on_leaves_the_others(monkeypatch):
    rows = (
        table.Instrument(("broken",), "json", "no_such_place", "nothing"),
        next(row for row in table.INSTRUMENTS if row.name == "logging"),
    )
    monkeypatch.setattr(control, "INSTRUMENTS", rows)
    with watching() as seen:
        import logging

        logging.getLogger("a.b").warning("x")
        assert seen.count("cherrypy.log.records", "warning") == 1
        assert len(seen.told) == 1
        assert "no_such_place" in seen.told[0]
        seen.told.clear()


EARLY = """
from cherrypy.monitor.instruments import early
early()
from sqlite3 import connect
assert connect.__module__ == "_sqlite3", connect.__module__
import sqlite3
assert type(connect(":memory:")) is not sqlite3.Connection
import cherrypy
from cherrypy.monitor import metrics
from cherrypy.monitor.instruments import begin
from cherrypy.monitor.plugin import Monitor
monitor = Monitor(cherrypy.engine)
metrics.select(1, ["*"], [])
part = begin(monitor)
connect(":memory:").execute("SELECT 1")
counts = monitor.taker.take().counts
print(sorted((labels, value) for (metric, labels), value in counts.items() if metric.name == "cherrypy.db.calls"))
part.end()
assert type(sqlite3.connect(":memory:")) is sqlite3.Connection
"""

LATE = """
from sqlite3 import connect as opened
import sqlite3
import cherrypy
from cherrypy.monitor import metrics
from cherrypy.monitor.instruments import begin
from cherrypy.monitor.plugin import Monitor
monitor = Monitor(cherrypy.engine)
metrics.select(1, ["*"], [])
part = begin(monitor)
opened(":memory:").execute("SELECT 1")
counts = monitor.taker.take().counts
print(sorted((labels, value) for (metric, labels), value in counts.items() if metric.name == "cherrypy.db.calls"))
part.end()
assert type(opened(":memory:")) is sqlite3.Connection
"""


@pytest.mark.parametrize("program", [EARLY, LATE], ids=["early", "late"])
def test_names_that_a_program_has_taken_before_are_counted(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[(('sqlite', 'connect'), 1), (('sqlite', 'execute'), 1)]"


COMMANDED = """
from sqlite3 import connect  # before anything of ours

opened = connect(":memory:", check_same_thread=False)

import urllib.request
import cherrypy

class Root:
    @cherrypy.expose
    def index(self):
        return str(opened.execute("SELECT 42").fetchone()[0])

cherrypy.config.update({"environment": "production", "server.socket_port": 0, "log.screen": False,
    "server.socket_host": "127.0.0.1", "engine.monitor.dashboard.listen": False})
cherrypy.tree.mount(Root())
cherrypy.engine.start()
with urllib.request.urlopen(f"http://127.0.0.1:{cherrypy.server.bound_addr[1]}/", timeout=10) as answer:
    assert answer.read() == b"42"
snapshot = cherrypy.engine.monitor.taker.take()
cherrypy.engine.exit()
print([row["statement"] for row in snapshot.details["statements"]])
"""


def test_a_program_that_is_run_by_the_command_is_seen_from_its_first_line(tmp_path):
    (tmp_path / "app.py").write_text(COMMANDED)
    done = subprocess.run(
        [sys.executable, "-m", "cherrypy", "monitor", "run", "app.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['SELECT ?']"


def test_no_library_is_imported_for_its_instrument():
    program = (
        "import sys, cherrypy\n"
        "from cherrypy.monitor.instruments import early\n"
        "early()\n"
        "names = 'sqlite3 psycopg psycopg2 sqlalchemy redis pymemcache requests urllib3 httpx aiohttp "
        "jinja2 mako genshi peewee elasticsearch opensearchpy pysolr pika kafka confluent_kafka pycurl "
        "valkey pymysql MySQLdb asyncpg aiosqlite pymongo'.split()\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_a_module_in_the_making_is_waited_for(finder, folder):
    hook = types.ModuleType("half_hook")
    sys.modules["half_hook"] = hook
    got = []
    write(folder, "half.py", "import half_hook\nhalf_hook.begin()\nlate = 1\n")
    hook.begin = lambda: finder.after("half", lambda module: got.append(module.late))
    importlib.import_module("half")
    assert got == []  # its import began without us; it is seen with the next one
    write(folder, "another.py", "")
    importlib.import_module("another")
    assert got == [1]
