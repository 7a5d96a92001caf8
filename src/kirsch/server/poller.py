"""Pollers: who waits for sockets. Only the holder of the baton waits; any thread may change interests.

Registrations are level-triggered and permanent: the quick path never touches them, and a batch may
be dropped at any point because the next holder is told again.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
import threading
from collections import deque
from typing import Any, Protocol

IN, OUT, ERR, HUP = 1, 4, 8, 16  # the numbers of poll(2) and epoll(7) on Linux
GONE = ERR | HUP
MUTE = 0


class Poller(Protocol):
    """What a worker needs of the kernel's list of sockets."""

    wake_fd: int

    def wait(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """Wait at most `timeout` seconds (-1: for ever) for up to `most` (fd, mask) pairs."""

    def add(self, fd: int, mask: int) -> None: ...

    def arm(self, fd: int, mask: int) -> None:
        """Change what is waited for; MUTE reports nothing but, at most once, that the peer is gone."""

    def listen(self, fd: int) -> None:
        """Add a listening socket, which other pollers may wait for too."""

    def remove(self, fd: int) -> None: ...

    def wake(self) -> None:
        """Make wait() return in whichever thread it runs; any thread may call."""

    def woken(self) -> None:
        """Swallow the wake-up (the holder calls it on an event of wake_fd)."""

    def close(self) -> None: ...


class EpollPoller:
    """epoll(7)."""

    def __init__(self) -> None:
        self.epoll = epoll = select.epoll()
        self.wait = epoll.poll
        self.remove_fd = epoll.unregister
        if hasattr(os, "eventfd"):
            self.wake_fd = self.wake_out = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.wake_fd, self.wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        epoll.register(self.wake_fd, IN)

    def add(self, fd: int, mask: int) -> None:
        self.epoll.register(fd, mask)

    def arm(self, fd: int, mask: int) -> None:
        # A mask of zero would still report hang-ups, again and again; with ONESHOT just once.
        self.epoll.modify(fd, mask or select.EPOLLONESHOT)

    def listen(self, fd: int) -> None:
        self.epoll.register(fd, IN | select.EPOLLEXCLUSIVE)

    def remove(self, fd: int) -> None:
        try:
            self.epoll.unregister(fd)
        except (OSError, ValueError):
            pass  # closed already: the kernel forgot it with the descriptor

    def wake(self) -> None:
        try:
            os.write(self.wake_out, b"\1\0\0\0\0\0\0\0")
        except (BlockingIOError, OSError):
            pass  # full: it is awake; closed: nobody is there

    def woken(self) -> None:
        try:
            os.read(self.wake_fd, 8)
        except (BlockingIOError, OSError):
            pass

    def close(self) -> None:
        os.close(self.wake_fd)
        if self.wake_out != self.wake_fd:
            os.close(self.wake_out)
        self.epoll.close()


class SelectorPoller:
    """`selectors`, for systems without epoll: changes wait in a queue until the holder applies them."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.pending: deque[tuple[int, int | None]] = deque()
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        self.writer.setblocking(False)
        self.wake_fd = self.reader.fileno()
        self.selector.register(self.wake_fd, selectors.EVENT_READ)
        self.holder: int | None = None  # the thread inside wait()

    def wait(self, timeout: float, most: int) -> list[tuple[int, int]]:
        self.holder = threading.get_ident()
        self._apply()
        try:
            events = self.selector.select(None if timeout < 0 else timeout)
        except (OSError, ValueError):
            return []  # a descriptor was closed meanwhile: its removal is pending, look again
        batch = []
        for key, ready in events[:most]:
            mask = 0
            if ready & selectors.EVENT_READ:
                mask |= IN
            if ready & selectors.EVENT_WRITE:
                mask |= OUT
            batch.append((key.fd, mask))
        return batch

    def _apply(self) -> None:
        pending = self.pending
        known: Any = self.selector.get_map()
        while pending:
            fd, mask = pending.popleft()
            events = 0
            if mask:
                events = (selectors.EVENT_READ if mask & IN else 0) | (
                    selectors.EVENT_WRITE if mask & OUT else 0
                )
            try:
                if not events:
                    if fd in known:
                        self.selector.unregister(fd)
                elif fd in known:
                    self.selector.modify(fd, events)
                else:
                    self.selector.register(fd, events)
            except (OSError, ValueError, KeyError):
                pass  # closed between the request and now

    def _change(self, fd: int, mask: int | None) -> None:
        self.pending.append((fd, mask))
        if self.holder != threading.get_ident():
            self.wake()

    def add(self, fd: int, mask: int) -> None:
        self._change(fd, mask)

    arm = add

    def listen(self, fd: int) -> None:
        self._change(fd, IN)

    def remove(self, fd: int) -> None:
        # Selectors remember descriptors, not sockets: forget this one before its number comes back.
        self._change(fd, None)

    def wake(self) -> None:
        try:
            self.writer.send(b"\0")
        except (BlockingIOError, OSError):
            pass

    def woken(self) -> None:
        try:
            self.reader.recv(4096)
        except (BlockingIOError, OSError):
            pass

    def close(self) -> None:
        self.selector.close()
        self.reader.close()
        self.writer.close()


def make_poller(kind: str = "auto") -> Any:
    """The poller called `kind`: 'epoll', 'selectors', or 'auto' for the best this system has."""
    if kind == "auto":
        kind = os.environ.get("KIRSCH_POLLER", "epoll" if hasattr(select, "epoll") else "selectors")
    return EpollPoller() if kind == "epoll" else SelectorPoller()


def wait_socket(sock: Any, write: bool, timeout: float) -> bool:
    """Block this thread until `sock` can be read or written; False after `timeout` seconds."""
    if hasattr(select, "poll"):
        waiter = select.poll()
        waiter.register(sock, OUT if write else IN)
        return bool(waiter.poll(max(0.0, timeout) * 1000))
    readers, writers, _ = select.select(
        [] if write else [sock], [sock] if write else [], [], max(0.0, timeout)
    )
    return bool(readers or writers)
