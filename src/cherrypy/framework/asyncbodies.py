"""Bodies that asynchronous generators make: on the loop, with no thread, as fast as the client reads."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from .coroutines import in_context, pages
from .errors import CherryPyError
from .serving import serving
from .site import site

__all__ = ("AsyncBody", "Pump")

AHEAD = 65536  # bytes that a body may be made ahead of its reader


def as_bytes(chunk: Any) -> bytes:
    """Return a piece of a body as bytes; text is UTF-8. Raises TypeError."""
    if isinstance(chunk, str):
        return chunk.encode()
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return bytes(chunk)
    raise TypeError(f"A piece of a body must be bytes or text, not {type(chunk).__name__}.")


class Pump:
    """Moves what an asynchronous iterator makes into a feed, in a task of its own.

    held
        What is served meanwhile, for `cherrypy.request`.
    convert
        Makes bytes of an item.
    """

    def __init__(
        self, source: AsyncIterator[Any], held: dict[str, Any], convert: Callable[[Any], bytes]
    ) -> None:
        self.source = source
        self.held = held
        self.convert = convert
        self.feed: Any = None
        self.task: asyncio.Task[None] | None = None
        self.loop = pages.loop()
        self.roomy = asyncio.Event()
        self.over = False

    def start(self, feed: Any) -> None:
        """Begin (any thread)."""
        self.feed = feed
        self._call(self._start)

    def room(self) -> None:
        """The client has read on, or the feed is over (any thread, at once)."""
        self._call(self.roomy.set)

    def stop(self) -> None:
        """Cancel what still runs (any thread)."""
        if not self.over:
            self._call(self._stop)

    def _call(self, what: Callable[[], object]) -> None:
        try:
            self.loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop has ended
            self.over = True
            if self.feed is not None:
                self.feed.abort()

    def _start(self) -> None:
        self.task = in_context(self.held, self.loop.create_task, self._run())

    def _stop(self) -> None:
        # Behind its first step: one that has not begun would never know.
        self.loop.call_soon(self._cancel)

    def _cancel(self) -> None:
        if self.task is not None and not self.over:  # what ends by itself may do so in peace
            self.task.cancel()

    async def _run(self) -> None:
        feed, source = self.feed, self.source
        try:
            async for item in source:
                if not feed.send(self.convert(item)):
                    break
                while feed.waiting > AHEAD and feed.open:
                    self.roomy.clear()
                    if feed.waiting > AHEAD:
                        await self.roomy.wait()
            feed.finish()
        except asyncio.CancelledError:
            feed.abort()
        except Exception:
            # The client must see that something is missing (RFC 9112, 8).
            site.log("A body failed that was being sent.", "HTTP", 40, traceback=True)
            feed.abort()
        except BaseException as error:
            site.log(f"A body raised {type(error).__name__}.", "HTTP", 40)
            feed.abort()
        finally:
            self.over = True
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()


class AsyncBody:
    """The body of a response that an asynchronous generator makes."""

    pump: Pump | None = None

    def __init__(
        self, source: AsyncIterator[Any], convert: Callable[[Any], bytes] = as_bytes
    ) -> None:
        self.source = source
        self.convert = convert

    @classmethod
    def of(cls, source: AsyncIterator[Any]) -> AsyncBody:
        """Return a body, and see that the response of this thread is streamed."""
        response = serving.response
        response.stream = True
        kind = str(response.headers.get("Content-Type") or "")
        if kind.startswith("text/") and "charset" not in kind:
            response.headers["Content-Type"] = f"{kind};charset=utf-8"
        return cls(source)

    # -- our own server ------------------------------------------------------------------------

    def give_feed(self, served: Any) -> Any:
        """Return what our own server sends while no thread waits."""
        pump = self.pump = Pump(self.source, served.held, self.convert)
        # Nothing is dropped: what makes it waits for the client.
        feed: Any = served.feed(
            lambda: pump.start(feed),
            served.close,
            most=sys.maxsize,
            most_bytes=sys.maxsize,
            room=pump.room,
        )
        return feed.handover()

    def close(self) -> None:
        """Let the generator end."""
        if self.pump is not None:
            self.pump.stop()
        else:
            asyncio.run_coroutine_threadsafe(self._end(), pages.loop()).result()

    async def _end(self) -> None:
        close = getattr(self.source, "aclose", None)
        if close is not None:
            await close()

    # -- others --------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next piece; this thread waits for it."""
        if serving.request.app is None:
            raise CherryPyError("A body that is made asynchronously belongs to a request.")
        held = dict(serving.__dict__)
        future = in_context(held, asyncio.run_coroutine_threadsafe, self._next(), pages.loop())
        ended, piece = future.result()
        if ended:
            raise StopIteration
        return self.convert(piece)

    async def _next(self) -> tuple[bool, Any]:
        try:
            return False, await self.source.__anext__()
        except StopAsyncIteration:
            return True, None
