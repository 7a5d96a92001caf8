"""Sessions in a store that several processes, or machines, share: what all such stores have in common.

Law: an id reaches a store only if it consists of letters, digits, '-' and '_'.
"""

from __future__ import annotations

import threading
from typing import Any

from cherrypy.framework.site import site

from .sessionbase import reads_freely
from .sessionhealth import SessionStoreDown, StoreHealth, StoreUnusable
from .sessionleases import Lease
from .sessionrecords import SAFE_ID, RecordSession

__all__ = ("SharedSession", "timeout_of")


def timeout_of(value: Any) -> float:
    """Return the seconds that a store may take to answer. Raises ValueError."""
    seconds = float(value)
    if not 0 < seconds <= 600:
        raise ValueError(
            f"tools.sessions.store_timeout is {value!r}; seconds, above 0 and up to 600."
        )
    return seconds


@reads_freely
class SharedSession(RecordSession):
    """A session in a store that others use, too.

    A storage class gives `SETTINGS`, the names of the settings that make one store another, and
    `_connect(settings)`, which returns the store. That has `where`, for the log; `errors`, what its
    driver raises when it is not there; `ready`, False at first; `ping()`, `get(id)`, `put(id, raw, until, must_exist)`,
    `touch(id, until)`, `remove(id)`, `count()`, `clean_up()`, `close()`, and what a `Lease` needs.
    """

    SETTINGS: tuple[str, ...] = ()

    #: Seconds that the store may take to answer.
    store_timeout: float = 5

    # By class and settings; and what guards the making of them.
    _stores: dict[tuple[Any, ...], tuple[Any, StoreHealth]] = {}
    _making = threading.Lock()

    def __init__(self, id: str | None = None, **kwargs: Any) -> None:
        self._store, self._health = self._store_of(kwargs)
        super().__init__(id, **kwargs)

    @classmethod
    def setup(cls, **kwargs: Any) -> None:
        """Take the settings.

        Raises ImportError when a library is missing, ValueError for settings that are none,
        SessionStoreDown when the store does not answer.
        """
        for name, value in kwargs.items():
            setattr(cls, name, value)
        cls._store_of({})

    @classmethod
    def check(cls, **kwargs: Any) -> None:
        """See at the start whether the store can be used with these settings.

        Raises ImportError and ValueError as `setup`, StoreUnusable when it does not answer.
        """
        try:
            cls._store_of(kwargs)
        except SessionStoreDown as exc:
            cause = exc.__cause__ or exc
            reason = str(cause).strip() or type(cause).__name__
            raise StoreUnusable(f"The store of sessions cannot be used: {reason}") from None

    @classmethod
    def _store_of(cls, given: dict[str, Any]) -> tuple[Any, StoreHealth]:
        settings = {name: given.get(name, getattr(cls, name)) for name in cls.SETTINGS}
        key = (cls, *map(str, settings.values()))
        found = cls._stores.get(key)
        if found is None:
            with cls._making:
                found = cls._stores.get(key)
                if found is None:
                    store = cls._connect(settings)
                    # Until the process ends; a restart of the engine finds them again.
                    site.engine.subscribe("exit", store.close, 90)
                    found = cls._stores[key] = (store, StoreHealth(store.where, store.errors))
        store, health = found
        if not store.ready:
            health.call(store.ping)
            store.ready = True
        return found

    @classmethod
    def _connect(cls, settings: dict[str, Any]) -> Any:
        raise NotImplementedError

    # ------------------------------------------------------------------------------- data

    def _checked(self) -> str | None:
        """Return the id, if it is one that may reach the store."""
        id = self._id or ""
        return id if SAFE_ID.fullmatch(id) else None

    def _must_be_checked(self) -> str:
        id = self._checked()
        if id is None:
            raise ValueError("The session id is not one that could be a key.")
        return id

    def _exists(self) -> bool:
        return self._read() is not None

    def _read(self) -> tuple[bytes, float] | None:
        id = self._checked()
        if id is None:
            return None
        found: tuple[bytes, float] | None = self._health.call(self._store.get, id)
        return found

    def _write(self, raw: bytes, until: float, must_exist: bool) -> bool:
        id = self._must_be_checked()
        return bool(self._health.call(self._store.put, id, raw, until, must_exist))

    def _touch(self, until: float) -> None:
        self._health.call(self._store.touch, self._must_be_checked(), until)

    def _delete(self) -> None:
        id = self._checked()
        if id is not None:
            self._health.call(self._store.remove, id)

    def _lock_between(self) -> Lease:
        return Lease(self._store, self._health.call, self._must_be_checked())

    def clean_up(self) -> None:
        """Remove sessions that have expired, and locks of those who died."""
        try:
            self._health.call(self._store.clean_up)
        except SessionStoreDown:
            pass  # has been said in the log

    def __len__(self) -> int:
        """Return the number of sessions."""
        return int(self._health.call(self._store.count))
