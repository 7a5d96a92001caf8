"""An answer as tests see it: status, fields, and a body that is read at once or as it comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPMessage
from typing import Any

__all__ = ("MOST_BODY", "Answer", "TooLong")

#: Bytes of a body that is kept as a whole, unless the client says otherwise.
MOST_BODY = 64 * 1024 * 1024


class TooLong(ValueError):
    """The body is longer than the client keeps: ask with `stream=True`, or with a higher limit."""


def _nothing() -> None:
    pass


class Answer:
    """A response.

    status, reason
        `404` and `'Not Found'`.
    headers
        A mapping that knows no case, with `get_all` for fields that come several times.
    history
        The redirects that led here, the first one first.

    One that was asked for with `stream=True` gives its body piece by piece, to whoever iterates over
    it; it is a context manager, and `close` ends it early, as a client that has gone does.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        headers: HTTPMessage,
        pieces: Iterable[bytes],
        close: Callable[[], object] = _nothing,
        most: int = MOST_BODY,
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.history: list[Answer] = []
        self._pieces = iter(pieces)
        self._close = close
        self._most = most
        self._body: bytes | None = None

    @property
    def body(self) -> bytes:
        """The body; of one that streams, what has not been iterated over yet.

        Raises TooLong when it does not end within the client's `max_body`.
        """
        if self._body is None:
            found: list[bytes] = []
            size = 0
            try:
                for piece in self._pieces:
                    size += len(piece)
                    if size > self._most:
                        raise TooLong(f"the body is longer than {self._most} bytes")
                    found.append(piece)
            finally:
                self.close()
            self._body = b"".join(found)
        return self._body

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces of the body as they come."""
        if self._body is not None:
            return iter((self._body,))
        return self._pieces

    @property
    def text(self) -> str:
        """The body as a text, in the encoding that it names, or UTF-8."""
        encoding = self.headers.get_content_charset("utf-8")
        try:
            return self.body.decode(encoding, "replace")
        except LookupError:  # a name that only the application knows
            return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body read as JSON. Raises ValueError when it is none."""
        return json.loads(self.body)

    @property
    def status_line(self) -> str:
        """Status and reason: `'404 Not Found'`."""
        return f"{self.status} {self.reason}".rstrip()

    def close(self) -> None:
        """Have no more of the body. The application sees a client that has what it wants."""
        self._close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        shown = "..." if self._body is None else repr(self._body[:80])
        return f"<Answer {self.status_line} {shown}>"
