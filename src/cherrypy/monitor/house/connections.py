"""Connections: each is counted when it comes, when it goes, and when the server has to refuse it.

What is done here costs a connection, or a refusal, some microseconds; a request costs nothing.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from kirsch.server.link import BODY, READING, Link
from kirsch.server.output import Pending
from kirsch.server.server import Server
from kirsch.wire import errors

from ..table import requests as r
from ..table import servers as s
from .house import House
from .servers import label_of

#: The beginning of what the server answers, and what is wrong then.
REASONS: tuple[tuple[str, str], ...] = (
    (errors.BAD_REQUEST_LINE + ": bad version", "version"),
    ("Cannot fulfill request", "version"),
    (errors.BAD_REQUEST_LINE, "request_line"),
    (errors.BAD_METHOD_NAME, "request_line"),
    (errors.BAD_TARGET, "request_line"),
    (errors.BAD_PATH, "request_line"),
    (errors.CONNECT_TARGET, "request_line"),
    (errors.FRAGMENT, "request_line"),
    (errors.HOST_REQUIRED, "host"),
    ("Malformed Host", "host"),
    ("Malformed Content-Length", "content_length"),
    ("Content-Length", "content_length"),
    ("Transfer-Encoding", "transfer_encoding"),
    (errors.LINE_TOO_LONG, "too_large"),
    (errors.HEAD_TOO_LARGE, "too_large"),
    (errors.BODY_TOO_LARGE, "too_large"),
)

NOT_TLS = "This port speaks HTTPS only."  # see `kirsch.server.tls`, which few need
_TOO_LARGE = (413, 414, 431)
_NO_PARSING = (408, 503)  # a peer that is slow, or one too many


def reason_of(status: int, text: str) -> str:
    """Return in one word what is wrong with a request that the server refuses."""
    for words, reason in REASONS:
        if text.startswith(words):
            return reason
    return "too_large" if status in _TOO_LARGE else "header"


class Connections:
    """What happens to the connections of the servers that are watched."""

    def __init__(self, house: House) -> None:
        self.servers = house.monitor.servers

    def came(self, conn: Any, group: Any, *rest: Any) -> None:
        """A connection was accepted."""
        if group.server in self.servers:
            s.SERVER_CONNECTIONS_ACCEPTED.add(1, (label_of(conn.listener),))

    def goes(self, conn: Any) -> Any:
        """Why a connection is about to end, if anybody wants to know."""
        group = conn.group
        if group.server not in self.servers:
            return None
        cause = conn.cause
        if cause:
            if cause == "timeout" and conn.state == READING and not conn.buffer and conn.served:
                cause = "keepalive_timeout"
        elif group.closing:
            cause = "shutdown"
        elif not conn.keep_alive:
            cause = "response"
        else:
            cause = "client"
            if conn.state == BODY:
                r.REQUEST_ABORTED.add(1, ("read",))
        return cause

    def gone(self, conn: Any, cause: str) -> None:
        """A connection has ended."""
        listener = (label_of(conn.listener),)
        s.SERVER_CONNECTIONS_CLOSED.add(1, (cause,))
        s.SERVER_CONNECTION_DURATION.observe(time.monotonic() - conn.born, listener)
        s.SERVER_CONNECTION_REQUESTS.observe(float(conn.served), listener)

    def refused(self, conn: Any, status: int, text: str, *rest: Any) -> None:
        """The server itself answers an error."""
        if conn.group.server not in self.servers or status < 400:
            return
        r.HTTP_ERRORS.add(1, (str(status), "server"))
        parsing = status < 500 or status in (501, 505)
        if parsing and status not in _NO_PARSING and not text.startswith(NOT_TLS):
            s.SERVER_PARSE_ERRORS.add(1, (reason_of(status, text),))


def begin(house: House) -> None:
    """Count them."""
    of = Connections(house)
    broken = house.monitor.broken

    def close(conn: Any, worker: Any) -> None:
        if conn.fd < 0:
            ended(conn, worker)  # was closed before
            return
        cause = None
        try:
            cause = of.goes(conn)
        except Exception as error:
            broken("house.close", error)
        ended(conn, worker)
        if cause is not None:
            try:
                of.gone(conn, cause)
            except Exception as error:
                broken("house.close", error)

    def by_sendfile(pending: Any, conn: Any) -> Any:
        before = pending.sent
        try:
            return flush(pending, conn)
        finally:
            if conn.plain and pending.sent > before:
                s.SERVER_SENDFILE_SENT.add(pending.sent - before)

    ended = house.patches.replace(Link, "close", close)
    flush = house.patches.replace(Pending, "_flush_file", by_sendfile)
    house.after(Link, "__init__", lambda conn, group, *rest: of.came(conn, group))
    house.before(Link, "refuse", of.refused)
    if "kirsch.server.tls" in sys.modules:
        handshakes(house)
    house.after(Server, "load_tls", lambda server: server.tls and handshakes(house))


def handshakes(house: House) -> object:
    """Count those too, now that somebody speaks TLS; who does not is spared OpenSSL."""
    from . import handshakes as rooms

    if house not in rooms.watching:
        rooms.begin(house)
    return house
