"""Waterfalls: one slow request, step by step, along its time."""

from __future__ import annotations

from typing import Any

from . import units
from .markup import Markup, tag

WIDTH, LABELS, ROW = 900, 330, 20
#: How wide a letter of a label is at most, on a narrow screen.
LETTER = 8.2
#: Room for how long the longest took.
TOOK = 92
MOST = 200


def waterfall(entry: dict[str, Any]) -> Markup:
    """Return the steps of a request that the books have kept."""
    whole = max(float(entry.get("duration") or 0.0), 1e-9)
    steps = list(entry.get("steps") or [])[:MOST]
    route = f"{entry.get('method', '')} {entry.get('route', '')}"
    longest = max(len(_short(str(words))) for words in (route, *[step[1] for step in steps]))
    labels = min(LABELS, max(90, LETTER * longest + 12))
    room = WIDTH - labels - TOOK
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = round(labels + room * share, 1)
        height = ROW * (len(steps) + 1) + 18
        parts.append(tag("path", d=f"M{x} 17V{height}", class_="grid"))
        words = units.seconds(whole * share)
        parts.append(tag("text", words, x=x, y=13, text_anchor="middle"))
    parts += _step(0, "request", route, 0.0, whole, whole, "l-wsgi", labels)
    for row, step in enumerate(steps, 1):
        layer, label, began, ended = step[0], step[1], float(step[2]), float(step[3])
        parts += _step(row, str(layer), str(label), began, ended, whole, f"l-{layer}", labels)
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {ROW * (len(steps) + 1) + 22}",
        class_="waterfall",
        role="img",
        aria_label=f"{len(steps)} steps of {route}",
    )


def _short(label: str) -> str:
    return label if len(label) <= 38 else label[:37] + "…"


def _step(
    row: int,
    layer: str,
    label: str,
    began: float,
    ended: float,
    whole: float,
    tone: str,
    labels: float,
) -> list[Markup]:
    y = 18 + row * ROW
    room = WIDTH - labels - TOOK
    left = labels + room * min(1.0, max(0.0, began / whole))
    width = max(1.5, room * min(1.0, max(0.0, (ended - began) / whole)))
    took = units.seconds(ended - began)
    title = tag("title", f"{layer}: {label}, {took}, after {units.seconds(began)}")
    return [
        tag("text", _short(label), title, x=0, y=y + 12),
        tag(
            "rect",
            title,
            x=round(left, 1),
            y=y + 2,
            width=round(width, 1),
            height=ROW - 6,
            rx=2,
            class_=f"area tone-{tone}",
        ),
        tag("text", took, x=round(left + width + 5, 1), y=y + 12, class_="took"),
    ]
