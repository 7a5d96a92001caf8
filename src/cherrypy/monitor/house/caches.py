"""The cache of whole responses (tool `caching`): what it answers, what it waits for, what it drops."""

from __future__ import annotations

import threading
import time
from typing import Any

from ...framework.errors import HTTPRedirect
from ...framework.serving import serving
from ...framework.site import site
from ...framework.tools import default_toolbox
from ...lib import caching
from ..shards import own
from ..table import toolbox as b
from ..traces import CACHE
from .house import House


class _Why(threading.local):
    """Why responses are dropped just now; "" when that is none of a cache's business."""

    reason = ""


def begin(house: House) -> None:
    """Count what it does."""
    patches = house.patches

    def get(*args: Any, **kwargs: Any) -> bool:
        trace = own.trace
        before = trace.enter(CACHE)
        try:
            answered = bool(plain(*args, **kwargs))
        except HTTPRedirect as answer:
            if answer.status == 304:
                b.CACHE_REQUESTS.add(1, ("not_modified",))
            raise
        finally:
            trace.leave(before)
        b.CACHE_REQUESTS.add(1, (result_of(answered),))
        return answered

    plain = patches.replace(caching, "get", get)
    tool = default_toolbox.__dict__.get("caching")
    if tool is not None and tool.callable is plain:
        patches.put(tool, "callable", get)

    def reuse(cache: Any) -> Any:
        variant = look(cache)
        serving.request._monitor_found = variant is not None
        return variant

    look = patches.replace(caching.MemoryCache, "get", reuse)
    evictions(house)
    waits(house)
    house.sample(b.CACHE_OBJECTS, lambda: _of_cache("_entries", len))
    house.sample(b.CACHE_BYTES, lambda: _of_cache("cursize", float))


def result_of(answered: bool) -> str:
    """What became of a request that came to the cache."""
    request = serving.request
    found = request.__dict__.pop("_monitor_found", None)
    if answered:
        return "hit"
    if found:
        return "stale"  # it was there, and too old for who asked
    return "miss" if found is False else "bypass"


def evictions(house: House) -> None:
    """Responses that are dropped: they had expired, or had to make room."""
    why = _Why()
    cache = caching.MemoryCache

    def because(reason: str, plain: Any) -> Any:
        def dropping(*args: Any) -> Any:
            before, why.reason = why.reason, reason
            try:
                return plain(*args)
            finally:
                why.reason = before

        return dropping

    def forget(self: Any, entry: Any) -> None:
        plain(self, entry)
        if why.reason:
            b.CACHE_EVICTIONS.add(1, (why.reason,))

    plain = house.patches.replace(cache, "_forget", forget)
    for name, reason in (("_expire", "expired"), ("_add", "size"), ("_forget_all", "deleted")):
        house.patches.replace(cache, name, because(reason, getattr(cache, name)))


def waits(house: House) -> None:
    """Waiting for another thread that is making the same response."""

    def wait(self: Any, key: Any, *args: Any, **kwargs: Any) -> Any:
        there = isinstance(self.get(key), caching._Pending)
        began = time.monotonic()
        value = plain(self, key, *args, **kwargs)
        if there:
            b.CACHE_STAMPEDE_WAIT.observe(time.monotonic() - began)
        return value

    plain = house.patches.replace(caching.AntiStampedeCache, "wait", wait)


def _of_cache(name: str, measure: Any) -> dict[Any, float]:
    value = getattr(site.__dict__.get("_cache"), name, None)
    return {} if value is None else {(): float(measure(value))}
