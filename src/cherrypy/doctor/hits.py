"""A hit: a place in a configuration that breaks a rule, and the lines that mend it."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from .reading import Entry

__all__ = ("Hit", "mode_of")


class Hit(NamedTuple):
    """A place that breaks a rule.

    section
        Where the lines of `add` belong: 'global' or a path.
    message
        What is the case, in one sentence.
    add
        The lines to write there, in place of what they replace.
    entry
        The entry that is wrong, when it is one.
    run
        A command that mends it, where no entry does.
    """

    section: str
    message: str
    add: tuple[str, ...] = ()
    entry: Entry | None = None
    run: str = ""


def mode_of(path: object) -> int | None:
    """Return the permission bits of a file; None when there is none, or no such bits here."""
    if not isinstance(path, str) or os.name != "posix":
        return None
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return None
