"""A Redis of the tests' own, and processes that serve WebSockets and share it."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from websocket_site import until

from cherrypy.websocket.client import Client, connect

PROGRAM = Path(__file__).with_name("relay_site.py")


def server_command() -> str:
    """The command of Redis; without it the test is skipped, in CI failed."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("redis-server is not installed")
    return found


class RedisServer:
    """One `redis-server` on a unix socket of its own; can be killed, frozen and started again."""

    def __init__(self, *options: str) -> None:
        self.command = server_command()
        self.folder = tempfile.mkdtemp(prefix="redis-")
        self.path = os.path.join(self.folder, "s")
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def start(self) -> None:
        import redis

        arguments = ["--port", "0", "--unixsocket", self.path, "--save", "", *self.options]
        self.process = subprocess.Popen(
            [self.command, *arguments],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def answers() -> bool:
            try:
                with self.client() as client:
                    return bool(client.ping())
            except redis.exceptions.AuthenticationError:
                return True
            except redis.RedisError:
                return False

        assert until(answers, 15), "redis-server did not start"

    def client(self, **more: Any) -> Any:
        import redis

        return redis.Redis(unix_socket_path=self.path, socket_timeout=5, **more)

    def subscribers(self, channel: str = "cherrypy.websocket") -> int:
        """How many processes listen."""
        import redis

        try:
            with self.client() as client:
                return int(client.pubsub_numsub(channel)[0][1])
        except redis.RedisError:
            return -1

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.thaw()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Process:
    """A process that serves `relay_site.py`."""

    def __init__(self, url: str, folder: Path, name: str, **settings: Any) -> None:
        self.log_file = folder / f"{name}.log"
        with open(self.log_file, "wb") as log:
            entries = [f"{key}={value!r}" for key, value in settings.items()]
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", str(PROGRAM), url, *entries],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        self.clients: list[Client] = []
        served = until(lambda: re.search(r"Serving on http://[\d.]+:(\d+)", self.log()), 15)
        if not served:
            self.close()
        assert served, self.log()
        self.port = int(served[1])

    def log(self) -> str:
        return self.log_file.read_text("utf-8")

    def connect(self, path: str) -> Client:
        client = connect(f"ws://127.0.0.1:{self.port}{path}")
        self.clients.append(client)
        assert client.recv() == "in"
        return client

    def ask(self, page: str, **query: Any) -> str:
        """Ask a page; its words."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", f"/{page}?{urlencode(query)}")
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert answer.status == 200, text
        return text

    def carried(self) -> bool:
        return self.ask("connected") == "True"

    def stop(self) -> float:
        """Have it end by itself; how long that took."""
        for client in self.clients:
            client.sock.close()
        began = time.monotonic()
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(20) == 0, self.log()
        return time.monotonic() - began

    def close(self) -> None:
        for client in self.clients:
            client.sock.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        assert self.process.stdin is not None
        self.process.stdin.close()
