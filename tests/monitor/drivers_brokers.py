"""Servers that drivers of messages and databases are tested on, each of a test's own: RabbitMQ, MariaDB."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "lib"))

from session_kit import Server, command, free_port, until

#: Seconds that a server may take to start on a machine that has other things to do; tests of one have
#: `SLOWLY`, as the first of them waits for it.
LONG = 240
SLOWLY = pytest.mark.timeout(2 * LONG)


def _user(name: str) -> dict[str, Any]:
    """Arguments for a process of a user with fewer rights, for root."""
    if os.getuid() != 0:
        return {}
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        found = pwd.getpwnam("nobody")
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


class Ended(Exception):
    """A server has ended while it was waited for: somebody has taken its port."""


class Broker(Server):
    """A server on ports that nobody else had when they were looked for."""

    port = 0

    def start(self) -> None:
        for attempt in range(3):
            try:
                self.launch_on(free_port())
                until(self.answers, LONG)
                return
            except Ended:
                self.end()
                if attempt == 2:
                    raise

    def launch_on(self, port: int) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """End what was launched."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise Ended(type(self).__name__)
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
        return self.greets()

    def greets(self) -> bool:
        """Whether a client of it is let in."""
        raise NotImplementedError

    def close(self) -> None:
        self.end()
        super().close()


class RabbitServer(Broker):
    """RabbitMQ, with a node, a port mapper and folders of its own."""

    names: Any = None  # epmd, which tells nodes where others are

    def launch_on(self, port: int) -> None:
        self.port = port
        program = command("rabbitmq-server")
        plain = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # Debian's changes to a user and a folder
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.folder,
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"kirsch{os.getpid()}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": os.path.join(self.folder, "data"),
            "RABBITMQ_LOG_BASE": os.path.join(self.folder, "log"),
            "RABBITMQ_CONFIG_FILE": os.path.join(self.folder, "none"),
            "RABBITMQ_CONF_ENV_FILE": os.path.join(self.folder, "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": os.path.join(self.folder, "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +SDio 4",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server: one process to end
        }
        self.names = self.run([command("epmd")], environment)
        self.process = self.run([plain if os.path.exists(plain) else program], environment)

    def run(self, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        none = subprocess.DEVNULL
        return subprocess.Popen(
            arguments, cwd=self.folder, env=environment, stdin=none, stdout=none, stderr=none
        )

    @property
    def parameters(self) -> Any:
        import pika

        return pika.ConnectionParameters("127.0.0.1", self.port, blocked_connection_timeout=20)

    def greets(self) -> bool:
        import pika

        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            pika.BlockingConnection(self.parameters).close()
            return True
        return False

    def end(self) -> None:
        super().end()
        self.names.kill()
        self.names.wait(20)


@pytest.fixture(scope="module")
def rabbit() -> Iterator[RabbitServer]:
    server = RabbitServer()
    yield server
    server.close()


class MariaServer(Broker):
    """MariaDB, on a port and a socket."""

    def launch_on(self, port: int) -> None:
        user = _user("mysql")
        self.port = port
        self.path = os.path.join(self.folder, "s")
        data = os.path.join(self.folder, "data")
        if user:
            os.chown(self.folder, user["user"], user["group"])
        if not os.path.exists(data):
            made = [
                *(command("mariadb-install-db"), "--no-defaults", f"--datadir={data}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
            ]
            none = subprocess.DEVNULL
            subprocess.run(
                made, cwd=self.folder, check=True, timeout=LONG, stdout=none, stderr=none, **user
            )
        self.launch(**user)

    def arguments(self) -> list[str]:
        return [
            *(command("mariadbd"), "--no-defaults"),
            f"--datadir={os.path.join(self.folder, 'data')}",
            *(f"--socket={self.path}", f"--port={self.port}", "--bind-address=127.0.0.1"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=8M"),
            "--skip-name-resolve",
        ]

    @property
    def how(self) -> dict[str, Any]:
        """What a client connects with."""
        return {"host": "127.0.0.1", "port": self.port, "user": "root", "database": "mysql"}

    def greets(self) -> bool:
        import pymysql

        with contextlib.suppress(pymysql.Error):
            pymysql.connect(**self.how, connect_timeout=5).close()
            return True
        return False


@pytest.fixture(scope="module")
def maria() -> Iterator[MariaServer]:
    server = MariaServer()
    yield server
    server.close()
