"""Which pages only read their sessions, learned from what they do; and what a request reads without the lock.

Law: a page that has written once takes the lock before it reads; and a request that is found to have read
what another one has changed since, and then writes, is begun anew, or the log says what it has overwritten.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from cherrypy.framework.errors import Again
from cherrypy.framework.response import look_at_time
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site

from .sessionbase import ALL

if TYPE_CHECKING:
    from .sessionholds import Holds

__all__ = ("Reading", "begin_anew", "may_begin_anew", "reading_of")

LIMIT = (
    5000  # pages, and keys of them, that are remembered; then all are forgotten, and learned again
)
LONGEST = 200  # characters of a key that are remembered as they are

#: RFC 9110, 9.2.1: who asks with these does not want anything changed; and they may be repeated (9.2.2).
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))

#: Stages of a request after which something of the response may have been sent.
_LATE = frozenset(("error", "done", "on_end_request", "close"))

#: Pages, and whether they only read. What is not in it is not known. And pages with a key, and the class of what was
#: under it, which they have had in hand under the lock and left as it was.
_reads_only: dict[tuple[Any, ...], bool] = {}
#: Pages that read only, while whose last run something in their session has changed: by somebody else, it seems.
_doubted: set[tuple[Any, ...]] = set()
#: Code of pages with a key, and the class of what was under it, that have waited once for it in vain.
_waited: set[tuple[Any, ...]] = set()


def _page(handler: Any, request: Any) -> tuple[Any, ...]:
    """Return what a page is known by.

    One function may show a basket and fill it: by its method, or if it is given anything.
    """
    made = getattr(handler, "callable", handler)
    if isinstance(made, functools.partial):
        made = made.func
    function = getattr(made, "__func__", made)
    if type(function) is not types.FunctionType:
        function = _instead(made, function)
    args = getattr(request, "args", None)
    # What a function calls may be of the class of its object.
    kind = type(getattr(made, "__self__", made))
    return (
        *(function, kind, request.method, bool(request.query_string), bool(args)),
        request.script_name,  # where its tools may be others
    )


def _instead(made: Any, function: Any) -> Any:
    """Return what a page is known by that is no function: a callable object, or one that is compiled.

    Where one cannot be told from another, because it says itself what it is equal to, all of its class are one page.
    """
    # Inherited too, as that of NotFound.
    call = getattr(type(made), "__call__", None)  # noqa: B004 - the function is wanted
    if type(call) is types.FunctionType:
        return call
    if type(made) in (types.BuiltinFunctionType, types.MethodWrapperType):
        return made.__qualname__
    kind: Any = type(function)
    return function if function is None or kind.__hash__ is object.__hash__ else kind


def _remember(page: tuple[Any, ...], reads: bool) -> None:
    """A page has been found to write, or to read only; the latter counts unless it is known to write by now."""
    if len(_reads_only) >= LIMIT:
        _reads_only.clear()
        _doubted.clear()
        _waited.clear()
    if reads:
        _reads_only.setdefault(page, True)
    else:
        _reads_only[page] = False


def _held(page: tuple[Any, ...], key: Any, value: Any) -> tuple[Any, ...]:
    """Return what it is known by that a page has left a value as it was."""
    short = type(key) is str and len(key) <= LONGEST
    return page, key if short else (type(key), hash(key)), type(value)


def _waiting(page: tuple[Any, ...], key: Any, value: Any) -> tuple[Any, ...]:
    """Return what it is known by that a page has waited; also if its function is another one each time."""
    return getattr(page[0], "__code__", page[0]), *_held(page, key, value)[1:]


def is_safe(request: Any) -> bool:
    """Tell whether who asks does not want anything changed."""
    return request.method in _SAFE


def _may_be_tried(request: Any) -> bool:
    """Tell whether nothing is lost when a request is begun a second time: it is safe, and has no body."""
    throws = request.throws
    if not is_safe(request) or type(throws) is not tuple or not issubclass(Again, throws):
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
    """Return how this request reads its session; None if it is of a page that is known to write.

    Args:
        handler: what the dispatcher has found, before tools have put theirs around it.
    """
    request = serving.request
    page = _page(handler, request)
    known = _reads_only.get(page)
    if known is False:
        return None
    made = getattr(handler, "callable", handler)
    if request._anew is not None:
        # It takes the lock, though the page be another function each time, which nobody knows.
        return Reading(page, made, known=None)
    return Reading(page, made, bool(known))


class Reading:
    """How one request reads its session: without the lock, or with it to see what its page does.

    free
        Without: the page is known to read only, or its code says so, or it is tried.
    trial
        It is tried: nothing is known of the page, but the request may be begun anew.
    looked, stale
        The keys that have been looked at, and those that others have changed since (`ALL` for all).
    holds
        Of sessions in memory: the values that the request has in hand, and how they were.
    wrote
        Whether the page has written.
    """

    __slots__ = (
        *("_foreign", "_made", "_page", "_verdict"),
        *("free", "holds", "looked", "stale", "trial", "unchanged", "wrote"),
    )

    def __init__(self, page: tuple[Any, ...], made: Any, known: bool | None) -> None:
        self._page = page
        self._made = made
        self._verdict: Any = None
        # What others have written since it was read.
        self._foreign: set[Any] = set()
        self.free = bool(known)
        self.trial = False
        self.looked: set[Any] = set()
        self.stale: set[Any] = set()
        self.holds: Holds | None = None
        self.unchanged = self.wrote = False
        if known is False:
            self._judge()

    @property
    def doubted(self) -> bool:
        """Whether it is worth the lock, if nobody has it, to see whether the page still reads only."""
        return bool(_doubted) and self._page in _doubted

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

    def leaves(self, key: Any, value: Any) -> bool:
        """Tell whether the page is known to leave what is under a key as it is."""
        return _reads_only.get(_held(self._page, key, value), False)

    @property
    def writes(self) -> bool:
        """Whether the page is known to write by now."""
        return _reads_only.get(self._page) is False

    def patience(self, key: Any, value: Any, seconds: float | None) -> float | None:
        """Return for how many seconds it is worth to wait for the lock, for a value that the page might change.

        None: as long as who writes, as who may ask for a change does.
        """
        if seconds is None or not is_safe(serving.request):
            return None
        assert self.holds is not None
        if self.holds.borrowed or _waiting(self._page, key, value) in _waited:
            return 0.0
        return seconds

    def borrow(self, key: Any, value: Any, has_waited: bool) -> None:
        """Go on with a value without the lock; a page that has waited for it once does not do so again."""
        if has_waited:
            if len(_waited) >= LIMIT:
                _waited.clear()
            _waited.add(_waiting(self._page, key, value))
        assert self.holds is not None
        self.holds.borrow(key, value)

    def write(self) -> None:
        """Remember that this page writes."""
        if not self.wrote:
            self.wrote = True
            _remember(self._page, reads=False)
            _doubted.discard(self._page)

    def doubt(self, changed: Iterable[Any]) -> None:
        """Something has changed, but others have had the lock: the page is looked at when they have not."""
        assert self.holds is not None
        changed = set(changed)
        torn = self.holds.borrowed & (changed | self.holds.unclear)
        if torn:
            self.holds.unclear |= torn
            if self._page not in _doubted:
                self._tell(
                    torn,
                    "has gone on with values of its session while another request had the lock, and they are not "
                    "as they were, or cannot be compared",
                    "If both have changed them, something may be lost. A page that changes what is in an object "
                    "is safe with tools.sessions.locking = 'implicit'.",
                )
        if (changed or torn) and len(_doubted) < LIMIT:
            _doubted.add(self._page)

    def prove(self) -> None:
        """There is the lock: what changes now is changed by this page."""
        self.free = self.trial = False
        _doubted.discard(self._page)

    def learn(self, changed: Callable[[], bool]) -> None:
        """At the end: see what the page is, by what it has done.

        Args:
            changed: tells whether a value is not what it was, though nobody has set it: a list
                that has grown.
        """
        if not self.wrote and changed():
            self.write()
        self.unchanged = not self.wrote
        # One that failed, or sent its client away, may not have come to what it does.
        status = str(serving.response.status or 200)[:3]
        unclear = self.holds is not None and self.holds.unclear
        if self.wrote or unclear or not (status.startswith("2") or status == "304"):
            return
        if not self.free or self.trial or self._verdict is not None:
            _remember(self._page, reads=True)
        if self.holds is not None:
            for key, value in self.holds.left():
                _remember(_held(self._page, key, value), reads=True)

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
        self._tell(
            lost,
            "has set what another request had set since it read the session",
            "The later one stands. Its page had only read until now; from now on it takes the lock.",
        )

    @staticmethod
    def _tell(keys: Iterable[Any], what: str, more: str) -> None:
        names = ", ".join(sorted(repr(key)[:100] for key in keys)[:20])
        line = getattr(serving.request, "request_line", None) or ""
        # Not the values and not the id: they are nobody's business.
        site.log(f"{line!r} {what}: {names}. {more}", "SESSION", severity=30)
