"""What requests and responses say about caches (RFC 9111), for the tool `caching`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cherrypy.framework.errors import HTTPError
from kirsch.http.dates import parse_date
from kirsch.http.status import valid_status

__all__ = ("Wish", "freshness", "may_be_stored")


def directives(field: str) -> Iterator[tuple[str, str | None]]:
    """Yield name and value of each directive of a Cache-Control or Pragma field."""
    for item in field.split(","):
        name, equals, value = item.strip().partition("=")
        if name:
            yield name.strip().lower(), value.strip() if equals else None


class Wish:
    """What a request says about caches, in Cache-Control and, of old, in Pragma.

    Raises HTTPError 400 for a number of seconds that is none.
    """

    __slots__ = ("max_age", "min_fresh", "only_if_cached", "reuse", "store")

    def __init__(self, request: Any, delay: float) -> None:
        fields = request.headers
        self.max_age: float = delay
        self.min_fresh = 0
        self.reuse = self.store = True
        self.only_if_cached = False
        control = dict.get(fields, "Cache-Control")
        for name, _ in directives(dict.get(fields, "Pragma") or ""):
            if name == "no-cache":
                self.reuse = False
        for name, value in directives(control or ""):
            if name == "no-cache":
                self.reuse = False
            elif name == "no-store":
                self.store = False
            elif name == "only-if-cached":
                self.only_if_cached = True
            elif name in ("max-age", "min-fresh"):
                seconds = _seconds(value)
                if seconds is None:
                    raise HTTPError(400, "Invalid Cache-Control header")
                if name == "max-age":
                    self.max_age = seconds
                else:
                    self.min_fresh = seconds

    def fresh_for(self, headers: Any, created: float) -> float:
        """Return the age in seconds up to which a stored response is what is wanted."""
        return freshness(headers, created) - self.min_fresh


def _seconds(value: str | None) -> int | None:
    if value and value.isascii() and value.isdigit():
        return int(value[:12])
    return None


def freshness(headers: Any, created: float) -> float:
    """Return the seconds for which a response says it is fresh; infinity if it does not say.

    For a shared cache (RFC 9111, 4.2.1): s-maxage goes before max-age, and that before Expires.
    A number that is none, and a date that is none, mean that it is stale.
    """
    found: dict[str, float] = {}
    for name, value in directives(str(dict.get(headers, "Cache-Control") or "")):
        if name in ("s-maxage", "max-age"):
            found.setdefault(name, _seconds((value or "").strip('"')) or 0)
    for name in ("s-maxage", "max-age"):
        if name in found:
            return found[name]
    expires = dict.get(headers, "Expires")
    if expires is None:
        return float("inf")
    date = parse_date(str(expires))
    return 0.0 if date is None else float(date - int(created))


#: Statuses that hold for whoever asks (RFC 9110, 15.1). Others tell of one request: a range, a
#: condition, a field that was wrong. Kept, such an answer to one peer would be given to all.
_STORABLE = frozenset((200, 203, 300, 301, 308, 404, 410))


#: What lets a shared cache keep the answer to one who has shown who it is (RFC 9111, 3.5).
_FOR_ALL = frozenset(("public", "must-revalidate", "s-maxage"))


def may_be_stored(request: Any, response: Any) -> bool:
    """Tell whether a response may be kept for all who ask for the same."""
    headers = response.headers
    said: set[str] = set()
    for field in ("Pragma", "Cache-Control"):
        said.update(name for name, _ in directives(str(dict.get(headers, field) or "")))
    if said & {"no-cache", "no-store", "private"} or freshness(headers, response.time) <= 0:
        return False
    # Made for somebody: so are, mostly, responses that give a cookie.
    if dict.get(request.headers, "Authorization") and not said & _FOR_ALL:
        return False
    if "Set-Cookie" in headers or (_gives_cookies(response) and "public" not in said):
        return False
    if "Content-Range" in headers or "*" in headers.values("Vary"):
        return False
    try:
        return valid_status(response.status)[0] in _STORABLE
    except ValueError:
        return False


def _gives_cookies(response: Any) -> bool:
    # Those that were promised are made when the response is sent.
    return bool(response._promised or (response._cookie is not None and response.cookie))
