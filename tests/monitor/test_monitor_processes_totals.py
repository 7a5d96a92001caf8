"""Totals outlive the process that collects: where there is a file, no count falls, whoever is killed."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import processes_kit
import pytest
from processes_kit import HERE, Processes, ask, until

from cherrypy.monitor import site as module
from cherrypy.monitor import table
from cherrypy.monitor.metrics import METRICS, OVERFLOW
from cherrypy.monitor.plugin import Monitor
from cherrypy.monitor.processes import totals
from cherrypy.monitor.site import Site
from cherrypy.monitor.snapshots import Snapshot
from cherrypy.process.wspbus import Bus

#: Several processes begin and end in each, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)

assert table
REQUESTS = METRICS["cherrypy.requests"]
PROCESSOR = METRICS["process.cpu.time"]
WAIT = METRICS["cherrypy.session.lock.wait"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Processes]:
    yield from processes_kit.processes(tmp_path)


def served(port: int, times: int) -> None:
    for _ in range(times):
        assert ask(port)


def written(folder: Path) -> None:
    """Wait until what is known now is in a file, whichever it is."""
    for _ in range(2):  # one may be at work just now
        now = newest(folder)
        until(lambda now=now: newest(folder) > now)


def newest(folder: Path) -> int:
    return max((path.stat().st_mtime_ns for path in folder.glob("*-totals-?")), default=0)


def test_whoever_is_killed_no_total_falls(site: Processes, tmp_path: Path) -> None:
    store = {"CHERRYPY_MONITOR_STORE_PATH": str(tmp_path / "history.sqlite3")}
    collector = site.serve(**store)
    first, port = site.site(**store)
    killed, second = site.site(**store)
    served(port, 5)
    served(second, 7)
    site.becomes(14)  # each was asked once before, whether it is there
    killed.kill()
    killed.wait(10)
    until(lambda: f"The process {killed.pid} has died" in site.said())
    written(tmp_path)
    collector.kill()
    collector.wait(10)
    served(port, 3)  # while nobody collects
    seen = [14.0]
    until(lambda: seen.append(site.count()) or seen[-1] == 17)
    assert all(count in (-1, *range(14, 18)) for count in seen), seen
    written(tmp_path)
    first.kill()
    first.wait(10)
    collector = site.serve(**store)
    assert site.count() == 17
    assert stat.S_IMODE((tmp_path / "history.sqlite3-totals-a").stat().st_mode) == 0o600
    assert "failed" not in site.said()


def test_who_takes_its_place_knows_what_it_has_served(site: Processes, tmp_path: Path) -> None:
    store = {"CHERRYPY_MONITOR_STORE_PATH": str(tmp_path / "history.sqlite3")}
    collector, first = site.site(**store)
    _, second = site.site(**store)
    served(first, 5)
    served(second, 5)
    site.becomes(12)
    written(tmp_path)
    collector.kill()
    collector.wait(10)
    site.becomes(12)
    served(second, 5)
    site.becomes(17)
    # And one that ends by itself leaves all that it has.
    _, third = site.site(**store)
    served(third, 5)
    site.becomes(23)
    site.running[1].send_signal(signal.SIGTERM)
    site.running[1].wait(20)
    site.becomes(23)


# -- what is in the files --------------------------------------------------------------------------


def snapshot(worker: str, born: float, requests: int, number: int = 3) -> Snapshot:
    made = Snapshot(worker, born, time.time(), number)
    made.counts[REQUESTS, ("",)] = requests
    made.counts[PROCESSOR, ("user",)] = 1.5
    for _ in range(requests):
        made.spreads.setdefault((WAIT, ("ram",)), totals_spread()).observe(0.25)
    made.details = {"errors": [error(worker)], "slow": [], "inflight": [{"route": "/"}]}
    return made


def totals_spread() -> Any:
    from cherrypy.monitor.histograms import Spread

    return Spread(WAIT.scale)


def error(kind: str) -> dict[str, Any]:
    texts = {"type": kind, "route": "/", "code": "500", "message": "", "traceback": "in page"}
    return {**texts, "count": 1, "first": 1.0, "last": 2.0}


def counted(site: Site) -> tuple[float, int, float]:
    merged = site.merged()
    processor = sum(n for (metric, _), n in merged.counts.items() if metric is PROCESSOR)
    return merged.counts[REQUESTS, ("",)], merged.spreads[WAIT, ("ram",)].count, processor


def busy_site(processes: int = 150) -> Site:
    """One of which processes have ended, and two still live."""
    site = Site()
    for number in range(processes):
        site.take(snapshot(str(number), float(number), 1))
        site.leave(str(number))
    site.take(snapshot("7", 1000.0, 20))
    site.take(snapshot("8", 1000.0, 30))
    return site


def kept(site: Site, tmp_path: Path) -> totals.Totals:
    monitor = Monitor(Bus())
    monitor.site = site
    return totals.Totals(monitor, str(tmp_path / "store"))


def restored(tmp_path: Path) -> Site:
    site = Site()
    kept(site, tmp_path).load()
    return site


def test_what_was_counted_comes_back_once(tmp_path: Path) -> None:
    before = busy_site()
    kept(before, tmp_path).write()
    for _ in range(3):
        again = restored(tmp_path)
        assert counted(again) == counted(before) == (200, 200, 152 * 1.5)
        assert again.merged(seen=True).counts[REQUESTS, ("",)] == 0
        kept(again, tmp_path).write()
    again.take(snapshot("7", 1000.0, 25, number=9))  # it lives still
    assert counted(again)[0] == 205
    again.take(snapshot("8", 2000.0, 1, number=0))  # another of the same name
    assert counted(again)[0] == 206
    assert [one["type"] for one in again.left("errors") if one["worker"] == "0 (gone)"] == ["0"]
    names = [one["worker"] for one in again.left("errors")]
    assert (len(names), len(set(names))) == (151, 150)  # "8" has had two lives
    assert again.state()[0] <= before.state()[0]


def test_a_thousand_that_live_come_back_whenever_they_do(tmp_path: Path) -> None:
    before = Site()
    for number in range(1000):
        before.take(snapshot(str(number), 5.0, 1))
    kept(before, tmp_path).write()
    again = restored(tmp_path)
    for number in range(1000):
        again.take(snapshot(str(number), 5.0, 2, number=9))
        if number == 500:
            again.take(snapshot("x", 1.0, 1))
            again.leave("x")
    assert counted(again)[0] == 2001
    assert len([one for one in again.left("errors") if one["worker"] != "x (gone)"]) == 0


def test_who_has_come_back_before_is_not_counted_twice(tmp_path: Path) -> None:
    kept(busy_site(0), tmp_path).write()
    again = Site()
    again.take(snapshot("7", 1000.0, 22, number=5))
    kept(again, tmp_path).load()
    assert counted(again)[0] == 22 + 30


def test_who_has_collected_before_does_not_count_it_twice(tmp_path: Path) -> None:
    """The engine was stopped and is started again; meanwhile another one may have collected."""
    first = busy_site()
    kept(first, tmp_path).write()
    kept(first, tmp_path).load()
    assert counted(first)[0] == 200
    other = restored(tmp_path)
    other.take(snapshot("9", 1000.0, 50))
    kept(other, tmp_path).write()
    kept(first, tmp_path).load()
    assert counted(first)[0] == 250
    errors = [one["worker"] for one in first.left("errors")]
    assert len(errors) == 151  # those of 7 and 8 are not gone here


def test_what_is_switched_off_is_kept_as_well(tmp_path: Path) -> None:
    before = busy_site(0)
    less = Snapshot("7", 1000.0, time.time(), 4)
    less.selection = 1
    before.take(less)
    kept(before, tmp_path).write()
    assert counted(restored(tmp_path))[0] == 50


def test_other_programs_count_other_things_and_there_is_an_end_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_GONE", 1)
    monkeypatch.setattr(module, "AWAITED", -1.0)
    metric = METRICS["cherrypy.http_errors"]
    site = Site()
    for number in range(300):
        made = Snapshot(str(number), float(number), time.time(), 1)
        for other in range(20):
            made.counts[metric, (f"{number}-{other}", "app")] = 1
        site.take(made)
        site.leave(str(number))
        if number % 100 == 50:
            kept(site, tmp_path).write()
            site = restored(tmp_path)
    found = {labels: n for (one, labels), n in site.merged().counts.items() if one is metric}
    assert sum(found.values()) == 6000
    assert len(found) <= module.GENERATIONS * metric.most + 21
    assert found[(OVERFLOW, OVERFLOW)] > 3000


@pytest.mark.parametrize("harm", ["cut", "other", "empty", "magic", "huge", "both"])
def test_a_file_that_is_not_whole_is_not_believed(tmp_path: Path, harm: str) -> None:
    before = busy_site(3)
    keeper = kept(before, tmp_path)
    keeper.write()
    before.take(snapshot("9", 1000.0, 50))
    keeper.write()
    newer = Path(keeper.paths[keeper.number % 2])
    data = newer.read_bytes()
    broken = {
        "cut": data[: len(data) // 2],
        "other": data[:-1] + bytes([data[-1] ^ 1]),
        "empty": b"",
        "magic": b"x" + data[1:],
        "huge": data[:32] + b"\xff" * 8 + data[40:],
        "both": b"rubbish",
    }
    newer.write_bytes(broken[harm])
    if harm == "both":
        Path(keeper.paths[(keeper.number + 1) % 2]).write_bytes(os.urandom(500))
    said: list[str] = []
    again = kept(Site(), tmp_path)
    again.monitor.broken = lambda what, error=None: said.append(what)  # type: ignore[method-assign]  # heard here
    again.load()
    if harm == "both":
        assert again.monitor.site.merged().counts == {}
        assert len(said) == 2
    else:
        assert counted(again.monitor.site)[0] == 53
        assert len(said) == (harm != "empty")
    again.monitor.site.take(snapshot("9", 1000.0, 60, number=9))
    again.write()
    assert counted(restored(tmp_path))[0] == (60 if harm == "both" else 113)


def test_where_there_is_no_room_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = busy_site(3)
    keeper = kept(before, tmp_path)
    said: list[str] = []
    keeper.monitor.broken = lambda what, error=None: said.append(what)  # type: ignore[method-assign]  # heard here
    keeper.write()
    plain = os.write

    def full(descriptor: int, data: Any) -> int:
        if len(data) > 100:
            return plain(descriptor, data[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    for _ in range(3):
        keeper.write()
    assert said == ["totals"] * 3
    assert counted(restored(tmp_path))[0] == 53
    monkeypatch.undo()
    before.take(snapshot("9", 1000.0, 50))
    keeper.write()
    assert counted(restored(tmp_path))[0] == 103


WRITER = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
import test_monitor_processes_totals as t
site = t.busy_site(20)
keeper = t.kept(site, Path(sys.argv[1]))
keeper.write()
print("ready", flush=True)
number = 4
while True:
    number += 1
    site.take(t.snapshot("7", 1000.0, number * 10, number=number))
    keeper.write()
"""


def test_whenever_it_is_killed_the_files_are_whole(tmp_path: Path) -> None:
    last = 0.0
    for round_ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER.format(here=str(HERE)), str(tmp_path)],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(0.02 + 0.011 * round_)
        writer.kill()
        writer.wait(10)
        writer.stdout.close()
        monitor_site = Site()
        keeper = kept(monitor_site, tmp_path)
        said: list[str] = []
        keeper.monitor.broken = lambda what, error=None, said=said: said.append(what)  # type: ignore[method-assign]  # heard here
        keeper.load()
        assert len(said) <= 1  # that which it was at
        now = counted(monitor_site)[0]
        assert now >= 50 + 20
        last = max(last, now)
        for path in keeper.paths:
            Path(path).unlink(missing_ok=True)
    assert last > 70
