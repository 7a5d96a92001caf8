"""Events as bytes of a `text/event-stream` (WHATWG HTML, 9.2.5). Law: no value can begin a line."""

from __future__ import annotations

import re
from typing import Any

__all__ = ("BEAT", "Event", "event_of", "opening")

#: A comment: it keeps proxies awake, and finds out whether the client is there.
BEAT = b":\n\n"

#: The line ends of an event stream; not those of `str.splitlines`, which are more.
_LINES = re.compile("\r\n|\n|\r")


class Event:
    """One event.

    data
        Text, of any number of lines; bytes, which are UTF-8; anything else is sent as JSON. None:
        no data, and browsers only take note of `id` and `retry`.
    event
        Its type: what `addEventListener` listens for; None is 'message'.
    id
        What the client sends as `Last-Event-ID` when it comes back.
    retry
        Seconds after which the client is to come back when the connection is lost.

    Raises ValueError for a type or an id with a line end, or an id with a NUL; TypeError for data
    that JSON cannot say.
    """

    __slots__ = ("data", "event", "id", "retry")

    def __init__(
        self,
        data: Any = None,
        event: str | None = None,
        id: str | int | None = None,
        retry: float | None = None,
    ) -> None:
        self.data = _text(data)
        self.event = _one_line("event", event)
        self.id = _one_line("id", id)
        if self.id is not None and "\0" in self.id:
            raise ValueError("The id of an event must not contain a NUL: clients ignore such ids.")
        self.retry = None if retry is None else max(0, int(retry * 1000))

    def encode(self) -> bytes:
        """Return what is sent."""
        lines = []
        if self.id is not None:
            lines.append(f"id: {self.id}\n")
        if self.event is not None:
            lines.append(f"event: {self.event}\n")
        if self.retry is not None:
            lines.append(f"retry: {self.retry}\n")
        if self.data is not None:
            if "\n" in self.data or "\r" in self.data:
                lines.extend(f"data: {line}\n" for line in _LINES.split(self.data))
            else:
                lines.append(f"data: {self.data}\n")
        lines.append("\n")
        return "".join(lines).encode("utf-8", "replace")

    def __repr__(self) -> str:
        return f"Event({self.data!r}, event={self.event!r}, id={self.id!r})"


def _text(data: Any) -> str | None:
    if data is None or isinstance(data, str):
        return data
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data).decode("utf-8", "replace")
    import json

    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _one_line(what: str, value: Any) -> str | None:
    if value is None:
        return None
    text = str(value)
    if "\n" in text or "\r" in text:
        raise ValueError(f"The {what} of an event must be one line, not {text!r}.")
    return text


def event_of(value: Any) -> Event:
    """Return `value` as an event: itself, or an event with it as its data."""
    return value if isinstance(value, Event) else Event(value)


def opening(retry: float | None) -> bytes:
    """Return what a stream begins with, so that the head does not wait for the first event."""
    return BEAT if retry is None else Event(retry=retry).encode()
