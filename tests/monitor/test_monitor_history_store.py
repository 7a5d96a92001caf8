"""The store: the history outlives the process, whatever happens to file, disk and clock."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import pytest
from history_kit import START, Clockwork

from cherrypy.monitor.history import schema
from cherrypy.monitor.history.history import History
from cherrypy.monitor.history.store import Foreign, Store
from cherrypy.monitor.metrics import METRICS

RESPONSES = METRICS["cherrypy.responses"]
WAIT = METRICS["cherrypy.session.lock.wait"]
HERE = str(Path(__file__).parent)

Said = list[str]


class Watch:
    """A clock that goes by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monitor.sqlite3"


def opened(
    path: Path, said: Said | None = None, most: float = 1 << 28, clock: Watch | None = None
) -> History:
    said = [] if said is None else said
    store = Store(path, most, lambda text, level: said.append(text), clock or time.monotonic)
    return History(store=store)


def counted(history: History, start: float, end: float, step: float = inf) -> float:
    found = history.query(RESPONSES.name, start, end, step, stat="delta").rows[()]
    return sum(value for value in found if value is not None)


def run(clockwork: Clockwork, beats: int, seconds: float = 1.0) -> None:
    for _ in range(beats):
        clockwork.count(RESPONSES, 1, "2xx")
        clockwork.observe(WAIT, 0.05, "ram")
        clockwork.push(seconds)


def test_the_history_outlives_the_process(path: Path) -> None:
    history = opened(path)
    clockwork = Clockwork(history)
    history.mark("deploy", "version 2", at=START)
    run(clockwork, 4000)
    history.close()
    again = opened(path)
    later = Clockwork(again, clockwork.at)
    for step in (10.0, 60.0, 600.0, 3600.0):
        assert counted(again, START, later.at, step) == 4000, step
    found = again.query(WAIT.name, START, later.at, inf, stat="p50", by=("storage",))
    assert found.rows == {("ram",): [pytest.approx(0.05, rel=0.032)]}
    assert [mark.text for mark in again.marks(START, later.at)] == ["version 2"]
    assert again.span() == (START, later.at)
    # The seconds as well, and what comes after goes on with them.
    run(later, 10)
    assert counted(again, later.at - 100, later.at, 1.0) == 100
    again.close()


def test_the_file_is_its_owners_alone_and_says_what_it_is(path: Path) -> None:
    history = opened(path)
    run(Clockwork(history), 3)
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm"), Path(f"{path}-lock")):
        assert stat.S_IMODE(name.stat().st_mode) == 0o600, name
    history.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION,)
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    connection.close()


PROGRAM = """
import sys
sys.path.insert(0, {here!r})
from history_kit import START, Clockwork
from cherrypy.monitor.history.history import History
from cherrypy.monitor.history.store import Store
from cherrypy.monitor.metrics import METRICS
RESPONSES = METRICS["cherrypy.responses"]
"""

WRITER = (
    PROGRAM
    + """
history = History(store=Store({path!r}))
clockwork = Clockwork(history, float(sys.argv[1]))
number = 0
while True:
    clockwork.count(RESPONSES, 1, "2xx")
    clockwork.push()
    number += 1
    print(number, flush=True)
"""
)


@pytest.mark.skipif(sys.platform == "win32", reason="only on systems with SIGKILL")
def test_a_kill_loses_a_second_at_most(path: Path) -> None:
    """A process that writes without a pause is killed again and again, at any moment."""
    chance = random.Random(3)
    start, total = START, 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER.format(here=HERE, path=str(path)), str(start)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(chance.randrange(1, 150)):
            said = process.stdout.readline()
        time.sleep(chance.random() / 100)  # anywhere between two beats, or within one
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        told = int(rest[-1] if rest else said)
        history = opened(path)
        end = start + told + 5
        at = Clockwork(history, end).at
        for step in (1.0, 10.0, 60.0, 600.0, 3600.0):
            if step == 1.0 and at - START > 290:
                continue
            grown = counted(history, START, at, step) - total
            assert told <= grown <= told + 1, f"at {step} s"
        total += grown
        history.close()
        start = end


