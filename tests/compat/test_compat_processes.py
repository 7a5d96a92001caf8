"""Whole processes: scripts, signals, ``python -m cherrypy``, autoreload, failures, restarts."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from compat_process import PYTHON, Program, free_port, get, listening, wait_for, write

SCRIPT = """
import cherrypy, os, sys

class Root:
    @cherrypy.expose
    def index(self):
        return 'pid %d %s' % (os.getpid(), cherrypy.engine.state)

    @cherrypy.expose
    def exit(self):
        cherrypy.engine.exit()
        return 'exiting'

    @cherrypy.expose
    def restart(self):
        cherrypy.engine.restart()
        return 'restarting'

    @cherrypy.expose
    def graceful(self):
        cherrypy.engine.graceful()
        return 'graceful'

    @cherrypy.expose
    def interrupt(self):
        raise KeyboardInterrupt()

    @cherrypy.expose
    def systemexit(self):
        raise SystemExit(3)

    @cherrypy.expose
    def callback(self):
        return str(os.environ.get('CALLED'))

def note(what):
    def listener():
        with open('notes.txt', 'a') as f:
            f.write(what + ' ')
    return listener

for channel in ('start', 'stop', 'graceful', 'exit'):
    cherrypy.engine.subscribe(channel, note(channel))

cherrypy.config.update({
    'server.socket_host': '127.0.0.1', 'server.socket_port': int(sys.argv[1]),
    'engine.autoreload.on': False, 'checker.on': False})
"""
QUICK = SCRIPT + "cherrypy.quickstart(Root())\nprint('after quickstart')\n"


def script(folder: Path, text: str = QUICK, **env: str) -> tuple[Program, int]:
    port = free_port()
    write(folder, "app.py", text)
    return Program(folder, "app.py", str(port), **env), port


def notes(folder: Path) -> list[str]:
    path = folder / "notes.txt"
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_quickstart_ends_on_a_signal_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    program, port = script(tmp_path)
    with program:
        program.listens(port)
        assert get(port) == (200, f"pid {program.process.pid} states.STARTED")
        program.send(number)
        assert program.ends() == 0
        assert not listening(port)
        text = program.text()
        for line in ("Bus STARTING", "Bus STARTED", "Bus STOPPING", "Bus STOPPED", "Bus EXITED"):
            assert line in text, text
        assert "after quickstart" in text
        assert f"Serving on http://127.0.0.1:{port}" in text
    assert notes(tmp_path) == ["start", "stop", "exit"]


def test_an_idle_connection_does_not_delay_the_end(tmp_path: Path) -> None:
    import http.client

    program, port = script(tmp_path)
    with program:
        program.listens(port)
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        conn.request("GET", "/")
        conn.getresponse().read()
        start = time.monotonic()
        program.send(signal.SIGTERM)
        assert program.ends() == 0
        assert time.monotonic() - start < 7
        conn.close()


def test_exit_from_a_handler(tmp_path: Path) -> None:
    program, port = script(tmp_path)
    with program:
        program.listens(port)
        assert get(port, "/exit") == (200, "exiting")
        assert program.ends() == 0


def test_sigusr1_is_graceful(tmp_path: Path) -> None:
    program, port = script(tmp_path)
    with program:
        program.listens(port)
        program.send(signal.SIGUSR1)
        wait_for(lambda: "graceful" in notes(tmp_path), "the graceful channel")
        wait_for(lambda: listening(port), "the port again")
        assert get(port)[1] == f"pid {program.process.pid} states.STARTED"
        program.send(signal.SIGTERM)
        assert program.ends() == 0


def test_sighup_ends_what_is_no_daemon(tmp_path: Path) -> None:
    program, port = script(tmp_path)
    with program:
        program.listens(port)
        program.send(signal.SIGHUP)
        assert program.ends() == 0
        assert "Bus EXITED" in program.text()


def test_restart_from_a_handler_re_executes(tmp_path: Path) -> None:
    program, port = script(tmp_path)
    with program:
        program.listens(port)
        get(port, "/restart")
        wait_for(lambda: program.text().count("Bus STARTED") == 2, "the second start")
        assert notes(tmp_path).count("start") == 2
        assert get(port) == (200, f"pid {program.process.pid} states.STARTED")
        program.send(signal.SIGTERM)
        assert program.ends() == 0


@pytest.mark.parametrize("path", ["/interrupt", "/systemexit"])
def test_interrupts_raised_by_a_handler_end_the_process_without_an_answer(
    tmp_path: Path, path: str
) -> None:
    import http.client

    program, port = script(tmp_path)
    with program:
        program.listens(port)
        with pytest.raises((http.client.BadStatusLine, ConnectionError)):
            get(port, path)
        program.ends()
        assert not listening(port)


def test_screen_log_can_be_silenced(tmp_path: Path) -> None:
    text = SCRIPT + "cherrypy.config.update({'log.screen': False})\ncherrypy.quickstart(Root())\n"
    program, port = script(tmp_path, text)
    with program:
        program.listens(port)
        assert get(port)[0] == 200
        assert get(port, "/nothing")[0] == 404
        program.send(signal.SIGTERM)
        assert program.ends() == 0
        assert program.text() == ""


def test_screen_log_prints_once(tmp_path: Path) -> None:
    program, port = script(tmp_path)
    with program:
        program.listens(port)
        get(port, "/?nothing=1")
        program.send(signal.SIGTERM)
        assert program.ends() == 0
        lines = program.text().splitlines()
    assert len([x for x in lines if "GET /?nothing=1 HTTP/1.1" in x]) == 1
    assert len([x for x in lines if "ENGINE Bus STARTED" in x]) == 1


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    first, port = script(tmp_path)
    with first:
        first.listens(port)
        with Program(tmp_path, "app.py", str(port)) as second:
            assert second.ends() != 0
            text = second.text()
            assert str(port) in text
            assert "127.0.0.1" in text
        assert get(port)[0] == 200
        first.send(signal.SIGTERM)
        assert first.ends() == 0


def test_a_failing_start_listener_ends_non_zero(tmp_path: Path) -> None:
    text = SCRIPT + (
        "def boom():\n    raise RuntimeError('will not start')\n"
        "cherrypy.engine.subscribe('start', boom)\ncherrypy.quickstart(Root())\n"
    )
    program, port = script(tmp_path, text)
    with program:
        assert program.ends() != 0
        assert "will not start" in program.text()
        assert not listening(port)


MODULE = """
import cherrypy

