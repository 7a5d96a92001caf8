"""logging and warnings: how much is said, by level, and by whom.

Law: each record counts once, whoever made it and however many handlers it has.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable
from typing import Any

from ...framework.logs import logfmt
from ..metrics import OVERFLOW
from ..patches import Patches
from ..table import logs
from .guard import failed

RECORDS = logs.LOG_RECORDS
EXCEPTIONS = logs.LOG_EXCEPTIONS
BY_LOGGER = logs.LOG_RECORDS_LOGGER
BYTES = logs.LOG_BYTES
WARNINGS = logs.WARNINGS

#: Loggers that are told apart.
MOST_LOGGERS = 30

#: What writes a line for each request is no sign of trouble.
ACCESS = "cherrypy.access"

_lock = threading.RLock()  # guards: no more loggers than there may be
_loggers: set[str] = set()
#: The name to count under, by the name of a logger; a full table starts over.
_short: dict[str, str] = {}
_CATEGORY = re.compile(r": (\w{1,60}): ")


def level_of(number: int) -> str:
    """The level that a number belongs to, also one of a program's own."""
    if number >= 40:
        return "critical" if number >= 50 else "error"
    if number >= 20:
        return "warning" if number >= 30 else "info"
    return "debug"


def short_name(name: str) -> str:
    """The first two parts of a logger's name, if it is one of those told apart."""
    known = _short.get(name)
    if known is None:
        known = ".".join(name.split(".", 2)[:2])[:100]
        with _lock:
            if known not in _loggers:
                if len(_loggers) >= MOST_LOGGERS:
                    known = OVERFLOW
                else:
                    _loggers.add(known)
            if len(_short) >= 1000:
                _short.clear()
            _short[name] = known
    return known


def instrument(module: Any) -> Callable[[], object]:
    """Have the records counted that loggers hand to their handlers: of `logging`."""

    def make(plain: Any) -> Any:
        # Not `handle`: what filters throw away there has not been logged.
        def callHandlers(self: Any, record: Any) -> Any:
            try:
                count(record)
            except Exception as error:
                failed("logging", error)
            return plain(self, record)

        return callHandlers

    patches = Patches()
    patches.method(module.Logger, "callHandlers", make)
    patches.method(module.Handler, "format", _formatting)
    return patches.end


def count(record: Any) -> None:
    """Count a record."""
    name = record.name
    if name.startswith(ACCESS) and name[len(ACCESS) :][:1] in ("", "."):
        return
    level = level_of(record.levelno)
    RECORDS.add(1, (level,))
    BY_LOGGER.add(1, (short_name(name), level))
    if record.exc_info and record.exc_info[0] is not None:
        EXCEPTIONS.add(1, (level,))
    if name == "py.warnings" and not _shown_by_us():  # of captureWarnings
        found = _CATEGORY.search(record.getMessage())
        WARNINGS.add(1, (found[1] if found else "Warning",))


def _formatting(plain: Any) -> Any:
    """Count the bytes that the logs of the framework write: what handlers format, they write."""

    def format(self: Any, record: Any) -> Any:
        text = plain(self, record)
        try:
            # Handlers of the program's own, further up, see its records as well.
            which = _log_of(record.name) if self.formatter is logfmt else None
            if which is not None and BYTES.on:
                size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
                BYTES.add(size + 1, (which,))
        except Exception as error:
            failed("logging", error)
        return text

    return format


def _log_of(name: str) -> str | None:
    for which in ("access", "error"):
        log = "cherrypy." + which
        if name == log or name.startswith(log + "."):
            return which
    return None


def _shown_by_us() -> bool:
    """Whether the warning that has become a record came by us already."""
    return hasattr(warnings.showwarning, "counts_for_the_monitor")


def warned(module: Any) -> Callable[[], object]:
    """Have the warnings counted that are shown: of `warnings`."""
    plain = module.showwarning

    def showwarning(message: Any, category: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            WARNINGS.add(1, (category.__name__,))
        except Exception as error:
            failed("warnings", error)
        return plain(message, category, *args, **kwargs)

    showwarning.counts_for_the_monitor = True  # type: ignore[attr-defined]  # for `count`
    module.showwarning = showwarning

    def undo() -> None:
        if module.showwarning is showwarning:
            module.showwarning = plain

    return undo


def forget() -> None:
    """Tell loggers apart anew."""
    with _lock:
        _loggers.clear()
        _short.clear()
