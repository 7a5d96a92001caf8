"""A cache of whole responses in memory, and the fields that govern caches elsewhere.

The cache is `cherrypy._cache`; it appears when the tool first runs.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from types import GeneratorType
from typing import Any

from cherrypy.framework.errors import HTTPError, HTTPRedirect
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site
from kirsch.http.dates import HTTPDate
from kirsch.http.headers import HeaderMap

from . import cptools

__all__ = ("AntiStampedeCache", "Cache", "MemoryCache", "expires", "get", "tee_output")


class Cache:
    """What a cache has to offer; give your own as the argument `cache_class` of the tool."""

    def get(self) -> Any:
        """Return the variant stored for the current request, or None."""
        raise NotImplementedError

    def put(self, obj: Any, size: int) -> None:
        """Store a variant of `size` bytes for the current request."""
        raise NotImplementedError

    def delete(self) -> None:
        """Remove all variants of the current request's URI."""
        raise NotImplementedError

    def clear(self) -> None:
        """Remove everything."""
        raise NotImplementedError


class _Pending(threading.Event):
    """Stands in the cache while a thread makes the value."""

    result: Any = None


class AntiStampedeCache(dict[Any, Any]):
    """The variants of one URI; who asks for one that another thread is making waits for it."""

    selecting_headers: list[str]

    def wait(self, key: Any, timeout: float | None = 5, debug: bool = False) -> Any:
        """Return the value of `key`, or None if the caller has to make it.

        Args:
            timeout: seconds to wait for another thread that is making it; None: not at all.
        """
        pending = _Pending()
        value = self.setdefault(key, pending)
        if value is pending or not isinstance(value, _Pending):
            return None if value is pending else value
        if timeout is None:
            return None
        value.wait(timeout)
        return value.result

    def __setitem__(self, key: Any, value: Any) -> None:
        previous = self.get(key)
        dict.__setitem__(self, key, value)
        if isinstance(previous, _Pending):
            previous.result = value
            previous.set()

    def abandon(self, key: Any) -> None:
        """Let the waiting threads go: the value is not going to come."""
        pending = self.get(key)
        if isinstance(pending, _Pending):
            if dict.get(self, key) is pending:
                dict.pop(self, key, None)
            pending.set()


class _Entry:
    """One stored response: when it goes, what it takes, and where it is."""

    __slots__ = ("key", "serial", "size", "uri", "variants", "when")

    def __init__(
        self, serial: int, when: float, size: int, uri: str, variants: AntiStampedeCache, key: Any
    ) -> None:
        self.serial = serial
        self.when = when
        self.size = size
        self.uri = uri
        self.variants = variants
        self.key = key


