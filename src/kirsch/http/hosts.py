"""Hosts and the joining of paths: who speaks, and where."""

from __future__ import annotations

import re


class Host:
    """An internet address: `ip`, `port` and `name`, which is the ip when nobody looked it up."""

    ip: str = "0.0.0.0"
    port: int | None = 80
    name: str = "unknown.tld"

    def __init__(self, ip: str, port: int | None, name: str | None = None) -> None:
        self.ip = ip
        self.port = port
        self.name = ip if name is None else name

    def __repr__(self) -> str:
        return f"httputil.Host({self.ip!r}, {self.port!r}, {self.name!r})"


class SanitizedHost(str):
    r"""A Host field without the line ends it came with; the text as sent is in `raw`.

    >>> SanitizedHost('foo\nbar')
    'foobar'
    >>> SanitizedHost('foo\nbar').raw
    'foo\nbar'

    A clean text stays what it is:

    >>> isinstance(SanitizedHost('foobar'), SanitizedHost)
    False
    """

    dangerous = re.compile(r"[\n\r]")
    raw: str

    def __new__(cls, raw: str) -> SanitizedHost:
        clean = cls._sanitize(raw)
        if clean == raw:
            return raw  # type: ignore[return-value]  # tells str and bytes apart by type
        self = super().__new__(cls, clean)
        self.raw = raw
        return self

    @classmethod
    def _sanitize(cls, raw: str) -> str:
        return cls.dangerous.sub("", raw)


def urljoin(*atoms: str) -> str:
    """Join the parts of a path with single slashes; nothing at all gives '/'."""
    url = "/".join([atom for atom in atoms if atom])
    while "//" in url:
        url = url.replace("//", "/")
    return url or "/"


def urljoin_bytes(*atoms: bytes) -> bytes:
    """Join the parts of a path, as bytes, with single slashes; nothing at all gives b'/'."""
    url = b"/".join([atom for atom in atoms if atom])
    while b"//" in url:
        url = url.replace(b"//", b"/")
    return url or b"/"


def protocol_from_http(protocol_str: str) -> tuple[int, int]:
    """Return ``(1, 1)`` of 'HTTP/1.1'."""
    return int(protocol_str[5]), int(protocol_str[7])
