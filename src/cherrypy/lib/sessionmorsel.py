"""A session's cookie as an object: made when somebody looks, as `http.cookies` is not there before."""

from __future__ import annotations

from http.cookies import Morsel
from typing import Any

from .sessioncookie import written


class SessionMorsel(Morsel):  # type: ignore[type-arg]  # generic only in later Pythons
    """A cookie whose attributes are known in advance; written anew if somebody changes them."""

    def __init__(self, name: str, id: str, known: tuple[dict[str, Any], str]) -> None:
        # Past Morsel's own, which sets each attribute by itself.
        self._template, self._suffix = known
        dict.update(self, known[0])
        self._assign(name, id, id)

    def _assign(self, key: str, value: str, coded: str) -> None:
        # The only way in that takes any name and any value.
        state = {"key": key, "value": value, "coded_value": coded}
        self.__setstate__(state)  # type: ignore[attr-defined]  # not in the stubs

    def OutputString(self, attrs: Any = None) -> str:
        """Return the field without its name."""
        suffix = self._suffix if dict.__eq__(self, self._template) else written(self)
        return f"{self.key}={self.coded_value}{suffix}"

    def copy(self) -> SessionMorsel:
        """Return a cookie of the same name, value and attributes."""
        new = SessionMorsel(self.key, self.value, (self._template, self._suffix))
        dict.update(new, self)
        new._assign(self.key, self.value, self.coded_value)
        return new

    __copy__ = copy


#: The attributes of a cookie that has none.
BLANK: dict[str, Any] = dict(Morsel())
