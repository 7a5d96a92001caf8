"""The table of instruments: which libraries are seen, by what, and what that gives."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from types import ModuleType
from typing import NamedTuple


class Instrument(NamedTuple):
    """A row.

    libraries
        Names for the setting `libraries`, any of which selects it.
    module
        The module of the library upon whose import it is put on.
    place
        The module here, and its function: `instrument(module) -> undo`.
    gives
        What it counts, in a few words.
    """

    libraries: tuple[str, ...]
    module: str
    place: str
    gives: str

    def selected(self, globs: list[str]) -> bool:
        """Whether one of the patterns names it."""
        return any(fnmatchcase(name, glob) for name in self.libraries for glob in globs)

    @property
    def name(self) -> str:
        """The name of its guard: the first library's."""
        return self.libraries[0]

    def function(self) -> Callable[[ModuleType], Callable[[], object]]:
        """Its function."""
        module, _, name = self.place.partition(":")
        found: Callable[[ModuleType], Callable[[], object]] = getattr(
            import_module(f"{__package__}.{module}"), name or "instrument"
        )
        return found


INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument(("sqlite3",), "sqlite3", "sqlite", "statements, transactions, rows, connections"),
)
