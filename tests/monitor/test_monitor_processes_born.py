"""However a process of the site comes to be, it is counted once, under a name of its own: a fork without an
exec, a spawned one, one that has replaced itself, a daemon."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import processes_kit
import pytest
from processes_kit import HERE, Processes, ask, free_port, until

#: Several processes begin and end in each, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Processes]:
    yield from processes_kit.processes(tmp_path)


def served(port: int, times: int) -> str:
    """Ask for a page, and return the last answer: the id of the process."""
    answer = ""
    for _ in range(times):
        answer = ask(port)
        assert answer
    return answer


def program(folder: Path, text: str) -> str:
    path = folder / "program.py"
    path.write_text(f"import sys\nsys.path.insert(0, {str(HERE)!r})\n{text}")
    return str(path)


FORK = """
import os, signal, threading
from wsgiref.simple_server import WSGIRequestHandler, make_server
import cherrypy
from site_program import Root, configure

port, others, socket, dashboard = sys.argv[1:]
configure(socket, dashboard)
cherrypy.config.update({"server.socket_port": int(port), "server.socket_host": "127.0.0.1"})
cherrypy.engine.signals.subscribe()
cherrypy.tree.mount(Root())
cherrypy.engine.start()

class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass

def child(port):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    make_server("127.0.0.1", port, cherrypy.tree, handler_class=Quiet).serve_forever()

children = []
for other in others.split(","):
    pid = os.fork()
    if not pid:
        try:
            child(int(other))
        finally:
            os._exit(1)
    children.append(pid)
print("children", *children, flush=True)
cherrypy.engine.subscribe("stop", lambda: [os.kill(pid, signal.SIGKILL) for pid in children])
cherrypy.engine.block()
"""


def test_forked_without_an_exec(site: Processes, tmp_path: Path) -> None:
    """The parent collects, serves and forks while its threads run; the children serve by a server of others."""
    port, *others = (free_port() for _ in range(3))
    listen = f"127.0.0.1:{site.dashboard}"
    arguments = (str(port), ",".join(map(str, others)), site.socket, listen)
    parent = site.start(program(tmp_path, FORK), *arguments)
    until(lambda: re.search(r"children (\d+) (\d+)", site.said()) or parent.poll() is not None)
    assert parent.poll() is None, site.said()
    for one in (port, *others):
        until(lambda one=one: ask(one, "/nowhere"))
    site.becomes(3)
    answered = [served(one, number) for one, number in zip((port, *others), (5, 7, 9), strict=True)]
    children = re.search(r"children (\d+) (\d+)", site.said())
    assert children is not None
    assert answered == [str(parent.pid), children[1], children[2]]
    site.becomes(24)
    os.kill(int(children[1]), signal.SIGKILL)
    until(lambda: f"The process {children[1]} has died" in site.said())
    served(port, 1)
    served(others[1], 1)
    site.becomes(26)
    assert "failed" not in site.said()


SPAWN = """
import multiprocessing, os, signal, time

def serve(port, socket, dashboard):
    import cherrypy
    from site_program import Root, configure

    configure(socket, dashboard)
    cherrypy.config.update({"server.socket_port": port, "server.socket_host": "127.0.0.1"})
    cherrypy.engine.signals.subscribe()
    cherrypy.tree.mount(Root())
    cherrypy.engine.start()
    cherrypy.engine.block()

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    made = [
        context.Process(target=serve, args=(int(port), *sys.argv[2:]))
        for port in sys.argv[1].split(",")
    ]
    for process in made:
        process.start()
    print("spawned", *(process.pid for process in made), flush=True)
    signal.signal(signal.SIGTERM, lambda *args: [process.terminate() for process in made])
    for process in made:
        process.join()
"""


def test_spawned(site: Processes, tmp_path: Path) -> None:
    """By multiprocessing, which begins each with a fresh interpreter."""
    ports = [free_port() for _ in range(3)]
    listen = f"127.0.0.1:{site.dashboard}"
    arguments = (",".join(map(str, ports)), site.socket, listen)
    parent = site.start(program(tmp_path, SPAWN), *arguments)
    for port in ports:
        until(lambda port=port: ask(port, "/nowhere") or parent.poll() is not None, 40)
    assert parent.poll() is None, site.said()
    site.becomes(3)
    pids = [served(port, 4) for port in ports]
    assert len(set(pids)) == 3
    site.becomes(15)
    seen = re.search(r"spawned (\d+) (\d+) (\d+)", site.said())
    assert seen is not None and list(seen.groups()) == pids
    # One that collects is killed: another takes its place, with what the two have counted.
    collecting = next(
        pid for pid in pids if f'worker="{pid}"' in site.metrics() and holds(site, pid)
    )
    os.kill(int(collecting), signal.SIGKILL)
    site.becomes(10)
    assert "failed" not in site.said()


def holds(site: Processes, pid: str) -> bool:
    """Whether a process has the lock of the one that collects."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") == site.socket + ".lock":
                return True
        except OSError:
            continue
    return False


