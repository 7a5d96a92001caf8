"""Levels: the resolutions of the history, how long each is kept, and their frames in memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import floor
from typing import Any

from .frames import Frame

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")

#: The finest level, and how long it is kept.
SECOND, RING = 1.0, 300.0

#: How many frames of each level stay in memory where there is no file.
ALONE = {10.0: 360, 60.0: 1500, 600.0: 1152, 3600.0: 1440}

#: Where there is one: as many as it may be out of order.
BESIDE = 90

#: Bytes that packed frames may take in memory.
MOST_BYTES = 48 * 1024 * 1024


def seconds(text: Any) -> float:
    """Read a length of time: '10s', '1m', '6h', '8d', '2w', or a number of seconds.

    Raises ValueError for another text.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool) and text > 0:
        return float(text)
    found = _TIME.fullmatch(str(text).strip())
    if found is None or float(found[1]) == 0.0:
        raise ValueError(
            f"{text!r} is no length of time. Write a number and one of s, m, h, d, w: '90s'."
        )
    return float(found[1]) * UNITS[found[2]]


def resolutions(retention: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Read the setting `store.retention`: (seconds of a step, seconds that it is kept), finest first.

    Raises ValueError where it cannot be read, or a step is no multiple of the one before it.
    """
    found = []
    for name, time in retention.items():
        try:
            found.append((seconds(name), seconds(time)))
        except ValueError as error:
            raise ValueError(f"monitor.store.retention[{name!r}]: {error}") from error
    found.sort()
    finer = SECOND
    for step, _ in found:
        if step <= finer or step % finer:
            raise ValueError(
                f"monitor.store.retention: steps of {step:g} s are no multiple of {finer:g} s."
            )
        finer = step
    # What a coarser step is made of is there until it is made, also after a restart.
    longer = [step for step, _ in found[1:]] + [0.0]
    return [(SECOND, RING)] + [
        (step, max(kept, 2 * next_step))
        for (step, kept), next_step in zip(found, longer, strict=True)
    ]


class Level:
    """One resolution: frames of `step` seconds, packed, by the second that they begin at.

    open
        The frame that is being filled.
    fresh
        Ticks that have not been written to the file.
    """

    __slots__ = ("bytes", "fresh", "kept", "most", "open", "rows", "step")

    def __init__(self, step: float, kept: float, most: int) -> None:
        self.step = step
        self.kept = kept
        self.most = most
        self.open: Frame | None = None
        self.rows: dict[int, bytes] = {}  # in the order in which they came, whatever the clock says
        self.fresh: dict[int, None] = {}
        self.bytes = 0

    def tick(self, at: float) -> int:
        """The second at which the frame of a moment begins."""
        return int(floor(at / self.step) * self.step)

    def put(self, tick: int, data: bytes) -> None:
        """Keep a frame, in the place of what there was; the oldest goes when there are too many."""
        self.drop(tick)
        self.rows[tick] = data
        self.bytes += len(data)
        self.fresh[tick] = None
        while len(self.rows) > self.most:
            self.drop(next(iter(self.rows)))

    def drop(self, tick: int) -> None:
        """Forget a frame."""
        data = self.rows.pop(tick, None)
        if data is not None:
            self.bytes -= len(data)
            self.fresh.pop(tick, None)


def trim(levels: list[Level], most: int = MOST_BYTES) -> None:
    """Forget the oldest frames of the level that has most, until all take no more than `most` bytes."""
    while sum(level.bytes for level in levels) > most:
        biggest = max(levels, key=lambda level: level.bytes)
        biggest.drop(next(iter(biggest.rows)))
