"""The port helpers of CherryPy before 10.0: whether somebody listens, asked by connecting.

Nothing here uses them: a server that has bound its port needs no other proof.
"""

from __future__ import annotations

import socket
import time
import warnings

__all__ = ("check_port", "client_host", "wait_for_free_port", "wait_for_occupied_port")

TRIES = 50
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "::0": "::1", "::0.0.0.0": "::1"}


def client_host(server_host: str) -> str:
    """Return the host a client on this machine connects to, of one that a server listens on."""
    return _EVERYWHERE.get(server_host, server_host)


def check_port(host: str, port: int | str, timeout: float = 1.0) -> None:
    """Raise OSError when somebody listens on the port, ValueError without a host.

    timeout
        Seconds for each of the host's addresses.
    """
    if not host:
        raise ValueError("Host values of '' or None are not allowed.")
    host = client_host(host)
    try:
        found = socket.getaddrinfo(host, int(port), 0, socket.SOCK_STREAM)
    except socket.gaierror:  # nobody listens where there is no address
        return
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as sock:
                sock.settimeout(timeout)
                sock.connect(address)
        except OSError:
            continue
        raise OSError(
            f"Port {port} is in use on {host}; perhaps the previous httpserver did not shut down "
            "properly."
        )


def _occupied(host: str, port: int | str, timeout: float) -> bool:
    try:
        check_port(host, port, timeout)
    except OSError:
        return True
    return False


def wait_for_free_port(host: str, port: int | str, timeout: float | None = None) -> None:
    """Wait until nobody listens on the port. Raises OSError when that takes too long.

    timeout
        Seconds between two looks, of which there are 50; 0.1 unless given.
    """
    pause = timeout or 0.1
    for _ in range(TRIES):
        if not _occupied(host, port, pause):
            return
        time.sleep(pause)
    raise OSError(f"Port {port!r} not free on {host!r}")


def wait_for_occupied_port(host: str, port: int | str, timeout: float | None = None) -> None:
    """Wait until somebody listens on the port. Raises OSError when that takes too long.

    On a wildcard address that is a warning only: the server may listen on another interface.

    timeout
        Seconds between two looks, of which there are 50; 1 unless given.
    """
    if not host:
        raise ValueError("Host values of '' or None are not allowed.")
    pause = timeout or 1.0
    for _ in range(TRIES):
        if _occupied(host, port, pause):
            return
        time.sleep(pause)
    if client_host(host) == host:
        raise OSError(f"Port {port!r} not bound on {host!r}")
    warnings.warn(f"Unable to verify that the server is bound on {port!r}", stacklevel=2)
