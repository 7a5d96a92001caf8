"""Listening sockets: every way to name one, bound without probes, with errors that name the address."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
from collections.abc import Iterable, Iterator
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, where there are no unix sockets to take over
    fcntl = None  # type: ignore[assignment]  # a module or nothing

Bind = Any  # (host, port) | 'host:port' | 'unix:/path' | 'fd://N' | socket, or a list of these
LISTEN_FDS_START = 3  # sd_listen_fds(3)


class Listener:
    """One listening socket and what the server must know of it."""

    __slots__ = ("address", "dead", "environ", "family", "fd", "inode", "owner", "path", "sock")

    def __init__(self, sock: socket.socket, path: str | None = None, owner: str = "us") -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.family = sock.family
        self.path = path  # of the unix socket that we made and must remove
        self.owner = owner  # 'us', or whose it stays: the 'descriptor' passed to us, a 'caller'
        self.inode = os.stat(path).st_ino if path else 0
        self.address = sock.getsockname()
        self.dead = False  # closed or shut down by somebody else
        self.environ: dict[str, Any] | None = None  # what the WSGI gateway keeps here
        sock.setblocking(False)

    def close(self) -> None:
        """Stop listening; remove the file of our own unix socket unless somebody replaced it."""
        if self.path is not None:
            try:
                if os.stat(self.path).st_ino == self.inode:
                    os.unlink(self.path)
            except OSError:
                pass
        if self.owner == "descriptor":
            self.sock.detach()  # the number stays open: it is what a restart will be told again
        elif self.owner == "us":
            self.sock.close()


def describe(address: Any, scheme: str = "http") -> str:
    """An address in words for logs: ``http://127.0.0.1:8080`` or ``unix:/run/app.sock``."""
    if isinstance(address, tuple):
        host, port = address[0], address[1]
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    if isinstance(address, bytes):
        address = address.decode("utf-8", "replace")
    return f"unix:{address}"


def split_binds(bind: Bind) -> list[Bind]:
    """One bind or a list of them, as a list (a (host, port) tuple is one)."""
    if isinstance(bind, tuple) and len(bind) == 2 and isinstance(bind[1], int):
        return [bind]
    if isinstance(bind, (str, bytes, socket.socket)) or not isinstance(bind, Iterable):
        return [bind]
    return list(bind)


def parse_bind(text: str) -> tuple[str, int] | str:
    """Read 'host:port', '[v6]:port', ':port', 'unix:/path', 'fd://N'; ValueError for anything else."""
    if text.startswith(("unix:", "fd://")):
        return text
    if text.startswith("/"):
        return "unix:" + text
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"not an address: {text!r} (expected host:port, unix:/path or fd://N)")
    return host.strip("[]"), int(port)


def open_listener(bind: Bind, *, backlog: int, nodelay: bool, mode: int | None) -> list[Listener]:
    """Listen where `bind` says (one listener, more only for LISTEN_FDS).

    Raises OSError whose message names the address, ValueError for what is no address.
    """
    if isinstance(bind, socket.socket):
        return [adopt(bind, backlog, nodelay, "caller")]
    if isinstance(bind, bytes):
        bind = os.fsdecode(bind)
    if isinstance(bind, str):
        if bind == "LISTEN_FDS":
            fds = activation_fds()
            if not fds:
                raise OSError(errno.EBADF, "LISTEN_FDS: no sockets were passed to this process")
            return [adopt(open_fd(fd), backlog, nodelay, "descriptor") for fd in fds]
        bind = parse_bind(bind)
        if isinstance(bind, str):
            if bind.startswith("unix:"):
                return [listen_unix(bind[5:], backlog, mode)]
            number = bind[5:]
            if not number.isdigit():
                raise ValueError(f"not a descriptor: {bind!r}")
            return [adopt(open_fd(int(number)), backlog, nodelay, "descriptor")]
    host, port = bind
    if not 0 <= port <= 65535:  # getaddrinfo would take it modulo 65536
        raise ValueError(f"not a port: {port!r} (expected 0 to 65535)")
    return [listen_tcp(host or "", port, backlog, nodelay)]


