"""Sessions that are kept as bytes, by whatever keeps them: read, compared, merged, written.

Law: who has the lock writes all; who has not writes what it has changed, and nothing if the session
has been removed meanwhile.
"""

from __future__ import annotations

import datetime
import re
import time
from typing import Any

from cherrypy.framework.serving import serving
from cherrypy.framework.site import site

from .locking import NamedLocks
from .sessionbase import Session, SessionLocked, missing

__all__ = ("SAFE_ID", "RecordSession")

#: What may become part of a path or a key.
SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")


class _Pickle:
    """Any Python object; the store must be nobody else's, for pickles are programs."""

    @staticmethod
    def dumps(data: Any, protocol: int) -> bytes:
        import pickle

        return pickle.dumps(data, protocol)

    @staticmethod
    def loads(raw: bytes) -> Any:
        import pickle

        return pickle.loads(raw)


class _Json:
    """What JSON can say, and nothing that could run."""

    @staticmethod
    def dumps(data: Any, protocol: int) -> bytes:
        import json

        values, expiration_time = data
        return json.dumps([values, expiration_time.isoformat()]).encode("utf-8")

    @staticmethod
    def loads(raw: bytes) -> Any:
        import json

        values, expiration_time = json.loads(raw)
        return values, datetime.datetime.fromisoformat(expiration_time)


_SERIALIZERS: dict[str, Any] = {"pickle": _Pickle, "json": _Json}


