"""The listener: a small server of the dashboard's own, apart from those of the site."""

from __future__ import annotations

import errno
import ipaddress
from typing import Any

from kirsch import Server
from kirsch.server.listeners import describe, parse_bind

#: Ports that are tried after the one that was asked for.
MORE = 9

#: Enough for people who look and machines that ask; the site has the rest of the process.
SETTINGS: dict[str, Any] = {
    "threads": 2,
    "threads_max": 6,
    "queue_size": 32,
    "backlog": 64,
    "max_body": 64 * 1024,
    "max_head": 16 * 1024,
    "max_request_line": 8192,
    "max_fields": 64,
    "body_timeout": 5.0,
    "head_timeout": 5.0,
    "write_timeout": 20.0,
    "keep_alive_timeout": 30.0,
    "shutdown_timeout": 1.0,
    "pollers": 1,
    "socket_mode": 0o600,
}


def is_local(listen: str) -> bool:
    """Whether an address is reached from this machine alone. Raises ValueError for what is none."""
    bind = parse_bind(listen)
    if isinstance(bind, str):
        return bind.startswith("unix:")
    host = bind[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_server(listen: str, gateway: Any, log: Any, **settings: Any) -> Server:
    """Return a server that serves, on the port that was asked for or the next one that is free.

    Raises OSError when none of them is.
    """
    bind = parse_bind(listen)
    more = MORE if isinstance(bind, tuple) and bind[1] else 0
    for number in range(more + 1):
        here = (bind[0], bind[1] + number) if isinstance(bind, tuple) else bind
        server = Server(here, gateway=gateway, log=log, **{**SETTINGS, **settings})
        try:
            server.start()
            return server
        except OSError as error:
            if error.errno != errno.EADDRINUSE or number == more or here[1] == 65535:
                raise
    raise AssertionError("not reached")


def url_of(server: Server) -> str:
    """Return where a server is found."""
    return describe(server.bound_addresses[0], server.scheme)
