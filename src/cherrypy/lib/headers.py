"""Parsing of a header value with parameters, as the `cgi` module of old Pythons did it."""

from __future__ import annotations

from kirsch.http.headers import HeaderElement


def parse_header(line: str) -> tuple[str, dict[str, str]]:
    """Return the main value and the parameters of ``text/html; charset="utf-8"``."""
    return HeaderElement.parse(line)
