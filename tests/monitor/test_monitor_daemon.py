"""The monitor of a process that goes to the background, or gives up its rights, while it starts."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from export_kit import Program, free_port, get, until

from cherrypy.monitor.plugin import Monitor
from cherrypy.process.plugins import Daemonizer, DropPrivileges
from cherrypy.process.wspbus import Bus

SHOP = """
import cherrypy

class Root:
    @cherrypy.expose
    def index(self):
        return "hello"

cherrypy.tree.mount(Root())
"""


def answers(port: int, path: str) -> str:
    try:
        return get(port, path)[1]
    except OSError:
        return ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only on systems that fork")
def test_a_daemon_is_watched(tmp_path: Path) -> None:
    port, at = free_port(), free_port()
    (tmp_path / "shop.py").write_text(SHOP)
    pidfile = tmp_path / "pid"
    (tmp_path / "site.conf").write_text(
        f"[global]\nserver.socket_host: '127.0.0.1'\nserver.socket_port: {port}\n"
        f"engine.autoreload.on: False\nlog.error_file: {str(tmp_path / 'log')!r}\n"
        f"[monitor]\non: True\ndashboard.listen: '127.0.0.1:{at}'\n"
        f"store.path: {str(tmp_path / 'history.sqlite3')!r}\n"
    )
    words = ["-P", str(tmp_path), "-i", "shop", "-c", "site.conf", "-d", "-p", str(pidfile)]
    starter = Program([sys.executable, "-m", "cherrypy", *words], tmp_path)
    with starter:
        assert starter.ended() == 0, starter.text
    pid = 0
    try:
        pid = until(lambda: pidfile.exists() and int(pidfile.read_text() or 0), 20)
        until(lambda: answers(port, "/") == "hello", 20)
        until(
            lambda: (
                answers(port, "/") == "hello"
                and "cherrypy_requests_total " in answers(at, "/metrics")
            ),
            20,
        )
        assert answers(at, "/-/ready") == "ready\n"
        assert "active threads" not in (tmp_path / "log").read_text()
        assert (tmp_path / "history.sqlite3").exists()
    finally:
        if pid:
            os.kill(pid, signal.SIGTERM)
            until(lambda: not pidfile.exists(), 20, "the end of the daemon")
    log = (tmp_path / "log").read_text()
    assert "failed" not in log, log


@pytest.mark.parametrize("kind", [Daemonizer, DropPrivileges, None])
def test_it_begins_when_the_process_is_what_it_will_be(kind: Any) -> None:
    """Of the plugins that change the process it is the last."""
    bus = Bus()
    monitor = Monitor(bus)
    for name in ("store.path", "dashboard.listen"):
        monitor.settings[name] = False if name == "dashboard.listen" else None
    seen: list[bool] = []
    if kind is not None:
        plugin = kind(bus)
        plugin.start = type(plugin).start.__get__(plugin)
        bus.subscribe("start", plugin.start)
        # What it would do to the tests themselves is not done.
        plugin.finalized = True
        plugin.uid = plugin.gid = plugin.umask = None
    bus.subscribe("start", lambda: seen.append(monitor.running), 64)
    bus.subscribe("start", lambda: seen.append(monitor.running), 79)
    monitor.subscribe()
    try:
        bus.start()
        assert seen == [kind is None, True]
    finally:
        bus.exit()
    assert not monitor.running
