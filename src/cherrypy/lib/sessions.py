"""Sessions: data that stays from one request of a client to the next.

Storage classes are looked up in the namespace of this module: whoever plants a `MongoSession`
here may say `storage_type = 'mongo'`, and whoever plants a `RedisSession` gets it for 'redis'.
"""

from __future__ import annotations

import datetime
import threading
import time
from typing import TYPE_CHECKING, Any

from cherrypy.framework.request import Request
from cherrypy.framework.serving import ThreadLocalProxy, serving
from cherrypy.framework.site import site
from kirsch.http.cookies import cookie_value
from kirsch.http.dates import HTTPDate

from . import is_iterator
from .locking import NamedLocks
from .sessionbase import ALL, Session, SessionLocked, missing, reads_freely
from .sessioncookie import _add_MSIE_max_age_workaround, set_response_cookie

if TYPE_CHECKING:
    from .sessionfiles import FileSession
    from .sessionmemcached import MemcachedSession
    from .sessionpostgresql import PostgresqlSession
    from .sessionredis import RedisSession
    from .sessionsqlite import SqliteSession

__all__ = (
    "FileSession",
    "MemcachedSession",
    "PostgresqlSession",
    "RamSession",
    "RedisSession",
    "Session",
    "SessionLocked",
    "SqliteSession",
    "_add_MSIE_max_age_workaround",
    "close",
    "expire",
    "init",
    "missing",
    "save",
    "set_response_cookie",
)


