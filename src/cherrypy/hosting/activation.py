"""Sockets that a service manager has opened for us (sd_listen_fds(3)): which server takes which.

As CherryPy does, a server takes them without being told. A port is one server's alone.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from kirsch.server.listeners import activation_fds

from ..framework.site import site

if TYPE_CHECKING:
    from .adapter import Server

__all__ = ("binds_of",)


def binds_of(adapter: Server, address: tuple[str, int] | str) -> Any:
    """Return what a server of this adapter binds: an address, or a list of passed sockets.

    A server whose address is that of a passed socket takes it. `cherrypy.server` takes those that no
    server has the address of, if there are any, in place of its own. `'fd://3'` and `'LISTEN_FDS'`,
    as `socket_file`, name passed sockets outright.
    """
    if isinstance(address, str) and (address == "LISTEN_FDS" or address.startswith("fd://")):
        return [address]
    passed = {fd: _address(fd) for fd in activation_fds()}
    mine = [fd for fd, there in passed.items() if there == address]
    if not mine and adapter is site.server:
        others = {other.bind_addr for other in site.servers.values() if other is not adapter}
        mine = [fd for fd, there in passed.items() if there is not None and there not in others]
    if mine:
        return [f"fd://{fd}" for fd in mine]
    return f"unix:{address}" if isinstance(address, str) else address


def _address(fd: int) -> Any:
    """Return the address of a passed socket that streams; None for anything else."""
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            if sock.type != socket.SOCK_STREAM:
                return None
            name = sock.getsockname()
    except OSError:
        return None
    return tuple(name[:2]) if isinstance(name, tuple) else name