class MemoryCache(Cache):
    """Responses in the memory of this process, by URI and by what they vary with.

    Its attributes are settings of the tool.
    """

    maxobjects = 1000
    """The number of URIs it holds at most."""

    maxvariants = 32
    """The number of variants of one URI it holds at most; the oldest makes room for the next.
    What a variant is told by comes from the peer, who could make up any number."""

    maxobj_size = 100000
    """Larger bodies (bytes) are not stored."""

    maxsize = 10000000
    """The bytes of all bodies together."""

    delay = 600
    """Seconds until a response is forgotten."""

    antistampede_timeout = 5
    """Seconds to wait for another thread that makes the same response."""

    expire_freq = 0.1
    """Seconds at least between two looks at what has expired."""

    debug = False

    def __init__(self) -> None:
        # Guards everything below: lookups are quick, and the bodies are made elsewhere.
        self._changed = threading.Condition()
        self.clear()
        self.expiration_thread: threading.Thread | None = None

    def clear(self) -> None:
        """Remove everything and begin to count anew."""
        with self._changed:
            self.store: dict[str, AntiStampedeCache] = {}
            # A heap of times and serial numbers; those no longer in `_entries` mean nothing.
            self.expirations: list[tuple[float, int]] = []
            self._entries: dict[int, _Entry] = {}
            self._serials: dict[tuple[int, Any], int] = {}  # by id of the variants, and key
            self._serial = 0
            # By URI the requests that are making its response now.
            self._making: dict[str, set[Any]] = {}
            self.tot_puts = 0
            self.tot_gets = 0
            self.tot_hist = 0
            self.tot_expires = 0
            self.tot_non_modified = 0
            self.cursize = 0

    def expire_cache(self) -> None:
        """Remove what has expired, again and again; a daemon thread does nothing else."""
        while True:
            with self._changed:
                if not self.expirations:
                    self._changed.wait()
                    continue
                left = self.expirations[0][0] - time.time()
                if left > 0:
                    self._changed.wait(max(left, self.expire_freq))
                    continue
                self._expire()

    def _expire(self) -> None:
        from heapq import heappop

        now = time.time()
        while self.expirations and self.expirations[0][0] <= now:
            entry = self._entries.get(heappop(self.expirations)[1])
            if entry is not None:
                self.tot_expires += 1
                self._forget(entry)
                self._tidy(entry.uri, entry.variants)

    def _forget(self, entry: _Entry) -> None:
        """Remove a stored response."""
        del self._entries[entry.serial]
        del self._serials[id(entry.variants), entry.key]
        dict.pop(entry.variants, entry.key, None)
        self.cursize -= entry.size

    def _forget_all(self, variants: AntiStampedeCache) -> None:
        for key in list(variants):
            serial = self._serials.get((id(variants), key))
            if serial is not None:
                self._forget(self._entries[serial])

    def _tidy(self, uri: str, variants: AntiStampedeCache) -> None:
        """Remove a URI of which nothing is left: it would take the place of another one."""
        if not variants and self.store.get(uri) is variants:
            del self.store[uri]

    @staticmethod
    def _uri() -> str:
        """The URI of the request, such that different requests have different ones.

        As `cherrypy.url()` would have it, but nothing is resolved, and a '?' in the path (it came
        as %3F) does not begin a query: whoever asks for one page must not fill in for another.
        """
        request = serving.request
        path = request.script_name + request.path_info
        if "%" in path or "?" in path:
            path = path.replace("%", "%25").replace("?", "%3F")
        query = request.query_string
        return f"{request.base}{path}?{query}" if query else f"{request.base}{path}"

    @staticmethod
    def _key(variants: AntiStampedeCache) -> tuple[str, ...]:
        fields = serving.request.headers
        return tuple(fields.get(name, "") for name in variants.selecting_headers)

    def get(self) -> Any:
        """Return the variant stored for the current request, or None."""
        request = serving.request
        uri = self._uri()
        with self._changed:
            self.tot_gets += 1
            variants = self.store.get(uri)
        if variants is None:
            return None
        key = self._key(variants)
        variant = variants.wait(key, timeout=self.antistampede_timeout, debug=self.debug)
        if variant is None:
            # If the response is not stored after all, nobody shall wait for it.
            def abandon() -> None:
                with self._changed:
                    variants.abandon(key)
                    self._tidy(uri, variants)

            request.hooks.attach("on_end_request", abandon, failsafe=True)
            return None
        with self._changed:
            self.tot_hist += 1
        return variant

    def begin(self) -> None:
        """Note that the current request makes a response, which `delete` makes worthless.

        Without this, what was read before a change would be stored after it.
        """
        request = serving.request
        uri = self._uri()
        with self._changed:
            self._making.setdefault(uri, set()).add(request)

        def end() -> None:
            with self._changed:
                making = self._making.get(uri)
                if making is not None:
                    making.discard(request)
                    if not making:
                        del self._making[uri]

        request._caching_begun = True
        request.hooks.attach("on_end_request", end, failsafe=True)

    def put(self, variant: Any, size: int) -> None:
        """Store a variant of `size` bytes, if there is room, for the current request."""
        uri = self._uri()
        request = serving.request
        with self._changed:
            if getattr(request, "_caching_begun", False) and request not in self._making.get(
                uri, ()
            ):
                return  # deleted meanwhile
            variants = self._variants(uri)
            if variants is None:
                return
            key = self._key(variants)
            serial = self._serials.get((id(variants), key))
            known = 0 if serial is None else self._entries[serial].size
            # Peers choose what is told apart, so that counts, too.
            size += len(uri) + sum(map(len, key))
            if size >= self.maxobj_size or self.cursize - known + size >= self.maxsize:
                self._tidy(uri, variants)
                return
            if serial is not None:
                self._forget(self._entries[serial])
            self._add(uri, variants, key, variant, size)
            if self.expiration_thread is None:
                self.expiration_thread = threading.Thread(
                    target=self.expire_cache, name="expire_cache", daemon=True
                )
                self.expiration_thread.start()
            self._changed.notify_all()

    def _variants(self, uri: str) -> AntiStampedeCache | None:
        """The variants of a URI, told apart by what this response varies with, too."""
        wanted = serving.response.headers.values("Vary")
        variants = self.store.get(uri)
        if variants is not None:
            seen = {name.lower() for name in variants.selecting_headers}
            if seen.issuperset(name.lower() for name in wanted):
                return variants
            # Those that are there do not say whom they are for.
            self._forget_all(variants)
            wanted = [*variants.selecting_headers, *wanted]
        elif len(self.store) >= self.maxobjects:
            return None
        self.store[uri] = variants = AntiStampedeCache()
        variants.selecting_headers = wanted
        return variants

    def _add(
        self, uri: str, variants: AntiStampedeCache, key: Any, variant: Any, size: int
    ) -> None:
        from heapq import heapify, heappush

        from .cachewords import freshness

        # The place of this one may be taken already, by what its waiters wait for.
        while len(variants) - (key in variants) >= self.maxvariants:
            serials = (self._serials.get((id(variants), other)) for other in variants)
            oldest = next((serial for serial in serials if serial is not None), None)
            if oldest is None:  # all are still being made
                break
            self._forget(self._entries[oldest])
        self._serial = serial = self._serial + 1
        response = serving.response
        when = response.time + min(self.delay, freshness(response.headers, response.time))
        self._entries[serial] = _Entry(serial, when, size, uri, variants, key)
        self._serials[id(variants), key] = serial
        heappush(self.expirations, (when, serial))
        if len(self.expirations) > 2 * len(self._entries) + 100:
            # Reloading a page again and again leaves only numbers behind; not those either.
            self.expirations = [(entry.when, n) for n, entry in self._entries.items()]
            heapify(self.expirations)
        variants[key] = variant
        self.tot_puts += 1
        self.cursize += size

    def delete(self) -> None:
        """Remove all variants of the current request's URI."""
        uri = self._uri()
        with self._changed:
            self._making.pop(uri, None)
            variants = self.store.pop(uri, None)
            if variants is not None:
                self._forget_all(variants)