class RecordSession(Session):
    """A session of which a store keeps one record of bytes.

    A storage class gives `_read`, `_write`, `_touch`, `_exists`, `_delete`, `_lock_between` and
    `_check_id`. Settings: `serializer`, ``'pickle'`` (the default) or ``'json'``, or an object with
    ``dumps((data, expiration time), protocol)`` and ``loads(bytes)``.
    """

    _deletes_unlocked = True

    serializer: Any = "pickle"
    pickle_protocol = 5

    # Between the threads of this process, which is cheaper to wait for than what is between
    # processes.
    locks: NamedLocks = NamedLocks()
    _between: Any = None

    #: What was read: the bytes, and until when they hold (seconds since the epoch).
    _raw: bytes | None = None
    _until = 0.0
    _saving = False

    # ----------------------------------------------------------------- for storage classes

    def _read(self) -> tuple[bytes, float] | None:
        """Return the record and until when it holds; None if there is none."""
        raise NotImplementedError

    def _write(self, raw: bytes, until: float, must_exist: bool) -> bool:
        """Keep the record; False if it `must_exist` and does not."""
        raise NotImplementedError

    def _touch(self, until: float) -> None:
        """Have the record, if it is there, hold until then."""
        raise NotImplementedError

    def _lock_between(self) -> Any:
        """Return the lock between processes: `acquire(seconds)`, `release()`, `holder()`, `held()`."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------- data

    def _serializer(self) -> Any:
        serializer = self.serializer
        if isinstance(serializer, str):
            try:
                return _SERIALIZERS[serializer]
            except KeyError:
                raise ValueError(
                    f"tools.sessions.serializer is {serializer!r}; known are "
                    f"{', '.join(_SERIALIZERS)}."
                ) from None
        return serializer

    def _parse(self, raw: bytes) -> Any:
        """Return ``(data, expiration time)``, or None if that is not what it is."""
        serializer = self._serializer()
        try:
            data, expiration_time = serializer.loads(raw)
            if not isinstance(expiration_time, datetime.datetime) or not isinstance(data, dict):
                raise TypeError("not a session")
        except Exception as exc:  # unpickling may raise anything
            # The request goes on with an empty session.
            site.log(
                f"The record of a session is damaged and counts as new ({type(exc).__name__}).",
                "SESSION",
                severity=30,
            )
            return None
        return data, expiration_time

    def _load(self) -> Any:
        """Return ``(data, expiration time)``, or None."""
        self._raw, self._until = None, 0.0
        found = self._read()
        if found is None:
            return None
        raw, until = found
        record = self._parse(raw)
        if record is None:
            return None
        data, expiration_time = record
        # Reading alone extends what the store knows, and leaves the record as it is.
        self._raw, self._until = raw, max(until, expiration_time.timestamp())
        return data, max(expiration_time, datetime.datetime.fromtimestamp(self._until))  # noqa: DTZ006 - as `now`

    def _dump(self, data: Any, expiration_time: datetime.datetime) -> bytes:
        return bytes(self._serializer().dumps((data, expiration_time), self.pickle_protocol))

    def _save(self, expiration_time: datetime.datetime) -> None:
        if self.locked or self._raw is None:  # None: there is nothing to merge with
            self._put(expiration_time)
        elif not (self._reading is not None and self._reading.unchanged) and self._changes():
            self._merge(expiration_time)
        else:
            self._touch(expiration_time.timestamp())

    def _put(self, expiration_time: datetime.datetime) -> None:
        if self._between is not None and not self._between.held():
            site.log(
                f"{self._request_line()!r} has lost the lock of its session, as the store forgot it; "
                "its changes are dropped.",
                "SESSION",
                severity=30,
            )
            raise SessionLocked()
        raw = self._dump(self._data, expiration_time)
        until = expiration_time.timestamp()
        # Somebody may have logged out while we were at it: the session must not come back.
        must_exist = self._raw is not None and self._until > time.time()
        if self._write(raw, until, must_exist):
            self._raw, self._until = raw, until
        else:
            site.log(
                "A session was removed while a request changed it; the changes are dropped.",
                "SESSION",
                severity=20,
            )

    @staticmethod
    def _request_line() -> str:
        return getattr(serving.request, "request_line", None) or ""

    def _merge(self, expiration_time: datetime.datetime) -> None:
        """Write what has changed into what is there now, with the lock for just that long."""
        self.acquire_lock()
        try:
            self._put(expiration_time)
        finally:
            self._unlock()

    def _changes(self) -> dict[Any, Any]:
        """Return what differs from what was read; the value `missing` for what has gone."""
        if self._raw is None:
            return dict(self._data)
        record = self._parse(self._raw)
        before = {} if record is None else record[0]
        changes = {
            key: value
            for key, value in self._data.items()
            if key not in before or not self._alike(before[key], value)
        }
        changes.update((key, missing) for key in before if key not in self._data)
        return changes

    def _alike(self, one: Any, other: Any) -> bool:
        try:
            never = datetime.datetime(9999, 1, 1)  # noqa: DTZ001 - as `now`
            return self._dump({"": one}, never) == self._dump({"": other}, never)
        except Exception:  # what cannot be written says so when it is
            return False

    def _refresh(self) -> None:
        """Having the lock now, take up what others have written since the data were read."""
        if self._raw is None:
            return
        changes = self._changes()
        known, until = self._raw, self._until
        fresh = self._load()
        if fresh is None or fresh[1] < self.now():
            # It has gone: whether changes still count is for the write to say.
            self._raw, self._until = known, until
            return
        if self._raw == known:
            return  # nobody has written
        record = self._parse(known)
        before = {} if record is None else record[0]
        others = self._differing(before, fresh[0])
        if self._reading is not None:
            self._reading.others(others)
            if changes:
                self._uphold()
            self._reading.overwrite(changes)
        # What nobody else has changed stays the very object that the request may have in hand, and change.
        for key in others:
            if key in changes:
                continue
            if key in fresh[0]:
                self._data[key] = fresh[0][key]
            else:
                self._data.pop(key, None)

    def _differing(self, before: dict[Any, Any], now: dict[Any, Any]) -> list[Any]:
        """Return the keys of what others have set or removed."""
        return [
            key
            for key in {*before, *now}
            if key not in before or key not in now or not self._alike(before[key], now[key])
        ]

    def _watch(self) -> bool:
        return self._raw is not None

    def _known(self) -> Any:
        return self._raw

    def _differing_from(self, known: Any) -> list[Any]:
        record = None if known is None or known == self._raw else self._parse(known)
        return [] if record is None else self._differing(record[0], self._data)

    def _changed_in_place(self) -> bool:
        from .sessionvalues import ATOMS

        return not ATOMS.issuperset(map(type, self._data.values())) and bool(self._changes())

    # ------------------------------------------------------------------------------ locks

    def acquire_lock(self) -> None:
        """Take the lock of this session. Raises SessionLocked when it is not to be had."""
        if self.locked:
            return
        between = self._lock_between()
        limit = self._lock_limit()
        deadline = None if limit is None else time.monotonic() + limit
        self._lock_named(self.locks)
        entry = self.locks.get(self._id or "")
        try:
            # Else this request has it already, through another object.
            if entry is None or entry.count == 1:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if not between.acquire(left):
                    self._refuse(between.holder())
                self._between = between
            if self.loaded:
                self._refresh()
        except BaseException:
            self._unlock()
            raise

    def release_lock(self) -> None:
        """Give the lock back; what has been changed is written before."""
        self._settle()
        self._lock_on_access = False
        if not self.locked:
            return
        try:
            if self.loaded and not self._saving and not self._deleted:
                self._flush()
        finally:
            self._unlock()

    def _flush(self) -> None:
        if (self._data or self._stored) and (self._raw is None or self._changes()):
            if self._reading is not None:
                self._reading.write()
            self._save(self.now() + datetime.timedelta(minutes=self.timeout))
            self._stored = True

    def _unlock(self) -> None:
        self.locked = False
        between, self._between = self._between, None
        try:
            if between is not None:
                between.release()
        finally:
            self.locks.release(self._id or "")

    def save(self) -> None:
        """Write the data to the store, if they were read, and give the lock back."""
        self._saving = True
        try:
            super().save()
        finally:
            self._saving = False

    def _regenerate(self) -> None:
        # What is under the old id is removed, and nobody knows the new one yet.
        self._raw = None
        saving, self._saving = self._saving, True
        try:
            super()._regenerate()
        finally:
            self._saving = saving

    def abandon_lock(self) -> None:
        """Give the lock back and write nothing."""
        if self.locked:
            self._unlock()

    def delete(self) -> None:
        """Remove the session from the store; what is set afterwards makes a new one."""
        super().delete()
        self._raw = None
