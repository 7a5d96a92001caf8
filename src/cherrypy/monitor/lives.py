"""Lives: what is known of a process from one of its snapshots to the next.

Law: what has been counted stays counted, whatever is switched off; and what was counted while nobody
here could see it is of no second that has been seen.
"""

from __future__ import annotations

from .histograms import Spread
from .snapshots import Snapshot

#: Snapshots that a process may have taken before it is heard of, as when it has just started.
FRESH = 5


def follow(known: Snapshot | None, snapshot: Snapshot) -> None:
    """Say what a snapshot leaves out, its `kept`, and what nobody has seen being counted, its `before`.

    known
        The one before it of the same life; None if this is the first that came here.
    """
    if known is None:
        if snapshot.number > FRESH:
            snapshot.before = Snapshot()
            snapshot.before.counts, snapshot.before.spreads = snapshot.counts, snapshot.spreads
        return
    snapshot.kept = _kept(known, snapshot)
    unseen = Snapshot()
    if known.kept is not None:
        _reappeared(unseen, known.kept, snapshot)
    if known.selection != snapshot.selection:
        _appeared(unseen, known, snapshot)
    before = known.before
    if unseen.counts or unseen.spreads:
        if before is not None:
            add(unseen, before)
        before = unseen
    snapshot.before = before


def _kept(known: Snapshot, snapshot: Snapshot) -> Snapshot | None:
    """What the one before had and this one has not: its metrics were switched off."""
    kept = Snapshot()
    for one in (known.kept, known):
        if one is not None:
            for key in one.counts.keys() - snapshot.counts.keys():
                kept.counts[key] = one.counts[key]
            for key in one.spreads.keys() - snapshot.spreads.keys():
                kept.spreads[key] = one.spreads[key]
    return kept if kept.counts or kept.spreads else None


def _reappeared(unseen: Snapshot, kept: Snapshot, snapshot: Snapshot) -> None:
    """What was switched on again: what it has counted meanwhile."""
    for key in kept.counts.keys() & snapshot.counts.keys():
        unseen.counts[key] = max(0.0, snapshot.counts[key] - kept.counts[key])
    for key in kept.spreads.keys() & snapshot.spreads.keys():
        unseen.spreads[key] = snapshot.spreads[key].since(kept.spreads[key])


def _appeared(unseen: Snapshot, known: Snapshot, snapshot: Snapshot) -> None:
    """What was switched on for the first time: it may have been counted all the while."""
    kept = known.kept or Snapshot()
    for key in snapshot.counts.keys() - known.counts.keys() - kept.counts.keys():
        unseen.counts[key] = snapshot.counts[key]
    for name in snapshot.spreads.keys() - known.spreads.keys() - kept.spreads.keys():
        unseen.spreads[name] = snapshot.spreads[name]


def add(mine: Snapshot, other: Snapshot) -> None:
    """Add what another snapshot has counted."""
    for key, value in other.counts.items():
        mine.counts[key] = mine.counts.get(key, 0) + value
    for name, spread in other.spreads.items():
        known = mine.spreads.get(name)
        whole = mine.spreads[name] = Spread(spread.scale) if known is None else known.copy()
        whole.add(spread)
