"""Marks: what happened at a moment, shown on every chart."""

from __future__ import annotations

from typing import NamedTuple

#: What marks are of.
KINDS = ("restart", "deploy", "config", "alert")

#: Marks that are kept, and characters of their text.
MOST, LONGEST = 2000, 200


class Mark(NamedTuple):
    """Something that happened.

    at
        When, in seconds since the epoch.
    kind
        'restart', 'deploy', 'config' or 'alert'.
    text
        What, in a sentence. It may hold what others have written: escape it.
    """

    at: float
    kind: str
    text: str