LIMITED = (
    PROGRAM
    + """
import resource
said = []
store = Store({path!r}, say=lambda text, level: said.append(text))
now = [0.0]
store.clock = lambda: now[0]
history = History(store=store)
clockwork = Clockwork(history)
def beat(number):
    for _ in range(number):
        now[0] += 1
        clockwork.count(RESPONSES, 1, "2xx")
        for code in range(100, 600):
            clockwork.count(METRICS["cherrypy.responses.code"], 1 + code * clockwork.at % 7, str(code))
        clockwork.push()
def counted():
    found = history.query("cherrypy.responses", START, clockwork.at, 10.0, stat="delta")
    return sum(value for value in found.rows[()] if value)
beat(30)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (store.bytes() // 2, hard))
beat(300)
print(len(said), said[0] if said else "", flush=True)
print(counted())
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
beat(30)
print(len(said), said[-1])
print(counted())
history.close()
"""
)


@pytest.mark.skipif(sys.platform == "win32", reason="only on systems with limits of processes")
def test_a_full_disk_is_survived(path: Path) -> None:
    """The file may not grow for five minutes; then it may, and has everything."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(here=HERE, path=str(path))],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    failing, meanwhile, well, after = done.stdout.splitlines()
    assert failing.startswith(f"1 The monitor's history cannot be written to {path} (")
    assert float(meanwhile) == 330
    assert well == f"2 The monitor's history is written to {path} again."
    assert float(after) == 360
    history = opened(path)
    assert counted(Clockwork(history, START + 360).history, START, START + 360, 10.0) == 360
    history.close()


@pytest.mark.parametrize("what", ["text", "head", "cut", "newer"])
def test_a_file_that_cannot_be_read_is_set_aside(path: Path, what: str) -> None:
    history = opened(path)
    run(Clockwork(history), 500)
    history.close()
    if what == "text":
        path.write_text("Dear diary, " * 1000)
    elif what == "head":
        data = bytearray(path.read_bytes())
        data[200:8192] = os.urandom(8192 - 200)
        path.write_bytes(data)
    elif what == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    before = path.read_bytes()
    said: Said = []
    again = opened(path, said)
    clockwork = Clockwork(again, START + 1000)
    run(clockwork, 20)
    assert counted(again, START, clockwork.at, 10.0) >= 20
    again.close()
    assert len(said) == 1
    assert "cannot be read" in said[0]
    assert "set aside as monitor.sqlite3.damaged-" in said[0]
    (aside,) = [
        found
        for found in path.parent.glob("monitor.sqlite3.damaged-*")
        if not found.name.endswith(("-wal", "-shm"))
    ]
    assert aside.read_bytes() == before
    third = opened(path, said)
    assert counted(Clockwork(third, clockwork.at).history, START, clockwork.at, 10.0) == 20
    third.close()
    assert len(said) == 1


def test_a_file_that_is_damaged_while_it_is_used(path: Path) -> None:
    said: Said = []
    history = opened(path, said)
    clockwork = Clockwork(history)
    run(clockwork, 600)
    connection = history.store._connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    counted(history, START, START + 100, 10.0)  # somebody looks, and finds it
    run(clockwork, 400)
    assert len(said) == 1
    assert "set aside" in said[0]
    # What was in memory is in the new file.
    assert counted(history, clockwork.at - 250, clockwork.at, 1.0) == 250
    history.close()
    again = opened(path, said)
    Clockwork(again, clockwork.at)
    assert counted(again, clockwork.at - 600, clockwork.at, 10.0) == 600
    again.close()


def test_a_file_that_is_taken_away(path: Path) -> None:
    said: Said = []
    history = opened(path, said)
    clockwork = Clockwork(history)
    run(clockwork, 100)
    path.unlink()
    run(clockwork, 100)
    assert said == [f"The monitor's history {path} was taken away, and begins anew."]
    history.close()
    again = opened(path, said)
    Clockwork(again, clockwork.at)
    assert counted(again, START, clockwork.at, 10.0) == 200
    again.close()


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")
        connection.execute("INSERT INTO users VALUES ('anna')")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Foreign, match="is left alone: it is a database of another program"):
        opened(path)
    assert path.read_bytes() == before


SECOND = (
    PROGRAM
    + """
