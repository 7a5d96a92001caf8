"""Loggers: which there are in this process, and the levels that some have for a while."""

from __future__ import annotations

import logging

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "NOTSET")

#: Loggers that are listed, and characters that the name of one may have.
MOST, LONGEST_NAME = 300, 200

#: What stands for the level of a logger that has none of its own.
NONE = "–"


def is_known(name: str) -> bool:
    """Whether there is a logger of this name here; '' is the root."""
    return not name or name in logging.Logger.manager.loggerDict


def all_of_them() -> list[tuple[str, str]]:
    """Return the loggers there are, by name, with their levels."""
    found = [("", logging.getLevelName(logging.getLogger().level))]
    loggers = logging.Logger.manager.loggerDict.copy()
    for name in sorted(loggers):
        logger = loggers[name]
        if isinstance(logger, logging.Logger) and len(name) <= LONGEST_NAME:
            found.append((name, logging.getLevelName(logger.level) if logger.level else NONE))
    return found[:MOST]


class Levels:
    """Levels that were set, and what they had been. Not safe for several threads: see `held`."""

    def __init__(self) -> None:
        self._set: dict[str, str] = {}
        self._before: dict[str, int] = {}

    def use(self, levels: dict[str, str]) -> None:
        """Have these loggers these levels; a logger that is not among them has its own again.

        One that there is not is made: its module may be imported later.
        """
        for name in self._set.keys() - levels.keys():
            logging.getLogger(name or None).setLevel(self._before.pop(name))
        for name, level in levels.items():
            if self._set.get(name) != level:
                logger = logging.getLogger(name or None)
                self._before.setdefault(name, logger.level)
                logger.setLevel(level)
        self._set = dict(levels)
