"""Query strings and urlencoded forms: text to parameters, in linear time, nothing guessed."""

from __future__ import annotations

import re
from typing import Any

image_map_pattern = re.compile(r"[0-9]+,[0-9]+")

_HEX = "0123456789abcdefABCDEF"
_BYTE = {(a + b).encode(): bytes((int(a + b, 16),)) for a in _HEX for b in _HEX}
_ASCII_RUN = re.compile("([\x00-\x7f]+)")


def unquote_bytes(data: bytes) -> bytes:
    """Replace every ``%XX`` of `data`; what is no escape stays as it is."""
    first, *rest = data.split(b"%")
    if not rest:
        return data
    out = [first]
    known = _BYTE.get
    for item in rest:
        byte = known(item[:2])
        if byte is None:
            out.append(b"%")
            out.append(item)
        else:
            out.append(byte)
            out.append(item[2:])
    return b"".join(out)


def unquote_plus(text: str, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Decode ``+`` and ``%XX``. Raises UnicodeDecodeError unless `errors` says otherwise."""
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    if text.isascii():
        return unquote_bytes(text.encode("ascii")).decode(encoding, errors)
    parts = _ASCII_RUN.split(text)
    for index in range(1, len(parts), 2):
        parts[index] = unquote_bytes(parts[index].encode("ascii")).decode(encoding, errors)
    return "".join(parts)


def _parse_qs(
    qs: str,
    keep_blank_values: bool | int = 0,
    strict_parsing: bool | int = 0,
    encoding: str = "utf-8",
) -> dict[str, Any]:
    """Return ``{name: value or list of values}`` of an urlencoded string.

    `&` and `;` separate. Raises ValueError for a field without `=` under `strict_parsing`, and
    UnicodeDecodeError when a field is not in `encoding`.
    """
    params: dict[str, Any] = {}
    if ";" in qs:
        qs = qs.replace(";", "&")
    quoted = "%" in qs or "+" in qs
    fields = qs.split("&")
    if not quoted and keep_blank_values:
        # Most are `a=1&b=2`: pairs, each name once.
        try:
            params = dict([field.split("=", 1) for field in fields])
        except ValueError:
            pass
        else:
            if len(params) == len(fields):
                return params
        params = {}
    for field in fields:
        if not field:
            continue
        name, equals, value = field.partition("=")
        if not equals and strict_parsing:
            raise ValueError(f"bad query field: {field!r}")
        if not value and not keep_blank_values:
            continue
        if quoted:
            name = unquote_plus(name, encoding)
            value = unquote_plus(value, encoding)
        if name in params:
            known = params[name]
            if type(known) is list:
                known.append(value)
            else:
                params[name] = [known, value]
        else:
            params[name] = value
    return params


def parse_query_string(
    query_string: str, keep_blank_values: bool = True, encoding: str = "utf-8"
) -> dict[str, Any]:
    """Return the parameters of a query string; ``'3,4'``, an image map, gives ``{'x': 3, 'y': 4}``.

    Raises UnicodeDecodeError when a field is not in `encoding`.
    """
    if not query_string:
        return {}
    if "," in query_string and len(query_string) < 40 and image_map_pattern.fullmatch(query_string):
        x, y = query_string.split(",")
        return {"x": int(x), "y": int(y)}
    return _parse_qs(query_string, keep_blank_values, encoding=encoding)
