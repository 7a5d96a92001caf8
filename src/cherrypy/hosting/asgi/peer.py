"""The client of a hosted application, as the worker thread sees it: its body, and whether it left.

Law: nothing here is called by the event loop. The connection belongs to the worker.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from kirsch.server.input import EMPTY, StreamInput

if TYPE_CHECKING:
    from kirsch.server.exchange import Exchange

__all__ = ("Bell", "ConnectedPeer", "Peer", "bell_of_thread")

#: Bytes of a body handed over at once.
BLOCK = 65536

#: Seconds after which a waiter looks up by itself, lest it wait for a loop that has ended.
LOOK_UP = 5.0


class Bell:
    """Wakes the thread that waits here, which may wait for a socket at the same time."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)

    def __del__(self) -> None:
        self.near.close()
        self.far.close()

    def ring(self) -> None:
        """Wake the waiter (any thread)."""
        try:
            self.far.send(b"\0")
        except OSError:
            pass  # It has been rung often enough, or its thread has ended.

    def wait(
        self, sock: Any, reading: bool, watching: bool, timeout: float = LOOK_UP
    ) -> tuple[bool, bool]:
        """Wait for a ring, and for `sock`. Returns whether it can be read, and whether it ended.

        Raises ValueError when the socket is closed.
        """
        if not hasattr(select, "poll"):
            return self._select(sock, reading or watching, timeout)
        poller = select.poll()
        poller.register(self.near, select.POLLIN)
        hung_up = getattr(select, "POLLRDHUP", 0)
        number = -1
        if sock is not None:
            number = sock.fileno()
            # Where the system has no event of its own for the end of a stream, reading tells.
            readable = select.POLLIN if reading or (watching and not hung_up) else 0
            poller.register(sock, readable | (hung_up if watching else 0))
        can_read = ended = False
        for fd, mask in poller.poll(timeout * 1000):
            if fd == number:
                ended = bool(mask & (hung_up | select.POLLHUP | select.POLLERR))
                can_read = bool(mask & select.POLLIN)
        self._quieten()
        return can_read, ended or (can_read and not hung_up and _at_end(sock))

    def _select(self, sock: Any, of_interest: bool, timeout: float) -> tuple[bool, bool]:
        waiting = [self.near] + ([sock] if sock is not None and of_interest else [])
        found = select.select(waiting, [], [], timeout)[0]
        self._quieten()
        can_read = sock is not None and sock in found
        return can_read, can_read and _at_end(sock)

    def _quieten(self) -> None:
        try:
            while self.near.recv(4096):
                pass
        except BlockingIOError:
            pass


def _at_end(sock: Any) -> bool:
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except (OSError, ValueError):
        return True


_mine = threading.local()


def bell_of_thread() -> Bell:
    """Return the bell of this thread."""
    bell: Bell | None = getattr(_mine, "bell", None)
    if bell is None:
        bell = _mine.bell = Bell()
    return bell


class Peer:
    """A client behind any WSGI server: its body is a file, and only a write says that it has gone.

    environ
        The WSGI environment.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        self.input = environ.get("wsgi.input")
        length = environ.get("CONTENT_LENGTH")
        self.left: int | None = None
        if length:
            self.left = int(length)
        elif not environ.get("wsgi.input_terminated"):
            self.left = 0  # PEP 3333 promises no end of file

    def at_hand(self) -> tuple[bytes, bool] | None:
        """Return a body that is all there, and False; None when it has to be read."""
        return (b"", False) if self.left == 0 or self.input is EMPTY else None

    def ready(self) -> bool:
        """Return whether `read` is to be called without waiting for the socket."""
        return True

    def read(self) -> tuple[bytes, bool] | None:
        """Return the next bytes of the body, and whether there may be more; None: not yet.

        Raises ConnectionError when the client left within it, and whatever the server raises.
        """
        source: Any = self.input
        size = BLOCK if self.left is None else min(self.left, BLOCK)
        data: bytes = getattr(source, "read1", source.read)(size)
        if self.left is None:
            return data, bool(data)
        if not data:
            raise ConnectionResetError("the request body ended early")
        self.left -= len(data)
        return data, self.left > 0

    def wait(self, bell: Bell, reading: bool) -> tuple[bool, bool]:
        """Wait for the bell. Returns whether the body can be read, and whether the client left."""
        return bell.wait(None, False, False)

    def give_up(self) -> None:
        """Be sure that the client has gone."""


class ConnectedPeer(Peer):
    """A client of our own server: its socket tells when it leaves.

    Waiting for its body uses up its patience, as reading does (`kirsch.server.input`).
    """

    def __init__(self, environ: dict[str, Any], exchange: Exchange) -> None:
        super().__init__(environ)
        self.exchange = exchange
        self.connection: Any = exchange.connection
        # Without an event for the end of a stream only reading tells, and ciphertext says nothing.
        self.can_watch = self.connection.plain or hasattr(select, "POLLRDHUP")
        self.told = False  # that it has left
        self.watching = False  # before its body is read, the end of a client's half says nothing

    def at_hand(self) -> tuple[bytes, bool] | None:
        """Return a body that is all there, and False; None when it has to be read."""
        found = super().at_hand()
        body: Any = self.input
        if found is None and type(body) is not StreamInput:  # gathered by the server
            data = body.read(BLOCK)
            if len(data) < BLOCK:
                found = data, False
            else:
                body.seek(0)
        self.watching = found is not None and self.can_watch
        return found

    def ready(self) -> bool:
        """Return whether `read` is to be called without waiting for the socket."""
        body = self.input
        # TLS leaves nothing decrypted behind (`kirsch.server.tls`): its socket tells as much.
        return type(body) is not StreamInput or body.pos < len(body.chunk) or body.decoder.done

    def read(self) -> tuple[bytes, bool] | None:
        """Return what is there of the body, and whether there may be more.

        None when what has come is but the head of a chunk, or half a record of TLS.
        """
        body: Any = self.input
        found: tuple[bytes, bool] | None
        if type(body) is not StreamInput:
            found = super().read()
        elif body.arrive():
            data = body.read(min(len(body.chunk) - body.pos, BLOCK))
            found = data, body.pos < len(body.chunk) or not body.decoder.done
        else:
            found = None
        self.watching = self.can_watch and found is not None and not found[1]
        return found

    def wait(self, bell: Bell, reading: bool) -> tuple[bool, bool]:
        """Wait for the bell and the client."""
        connection = self.connection
        if connection.gone and not self.told:  # the poller has met its end
            return reading, self._left(True)
        if not reading:
            watching = self.watching and not self.told
            can_read, ended = bell.wait(connection.sock if watching else None, False, watching)
            if can_read:
                self.watching = False  # the next request is here: what is behind it cannot be seen
            return False, self._left(ended)
        connection.send_continue()  # nothing comes from those who wait for it
        began = time.monotonic()
        limit = min(max(0.0, connection.patience), LOOK_UP)
        found = bell.wait(connection.sock, True, False, limit)
        connection.patience -= time.monotonic() - began
        # What has come may be followed by the end of the client's half: reading finds out. When its
        # patience is at an end the read says so.
        return found[0] or found[1] or connection.patience <= 0, False

    def _left(self, ended: bool) -> bool:
        # Told once; a client that has closed its half still gets what it has asked for.
        self.told = self.told or ended
        return ended

    def give_up(self) -> None:
        """Be sure that the client has gone: what is missing is no error then."""
        self.connection.gone = True
