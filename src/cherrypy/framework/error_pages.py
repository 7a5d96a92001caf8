"""The body of an error response: the template, custom pages, and what may be shown to a peer.

Law: without `request.show_tracebacks` no traceback and no path of this machine gets out.
"""

from __future__ import annotations

import re
from typing import Any

from kirsch.http.status import valid_status

from .serving import serving
from .site import site

__all__ = ("clean_headers", "get_error_page")

_HTTPErrorTemplate = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(status)s</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 12vh auto; padding: 0 1.5rem }
h1 { font-size: 1.6rem; border-bottom: 2px solid #b3123f; padding-bottom: .4rem }
pre { overflow-x: auto; font-size: .85rem }
pre:empty { display: none }
footer { margin-top: 3rem; font-size: .8rem; opacity: .6 }
</style>
</head>
<body>
<h1>%(status)s</h1>
<p>%(message)s</p>
<pre id="traceback">%(traceback)s</pre>
<footer>CherryPy %(version)s</footer>
</body>
</html>
"""

#: Fields that speak of the representation that was not to be, and must not describe the error.
_ENTITY_FIELDS = frozenset(
    (
        "Accept-Ranges",
        "Age",
        "Etag",
        "Location",
        "Retry-After",
        "Vary",
        "Content-Encoding",
        "Content-Length",
        "Expires",
        "Content-Location",
        "Content-Md5",
        "Last-Modified",
    )
)

#: Old Internet Explorers show a page of their own when the body is not larger than this.
_ie_friendly_error_sizes = {
    400: 512,
    403: 256,
    404: 512,
    405: 256,
    406: 512,
    408: 512,
    409: 512,
    410: 256,
    500: 512,
    501: 512,
    505: 512,
}

#: What looks like a path of this machine.
_PATH = re.compile(r"(?:^|[^\w/:<])/[^\s/<>]+/|\b[A-Za-z]:\\|\\\\\w")

_BAD_PAGE = (
    "error page function did not return a bytestring, str or an iterator - "
    "returned object of type %s."
)


def escape(text: str) -> str:
    """Make `text` fit for the content of an HTML element. (The module `html` costs a millisecond.)"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clean_headers(status: int) -> None:
    """Remove from the response the fields that belong to the failed representation.

    status
        The code of the error. `Content-Range` stays for 416: it says how long the resource is
        (RFC 9110, 14.4).
    """
    headers = serving.response.headers
    for name in _ENTITY_FIELDS.intersection(headers):
        del headers[name]
    if status != 416:
        headers.pop("Content-Range", None)


def get_error_page(status: int | str, **kwargs: Any) -> Any:
    """Return the body that tells a person of the error, as bytes.

    status
        A code or a code with a reason.
    kwargs
        `message`, `traceback`, `version`: what to show; escaped here. By default the sentence of
        the status, nothing, and the version of the framework.

    The page configured by `error_page.<code>` or `error_page.default` (a callable or the name of
    a file) is taken; should it fail, that is logged and said in the default page.

    Raises ValueError when the status is none.
    """
    code, reason, sentence = valid_status(status)
    kwargs.setdefault("status", f"{code} {reason}")
    if kwargs.get("message") is None:
        kwargs["message"] = sentence
    kwargs.setdefault("traceback", "")
    kwargs.setdefault("version", getattr(site, "__version__", "18.10.0"))
    for name, value in kwargs.items():
        kwargs[name] = "" if value is None else escape(_encodable(str(value)))

    pages = serving.request.error_page
    page = pages.get(code) or pages.get("default")
    headers = serving.response.headers
    if page:
        try:
            if callable(page):
                return _as_body(page(**kwargs))
            with open(page, encoding="utf-8") as stream:
                text = stream.read() % kwargs
            headers["Content-Type"] = "text/html;charset=utf-8"
            return text.encode("utf-8")
        except Exception as exc:
            from .errors import Again

            if isinstance(exc, Again):  # which is no failure of the page
                raise
            site.log("The custom error page failed.", "HTTP", traceback=True)
            if kwargs["message"]:
                kwargs["message"] += "<br />"
            kwargs["message"] += f"In addition, the custom error page failed:\n<br />{_told(exc)}"
    headers["Content-Type"] = "text/html;charset=utf-8"
    return (_HTTPErrorTemplate % kwargs).encode("utf-8")


def _as_body(result: Any) -> bytes:
    if isinstance(result, bytes):
        return result
    if isinstance(result, str):
        return result.encode("utf-8")
    if hasattr(result, "__next__"):
        # Now, while there is still another page to fall back on.
        return b"".join([_as_body(item) for item in result])
    raise ValueError(_BAD_PAGE % type(result).__name__)


def _told(exc: BaseException) -> str:
    """What of `exc` the page says."""
    return escape(f"{type(exc).__name__}{_colon(told(exc))}\n")


def _colon(text: str) -> str:
    return f": {text}" if text else ""


def told(exc: BaseException) -> str:
    """What of `exc` a peer may read: what it says, unless that names a file; '' if nothing."""
    shown = serving.request.show_tracebacks
    try:
        if isinstance(exc, OSError) and exc.strerror and not shown:
            text = f"[Errno {exc.errno}] {exc.strerror}"
        else:
            text = str(exc)
    except Exception:  # whoever cannot make a page may not make a message either
        text = ""
    if _PATH.search(text) and not shown:
        text = ""
    return _encodable(text)


def _encodable(text: str) -> str:
    """`text` without lone surrogates, which may stand in anything that came from outside."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _be_ie_unfriendly(status: int) -> None:
    """Pad the body with spaces beyond the size at which old browsers replace error pages."""
    size = _ie_friendly_error_sizes.get(status)
    if size is None:
        return
    response = serving.response
    content = response.collapse_body()
    if content and len(content) <= size:
        content = content.ljust(size + 1)
    response.body = content
    response.headers["Content-Length"] = str(len(content))
