"""Profiles: what all threads are doing, looked at many times a second for a while. Idle, it costs nothing.

Law: one profile runs at a time, in a thread of its own; what is kept of it is bounded.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

#: Different stacks that one profile keeps, frames of one, and profiles that are kept.
MOST_STACKS = 10_000
DEEPEST = 100
KEPT = 5
LONGEST = 60.0  # seconds

Stack = tuple[str, ...]

#: Frames in which a thread waits for work: it is idle there, whoever calls.
IDLE = frozenset(
    (
        ("threading.py", "wait"),
        ("workers.py", "wait"),
        ("workers.py", "lead"),
        ("server.py", "wait"),
        ("poller.py", "poll"),
        ("housekeeper.py", "run"),
        ("housekeeper.py", "sleep"),
        ("wspbus.py", "_pause"),
        ("interpreter.py", "delay_of"),
        ("threading.py", "_wait_for_tstate_lock"),
        ("threading.py", "join"),
        ("selectors.py", "select"),
        ("queue.py", "get"),
        ("poller.py", "wait"),
    )
)


class Profile:
    """One profile.

    seconds, rate
        How long, and how often a second.
    idle
        Whether threads that wait for work are counted, too.
    stacks
        How often each stack was seen: its frames, the outermost first.
    missed
        How often it came too late, for want of the GIL or the processor.
    of
        Whose it is, in words: '' for this process.
    silent
        What is to be said of processes that have told nothing, a sentence each.
    """

    of = ""
    silent: tuple[str, ...] = ()

    def __init__(self, number: int, seconds: float, rate: float, idle: bool) -> None:
        self.number = number
        self.seconds = seconds
        self.rate = rate
        self.idle = idle
        self.began = time.time()
        self.stacks: Counter[Stack] = Counter()
        self.samples = 0
        self.missed = 0
        self.over = False
        self._names: dict[CodeType, str] = {}
        self._stop = threading.Event()

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        return 1.0 if self.over else min(1.0, (time.time() - self.began) / self.seconds)

    def run(self) -> None:
        """Look, until the time is up."""
        me = threading.get_ident()
        pause = 1.0 / self.rate
        due = time.monotonic()
        until = due + self.seconds
        while due < until and not self._stop.is_set():
            self.look(me)
            due += pause
            late = time.monotonic() - due
            if late > 0:
                skipped = int(late / pause)
                self.missed += skipped
                due += skipped * pause
            self._stop.wait(max(0.0, due - time.monotonic()))
        self.over = True
        self._names.clear()

    def end(self) -> None:
        """End it before its time."""
        self._stop.set()

    def look(self, me: int) -> None:
        """Take one sample of every thread but this."""
        self.samples += 1
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident == me or (not self.idle and _waits(frame)):
                continue
            self.put(self.stack(frame, names.get(ident, "thread")), 1)

    def put(self, stack: Stack, count: int) -> None:
        """Count a stack, with all others for which there is no room."""
        if stack not in self.stacks and len(self.stacks) >= MOST_STACKS:
            stack = ("(more stacks than are kept)",)
        self.stacks[stack] += count

    def stack(self, frame: FrameType | None, thread: str) -> Stack:
        """The frames that led to this one; of a stack that is too deep, the inner ones."""
        frames: list[str] = []
        while frame is not None and len(frames) < DEEPEST:
            code = frame.f_code
            name = self._names.get(code)
            if name is None:
                name = self._names[code] = described(code)
            frames.append(name)
            frame = frame.f_back
        frames.append(kind_of(thread))
        return tuple(reversed(frames))

    def collapsed(self) -> str:
        """Return it as text that other tools draw: 'a;b;c 17' a line."""
        lines = [
            ";".join(part.replace(";", ",") for part in stack) + f" {count}"
            for stack, count in sorted(self.stacks.copy().items())
        ]
        return "\n".join(lines) + "\n" if lines else ""


def described(code: CodeType) -> str:
    """Return what a frame is called: the function, its file and line; no path of this machine."""
    folders = code.co_filename.replace("\\", "/").split("/")
    name = getattr(code, "co_qualname", code.co_name)
    return f"{name} ({'/'.join(folders[-2:])}:{code.co_firstlineno})"


def kind_of(thread: str) -> str:
    """Return a thread's name without its number: those of a kind are seen together."""
    return thread.rstrip("0123456789 ").rstrip("-_") or thread


def _waits(frame: FrameType) -> bool:
    code = frame.f_code
    return (code.co_filename.replace("\\", "/").rpartition("/")[2], code.co_name) in IDLE


class Profiles:
    """The profiles of this process: the last ones, and perhaps one that runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards: one profile at a time
        self._kept: deque[Profile] = deque(maxlen=KEPT)
        self._number = 0

    def begin(
        self,
        seconds: float,
        rate: float,
        idle: bool,
        done: Callable[[Profile], object] | None = None,
        make: Callable[[int, float, float, bool], Profile] | None = None,
    ) -> Profile | None:
        """Begin a profile; None while another one runs.

        done
            Called with it when it is over, in its thread.
        make
            Makes it; one of this process by default.
        """
        with self._lock:
            if self._kept and not self._kept[-1].over:
                return None
            self._number += 1
            profile = (make or Profile)(self._number, seconds, rate, idle)
            self._kept.append(profile)

        def run() -> None:
            try:
                profile.run()
            finally:
                profile.over = True
            if done is not None:
                done(profile)

        try:
            threading.Thread(target=run, name="monitor-profile", daemon=True).start()
        except RuntimeError:  # the system has no more threads
            profile.over = True
            raise
        return profile

    @property
    def running(self) -> bool:
        """Whether one is on its way."""
        return bool(self._kept) and not self._kept[-1].over

    def get(self, number: int) -> Profile | None:
        """Return a profile that is kept."""
        return next((one for one in list(self._kept) if one.number == number), None)

    def all(self) -> list[Profile]:
        """Return all that are kept, the last one first."""
        return list(reversed(self._kept))

    def end(self) -> None:
        """End what runs."""
        for profile in list(self._kept):
            profile.end()


def tree_of(stacks: dict[Stack, int]) -> dict[str, Any]:
    """Return stacks as a tree: {'name', 'count', 'own', 'children': {name: node}}."""
    root: dict[str, Any] = {"name": "all", "count": 0, "own": 0, "children": {}}
    for stack, count in stacks.items():
        node = root
        node["count"] += count
        for name in stack:
            children: dict[str, Any] = node["children"]
            if name not in children:
                children[name] = {"name": name, "count": 0, "own": 0, "children": {}}
            node = children[name]
            node["count"] += count
        node["own"] += count
    return root
