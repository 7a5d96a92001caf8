"""HTML and SVG: every value is escaped unless it is Markup already. Law: no inline script or style."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

_VOID = frozenset(("br", "img", "input", "link", "meta", "wbr"))


class Markup(str):
    """HTML that is not to be escaped again."""

    __slots__ = ()


def escape(value: object) -> Markup:
    """Return a value as text of HTML."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))


def join(parts: Iterable[object]) -> Markup:
    """Return parts in one; what is no Markup is escaped."""
    return Markup("".join([escape(part) for part in parts if part is not None]))


def tag(name: str, /, *children: object, **attributes: Any) -> Markup:
    """Return an element: `tag("td", 7, class_="number", data_at=3)`.

    Attributes of None or False are left out, True stands without a value; `_` becomes `-`.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        parts.append(f" {key}" if value is True else f' {key}="{html.escape(str(value))}"')
    parts.append(">")
    if name not in _VOID:
        parts += [escape(child) for child in children if child is not None]
        parts.append(f"</{name}>")
    return Markup("".join(parts))


def link(to: str, *children: object, **attributes: Any) -> Markup:
    """Return a link."""
    return tag("a", *children, href=to, **attributes)


def address(path: str, /, **params: Any) -> str:
    """Return a path with its query; values of None or "" are left out."""
    said = {key: value for key, value in params.items() if value not in (None, "")}
    return f"{path}?{urlencode(said)}" if said else path


def table(heads: Iterable[object], rows: Iterable[Iterable[object]], **attributes: Any) -> Markup:
    """Return a table in a box that scrolls sideways by itself; the first cell names its row.

    A head or cell that is Markup of a `th` or `td` stays as it is; numbers of units stand right.
    """
    caption = attributes.pop("caption", None)
    head = tag("tr", *[_cell("th", one, scope="col") for one in heads])
    body = [
        tag(
            "tr",
            *[
                _cell("th", one, scope="row") if index == 0 else _cell("td", one)
                for index, one in enumerate(row)
            ],
        )
        for row in rows
    ]
    inner = tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", head),
        tag("tbody", *body),
        **attributes,
    )
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cell(name: str, value: object, **attributes: Any) -> Markup:
    if isinstance(value, Markup) and value.startswith(("<td", "<th")):
        return value
    return tag(name, value, **attributes)


def path(text: str) -> Markup:
    """Return a path that is broken between its parts rather than within one."""
    begin, slash, rest = text.partition("/")
    parts = [part for one in rest.split("/") for part in (one, "/", tag("wbr"))]
    return join((begin + slash, *parts[:-2]))


def number(text: object, **attributes: Any) -> Markup:
    """Return a cell of a table that holds a figure."""
    return tag("td", text, class_="number", **attributes)


def head(text: object) -> Markup:
    """Return the head of a column of figures."""
    return tag("th", text, scope="col", class_="number")


def empty(text: str, hint: object = None) -> Markup:
    """Return what stands where there is nothing to see: why, and what to do."""
    return tag("p", text, " " if hint else None, hint, class_="empty")