RELOADED = """
import cherrypy
import reloaded
from site_program import Root, configure

port, socket, dashboard = sys.argv[1:]
configure(socket, dashboard)
cherrypy.config.update({
    "server.socket_port": int(port), "server.socket_host": "127.0.0.1",
    "engine.autoreload.on": True, "engine.autoreload.frequency": 0.1,
    "engine.autoreload.match": "reloaded",
})
cherrypy.engine.signals.subscribe()
Root.life = cherrypy.expose(lambda self: reloaded.LIFE)
cherrypy.tree.mount(Root())
cherrypy.engine.start()
cherrypy.engine.block()
"""


@pytest.mark.parametrize("alone", [True, False])
def test_replaced_by_a_new_version(site: Processes, tmp_path: Path, alone: bool) -> None:
    """The autoreloader's exec: the same process id, and another life. What it was is counted once."""
    store = {"CHERRYPY_MONITOR_STORE_PATH": str(tmp_path / "history.sqlite3")}
    if not alone:
        site.serve()
    module = tmp_path / "reloaded.py"
    module.write_text("LIFE = 'first'\n")
    port = free_port()
    arguments = (str(port), site.socket, f"127.0.0.1:{site.dashboard}")
    process = site.start(program(tmp_path, RELOADED), *arguments, **(store if alone else {}))
    until(lambda: ask(port, "/life") or process.poll() is not None)
    assert process.poll() is None, site.said()
    total = 0.0
    for life in ("second", "third life", "the last"):
        pid = served(port, 5)
        total += 5
        comes_to(site, total)
        if life == "the last":
            break
        module.write_text(f"LIFE = {life!r}\n")
        stamp = time.time() + 10  # another one, however coarse the file system's clock is
        os.utime(module, (stamp, stamp))
        until(lambda life=life: answers(port) == life)
        assert pid == str(process.pid)
    assert "failed" not in site.said()


def comes_to(site: Processes, number: float) -> None:
    """Wait until so many answers of the page `/` are counted: others were asked for to see who is there."""
    name = "http_server_request_duration_seconds_count"
    until(lambda: site.count(name, http_route="/") == number)


def answers(port: int) -> str:
    """Which life answers; each answer is counted."""
    time.sleep(0.2)
    return ask(port, "/life")


def test_a_daemon(site: Processes, tmp_path: Path) -> None:
    """It forks twice while the engine starts; what is collected is the last one's."""
    site.serve()
    port, pidfile = free_port(), tmp_path / "pid"
    (tmp_path / "shop.py").write_text(
        f"import sys\nsys.path.insert(0, {str(HERE)!r})\nimport cherrypy\n"
        "from site_program import Root\ncherrypy.tree.mount(Root())\n"
    )
    (tmp_path / "site.conf").write_text(
        f"[global]\nserver.socket_host: '127.0.0.1'\nserver.socket_port: {port}\n"
        f"engine.autoreload.on: False\nlog.error_file: {str(tmp_path / 'daemon.log')!r}\n"
        f"[monitor]\non: True\nsocket: {site.socket!r}\n"
        f"dashboard.listen: '127.0.0.1:{site.dashboard}'\n"
    )
    words = ("-P", str(tmp_path), "-i", "shop", "-c", str(tmp_path / "site.conf"))
    starter = site.start("-m", "cherrypy", *words, "-d", "-p", str(pidfile))
    assert starter.wait(40) == 0, site.said()
    pid = int(until(lambda: pidfile.exists() and pidfile.read_text().strip()))
    try:
        # It serves a moment before it is watched.
        until(lambda: ask(port, "/settings") and site.count() > 0)
        assert served(port, 5) == str(pid)
        comes_to(site, 5)
        assert f'worker="{pid}"' in site.metrics()
    finally:
        os.kill(pid, signal.SIGKILL)
    until(lambda: f"The process {pid} has died" in site.said())
    comes_to(site, 5)
    assert "failed" not in site.said()
