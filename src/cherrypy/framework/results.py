"""What a page handler returns, made a body: the work of the encode tool where it is but a line.

Law: it never changes what the tool means; what needs more than that line goes through the tool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kirsch.http.headers import HeaderMap

from .response import Response

if TYPE_CHECKING:
    from .hooks import Hook

__all__ = ("settled",)


def settled(request: Any, response: Any, encode: Hook, result: Any) -> bool:
    """Make `result` the body; return True if that has finished the response, too.

    encode
        The hook of the encode tool, which has not run: its settings are the default ones.
    """
    kind = type(result)
    if kind is str:
        try:
            data = result.encode()
        except UnicodeEncodeError:
            return _encoded(request, response, encode, result)
    elif kind is bytes:
        data = result
    elif kind is list and len(result) == 1 and type(result[0]) is bytes and result[0]:
        data = result[0]
    else:
        return _encoded(request, response, encode, result)
    headers = request._headers
    if headers is None:
        fields = request._fields
        if fields is None or "HTTP_ACCEPT_CHARSET" in fields:
            return _encoded(request, response, encode, result)
    elif type(headers) is not HeaderMap or "Accept-Charset" in headers:
        return _encoded(request, response, encode, result)
    headers = response._headers
    if headers is None and type(response) is Response:
        response._body = data
        response._utf8 = True
        if (
            response.status is not None
            or response._cookie is not None
            or response._promised
            or response.stream
            or not (request._quiet or _ends_quietly(request))
        ):
            return False
        # Nobody has touched anything: four fields say it all.
        response._final = len(data)
        response.status = "200 OK"
        return True
    if not _says_utf8(response.headers if headers is None else headers):
        return _encoded(request, response, encode, result)
    response._body = data
    return False


def _ends_quietly(request: Any) -> bool:
    """Whether no hook is to see the response before it is sent."""
    points = request._points
    return (
        request._hooks is None
        and "before_finalize" not in points
        and "on_end_resource" not in points
    )


def _says_utf8(headers: Any) -> bool:
    """Have the Content-Type say that text is in UTF-8; False if that is not done in a line."""
    if type(headers) is not HeaderMap:
        return False
    # By the names as they are stored, and so by the C code of dict.
    content_type = dict.get(headers, "Content-Type")
    if not content_type:
        return True
    if type(content_type) is not str:
        return False
    if content_type[:5] == "text/":
        if ";" in content_type or "," in content_type:
            return False
        dict.__setitem__(headers, "Content-Type", content_type + ";charset=utf-8")
        dict.pop(headers, "Content-Length", None)
        return True
    return content_type[:5].lower() != "text/"


def _encoded(request: Any, response: Any, encode: Hook, result: Any) -> bool:
    """Let the encode tool itself deal with a result, as if it had called the handler."""
    request.handler = lambda *args, **kwargs: result
    encode()
    response.body = request.handler()
    return False