history = History(store=Store({path!r}, say=lambda text, level: print(text)))
clockwork = Clockwork(history)
clockwork.count(RESPONSES, 1000, "2xx")
clockwork.push()
history.close()
"""
)


def test_a_second_process_is_refused(path: Path) -> None:
    history = opened(path)
    clockwork = Clockwork(history)
    run(clockwork, 5)
    command = [sys.executable, "-c", SECOND.format(here=HERE, path=str(path))]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout == (
            f"The monitor's history cannot be written to {path} ({path} is in use by process "
            f"{os.getpid()}). It goes on in memory, and is written when that is possible again.\n"
        )
    run(clockwork, 5)
    assert counted(history, START, clockwork.at, 10.0) == 10
    history.close()
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == ""
    again = opened(path)
    assert counted(Clockwork(again, START + 20).history, START, START + 20, 10.0) == 1010
    again.close()


def test_who_was_refused_has_the_file_when_the_other_has_ended(path: Path) -> None:
    """As when a program is started anew before the old process has gone; each numbers its series."""
    first = opened(path)
    clockwork = Clockwork(first)
    for code in range(100, 110):
        clockwork.count(METRICS["cherrypy.responses.code"], 7 * code, str(code))
    run(clockwork, 50)
    watch, said = Watch(), list[str]()
    second = opened(path, said, clock=watch)
    later = Clockwork(second, clockwork.at)
    run(later, 500)
    # Without a file, it keeps as much in memory as if there were to be none.
    assert len(second.levels[1].rows) == 49  # and one that is open
    assert second.resolutions[1] == (10.0, 3600.0)
    first.close()
    watch.now += 5
    run(later, 1)
    assert len(said) == 1
    watch.now += 10
    run(later, 1)
    assert said[1:] == [f"The monitor's history is written to {path} again."]
    assert second.resolutions[1] == (10.0, 21600.0)
    assert counted(second, START, later.at, 10.0) == 552
    codes = second.query(
        "cherrypy.responses.code", START, later.at, inf, by=("code",), stat="delta"
    )
    assert codes.rows == {(str(code),): [7.0 * code] for code in range(100, 110)}
    second.close()
    again = opened(path)
    Clockwork(again, later.at)
    assert counted(again, START, later.at, 10.0) == 552
    again.close()


def test_the_clock_is_set_back(path: Path) -> None:
    """An hour comes twice: nothing is lost, nothing negative, and the rate is that of both."""
    history = opened(path)
    clockwork = Clockwork(history)
    run(clockwork, 1800)
    clockwork.at = START
    run(clockwork, 1800)
    for step in (10.0, 60.0, 600.0, 3600.0, inf):
        assert counted(history, START - 10, START + 3600, step) == 3600, step
    rates = history.query(RESPONSES.name, START, START + 1700, 60.0).rows[()]
    assert rates == [pytest.approx(1.0)] * len(rates)
    history.close()
    again = opened(path)
    Clockwork(again, clockwork.at)
    assert counted(again, START - 10, START + 3600, 3600.0) == 3600
    again.close()


def test_the_clock_is_set_forward_and_back(path: Path) -> None:
    """For a minute it is the year 2100: that makes nothing old."""
    watch = Watch()
    history = opened(path, clock=watch)
    clockwork = Clockwork(history)

    def beats(number: int) -> None:
        for _ in range(number):
            watch.now += 1.0
            run(clockwork, 1)

    beats(700)
    true, clockwork.at = clockwork.at, 4_100_000_000.0
    beats(60)
    clockwork.at = true + 60
    beats(700)
    assert counted(history, START - 10, clockwork.at, 10.0) == 1400
    rates = history.query(RESPONSES.name, START, clockwork.at, 60.0).rows[()]
    assert all(0.0 < rate <= 1.01 for rate in rates if rate is not None)
    history.close()


def rows(path: Path, step: int) -> list[int]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT tick FROM frames WHERE step = ? ORDER BY tick", (step,))
    ticks = [tick for (tick,) in found]
    connection.close()
    return ticks


def test_what_is_old_goes(path: Path) -> None:
    history = History({"10s": "20m", "1m": "2h"}, Store(path))
    clockwork = Clockwork(history)
    for _ in range(4 * 360):
        run(clockwork, 1, 10.0)
    kept = rows(path, 10)
    assert 120 <= len(kept) <= 135
    assert 120 <= len(rows(path, 60)) <= 135
    assert len(rows(path, 1)) <= 50
    assert kept[-1] >= clockwork.at - 20
    history.close()


def test_what_is_too_much_goes_the_finest_first(path: Path) -> None:
    """The file never takes more than it may; days are kept when seconds have gone."""
    most = 1024 * 1024
    history = History(store=Store(path, most))
    clockwork = Clockwork(history)
    chance = random.Random(5)
    biggest = 0
    sent = METRICS["cherrypy.responses.code"]
    for beat in range(840):
        for code in range(100, 250):
            clockwork.count(sent, chance.random(), str(code))
        run(clockwork, 1, 60.0)
        if beat % 10 == 0:
            biggest = max(biggest, history.store.bytes())
    assert biggest <= most
    assert history.store.bytes() > most * 0.7  # no more goes than has to
    assert len(rows(path, 10)) < 500
    hours = rows(path, 3600)
    assert hours[0] == START
    assert len(hours) == 13
    history.close()


def test_a_smaller_cap_is_reached_little_by_little(path: Path) -> None:
    history = History(store=Store(path))
    clockwork = Clockwork(history)
    chance = random.Random(5)
    for _ in range(1500):
        for code in range(100, 250):
            clockwork.count(METRICS["cherrypy.responses.code"], chance.random(), str(code))
        run(clockwork, 1, 10.0)
    history.close()
    assert path.stat().st_size > 2 * 1024 * 1024
    again = History(store=Store(path, 1024 * 1024))
    later = Clockwork(again, clockwork.at)
    run(later, 30)
    assert again.store.bytes() < 1024 * 1024
    assert counted(again, START, later.at, inf) > 0
    again.close()


def test_a_query_does_not_wait_for_a_file_that_is_locked(path: Path) -> None:
    said: Said = []
    history = opened(path, said)
    clockwork = Clockwork(history)
    run(clockwork, 200)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    run(clockwork, 100)
    waits = []
    for _ in range(3):
        began = time.monotonic()
        assert counted(history, clockwork.at - 100, clockwork.at, 1.0) == 100
        waits.append(time.monotonic() - began)
    assert min(waits) < 0.9  # it would wait for a second
    assert len(said) == 1
    other.execute("ROLLBACK")
    other.close()
    history.close()
    again = opened(path)
    Clockwork(again, clockwork.at)
    assert counted(again, START, clockwork.at, 10.0) == 300
    again.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only on systems that fork")
def test_a_child_leaves_the_file_alone(path: Path) -> None:
    history = opened(path)
    clockwork = Clockwork(history)
    run(clockwork, 20)
    script = (
        "import os, sys; sys.path.insert(0, {here!r})\n"
        "import test_monitor_history_store as t\n"
        "from pathlib import Path\n"
        "path = Path(sys.argv[1])\n"
        "history = t.opened(path); clockwork = t.Clockwork(history); t.run(clockwork, 20)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    clockwork.at += 1000; t.run(clockwork, 20); history.close(); os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "t.run(clockwork, 20); history.close()\n"
    )
    history.close()
    fresh = path.with_name("forked.sqlite3")
    done = subprocess.run(
        [sys.executable, "-c", script.format(here=HERE), str(fresh)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    again = opened(fresh)
    Clockwork(again, START + 2000)
    assert counted(again, START, START + 2000, 10.0) == 40
    again.close()


def test_what_cannot_be_opened_is_written_when_it_can(path: Path) -> None:
    """The disk is full at the start: the file has names of an earlier life, with other numbers."""
    first = opened(path)
    clockwork = Clockwork(first)
    for code in range(100, 150):
        clockwork.count(METRICS["cherrypy.responses.code"], 7 * code, str(code))
    run(clockwork, 100)
    first.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    said: Said = []
    watch = Watch()
    second = opened(path, said, clock=watch)
    later = Clockwork(second, clockwork.at)
    run(later, 50)
    assert len(said) == 1
    assert "(database is locked)" in said[0]
    other.execute("ROLLBACK")
    other.close()
    watch.now += 60
    run(later, 50)
    assert len(said) == 2
    assert counted(second, START, later.at, 10.0) == 200
    code = second.query("cherrypy.responses.code", START, later.at, inf, by=("code",), stat="delta")
    assert {row[0]: values[0] for row, values in code.rows.items()} == {
        str(code): 7.0 * code for code in range(100, 150)
    }
    second.close()
