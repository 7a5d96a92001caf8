"""The process as a service of systemd: it says when it is ready, reloads and stops, and that it lives.

The protocol of sd_notify(3), which is a datagram to a unix socket: no library, and nothing happens
where nobody listens. Law: telling systemd never keeps the process from starting or stopping.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cherrypy.process.plugins.base import SimplePlugin
from cherrypy.process.servers import ServerAdapter

if TYPE_CHECKING:
    from cherrypy.process.wspbus import Bus

__all__ = ("Systemd", "attach")

SEND_TIMEOUT = 1.0  # seconds that a full queue of systemd's may hold us up


def attach(bus: Any) -> None:
    """Give the bus this plugin as `bus.systemd` if systemd wants to hear of the process.

    A plugin that is there already is left as it is: configuration may have switched it off.
    """
    if os.environ.get("NOTIFY_SOCKET") and getattr(bus, "systemd", None) is None:
        bus.systemd = Systemd(bus)
        bus.systemd.subscribe()


class Systemd(SimplePlugin):
    """Tells the service manager how the bus is doing.

    address
        Where: the path of a unix socket, or `@name` for an abstract one. None: `NOTIFY_SOCKET`.
        Without either nothing is sent.
    watchdog
        Seconds within which systemd wants to hear from us. None: `WATCHDOG_USEC`, if it is meant
        for this process.

    `checks` are called before each sign of life, in a thread of the plugin's, and must return within
    a quarter of `watchdog`: when one returns False or raises, none is given.
    """

    def __init__(self, bus: Bus, address: str | None = None, watchdog: float | None = None) -> None:
        super().__init__(bus)
        self.address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        self.watchdog = _watchdog_of_environ() if watchdog is None else watchdog
        self.checks: list[Callable[[], Any]] = []
        self._over = threading.Event()
        self._complained = False

    # ------------------------------------------------------------------ the bus

    def subscribe(self) -> None:
        """Listen to the bus."""
        super().subscribe()
        self.bus.subscribe("graceful", self._reloaded, 100)

    def unsubscribe(self) -> None:
        """Tell nothing any more."""
        super().unsubscribe()
        self.bus.unsubscribe("graceful", self._reloaded)
        self._over.set()

    def start(self) -> None:
        """Watch for the end of the start, from a thread: ready is who has STARTED, not who starts."""
        self._over.set()
        self._over = threading.Event()
        if self.address:
            threading.Thread(
                target=self._accompany, args=(self._over,), name="systemd-notifier", daemon=True
            ).start()

    # After the Daemonizer (65), whose fork would leave the thread behind.
    start.priority = 90  # type: ignore[attr-defined] # read by Bus.subscribe

    def stop(self) -> None:
        """Say that the process is about to end, or to be replaced; nothing of a mere `bus.stop()`."""
        self._over.set()
        if self.bus.execv:
            self.notify(*_reloading(), "STATUS=Restarting")
        elif self.bus.leaving:
            self.notify("STOPPING=1", "STATUS=Stopping")
        else:
            self.notify("STATUS=Stopped")

    stop.priority = 0  # type: ignore[attr-defined] # read by Bus.subscribe

    def graceful(self) -> None:
        """Say that a reload begins."""
        self.notify(*_reloading(), "STATUS=Reloading")

    graceful.priority = 0  # type: ignore[attr-defined] # read by Bus.subscribe

    def _reloaded(self) -> None:
        if self.bus.state is self.bus.states.STARTED:
            self.notify("READY=1", f"STATUS={self.status()}")

    # ------------------------------------------------------------------ its thread

    def _accompany(self, over: threading.Event) -> None:
        """Say when the bus has STARTED; give signs of life until it is over."""
        bus, states = self.bus, self.bus.states
        bus.wait((states.STARTED, states.STOPPING, states.STOPPED, states.EXITING), interval=1)
        if over.is_set() or bus.state is not states.STARTED:
            return
        self.notify("READY=1", f"MAINPID={os.getpid()}", f"STATUS={self.status()}")
        if not self.watchdog:
            return
        sick = False
        # Half of the time is systemd's own advice (sd_watchdog_enabled(3)).
        while not over.wait(self.watchdog / 2):
            trouble = self.trouble()
            if not trouble:
                self.notify("WATCHDOG=1", *([f"STATUS={self.status()}"] if sick else []))
            elif not sick:
                bus.log(f"No sign of life to systemd: {trouble}", level=40)
                self.notify(f"STATUS=Not well: {trouble}")
            sick = bool(trouble)

    def servers(self) -> list[ServerAdapter]:
        """The servers that start with the bus."""
        owners = (getattr(one, "__self__", None) for one in set(self.bus.listeners["start"]))
        return [one for one in owners if isinstance(one, ServerAdapter)]

    def status(self) -> str:
        """What `systemctl status` is to show: where the servers are."""
        where = sorted(one.description for one in self.servers() if one.running)
        return f"Serving on {', '.join(where)}" if where else "Started"

    def trouble(self) -> str:
        """What is wrong with the process, in words; '' when all is well."""
        if self.bus.state is not self.bus.states.STARTED:
            return f"the bus is in {self.bus.state!r}"
        patience = (self.watchdog or 4.0) / 4
        for server in self.servers():
            answers = getattr(server.httpserver, "answers", None)
            if not server.running or (answers is not None and not answers(patience)):
                return f"{server.description} does not answer"
        for check in tuple(self.checks):
            name = getattr(check, "__qualname__", repr(check))
            try:
                if check() is False:
                    return f"{name} says so"
            except Exception as error:
                return f"{name} raised {type(error).__name__}: {error}"
        return ""

    # ------------------------------------------------------------------ the wire

    def notify(self, *assignments: str) -> bool:
        """Send assignments (`'STATUS=Filling caches'`) to systemd; return whether they went out.

        The first failure is logged; none is raised.
        """
        if not self.address:
            return False
        data = "\n".join(" ".join(one.splitlines()) for one in assignments).encode()
        try:
            _send(self.address, data)
        except (OSError, ValueError) as error:
            if not self._complained:
                self._complained = True
                self.bus.log(f"Cannot tell systemd at {self.address!r}: {error}", level=30)
            return False
        return True


def _send(address: str, data: bytes) -> None:
    import socket

    family = getattr(socket, "AF_UNIX", None)
    if family is None or address[:1] not in ("/", "@"):
        raise ValueError("only unix sockets are known here")
    target = "\0" + address[1:] if address[0] == "@" else address
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SEND_TIMEOUT)
        sock.sendto(data, target)


def _reloading() -> tuple[str, str]:
    # Type=notify-reload wants to know which reload this is (sd_notify(3)).
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"


def _watchdog_of_environ() -> float | None:
    """Seconds that systemd gives us between signs of life, None when it expects none."""
    try:
        if int(os.environ.get("WATCHDOG_PID") or os.getpid()) != os.getpid():
            return None  # meant for the process that started us
        seconds = int(os.environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return seconds if seconds > 0 else None
