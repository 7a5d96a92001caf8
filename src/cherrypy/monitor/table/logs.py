"""How much is logged."""

from __future__ import annotations

from ..metrics import counter, gauge

LOG_RECORDS = counter(
    "cherrypy.log.records",
    "{record}",
    "level",
    help="Wrap of logging.Logger.handle: each record once, incl. Logger.log() and cherrypy.log().",
)
LOG_EXCEPTIONS = counter(
    "cherrypy.log.exceptions", "{record}", "level", help="Record.exc_info set."
)
LOG_RECORDS_LOGGER = counter(
    "cherrypy.log.records.logger", "{record}", "logger", "level", help="Same."
)
LOG_BYTES = counter("cherrypy.log.bytes", "By", "log", help="CherryPy log handlers.")
LOG_INCREASE = gauge(
    "cherrypy.log.increase",
    "ratio",
    "level",
    help="Last 10 min vs same 10 min 24 h and 7 d ago.",
    derived=True,
)
WARNINGS = counter("cherrypy.warnings", "{warning}", "category", help="Warnings.showwarning chain.")
