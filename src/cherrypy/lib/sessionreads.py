"""Which pages only read their sessions, learned from what they do; and what a request reads without the lock.

Law: a page that has written once takes the lock before it reads; and a request that is found to have read
what another one has changed since, and then writes, is begun anew, or the log says what it has overwritten.
"""

from __future__ import annotations

import datetime
import functools
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from cherrypy.framework.errors import Again
from cherrypy.framework.response import look_at_time
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site

from .sessionbase import ALL

__all__ = (
    "ATOMS",
    "Reading",
    "begin_anew",
    "fingerprint",
    "is_fixed",
    "may_begin_anew",
    "reading_of",
)

LIMIT = 5000  # pages that are remembered; then all are forgotten, and learned again
NODES = 20_000  # parts of a session in memory that are looked at; more count as "cannot be known"

#: RFC 9110, 9.2.1: who asks with these does not want anything changed; and they may be repeated (9.2.2).
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))

#: Stages of a request after which something of the response may have been sent.
_LATE = frozenset(("error", "done", "on_end_request", "close"))

#: Pages, and whether they only read. What is not in it is not known.
_reads_only: dict[tuple[Any, ...], bool] = {}


def _page(handler: Any, request: Any) -> tuple[Any, ...] | None:
    """Return what a page is known by; None for what nobody could tell from another.

    One function may show a basket and fill it: by its method, or if it is given anything.
    """
    made = getattr(handler, "callable", handler)
    if isinstance(made, functools.partial):
        made = made.func
    function = getattr(made, "__func__", made)
    if type(function) is not types.FunctionType:
        # Inherited too, as that of NotFound.
        function = getattr(type(made), "__call__", None)  # noqa: B004 - the function is wanted
        if type(function) is not types.FunctionType:
            return None
    args = getattr(request, "args", None)
    # What a function calls may be of the class of its object.
    kind = type(getattr(made, "__self__", made))
    return (
        *(function, kind, request.method, bool(request.query_string), bool(args)),
        request.script_name,  # where its tools may be others
    )


def _remember(page: tuple[Any, ...]) -> None:
    """A page has been found to read only, unless it is known to write by now."""
    if len(_reads_only) >= LIMIT:
        _reads_only.clear()
    _reads_only.setdefault(page, True)


def _may_be_tried(request: Any) -> bool:
    """Tell whether nothing is lost when a request is begun a second time: it is safe, and has no body."""
    throws = request.throws
    if request.method not in _SAFE or type(throws) is not tuple or not issubclass(Again, throws):
        return False
    if request._origin is None and request._wsgi_environ is None:
        return False  # made by somebody who would not make it once more
    headers = request.headers
    return "Transfer-Encoding" not in headers and headers.get("Content-Length", "0") in ("", "0")


def may_begin_anew() -> bool:
    """Tell whether the present request may still be begun anew; once, and no other time."""
    request = serving.request
    return request._anew is None and request.stage not in _LATE and _may_be_tried(request)


def begin_anew() -> NoReturn:
    """Leave this request as it is, and begin it anew. Raises TimeoutError if its client has been answered."""
    look_at_time(serving.request)
    raise Again


def reading_of(handler: Any) -> Reading | None:
    """Return how this request reads its session; None if it has been begun anew, or is of a page that writes, or that
    cannot be told from others.

    Args:
        handler: what the dispatcher has found, before tools have put theirs around it.
    """
    request = serving.request
    # Who begins anew takes the lock, though the page be another function each time, which nobody knows.
    page = _page(handler, request) if request._anew is None else None
    if page is None:
        return None
    known = _reads_only.get(page)
    if known is False:
        return None
    return Reading(page, getattr(handler, "callable", handler), bool(known))


