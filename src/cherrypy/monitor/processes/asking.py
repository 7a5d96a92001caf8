"""Asking: what the dashboard wants to know of any process of the site, this one or another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..books.flights import stack_of
from ..profiles import Profile
from .answers import Answer, read
from .questions import Question, Unanswered

if TYPE_CHECKING:
    from ..plugin import Monitor

#: Seconds that a process may take to say where a thread is, and to tell of a profile when that is over.
PATIENCE, GRACE = 2.0, 5.0

#: Processes that are profiled at once.
MOST = 50

#: All of them.
ALL = "all"


def others(monitor: Monitor) -> list[str]:
    """The names of the other processes of the site that can be asked from here."""
    role = getattr(monitor.processes, "role", None)
    found: Callable[[], list[str]] | None = getattr(role, "others", None)
    return found() if found is not None else []


def ask(monitor: Monitor, worker: str, words: dict[str, Any]) -> Question:
    """Ask another process something."""
    role: Any = getattr(monitor.processes, "role", None)
    if not hasattr(role, "ask"):
        question = Question(worker)
        question.fail("cannot be asked from here.")
        return question
    asked: Question = role.ask(worker, words)
    return asked


def each(
    monitor: Monitor, words: dict[str, Any], patience: float, workers: list[str] | None = None
) -> tuple[dict[str, Answer], dict[str, str]]:
    """Ask other processes the same, all at once.

    patience
        Seconds in which they are to answer.
    workers
        Their names; all by default.

    Returns their answers by their names, and why the others have not answered: a sentence each.
    """
    deadline = time.monotonic() + patience
    names = others(monitor) if workers is None else workers
    answers: dict[str, Answer] = {}
    silent: dict[str, str] = {}
    for worker, question in {one: ask(monitor, one, words) for one in names}.items():
        try:
            answers[worker] = question.answer(deadline)
        except Unanswered as error:
            silent[worker] = str(error)
    return answers, silent


def stack(monitor: Monitor, worker: str, ident: int) -> str:
    """Return where a thread of a process is; '' if there is none.

    worker
        The name of the process; '' for this one.

    Raises Unanswered if it has not said so within two seconds.
    """
    if worker in ("", monitor.taker.worker):
        return stack_of(ident) or ""
    asked = ask(monitor, worker, {"ask": "stack", "ident": ident})
    return str(asked.answer(time.monotonic() + PATIENCE).get("stack", ""))


class Joint(Profile):
    """A profile of other processes as well, or of one of them alone.

    workers
        Their names; this process's own among them if it is looked at, too.
    """

    def __init__(
        self,
        monitor: Monitor,
        workers: list[str],
        number: int,
        seconds: float,
        rate: float,
        idle: bool,
    ) -> None:
        super().__init__(number, seconds, rate, idle)
        self.monitor = monitor
        self.workers = workers[:MOST]
        self.own = Profile(number, seconds, rate, idle)
        self.of = f"process {workers[0]}" if len(workers) == 1 else f"{len(workers)} processes"
        if len(workers) > MOST:
            self.silent = (f"Of {len(workers)} processes the first {MOST} were asked.",)

    def run(self) -> None:
        """Have all of them look, and put together what they tell."""
        mine = self.monitor.taker.worker
        words = {"ask": "profile", "seconds": self.seconds, "rate": self.rate, "idle": self.idle}
        deadline = time.monotonic() + self.seconds + GRACE
        asked = {one: ask(self.monitor, one, words) for one in self.workers if one != mine}
        if mine in self.workers:
            self.own.run()
            self.samples, self.missed = self.own.samples, self.own.missed
            for stack, count in self.own.stacks.items():
                self.put((*self.below(mine), *stack), count)
        for worker, question in asked.items():
            try:
                read(question.answer(deadline), self, self.below(worker))
            except Unanswered as error:
                self.silent += (str(error),)
            except ValueError as error:
                self.silent += (f"The process {worker} has answered nonsense: {error}",)
        self.over = True

    def below(self, worker: str) -> tuple[str, ...]:
        """The frames that stand for a process, where there is more than one."""
        return (f"process {worker}",) if len(self.workers) > 1 else ()

    def end(self) -> None:
        """End it before its time: what others do is over when they are done."""
        super().end()
        self.own.end()


def profile_of(monitor: Monitor, which: str) -> Callable[[int, float, float, bool], Profile] | None:
    """Return what makes a profile of a process, or of all of them; None for one that there is not.

    which
        The name of a process, '' for this one, 'all'.
    """
    mine = monitor.taker.worker
    known = others(monitor)
    if which in ("", mine) or (which == ALL and not known):
        return Profile
    if which == ALL:
        known = [mine, *known]
    elif which in known:
        known = [which]
    else:
        return None

    def make(number: int, seconds: float, rate: float, idle: bool) -> Profile:
        return Joint(monitor, known, number, seconds, rate, idle)

    return make
