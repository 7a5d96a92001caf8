"""Answers: what a process does for the collector: it tells a stack, looks at all threads, changes settings,
collects garbage.

Law: what is asked for takes a bounded time and has a bounded size, whoever asks.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import held, loggers
from ..books.flights import UNREADABLE, is_readable, stack_of
from ..profiles import DEEPEST, LONGEST, Profile, Profiles

if TYPE_CHECKING:
    from ..plugin import Monitor

Answer = dict[str, Any]
Reply = Callable[[Answer], object]

#: Characters of the names of all frames in a profile, and stacks with their frames: what was seen least
#: goes where there are more.
MOST_NAMES, MOST_FRAMES = 1_000_000, 300_000

#: In the place of the stacks that went.
LEFT_OUT = "(more stacks than are kept)"


class Answers:
    """Answers for this process."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.profiles = Profiles()
        self._collecting = threading.Lock()  # guards: one at a time
        self._known: dict[str, Callable[[Answer, Reply], object]] = {
            "stack": self.stack,
            "profile": self.profile,
            "set": self.set,
            "hold": self.hold,
            "loggers": self.loggers,
            "collect": self.collect,
        }

    def answer(self, question: Answer, reply: Reply) -> None:
        """Answer now or later, once, in any thread."""
        try:
            known = self._known.get(str(question.get("ask")))
            if known is None:
                reply({"refused": "It does not know how: its version may be another one."})
            else:
                known(question, reply)
        except Exception as error:
            self.monitor.broken("answers", error)
            reply({"refused": f"It failed: {type(error).__name__}."})

    def stack(self, question: Answer, reply: Reply) -> None:
        """Say where a thread is; '' for one that there is not."""
        reply({"stack": stack_of(int(question["ident"])) or ""})

    def profile(self, question: Answer, reply: Reply) -> None:
        """Look at all threads for a while, and say then where they were."""
        if not is_readable():
            reply({"refused": UNREADABLE})
            return
        seconds = min(LONGEST, max(0.1, float(question["seconds"])))
        rate = min(200.0, max(1.0, float(question["rate"])))

        def done(profile: Profile) -> None:
            reply(told(profile))
            profile.stacks.clear()  # who has asked keeps it

        begun = self.profiles.begin(seconds, rate, bool(question["idle"]), done)
        if begun is None:
            reply({"refused": "Another profile of it is running."})

    def set(self, question: Answer, reply: Reply) -> None:
        """Use other settings from now on."""
        try:
            self.monitor.order(dict(question["settings"]))
        except ValueError as error:
            self.monitor.bus.log(f"Monitor: what the site was told cannot be done: {error}", 30)
            reply({"refused": str(error)[:500]})
        else:
            reply({})

    def hold(self, question: Answer, reply: Reply) -> None:
        """Hold what the site holds for a while."""
        self.monitor.held.take(held.read(question["state"]))
        reply({"at": self.monitor.held.state.at})

    def loggers(self, question: Answer, reply: Reply) -> None:
        """Say which loggers there are, and whether one is known."""
        known = loggers.is_known(str(question.get("name", "")))
        reply({"known": known, "loggers": loggers.all_of_them()})

    def collect(self, question: Answer, reply: Reply) -> None:
        """Collect garbage, in a thread of its own: this one has others to answer."""
        if not self._collecting.acquire(blocking=False):
            reply({"refused": "It is collecting already."})
            return

        def run() -> None:
            try:
                found, took = collect()
            finally:
                self._collecting.release()
            reply({"collected": found, "seconds": took})

        try:
            threading.Thread(target=run, name="monitor-garbage", daemon=True).start()
        except RuntimeError:  # the system has no more threads
            self._collecting.release()
            raise

    def end(self) -> None:
        """End what runs."""
        self.profiles.end()


def collect() -> tuple[int, float]:
    """Run the garbage collector of this process; return how many objects it took, and the seconds."""
    began = time.perf_counter()
    found = gc.collect()
    return found, time.perf_counter() - began


def told(profile: Profile) -> Answer:
    """Return a profile as `read` takes it: the names of frames once, and stacks of their places."""
    places: dict[str, int] = {}
    stacks: list[list[int]] = []
    characters = frames = left = 0
    for stack, count in profile.stacks.most_common():
        characters += sum(len(name) for name in stack if name not in places)
        frames += len(stack)
        if characters > MOST_NAMES or frames > MOST_FRAMES:
            left += count
        else:
            stacks.append([count, *(places.setdefault(name, len(places)) for name in stack)])
    if left:
        stacks.append([left, places.setdefault(LEFT_OUT, len(places))])
    return {
        "names": list(places),
        "stacks": stacks,
        "samples": profile.samples,
        "missed": profile.missed,
    }


def read(answer: Answer, into: Profile, below: tuple[str, ...]) -> None:
    """Add what `told` has made to a profile, all of it below some frames.

    Raises ValueError for what it has not made.
    """
    try:
        names = [str(name)[:300] for name in answer["names"]]
        for count, *stack in answer["stacks"]:
            if not 0 < count < 1 << 31 or any(place < 0 for place in stack):
                raise ValueError("a profile with numbers that cannot be")
            into.put((*below, *(names[place] for place in stack[: DEEPEST + 1])), int(count))
        into.samples = max(into.samples, int(answer["samples"]))
        into.missed += int(answer["missed"])
    except (KeyError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"not a profile: {error!r}") from error
