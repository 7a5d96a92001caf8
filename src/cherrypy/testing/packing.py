"""What is asked, as it goes over the wire: targets, forms, JSON and uploads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from http.client import HTTPMessage
from typing import Any
from urllib.parse import quote, urlencode

__all__ = ("Fields", "Nothing", "fields_of", "pack", "target_of")

Fields = Mapping[str, str] | Iterable[tuple[str, str]]

#: What may stand in a target as it is (RFC 3986, 2); '%' because it may be quoted already.
_AS_IT_IS = "/?#[]@!$&'()*+,;=:%-._~"


class Nothing:
    """Stands for an argument that was not given, where None is a value."""


def target_of(path: str, params: Any) -> str:
    """Return path and query as a request line has them; what cannot stand there is quoted."""
    path = path.partition("#")[0] or "/"
    if params:
        query = params if isinstance(params, str) else urlencode(params, doseq=True)
        path += ("&" if "?" in path else "?") + query
    return quote(path, safe=_AS_IT_IS)


def fields_of(*layers: Fields) -> HTTPMessage:
    """Return header fields, of which a later layer replaces those of an earlier one, whatever their case.

    Raises ValueError for what would be several lines.
    """
    message = HTTPMessage()
    for layer in layers:
        pairs = list(layer.items() if isinstance(layer, Mapping) else layer)
        for name, _ in pairs:
            del message[name]
        for name, value in pairs:
            if any(c in f"{name}{value}" for c in "\r\n\0"):
                raise ValueError(f"a header field is one line: {name!r}: {value!r}")
            message[name] = str(value)
    return message


def pack(data: Any, value: Any, files: Any) -> tuple[Any, str | None]:
    """Return the body and its type, None for a type that nobody can know.

    data
        Bytes, a text, a file, an iterable of bytes; a mapping or list of pairs is a form.
    value
        What is sent as JSON, or `Nothing`.
    files
        See `Asker.request`.

    Raises TypeError when they contradict each other.
    """
    if value is not Nothing:
        if data is not None or files:
            raise TypeError("json goes with neither data nor files")
        return json.dumps(value).encode(), "application/json"
    if files:
        return _multipart(_pairs(data or ()), _pairs(files))
    if isinstance(data, str):
        return data.encode(), None
    if isinstance(data, Mapping) or _is_pairs(data):
        return urlencode(data, doseq=True).encode(), "application/x-www-form-urlencoded"
    return data, None


def _is_pairs(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and all(
        isinstance(item, tuple) and len(item) == 2 for item in data
    )


def _pairs(given: Any) -> list[tuple[str, Any]]:
    """Return name and value of each, several of a name whose value is a list."""
    if not isinstance(given, Mapping) and not _is_pairs(given):
        raise TypeError(f"expected a mapping or a list of pairs, not {type(given).__name__}")
    found: list[tuple[str, Any]] = []
    for name, value in given.items() if isinstance(given, Mapping) else given:
        found += [(name, one) for one in (value if isinstance(value, list) else [value])]
    return found


def _escaped(name: str) -> bytes:
    # HTML, 4.10.22.8: what browsers do to names.
    name = name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    return name.encode()


def _multipart(fields: list[tuple[str, Any]], files: list[tuple[str, Any]]) -> tuple[bytes, str]:
    """A form with files (RFC 7578)."""
    boundary = os.urandom(16).hex()
    parts: list[bytes] = []
    for name, value in fields:
        text = value if isinstance(value, bytes) else str(value).encode()
        parts.append(b'form-data; name="%b"\r\n\r\n%b' % (_escaped(name), text))
    for name, value in files:
        filename, content, kind = _file(name, value)
        head = b'form-data; name="%b"; filename="%b"\r\nContent-Type: %b' % (
            _escaped(name),
            _escaped(filename),
            kind.encode("ascii"),
        )
        parts.append(head + b"\r\n\r\n" + content)
    mark = boundary.encode()
    body = b"".join(b"--%b\r\nContent-Disposition: %b\r\n" % (mark, part) for part in parts)
    return body + b"--%b--\r\n" % mark, f"multipart/form-data; boundary={boundary}"


def _file(name: str, value: Any) -> tuple[str, bytes, str]:
    """Return name, content and type of an upload."""
    filename, kind = name, ""
    if isinstance(value, tuple):
        filename, value, kind = value if len(value) == 3 else (*value, "")
    elif hasattr(value, "read"):
        filename = os.path.basename(str(getattr(value, "name", name)))
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes):
        raise TypeError(f"the file {name!r} must be bytes, a text or an open file")
    if not kind:
        import mimetypes

        kind = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    return filename, value, kind
