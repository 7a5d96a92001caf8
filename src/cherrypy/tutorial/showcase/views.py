"""HTML out of the files in `templates/`: every value is escaped unless it is Markup already."""

from __future__ import annotations

import functools
import html
import os
import string
from collections.abc import Callable, Iterable
from typing import Any

TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")

PAGES = (
    ("/", "Home"),
    ("/form", "Form"),
    ("/upload/", "Upload"),
    ("/session/", "Session"),
    ("/live/", "Live"),
    ("/stream/", "Stream"),
    ("/chat/", "Chat"),
    ("/board/", "Board"),
    ("/files", "Files"),
    ("/errors/", "Errors"),
    ("/generate", "Aliases"),
    ("/request", "Request"),
)


class Markup(str):
    """HTML that is not to be escaped again."""

    __slots__ = ()


def escape(value: object) -> Markup:
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))


def join(parts: Iterable[Markup]) -> Markup:
    return Markup("".join(parts))


@functools.cache
def template(name: str) -> string.Template:
    with open(os.path.join(TEMPLATES, name), encoding="utf-8") as file:
        return string.Template(file.read())


def fill(name: str, /, **values: object) -> Markup:
    """The template `name` with its $placeholders filled in."""
    safe = {key: escape(value) for key, value in values.items()}
    return Markup(template(name).substitute(safe))


def rows(pairs: Iterable[tuple[object, object]]) -> Markup:
    """Table rows of names and values."""
    return join(
        Markup(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>')
        for name, value in pairs
    )


@functools.cache
def source(*handlers: Callable[..., Any] | type) -> Markup:
    """The Python of these handlers, to be shown below their page."""
    import inspect
    import textwrap

    text = "\n\n".join(textwrap.dedent(inspect.getsource(one)).strip() for one in handlers)
    return fill("source.html", code=coloured(text))


def coloured(code: str) -> Markup:
    """Python with its keywords in <b>, its strings in <s>, its decorators in <i>."""
    import io
    import keyword
    import tokenize

    lines = code.splitlines(keepends=True)
    parts: list[Markup] = []
    row, column = 1, 0

    def upto(end: tuple[int, int], tag: str = "") -> None:
        nonlocal row, column
        text = ""
        while row < end[0]:
            text += lines[row - 1][column:]
            row, column = row + 1, 0
        if row <= len(lines):
            text += lines[row - 1][column : end[1]]
            column = end[1]
        parts.append(Markup(f"<{tag}>{escape(text)}</{tag}>") if tag else escape(text))

    # Python 3.12 splits f-strings into tokens: the outermost start and end hold the colour.
    depth, began = 0, (1, 0)
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        name = tokenize.tok_name[token.type]
        if name == "FSTRING_START":
            depth += 1
            began = token.start if depth == 1 else began
        elif name == "FSTRING_END":
            depth -= 1
        if depth:
            continue
        if name in ("STRING", "FSTRING_END"):
            upto(began if name == "FSTRING_END" else token.start)
            upto(token.end, "s")
        elif name == "NAME" and keyword.iskeyword(token.string):
            upto(token.start)
            upto(token.end, "b")
        elif token.string == "@":
            upto(token.start)
            upto((token.start[0], len(token.line.partition("(")[0].rstrip())), "i")
        elif token.start >= (row, column):
            upto(token.end)
    return join(parts)


def page(
    path: str,
    name: str,
    /,
    *handlers: Callable[..., Any] | type,
    script: str = "",
    **values: object,
) -> str:
    """A whole page.

    path: where it stands in the navigation; '' for nowhere.
    name: its template; the first line of the template is the title.
    handlers: what to show as the source of the page.
    script: a file of static/ that brings it to life.
    """
    title, _, body = fill(name, **values).partition("\n")
    links = join(
        Markup(f'<a href="{to}"{" aria-current=page" if to == path else ""}>{escape(label)}</a>')
        for to, label in PAGES[1:]
    )
    return fill(
        "layout.html",
        title=Markup(title),
        body=Markup(body),
        links=links,
        source=source(*handlers) if handlers else "",
        script=Markup(f'<script src="/static/{escape(script)}" defer></script>') if script else "",
    )
