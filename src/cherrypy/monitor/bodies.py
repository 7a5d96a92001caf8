"""Bodies of responses that are still to be made, or sent, when the gateway has returned them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kirsch.server.gateway import Closing

from .traces import APP, WRITE, Trace, clock

if TYPE_CHECKING:
    from .recorder import Recorder


class Sent:
    """Takes the place of a body's `close`: what has been sent is counted."""

    __slots__ = ("began", "body", "close", "facts", "recorder", "trace")

    def __init__(
        self,
        recorder: Recorder,
        trace: Trace,
        exchange: Any,
        status: str,
        body: Any,
        queue: float,
    ) -> None:
        self.recorder = recorder
        self.trace = trace
        self.facts = (exchange, status, queue)
        self.body = body
        self.close = body.close
        self.began = clock()
        trace.enter(WRITE)
        body.close = self

    def __call__(self) -> Any:
        body = self.body
        if type(body) is Closing:
            size = len(body.data) if isinstance(body.data, bytes) else 0
        else:
            size = _size_of(body)
        exchange, status, queue = self.facts
        self.recorder.record(self.trace, exchange, status, size, clock(), queue, self.began)
        return self.close()


def _size_of(body: Any) -> int:
    """The bytes of a file that have been sent, as far as it tells."""
    length = getattr(body.filelike, "length", None)
    if isinstance(length, int):
        return length
    span = body.span()
    return span[2] if span is not None else 0


class WatchedBody:
    """A body that is made while it is sent: its parts are the application's time, the rest waiting."""

    def __init__(
        self,
        recorder: Recorder,
        trace: Trace,
        exchange: Any,
        status: str,
        headers: Any,
        body: Any,
        queue: float,
    ) -> None:
        self._recorder = recorder
        self._trace = trace
        self._facts = (exchange, status, queue)
        self._headers = headers
        self._body = body
        self._parts: Any = None
        self._first = 0.0
        self._size = 0
        self._done = False

    def __iter__(self) -> Any:
        self._parts = iter(self._body)
        return self

    def __next__(self) -> Any:
        trace = self._trace
        before = trace.enter(APP)
        try:
            part = next(self._parts)
        except StopIteration:
            self._done = True
            raise
        except BaseException as error:
            trace.error = error
            raise
        finally:
            now = trace.leave(before)
        if not self._first:
            self._first = now
        self._size += len(part)
        return part

    def close(self) -> None:
        """Close the body, and count."""
        trace, recorder = self._trace, self._recorder
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            if trace is not None:
                self._trace = None  # type: ignore[assignment]  # once
                exchange, status, queue = self._facts
                aborted = not self._whole() and exchange.head.method != "HEAD"
                recorder.record(
                    trace, exchange, status, self._size, clock(), queue, self._first, aborted
                )

    def _whole(self) -> bool:
        """Whether all of it was asked for: a server that has what was promised asks for no more."""
        if self._done:
            return True
        promised = [value for name, value in self._headers if name.lower() == "content-length"]
        return bool(promised) and str(self._size) == promised[-1].strip()


class SizedBody(WatchedBody):
    """A body whose length in parts is known."""

    def __len__(self) -> int:
        return len(self._body)
