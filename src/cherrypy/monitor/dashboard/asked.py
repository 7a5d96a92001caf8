"""What is asked of the dashboard, and what it answers. Law: nothing of a request is read beyond a limit."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from kirsch.http.cookies import cookie_value
from kirsch.http.query import parse_query_string

#: Bytes of a form.
MOST_FORM = 16 * 1024
#: Characters of one parameter; what is longer is cut.
MOST_VALUE = 1024
MOST_PARAMS = 32


class Refusal(Exception):
    """A request that is not answered as it wanted to be.

    status
        'NNN Reason'.
    words
        Why, and what to do, in a sentence.
    """

    def __init__(self, status: str, words: str, *fields: tuple[str, str]) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.fields = fields


class Answer(NamedTuple):
    """A response: its body, what it is, and what else is said."""

    body: Any
    kind: str = "text/html; charset=utf-8"
    status: str = "200 OK"
    fields: tuple[tuple[str, str], ...] = ()


def plain(words: str, status: str = "200 OK", *fields: tuple[str, str]) -> Answer:
    """Return an answer of plain text."""
    return Answer(words.encode(), "text/plain; charset=utf-8", status, fields)


def as_json(value: Any, status: str = "200 OK") -> Answer:
    """Return an answer of JSON; no number in it is infinite."""
    text = json.dumps(value, separators=(",", ":"), default=str)
    return Answer(text.encode(), "application/json", status)


def see(to: str, *fields: tuple[str, str]) -> Answer:
    """Return an answer that sends the browser elsewhere."""
    return Answer(b"", "text/plain", "303 See Other", (("Location", to), *fields))


class Asked:
    """One request.

    path
        Below where the dashboard stands: '/', '/api/now'.
    base
        Where it stands: '' on its own listener, '/-/monitor' on the site's.
    params
        The query's parameters, each the first of its name.
    right
        What who asks may do: '', 'view' or 'act'.
    """

    __slots__ = ("base", "exchange", "fields", "method", "params", "path", "peer", "right")

    def __init__(self, exchange: Any, base: str = "") -> None:
        head = exchange.head
        self.exchange = exchange
        self.base = base
        self.method: str = head.method
        self.path: str = head.path[len(base) :] or "/"
        self.fields: dict[str, str] = head.fields
        self.peer: str = exchange.remote[0]
        self.params = _parameters(head.query)
        self.right = ""

    def field(self, name: str) -> str:
        """Return a header field, '' if there is none."""
        return self.fields.get("HTTP_" + name.upper().replace("-", "_"), "")

    def cookie(self, name: str) -> str:
        """Return a cookie's value, '' if there is none."""
        return cookie_value(self.field("Cookie"), name) or ""

    def form(self) -> dict[str, str]:
        """Read the request's body as a form. Raises Refusal for one too long."""
        body = self.exchange.body.read(MOST_FORM + 1)
        if len(body) > MOST_FORM:
            raise Refusal("413 Content Too Large", f"A form has at most {MOST_FORM} bytes.")
        return _parameters(body.decode("latin-1"))

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a parameter as a number within limits. Raises Refusal for what is none."""
        return number_of(self.params, name, default, low, high)


def number_of(params: dict[str, str], name: str, default: float, low: float, high: float) -> float:
    """Return a number of a form or query within limits. Raises Refusal for what is none."""
    text = params.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise Refusal("400 Bad Request", f"{name} must be a number from {low:g} to {high:g}.")
    return value


def _parameters(text: str) -> dict[str, str]:
    try:
        found = parse_query_string(text)
    except (UnicodeDecodeError, ValueError):
        raise Refusal("400 Bad Request", "The parameters are not UTF-8.") from None
    params: dict[str, str] = {}
    for name, value in list(found.items())[:MOST_PARAMS]:
        first = value[0] if isinstance(value, list) else value
        params[name[:MOST_VALUE]] = str(first)[:MOST_VALUE]
    return params
