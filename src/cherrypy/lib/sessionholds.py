"""What a request has in hand of a session in memory, how it was then, and for what of it it needs the lock.

Law: what nobody has copied, and a page is not known to leave as it is, is taken hold of with the lock only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cherrypy.framework.serving import serving

from .sessionbase import missing
from .sessionlooks import NODES, Glance, whole
from .sessionreads import Reading, is_safe
from .sessionvalues import ATOMS

__all__ = ("Holds",)

LEAST = 100  # parts of a value that are looked at, though others have had their share


class Holds:
    """The values that a request has taken hold of, by key.

    taken
        The keys; of those that hold what can change.
    borrowed
        Those of what it has in hand without the lock, though nobody knows whether its page leaves it as it is.
    unclear
        Those of what could not be compared: it changed while one looked, never looks the same, or is too large.
    """

    __slots__ = (
        "_guarded",
        "_looks",
        "_reading",
        "_room",
        "_safe",
        "_shown",
        "borrowed",
        "taken",
        "unclear",
    )

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._safe = is_safe(serving.request)
        # Each value, how many parts of it were looked at (0: all), and how it looked.
        self._looks: dict[Any, tuple[Any, int, Any]] = {}
        self._guarded: set[Any] = set()
        self._room = NODES
        self._shown: bool | None = None
        self.taken: set[Any] = set()
        self.borrowed: set[Any] = set()
        self.unclear: set[Any] = set()

    @staticmethod
    def concern(value: Any) -> bool:
        """Tell whether it matters who has this value in hand."""
        return type(value) not in ATOMS

    def may(self, key: Any, data: dict[Any, Any], is_guarded: bool) -> bool:
        """Look at a value that is to be had without the lock; False if the lock is needed.

        Args:
            is_guarded: whether it is one of which others are given copies.
        """
        value = data[key]
        plain = self.see(key, value)
        if not is_guarded and plain:
            return True
        self._guarded.add(key)
        if self._reading.leaves(key, value) or self._is_shown(data):
            return True
        del self._looks[key]
        return False

    def _is_shown(self, data: dict[Any, Any]) -> bool:
        if self._shown is None:
            self._shown = not self._reading.trial and self._reading.is_shown(data)
        return self._shown

    def see(self, key: Any, value: Any) -> bool:
        """Look at a value, not for long; tell whether anybody may have it in hand without the lock."""
        return self._is_plain(self._glance(key, value))

    def _glance(self, key: Any, value: Any) -> Glance:
        limit = max(LEAST, self._room)
        glance = Glance(value, limit)
        self._room -= glance.seen
        self._looks[key] = value, limit, glance.look
        return glance

    def _is_plain(self, glance: Glance) -> bool:
        # Who asks with a safe method does nothing to a socket that threads could not do at once.
        return glance.plain and (self._safe or not glance.handles)

    def borrow(self, key: Any, value: Any) -> None:
        """Take hold of a value without the lock, which was not to be had."""
        self.borrowed.add(key)
        if not self._glance(key, value).whole:
            self.unclear.add(key)

    def go_on_from(
        self, before: Holds, data: dict[Any, Any], copies: Callable[[Any], bool]
    ) -> None:
        """Take over what is in hand from before the data were read once more.

        Args:
            copies: tells whether what is under a key is a copy now.
        """
        self.taken |= before.taken
        self.borrowed |= before.borrowed
        self.unclear |= before.unclear
        for key, (value, _, _) in before._looks.items():
            if data.get(key, missing) is value and not copies(key):
                self.see(key, value)

    def keep(self, key: Any, value: Any) -> None:
        """Look at all of a value, under the lock."""
        if not self._reading.wrote:
            self._looks[key] = value, 0, whole(value)

    def has(self, key: Any) -> bool:
        """Tell whether a value has been looked at."""
        return key in self._looks

    def keep_all(self, data: dict[Any, Any]) -> None:
        """Look at all that is in hand, now that there is the lock."""
        self._looks.clear()
        for key in self.taken:
            value = data.get(key)
            if self.concern(value):
                self.keep(key, value)

    def changed(self, data: dict[Any, Any]) -> list[Any]:
        """Return the keys of what is not as it was."""
        return [key for key, found in self._looks.items() if self._is_changed(data, key, *found)]

    def _is_changed(
        self, data: dict[Any, Any], key: Any, value: Any, limit: int, look: Any
    ) -> bool:
        if data.get(key, missing) is not value:
            return True
        now = self._look(value, limit)
        if look is not None and now == look:
            return False
        if look is None or now is None or self._look(value, limit) != now:
            self.unclear.add(key)
            return False
        return True

    @staticmethod
    def _look(value: Any, limit: int) -> Any:
        return Glance(value, limit).look if limit else whole(value)

    def left(self) -> Iterator[tuple[Any, Any]]:
        """Yield keys and values, at the end: what this page may have in hand without the lock from now on."""
        for key, (value, limit, _) in self._looks.items():
            if limit and not self._shown:
                continue  # it is known, or needs not be
            if key in self._guarded or not self._is_plain(Glance(value)):
                yield key, value