def _cache_of(kwargs: dict[str, Any], debug: bool) -> Any:
    cache = site.__dict__.get("_cache")
    if cache is None:
        cache = kwargs.pop("cache_class", MemoryCache)()
        for name, value in kwargs.items():
            setattr(cache, name, value)
        cache.debug = debug
        # Another thread may have made one meanwhile.
        cache = site.__dict__.setdefault("_cache", cache)
    return cache


def get(
    invalid_methods: Iterable[str] = ("POST", "PUT", "DELETE"), debug: bool = False, **kwargs: Any
) -> bool:
    """Answer from the cache, if it has the response and the client takes it (tool `caching`).

    Args:
        invalid_methods: methods that remove what is stored for their URI. Whatever it says, only
            GET is stored, and only GET and HEAD are answered.
        kwargs: `cache_class`, and attributes of the cache to set when it is made.

    Returns whether the response is made. Sets `request.cached` and `request.cacheable`.
    """
    from .cachewords import Wish

    request, response = serving.request, serving.response
    cache = _cache_of(kwargs, debug)

    method = request.method
    if method in invalid_methods or method not in ("GET", "HEAD"):
        request.cached = request.cacheable = False
        # RFC 9111, 4.4: what may change the resource, also by a method nobody knows, ends it.
        if method in invalid_methods or method not in ("OPTIONS", "TRACE"):
            cache.delete()
            # And after the change: what others read meanwhile may be from before it.
            for point in ("before_finalize", "before_error_response"):
                request.hooks.attach(point, cache.delete, priority=100)
        return False

    # Until something is found that can be sent. HEAD may be answered by what GET has left, but
    # leaves nothing: its page need not have made a body.
    request.cached, request.cacheable = False, method == "GET"
    wish = Wish(request, getattr(cache, "delay", 600))
    request.cacheable = wish.store and request.cacheable
    variant = cache.get() if wish.reuse else None
    if variant is not None:
        status, headers, body, created = variant
        age = int(response.time - created)
        if age > wish.max_age or response.time - created > wish.fresh_for(headers, created):
            variant = None
    if variant is None:
        if wish.only_if_cached:
            raise HTTPError(504, "This response is not in the cache.")
        if request.cacheable and hasattr(cache, "begin"):
            cache.begin()
        return False
    request.cached, request.cacheable = True, False
    # A copy: what happens to this response is no business of the next one.
    response.headers = HeaderMap()
    dict.update(response.headers, headers)
    response.headers["Age"] = str(age)
    response.status = status
    try:
        if "Etag" in headers:
            cptools.validate_etags()
        cptools.validate_since()
    except HTTPRedirect as exc:
        if exc.status == 304 and hasattr(cache, "tot_non_modified"):
            cache.tot_non_modified += 1
        raise
    response.body = body
    return True


