"""The process, the interpreter, the bus and the monitor itself."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from monitored import Monitored, until

import cherrypy
from cherrypy.monitor.house import process as rooms
from cherrypy.monitor.house.buses import HANDED_ON, Restarts
from cherrypy.monitor.house.interpreter import Collections
from cherrypy.process.plugins import BackgroundTask, SimplePlugin

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only on Linux")


class Root:
    @cherrypy.expose
    def index(self) -> str:
        return "home"

    @cherrypy.expose
    async def later(self) -> str:
        await asyncio.sleep(0.05)
        return "later"

    @cherrypy.expose
    async def clumsy(self) -> str:
        time.sleep(0.3)  # and all other coroutines wait
        return "clumsy"


# -- the process --------------------------------------------------------------------------------------


def test_processor_and_memory() -> None:
    of = rooms.Process()
    before = of.cpu()
    began = time.monotonic()
    end = time.thread_time() + 0.15
    while time.thread_time() < end:
        pass
    after = of.cpu()
    assert 0.1 <= sum(after.values()) - sum(before.values()) < 2.0
    # A busy machine may have given it less than a processor.
    assert 0.5 * 0.15 / (time.monotonic() - began) < of.utilization()[()] < 4.0
    data = bytearray(60_000_000)
    data[::4096] = b"x" * len(data[::4096])
    used, peak = of.memory(1)[()], of.peak()[()]
    assert 60_000_000 < used <= peak * 1.1
    assert of.memory(0)[()] > used
    del data


@LINUX
def test_what_proc_says_is_what_others_say() -> None:
    of = rooms.Process()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert of.threads()[()] == int(status["Threads"])
    assert abs(of.memory(1)[()] - int(status["VmRSS"].split()[0]) * 1024) < 20_000_000
    files = of.descriptors()[()]
    held = [open(os.devnull) for _ in range(7)]  # noqa: SIM115 closed below
    assert of.descriptors()[()] == files + 7
    for file in held:
        file.close()
    import resource

    assert of.descriptor_limit()[()] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    ps = subprocess.run(
        ["ps", "-o", "etimes=", "-p", str(os.getpid())], capture_output=True, text=True, check=False
    )
    if ps.returncode == 0:  # who has no ps has one witness less
        assert abs(time.time() - of.started() - int(ps.stdout)) < 2.5


@LINUX
def test_bytes_of_disks(tmp_path: Path) -> None:
    of = rooms.Process()
    before = of.disk()
    if before:  # not everywhere is this for us to see
        with open(tmp_path / "file", "wb") as file:
            file.write(os.urandom(1_000_000))
            file.flush()
            os.fsync(file.fileno())
        assert of.disk()[("write",)] >= before[("write",)]


def test_a_command_whose_name_is_meant_to_confuse(tmp_path: Path) -> None:
    fields = " ".join(str(number) for number in range(3, 53))
    (tmp_path / "stat").write_text(f"1 (a) R 1 (b) ) {fields}\n")
    assert rooms.Process(str(tmp_path)).threads() == {(): 20.0}


def test_switches_and_faults_grow() -> None:
    of = rooms.Process()
    before = of.switches(), of.faults()
    for _ in range(20):
        time.sleep(0.001)
    assert of.switches()[("voluntary",)] >= before[0][("voluntary",)] + 15
    assert of.faults()[("minor",)] >= before[1][("minor",)]


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    of = rooms.Process(str(tmp_path / "none"))
    of._psutil = None
    assert of.memory(1) == {}
    assert of.disk() == {}
    assert of.threads()[()] >= 1


# -- its container ------------------------------------------------------------------------------------


def test_control_groups(tmp_path: Path) -> None:
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    folder = root / "system.slice" / "app.service"
    folder.mkdir(parents=True)
    proc.mkdir()
    assert rooms.control_group(str(proc), str(root)) is None
    (proc / "cgroup").write_text("1:cpu:/old\n0::/system.slice/app.service\n")
    assert rooms.control_group(str(proc), str(root)) == str(root)  # not to be seen from here
    (folder / "cgroup.procs").write_text("")
    assert rooms.control_group(str(proc), str(root)) == str(folder)
    assert rooms.memory_limit(str(folder)) == {}
    (folder / "memory.max").write_text("max\n")
    assert rooms.memory_limit(str(folder)) == {}
    (folder / "memory.max").write_text("536870912\n")
    assert rooms.memory_limit(str(folder)) == {(): 536870912.0}
    assert rooms.throttled(str(folder)) == {}
    (folder / "cpu.stat").write_text("usage_usec 5\nnr_throttled 3\nthrottled_usec 2500000\n")
    assert rooms.throttled(str(folder)) == {(): 2.5}
    (folder / "cpu.stat").write_text("throttled_usec lots\n")
    assert rooms.throttled(str(folder)) == {}
    assert rooms.memory_limit(None) == rooms.throttled(None) == {}


# -- the interpreter ----------------------------------------------------------------------------------


def test_collections_of_garbage(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    before = site.series("cpython.gc.collections")
    pauses = site.counts("cherrypy.gc.pause.duration").get(("2",), 0)
    for _ in range(3):
        gc.collect()
    assert site.series("cpython.gc.collections")[("2",)] == before[("2",)] + 3
    assert site.counts("cherrypy.gc.pause.duration")[("2",)] == pauses + 3
    assert set(site.series("cherrypy.gc.tracked_objects")) == {("0",), ("1",), ("2",)}
    site.monitor.stop()
    assert not [call for call in gc.callbacks if isinstance(call, Collections)]


def test_threads_that_wake_up_late(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    until(lambda: site.counts("cherrypy.runtime.wakeup_delay").get((), 0) >= 3)
    delay = site.series("cherrypy.runtime.wakeup_delay")[()]
    assert 0 <= delay.most < 10
    assert [thread for thread in threading.enumerate() if thread.name == "monitor-sleeper"]
    site.monitor.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "monitor-sleeper"]


def test_what_a_sleeper_has_not_counted_yet_is_counted_at_its_end(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    sleeper = next(one for one in threading.enumerate() if one.name == "monitor-sleeper")
    site.monitor.stop()
    assert not sleeper.is_alive()
    assert site.counts("cherrypy.runtime.wakeup_delay")[()] >= 1


def test_an_event_loop_that_is_late(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    assert site.counts("cherrypy.runtime.loop_lag") == {}
    assert site.ask("/later") == (200, b"later")
    until(lambda: site.counts("cherrypy.runtime.loop_lag").get((), 0) >= 2)
    assert site.ask("/clumsy") == (200, b"clumsy")
    until(lambda: site.series("cherrypy.runtime.loop_lag")[()].most > 0.15)


def test_what_runs_here(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    ((facts, value),) = site.series("cherrypy.runtime.info").items()
    assert value == 1
    assert facts[0] == sys.version.split()[0].rstrip("+") or facts[0] in sys.version
    assert facts[3] == cherrypy.__version__


def test_every_source_gives_numbers_of_its_labels(site: Monitored) -> None:
    from cherrypy.monitor.metrics import METRICS

    site.mount(Root())
    site.start(level=2)
    site.ask()
    asked = 0
    for metric in METRICS.values():
        if metric.source is not None:
            asked += 1
            for labels, value in metric.source().items():
                assert len(labels) == len(metric.labels), metric
                assert all(isinstance(label, str) for label in labels), metric
                assert value == float(value), metric
    assert asked > 50


# -- the bus ------------------------------------------------------------------------------------------


def test_states_of_the_bus(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    assert site.counts("cherrypy.bus.state") == {("STARTED",): 1}
    assert site.counts("cherrypy.bus.transitions") == {("STARTED",): 1}
    assert site.counts("cherrypy.apps.mounted") == {(): 1}
    took = site.series("cherrypy.app.startup.duration")[()]
    assert 0 < took < 3600
    cherrypy.engine.stop()
    assert site.counts("cherrypy.bus.transitions") == {("STARTED",): 1, ("STOPPING",): 1}


def test_listeners_that_fail(site: Monitored) -> None:
    def broken(*args: Any) -> None:
        raise ValueError("a listener")

    site.mount(Root())
    site.start(level=2)
    cherrypy.engine.subscribe("house-test", broken)
    try:
        for _ in range(2):
            with pytest.raises(cherrypy.process.wspbus.ChannelFailures):
                cherrypy.engine.publish("house-test")
    finally:
        cherrypy.engine.unsubscribe("house-test", broken)
    assert site.counts("cherrypy.bus.listener.errors") == {("house-test",): 2}
    assert site.counts("cherrypy.bus.publish.duration")[("house-test",)] == 2


def test_plugins_by_their_state(site: Monitored) -> None:
    class Quiet(SimplePlugin):
        def start(self) -> None:
            pass

    class Dead(Quiet):
        thread = threading.Thread(target=lambda: None)

    Dead.thread.start()
    Dead.thread.join()
    plugins = [Quiet(cherrypy.engine), Dead(cherrypy.engine)]
    task = cherrypy.process.plugins.Monitor(cherrypy.engine, lambda: None, 0.05, name="Tick")
    for plugin in (*plugins, task):
        plugin.subscribe()
    try:
        site.mount(Root())
        site.start()
        found = site.counts("cherrypy.plugin.state")
        assert found["Quiet", "subscribed"] == found["Dead", "failed"] == 1
        assert found["Tick", "running"] == 1
    finally:
        cherrypy.engine.exit()
        for plugin in (*plugins, task):
            plugin.unsubscribe()


def test_work_in_the_background(site: Monitored) -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        time.sleep(0.02)
        if len(calls) == 2:
            raise ValueError("once")

    site.mount(Root())
    site.start()
    task = BackgroundTask(0.02, work, bus=cherrypy.engine)
    task.name = "counting"
    task.start()
    until(lambda: len(calls) >= 4)
    task.cancel()
    task.join(5)
    assert site.counts("cherrypy.monitor_task.runs") == {
        ("counting", "ok"): len(calls) - 1,
        ("counting", "error"): 1,
    }
    took = site.series("cherrypy.monitor_task.duration")[("counting",)]
    assert took.count == len(calls) and took.total >= 0.02 * len(calls)


def test_restarts_by_the_autoreloader_are_known_to_the_next_life(monkeypatch: Any) -> None:
    monkeypatch.delenv(HANDED_ON, raising=False)
    first = Restarts()
    assert first.count == 0
    first.again()
    first.again()
    assert Restarts().count == 2 and time.time() - Restarts().at < 5
    pid, _, rest = os.environ[HANDED_ON].partition(":")
    monkeypatch.setenv(HANDED_ON, f"{int(pid) + 1}:{rest}")  # somebody else's
    assert Restarts().count == 0
    for wrong in ("", "x", f"{pid}", f"{pid}:x:y", f"{pid}:-1:"):
        monkeypatch.setenv(HANDED_ON, wrong)
        assert Restarts().count == 0


RELOADED = """
import sys, time, cherrypy
class Root:
    @cherrypy.expose
    def index(self):
        m = cherrypy.engine.monitor
        snapshot = m.taker.take()
        numbers = [value for (metric, _), value in [*snapshot.counts.items(), *snapshot.gauges.items()]
                   if metric.name in ("cherrypy.autoreload.restarts", "cherrypy.app.startup.duration")]
        return " ".join(map(str, [snapshot.born, *numbers]))
