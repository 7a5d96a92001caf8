"""A file system that is really full: the site serves on, what is counted waits in memory, and is written
when there is room."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import processes_kit
import pytest
from processes_kit import HERE, PROGRAM, Processes, ask, free_port, until
from test_monitor_history_store import START, Clockwork, counted, opened

#: Several processes begin and end in each, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)

#: A file system of some megabytes, which only the program on it sees.
MOUNT = 'mount -t tmpfs -o size=3m tmpfs "$1" && shift && exec "$@"'


@cache
def room() -> tuple[str, ...]:
    """The command that a program on a small file system begins with; none where nobody may mount one."""
    if shutil.which("unshare") is not None and sys.platform == "linux":
        for options in (("-m",), ("-Urm",)):
            command = ("unshare", *options, "sh", "-c", MOUNT, "sh")
            done = subprocess.run(
                [*command, "/mnt", "true"], capture_output=True, timeout=30, check=False
            )
            if done.returncode == 0:
                return command
    return ()


def small() -> tuple[str, ...]:
    if not room():
        pytest.skip("only on systems where a file system can be mounted; limits of a file do there")
    return room()


def fill(folder: Path) -> None:
    """Leave no room, not for a byte."""
    with open(folder / "filler", "wb", buffering=0) as file:
        for size in (1 << 16, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))


SCRIPT = """
import os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import test_monitor_history_full as full
import test_monitor_history_store as t
import test_monitor_processes_totals as totals
from cherrypy.monitor.metrics import METRICS

folder = Path(sys.argv[1])
said, watch = [], t.Watch()
history = t.opened(folder / "monitor.sqlite3", said, clock=watch)
clockwork = t.Clockwork(history)
keeper = totals.kept(totals.busy_site(3), folder)
failures = []
keeper.monitor.broken = lambda what, error: failures.append(error)

def beat(number):
    for _ in range(number):
        watch.now += 1
        for code in range(100, 400):
            size = 1 + code * clockwork.at % 7
            clockwork.count(METRICS["cherrypy.responses.code"], size, str(code))
        t.run(clockwork, 1)

beat(30)
keeper.write()
keeper.write()
keeper.monitor.site.take(totals.snapshot("9", 1000.0, 5000))
full.fill(folder)
beat(300)
print(len(said), said[0] if said else "")
print(t.counted(history, t.START, clockwork.at, 10.0))
big = keeper.monitor.site
for number in range(200):  # more than stands in the files
    big.take(totals.snapshot(str(os.urandom(600).hex()), 2000.0, 1))
keeper.write()
print(len(failures), [error.errno for error in failures], totals.counted(totals.restored(folder))[0])
(folder / "filler").unlink()
beat(90)
print(len(said), said[-1])
print(t.counted(history, t.START, clockwork.at, 10.0))
keeper.write()
print(totals.counted(totals.restored(folder))[0])
history.close()
with open(sys.argv[2], "wb") as file:
    file.write((folder / "monitor.sqlite3").read_bytes())
"""


def test_the_history_waits_for_room(tmp_path: Path) -> None:
    folder, copy = tmp_path / "small", tmp_path / "copy.sqlite3"
    folder.mkdir()
    script = SCRIPT.format(here=str(HERE))
    done = subprocess.run(
        [*small(), str(folder), sys.executable, "-c", script, str(folder), str(copy)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    failing, meanwhile, lost, well, after, kept = done.stdout.splitlines()
    assert failing.startswith("1 The monitor's history cannot be written to ")
    assert float(meanwhile) == 330
    assert lost == f"1 [{errno.ENOSPC}] 53.0"
    assert well.startswith("2 ") and well.endswith(" again.")
    assert float(after) == 420
    assert float(kept) == 53 + 5000 + 200
    history = opened(copy)
    assert counted(Clockwork(history, START + 420).history, START, START + 420, 10.0) == 420
    history.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Processes]:
    yield from processes_kit.processes(tmp_path)


def test_a_site_serves_on(site: Processes, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    port = free_port()
    listen = f"127.0.0.1:{site.dashboard}"
    process = site.start(
        "-c",
        "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])",
        *small(),
        str(folder),
        sys.executable,
        *(str(PROGRAM), str(port), site.socket, listen),
        CHERRYPY_MONITOR_STORE_PATH=str(folder / "monitor.sqlite3"),
    )
    until(lambda: ask(port) or process.poll() is not None)
    assert process.poll() is None, site.said()
    inside = Path(f"/proc/{process.pid}/root{folder}")
    until((inside / "monitor.sqlite3-totals-a").exists)
    before = site.count()
    fill(inside)
    assert os.statvfs(inside).f_bavail == 0
    for _ in range(20):
        assert ask(port)
    until(lambda: site.count() >= before + 20)
    until(
        lambda: "cannot be written" in site.said() or "monitor's totals failed" in site.said(), 60
    )
    assert ask(port) and site.look("/api/now") and site.look("/")
    (inside / "filler").unlink()
    assert ask(port)
    assert process.poll() is None
