"""`cherryd` and `python -m cherrypy`: every option, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from compat_process import PYTHON, Program, free_port, get, listening, wait_for, write
from gateway_clients import fastcgi, scgi, split

needs_flup = pytest.mark.skipif(find_spec("flup") is None, reason="flup is not installed")

MODULE = """
import cherrypy, os, sys

class Root:
    @cherrypy.expose
    def index(self, **params):
        cherrypy.response.headers['X-Here'] = 'yes'
        return 'from %s %s' % (__name__, sorted(params.items()))

    @cherrypy.expose
    def facts(self):
        return repr([
            os.getpid(), cherrypy.config.get('environment'), cherrypy.config.get('mine'),
            cherrypy.request.app.config.get('/', {}).get('own'),
            os.isatty(0), os.getcwd()])

cherrypy.tree.mount(Root(), MOUNT, {'/': {}})
"""
CONF = """
[global]
server.socket_host: '127.0.0.1'
server.socket_port: %d
checker.on: False
engine.autoreload.on: False
log.screen: False
log.error_file: 'error.log'
mine: 'first'

[/]
own: 'merged'
"""


def prepared(folder: Path, mount: str = "''") -> int:
    port = free_port()
    write(folder, "served.py", MODULE.replace("MOUNT", mount))
    write(folder, "site.conf", CONF % port)
    return port


def refused(folder: Path, *args: str, **env: str) -> str:
    """What a command that must not start says."""
    with Program(folder, "-m", "cherrypy", *args, **env) as program:
        assert program.ends() == 1
        text = program.text()
    assert "Traceback" not in text
    return text


@pytest.fixture
def daemons() -> object:
    pids: list[int] = []
    yield pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def test_several_modules_and_files_and_long_options(tmp_path: Path) -> None:
    port = prepared(tmp_path)
    (tmp_path / "lib").mkdir()
    write(tmp_path / "lib", "other.py", MODULE.replace("MOUNT", "'/other'"))
    write(tmp_path, "more.conf", "[global]\nmine: 'second'\n[/]\nextra: 1\n")
    options = "--import served --import other --config site.conf --config more.conf --Path lib"
    more = "--pidfile my.pid --environment staging"
    with Program(tmp_path, "-m", "cherrypy", *options.split(), *more.split()) as program:
        program.listens(port)
        assert get(port) == (200, "from served []")
        assert get(port, "/other/?a=1") == (200, "from other [('a', '1')]")
        pid = program.process.pid
        facts = [pid, "staging", "second", "merged", False, str(tmp_path)]
        assert get(port, "/other/facts") == (200, repr(facts))
        assert (tmp_path / "my.pid").read_text() == f"{pid}\n"
        program.send(signal.SIGTERM)
        assert program.ends() == 0
    assert not (tmp_path / "my.pid").exists()


def test_the_environment_wins_over_the_files(tmp_path: Path) -> None:
    port = prepared(tmp_path)
    write(tmp_path, "screen.conf", "[global]\nlog.screen: True\nlog.error_file: 'error.log'\n")
    command = "-m cherrypy -i served -c site.conf -c screen.conf -e production"
    with Program(tmp_path, *command.split()) as program:
        program.listens(port)
        get(port)
        program.send(signal.SIGTERM)
        assert program.ends() == 0
        # production has no screen; but what a file says comes before it in the command.
        assert "GET /" in program.text() or program.text() == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("-i nowhere", "Cannot import 'nowhere': No module named 'nowhere'"),
        ("-i served.inner", "Cannot import 'served.inner'"),
        ("-c nowhere.conf", "Cannot read the configuration: "),
        ("-e nowhere", "No environment 'nowhere': there are staging, production, "),
        ("-f -s", "You may only specify one of the cgi, fastcgi, and scgi options."),
    ],
)
def test_what_cannot_be_is_said_in_a_line(tmp_path: Path, args: str, said: str) -> None:
    write(tmp_path, "served.py", "")
    text = refused(tmp_path, *args.split())
    assert said in text
    assert len(text.splitlines()) == 1


def test_an_error_within_a_module_keeps_its_traceback(tmp_path: Path) -> None:
    write(tmp_path, "broken.py", "import nowhere_else\n")
    with Program(tmp_path, "-m", "cherrypy", "-i", "broken") as program:
        assert program.ends() == 1
        text = program.text()
    assert "broken.py" in text
    assert "nowhere_else" in text


def test_help_and_version(tmp_path: Path) -> None:
    for args, said in (["--help"], "--pidfile"), (["--version"], "CherryPy 18.10.0"):
        with Program(tmp_path, "-m", "cherrypy", *args) as program:
            assert program.ends() == 0
            assert said in program.text()
    with Program(tmp_path, "-m", "cherrypy", "--nonsense") as program:
        assert program.ends() == 2


def test_a_daemon_and_its_restart(tmp_path: Path, daemons: list[int]) -> None:
    """In the background it has no terminal, and a SIGHUP has it start anew."""
    port = prepared(tmp_path)
    command = "-m cherrypy -d -i served -c site.conf -p the.pid"
    pid_file = tmp_path / "the.pid"
    with Program(tmp_path, *command.split()) as program:
        assert program.ends() == 0
        assert program.text() == ""

    def pid() -> int:
        return int(pid_file.read_text()) if pid_file.exists() and pid_file.read_text() else 0

    def served_by() -> int:
        try:
            status, text = get(port, "/facts")
        except OSError:
            return 0
        return int(text[1:].partition(",")[0]) if status == 200 else 0

    first = wait_for(pid, "the pid file")
    daemons.append(first)
    wait_for(lambda: served_by() == first, "the daemon")
    assert os.getsid(first) != os.getsid(0)
    assert os.getsid(first) != first  # no session leader: it never gets a terminal
    for fd in range(3):
        assert os.readlink(f"/proc/{first}/fd/{fd}") == "/dev/null"
    wait_for(lambda: "Bus STARTED" in (tmp_path / "error.log").read_text(), "the start")
    os.kill(first, signal.SIGHUP)
    second = wait_for(lambda: (served_by() not in (0, first)) and served_by(), "the next one")
    daemons.append(second)
    wait_for(lambda: pid() == second, "the pid of the next one")
    assert second != program.process.pid
    wait_for(
        lambda: (tmp_path / "error.log").read_text().count("Bus STARTED") == 2, "the second start"
    )
    os.kill(second, signal.SIGTERM)
    wait_for(lambda: not listening(port) and not pid_file.exists(), "its end")


@pytest.mark.parametrize(("option", "word"), [("-f", "FastCGI"), ("-s", "SCGI")])
def test_without_flup_it_is_said_before_anything_happens(
    tmp_path: Path, option: str, word: str
) -> None:
    # As if it were not installed: an import hook that finds nothing of that name.
    write(
        tmp_path,
        "sitecustomize.py",
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'flup': raise ModuleNotFoundError(name)\n"
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'flup' else real(name, *a)\n",
    )
    text = refused(tmp_path, "-d", option, "-p", "the.pid")
    assert text == f"{word} needs the package flup, which is not here: pip install flup\n"
    assert not (tmp_path / "the.pid").exists()


@needs_flup
@pytest.mark.parametrize(("option", "ask"), [("-f", fastcgi), ("-s", scgi)])
def test_fastcgi_and_scgi(tmp_path: Path, option: str, ask: Callable[..., tuple[str, str]]) -> None:
    port = prepared(tmp_path)
    command = f"-m cherrypy {option} -i served -c site.conf -p the.pid"
    with Program(tmp_path, *command.split()) as program:
        wait_for(lambda: listening(port), f"the port; {program.text()}")
        assert ask(port, "/") == ("200 OK", "from served []")
        status, body = ask(port, "/", "POST", b"a=1&b=%C3%BC", "c=3")
        assert (status, body) == ("200 OK", "from served [('a', '1'), ('b', 'ü'), ('c', '3')]")
        assert ask(port, "/nowhere")[0] == "404 Not Found"
        assert ask(port, "/facts")[1].startswith(f"[{program.process.pid}, ")
        # It answers before the bus has started; who ends it then has ended a start.
        wait_for(lambda: "Bus STARTED" in (tmp_path / "error.log").read_text(), "the start")
        program.send(signal.SIGTERM)
        assert program.ends() == 0
        assert not (tmp_path / "the.pid").exists()
        log = (tmp_path / "error.log").read_text()
    assert "Bus EXITED" in log
    assert "Traceback" not in log


@needs_flup
@pytest.mark.parametrize(
    "when", ["Bus STARTING", "Serving on", "listening", "listening", "listening"]
)
def test_who_ends_a_daemon_that_is_starting_ends_its_server(tmp_path: Path, when: str) -> None:
    """At once, wherever its start is: the thread of flup's server has to end as well."""
    port = prepared(tmp_path)
    log = tmp_path / "error.log"
    command = "-m cherrypy -f -i served -c site.conf -p the.pid"
    with Program(tmp_path, *command.split()) as program:
        if when == "listening":
            wait_for(lambda: listening(port), f"the port; {program.text()}")
        else:
            wait_for(lambda: log.exists() and when in log.read_text(), when)
        program.send(signal.SIGTERM)
        assert program.ends() == 0, log.read_text()
        assert not (tmp_path / "the.pid").exists()
        text = log.read_text()
    assert "Bus EXITED" in text
    assert "in spite of" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("screen", [False, True])
def test_cgi_is_one_request_and_the_end(tmp_path: Path, screen: bool) -> None:
    """What would be logged to the screen must not be part of the answer."""
    port = prepared(tmp_path)
    write(tmp_path, "site.conf", CONF.replace("screen: False", f"screen: {screen}") % port)
    body = b"a=1"
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))
    }
    env |= {
        "PYTHONPATH": str(tmp_path),
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "b=2",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "shop.example",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
    }
    done = subprocess.run(
        [PYTHON, "-m", "cherrypy", "-x", "-i", "served", "-c", "site.conf"],
        cwd=tmp_path,
        env=env,
        input=body,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert split(done.stdout) == ("200 OK", "from served [('a', '1'), ('b', '2')]")
    assert "Bus EXITED" in (tmp_path / "error.log").read_text()


def test_the_installed_command_is_the_same(tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "cherryd"
    done = subprocess.run(
        [str(command), "--help"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0
    for option in ("-c", "-d", "-e", "-f", "-s", "-x", "-i", "-p", "-P"):
        assert f"  {option}" in done.stdout