cherrypy.config.update({"server.socket_port": int(sys.argv[1]), "engine.autoreload.on": True, "log.screen": False,
                        "engine.autoreload.frequency": 0.2, "engine.monitor.on": True})
cherrypy.quickstart(Root())
"""


def test_a_process_that_is_replaced(tmp_path: Path) -> None:
    import socket
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = tmp_path / "app.py"
    program.write_text(RELOADED)
    process = subprocess.Popen([sys.executable, str(program), str(port)])

    def ask() -> list[float]:
        try:
            url = f"http://127.0.0.1:{port}/"
            return [float(word) for word in urllib.request.urlopen(url, timeout=5).read().split()]
        except OSError:
            return []

    def lives(but: float = 0.0) -> list[float]:
        # The old one answers on while it ends.
        values = ask()
        return values if len(values) == 3 and values[0] != but else []

    try:
        born, restarts, _ = until(lives, seconds=20)
        assert restarts == 0
        time.sleep(0.3)  # the autoreloader has seen the files
        program.write_text(RELOADED + "\n")
        os.utime(program, (time.time() + 5, time.time() + 5))
        _, restarts, took = until(lambda: lives(born), seconds=20)
        assert restarts == 1 and 0 < took < 15
    finally:
        process.terminate()
        process.wait(20)


# -- the monitor itself -------------------------------------------------------------------------------


def test_what_the_monitor_costs_and_how_many_series_it_has(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    site.ask()
    for _ in range(3):
        site.monitor.beat()
    costs = site.series("cherrypy.monitor.cpu.time")
    assert {labels[0] for labels in costs} >= {"sample", "merge"}
    assert all(0 < value < 10 for value in costs.values())
    series = site.series("cherrypy.monitor.series")
    assert series[("cherrypy.requests",)] == 1
    assert series[("cherrypy.bus.state",)] == 5
    assert site.counts("cherrypy.monitor.snapshots.lost") == {}
    site.monitor.site.lost["another"] = 4
    assert site.counts("cherrypy.monitor.snapshots.lost") == {("another",): 4}