class Root:
    @cherrypy.expose
    def index(self):
        return 'from module'

cherrypy.tree.mount(Root(), '/', {'/': {}})
"""
CONF = """
[global]
server.socket_host: '127.0.0.1'
server.socket_port: %d
checker.on: False
log.screen: False
engine.autoreload.on: %s
log.error_file: 'error.log'
"""


@pytest.mark.parametrize("way", ["module", "cherryd"])
def test_python_m_cherrypy(tmp_path: Path, way: str) -> None:
    port = free_port()
    write(tmp_path, "served.py", MODULE)
    write(tmp_path, "site.conf", CONF % (port, False))
    command = ["-m", "cherrypy"]
    if way == "cherryd":
        path = Path(PYTHON).parent / "cherryd"
        if not path.exists():
            pytest.skip("cherryd is not installed here")
        command = [str(path)]
    with Program(tmp_path, *command, "-i", "served", "-c", "site.conf", "-p", "the.pid") as program:
        program.listens(port)
        assert get(port) == (200, "from module")
        wait_for((tmp_path / "the.pid").exists, "the pid file")
        assert int((tmp_path / "the.pid").read_text()) == program.process.pid
        program.send(signal.SIGTERM)
        assert program.ends() == 0
        assert not (tmp_path / "the.pid").exists()
        assert "Bus EXITED" in (tmp_path / "error.log").read_text()


def test_python_m_cherrypy_start_error_is_non_zero(tmp_path: Path) -> None:
    write(
        tmp_path,
        "failing.py",
        "import cherrypy\n@cherrypy.engine.subscribe('start', priority=6)\n"
        "def boom():\n    raise ValueError('no')\n",
    )
    write(tmp_path, "site.conf", CONF % (free_port(), False))
    with Program(tmp_path, "-m", "cherrypy", "-i", "failing", "-c", "site.conf") as program:
        assert program.ends() not in (0, None)


def test_python_m_cherrypy_daemonizes(tmp_path: Path) -> None:
    port = free_port()
    write(tmp_path, "served.py", MODULE)
    write(tmp_path, "site.conf", CONF % (port, False))
    pid_file = tmp_path / "the.pid"
    with Program(
        tmp_path, "-m", "cherrypy", "-d", "-i", "served", "-c", "site.conf", "-p", str(pid_file)
    ) as program:
        assert program.ends() == 0
        pid = int(wait_for(lambda: pid_file.exists() and pid_file.read_text(), "the pid file"))
        try:
            assert pid != program.process.pid
            wait_for(lambda: listening(port), "the daemon")
            assert get(port) == (200, "from module")
        finally:
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not listening(port), "the daemon to end")
        wait_for(lambda: not pid_file.exists(), "the pid file to go")


def test_autoreload_notices_a_touched_file(tmp_path: Path) -> None:
    port = free_port()
    path = write(tmp_path, "served.py", MODULE)
    write(tmp_path, "site.conf", CONF % (port, True))
    with Program(tmp_path, "-m", "cherrypy", "-i", "served", "-c", "site.conf") as program:
        program.listens(port)
        assert get(port) == (200, "from module")
        # The file is seen for the first time within a second of the start.
        time.sleep(1.3)
        path.write_text(MODULE.replace("from module", "changed"))
        later = time.time() + 5
        os.utime(path, (later, later))
        start = time.monotonic()

        def changed() -> bool:
            try:
                return get(port)[1] == "changed"
            except OSError:
                return False

        wait_for(changed, "the changed page")
        assert time.monotonic() - start < 4  # two to notice, two to start again
        log = tmp_path / "error.log"
        wait_for(lambda: log.read_text().count("Bus STARTED") == 2, "the second start")
        program.send(signal.SIGTERM)
        assert program.ends() == 0


REPEATED = (
    SCRIPT
    + """
