"""The access log and the error log, on top of the standard library's `logging`.

Law: a request pays for a log line only if somebody listens; a line cannot be forged by a peer.
"""

from __future__ import annotations

import datetime
import logging
import os
import re
import sys
import threading
import time as _time
import weakref
from typing import TYPE_CHECKING, Any

from .serving import serving
from .site import site

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = (
    "LazyRfc3339UtcTime",
    "LogManager",
    "NullHandler",
    "WSGIErrorHandler",
    "access_logged",
    "access_wanted",
)

#: What must not get into a log as it is: what moves a terminal's cursor, ends a line for some
#: readers, or cannot be encoded (then the whole record would be lost).
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

#: What would be taken for the beginning of another record.
_FORGED = re.compile(r"\n(?=\[\d\d/[A-Z][a-z][a-z]/\d{4}:)")


def _as_literal(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


class _Formatter(logging.Formatter):
    """Formats records such that nothing in them can pass for another one, or steer a terminal.

    Messages and the texts of exceptions may hold what a peer has sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record: its message, and the traceback if there is one."""
        text = super().format(record)
        if text.isascii() and text.isprintable():
            return text
        return _FORGED.sub("\n ", _UNSAFE.sub(_as_literal, text))


logfmt = _Formatter("%(message)s")
"""What the built-in handlers format records with: the text already has its time."""

_INFO = logging.INFO
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class NullHandler(logging.Handler):
    """Does nothing: keeps `logging` from complaining that there is no handler."""

    def handle(self, record: logging.LogRecord) -> Any:
        """Do nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        """Do nothing."""

    def createLock(self) -> None:
        """Do without a lock."""
        self.lock = None


#: The handlers of a logger that nobody listens to.
_SILENT: list[logging.Handler] = [NullHandler()]


class WSGIErrorHandler(logging.Handler):
    """Writes to the `wsgi.errors` stream of the request that is being served."""

    def _stream(self) -> Any:
        return (getattr(serving.request, "wsgi_environ", None) or {}).get("wsgi.errors")

    def flush(self) -> None:
        """Flush the stream, if there is one now."""
        stream = self._stream()
        if stream is not None:
            stream.flush()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; outside a WSGI request it is dropped."""
        try:
            stream = self._stream()
            if stream is not None:
                stream.write(self.format(record) + "\n")
                stream.flush()
        except Exception:
            self.handleError(record)


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[Any]
else:  # Python 3.10 has no such subscript at run time
    _StreamHandler = logging.StreamHandler


class ScreenHandler(_StreamHandler):
    """Writes to the screen, unless the record gets there anyway.

    Records are passed on to the handlers of the parent loggers, as everywhere in `logging`. If
    one of them writes to the console as well, it is that one (the program's own) which prints.
    """

    def __init__(self, logger: logging.Logger, stream: Any) -> None:
        super().__init__(stream)
        self._logger = weakref.ref(logger)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, if no handler further up does."""
        logger = self._logger()
        consoles = (self.stream, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        while logger is not None and logger.propagate:
            logger = logger.parent
            for handler in logger.handlers if logger is not None else ():
                stream = getattr(handler, "stream", None)
                if (
                    stream is not None
                    and handler.level <= record.levelno
                    and any(stream is console for console in consoles)
                ):
                    return
        super().emit(record)


class LazyRfc3339UtcTime:
    """The time now, as RFC 3339 has it, when somebody asks for its text."""

    def __str__(self) -> str:
        """Return the UTC time, with microseconds and a `Z`."""
        now = datetime.datetime.now(datetime.timezone.utc)
        # The zone twice is how it has been since 18.10; log readers count on it.
        return now.isoformat("T") + "Z"


#: Control characters and bytes beyond ASCII, as Python would write them in a literal.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))}
_ESCAPES.update({9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"'})


def _escaped(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    if "\\" in text:
        # Backslashes are as they came, but for those that would make the quote behind them, ours
        # or the peer's, mean something else.
        pieces = []
        for piece in text.split('"'):
            bare = piece.rstrip("\\")
            pieces.append(bare + "\\" * (2 * (len(piece) - len(bare))))
        text = '"'.join(pieces)
    if text.isascii() and text.isprintable() and '"' not in text:
        return text
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Surrogates, of a peer who wants no line of himself in this log.
        data = text.encode("utf-8", "backslashreplace")
    return data.decode("latin-1").translate(_ESCAPES)


def _status(log: LogManager, request: Any, response: Any) -> Any:
    status = response.output_status
    if not status:
        return "-"
    if isinstance(status, bytes):
        status = status.decode("latin-1")
    return status.split(" ", 1)[0]


def _host_name(log: LogManager, request: Any, response: Any) -> Any:
    remote = request.remote
    # It may come from a field of a proxy's, or of one who claims to be one: still one word.
    return str(remote.name or remote.ip).replace(" ", "\\x20")


#: What the letters of `access_log_format` stand for.
_ATOMS: dict[str, Callable[[LogManager, Any, Any], Any]] = {
    "h": _host_name,
    "l": lambda log, request, response: "-",
    "u": lambda log, request, response: getattr(request, "login", None) or "-",
    "t": lambda log, request, response: log.time(),
    "r": lambda log, request, response: request.request_line,
    "s": _status,
    "b": lambda log, request, response: response.headers.get("Content-Length", "") or "-",
    "f": lambda log, request, response: request.headers.get("Referer", ""),
    "a": lambda log, request, response: request.headers.get("User-Agent", ""),
    "o": lambda log, request, response: request.headers.get("Host", "-"),
    "i": lambda log, request, response: request.unique_id,
    "z": lambda log, request, response: LazyRfc3339UtcTime(),
}


class _Atoms:
    """A mapping for `str.format_map` that finds out only what the format asks for."""

    __slots__ = ("log", "request", "response")

    def __init__(self, log: LogManager, request: Any, response: Any) -> None:
        self.log = log
        self.request = request
        self.response = response

    def __getitem__(self, name: str) -> str:
        return _escaped(_ATOMS[name](self.log, self.request, self.response))


class LogManager:
    """The access log and the error log of the site, or of one application.

    Args:
        appid: distinguishes the application; None for the site. Its loggers are children of
            the site's, so the site's handlers get its records, too.
        logger_root: the name of the common root of the loggers.
    """

    appid: Any = None
    error_log: Any = None
    """The `logging.Logger` called `<root>.error[.<appid>]`."""

    access_log: Any = None
    """The `logging.Logger` called `<root>.access[.<appid>]`."""

    access_log_format = '{h} {l} {u} {t} "{r}" {s} {b} "{f}" "{a}"'
    """The line of a request. h: remote host, l: '-', u: login, t: time, r: request line,
    s: status, b: length of the body, f: Referer, a: User-Agent, o: Host, i: request id,
    z: time of RFC 3339."""

    logger_root: Any = None

    def __init__(self, appid: Any = None, logger_root: str = "cherrypy") -> None:
        self.logger_root = logger_root
        self.appid = appid
        suffix = "" if appid is None else f".{appid}"
        self.error_log = logging.getLogger(f"{logger_root}.error{suffix}")
        self.access_log = logging.getLogger(f"{logger_root}.access{suffix}")
        for log in (self.error_log, self.access_log):
            log.setLevel(_INFO)
            if not any(isinstance(handler, NullHandler) for handler in log.handlers):
                log.addHandler(_SILENT[0])
        with _managers_lock:
            _managers.add(self)
        engine = getattr(site, "engine", None)
        if engine is not None:
            engine.subscribe("graceful", reopen_all)

    def reopen_files(self) -> None:
        """Close and open again the files of all handlers: after they were moved away."""
        problems: list[OSError] = []
        for log in (self.error_log, self.access_log):
            for handler in list(log.handlers):
                if isinstance(handler, logging.FileHandler):
                    handler.acquire()
                    try:
                        # Before the old one goes: a file that cannot be opened any more
                        # must not end the logging.
                        stream = handler._open()
                        if handler.stream is not None:
                            handler.stream.close()
                        handler.stream = stream
                    except OSError as exc:
                        problems.append(exc)
                    finally:
                        handler.release()
        for problem in problems:
            self.error(
                f"A log file cannot be opened again, the old one stays in use: {problem}",
                "ENGINE",
                logging.ERROR,
            )

    def error(
        self,
        msg: Any = "",
        context: str = "",
        severity: int = logging.INFO,
        traceback: Any = False,
    ) -> None:
        """Write to the error log, which is for more than errors.

        Args:
            msg: the text.
            context: what it is about, such as 'ENGINE' or 'HTTP'.
            severity: a level of `logging`.
            traceback: True adds the traceback of the exception being handled.
        """
        exc_info = None
        if traceback:
            exc_info = traceback if isinstance(traceback, tuple) else sys.exc_info()
            if exc_info[0] is None:
                exc_info = None
        self.error_log.log(severity, f"{self.time()} {context} {msg}", exc_info=exc_info)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Write to the error log: the same as `error`."""
        return self.error(*args, **kwargs)

    def access(self) -> None:
        """Write the line of the request being served to the access log.

        Values come from the peer: quotes, control characters and what is not ASCII are escaped.
        """
        logger = self.access_log
        if not logger.isEnabledFor(_INFO):
            return
        try:
            line = self.access_log_format.format_map(
                _Atoms(self, serving.request, serving.response)
            )
            logger.log(_INFO, line)
        except Exception:
            self(traceback=True)

    def time(self) -> str:
        """Return the local time as Apache writes it: `[21/Nov/2026:03:40:45]`."""
        global _clock
        second = int(_time.time())
        known, text = _clock
        if second != known:
            now = _time.localtime(second)
            text = (
                f"[{now.tm_mday:02d}/{_MONTHS[now.tm_mon - 1]}/{now.tm_year:04d}"
                f":{now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d}]"
            )
            _clock = (second, text)
        return text

    # ---------------------------------------------------------------- the built-in handlers

    def _get_builtin_handler(self, log: logging.Logger, key: str) -> Any:
        for handler in log.handlers:
            if getattr(handler, "_cpbuiltin", None) == key:
                return handler
        return None

    def _add(self, log: logging.Logger, handler: Any, key: str) -> None:
        handler.setFormatter(logfmt)
        handler._cpbuiltin = key
        log.addHandler(handler)

    def _set_screen_handler(self, log: logging.Logger, enable: Any, stream: Any = None) -> None:
        handler = self._get_builtin_handler(log, "screen")
        if not enable:
            if handler is not None:
                log.removeHandler(handler)
        elif handler is None:
            self._add(log, ScreenHandler(log, stream or sys.stderr), "screen")

    @property
    def screen(self) -> bool:
        """True: errors go to stderr, the access log to stdout."""
        logs = (self.error_log, self.access_log)
        return any(self._get_builtin_handler(log, "screen") for log in logs)

    @screen.setter
    def screen(self, newvalue: Any) -> None:
        self._set_screen_handler(self.error_log, newvalue, stream=sys.stderr)
        self._set_screen_handler(self.access_log, newvalue, stream=sys.stdout)

    def _add_builtin_file_handler(self, log: logging.Logger, fname: str) -> None:
        self._add(log, logging.FileHandler(fname, encoding="utf-8"), "file")

    def _set_file_handler(self, log: logging.Logger, filename: Any) -> None:
        handler = self._get_builtin_handler(log, "file")
        known = handler.baseFilename if handler is not None else ""
        if filename and known == os.path.abspath(filename):
            return
        if filename:
            self._add_builtin_file_handler(log, filename)
        # Only now: when the new one cannot be opened, the old one goes on.
        if handler is not None:
            log.removeHandler(handler)
            handler.close()

    def _file_name(self, log: logging.Logger) -> str:
        handler = self._get_builtin_handler(log, "file")
        return handler.baseFilename if handler is not None else ""

    @property
    def error_file(self) -> str:
        """The name of the file the error log is written to; '' or None for no file."""
        return self._file_name(self.error_log)

    @error_file.setter
    def error_file(self, newvalue: Any) -> None:
        self._set_file_handler(self.error_log, newvalue)

    @property
    def access_file(self) -> str:
        """The name of the file the access log is written to; '' or None for no file."""
        return self._file_name(self.access_log)

    @access_file.setter
    def access_file(self, newvalue: Any) -> None:
        self._set_file_handler(self.access_log, newvalue)

    def _set_wsgi_handler(self, log: logging.Logger, enable: Any) -> None:
        handler = self._get_builtin_handler(log, "wsgi")
        if not enable:
            if handler is not None:
                log.removeHandler(handler)
        elif handler is None:
            self._add(log, WSGIErrorHandler(), "wsgi")

    @property
    def wsgi(self) -> bool:
        """True: errors also go to the `wsgi.errors` of the request."""
        return bool(self._get_builtin_handler(self.error_log, "wsgi"))

    @wsgi.setter
    def wsgi(self, newvalue: Any) -> None:
        self._set_wsgi_handler(self.error_log, newvalue)


#: The second last asked for and its text; one tuple, so that no thread sees half of it.
_clock: tuple[int, str] = (-1, "")

_managers: weakref.WeakSet[LogManager] = weakref.WeakSet()
_managers_lock = threading.Lock()  # a set must not grow while it is read


def reopen_all() -> None:
    """Reopen the files of every log there is: subscribed to `graceful`."""
    with _managers_lock:
        managers = list(_managers)
    for manager in managers:
        manager.reopen_files()


_access = LogManager.access


def access_wanted(log: Any) -> bool:
    """Return whether `log.access()` would do anything: quick enough to ask for each request.

    True if `access` is not the one of `LogManager` (replaced, on the object or the class), or if
    its logger or a parent has a handler.
    """
    if getattr(type(log), "access", None) is not _access or "access" in log.__dict__:
        return True
    logger = log.access_log
    while logger is not None:
        handlers = logger.handlers
        if handlers and handlers != _SILENT:
            return True
        if not logger.propagate:
            return False
        logger = logger.parent
    return False


def access_logged(app: Any, turn: object | None = None) -> bool:
    """Return whether `site.log.access()` would write a line, or is anything but the usual one.

    turn
        What the server took up at once (see `Request._turn`): for all of it once No is enough.
    """
    if app is not None and app._unlogged is turn:
        return False
    log = site.log
    usual = getattr(getattr(type(log), "access", None), "delegates", False)
    if not usual or "access" in log.__dict__:
        return True
    if app is not None and app.log is not None:
        log = app.log
    wanted = access_wanted(log)
    if not wanted and turn is not None and app is not None:
        app._unlogged = turn
    return wanted
