"""How much is logged."""

from __future__ import annotations

from ..metrics import counter, gauge

LOG_RECORDS = counter(
    "cherrypy.log.records",
    "{record}",
    "level",
    help="Log records by level, however they were logged.",
)
LOG_EXCEPTIONS = counter(
    "cherrypy.log.exceptions", "{record}", "level", help="Log records that told of an exception."
)
LOG_RECORDS_LOGGER = counter(
    "cherrypy.log.records.logger",
    "{record}",
    "logger",
    "level",
    help="Log records by the first two parts of their logger's name, and level.",
)
LOG_BYTES = counter(
    "cherrypy.log.bytes",
    "By",
    "log",
    help="Bytes that were written to CherryPy's access and error logs.",
)
LOG_INCREASE = gauge(
    "cherrypy.log.increase",
    "ratio",
    "level",
    help="How much more was logged in the last ten minutes than in the same minutes a day ago, or a week ago where that is not known.",
    derived=True,
)
WARNINGS = counter(
    "cherrypy.warnings",
    "{warning}",
    "category",
    help="Warnings of Python's warnings module that were shown.",
)
