"""What proxies in front of the server say of a request, and which of them are believed.

Law: a field counts only when a trusted peer sent it, and a value that is not what it should be
counts as if it were not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from kirsch.http.peers import address_of, names_of, truster

__all__ = (
    "Told",
    "client_of",
    "forwarded",
    "host_of",
    "names_of",
    "port_of",
    "prefix_of",
    "scheme_of",
    "truster",
)

#: Entries of a list that are looked at, from the right. No chain of honest proxies is longer.
MAX_HOPS = 64

_HOST = re.compile(
    r"(?:https?://)?((?:[a-z0-9_](?:[a-z0-9._-]{0,253})|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?)",
    re.IGNORECASE | re.ASCII,
)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+", re.ASCII)
# RFC 7239, 4; tokens as lenient as proxies are: `for=[::1]` unquoted is common.
_PAIR = re.compile(
    r"[ \t]*([A-Za-z]+)=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s\",;=]*))[ \t]*(;|,|\Z)", re.ASCII
)


def client_of(field: str, trusts: Callable[[str], bool]) -> str | None:
    """Return the right-most address of an X-Forwarded-For field that is not a trusted proxy's.

    Each proxy adds at the right whom it heard from; so what stands left of the first that is not
    trusted was made up by anybody. If all are trusted, the left-most. None if there is none.
    """
    found = None
    for entry in reversed(field.rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
        address = address_of(entry.strip())
        if address is None:
            break
        found = str(address)
        if not trusts(found):
            break
    return found


def scheme_of(field: str, name: str) -> str | None:
    """Return http or https, as the field `name` says; ``Front-End-Https: on`` means https."""
    word = field.partition(",")[0].strip().lower()
    if word == "on" and ("ssl" in name.lower() or "https" in name.lower()):
        return "https"
    # Nothing but a scheme may get into the URLs we make.
    return {"http": "http", "https": "https", "ws": "http", "wss": "https"}.get(word)


def host_of(field: str) -> str | None:
    """Return the first host, with its port if it has one, of a field; None if it is none."""
    match = _HOST.fullmatch(field.partition(",")[0].strip())
    return match[1] if match else None


def port_of(field: str) -> str | None:
    """Return the first port of a field; None if it is none."""
    port = field.partition(",")[0].strip()
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    return str(int(port)) if 0 < int(port) < 65536 else None


def prefix_of(field: str) -> str | None:
    """Return the path below which the outside sees the site, without a slash behind it.

    What does not begin with one slash, has empty or dotted parts or any sign that would have to
    be quoted, is none.
    """
    prefix = field.partition(",")[0].strip().rstrip("/")
    if len(prefix) > 1000 or not _PREFIX.fullmatch(prefix):
        return None
    return None if {".", ".."} & set(prefix.split("/")) else prefix


class Told:
    """What is told: address of the client, scheme, host and port, each perhaps None."""

    __slots__ = ("client", "host", "port", "scheme")

    def __init__(self) -> None:
        self.client: str | None = None
        self.scheme: str | None = None
        self.host: str | None = None
        self.port: str | None = None


def _elements(field: str) -> list[dict[str, str]] | None:
    """Return the elements of a Forwarded field, by lower-case names; None if it is malformed."""
    elements: list[dict[str, str]] = [{}]
    place = 0
    while place < len(field):
        match = _PAIR.match(field, place)
        if match is None:
            return None
        name, quoted, token, end = match.groups()
        value = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        # A name that comes twice in an element (RFC 7239, 4: it must not) is nobody's honest wish.
        if elements[-1].setdefault(name.lower(), value) != value:
            return None
        place = match.end()
        if end == ",":
            elements.append({})
    return elements


def forwarded(field: str, trusts: Callable[[str], bool]) -> Told:
    """Return what the trusted proxies said in a Forwarded field (RFC 7239).

    Each adds an element at the right; they are followed to the left as long as who is named there
    is trusted. A malformed field says nothing.
    """
    told = Told()
    for element in reversed((_elements(field) or [])[-MAX_HOPS:]):
        told.scheme = scheme_of(element.get("proto", ""), "proto") or told.scheme
        told.host = host_of(element.get("host", "")) or told.host
        address = address_of(element.get("for", ""))
        if address is None:  # "unknown" or "_hidden": whoever it is, it is not ours
            break
        told.client = str(address)
        if not trusts(told.client):
            break
    return told
