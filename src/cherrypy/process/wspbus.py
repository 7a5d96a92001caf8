"""The bus: a state machine with channels that other parts of the process listen on.

Law: the bus never ends the interpreter that embeds it (only ``block()``, which a program calls to
hand its main thread over, may replace or end the process), and nothing it does waits for ever.

States: ``STOPPED -> STARTING -> STARTED -> STOPPING -> STOPPED -> EXITING``. An exited bus can be
started again.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import warnings
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cherrypy.process import lingering, respawn
from cherrypy.process.channels import ChannelFailures, Channels

if TYPE_CHECKING:
    from _thread import LockType

__all__ = ("Bus", "ChannelFailures", "bus", "states")

try:
    _startup_cwd = os.getcwd()
except OSError:  # The directory we were started in has been deleted.
    _startup_cwd = os.path.abspath(os.sep)

# BSD sysexits EX_SOFTWARE: what a start that was cut short has always ended with.
EX_SOFTWARE = 70


class _StateEnum:
    """The names of the states; assigning a new ``State`` names it."""

    class State:
        name: str | None = None

        def __repr__(self) -> str:
            return f"states.{self.name}"

    STOPPED: State
    STARTING: State
    STARTED: State
    STOPPING: State
    EXITING: State

    def __setattr__(self, key: str, value: object) -> None:
        if isinstance(value, self.State):
            value.name = key
        object.__setattr__(self, key, value)


states = _StateEnum()
states.STOPPED = _StateEnum.State()
states.STARTING = _StateEnum.State()
states.STARTED = _StateEnum.State()
states.STOPPING = _StateEnum.State()
states.EXITING = _StateEnum.State()


class Bus(Channels):
    """A process state machine and publish/subscribe messenger.

    ``listeners`` maps each channel to the set of its listeners. The sets are the truth: code may
    change them directly and the next ``publish`` obeys.
    """

    states = states
    #: True after ``restart()``: ``block()`` replaces the process by a new one.
    execv = False
    #: How many descriptors ``block()`` closes at most before it replaces the process.
    max_cloexec_files = respawn.max_descriptors()
    #: Seconds from the beginning of ``exit()`` that ``block()`` gives to threads that are still
    #: running, before it leaves them behind. None waits for ever, as CherryPy 18 did.
    shutdown_timeout: float | None = 5.0

    def __init__(self) -> None:
        super().__init__(("start", "stop", "exit", "graceful", "log", "main"))
        self.execv = False
        self._waiters: list[LockType] = []
        self._state = states.STOPPED
        self.state = states.STOPPED
        self._starter: int | None = None  # ident of the thread inside start()
        self._leaving = allocate_lock()  # Held by the thread that is shutting the bus down.
        self._exits = 0
        self._exit_began: float | None = None
        self._pid = os.getpid()

    # ------------------------------------------------------------------ state

    @property
    def state(self) -> _StateEnum.State:
        """The present state; assigning wakes every ``wait()`` at once."""
        return self._state

    @state.setter
    def state(self, value: _StateEnum.State) -> None:
        self._state = value
        self._wake()

    def _wake(self) -> None:
        # Bare locks, not a Condition: this runs in signal handlers too, where the interrupted
        # thread may hold the very lock that notify() would need.
        for waiter in tuple(self._waiters):
            try:
                waiter.release()
            except RuntimeError:  # Somebody else woke it a moment ago.
                pass

    @property
    def leaving(self) -> bool:
        """Whether `exit()` is under way: what stops now is not meant to start again."""
        return self._leaving.locked()

    # -------------------------------------------------------------- lifecycle

    def start(self) -> None:
        """Publish ``start``.

        When a listener fails, everything is stopped again and the failure raised to the caller.
        When another thread exits the bus meanwhile, this returns with the bus EXITING.
        """
        exits = self._exits
        self._pid = os.getpid()
        atexit.register(self._clean_exit)
        self.execv = False
        self._starter = get_ident()
        try:
            self.state = states.STARTING
            self._say("Bus STARTING")
            self.publish("start")
            self._pid = os.getpid()  # A Daemonizer may have forked.
            self.state = states.STARTED
            if self._exits == exits:
                self._say("Bus STARTED")
            else:
                # Another thread exited while we were starting. That is as if it had come right
                # after; only, what has been started since has to be stopped.
                self._undo_start()
        except (KeyboardInterrupt, SystemExit) as exc:
            if self.state is not states.EXITING:
                self._undo_start()
            self._let_go(exc)
            raise
        except BaseException as exc:
            self._say("Shutting down due to error in start listener:", level=40, traceback=True)
            self._undo_start()
            self._let_go(exc)
            raise
        finally:
            self._starter = None

    def _undo_start(self) -> None:
        # When another thread is exiting, what was started since has to be stopped after it.
        limit = self.shutdown_timeout
        mine = self._leaving.acquire(timeout=-1 if limit is None else limit)
        try:
            self._shut_down()
        except ChannelFailures:  # Logged, and the caller has a better exception to hear of.
            pass
        finally:
            if mine:
                self._leaving.release()
            self._wake()

    def _let_go(self, exc: BaseException) -> None:
        """See to it that threads do not hold a program that ends because it could not start."""
        if threading.current_thread() is threading.main_thread():
            status = exc.code if isinstance(exc, SystemExit) else 1
            lingering.leave_behind(lingering.running(), status, log=self._say, because=exc)

    def exit(self) -> None:
        """Stop, publish ``exit``, and become EXITING, which ends ``block()``.

        May be called from any thread, in any state and repeatedly; while one thread is at it,
        other calls return at once. Failures of listeners do not keep the rest from shutting
        down; they are raised at the end. Called by a listener of ``start``, it raises
        SystemExit(70) in the thread that is starting, after the shutdown; by a signal during it,
        which is nobody's failure, SystemExit(0).
        """
        if not self._leaving.acquire(blocking=False):
            return
        starting = self.state is states.STARTING and self._starter == get_ident()
        try:
            self._shut_down()
        finally:
            self._leaving.release()
            self._wake()
        if starting:
            raise SystemExit(EX_SOFTWARE)
        if not threading.main_thread().is_alive():
            # The program ended without block(): only threads keep the process up.
            lingering.leave_behind(lingering.running(), log=self._say)

    def _shut_down(self) -> None:
        self._exits += 1
        self._exit_began = time.monotonic()
        failure: BaseException | None = None
        try:
            try:
                self.stop()
            except BaseException as exc:  # A second Ctrl-C cuts stop short; exit is due anyway.
                failure = exc
            self.state = states.EXITING
            self._say("Bus EXITING")
            self.publish("exit")
            self._say("Bus EXITED")
            atexit.unregister(self._clean_exit)
        except BaseException as exc:
            failure = failure or exc
        if failure is not None:
            raise failure

    def restart(self) -> None:
        """Exit, then let ``block()`` replace this process by a new one of the same command."""
        self.execv = True
        self.exit()

    def graceful(self) -> None:
        """Publish ``graceful``: drop what can be rebuilt, without stopping."""
        self._say("Bus graceful")
        self.publish("graceful")

    def stop(self) -> None:
        """Publish ``stop``."""
        self.state = states.STOPPING
        self._say("Bus STOPPING")
        self.publish("stop")
        self.state = states.STOPPED
        self._say("Bus STOPPED")

    def start_with_callback(
        self,
        func: Callable[..., object],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> threading.Thread:
        """Start the bus and call ``func`` in a thread of its own once it has STARTED."""
        exits = self._exits

        def over() -> bool:  # A start that fails exits.
            return self._exits != exits or self.state is states.STARTED

        def _callback() -> None:
            while not self._pause(1, over):
                pass
            if self._exits == exits:
                func(*(args or ()), **(kwargs or {}))

        thread = threading.Thread(target=_callback, args=())
        thread.name = f"Bus Callback {thread.name}"
        thread.start()
        self.start()
        return thread

    def _clean_exit(self) -> None:
        """The interpreter ends (atexit) while the bus has not exited."""
        if self.state is states.EXITING or os.getpid() != self._pid:
            return  # In a forked child the bus belongs to the parent.
        warnings.warn(
            f"The main thread is exiting, but the Bus is in the {self.state!r} state; shutting "
            "it down automatically now. You must either call bus.block() after start(), or call "
            "bus.exit() before the main thread exits.",
            RuntimeWarning,
            stacklevel=1,
        )
        self.exit()

    # ---------------------------------------------------------------- waiting

    def block(self, interval: float = 0.1) -> None:
        """Wait until the bus is EXITING, publishing ``main`` every ``interval`` seconds.

        Then wait for the threads that are still running, within ``shutdown_timeout``; what is
        left is named in the log and does not keep the process from ending. After ``restart()``
        the process is replaced and this does not return.
        """
        status: object = 0
        try:
            try:
                self.wait(states.EXITING, interval=interval, channel="main")
            except (KeyboardInterrupt, OSError):
                self._say("Keyboard Interrupt: shutting down bus")
                self.exit()
            except SystemExit:
                self._say("SystemExit raised: shutting down bus")
                self.exit()
                raise
        except BaseException as exc:
            status = exc.code if isinstance(exc, SystemExit) else 1
            raise
        finally:
            if self.state is states.EXITING:
                self._wait_for_threads(status)
        if self.execv:
            self._do_execv()

    def _wait_for_threads(self, status: object) -> None:
        deadline = None
        if self.shutdown_timeout is not None:
            began = self._exit_began or time.monotonic()
            deadline = max(began + self.shutdown_timeout, time.monotonic() + lingering.GRACE)
        # Another thread (a daemon, often) may be in the middle of the listeners of "exit".
        while self._leaving.locked():
            seconds = 1.0 if deadline is None else deadline - time.monotonic()
            if not self._pause(seconds, self._has_left) and deadline is not None:
                self._say("The listeners of exit are still running.", level=30)
                break
        self._say("Waiting for child threads to terminate...")
        left = lingering.join(deadline, log=self._say)
        if left:
            names = ", ".join(thread.name for thread in left)
            self._say(f"Leaving behind threads that are still running: {names}.", level=30)
        if not self.execv and threading.current_thread() is threading.main_thread():
            lingering.leave_behind(lingering.running(), status, log=self._say)

    def _has_left(self) -> bool:
        return not self._leaving.locked()

    def wait(
        self,
        state: _StateEnum.State | Iterable[_StateEnum.State],
        interval: float = 0.1,
        channel: str | None = None,
    ) -> None:
        """Return when the bus is in ``state`` (or one of several), at once when it gets there.

        ``channel`` is published every ``interval`` seconds in the meantime.
        """
        wanted = (state,) if isinstance(state, _StateEnum.State) else tuple(state)

        def there() -> bool:
            return self.state in wanted

        while not self._pause(interval, there):
            if channel is not None:
                self.publish(channel)

    def _pause(self, seconds: float, done: Callable[[], bool]) -> bool:
        """Sleep until ``done()``, asked again whenever something changes; return whether it is."""
        if done():
            return True
        waiter = allocate_lock()
        waiter.acquire()
        self._waiters.append(waiter)
        deadline = time.monotonic() + seconds
        try:
            while not done():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                waiter.acquire(timeout=left)
            return True
        finally:
            self._waiters.remove(waiter)

    # ---------------------------------------------------------------- respawn

    def _do_execv(self) -> None:
        """Replace this process by a new one with the command it was started with."""
        args = self._get_true_argv()
        self._say("Re-spawning " + " ".join(args))
        os.chdir(_startup_cwd)
        if self.max_cloexec_files:
            self._set_cloexec()
        respawn.replace(args)

    @staticmethod
    def _get_interpreter_argv() -> list[str]:
        """Return the interpreter's own options (``-X``, ``-W``, ``-O`` ...)."""
        return respawn.interpreter_argv()

    @staticmethod
    def _get_true_argv() -> list[str]:
        """Return the whole command, the interpreter first, as the process got it."""
        return respawn.command()

    def _set_cloexec(self) -> None:
        respawn.close_on_exec(self.max_cloexec_files)


bus = Bus()
