"""Keeping: what goes from the store's file when it is old, or when there is too much.

Law: a few rows at a time, so that no beat is late.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from .marks import MOST

#: Beats between two looks, and rows that go at one, a few at a time.
BEATS, BATCH, FEW = 10, 300, 30

#: Rows of each level that stay, whatever is too much, as long as others can go.
LEAST = 60

#: Seconds by which a clock may go wrong, and for how long nothing is old after it went more wrong.
JUMP, PATIENCE = 3600.0, 3600.0

#: After so long without a row the clock is doubted, too.
ABSENCE = 7 * 86400.0

#: The shares of what the file may take at which rows begin to go, and until which they go.
FULL, ENOUGH = 0.80, 0.75


class Keeping:
    """Sweeps one store."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self._beats = 0
        self._wall = 0.0
        self._clock = 0.0
        self._patient = 0.0  # nothing is old until then
        self._emptying = False

    def sweep(self, connection: sqlite3.Connection, history: Any) -> None:
        """Let some rows go."""
        self._watch(history.now())
        self._much(connection, history)
        self._beats += 1
        if self._beats % BEATS and not self._emptying:
            return
        if self.store.clock() >= self._patient:
            self._old(connection, history)
        gone = history.names.trim()
        if gone:
            connection.executemany("DELETE FROM names WHERE id = ?", [(number,) for number in gone])
        connection.execute(
            "DELETE FROM marks WHERE rowid <= (SELECT max(rowid) FROM marks) - ?", (MOST,)
        )
        # A script, since `execute` would end it after one page.
        connection.executescript(f"PRAGMA incremental_vacuum({BATCH})")
        firsts = connection.execute("SELECT min(tick) FROM frames GROUP BY step").fetchall()
        self.store.began([first for (first,) in firsts])

    def _watch(self, wall: float) -> None:
        """A clock that has been set makes nothing old: it may be wrong now, and right before."""
        clock = self.store.clock()
        if not self._wall:
            newest = self.store.newest()
            doubted = newest and abs(wall - newest) > ABSENCE
        else:
            doubted = abs((wall - self._wall) - (clock - self._clock)) > JUMP
        if doubted:
            self._patient = clock + PATIENCE
        self._wall, self._clock = wall, clock

    def _old(self, connection: sqlite3.Connection, history: Any) -> None:
        now = history.now()
        steps = []
        for level in history.levels:
            steps.append(level.step)
            connection.execute(
                "DELETE FROM frames WHERE rowid IN (SELECT rowid FROM frames "
                "WHERE step = ? AND tick < ? ORDER BY tick LIMIT ?)",
                (level.step, now - level.kept - level.step, BATCH),
            )
        marks = ", ".join("?" * len(steps))
        connection.execute(  # levels that there are no more
            f"DELETE FROM frames WHERE rowid IN (SELECT rowid FROM frames WHERE step NOT IN ({marks}) "
            "LIMIT ?)",
            (*steps, BATCH),
        )

    def _much(self, connection: sqlite3.Connection, history: Any) -> None:
        """Where there is too much, the oldest of the finest goes first, the coarse last."""
        most = self.store.most_bytes
        self._emptying = self._used(connection) > (ENOUGH if self._emptying else FULL) * most
        if not self._emptying:
            return
        counts = dict(connection.execute("SELECT step, count(*) FROM frames GROUP BY step"))
        left = BATCH
        for least in (LEAST, 0):
            for level in history.levels[1:]:
                step = int(level.step)
                while left > 0 and (many := min(FEW, counts.get(step, 0) - least)) > 0:
                    self._shed(connection, level.step, many)
                    counts[step] -= many
                    left -= many
                    if self._used(connection) <= ENOUGH * most:
                        return

    def _shed(self, connection: sqlite3.Connection, step: float, many: int) -> None:
        connection.execute(
            "DELETE FROM frames WHERE rowid IN "
            "(SELECT rowid FROM frames WHERE step = ? ORDER BY tick LIMIT ?)",
            (step, many),
        )

    def _used(self, connection: sqlite3.Connection) -> int:
        """Bytes of the pages that hold something."""
        pages, free, size = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size
