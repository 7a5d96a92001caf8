"""Actions: what the dashboard does to the process. Each has been let through by the guard."""

from __future__ import annotations

import gc
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from . import units
from .asked import Refusal, number_of

if TYPE_CHECKING:
    from .front import Front

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "NOTSET")
#: Seconds after which a level of a logger is what it was before.
LONGEST = 3600.0


def collect() -> str:
    """Run the garbage collector, and say what came of it."""
    began = time.perf_counter()
    found = gc.collect()
    took = time.perf_counter() - began
    return f"{units.whole(found)} objects were collected in {units.seconds(took)}."


class Levels:
    """Levels of loggers that were set for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards: what a level was before is kept once
        self._before: dict[str, tuple[int, threading.Timer]] = {}

    def set(self, name: str, level: str, seconds: float) -> str:
        """Set the level of a logger that exists, and say so. Raises Refusal for another."""
        if level not in LEVELS:
            raise Refusal("400 Bad Request", f"level must be one of {', '.join(LEVELS)}.")
        if name and name not in logging.Logger.manager.loggerDict:
            raise Refusal("400 Bad Request", "There is no logger of this name.")
        logger = logging.getLogger(name or None)
        with self._lock:
            known = self._before.pop(name, None)
            if known is not None:
                known[1].cancel()
            before = known[0] if known is not None else logger.level
            timer = threading.Timer(seconds, self.back, (name,))
            timer.daemon = True
            self._before[name] = (before, timer)
            logger.setLevel(level)
            timer.start()
        return f"{name or 'The root logger'} logs {level} for {units.seconds(seconds)}."

    def back(self, name: str) -> None:
        """Set a logger's level to what it was."""
        with self._lock:
            known = self._before.pop(name, None)
            if known is not None:
                known[1].cancel()
                logging.getLogger(name or None).setLevel(known[0])

    def end(self) -> None:
        """Set all levels to what they were."""
        for name in list(self._before):
            self.back(name)

    def all(self) -> list[tuple[str, str, bool]]:
        """Return the loggers there are: name, level, and whether it was set here."""
        found = [("", logging.getLevelName(logging.getLogger().level), "" in self._before)]
        loggers = logging.Logger.manager.loggerDict.copy()
        for name in sorted(loggers)[:300]:
            logger = loggers[name]
            if isinstance(logger, logging.Logger):
                level = logging.getLevelName(logger.level) if logger.level else "–"
                found.append((name, level, name in self._before))
        return found


def set_level(front: Front, form: dict[str, str]) -> str:
    """Set the level of a logger for a while."""
    minutes = number_of(form, "minutes", 10.0, 0.1, LONGEST / 60)
    return front.levels.set(form.get("logger", ""), form.get("level", ""), minutes * 60)


def pause(front: Front, form: dict[str, str]) -> str:
    """Record nothing for a while, or again."""
    if form.get("do") == "resume":
        return front.pause.end()
    minutes = number_of(form, "minutes", 5.0, 0.1, LONGEST / 60)
    return front.pause.begin(minutes * 60)


def choose(front: Front, form: dict[str, str]) -> str:
    """Have all processes of the site record more, or less. Raises Refusal for what cannot be."""
    from ..sources import value_of

    settings = front.monitor.settings
    try:
        values = {
            name: value_of(name, form[name])
            for name in ("level", "metrics.include", "metrics.exclude")
            if name in form
        }
        front.monitor.order(values)
    except ValueError as error:
        raise Refusal("400 Bad Request", str(error)) from None
    return (
        f"All processes record level {settings['level']}: "
        f"{', '.join(settings['metrics.include']) or 'nothing'} without "
        f"{', '.join(settings['metrics.exclude']) or 'exception'}."
    )


def profile(front: Front, form: dict[str, str]) -> Any:
    """Begin a profile. Raises Refusal while another one runs, and for a process that there is not."""
    from ..processes.asking import profile_of
    from ..profiles import LONGEST as longest

    seconds = number_of(form, "seconds", 10.0, 0.5, longest)
    rate = number_of(form, "rate", 100.0, 1.0, 200.0)
    make = profile_of(front.monitor, form.get("process", ""))
    if make is None:
        raise Refusal("404 Not Found", "There is no such process, or it is asked for elsewhere.")
    begun = front.profiles.begin(seconds, rate, form.get("idle") == "on", make=make)
    if begun is None:
        raise Refusal("409 Conflict", "Another profile is running: wait until it is over.")
    return begun
