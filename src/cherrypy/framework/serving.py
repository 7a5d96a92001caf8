"""What this thread is serving, and the proxies that users know as `request` and `response`.

Law: rooms of the house read `serving.request`; the proxies are for applications, and slower.
"""

from __future__ import annotations

import threading
import weakref
from _thread import get_ident
from collections.abc import Iterator
from typing import Any

__all__ = ("Serving", "ThreadData", "ThreadLocalProxy", "request", "response", "serving", "witness")


class Life:
    """A thread that has served something: its number, and the dict of what it is serving now.

    It lives as long as the thread, so that others can see what is in flight without a request
    having to report anywhere.
    """

    __slots__ = ("__weakref__", "held", "ident")

    def __init__(self, held: dict[str, Any]) -> None:
        self.ident = get_ident()
        self.held = held


_own = threading.local()  # holds the thread's Life
_lives: set[weakref.ref[Life]] = set()


def watch(life: Any) -> None:
    """Count in somebody who is no thread and serves something: it has `held`, `ident` and `take`."""
    _lives.add(weakref.ref(life, _lives.discard))


def lives() -> list[Life]:
    """The threads that have served something and are still there, and others like them."""
    found = (ref() for ref in _lives.copy())
    return [life for life in found if life is not None]


class Serving(threading.local):
    """The request and the response of this thread; anything else may be kept here, too.

    Outside a request the attributes are those of the class: the default request and response,
    which `request.py` and `response.py` put here.
    """

    request: Any = None
    response: Any = None

    def __init__(self) -> None:
        # Called once in each thread, when that first comes here.
        _own.life = life = Life(self.__dict__)
        _lives.add(weakref.ref(life, _lives.discard))

    def load(self, request: Any, response: Any) -> None:
        """Make these the request and the response of this thread."""
        self.request = request
        self.response = response

    def clear(self) -> None:
        """Forget everything this thread was serving."""
        self.__dict__.clear()


serving = Serving()


class ThreadLocalProxy:
    """Stands for an attribute of `serving`: whatever is done to it happens to that object."""

    __slots__ = ("__attrname__", "__dict__")

    def __init__(self, attrname: str) -> None:
        object.__setattr__(self, "__attrname__", attrname)

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(serving, self.__attrname__), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(getattr(serving, self.__attrname__), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(getattr(serving, self.__attrname__), name)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]  # the object's, as of old
        child: dict[str, Any] = getattr(serving, self.__attrname__).__dict__
        return {**vars(type(self)), **child}

    def __dir__(self) -> list[str]:
        return dir(getattr(serving, self.__attrname__))

    def __getitem__(self, key: Any) -> Any:
        return getattr(serving, self.__attrname__)[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        getattr(serving, self.__attrname__)[key] = value

    def __delitem__(self, key: Any) -> None:
        del getattr(serving, self.__attrname__)[key]

    def __contains__(self, key: Any) -> bool:
        return key in getattr(serving, self.__attrname__)

    def __iter__(self) -> Iterator[Any]:
        return iter(getattr(serving, self.__attrname__))

    def __len__(self) -> int:
        return len(getattr(serving, self.__attrname__))

    def __bool__(self) -> bool:
        return bool(getattr(serving, self.__attrname__))

    # Python 2 name, kept because programs ask for it.
    __nonzero__ = __bool__


class _RequestProxy(ThreadLocalProxy):
    """The same for `request`, without a lookup by name: handlers read it all the time."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(serving.request, name)


class _ResponseProxy(ThreadLocalProxy):
    """The same for `response`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(serving.response, name)


class ThreadData(threading.local):
    """A place for whatever applications keep by thread, such as database connections."""


class Witness(threading.local):
    """Where a test of this thread has the exceptions noted that are answered with 500; None: nowhere."""

    errors: list[BaseException] | None = None


request: Any = _RequestProxy("request")
response: Any = _ResponseProxy("response")
thread_data = ThreadData()
witness = Witness()
