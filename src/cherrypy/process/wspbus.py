"""The bus: a state machine with channels that other parts of the process listen on.

Law: the bus never ends the interpreter that embeds it (only ``block()``, which a program calls to
hand its main thread over, may replace or end the process), and nothing it does waits for ever.

States: ``STOPPED -> STARTING -> STARTED -> STOPPING -> STOPPED -> EXITING``. An exited bus can be
started again.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import warnings
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from cherrypy.process import lingering, respawn

if TYPE_CHECKING:
    from _thread import LockType

__all__ = ("Bus", "ChannelFailures", "bus", "states")

Listener = Callable[..., Any]
_L = TypeVar("_L", bound=Listener)

try:
    _startup_cwd = os.getcwd()
except OSError:  # The directory we were started in has been deleted.
    _startup_cwd = os.path.abspath(os.sep)

# BSD sysexits EX_SOFTWARE: what a start that was cut short has always ended with.
_EX_SOFTWARE = 70


class ChannelFailures(Exception):
    """One or more listeners of a channel failed; the others have run all the same."""

    delimiter = "\n"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._exceptions: list[BaseException] = []

    def handle_exception(self) -> None:
        """Add the exception that is being handled."""
        exc = sys.exc_info()[1]
        if exc is not None:
            self._exceptions.append(exc)

    def get_instances(self) -> list[BaseException]:
        """Return the collected exceptions, oldest first."""
        return self._exceptions[:]

    def __str__(self) -> str:
        return self.delimiter.join(map(repr, self._exceptions))

    __repr__ = __str__

    def __bool__(self) -> bool:
        return bool(self._exceptions)

    __nonzero__ = __bool__


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


class Bus:
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
        self.execv = False
        self._waiters: list[LockType] = []
        self._state = states.STOPPED
        self.state = states.STOPPED
        channels = ("start", "stop", "exit", "graceful", "log", "main")
        self.listeners: dict[str, set[Listener]] = {channel: set() for channel in channels}
        self._priorities: dict[tuple[str, Listener], int] = {}
        # publish() remembers each channel's listeners in order; see _arrange().
        self._orders: dict[str, tuple[object, frozenset[Listener], tuple[Listener, ...]]] = {}
        self._version = object()
        self._starter: int | None = None  # ident of the thread inside start()
        self._leaver: int | None = None  # ident of the thread inside exit()
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
        # Bare locks, not a Condition: this runs in signal handlers too, where the interrupted
        # thread may hold the very lock that notify() would need.
        for waiter in tuple(self._waiters):
            try:
                waiter.release()
            except RuntimeError:  # Somebody else woke it a moment ago.
                pass

    # --------------------------------------------------------------- channels

    @overload
    def subscribe(
        self, channel: str, callback: None = None, priority: int | None = None
    ) -> Callable[[_L], _L]: ...

    @overload
    def subscribe(self, channel: str, callback: Listener, priority: int | None = None) -> None: ...

    def subscribe(
        self, channel: str, callback: Listener | None = None, priority: int | None = None
    ) -> Callable[[_L], _L] | None:
        """Call ``callback`` whenever something is published on ``channel``.

        Lower priorities are called first; without one, ``callback.priority`` or 50 counts.
        Without a callback this is a decorator, which returns the function it decorates.
        """
        if callback is None:

            def decorate(function: _L) -> _L:
                self.subscribe(channel, function, priority)
                return function

            return decorate
        if priority is None:
            priority = getattr(callback, "priority", 50)
        self._priorities[channel, callback] = priority
        self.listeners.setdefault(channel, set()).add(callback)
        self._version = object()
        return None

    def unsubscribe(self, channel: str, callback: Listener) -> None:
        """Forget ``callback``; it is no error when it does not listen."""
        listeners = self.listeners.get(channel)
        if listeners and callback in listeners:
            listeners.discard(callback)
            self._priorities.pop((channel, callback), None)
            self._version = object()

    def publish(self, channel: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call the listeners of ``channel`` in order of priority; return what they returned.

        A listener that fails is logged and the others still run; then :exc:`ChannelFailures`
        is raised with all failures. KeyboardInterrupt and SystemExit pass at once (a SystemExit
        of 0 becomes 1 when a listener failed before).
        """
        listeners = self.listeners.get(channel)
        if not listeners:
            return []
        order = self._orders.get(channel)
        # The comparison is what makes direct changes of the set safe: it costs some 40 ns.
        if order is None or order[0] is not self._version or order[1] != listeners:
            order = self._arrange(channel, listeners)
        output: list[Any] = []
        try:
            for listener in order[2]:
                output.append(listener(*args, **kwargs))  # noqa: PERF401 # its length tells who failed
        except Exception:
            return self._publish_rest(channel, order[2], output, args, kwargs)
        return output

    def _arrange(
        self, channel: str, listeners: set[Listener]
    ) -> tuple[object, frozenset[Listener], tuple[Listener, ...]]:
        version = self._version  # Read first: a later subscribe() makes what follows invalid.
        snapshot = frozenset(listeners)
        ranks = {}
        for index, ((name, listener), priority) in enumerate(list(self._priorities.items())):
            if name == channel:
                ranks[listener] = (priority, index)
        last = len(self._priorities)
        ordered = sorted(
            snapshot,
            key=lambda one: ranks.get(one) or (getattr(one, "priority", 50), last),
        )
        order = (version, snapshot, tuple(ordered))
        self._orders[channel] = order
        return order

    def _publish_rest(
        self,
        channel: str,
        ordered: tuple[Listener, ...],
        output: list[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> list[Any]:
        """Go on after the first failure (the exception that is being handled)."""
        failures = ChannelFailures()
        failed = len(output)
        self._note_failure(failures, channel, ordered[failed])
        for listener in ordered[failed + 1 :]:
            try:
                output.append(listener(*args, **kwargs))
            except SystemExit as exc:
                if exc.code in (0, None):
                    exc.code = 1
                raise
            except Exception:
                self._note_failure(failures, channel, listener)
        raise failures from failures.get_instances()[0]

    def _note_failure(self, failures: ChannelFailures, channel: str, listener: Listener) -> None:
        failures.handle_exception()
        if channel != "log":  # Whatever fails there would fail again.
            self._say(f"Error in {channel!r} listener {listener!r}", level=40, traceback=True)

    # -------------------------------------------------------------- lifecycle

    def start(self) -> None:
        """Publish ``start``.

        When a listener fails, everything is stopped again and the failure raised to the caller.
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
            if self._exits != exits:  # Another thread exited in the meantime.
                raise SystemExit(_EX_SOFTWARE)
            self._say("Bus STARTED")
        except (KeyboardInterrupt, SystemExit):
            if self.state is not states.EXITING:
                self._undo_start()
            raise
        except BaseException:
            self._say("Shutting down due to error in start listener:", level=40, traceback=True)
            self._undo_start()
            raise
        finally:
            self._starter = None

    def _undo_start(self) -> None:
        try:
            self._shut_down()
        except ChannelFailures:  # Logged, and the caller has a better exception to hear of.
            pass

    def exit(self) -> None:
        """Stop, publish ``exit``, and become EXITING, which ends ``block()``.

        May be called from any thread, in any state and repeatedly; while one thread is at it,
        other calls return at once. Failures of listeners do not keep the rest from shutting
        down; they are raised at the end. Called by a listener of ``start`` (or by a signal during
        it), it raises SystemExit(70) in the thread that is starting, after the shutdown.
        """
        if self._leaver is not None:
            return
        self._shut_down()
        if self._starter == get_ident():
            raise SystemExit(_EX_SOFTWARE)
        if not threading.main_thread().is_alive():
            # The program ended without block(): only threads keep the process up.
            lingering.leave_behind(lingering.running(), log=self._say)

    def _shut_down(self) -> None:
        self._leaver = get_ident()
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
        finally:
            self._leaver = None
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

        def _callback() -> None:
            while self._exits == exits:  # A start that fails exits, and there is no call.
                if self.state is states.STARTED:
                    func(*(args or ()), **(kwargs or {}))
                    return
                self._pause(0.1)

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
        self._say("Waiting for child threads to terminate...")
        deadline = None
        if self.shutdown_timeout is not None:
            began = self._exit_began or time.monotonic()
            deadline = max(began + self.shutdown_timeout, time.monotonic() + lingering.GRACE)
        left = lingering.join(deadline, log=self._say)
        if left:
            names = ", ".join(thread.name for thread in left)
            self._say(f"Leaving behind threads that are still running: {names}.", level=30)
        if not self.execv and threading.current_thread() is threading.main_thread():
            lingering.leave_behind(lingering.running(), status, log=self._say)

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
        while self.state not in wanted:
            if self._pause(interval, wanted) and channel is not None:
                self.publish(channel)

    def _pause(self, seconds: float, wanted: tuple[_StateEnum.State, ...] = ()) -> bool:
        """Sleep until the state changes to a wanted one (any, without); True: it did not."""
        waiter = allocate_lock()
        waiter.acquire()
        self._waiters.append(waiter)
        before = self.state
        deadline = time.monotonic() + seconds
        try:
            while True:
                now = self.state
                if now in wanted or (not wanted and now is not before):
                    return False
                left = deadline - time.monotonic()
                if not waiter.acquire(timeout=max(left, 0)) and left <= 0:
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

    # -------------------------------------------------------------------- log

    def log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Publish ``msg`` on ``log``, with the exception being handled when ``traceback``."""
        if traceback:
            from traceback import format_exception

            msg += "\n" + "".join(format_exception(*sys.exc_info()))
        self.publish("log", msg, level)

    def _say(self, msg: str, level: int = 20, traceback: bool = False) -> None:
        """Log, whatever the log's listeners do: a full disk must not keep the bus from moving."""
        try:
            self.log(msg, level, traceback)
        except ChannelFailures:
            pass


bus = Bus()
