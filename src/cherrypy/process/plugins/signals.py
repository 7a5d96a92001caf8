"""Operating-system signals as channels of the bus.

Law: a handler is installed only from the main thread, and every one is put back as it was found.
"""

from __future__ import annotations

import os
import signal as _signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cherrypy.process.wspbus import Bus

__all__ = ("SignalHandler",)

Handler = Callable[[int, "FrameType | None"], Any] | int | None


class SignalHandler:
    """Publishes each caught signal on the channel of its name.

    ``handlers`` maps the name or number of a signal to the listener that :meth:`subscribe`
    installs with it: SIGTERM exits, SIGHUP restarts a daemon and ends anything else, SIGUSR1 is
    graceful. None installs the signal without a listener of our own. SIGINT is left to Python,
    whose KeyboardInterrupt ends ``bus.block()``.
    """

    handlers: dict[str | int, Callable[..., object] | None] = {}
    #: Names by number.
    signals: dict[int, str] = {
        number: name
        for name, number in vars(_signal).items()
        if name.startswith("SIG") and not name.startswith("SIG_")
    }

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.handlers = {
            "SIGTERM": self.bus.exit,
            "SIGHUP": self.handle_SIGHUP,
            "SIGUSR1": self.bus.graceful,
        }
        self._previous_handlers: dict[int, Handler] = {}
        self._listeners: list[tuple[str, Callable[..., object]]] = []
        # A daemon is a fork of the process that made this object.
        self._original_pid = os.getpid()

    def _is_daemonized(self) -> bool:
        """Return whether we were forked since and have no terminal."""
        if os.getpid() == self._original_pid:
            return False
        try:
            return not os.isatty(sys.stdin.fileno())
        except (AttributeError, OSError, ValueError):
            return True

    def subscribe(self) -> None:
        """Install all of ``handlers``; signals that this system does not have are left out."""
        if threading.current_thread() is not threading.main_thread():
            self._refuse("signals")
            return
        for signal, listener in self.handlers.items():
            try:
                self.set_handler(signal, listener)
            except ValueError:
                pass

    def unsubscribe(self) -> None:
        """Put back what handled the signals before."""
        for channel, listener in self._listeners:
            self.bus.unsubscribe(channel, listener)
        self._listeners.clear()
        for signum, previous in list(self._previous_handlers.items()):
            name = self.signals[signum]
            if previous is None:  # Not installed from Python; there is no way to get it back.
                self.bus.log(f"Restoring {name} handler to SIG_DFL.")
                previous = _signal.SIG_DFL
            else:
                self.bus.log(f"Restoring {name} handler {previous!r}.")
            try:
                ours = _signal.signal(signum, previous)
                if ours is None:
                    self.bus.log(
                        f"Restored old {name} handler {previous!r}, but our handler was not "
                        "registered.",
                        level=30,
                    )
            except ValueError:
                self.bus.log(
                    f"Unable to restore {name} handler {previous!r}.", level=40, traceback=True
                )
                continue
            del self._previous_handlers[signum]

    def set_handler(self, signal: str | int, listener: Callable[..., object] | None = None) -> None:
        """Listen for ``signal``, a name or a number, and call ``listener`` when it comes.

        Raises ValueError when there is no such signal, OSError when it cannot be caught. In a
        thread that may not install handlers it leaves a line in the log instead.
        """
        if isinstance(signal, str):
            signum = getattr(_signal, signal, None) if signal.startswith("SIG") else None
            if signum is None:
                raise ValueError(f"No such signal: {signal!r}")
            name = signal
        else:
            if signal not in self.signals:
                raise ValueError(f"No such signal: {signal!r}")
            signum, name = signal, self.signals[signal]
        if threading.current_thread() is not threading.main_thread():
            self._refuse(name)
            return
        previous: Handler = _signal.signal(signum, self._handle_signal)
        if previous != self._handle_signal:
            self._previous_handlers[signum] = previous
        if listener is not None:
            self.bus.log(f"Listening for {name}.")
            # SIGCLD is SIGCHLD: what arrives is published under the table's name.
            channel = self.signals.get(signum, name)
            self.bus.subscribe(channel, listener)
            self._listeners.append((channel, listener))

    def _refuse(self, what: str) -> None:
        self.bus.log(
            f"Not listening for {what}: handlers can be installed only in the main thread, and "
            f"this is {threading.current_thread().name!r}.",
            level=30,
        )

    def _handle_signal(self, signum: int, frame: FrameType | None = None) -> None:
        """Python's signal handler; runs in the main thread between any two instructions."""
        from cherrypy.process.wspbus import EX_SOFTWARE, ChannelFailures

        name = self.signals[signum]
        self.bus.log(f"Caught signal {name}.")
        try:
            self.bus.publish(name)
        except SystemExit as exc:
            # It came during the start, which has been undone. Nothing has failed: it was asked for.
            if exc.code == EX_SOFTWARE and self.bus.state is self.bus.states.EXITING:
                raise SystemExit(0) from None
            raise
        except ChannelFailures:
            # Logged. A failed graceful() must not end what the main thread is doing; a failed
            # exit() has to be seen in the status of the process.
            if self.bus.state is self.bus.states.EXITING:
                raise

    def handle_SIGHUP(self) -> None:
        """Restart when daemonized, exit otherwise (the terminal has gone)."""
        if self._is_daemonized():
            self.bus.log("SIGHUP caught while daemonized. Restarting.")
            self.bus.restart()
        else:
            self.bus.log("SIGHUP caught but not daemonized. Exiting.")
            self.bus.exit()