cherrypy.config.update({'log.screen': False})
import threading, time, urllib.request
cherrypy.tree.mount(Root())
before = threading.active_count()
for i in range(10):
    cherrypy.engine.start()
    assert cherrypy.engine.state == cherrypy.engine.states.STARTED
    with urllib.request.urlopen('http://127.0.0.1:%s/' % sys.argv[1], timeout=5) as page:
        assert b'STARTED' in page.read()
    cherrypy.engine.exit()
    assert cherrypy.engine.state == cherrypy.engine.states.EXITING, cherrypy.engine.state
cherrypy.engine.exit()
cherrypy.engine.exit()
deadline = time.monotonic() + 5  # the thread of a monitor is told to end and not waited for
while threading.active_count() > before and time.monotonic() < deadline:
    time.sleep(0.01)
print('ten times', threading.active_count() - before)
"""
)


def test_the_engine_starts_and_exits_many_times_on_one_port(tmp_path: Path) -> None:
    program, _port = script(tmp_path, REPEATED)
    with program:
        status = program.ends()
        assert program.text().endswith("ten times 0\n"), program.text()[-2000:]
        assert status == 0


def test_start_with_callback(tmp_path: Path) -> None:
    text = SCRIPT + (
        "cherrypy.tree.mount(Root())\n"
        "def called(word, again=''):\n"
        "    with open('called.txt', 'w') as f: f.write(word + again)\n"
        "    cherrypy.engine.exit()\n"
        "cherrypy.engine.start_with_callback(called, args=('yes',), kwargs={'again': '!'})\n"
        "cherrypy.engine.block()\n"
    )
    program, _port = script(tmp_path, text)
    with program:
        assert program.ends() == 0, program.text()
    assert (tmp_path / "called.txt").read_text() == "yes!"


def test_a_foreign_thread_does_not_keep_a_stopped_server_from_answering_block(
    tmp_path: Path,
) -> None:
    """Daemon threads are not waited for."""
    text = SCRIPT + (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "cherrypy.quickstart(Root())\n"
    )
    program, port = script(tmp_path, text)
    with program:
        program.listens(port)
        start = time.monotonic()
        program.send(signal.SIGTERM)
        assert program.ends() == 0
        assert time.monotonic() - start < 7


def test_wait_blocks_until_a_state(tmp_path: Path) -> None:
    text = SCRIPT + (
        "import threading\ncherrypy.tree.mount(Root())\ncherrypy.config.update({'log.screen': False})\n"
        "seen = []\n"
        "def watch():\n"
        "    cherrypy.engine.wait(cherrypy.engine.states.STARTED, interval=0.01)\n"
        "    seen.append('started')\n"
        "    cherrypy.engine.wait([cherrypy.engine.states.EXITING])\n"
        "    seen.append('exiting')\n"
        "t = threading.Thread(target=watch); t.start()\n"
        "cherrypy.engine.start()\n"
        "import time\n"
        "while not seen: time.sleep(0.01)\n"
        "cherrypy.engine.exit(); t.join(5)\nprint(seen)\n"
    )
    program, _port = script(tmp_path, text)
    with program:
        assert program.ends() == 0
        assert program.text() == "['started', 'exiting']\n"


def test_start_up_is_quick(tmp_path: Path) -> None:
    start = time.monotonic()
    program, port = script(tmp_path)
    with program:
        program.listens(port)
        assert time.monotonic() - start < 5
        program.send(signal.SIGTERM)
        program.ends()


@pytest.mark.skipif(sys.platform == "win32", reason="only on systems with execv")
def test_in_flight_requests_finish_on_sigterm(tmp_path: Path) -> None:
    import threading

    text = QUICK.replace(
        "    @cherrypy.expose\n    def exit",
        "    @cherrypy.expose\n    def slow(self):\n        import time\n"
        "        open('slow.txt', 'w').close()\n        time.sleep(1)\n        return 'slow done'\n\n"
        "    @cherrypy.expose\n    def exit",
        1,
    )
    program, port = script(tmp_path, text)
    with program:
        program.listens(port)
        found: list[tuple[int, str]] = []
        thread = threading.Thread(target=lambda: found.append(get(port, "/slow")))
        thread.start()
        wait_for((tmp_path / "slow.txt").exists, "the slow handler")
        program.send(signal.SIGTERM)
        thread.join(10)
        assert found == [(200, "slow done")]
        assert program.ends() == 0