class _SessionProxy(ThreadLocalProxy):
    """`cherrypy.session`; what handlers do with it most is done without a lookup by name."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        return serving.session[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        serving.session[key] = value

    def __contains__(self, key: Any) -> bool:
        return key in serving.session

    @property
    def get(self) -> Any:
        """The method of the session."""
        return serving.session.get


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
            for key in before.taken:
                self._look_again(holds, key)
        return True

    def _look_again(self, holds: Any, key: Any) -> None:
        holds.taken.add(key)
        value = self._data.get(key)
        if holds.concern(value) and not self._is_a_copy(key):
            holds.see(key, value)

    def _is_a_copy(self, key: Any) -> bool:
        return self._own is not None and key not in self._own.guarded

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
        patience = reading.patience(key, value, self.patience)
        if patience is not None:
            limit = self._lock_limit()
            if self._lock_within(patience if limit is None else min(patience, limit)):
                return True
            if not reading.writes:  # it may have been found out meanwhile that it does
                reading.borrow(key, value)
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
        holds = self._reading.holds
        changed = holds.changed(self._data) if holds is not None else []
        if changed and not self.locked and self._others_had_a_turn():
            self._reading.doubt(changed)
            return False
        return bool(changed)

    def _changed_before(self) -> list[Any]:
        """Return the keys of what has changed until now, before who waits for the lock."""
        reading = self._reading
        changed: list[Any] = reading.holds.changed(self._data)
        if changed and self._others_had_a_turn():
            reading.doubt(changed)
        elif changed:
            reading.write()
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


#: Stores whose modules are imported when somebody first asks for them.
_LATE = {
    "FileSession": "sessionfiles",
    "MemcachedSession": "sessionmemcached",
    "PostgresqlSession": "sessionpostgresql",
    "RedisSession": "sessionredis",
    "SqliteSession": "sessionsqlite",
}


def __getattr__(name: str) -> Any:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__package__}.{module}"), name)
    return value


# -------------------------------------------------------------------------- what hooks in


def save() -> None:
    """Save the session of this request, when its body is known to be made."""
    session = serving.__dict__.get("session")
    if session is None:
        return
    request, response = serving.request, serving.response
    # The hook runs again for an error page.
    if _is_saved():
        return
    request._sessionsaved = True
    if response.stream:
        # What has been changed by now can still be found to have been read too early.
        settle = getattr(session, "_settle", None)
        if settle is not None:
            settle()
        # What yields the body may still change the session.
        request.hooks.attach("on_end_request", session.save)
    else:
        kind = type(response._body)
        if kind is not bytes and kind is not list and is_iterator(response.body):
            response.collapse_body()
        session.save()


save.failsafe = True  # type: ignore[attr-defined]  # read by hooks


def close() -> None:
    """Give back the lock of a request that has not saved its session."""
    session: Any = serving.__dict__.get("session")
    if getattr(session, "_own", None) is not None and not _is_saved():
        session.hand_in()
    if session is not None and getattr(session, "locked", False):
        # Nobody has saved it: so be it.
        getattr(session, "abandon_lock", session.release_lock)()


def is_locked(request: Any) -> bool:
    """Tell whether `close` has anything to do."""
    session = serving.__dict__.get("session")
    if session is None:
        return False
    if getattr(session, "_own", None) is not None and not _is_saved():
        return True
    return bool(getattr(session, "locked", False))


def _is_saved() -> bool:
    return bool(getattr(serving.request, "_sessionsaved", False))


close.failsafe = True  # type: ignore[attr-defined]  # read by hooks
close.priority = 90  # type: ignore[attr-defined]  # read by hooks


#: Classes whose `setup` has been called since `cherrypy.session` has been there.
_ready: set[Any] = set()
# Guards that it is called once, when the first requests come together.
_setting_up = threading.Lock()


def _check_stores() -> None:
    from .sessionstart import check_stores

    check_stores()


# After a daemon has forked and given up its rights, and the ports are open: as requests will.
site.engine.subscribe("start", _check_stores, 80)


def _class_of(storage_type: str | None, storage_class: Any) -> Any:
    """Return the class of a store. Raises ValueError when there is none of that name."""
    if storage_class is None:
        name = (storage_type or "ram").title() + "Session"
        storage_class = globals().get(name)
        if storage_class is None and name in _LATE:
            storage_class = __getattr__(name)
        if storage_class is None:
            raise ValueError(
                f"There is no session storage {storage_type!r}: cherrypy.lib.sessions has no {name}."
            )
    return storage_class


def _storage_class(storage_type: str | None, kwargs: dict[str, Any]) -> Any:
    storage_class = kwargs.pop("storage_class", None)
    if storage_class is None:
        storage_class = RamSession if storage_type is None else _class_of(storage_type, None)
    if "session" not in site.__dict__:
        _ready.clear()
    if storage_class not in _ready:
        _set_up(storage_class, kwargs)
    return storage_class


def _set_up(storage_class: Any, kwargs: dict[str, Any]) -> None:
    with _setting_up:
        if storage_class not in _ready:
            setup = getattr(storage_class, "setup", None)
            if setup is not None:
                setup(**kwargs)
            _ready.add(storage_class)


def _sent_id(request: Any, name: str) -> str | None:
    """Return the id that came in the cookie `name`."""
    if type(request) is Request and request._cookie is None and request._fields is not None:
        # Nobody else has asked for the cookies: no jar is needed for one of them.
        return cookie_value(request._fields.get("HTTP_COOKIE") or "", name)
    cookie = request.cookie
    return cookie[name].value if name in cookie else None


def init(
    storage_type: str | None = None,
    path: str | None = None,
    path_header: str | None = None,
    name: str = "session_id",
    timeout: float = 60,
    domain: str | None = None,
    secure: bool | None = None,
    clean_freq: float = 5,
    persistent: bool = True,
    httponly: bool = True,
    debug: bool = False,
    samesite: str | None = "Lax",
    partitioned: bool = False,
    **kwargs: Any,
) -> None:
    """Give this request a session, as `cherrypy.session` (tool `sessions`).

    Args:
        storage_type: 'ram', 'file', 'sqlite', 'postgresql', 'redis', 'memcached', or the name of a class ``<Type>Session`` that
            somebody has put into this module. `storage_class` gives the class itself.
        path, domain: of the cookie. The path is ``/`` unless `path_header` names a request field
            that holds one.
        name: of the cookie.
        timeout: minutes until an unused session expires.
        secure: send the cookie over https only. None: if this request came by https.
        clean_freq: minutes between two clean-ups of the store; 0 for none.
        persistent: let the cookie live as long as the session; else until the browser closes.
        httponly: keep the cookie from scripts.
        samesite: 'Lax', 'Strict', 'None', or None for no such attribute.
        partitioned: a cookie jar by top-level site (CHIPS).
        kwargs: for the storage class: `lock_timeout` (seconds), `storage_path`, `serializer` ...
    """
    request = serving.request
    # A request may come here twice, through decorators for example.
    if getattr(request, "_session_init_flag", False):
        return
    request._session_init_flag = True

    id = _sent_id(request, name)
    implicit = kwargs.pop("_lock_on_access", False)
    storage_class = _storage_class(storage_type, kwargs)
    kwargs["timeout"] = timeout
    kwargs["clean_freq"] = clean_freq
    session = storage_class(id, **kwargs)
    if debug:
        session.debug = debug
    if implicit:
        session._lock_on_access = implicit
        if id is not None:
            session._handler = request.handler
    serving.session = session

    response = serving.response

    def update_cookie(id: str) -> None:
        """Tell the client of a new id."""
        morsel = response.cookie.get(name)
        if morsel is None:
            response.cookie[name] = id
        else:
            morsel.set(name, id, id)

    session.id_observers.append(update_cookie)
    if "session" not in site.__dict__:
        site.__dict__["session"] = _SessionProxy("session")

    set_response_cookie(
        path=path,
        path_header=path_header,
        name=name,
        # 0 would mean "now" to a browser.
        timeout=timeout if persistent else None,
        domain=domain,
        secure=secure,
        httponly=httponly,
        samesite=samesite,
        partitioned=partitioned,
    )


def expire() -> None:
    """Have the client forget the session cookie; the data stay until they expire."""
    request, response = serving.request, serving.response
    name = request.config.get("tools.sessions.name", "session_id")
    if name not in response.cookie:
        response.cookie[name] = serving.session.id
    cookie = response.cookie[name]
    one_year = 60 * 60 * 24 * 365
    cookie["expires"] = HTTPDate(time.time() - one_year)
    cookie["max-age"] = ""
