"""The lifespan of an ASGI application: what it does before the first request and after the last."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ...framework.site import site
from .scope import ASGI

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Lifespan", "LifespanFailed")


class LifespanFailed(RuntimeError):
    """An ASGI application could not start, or not in time."""


class Lifespan:
    """One run of `lifespan`, in the event loop.

    app
        The ASGI application.
    where
        Its mount point, for the log.
    required
        An application that raises takes no part in the lifespan, says the specification, and is
        served all the same; with True its error is one of the start.
    """

    def __init__(self, app: Callable[..., Any], where: str, required: bool) -> None:
        self.app = app
        self.where = where
        self.required = required
        self.state: dict[str, Any] = {}
        self.taken = False  # the application takes part
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None
        self.events: asyncio.Queue[str] = asyncio.Queue()
        self.answer: asyncio.Future[str] | None = None

    async def startup(self, patience: float) -> None:
        """Have the application start. Raises LifespanFailed."""
        self.task = asyncio.get_running_loop().create_task(self._run())
        try:
            failure = await self._ask("startup", patience)
        except asyncio.TimeoutError:
            self.task.cancel()
            raise LifespanFailed(
                f"The ASGI application at {self.where!r} did not start within {patience:g} s."
            ) from None
        if failure:
            raise LifespanFailed(
                f"The ASGI application at {self.where!r} could not start: {failure}"
            )
        if self.error is not None and self.required:
            raise LifespanFailed(
                f"The ASGI application at {self.where!r} could not start: {self.error!r}"
            ) from self.error
        self.taken = not self.task.done()

    async def shutdown(self, patience: float) -> None:
        """Have the application end what it began; its failures are logged."""
        if not self.taken or self.task is None:
            return
        try:
            failure = await self._ask("shutdown", patience)
            if not failure:
                await asyncio.wait((self.task,), timeout=patience)
        except asyncio.TimeoutError:
            failure = f"not done within {patience:g} s"
        if failure:
            text = f"The ASGI application at {self.where!r} could not shut down: {failure}"
            site.log(text, "ASGI", logging.ERROR)
        self.task.cancel()

    async def _ask(self, event: str, patience: float) -> str:
        """Send an event and return what went wrong, by the application's own words."""
        self.answer = asyncio.get_running_loop().create_future()
        self.events.put_nowait(event)
        return await asyncio.wait_for(self.answer, patience)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": dict(ASGI), "state": self.state}
        try:
            await self.app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self.error = error
            how = "ended its lifespan" if self.taken else "takes no part in the lifespan"
            text = f"The ASGI application at {self.where!r} {how}: {error!r}"
            site.log(text, "ASGI", logging.ERROR if self.taken else logging.INFO)
        finally:
            self._answered("")

    async def _receive(self) -> dict[str, Any]:
        return {"type": f"lifespan.{await self.events.get()}"}

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
            self._answered("")
        elif kind in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
            self._answered(message.get("message") or "it did not say why")
        else:
            raise RuntimeError(f"Unexpected ASGI message {kind!r} in the lifespan.")

    def _answered(self, failure: str) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(failure)
