"""Byte ranges (RFC 9110, 14): from a Range field to spans that exist."""

from __future__ import annotations

import re

#: More ranges than this in one field are nobody's honest wish: the field is ignored.
MAX_RANGES = 64

_SPEC = re.compile(r"[ \t]*(\d*)[ \t]*-[ \t]*(\d*)[ \t]*", re.ASCII)
_FAR = 1 << 62


def _number(digits: str) -> int:
    return int(digits) if len(digits) < 19 else _FAR


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def get_ranges(headervalue: str | None, content_length: int) -> list[tuple[int, int]] | None:
    """Return the ``(start, stop)`` spans asked for, or None when the field is to be ignored.

    `stop` is exclusive and never beyond `content_length`. An empty list means that no range can
    be satisfied (416). Malformed fields and other units than bytes are ignored, as RFC 9110, 14.2
    tells a server to; ranges that together ask for more than the whole are merged, so that
    overlapping ranges cannot multiply a response.
    """
    if not headervalue:
        return None
    unit, equals, field = headervalue.partition("=")
    if not equals or unit.strip().lower() != "bytes" or field.count(",") >= MAX_RANGES:
        return None
    spans: list[tuple[int, int]] = []
    asked = 0
    for spec in field.split(","):
        if not spec.strip():
            continue
        match = _SPEC.fullmatch(spec)
        if match is None:
            return None
        first, last = match.groups()
        if first:
            start = _number(first)
            stop = _number(last) + 1 if last else content_length
            if last and stop <= start:
                return None
            if start < content_length:
                spans.append((start, min(stop, content_length)))
        elif last:
            suffix = _number(last)
            if suffix and content_length:
                spans.append((max(0, content_length - suffix), content_length))
        else:
            return None
        asked += 1
    if not asked:
        return None
    if len(spans) > 1 and sum(stop - start for start, stop in spans) > content_length:
        spans = _merged(spans)
    return spans
