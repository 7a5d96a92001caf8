"""The sender: tells the collector each second what this process has counted, and answers what it asks.

Law: the collector is never waited for. What it does not take is left out; the next snapshot has it all.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from .answers import Answers
from .frames import FAREWELL, MOST, MOST_ASKED, Frames, answer_frame, frame, question_in
from .peers import is_ours

if TYPE_CHECKING:
    from ..plugin import Monitor

#: Seconds that the last snapshot of a process may take.
PATIENCE = 2.0

READ = 1 << 14


class Sender:
    """A connection to a collector.

    sock
        Connected to it.
    """

    def __init__(self, monitor: Monitor, path: str, sock: socket.socket) -> None:
        self.monitor = monitor
        self.path = path
        self.sock = sock
        self._lock = threading.Lock()  # guards: frames go out whole, one behind the other
        self._rest = bytearray()
        self._gone = False
        self._ended = False
        self._pid = os.getpid()
        self._answers = Answers(monitor)
        self._frames = Frames(MOST_ASKED)
        sock.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ, self.sock)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        # Who asks gets stacks: not somebody else who has made a socket at this path.
        self._trusts = is_ours(sock)
        self._thread = threading.Thread(target=self._run, name="monitor-sender", daemon=True)
        self._thread.start()

    # -- telling -----------------------------------------------------------------------------------

    def beat(self) -> bool:
        """Send the latest snapshot; False when the collector is gone."""
        with self._lock:
            self._flush()
            if self._rest or self._gone:
                return not self._gone  # it lags: this one is left out
        self._send(frame(self._latest()))
        return not self._gone

    def _latest(self) -> bytes:
        worker = self.monitor.taker.worker
        for snapshot in self.monitor.site.workers():
            if snapshot.worker == worker:
                return snapshot.pack()
        return self.monitor.taker.take().pack()

    def _send(self, data: bytes) -> None:
        """Have a frame go out, now or when the collector takes it."""
        with self._lock:
            if len(self._rest) + len(data) > 2 * MOST:
                return  # an answer to somebody who reads none
            self._rest += data
            self._flush()
            waits = bool(self._rest)
        if waits:
            self._rouse()

    def _flush(self) -> None:
        try:
            while self._rest and not self._gone:
                sent = self.sock.send(self._rest)
                del self._rest[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._gone = True

    def _rouse(self) -> None:
        """Have the thread look up; it does already if its socket is full."""
        with contextlib.suppress(OSError):
            self._wake.send(b".")

    # -- answering: a thread of its own ------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ended and not self._gone:
                self._wait()
        except Exception as error:
            self._gone = True
            if not self._ended:
                self.monitor.broken("sender", error)

    def _wait(self) -> None:
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._rest else 0)
        self._selector.modify(self.sock, mask, self.sock)
        for key, events in self._selector.select():
            if key.data is None:
                self._woken.recv(READ)
                continue
            if events & selectors.EVENT_WRITE:
                with self._lock:
                    self._flush()
            if events & selectors.EVENT_READ:
                self._read()

    def _read(self) -> None:
        try:
            data = self.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._gone = True
            return
        for asked in self._frames.feed(data):
            number, question = question_in(asked)
            if self._trusts:
                self._answers.answer(question, partial(self._reply, number))
            else:
                self._reply(number, {"refused": "It answers nobody but its own user and root."})

    def _reply(self, number: int, answer: dict[str, Any]) -> None:
        try:
            data = answer_frame(number, answer)
        except ValueError as error:
            data = answer_frame(number, {"refused": str(error)})
        self._send(data)

    # -- the end -----------------------------------------------------------------------------------

    def end(self) -> None:
        """Send the last snapshot and say farewell."""
        self._stop()
        try:
            last = frame(self._latest()) + FAREWELL
            if not _heard(self.sock, bytes(self._rest) + last):
                # Another one collects since this moment, at the same path.
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                    sock.settimeout(PATIENCE)
                    sock.connect(self.path)
                    _heard(sock, last)
        except (OSError, ValueError):
            pass  # nobody is there, or what there is to say is too much
        self._close()

    def abandon(self) -> None:
        """Let go of a collector that is gone; in a forked child the parent goes on with its own."""
        if os.getpid() == self._pid:
            self._stop()
        self._close()

    def _stop(self) -> None:
        self._ended = True
        self._answers.end()
        self._rouse()
        if self._thread is not threading.current_thread():
            self._thread.join(PATIENCE)

    def _close(self) -> None:
        self._selector.close()
        for sock in (self.sock, self._wake, self._woken):
            sock.close()


def _heard(sock: socket.socket, last: bytes) -> bool:
    """Send the last of a connection; False if the other end was closed before it was read.

    Raises OSError when it cannot be sent, or is not taken in time.
    """
    try:
        sock.settimeout(PATIENCE)
        sock.sendall(last)
        while sock.recv(
            READ
        ):  # questions that nobody answers any more; then it has read the farewell
            pass
    except TimeoutError:
        raise
    except OSError:
        return False
    return True
