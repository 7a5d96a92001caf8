"""The configuration of the showcase: which tools work on which paths."""

from __future__ import annotations

import os
from typing import Any

from . import errors

HERE = os.path.dirname(os.path.abspath(__file__))

# Nothing inline, nothing from elsewhere: an injected script or style has no way to run.
CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

SITE: dict[str, Any] = {
    "server.max_request_body_size": 8 << 30,  # bytes; the upload page is there for big files
    "engine.autoreload.on": False,
    "monitor.on": True,  # what the site does is recorded, and shown on a port of its own
}

APPLICATION: dict[str, dict[str, Any]] = {
    "/": {
        "tools.gzip.on": True,
        "tools.encode.on": True,
        "tools.encode.encoding": "utf-8",
        "tools.response_headers.on": True,
        "tools.response_headers.headers": [
            ("Content-Security-Policy", CONTENT_SECURITY),
            ("Referrer-Policy", "same-origin"),
            ("X-Content-Type-Options", "nosniff"),
        ],
        "request.show_tracebacks": False,
        "error_page.404": errors.not_found,
        "error_page.default": errors.anything_else,
    },
    "/session": {"tools.sessions.on": True, "tools.sessions.httponly": True},
    "/stream/lines": {"response.stream": True, "tools.gzip.on": False},
    "/static": {"tools.staticdir.on": True, "tools.staticdir.dir": os.path.join(HERE, "static")},
}