class _Tee:
    """A body that is stored when it has been sent to its end; closes what it wraps.

    A generator would close nothing if nobody had begun to pull.
    """

    __slots__ = ("_body", "_chunks")

    def __init__(self, body: Any, cache: Any, response: Any) -> None:
        self._body: Any = body
        self._chunks = _teed(body, cache, response)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Give the body up, or back: its own `close` is called, once."""
        body, self._body = self._body, None
        try:
            self._chunks.close()
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()


def _teed(body: Any, cache: Any, response: Any) -> Generator[bytes, None, None]:
    limit = getattr(cache, "maxobj_size", None)
    output: list[bytes] = []
    size = 0
    chunks = iter(body)
    try:
        for chunk in chunks:
            size += len(chunk)
            if limit is None or size < limit:
                output.append(chunk)
            else:  # too large to be stored: not to be gathered either
                output.clear()
            yield chunk
    finally:
        # What `__iter__` made may hold what the body itself closes.
        if chunks is not body and isinstance(chunks, GeneratorType):
            chunks.close()
    if size and (limit is None or size < limit):
        cache.put((response.status, dict(response.headers), b"".join(output), response.time), size)


def tee_output() -> None:
    """Store the response of this request while it is being sent."""
    from .cachewords import may_be_stored

    response = serving.response
    if may_be_stored(serving.request, response):
        response.body = _Tee(response.body, site.__dict__["_cache"], response)


#: A date long past, for clients that know Expires only: Sun, 28 Jan 2007 00:00:00 GMT.
_PAST = 1169942400

#: Fields of a response that show that it is meant to be kept.
_CACHEABLE = ("Etag", "Last-Modified", "Age", "Expires")


def expires(secs: Any = 0, force: bool = False, debug: bool = False) -> None:
    """Say how long the response stays fresh (tool `expires`).

    Args:
        secs: seconds, or a timedelta; 0 says that it must be asked for each time.
        force: do so also for responses that show no sign of being cacheable, and whatever
            fields there are already.
    """
    response = serving.response
    headers = response.headers
    if not force and not any(name in headers for name in _CACHEABLE):
        return
    if isinstance(secs, datetime.timedelta):
        secs = int(secs.total_seconds())
    if secs == 0:
        if force or "Pragma" not in headers:
            headers["Pragma"] = "no-cache"
        if serving.request.protocol >= (1, 1) and (force or "Cache-Control" not in headers):
            headers["Cache-Control"] = "no-cache, must-revalidate"
        date = HTTPDate(_PAST)
    else:
        date = HTTPDate(response.time + secs)
    if force or "Expires" not in headers:
        headers["Expires"] = date
