"""logging and warnings with their instruments on: each record counts once."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import threading
import warnings

import pytest
from drivers_kit import watching

from cherrypy.framework.logs import LogManager
from cherrypy.framework.site import site

RECORDS, EXCEPTIONS, BY_LOGGER = (
    "cherrypy.log.records",
    "cherrypy.log.exceptions",
    "cherrypy.log.records.logger",
)


@pytest.fixture
def seen():
    with watching("logging", "warnings") as seen:
        yield seen


@pytest.fixture
def logger(request):
    logger = logging.getLogger(f"driven.{request.node.name}"[:60])
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers.clear()
    logger.filters.clear()
    logger.disabled = False


def levels(seen):
    names = ("critical", "error", "warning", "info", "debug")
    return {name: seen.count(RECORDS, name) for name in names if seen.count(RECORDS, name)}


def test_counts_are_exact(seen, logger):
    for _ in range(2):
        logger.addHandler(logging.NullHandler())  # several see it: one record
    logger.debug("x")
    for _ in range(3):
        logger.info("x %s", 1)
    logger.warning("x")
    logger.error("x")
    logger.critical("x")
    logger.fatal("x")
    logger.log(35, "a level of one's own")
    logger.log(5, "below all names") if logger.isEnabledFor(5) else None
    try:
        raise ValueError
    except ValueError:
        logger.exception("x")
        logger.info("x", exc_info=True)
    logger.error("none to be told of", exc_info=(None, None, None))
    assert levels(seen) == {"debug": 1, "info": 4, "warning": 2, "error": 3, "critical": 2}
    assert seen.count(EXCEPTIONS, "error") == 1
    assert seen.count(EXCEPTIONS, "info") == 1
    assert seen.count(EXCEPTIONS) == 2


def test_what_is_not_logged_is_not_counted(seen, logger):
    logger.setLevel(logging.ERROR)
    logger.info("below")
    logger.addFilter(lambda record: "hidden" not in record.getMessage())
    logger.error("hidden")
    logger.disabled = True
    logger.error("off")
    logger.disabled = False
    logging.disable(logging.CRITICAL)
    logger.error("all off")
    logging.disable(logging.NOTSET)
    assert levels(seen) == {}
    logger.error("seen")
    assert levels(seen) == {"error": 1}


def test_records_made_elsewhere_are_counted(seen, logger):
    record = logging.LogRecord("some.where.else", logging.INFO, "file", 1, "x", (), None)
    logger.handle(record)
    logging.getLogger().error("root")
    assert seen.count(BY_LOGGER, "some.where", "info") == 1
    assert seen.count(BY_LOGGER, "root", "error") == 1
    told: queue.Queue = queue.Queue()
    logger.addHandler(logging.handlers.QueueHandler(told))
    logger.info("queued")
    listener = logging.handlers.QueueListener(told, logging.NullHandler())
    listener.start()
    listener.stop()
    assert levels(seen) == {"info": 2, "error": 1}


def test_logs_of_the_framework_are_counted_and_access_is_no_volume(seen, tmp_path, monkeypatch):
    monkeypatch.setattr(site.log, "screen", False)
    manager = LogManager("driven")
    manager.error_file = str(tmp_path / "error.log")
    manager.access_file = str(tmp_path / "access.log")
    manager("hello \N{SNOWMAN}")
    manager("bad", "HTTP", logging.ERROR)
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        manager("failed", severity=logging.ERROR, traceback=True)
    for _ in range(5):
        manager.access_log.info("a line")
    assert levels(seen) == {"info": 1, "error": 2}
    assert seen.count(EXCEPTIONS, "error") == 1
    assert seen.count("cherrypy.log.bytes", "error") == (tmp_path / "error.log").stat().st_size
    assert seen.count("cherrypy.log.bytes", "access") == (tmp_path / "access.log").stat().st_size
    assert seen.count("cherrypy.log.bytes", "access") == 5 * 7
    for log in (manager.error_log, manager.access_log):
        for handler in list(log.handlers):
            log.removeHandler(handler)
            handler.close()


def test_loggers_are_told_apart_by_two_parts_and_up_to_a_number(seen):
    for number in range(40):
        logging.getLogger(f"package{number}.module.part{number}").error("x")
        logging.getLogger(f"package{number}.module.other").error("x")
    names = {labels[0] for labels in seen.series(BY_LOGGER)}
    assert len(names) == 31
    assert "package0.module" in names
    assert "otel.metric.overflow" in names
    assert seen.count(BY_LOGGER, "package0.module", "error") == 2
    assert seen.count(BY_LOGGER, "otel.metric.overflow", "error") == 20
    assert levels(seen) == {"error": 80}


def test_threads_lose_nothing(seen, logger):
    logger.addHandler(logging.NullHandler())
    logger.propagate = False

    def work():
        for _ in range(2000):
            logger.info("x")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    logger.propagate = True
    assert levels(seen) == {"info": 16000}


def test_who_called_is_who_called(seen, logger, caplog):
    with caplog.at_level(logging.INFO):
        logger.info("here")
    (record,) = (record for record in caplog.records if record.name == logger.name)
    assert record.funcName == "test_who_called_is_who_called"
    assert record.filename == "test_monitor_drivers_logs.py"


def test_classes_of_a_program_and_handlers_that_fail(seen, monkeypatch):
    class Own(logging.Logger):
        def callHandlers(self, record):
            record.own = True
            super().callHandlers(record)

    class Failing(logging.Handler):
        def emit(self, record):
            raise ZeroDivisionError

    own = Own("driven.own")
    own.addHandler(Failing())
    with pytest.raises(ZeroDivisionError):
        own.error("x")
    assert levels(seen) == {"error": 1}


def test_warnings_are_counted_by_category(monkeypatch):
    class OwnWarning(UserWarning):
        pass

    shown = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", lambda *told, **more: shown.append(told[:2]))
        with watching("warnings") as seen:
            warnings.warn("x", OwnWarning, stacklevel=1)
            warnings.warn("y", DeprecationWarning, stacklevel=1)
            warnings.simplefilter("ignore")
            warnings.warn("z", OwnWarning, stacklevel=1)
            assert [(str(message), category) for message, category in shown] == [
                ("x", OwnWarning),
                ("y", DeprecationWarning),
            ]
            assert seen.count("cherrypy.warnings", "OwnWarning") == 1
            assert seen.count("cherrypy.warnings", "DeprecationWarning") == 1
            with warnings.catch_warnings(record=True) as kept:
                warnings.simplefilter("always")
                warnings.warn("x", OwnWarning, stacklevel=1)
            assert len(kept) == 1
            assert len(shown) == 2


def test_warnings_that_are_logged_are_counted_once(seen):
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = logging._showwarning
            warnings.warn("x", RuntimeWarning, stacklevel=1)
    finally:
        logging.captureWarnings(False)
    assert seen.count("cherrypy.warnings", "RuntimeWarning") == 1
    assert seen.count(BY_LOGGER, "py.warnings", "warning") == 1


def test_at_the_end_logging_is_as_before():
    plain, shown = logging.Logger.callHandlers, warnings.showwarning
    with watching("logging", "warnings"):
        assert logging.Logger.callHandlers is not plain
    assert logging.Logger.callHandlers is plain
    assert warnings.showwarning is shown
