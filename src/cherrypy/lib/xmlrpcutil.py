"""XML-RPC: from a request's body to a call, and from its value or error to a response."""

from __future__ import annotations

import re
import sys
from typing import Any

from cherrypy.framework.error_pages import told
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site

__all__ = ("on_error", "patched_path", "process_body", "respond")

#: Characters that no XML document may have (XML 1.0, 2.2).
_NOT_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def process_body() -> tuple[tuple[Any, ...], str]:
    """Return ``(arguments, method name)`` of the call in the request's body.

    A body that is no call gives ``(('ERROR PARAMS',), 'ERRORMETHOD')``.
    """
    from xmlrpc.client import getparser

    try:
        parser, call = getparser()
        # A call has no document type, and so no entities to blow it up with: old versions of
        # expat know no bounds.
        expat: Any = getattr(parser, "_parser", None)
        if expat is not None:
            expat.StartDoctypeDeclHandler = _refuse
        parser.feed(serving.request.body.read())
        parser.close()
        return call.close(), call.getmethodname()  # type: ignore[return-value]  # a call has one
    except Exception:  # whatever the parser makes of what a peer sends
        return ("ERROR PARAMS",), "ERRORMETHOD"


def _refuse(*args: Any) -> None:
    raise ValueError("An XML-RPC call has no document type.")


def patched_path(path: str) -> str:
    """Return the path that dispatch is to look for: without the ``/RPC2`` clients like to add."""
    if not path.endswith("/"):
        path += "/"
    if path.startswith("/RPC2/"):
        path = path[5:]
    return path


def _set_response(body: str | bytes) -> None:
    """Make a response of an XML document."""
    # XML-RPC says that the status is 200 even for faults.
    response = serving.response
    response.status = "200 OK"
    response.body = body.encode("utf-8") if isinstance(body, str) else body
    response.headers["Content-Type"] = "text/xml"
    response.headers["Content-Length"] = len(response.body[0]) if response.body else 0


def respond(body: Any, encoding: str = "utf-8", allow_none: bool | int = 0) -> None:
    """Make a response of a method's value.

    Raises TypeError for what XML-RPC cannot say, None among it unless `allow_none`.
    """
    from xmlrpc.client import Fault, dumps

    if not isinstance(body, Fault):
        body = (body,)
    document = dumps(body, methodresponse=True, encoding=encoding, allow_none=bool(allow_none))
    _set_response(document.encode(encoding, "xmlcharrefreplace"))


def on_error(*args: Any, **kwargs: Any) -> None:
    """Make a fault of the exception that is being handled (tool `xmlrpc`)."""
    from xmlrpc.client import Fault, dumps

    exc = sys.exc_info()[1]
    text = "" if exc is None else told(exc) or type(exc).__name__
    site.log("", "XMLRPC", severity=40, traceback=True)
    _set_response(dumps(Fault(1, _NOT_XML.sub("?", text))))
