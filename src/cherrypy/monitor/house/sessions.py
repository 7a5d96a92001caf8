"""Sessions: made, ended, loaded, saved and waited for, by the kind of their storage.

A storage class is instrumented when the first request uses it; so those of programs are as well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ...lib import sessions
from ...lib.locking import LockTimeout
from ...lib.sessionbase import ways
from ..metrics import Labels
from ..shards import own
from ..table import toolbox as b
from ..traces import SESSION
from .house import House

#: Seconds for which the number of sessions in a store is believed that others use, too.
GOOD_FOR = 15.0


def storage_of(cls: type) -> str:
    """What a storage is called: 'ram' for RamSession, as `tools.sessions.storage_type` has it."""
    return cls.__name__.removesuffix("Session").lower() or "session"


class Storage:
    """One storage class, and what is counted of it."""

    def __init__(self, house: House, cls: Any) -> None:
        self.cls = cls
        self.label = (storage_of(cls),)
        self.house = house
        self._counted = (-GOOD_FOR, 0.0)
        self._one: Any = None  # a session to ask how many there are
        replace = house.patches.replace
        ours = cls._own_ways is not None and cls._own_ways == ways(cls)
        for name, metric in (
            ("_load", b.SESSION_LOAD_DURATION),
            ("_save", b.SESSION_SAVE_DURATION),
            ("acquire_lock", b.SESSION_LOCK_WAIT),
        ):
            replace(cls, name, self.timed(getattr(cls, name), metric))
        if ours:  # as before: what is timed is stored in no other way
            house.patches.put(cls, "_own_ways", ways(cls))
        replace(cls, "__init__", self.opening(cls.__init__))
        replace(cls, "_regenerate", self.regenerating(cls._regenerate))
        replace(cls, "delete", self.deleting(cls.delete))
        replace(cls, "clean_up", self.cleaning(cls.clean_up))
        if hasattr(cls, "_dump"):
            replace(cls, "_dump", self.measured(cls._dump))

    def timed(self, plain: Callable[..., Any], metric: Any) -> Callable[..., Any]:
        """Time a method, in the layer of sessions."""
        label, saves = self.label, metric is b.SESSION_SAVE_DURATION
        waits = metric is b.SESSION_LOCK_WAIT

        def timed(session: Any, *args: Any, **kwargs: Any) -> Any:
            trace = own.trace
            # Has it already; or calls that of its base; or is nobody's, and cleans up.
            if (waits and session.locked) or trace.layer == SESSION or session._id is None:
                return plain(session, *args, **kwargs)
            new = saves and not session._stored
            began = time.monotonic()
            before = trace.enter(SESSION)
            try:
                result = plain(session, *args, **kwargs)
            except LockTimeout:
                b.SESSION_LOCK_TIMEOUTS.add(1, label)
                raise
            finally:
                metric.observe(trace.leave(before) - began, label)
            if new:
                b.SESSIONS_CREATED.add(1, label)
            return result

        return timed

    def opening(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """Count those who come with an id that is not known."""

        def opening(session: Any, *args: Any, **kwargs: Any) -> None:
            plain(session, *args, **kwargs)
            if type(session) is self.cls:
                if session.missing:
                    b.SESSIONS_ENDED.add(1, (*self.label, "missing"))
                if self._one is None:
                    self._one = self.nobody(session)

        return opening

    def nobody(self, session: Any) -> Any:
        """A session like this one, without id and data."""
        one = self.cls.__new__(self.cls)
        one.__dict__.update(session.__dict__)
        one.id_observers, one._data, one._id = [], {}, None
        return one

    def regenerating(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """Count ids that were replaced."""

        def regenerating(session: Any) -> None:
            stored = session._stored
            plain(session)
            if stored and type(session) is self.cls:
                b.SESSIONS_ENDED.add(1, (*self.label, "regenerated"))

        return regenerating

    def deleting(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """Count those that were deleted."""

        def deleting(session: Any) -> None:
            known = session._stored or not (session.loaded or session.missing)
            known = known and (session._stored or session._id == session.originalid)
            plain(session)
            if known and type(session) is self.cls:
                b.SESSIONS_ENDED.add(1, (*self.label, "deleted"))

        return deleting

    def cleaning(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """Count those that had expired when the store was cleaned up."""

        def cleaning(session: Any) -> None:
            before = self.number(session)
            plain(session)
            gone = before - self.number(session)
            if gone > 0 and type(session) is self.cls:
                b.SESSIONS_ENDED.add(gone, (*self.label, "expired"))

        return cleaning

    def measured(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """Take the size of what is written."""

        def measured(session: Any, *args: Any, **kwargs: Any) -> Any:
            raw = plain(session, *args, **kwargs)
            if type(session) is self.cls:
                b.SESSION_SIZE.observe(float(len(raw)), self.label)
            return raw

        return measured

    def number(self, session: Any) -> float:
        """How many sessions there are; 0 of a storage that cannot say it."""
        try:
            return float(len(session)) if hasattr(type(session), "__len__") else 0.0
        except Exception:  # a store that does not answer; it says so itself
            return 0.0

    def active(self) -> float | None:
        """How many sessions there are, as of some seconds ago; None if nobody can tell."""
        one = self._one
        if one is None or not hasattr(self.cls, "__len__"):
            return None
        now = time.monotonic()
        if issubclass(self.cls, sessions.RamSession) or now - self._counted[0] >= GOOD_FOR:
            self._counted = (now, self.number(one))
        return self._counted[1]


def begin(house: House) -> None:
    """Instrument each storage class when it is first used."""
    lock = threading.Lock()  # guards: each class is instrumented once
    known: dict[Any, Storage] = {}

    def storage_class(*args: Any) -> Any:
        cls = choose(*args)
        if cls not in known:
            try:
                with lock:
                    if cls not in known:
                        known[cls] = Storage(house, cls)
            except Exception as error:
                house.monitor.broken("house.sessions", error)
        return cls

    def active() -> dict[Labels, float]:
        found: dict[Labels, float] = {}
        for storage in list(known.values()):
            number = storage.active()
            if number is not None:
                found[storage.label] = found.get(storage.label, 0.0) + number
        return found

    choose = house.patches.replace(sessions, "_storage_class", storage_class)
    house.sample(b.SESSIONS_ACTIVE, active)
