"""What all sessions have in common: the id, the data that are loaded when asked for, the lock.

Law: an id that the store does not know is never adopted, and a session that nobody has used
leaves nothing behind.
"""

from __future__ import annotations

import datetime
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site

from .locking import LockTimeout, NamedLocks

__all__ = (
    "ADAPTIVE",
    "ALL",
    "Session",
    "SessionLocked",
    "in_seconds",
    "missing",
    "reads_freely",
    "ways",
)

missing = object()

ALL = object()  # stands for all keys of a session

#: For `_lock_on_access`: not where the page only reads.
ADAPTIVE = "adaptive"

# Guards that a class has one thread that cleans up, when the first requests come together.
_starting = threading.Lock()

_minutes = lru_cache(100)(lambda minutes: datetime.timedelta(seconds=minutes * 60))


def in_seconds(limit: Any) -> float | None:
    """Return how long a setting is: a number of seconds, or a timedelta; None for None."""
    if isinstance(limit, datetime.timedelta):
        return limit.total_seconds()
    return None if limit is None else float(limit)


class SessionLocked(HTTPError, LockTimeout):
    """Another request holds the lock of the session and did not give it back in time: 503."""

    def __init__(self) -> None:
        HTTPError.__init__(
            self, 503, "Another request of your session is still running. Please try again."
        )

    def set_response(self) -> None:
        """Make the response; it says when to try again."""
        super().set_response()
        serving.response.headers["Retry-After"] = "1"


def ways(cls: Any) -> tuple[Any, ...]:
    """Return the methods by which sessions of a class are stored."""
    return cls.acquire_lock, cls.release_lock, cls._load, cls._save, cls.save


# The module `sessionreads`, imported with the first session: an import in a function takes a twentieth of a request.
_reads: Any = None


def _load_reads() -> Any:
    global _reads
    from . import sessionreads

    _reads = sessionreads
    return sessionreads


def reads_freely(cls: Any) -> Any:
    """Let pages that only read go without the lock, for sessions that are stored in just this way.

    Whoever has ways of their own, by a subclass or by a method put in place of ours, counts on
    what was always so.
    """
    cls._own_ways = ways(cls)
    return cls


