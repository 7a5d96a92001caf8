"""Sessions: data that stays from one request of a client to the next.

Storage classes are looked up in the namespace of this module: whoever plants a `MongoSession`
here may say `storage_type = 'mongo'`, and whoever plants a `RedisSession` gets it for 'redis'.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from cherrypy.framework import errors
from cherrypy.framework.request import Request
from cherrypy.framework.serving import ThreadLocalProxy, serving
from cherrypy.framework.site import site
from kirsch.http.cookies import cookie_value
from kirsch.http.dates import HTTPDate

from . import is_iterator
from .sessionbase import Session, SessionLocked, missing
from .sessioncookie import _add_MSIE_max_age_workaround, set_response_cookie

if TYPE_CHECKING:
    from .sessionfiles import FileSession
    from .sessionmemcached import MemcachedSession
    from .sessionpostgresql import PostgresqlSession
    from .sessionram import RamSession
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


#: Stores whose modules are imported when somebody first asks for them.
_LATE = {
    "RamSession": "sessionram",
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


def retry() -> None:
    """Begin a request anew that has failed while others changed what it had in hand of its session."""
    again = getattr(serving.__dict__.get("session"), "_retry", None)
    # Who has come too late has been answered.
    if (
        again is not None
        and not _is_saved()
        and not isinstance(sys.exc_info()[1], errors.TimeoutError)
    ):
        again()


retry.priority = 10  # type: ignore[attr-defined]  # read by hooks; before the error is in the log


def close() -> None:
    """Give back the lock of a request that has not saved its session; nobody would give it back after that."""
    session: Any = serving.__dict__.get("session")
    if getattr(session, "_own", None) is not None and not _is_saved():
        session.hand_in()
    if session is not None and getattr(session, "locked", False):
        # Nobody has saved it: so be it.
        getattr(session, "abandon_lock", session.release_lock)()
    if getattr(session, "_lock_on_access", False):
        session._lock_on_access = False


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
        storage_class = _class_of(storage_type, None)
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
