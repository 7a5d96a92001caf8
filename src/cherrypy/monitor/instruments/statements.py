"""What is asked of databases most, and what takes longest: totals by fingerprint, for a table.

Law: the table is bounded; a statement that comes when it is full is counted among the others.
"""

from __future__ import annotations

import threading
from typing import Any

from .. import shards
from ..metrics import OVERFLOW
from .sql import fingerprint, table_of, word_of

#: Fingerprints that are told apart, that are shown, and that are labels of slow calls.
MOST, SHOWN, MOST_SLOW = 300, 50, 50

_lock = threading.RLock()  # guards: no more fingerprints are admitted than there may be
_admitted: dict[str, set[str]] = {"all": set(), "slow": set()}


class Statement:
    """The calls of one fingerprint, as one thread has counted them.

    count, seconds, most
        How many, how long all and the longest took.
    errors, slow
        How many failed, and took longer than `db.slow_threshold`.
    """

    __slots__ = ("count", "errors", "most", "seconds", "slow")

    def __init__(self) -> None:
        self.count = self.errors = self.slow = 0
        self.seconds = self.most = 0.0

    def once(self, seconds: float, *, failed: bool = False) -> None:
        """Count a call. Law: one thread alone writes."""
        self.count += 1
        self.seconds += seconds
        if seconds > self.most:
            self.most = seconds
        if failed:
            self.errors += 1

    def add(self, other: Statement) -> None:
        """Add what another thread has counted."""
        self.count += other.count
        self.errors += other.errors
        self.slow += other.slow
        self.seconds += other.seconds
        self.most = max(self.most, other.most)

    def copy(self) -> Statement:
        """Return another like this."""
        other = Statement()
        other.add(self)
        return other


def admit(print_: str, kind: str = "all") -> str:
    """Return the fingerprint to count under: this one, or what stands for one too many."""
    admitted = _admitted[kind]
    if print_ in admitted:
        return print_
    with _lock:
        if len(admitted) < (MOST if kind == "all" else MOST_SLOW):
            admitted.add(print_)
            return print_
    return OVERFLOW


def known(shard: Any, system: str, print_: str) -> Statement:
    """The totals of a fingerprint in a thread's shard."""
    key = (system, admit(print_))
    found: Statement | None = shard.statements.get(key)
    if found is None:
        found = shard.statements[key] = Statement()
    return found


def taken_apart(sql: str, system: str) -> tuple[str, str, str]:
    """Return fingerprint, operation and table of a statement."""
    print_ = fingerprint(sql, system)
    return print_, word_of(print_), table_of(print_)


def statements() -> list[dict[str, Any]]:
    """The statements that took the most time in all, those first: for the snapshot's details."""
    rows = [
        {
            "system": system,
            "statement": print_,
            "operation": word_of(print_),
            "count": totals.count,
            "total": round(totals.seconds, 6),
            "longest": round(totals.most, 6),
            "errors": totals.errors,
            "slow": totals.slow,
        }
        for (system, print_), totals in shards.statements().items()
    ]
    rows.sort(key=lambda row: row["total"], reverse=True)
    return rows[:SHOWN]


def forget() -> None:
    """Admit fingerprints anew."""
    with _lock:
        for admitted in _admitted.values():
            admitted.clear()