class Session:
    """The data of one client, as a dict that is loaded when first asked for.

    A storage class gives `_exists`, `_load`, `_save(expiration_time)`, `_delete`,
    `acquire_lock`, `release_lock` and, if it likes, `clean_up` and a class method
    `setup(**kwargs)`, which is called once with the settings of the tool.
    """

    _id: str | None = None

    #: Called with the new id when there is one.
    id_observers: list[Any] | None = None

    timeout: float = 60
    """Minutes after its last request until a session expires."""

    locked = False
    """Whether this object holds the lock of the session."""

    loaded = False
    """Whether the data have been read from the store."""

    clean_thread: Any = None
    """What removes the sessions that have expired; of the class, made with the first session."""

    clean_freq: float = 5
    """Minutes between two rounds of it; 0 for none."""

    lock_timeout: Any = 10
    """Seconds (or a timedelta) to wait for the lock; None: for ever."""

    originalid: str | None = None
    """The id that the client has sent."""

    missing = False
    """Whether the client has sent an id that the store does not know."""

    regenerated = False
    """Whether the application has asked for a new id."""

    debug = False

    # Of the tool: take the lock with the first access (True, 'implicit'), or unless the page is
    # known to read only (`ADAPTIVE`); and whether to keep what is empty and new, which only an
    # explicit load() asks for.
    _lock_on_access: Any = False
    _handler: Any = None
    _reading: Any = None
    _keep = False
    _stored = False
    # Of the class: a record may be removed while another request has the lock. Stores that others
    # have written may insist on it.
    _deletes_unlocked = False
    _deleted = False
    # The request is to be begun anew: nothing of it is saved.
    _left = False
    _own_ways: tuple[Any, ...] | None = None

    def __init__(self, id: str | None = None, **kwargs: Any) -> None:
        self.id_observers = []
        self._data: dict[Any, Any] = {}
        self._reading = None
        for name, value in kwargs.items():
            setattr(self, name, value)
        self.originalid = id
        if id is not None:
            self._id = id
            if self._exists():
                return
            # Expired, removed, or somebody tries to choose the id (session fixation).
            self._id = None
            self.missing = True
        self._regenerate()

    # ----------------------------------------------------------------- for storage classes

    def _exists(self) -> bool:
        raise NotImplementedError

    def _load(self) -> Any:
        raise NotImplementedError

    def _save(self, expiration_time: datetime.datetime) -> None:
        raise NotImplementedError

    def _delete(self) -> None:
        raise NotImplementedError

    def acquire_lock(self) -> None:
        """Take the lock of this session. Raises SessionLocked when it is not to be had."""
        raise NotImplementedError

    def release_lock(self) -> None:
        """Give the lock back."""
        raise NotImplementedError

    def clean_up(self) -> None:
        """Remove sessions that have expired."""

    # --------------------------------------------------------------------------------- id

    @property
    def id(self) -> str | None:
        """The id of this session; whoever changes it tells the observers."""
        return self._id

    @id.setter
    def id(self, value: str | None) -> None:
        self._id = value
        for observer in self.id_observers or ():
            observer(value)

    def generate_id(self) -> str:
        """Return a new id that nobody can guess."""
        return os.urandom(20).hex()

    def regenerate(self) -> None:
        """Replace the id; the data stay, and the old id is worth nothing any more."""
        if not self.loaded and self._id is not None and not self.missing:
            self._access()
        if self._reading is not None:
            self._change()
        if self.loaded and self._stored and not self._exists():
            self._data = {}  # removed while this request ran: it does not come back under another id
        self.regenerated = True
        self._keep = True  # empty or not: the client is given its id, and finds it the next time
        self._regenerate()
        self._stored = False

    def _regenerate(self) -> None:
        was_locked = self.locked
        if self._id is not None:
            if self.loaded or self._stored or self._exists():
                self._delete()
            if was_locked:
                self.release_lock()
        new = self.generate_id()
        self._id = new
        # 160 random bits do not come twice; but generate_id may be anybody's.
        while type(self).generate_id is not Session.generate_id and self._exists():
            self._id = new = self.generate_id()
        if self.id_observers:
            self.id = new
        if was_locked:
            self.acquire_lock()

    # ---------------------------------------------------------------------- load and save

    def now(self) -> datetime.datetime:
        """Return the time by which sessions expire: naive and local, as stores have it."""
        return datetime.datetime.now()  # noqa: DTZ005 - existing stores hold such times

    def load(self) -> None:
        """Read the data from the store; a session that is asked for like this is kept."""
        self._keep = True
        if self._reading is None or self.locked or not self.loaded:
            self._access()
            return
        self._settle()
        known = self._known()
        self._access()
        if self._reading is not None:
            self._reading.reread(self._differing_from(known))

    def _access(self) -> None:
        """Read the data from the store, under the lock if the tool says so."""
        how = self._lock_on_access
        # Nobody else has the id of a new session, and it tells nothing of its page.
        new = self._id != self.originalid
        if how and not self.locked and (new or how is True or not self._freely()):
            self.acquire_lock()
        self._fetch()
        reading = self._reading
        if reading is not None and not reading.suits(self._data) and not self.locked:
            # The code of its page says that it only reads, if nothing in the session can be changed.
            if not reading.trial:
                self.acquire_lock()
            reading.anew()
            self._fetch()
        self.loaded = True
        if self.clean_freq:
            cls = type(self)
            if cls.clean_thread is None:
                with _starting:
                    if cls.clean_thread is None:
                        self._start_cleaning(cls)

    def _fetch(self) -> None:
        data = self._load()
        there = data is not None and data[1] >= self.now()
        self._data = data[0] if there else {}
        if data is not None:
            # Else: expired, and not yet cleaned up.
            self._stored = True
        if self._reading is not None and not (there and self._watch()):
            # Nobody will know what the page does: as ever, then.
            self._reading, self._lock_on_access = None, True
            if not self.locked:
                if not there:
                    self._renew()
                self.acquire_lock()
                self._fetch()

    def _renew(self) -> None:
        """Go on with a new session: the one of the client has expired, or was removed since this request came."""
        self._id, self._stored = None, False
        self.missing = True
        self._regenerate()

    # -------------------------------------------------------------------- reading without the lock

    def _freely(self) -> bool:
        """Tell whether the page is known to read only; see to it that one learns of it if it is not."""
        if self._own_ways is None or ways(type(self)) != self._own_ways:
            return False
        if self._reading is None:
            self._reading = (_reads or _load_reads()).reading_of(self._handler)
        reading = self._reading
        if reading is None or not reading.free:
            return False
        if reading.doubted:
            self._look_into_doubts()
        return True

    def _look_into_doubts(self) -> None:
        """Take the lock if nobody has it, to see whether a page still reads only."""

    def _watch(self) -> bool:
        """Remember what was read; False if changes of it could not be seen."""
        return False

    def _changed_in_place(self) -> bool:
        """Tell whether a value is another one than was read, though nobody has set it."""
        return True

    def _hold(self, key: Any) -> None:
        """Before a value is given out (`ALL`: all of them): remember that it is looked at."""
        self._reading.look(key)

    def _known(self) -> Any:
        """Return what has been read, for `_differing_from`."""
        return None

    def _differing_from(self, known: Any) -> Iterable[Any]:
        """Return the keys of what has been read that differ from what had been read before."""
        return (ALL,)

    def _settle(self) -> None:
        """Have the lock if something has been changed in place; for who is not going to ask for it later."""
        free = self._reading is not None and self.loaded and not self.locked
        if free and self._lock_on_access and self._changed_in_place():
            self._change()

    def _same(self, key: Any, value: Any) -> bool:
        """Tell whether setting this changes nothing."""
        from .sessionvalues import ATOMS

        # What others have changed may happen to be what was made of what was before.
        if self._reading.stale:
            return False
        known = self._data.get(key, missing)
        return type(value) is type(known) and type(value) in ATOMS and bool(known == value)

    def _change(self, *keys: Any) -> None:
        """Before keys are set: have the lock, though the page was thought to read only."""
        self._reading.write()
        if self._lock_on_access and not self.locked:
            self.acquire_lock()
        self._uphold()
        self._reading.overwrite(keys)

    def _uphold(self, at_all: bool = False) -> None:
        """Begin the request anew if what it has looked at is not so any more (or `at_all`), and that may be done."""
        if self._left or ((at_all or self._reading.stale) and self._lock_on_access):
            from .sessionreads import begin_anew, may_begin_anew

            if may_begin_anew():
                self._left = True
                begin_anew()

    def _retry(self) -> None:
        """Begin a request anew that has failed, if what it had in hand was changed under it, and that may be done."""
        if self._is_torn():
            self._uphold(at_all=True)

    def _is_torn(self) -> bool:
        """Tell whether others may have changed what the request has in hand."""
        return False

    def _dropped(self) -> None:
        line = getattr(serving.request, "request_line", None) or ""
        site.log(
            f"{line!r} has gone on when it was to begin anew, as another request had changed what it "
            "had read of its session; what it has set is dropped.",
            "SESSION",
            severity=30,
        )

    def _start_cleaning(self, cls: Any) -> None:
        from cherrypy.process.plugins import Monitor

        # A session like this one, but without data that it would keep alive.
        janitor = cls.__new__(cls)
        janitor.__dict__.update(self.__dict__)
        janitor.id_observers = []
        janitor._data = {}
        janitor._id = janitor._reading = janitor._own = None
        thread = Monitor(
            site.engine, janitor.clean_up, self.clean_freq * 60, name="Session cleanup"
        )
        cls.clean_thread = thread
        thread.subscribe()
        thread.start()

    def save(self) -> None:
        """Write the data to the store, if they were read, and give the lock back."""
        try:
            if self._left:
                self._uphold()  # somebody has caught what should have ended the request
                self._dropped()
                return
            if self._reading is not None and self.loaded:
                self._reading.learn(self._changed_in_place)
            used = self._data or self._stored or self._keep
            if self.loaded and used and not self._deleted:
                self._save(self.now() + _minutes(self.timeout))
                self._stored = True
        finally:
            if self.locked:
                self.release_lock()

    def delete(self) -> None:
        """Remove the session from the store; what is set afterwards makes a new one."""
        if self._lock_on_access and not self.locked and not self._deletes_unlocked:
            self.acquire_lock()  # `save` gives it back
        if self._reading is not None:
            self._reading.write()
        self._delete()
        self._stored = False
        self._deleted = True

    # ------------------------------------------------------------------------ like a dict

    def _keys(self) -> dict[Any, Any]:
        """Return the data, for who looks at all the keys."""
        if not self.loaded:
            self._access()
        if self._reading is not None:
            self._reading.look(ALL)
        return self._data

    def _whole(self) -> dict[Any, Any]:
        """Return the data, for who looks at all of them."""
        if not self.loaded:
            self._access()
        if self._reading is not None:
            self._hold(ALL)
        return self._data

    def __getitem__(self, key: Any) -> Any:
        if not self.loaded:
            self._access()
        if self._reading is not None:
            self._hold(key)
        return self._data[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        if not self.loaded:
            self._access()
        if self._reading is not None and not self._same(key, value):
            self._change(key)
        self._deleted = False
        self._data[key] = value

    def __delitem__(self, key: Any) -> None:
        if not self.loaded:
            self._access()
        if self._reading is not None:
            self._reading.look(key)
            self._change(key)
        del self._data[key]

    def __contains__(self, key: Any) -> bool:
        if not self.loaded:
            self._access()
        if self._reading is not None:
            self._reading.look(key)
        return key in self._data

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys())

    def __bool__(self) -> bool:
        return True

    def pop(self, key: Any, default: Any = False) -> Any:
        """Remove a key and return its value, or `default`: programs count on the False."""
        if not self.loaded:
            self._access()
        if self._reading is not None:
            self._reading.look(key)
            if key in self._data:
                self._change(key)
        return self._data.pop(key, default)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        if not self.loaded:
            self._access()
        if self._reading is not None:
            self._hold(key)
        return self._data.get(key, default)

    def update(self, d: Any) -> None:
        """Set the items of `d`."""
        if not self.loaded:
            self._access()
        if self._reading is not None:
            d = dict(d)
            self._change(*d)
        self._deleted = False
        self._data.update(d)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, which is set to `default` first if it is not there."""
        if not self.loaded:
            self._access()
        if self._reading is not None:
            self._hold(key)
            if key not in self._data:
                self._change(key)
        self._deleted = False
        return self._data.setdefault(key, default)

    def clear(self) -> None:
        """Remove all items."""
        if not self.loaded:
            self._access()
        if self._reading is not None:
            self._change(*self._data)
        self._data.clear()

    def keys(self) -> Any:
        """Return a view of the keys."""
        return self._keys().keys()

    def items(self) -> Any:
        """Return a view of the items."""
        return self._whole().items()

    def values(self) -> Any:
        """Return a view of the values."""
        return self._whole().values()

    # ------------------------------------------------------------------------------ locks

    def _lock_limit(self) -> float | None:
        # Another thread may be just importing it.
        loop_here = getattr(sys.modules.get("asyncio.events"), "_get_running_loop", None)
        if loop_here is not None and loop_here() is not None:
            return 0.0  # who waits here stops all coroutines, perhaps the one that has the lock
        return in_seconds(self.lock_timeout)

    def _lock_named(self, locks: NamedLocks) -> None:
        """Take the lock of this id. Raises SessionLocked after `lock_timeout`."""
        assert self._id is not None
        if not locks.acquire(self._id, self._lock_limit(), serving.request):
            self._refuse(locks.holder_of(self._id))
        self.locked = True

    def _refuse(self, holder: str) -> None:
        line = getattr(serving.request, "request_line", None)
        # Not the id: whoever reads the log could take the session over.
        site.log(
            f"{line!r} waited {self._lock_limit()} seconds for the lock of its session, held by "
            f"{holder}.",
            "SESSION",
            severity=30,
        )
        raise SessionLocked()
