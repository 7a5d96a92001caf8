"""What `cherrypy._cpcompat` had for programs that ran on Python 2 as well: name -> where it is now."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ("find",)

#: Name -> `module:attribute`, or just a module.
WHERE = {
    "BadStatusLine": "http.client:BadStatusLine",
    "BytesIO": "io:BytesIO",
    "CookieError": "http.cookies:CookieError",
    "FileNotFoundError": "builtins:FileNotFoundError",
    "HTTPConnection": "http.client:HTTPConnection",
    "HTTPServer": "http.server:HTTPServer",
    "IncompleteRead": "http.client:IncompleteRead",
    "SimpleCookie": "http.cookies:SimpleCookie",
    "StringIO": "io:StringIO",
    "Timer": "threading:Timer",
    "builtins": "builtins",
    "escape_html": "html:escape",
    "get_thread_ident": "threading:get_ident",
    "json": "json",
    "json_decode": "cherrypy._json:decode",
    "json_encode": "cherrypy._json:encode",
    "next": "builtins:next",
    "parse_http_list": "urllib.request:parse_http_list",
    "pickle": "pickle",
    "quote": "urllib.parse:quote",
    "quote_plus": "urllib.parse:quote_plus",
    "reversed": "builtins:reversed",
    "set": "builtins:set",
    "sorted": "builtins:sorted",
    "threading": "threading",
    "unicodestr": "builtins:str",
    "nativestr": "builtins:str",
    "basestring": "builtins:str",
    "bytestr": "builtins:bytes",
    "unquote": "urllib.parse:unquote",
    "unquote_plus": "urllib.parse:unquote_plus",
    "unquote_qs": "urllib.parse:unquote_plus",
    "urlencode": "urllib.parse:urlencode",
    "urljoin": "urllib.parse:urljoin",
    "urlopen": "urllib.request:urlopen",
    "xmlrpclib": "xmlrpc.client",
    "xrange": "builtins:range",
}


def _base64_decode(n: Any, encoding: str = "ISO-8859-1") -> str:
    """Return the text that is encoded in base64."""
    from base64 import decodebytes

    return decodebytes(n.encode(encoding) if isinstance(n, str) else n).decode(encoding)


def _random_as_hex(length: int = 20) -> str:
    """Return random hexadecimal digits, two for each of `length` bytes."""
    from os import urandom

    return urandom(length).hex()


def _set_daemon(thread: Any, value: bool) -> None:
    thread.daemon = value


#: The rest, each a line.
MADE: dict[str, Any] = {
    "base64_decode": _base64_decode,
    "copyitems": lambda d: list(d.items()),
    "copykeys": list,
    "copyvalues": lambda d: list(d.values()),
    "get_daemon": lambda t: t.daemon,
    "set_daemon": _set_daemon,
    "iteritems": lambda d: d.items(),
    "iterkeys": lambda d: d.keys(),
    "itervalues": lambda d: d.values(),
    "py3k": True,
    "random20": _random_as_hex,
    "random_as_hex": _random_as_hex,
}


def find(name: str) -> Any:
    """Return what was called `name`, and warn. Raises AttributeError when nothing was."""
    import warnings

    if name in MADE:
        found = MADE[name]
    elif name in WHERE:
        module, _, attribute = WHERE[name].partition(":")
        found = import_module(module)
        if attribute:
            found = getattr(found, attribute)
    else:
        raise AttributeError(f"module 'cherrypy._cpcompat' has no attribute {name!r}")
    warnings.warn(
        f"cherrypy._cpcompat.{name} is of the days of two Pythons: say it in Python 3.",
        DeprecationWarning,
        stacklevel=3,
    )
    return found
