"""Whether a store of sessions answers: 503 while it does not, and one line in the log each way.

Law: a store that is away costs a request a moment, not a timeout each, and never a traceback.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site

__all__ = ("SessionStoreDown", "StoreHealth", "StoreUnusable")

PAUSE = 1.0  # seconds for which nobody tries again


class SessionStoreDown(HTTPError):
    """The store of the sessions does not answer now: 503."""

    def __init__(self) -> None:
        HTTPError.__init__(
            self, 503, "The sessions of this site are out of reach. Please try again soon."
        )

    def set_response(self) -> None:
        """Make the response; it says when to try again."""
        super().set_response()
        serving.response.headers["Retry-After"] = "2"


class StoreUnusable(OSError):
    """A store that cannot be used at all, found out at the start."""


class StoreHealth:
    """Calls a store, and remembers whether it was there.

    Args:
        where: what the store is, for the log.
        errors: the exceptions by which its driver says that it is not there.
    """

    def __init__(self, where: str, errors: tuple[type[BaseException], ...]) -> None:
        self.where = where
        self.errors = errors
        # Guards the two below.
        self._guard = threading.Lock()
        self._down = False
        self._next = 0.0

    @property
    def down(self) -> bool:
        """Whether the last call has failed."""
        return self._down

    def call(self, do: Callable[..., Any], *args: Any) -> Any:
        """Return what ``do(*args)`` does. Raises SessionStoreDown when the store is not there."""
        if self._down:
            self._take_turn()
        try:
            result = do(*args)
        except self.errors as error:
            self._fell(error)
            raise SessionStoreDown() from error
        if self._down:
            self._rose()
        return result

    def _take_turn(self) -> None:
        """Let one try in a while; the others need not wait for what will hardly answer."""
        now = time.monotonic()
        with self._guard:
            if self._down:
                if now < self._next:
                    raise SessionStoreDown()
                self._next = now + PAUSE

    def _fell(self, error: BaseException) -> None:
        with self._guard:
            first, self._down = not self._down, True
            self._next = time.monotonic() + PAUSE
        if first:
            reason = str(error).strip() or type(error).__name__
            site.log(
                f"The store of sessions ({self.where}) does not work: {reason}. Requests that need "
                "it are answered 503 until it does.",
                "SESSION",
                severity=40,
            )

    def _rose(self) -> None:
        with self._guard:
            again, self._down = self._down, False
        if again:
            site.log(f"The store of sessions ({self.where}) works again.", "SESSION", severity=20)
