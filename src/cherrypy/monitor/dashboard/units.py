"""Units: figures as people read them, the same on every page; `static/format.js` says it alike."""

from __future__ import annotations

import time
from typing import Any

#: What stands for a figure that nobody knows.
NONE = "–"

_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_COUNTS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
SPACE = "\u202f"  # narrow, and no line is broken there


def show(value: Any, unit: str = "") -> str:
    """Return a figure with its unit: '12.4 ms', '1.3 MB/s', '42 req/s'.

    unit
        's' seconds, 'By' bytes, '%', or any other word; '/s' and the like may follow.
    """
    if value is None:
        return NONE
    value = float(value)
    if value != value:
        return NONE
    if unit == "s":
        return seconds(value)
    if unit in ("By", "By/s"):
        return scaled(value, _BYTES, "B") + unit[2:]
    if unit == "%":
        return f"<{SPACE}0.01{SPACE}%" if 0 < value < 0.01 else f"{digits(value)}{SPACE}%"
    text = scaled(value, _COUNTS, "") if abs(value) >= 10_000 else digits(value)
    return f"{text}{SPACE}{unit}" if unit else text


def seconds(value: float) -> str:
    """Return a time: '340 µs', '12.4 ms', '1.24 s', '3 min 20 s', '2 d 4 h'."""
    size = abs(value)
    if size == 0:
        return f"0{SPACE}ms"
    if size < 0.000_999_5:
        return f"{digits(value * 1e6)}{SPACE}µs"
    if size < 0.9995:
        return f"{digits(value * 1e3)}{SPACE}ms"
    if size < 120:
        return f"{digits(value)}{SPACE}s"
    whole = round(value)
    for name, length, less, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= length * 2 or (whole >= length and name != "min"):
            rest = whole % length // part
            text = f"{whole // length}{SPACE}{name}"
            return f"{text} {rest}{SPACE}{less}" if rest else text
    return f"{whole}{SPACE}s"


def scaled(value: float, steps: tuple[tuple[float, str], ...], plain: str) -> str:
    """Return a figure in thousands, millions and so on."""
    for step, name in steps:
        if abs(value) >= step * 0.9995:
            return f"{digits(value / step)}{SPACE}{name}"
    return f"{digits(value)}{SPACE}{plain}" if plain else digits(value)


def digits(value: float) -> str:
    """Return a figure with three digits that count, as short as it can be."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}".replace(",", SPACE)
    if size >= 9.995:
        return f"{value:.1f}".removesuffix(".0")
    if size >= 0.995 or size == 0:
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{value:.2g}" if size >= 0.0005 else f"{value:.1e}".replace("e-0", "e-")


def whole(value: Any) -> str:
    """Return a count with all its digits."""
    return NONE if value is None else f"{round(value):,}".replace(",", SPACE)


def stamp(at: float) -> str:
    """Return a moment for machines."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def ago(at: float, now: float) -> str:
    """Return how long ago something was."""
    past = now - at
    return "just now" if past < 2 else f"{seconds(round(past))} ago"
