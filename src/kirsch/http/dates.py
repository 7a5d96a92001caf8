"""HTTP dates: written once a second, read in the three formats of RFC 9110, 5.6.7."""

from __future__ import annotations

import re
import time
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBER = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}

_TIME = r"(\d\d):(\d\d):(\d\d)"
#: IMF-fixdate, rfc850-date, asctime-date, each giving the named parts.
_FORMATS = (
    (re.compile(r"\w{3}, (\d\d?) (\w{3}) (\d{4}) " + _TIME + " (?:GMT|UTC)", re.ASCII), "dmy"),
    (re.compile(r"\w{6,9}, (\d\d)-(\w{3})-(\d\d) " + _TIME + " (?:GMT|UTC)", re.ASCII), "dmy2"),
    (re.compile(r"\w{3} (\w{3}) ([ \d]\d) " + _TIME + r" (\d{4})", re.ASCII), "asctime"),
)


@lru_cache(maxsize=1024)
def _format(second: int) -> str:
    year, month, day, hour, minute, sec, weekday, _, _ = time.gmtime(second)
    return (
        f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year:04d} "
        f"{hour:02d}:{minute:02d}:{sec:02d} GMT"
    )


# The second just served, its text and its bytes. One tuple, so that a reader in another thread
# never sees the second of one and the text of another.
_now: tuple[int, str, bytes] = (0, _format(0), _format(0).encode("ascii"))


def _current(second: int) -> tuple[int, str, bytes]:
    global _now
    text = _format(second)
    _now = current = (second, text, text.encode("ascii"))
    return current


def HTTPDate(timeval: float | None = None, localtime: bool = False, *, usegmt: bool = True) -> str:
    """Return the IMF-fixdate of `timeval` (seconds since the epoch), or of this second.

    `localtime` and `usegmt` are there for callers of the old function; HTTP knows only GMT.
    """
    if timeval is None:
        second = int(time.time())
        current = _now
        if current[0] == second:
            return current[1]
        return _current(second)[1]
    return _format(int(timeval // 1))


def date_bytes() -> bytes:
    """Return the date of this second as bytes, ready for a Date field."""
    second = int(time.time())
    current = _now
    if current[0] == second:
        return current[2]
    return _current(second)[2]


def parse_date(text: str) -> int | None:
    """Return the seconds since the epoch that an HTTP date means, or None when it is none."""
    import calendar  # which brings the locale module along

    if len(text) > 64:
        return None
    text = text.strip()
    kind, match = "", None
    for pattern, kind in _FORMATS:  # noqa: B007 - used below
        match = pattern.fullmatch(text)
        if match:
            break
    if match is None:
        return None
    if kind == "asctime":
        name, day, hour, minute, second, year = match.groups()
    else:
        day, name, year, hour, minute, second = match.groups()
    month = _MONTH_NUMBER.get(name.lower())
    if month is None:
        return None
    number = int(year)
    if kind == "dmy2":
        # RFC 9110, 5.6.7: a two-digit year more than 50 years ahead means the past century.
        this_year = time.gmtime().tm_year
        number += this_year - this_year % 100
        if number > this_year + 50:
            number -= 100
    if not (
        number >= 1
        and 1 <= int(day) <= calendar.monthrange(number, month)[1]
        and int(hour) < 24
        and int(minute) < 60
        and int(second) <= 60
    ):
        return None
    return calendar.timegm((number, month, int(day), int(hour), int(minute), int(second)))
