"""Moments: times as the reader's own clock has them (`static/format.js`); without scripts, as the server's."""

from __future__ import annotations

import time
from typing import Any

from . import units
from .markup import Markup, tag

#: How a moment is said: `strftime` of each form. A 'moment' has its day if that is not today.
FORMS = {
    "clock": "%H:%M:%S",
    "short": "%H:%M",
    "day": "%a %d %b",
    "long": "%a %d %b %H:%M",
    "moment": "%a %d %b %H:%M:%S",
}


def said(at: float, form: str) -> str:
    """Return a moment as the server's clock has it."""
    then = time.localtime(at)
    if form == "moment" and then[:3] == time.localtime()[:3]:
        form = "clock"
    return time.strftime(FORMS[form], then)


def facts(at: float, form: str) -> dict[str, Any]:
    """Return the attributes of an element whose text is a moment."""
    return {"data_at": f"{at:.3f}".rstrip("0").rstrip("."), "data_form": form}


def when(at: float, form: str = "clock", **attributes: Any) -> Markup:
    """Return a moment."""
    more = {**facts(at, form), **attributes}
    return tag("time", said(at, form), datetime=units.stamp(at), **more)