class Reading:
    """How one request reads its session: without the lock, or with it to see what its page does.

    free
        Without: the page is known to read only, or its code says so, or it is tried.
    trial
        It is tried: nothing is known of the page, but the request may be begun anew.
    looked, stale
        The keys that have been looked at, and those that others have changed since (`ALL` for all).
    """

    __slots__ = (
        *("_foreign", "_made", "_page", "_verdict", "_wrote"),
        *("free", "looked", "seen", "stale", "trial", "unchanged"),
    )

    def __init__(self, page: tuple[Any, ...], made: Any, known: bool) -> None:
        self._page = page
        self._made = made
        self._verdict: Any = None
        self._wrote = False
        # What others have written since it was read.
        self._foreign: set[Any] = set()
        self.free = known
        self.trial = False
        self.looked: set[Any] = set()
        self.stale: set[Any] = set()
        self.seen: list[Any] | None = None
        self.unchanged = False
        if not known:
            self._judge()

    def _judge(self) -> None:
        from .reading.verdicts import WRITES, verdict

        found = verdict(self._page, self._made, serving.request)
        if found is not None and found is not WRITES:
            self._verdict, self.free = found, True
        elif found is None:
            self.free = self.trial = _may_be_tried(serving.request)

    def suits(self, data: dict[Any, Any]) -> bool:
        """Tell whether the page, if its code was judged, reads only with data like these; if not, it is not known."""
        if self._verdict is None:
            return True
        from .reading.verdicts import suits

        if suits(self._verdict, data):
            return True
        self._verdict = None
        self.free = self.trial = _may_be_tried(serving.request)
        return False

    def is_shown(self, data: dict[Any, Any]) -> bool:
        """Tell whether the code of the page shows that it changes nothing in data like these."""
        from .reading.verdicts import suits, verdict

        found = self._verdict or verdict(self._page, self._made, serving.request)
        return found is not None and suits(found, data)

    def look(self, key: Any) -> None:
        """Remember that a key is looked at, or `ALL`."""
        self.looked.add(key)
        if self.stale:  # as it is now, it is not
            if key is ALL:
                self.stale.clear()
            self.stale.discard(key)

    def wrote(self) -> None:
        """Remember that this page writes."""
        if not self._wrote:
            self._wrote = True
            _reads_only[self._page] = False

    def learn(self, changed: Callable[[], bool]) -> None:
        """At the end: see what the page is, by what it has done.

        Args:
            changed: tells whether a value is not what it was, though nobody has set it: a list
                that has grown.
        """
        if not self._wrote and changed():
            self.wrote()
        self.unchanged = not self._wrote
        # One that failed, or sent its client away, may not have come to what it does.
        status = str(serving.response.status or 200)[:3]
        new = not self.free or self.trial or self._verdict is not None
        if self.unchanged and new and (status.startswith("2") or status == "304"):
            _remember(self._page)

    def anew(self) -> None:
        """What others have written is about to be read: nothing of it is lost."""
        self._foreign.clear()
        self.stale.clear()

    def others(self, keys: Iterable[Any]) -> None:
        """Take note of what others have written, now that there is the lock."""
        foreign = set(keys)
        self._foreign |= foreign
        self.stale |= foreign if ALL in self.looked else foreign & self.looked

    def reread(self, keys: Iterable[Any]) -> None:
        """Take note of what is another one now that it has been read once more, without the lock."""
        self.stale |= set(keys) if ALL in self.looked else self.looked.intersection(keys)

    def overwrite(self, keys: Iterable[Any]) -> None:
        """Say in the log what is written over a change that this request has not seen."""
        lost = self._foreign.intersection(keys)
        if not lost:
            return
        self._foreign -= lost
        names = ", ".join(sorted(repr(key)[:100] for key in lost)[:20])
        line = getattr(serving.request, "request_line", None) or ""
        # Not the values and not the id: they are nobody's business.
        site.log(
            f"{line!r} has set what another request had set since it read the session: {names}. The "
            "later one stands. Its page had only read until now; from now on it takes the lock.",
            "SESSION",
            severity=30,
        )


# ------------------------------------------------------------------- what has changed in memory

#: What cannot change.
ATOMS = frozenset(
    (
        *(str, int, float, bool, type(None), bytes, complex),
        *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
        *(type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType),
    )
)

#: The same, of modules that need not be there.
_FIXED = frozenset((("decimal", "Decimal"), ("uuid", "UUID"), ("fractions", "Fraction")))


def is_fixed(kind: type) -> bool:
    """Tell whether objects of a class cannot change, and nothing is in them that could."""
    return kind in ATOMS or (kind.__module__, kind.__name__) in _FIXED


_LISTS = frozenset((list, tuple, set, frozenset, deque))
_DICTS = frozenset((dict, OrderedDict, defaultdict, Counter))


def fingerprint(data: dict[Any, Any]) -> list[Any] | None:
    """Return what is equal as long as nothing in `data` changes; None if that cannot be seen.

    Nothing of the program's own is called: neither comparisons nor attributes that compute.
    """
    seen: list[Any] = []
    left: list[Any] = []
    for key, value in data.items():
        seen.append(key if type(key) in ATOMS else id(key))
        if type(value) in ATOMS:
            seen.append(value)
        else:
            left.append(value)
    while left:
        value = left.pop()
        kind = type(value)
        if kind in ATOMS:
            seen.append(value)
            continue
        parts = _parts(value, kind)
        if parts is None or len(seen) + len(left) + len(parts) > NODES:
            return None
        # Two of the same number are the same: what is looked at is alive.
        seen += (id(value), len(parts))
        left += parts
    return seen


def _parts(value: Any, kind: Any) -> list[Any] | None:
    try:
        if kind in _LISTS:
            return list(value)
        if kind in _DICTS:
            return [*value.keys(), *value.values()]
        if kind is bytearray:
            return [bytes(value)]
        if isinstance(value, (str, int, float, bytes)) or is_fixed(kind):
            return []
        if isinstance(value, tuple):
            return list(tuple.__iter__(value))
        slots = [
            one
            for cls in type.__getattribute__(kind, "__mro__")
            for one in type.__getattribute__(cls, "__dict__").values()
            if type(one) is types.MemberDescriptorType
        ]
        has_dict = bool(kind.__dictoffset__)
        # An object that is its attributes and nothing else, by its size.
        if kind.__basicsize__ == _size(len(slots), has_dict, bool(kind.__weakrefoffset__)):
            own = object.__getattribute__(value, "__dict__") if has_dict else {}
            return [*own.keys(), *own.values(), *(_slot(one, value) for one in slots)]
    except (RuntimeError, AttributeError):  # it changes while one looks; it has none
        pass
    return None


@functools.cache
def _size(slots: int, has_dict: bool, has_weakrefs: bool) -> int:
    """Return the size of objects of a class that is written in Python, with so many slots."""
    names = [f"_{number}" for number in range(slots)]
    names += ["__dict__"] * has_dict + ["__weakref__"] * has_weakrefs
    return type("", (), {"__slots__": names}).__basicsize__


def _slot(slot: types.MemberDescriptorType, value: Any) -> Any:
    try:
        return slot.__get__(value)
    except AttributeError:  # nothing is in it yet
        return _slot
