"""Sessions in the memory of this process: one of each, which those share that have the lock and those that have not.

Law: a request that goes without the lock reads in a dict of its own, and what it finds to have changed since is never
lost silently.
"""

from __future__ import annotations

import datetime
import sys
import threading
from typing import Any

from cherrypy.framework.serving import serving

from .locking import NamedLocks
from .sessionbase import ALL, Session, SessionLocked, in_seconds, missing, reads_freely

__all__ = ("RamSession",)

LIMIT = 1000  # sessions that are watched; then all are thought to have been changed

#: Of sessions that somebody reads without the lock: what is there until another request is given the lock.
_turns: dict[Any, object] = {}

_ASYNC = 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR


@reads_freely
class RamSession(Session):
    """Sessions in the memory of this process: ``cache[id] = (data, expiration time)``."""

    _deletes_unlocked = True

    cache: dict[str, tuple[dict[Any, Any], datetime.datetime]] = {}
    locks: NamedLocks = NamedLocks()

    patience: Any = 0.1
    """Seconds that a request waits which only reads, for all one knows, and takes hold of an object that it could change; None: `lock_timeout`."""

    # Guards that what was removed is not stored again; between looking and storing.
    _ending = threading.Lock()
    # Whether the data are a copy of what is in the store, as those of a reader without the lock.
    _copied = False
    # The copy all through that a page has which is not known.
    _own: Any = None
    # Whose turn it was when the data were read (one of `_turns`), and whether another request had the lock then.
    _turn: Any = None
    _was_held = False

    def clean_up(self) -> None:
        """Remove sessions that have expired."""
        now = self.now()
        for id, (_, expiration_time) in list(self.cache.items()):
            # Whoever has the lock is about to extend it.
            if expiration_time <= now and id not in self.locks:
                self.cache.pop(id, None)

    def _exists(self) -> bool:
        return self._id in self.cache

    def _load(self) -> Any:
        return self.cache.get(self._id)  # type: ignore[arg-type]  # an id is set by then

    def _save(self, expiration_time: datetime.datetime) -> None:
        if not self._stored:
            self.cache[self._id] = (self._data, expiration_time)  # type: ignore[index]  # an id is set by then
            return
        if self._copied and not self._reading.unchanged and not self.locked:
            self._hand_in()
        # Somebody may have logged out while this request ran: it must not come back.
        with self._ending:
            there = self.cache.get(self._id)  # type: ignore[arg-type]  # an id is set by then
            if there is not None:
                data = there[0] if self._copied else self._data
                self.cache[self._id] = (data, expiration_time)  # type: ignore[index]  # as above

    def _hand_in(self) -> None:
        """Have the others get what has been changed in place, without the lock."""
        if self._changed_in_place():
            self.acquire_lock()
            self._uphold()
            self._reading.overwrite(tuple(self._reading.stale))

    def _delete(self) -> None:
        with self._ending:
            self.cache.pop(self._id, None)  # type: ignore[arg-type]  # an id is set by then

    # ------------------------------------------------------------------------------ locks

    def acquire_lock(self) -> None:
        """Take the lock of this session. Raises SessionLocked when it is not to be had."""
        if not self.locked and not self._lock_within(self._lock_limit()):
            self._refuse(self.locks.holder_of(self._id))  # type: ignore[arg-type]  # an id is set by then

    def _lock_within(self, seconds: float | None) -> bool:
        before = self._changed_before() if self._copied else None
        if not self.locks.acquire(self._id, seconds, serving.request):  # type: ignore[arg-type]  # as above
            return False
        self.locked = True
        if _turns:
            _turns.pop(self._id, None)
        if self._reading is not None:
            self._begin_turn()
            if self._copied:
                self._take_up(before)
        return True

    def release_lock(self) -> None:
        """Give the lock back; from now on access does not take it again."""
        self._settle()
        self._lock_on_access = False
        if self.locked:
            if self._reading is not None:
                self._settle_locked()
            self.locked = False
            self.locks.release(self._id)  # type: ignore[arg-type]  # an id is set by then
        elif self._copied and self._own is None:
            self._take_up(None)

    def _settle_locked(self) -> None:
        """Learn what has been changed in place while there was the lock; later others may change it."""
        reading = self._reading
        if not (reading.wrote or reading.unchanged) and self._changed_in_place():
            reading.write()

    def _begin_turn(self) -> None:
        if len(_turns) >= LIMIT:
            _turns.clear()
        self._turn = _turns.setdefault(self._id, object())
        self._was_held = not self.locked and self._id in self.locks

    def _others_had_a_turn(self) -> bool:
        """Tell whether another request has had the lock since the data were read."""
        return self._was_held or _turns.get(self._id) is not self._turn

    def _look_into_doubts(self) -> None:
        # Not for as long as somebody listens to a stream.
        if serving.response.stream:
            return
        if self.locks.acquire(self._id, 0.0, serving.request):  # type: ignore[arg-type]  # an id is set by then
            self.locked = True
            _turns.pop(self._id, None)
            self._begin_turn()
            self._reading.prove()

    # -------------------------------------------------------------------- reading without the lock

    def load(self) -> None:
        """Read the data from the store; a session that is asked for like this is kept."""
        super().load()
        # Who may not wait for the lock later asks for them in a thread where he may.
        if self._reading is not None and not self.locked and _is_coroutine(self._handler):
            self._take_hold(ALL)

    def _watch(self) -> bool:
        from .sessionholds import Holds

        reading = self._reading
        before = reading.holds
        if before is not None and self.locked:
            return True  # it goes on with what it has in hand
        reading.holds = holds = Holds(reading)
        if self.locked:
            return True
        self._begin_turn()
        self._copied = True
        if reading.trial:
            from .sessioncopies import Copied

            self._own = Copied(self._data)
            self._data = self._own.data
        else:
            # Whoever has the lock goes on with the dict itself, and it must not change under a reader.
            self._data = dict(self._data)
        if before is not None:
            holds.go_on_from(before, self._data, self._is_a_copy)
        return True

    def _is_a_copy(self, key: Any) -> bool:
        return self._own is not None and key not in self._own.guarded

    def _renew(self) -> None:
        self._copied, self._own = False, None
        super()._renew()

    def _hold(self, key: Any) -> None:
        self._reading.look(key)
        holds = self._reading.holds
        if key is ALL or holds.concern(self._data.get(key)):
            self._take_hold(key)

    def _take_hold(self, key: Any) -> None:
        """Have the lock for what is about to be in hand, where that is needed."""
        holds = self._reading.holds
        keys = list(self._data) if key is ALL else (key,)
        holds.taken.update(keys)
        for one in keys:
            if not holds.concern(self._data[one]) or holds.has(one):
                continue
            if self.locked:
                holds.keep(one, self._data[one])
            elif not self._is_a_copy(one):
                free = holds.may(one, self._data, self._own is not None)
                if not free and self._lock_on_access and self._is_given_the_lock(one):
                    # What it has read before may be none of this any more, and what it does now is done.
                    self._uphold()
                    return

    def _is_given_the_lock(self, key: Any) -> bool:
        """Have the lock for a value; False if the request goes on without: it only reads, for all one knows."""
        reading, value = self._reading, self._data[key]
        patience = reading.patience(key, value, in_seconds(self.patience))
        if patience is not None:
            limit = self._lock_limit()
            if limit is not None:
                patience = min(patience, limit)
            if self._lock_within(patience):
                return True
            if not reading.writes:  # it may have been found out meanwhile that it does
                reading.borrow(key, value, has_waited=patience > 0)
                return False
        self.acquire_lock()
        return True

    def _known(self) -> Any:
        return self._own or dict(self._data)

    def _differing_from(self, known: Any) -> list[Any]:
        if type(known) is not dict:
            return list(known.differing(self._data))
        return _exchanged(known, self._data)

    def hand_in(self) -> None:
        """Keep what a request has changed in place that does not come to save its session, as what it sets is kept."""
        if self._reading is None or self._left or not self._changed_in_place():
            return
        self._reading.write()
        try:
            self.acquire_lock()
        except SessionLocked:  # the log says so
            return
        self.release_lock()

    def _changed_in_place(self) -> bool:
        if self._own is not None and self._own.differing(self._data):
            return True
        changed, by_others = self._changed_in_hand()
        return bool(changed) and not by_others

    def _changed_in_hand(self) -> tuple[list[Any], bool]:
        """Return the keys of what the request has in hand and is not as it was; and whether others may have done that."""
        holds = self._reading.holds
        if holds is None:
            return [], False
        changed = holds.changed(self._data)
        by_others = not self.locked and self._others_had_a_turn()
        if by_others:
            self._reading.doubt(changed)
        return changed, by_others

    def _is_torn(self) -> bool:
        if not self._copied or not self._others_had_a_turn():
            return False
        holds = self._reading.holds
        # Of a dict that has changed its size while somebody went through it: it may have it back by now.
        resized = isinstance(sys.exc_info()[1], RuntimeError) and holds.taken
        return bool(resized or holds.changed(self._data) or holds.unclear)

    def _changed_before(self) -> list[Any]:
        """Return the keys of what has changed until now, before who waits for the lock."""
        changed, by_others = self._changed_in_hand()
        if changed and not by_others:
            self._reading.write()
        return changed

    def _take_up(self, before: list[Any] | None) -> None:
        """Go on with what is in the store; a copy was good enough for reading.

        Args:
            before: the keys of what had been changed in place before the lock was asked for; None without the lock.
        """
        known, self._copied = self._data, False
        own, self._own = self._own, None
        there = self._load()
        if there is None:
            return  # removed: `_save` leaves it at that
        reading, now = self._reading, there[0]
        if before is not None:
            # Who waits changes nothing.
            reading.others(key for key in reading.holds.changed(now) if key not in before)
        if own is None:
            reading.others(_exchanged(known, dict(now)))
        else:
            self._take_over(own, now)
        self._data = now
        if before is not None:
            reading.holds.keep_all(now)

    def _take_over(self, own: Any, now: dict[Any, Any]) -> None:
        """Put what a request has in hand in the place of what it is a copy of."""
        reading = self._reading
        foreign, changed = own.differing(now), own.differing(own.data)
        reading.others(foreign)
        tied = own.is_tied(foreign, changed, reading.looked)
        if changed:
            reading.write()
        if changed or tied:
            self._uphold(tied)
            reading.overwrite(changed)
        own.bring_into(now, foreign, changed, reading.looked)

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.cache)


def _exchanged(known: dict[Any, Any], now: dict[Any, Any]) -> list[Any]:
    """Return the keys of which two dicts do not have the same object."""
    keys = {*known, *now}
    return [key for key in keys if known.get(key, missing) is not now.get(key, missing)]


def _is_coroutine(handler: Any) -> bool:
    function = getattr(handler, "callable", handler)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return bool(getattr(code, "co_flags", 0) & _ASYNC)
