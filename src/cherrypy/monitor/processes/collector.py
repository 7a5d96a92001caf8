"""The collector: takes what other processes have counted, at a unix socket, and asks them.

Law: a peer can do no more than be dropped. It is of our own user, sends frames of a limited size, and is
read by one thread that waits for nobody.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from ..held import State, read
from ..snapshots import Snapshot, unpack
from . import handover
from .frames import CLAIM, Frames, number_in
from .peers import is_ours
from .questions import Question, Questions

if TYPE_CHECKING:
    from ..plugin import Monitor

#: Processes that may be connected.
MOST_PEERS = 1000

READ = 1 << 16

#: Seconds in which what has been sent is read before somebody else takes over.
DRAINING = 1.0


class Peer:
    """One process that sends."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.frames = Frames()
        self.worker = ""  # known with its first snapshot
        self.questions = Questions()
        self.behind = False  # it has not been told all that the site was told
        self.held = 0.0  # of when is what it was last told to hold


class Collector:
    """Listens at a path, in a thread of its own.

    listener
        A bound socket that nobody listens at yet.
    lock
        The descriptor of the lock file, held as long as this lives: see `role`.
    """

    def __init__(self, monitor: Monitor, path: str, listener: socket.socket, lock: int) -> None:
        self.monitor = monitor
        self.path = path
        self.listener = listener
        self.lock = lock
        self.peers: set[Peer] = set()
        #: Who wants to take over, and waits for that: see `handover`.
        self.claimant: socket.socket | None = None
        self._orders: dict[str, Any] = {}  # settings that others are to have
        self._lock = threading.Lock()  # guards: nobody is asked who has been dropped
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._ended = False
        listener.listen(128)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, None)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self.go_on()

    def go_on(self) -> None:
        """Take what comes, in a thread of its own."""
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="monitor-collector", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """Nothing is sent: our own snapshot is taken here."""

    def end(self) -> None:
        """Stop listening; senders look for another collector."""
        self._stop()
        self.release()

    def _stop(self) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            self._wake.send(b".")
        self._thread.join(5.0)

    def hold_still(self) -> None:
        """Take what has been sent until now, and nothing more until `go_on` or `let_go`."""
        self._stop()
        deadline = time.monotonic() + DRAINING
        while (ready := self._selector.select(0)) and time.monotonic() < deadline:
            self._take(ready)

    def release(self) -> None:
        """Let go of socket and lock, and of the path first: who comes next makes it anew."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self.let_go()
        if self.claimant is not None:
            self.claimant.close()

    def let_go(self) -> None:
        """Let go of socket and lock, which another process may have now."""
        with self._lock:
            peers = list(self.peers)
            self.peers.clear()
        for peer in peers:
            peer.questions.fail("is not heard any more: this process collects no longer.")
            peer.sock.close()
        for sock in (self.listener, self._wake, self._woken):
            sock.close()
        self._selector.close()
        os.close(self.lock)

    def abandon(self) -> None:
        """In a forked child: our copies are closed, the parent goes on with its own."""
        for sock in (self.listener, self._wake, self._woken, *(peer.sock for peer in self.peers)):
            sock.close()
        if self.claimant is not None:
            self.claimant.close()
        self._selector.close()
        os.close(self.lock)

    # -- asking: any thread ------------------------------------------------------------------------

    def others(self) -> list[str]:
        """The names of the processes that may be asked."""
        with self._lock:
            return sorted({peer.worker for peer in self.peers if peer.worker})

    def ask(self, worker: str, words: dict[str, Any]) -> Question:
        """Ask a process something: `Question.answer` waits for what it says."""
        question = Question(worker)
        with self._lock:
            found = [peer for peer in self.peers if peer.worker == worker]
            if not found:
                question.fail("has ended, or is not known.")
            for peer in found[:1]:
                peer.questions.put(peer.sock, question, words)
        return question

    def order(self, settings: dict[str, Any]) -> None:
        """Have all others use other settings: those that are here, and those that come."""
        with self._lock:
            self._orders.update(settings)
            for peer in self.peers if settings else ():
                if peer.worker and not peer.behind:
                    asked = Question(peer.worker)
                    peer.behind = not peer.questions.put(peer.sock, asked, ordered(settings))

    def _welcome(self, peer: Peer, worker: str) -> None:
        """A process has said its name: it is told what the site was told."""
        with self._lock:
            peer.worker = worker
            if self._orders:
                words = ordered(self._orders)
                peer.behind = not peer.questions.put(peer.sock, Question(worker), words)

    def _hold(self, peer: Peer, snapshot: Snapshot) -> None:
        """What a process holds for a while, and what the site does, become the later of both."""
        theirs, held = read(snapshot.details.get("held")), self.monitor.held
        if theirs.at > held.state.at:
            held.take(theirs)  # of a time before this process was here
        with self._lock:
            mine = held.state
            if mine.at > max(theirs.at, peer.held) and peer.questions.put(
                peer.sock, Question(peer.worker), holding(mine)
            ):
                peer.held = mine.at

    # -- taking: a thread of its own ---------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended:
            self._take(self._selector.select())

    def _take(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, _ in ready:
            try:
                if key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj is self._woken:
                    self._woken.recv(READ)
                elif key.data in self.peers:
                    self._read(key.data)
            except Exception as error:
                self.monitor.broken("collector", error)

    def _accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        if len(self.peers) >= MOST_PEERS or not is_ours(sock):
            sock.close()
            return
        sock.setblocking(False)
        peer = Peer(sock)
        with self._lock:
            self.peers.add(peer)
        self._selector.register(sock, selectors.EVENT_READ, peer)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(peer, died=True)
            return
        try:
            for packed in peer.frames.feed(data):
                if not packed:
                    self._drop(peer, died=False)
                    return
                if packed.startswith(CLAIM):
                    self._claimed(peer)
                    return
                number = number_in(packed)
                if number >= 0:
                    peer.questions.answered(number, packed)
                    continue
                snapshot = unpack(packed)
                snapshot.packed = packed
                if peer.worker != snapshot.worker or peer.behind:
                    self._welcome(peer, snapshot.worker)
                self._hold(peer, snapshot)
                self.monitor.site.take(snapshot)
        except ValueError as error:
            self.monitor.broken("collector: a peer was dropped, which", error)
            self._drop(peer, died=True)

    def _claimed(self, peer: Peer) -> None:
        """A process that only collects has come: it takes over, unless this is one as well."""
        with self._lock:
            self.peers.remove(peer)
            self._selector.unregister(peer.sock)
        if self.monitor.only_collects:
            mine = self.monitor.taker.worker
            words = f"Another process that only collects ({mine}) collects at {self.path} already."
        elif self.claimant is not None:
            words = f"Another process that only collects takes over at {self.path} just now."
        else:
            self.claimant = peer.sock  # the monitor's thread hands over
            return
        handover.refuse(peer.sock, f"{words} End it first, or name another socket.")

    def _drop(self, peer: Peer, died: bool) -> None:
        if peer in self.peers:
            with self._lock:
                self.peers.remove(peer)
                self._selector.unregister(peer.sock)
                peer.sock.close()
            peer.questions.fail("has ended." if not died else "has died.")
            if peer.worker:
                self.monitor.site.leave(peer.worker, died)
                self._tell(peer.worker, died)

    def _tell(self, worker: str, died: bool) -> None:
        words = f"The process {worker} has {'died' if died else 'ended'}."
        self.monitor.bus.log(f"Monitor: {words}", 30 if died else 20)
        mark: Any = getattr(getattr(self.monitor, "history", None), "mark", None)
        if died and mark is not None:
            mark("restart", words)


def holding(state: State) -> dict[str, Any]:
    """Return what holds for a while as a question to a process."""
    return {"ask": "hold", "state": list(state)}


def ordered(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as a question to a process."""
    return {"ask": "set", "settings": settings}
