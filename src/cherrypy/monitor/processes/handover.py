"""The hand-over: how a process that only collects takes the role from one that serves as well.

Law: the lock and the socket go over themselves, so no third can come between; and whatever is killed
meanwhile, what was counted is in a process that lives, or in the files of the totals.

Who claims the role says CLAIM. The other ends what only the collector has, reads what it was sent, and
sends all that it knows: STATE and snapshots. READY is answered by LOCK, with both descriptors; before
that everything can be taken back, and after that nothing needs to.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ..settings import SITE
from ..snapshots import Snapshot, unpack
from .frames import CLAIM, MOST, Frames, frame
from .peers import is_ours

if TYPE_CHECKING:
    from ..plugin import Monitor
    from .collector import Collector

REFUSED, STATE, READY, LOCK = b"R", b"S", b"Y", b"L"

#: Seconds that the one that collects has to hand over, and the other to take what it is sent.
PATIENCE, MOMENT = 30.0, 5.0

#: Snapshots that may be handed over: of those that live, of those that are gone, and their sum.
MOST_HANDED = 5000

READ = 1 << 16


class Refused(Exception):
    """The role cannot be had: a sentence says why, and what to do."""


class Handed(NamedTuple):
    """What the one before knew.

    since
        Since when is counted, in seconds since the epoch.
    settings
        What the site was told to use.
    snapshots
        As of `Site.state`.
    """

    since: float
    settings: dict[str, Any]
    snapshots: list[Snapshot]


# -- giving: the monitor's thread of the process that has it ---------------------------------------


def give(monitor: Monitor, collector: Collector, totals: Any) -> bool:
    """Hand over to who has claimed the role; False if that was in vain, and all is as it was."""
    sock = collector.claimant
    assert sock is not None
    monitor.bus.log("Monitor: a process that only collects has come, and takes over.")
    monitor.rest()
    collector.hold_still()
    try:
        if totals is not None:
            totals.write()
        _give(monitor, collector, sock)
    except (OSError, ValueError) as error:
        monitor.broken("hand-over", error)
        collector.claimant = None
        sock.close()
        collector.go_on()
        if monitor.running:
            monitor.collect()
        return False
    collector.let_go()
    sock.close()
    monitor.site.rest(monitor.taker.worker)
    return True


def _give(monitor: Monitor, collector: Collector, sock: socket.socket) -> None:
    deadline = time.monotonic() + MOMENT
    since, snapshots = monitor.site.state()
    packed = [one.packed or one.pack() for one in snapshots]
    packed = [data for data in packed if len(data) <= MOST]
    head = {"since": since, "settings": monitor.settings.entries(SITE), "many": len(packed)}
    for data in (STATE + json.dumps(head).encode(), *packed):
        sock.settimeout(max(0.01, deadline - time.monotonic()))
        sock.sendall(frame(data))
    frames, said = Frames(64), [b""]
    while not said[0]:
        sock.settimeout(max(0.01, deadline - time.monotonic()))
        data = sock.recv(64)
        if not data:
            raise ConnectionError("the process that was to take over has ended")
        said = frames.feed(data) or said
    if said[0] != READY:
        raise ValueError("the process that was to take over says nonsense")
    socket.send_fds(sock, [frame(LOCK)], [collector.lock, collector.listener.fileno()])


def refuse(sock: socket.socket, words: str) -> None:
    """Tell somebody who claims the role that it cannot be had."""
    with suppress(OSError):
        sock.send(frame(REFUSED + words.encode()))
    sock.close()


# -- taking: the process that only collects, when it starts ----------------------------------------


class Claim:
    """One attempt to take over from who collects at a path.

    handed
        What the other has told; None until all of it is here.
    """

    def __init__(self, monitor: Monitor, path: str, deadline: float) -> None:
        self.monitor = monitor
        self.path = path
        self.deadline = deadline
        self.handed: Handed | None = None
        self._head: dict[str, Any] = {}
        self._packed: list[bytes] = []
        self._descriptors: list[int] = []

    def take(self) -> tuple[int, socket.socket]:
        """Return the descriptor of the lock, and the socket that listens.

        Raises Refused; OSError or ValueError when it is to be tried again.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            self._patience(sock)
            sock.connect(self.path)
            if not is_ours(sock):
                raise Refused(f"The socket {self.path} belongs to somebody else.")
            sock.sendall(frame(CLAIM + self.monitor.taker.worker.encode()))
            try:
                return self._listen(sock)
            except BaseException:
                for descriptor in self._descriptors:
                    os.close(descriptor)
                raise

    def _patience(self, sock: socket.socket) -> None:
        sock.settimeout(max(0.01, self.deadline - time.monotonic()))

    def _listen(self, sock: socket.socket) -> tuple[int, socket.socket]:
        frames = Frames()
        while True:
            self._patience(sock)
            data, descriptors, _, _ = socket.recv_fds(sock, READ, 2)
            self._descriptors += descriptors
            if not data:
                raise ConnectionError("the process that collected has ended")
            for packed in frames.feed(data):
                if packed == LOCK:
                    if len(self._descriptors) != 2 or self.handed is None:
                        raise ValueError("a lock without all that belongs to it")
                    for descriptor in self._descriptors:
                        os.set_inheritable(descriptor, False)
                    lock, listener = self._descriptors
                    return lock, socket.socket(fileno=listener)
                self._read(packed)
                if self.handed is None and len(self._packed) == self._head.get("many"):
                    self.handed = self._whole()
                    sock.sendall(frame(READY))

    def _read(self, packed: bytes) -> None:
        if packed.startswith(REFUSED):
            raise Refused(packed[1:1000].decode("utf-8", "replace"))
        if packed.startswith(STATE):
            head = json.loads(packed[1:])
            if not isinstance(head, dict) or head.get("many") not in range(MOST_HANDED):
                raise ValueError("not what is handed over")
            self._head = head
        elif len(self._packed) >= self._head.get("many", 0):
            raise ValueError("more than was to be handed over")
        else:
            self._packed.append(packed)

    def _whole(self) -> Handed:
        try:
            since, settings = float(self._head["since"]), dict(self._head["settings"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not what is handed over: {error!r}") from error
        return Handed(since, settings, [unpack(packed) for packed in self._packed])