def activation_fds() -> list[int]:
    """The descriptors a service manager passed to this very process (LISTEN_PID, LISTEN_FDS)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = os.environ.get("LISTEN_FDS", "0")
    return list(range(LISTEN_FDS_START, LISTEN_FDS_START + int(count))) if count.isdigit() else []


def open_fd(fd: int) -> socket.socket:
    """The listening socket behind a descriptor that this process inherited."""
    try:
        os.fstat(fd)
        return socket.socket(fileno=fd)
    except OSError as error:
        raise OSError(error.errno, f"fd://{fd} is not a socket: {error.strerror}") from None


def adopt(sock: socket.socket, backlog: int, nodelay: bool, owner: str) -> Listener:
    """Listen on a socket that somebody else made (and will close)."""
    if nodelay and sock.family != getattr(socket, "AF_UNIX", None):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.listen(backlog)
    return Listener(sock, owner=owner)


def listen_tcp(host: str, port: int, backlog: int, nodelay: bool) -> Listener:
    """Bind and listen on TCP; '::' (and '' where the system has IPv6) takes IPv4 too."""
    try:
        if host == "" and socket.has_ipv6 and socket.has_dualstack_ipv6():
            family, address = socket.AF_INET6, ("::", port, 0, 0)
        else:
            flags = socket.AI_PASSIVE
            found = socket.getaddrinfo(host or None, port, 0, socket.SOCK_STREAM, 0, flags)
            family, address = found[0][0], found[0][4]  # type: ignore[assignment]  # getaddrinfo gives either kind
    except socket.gaierror as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # So that a restart need not wait for TIME_WAIT; on Windows it would allow theft.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        if nodelay:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by accept()
        if family == socket.AF_INET6:
            dual = address[0] == "::"
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        sock.bind(address)
        sock.listen(backlog)
        return Listener(sock)
    except OSError as error:
        sock.close()
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise _bind_error(error, where, port) from None


def listen_unix(path: str, backlog: int, mode: int | None) -> Listener:
    """Bind and listen on a unix socket; a file nobody listens on any more is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _one_at_a_time(path):
            if _is_socket(path) and not _is_served(path):
                os.unlink(path)
            sock.bind(path)
            if mode is not None:
                os.chmod(path, mode)
            sock.listen(backlog)
        return Listener(sock, path=path if not path.startswith("\0") else None)
    except OSError as error:
        sock.close()
        raise _bind_error(error, f"unix:{path}", None) from None


@contextlib.contextmanager
def _one_at_a_time(path: str) -> Iterator[None]:
    """Keep two servers from taking over one stale file: the later would unlink the living one.

    A lock on the directory, held for a moment; where there is none to be had it goes without.
    """
    fd = -1
    if fcntl is not None and not path.startswith("\0"):
        with contextlib.suppress(OSError):
            fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
            until = time.monotonic() + 2
            while time.monotonic() < until:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.01)
    try:
        yield
    finally:
        if fd >= 0:
            os.close(fd)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _is_served(path: str) -> bool:
    """Whether somebody listens on a unix socket.

    The kernel's list spares a living neighbour a connection that says nothing; it knows only our own
    network namespace, so a name it lacks is tried before the file is called stale.
    """
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as lines:
            if any(line.rstrip("\n").endswith(" " + path) for line in lines):
                return True
    except OSError:
        pass
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.settimeout(1)
        probe.connect(path)
        return True
    except ConnectionRefusedError:
        return False
    except OSError:
        return True
    finally:
        probe.close()


def _bind_error(error: OSError, where: str, port: int | None) -> OSError:
    text = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE and port:
        pid = port_owner(port)
        if pid is not None:
            text += f" (by process {pid})"
    return OSError(error.errno, f"cannot listen on {where}: {text}")


def port_owner(port: int) -> int | None:
    """The process that listens on a TCP port, when /proc shows it; a best effort."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as lines:
                for line in lines:
                    cells = line.split()
                    # 0A is TCP_LISTEN in the kernel's table.
                    if len(cells) > 9 and cells[3] == "0A" and cells[1].endswith(f":{port:04X}"):
                        inodes.add(f"socket:[{cells[9]}]")
        except OSError:
            pass
    if not inodes:
        return None
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") in inodes:
                    return int(pid)
        except OSError:
            continue
    return None
