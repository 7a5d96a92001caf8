"""The names a site answers to; whoever asks for it by another name gets 400."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving
from cherrypy.framework.tools import HookSpec, Tool

__all__ = ("AllowedHostsTool", "allowed_hosts", "is_allowed", "split_host")

_USUAL_PORTS = {"http": 80, "https": 443}

#: RFC 9110, 7.2: uri-host [ ":" port ]; an IPv6 address stands in brackets (RFC 3986, 3.2.2).
#: Of a registered name only what DNS and the names of containers have.
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._~-]+))(?::(?P<port>[0-9]{0,5}))?")


def _canonical(name: str) -> str:
    """Return an IPv6 address in its one canonical form (RFC 5952); other text as it is."""
    if ":" in name:
        import socket

        try:
            return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, name))
        except (OSError, ValueError):
            pass
    return name


def split_host(text: str) -> tuple[str, int | None] | None:
    """Return name and port of a Host field, the name in small letters; None if it is no host.

    >>> split_host('Example.com.:8080')
    ('example.com', 8080)
    >>> split_host('[::0:1]')
    ('::1', None)
    """
    found = _HOST.fullmatch(text.lower())
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    if found["v6"] is not None:
        return _canonical(found["v6"]), port
    # 'example.com.' is the same name, said in full (RFC 1034, 3.1).
    name = found["name"].removesuffix(".")
    return (name, port) if name else None


#: How one entry of the list judges a name: whether a subdomain will do, whether the name itself
#: will, the name, and the port (None: any).
_Rule = tuple[bool, bool, str, "int | None"]


def _rule(entry: str) -> _Rule | None:
    """Return what an entry of the list means; None for '*'. Raises ValueError."""
    text = entry.strip().lower()
    if text == "*":
        return None
    below = text.startswith((".", "*."))
    itself = not text.startswith("*.")
    name = text.removeprefix("*").removeprefix(".") if below else text
    if not name.isascii():
        name = name.encode("idna").decode("ascii")
    if name.count(":") > 1 and not name.startswith("["):
        name = f"[{name}]"
    split = split_host(name)
    if split is None:
        raise ValueError(f"tools.allowed_hosts: {entry!r} is no host, such as 'example.com:8080'.")
    return below, itself, *split


# By the list itself: an entry that is changed in place makes another one.
@lru_cache(maxsize=64)
def _rules(hosts: tuple[str, ...]) -> tuple[frozenset[str], tuple[_Rule, ...], bool]:
    """Return the names that are allowed at any port, the rules for others, and whether all are."""
    made = [_rule(entry) for entry in hosts]
    rules = [rule for rule in made if rule is not None]
    plain = frozenset(rule[2] for rule in rules if not rule[0] and rule[3] is None)
    others = tuple(rule for rule in rules if rule[0] or rule[3] is not None)
    return plain, others, len(rules) < len(made)


def is_allowed(host: str, hosts: Iterable[str], scheme: str = "http") -> bool:
    """Return whether the value of a Host field is on the list; see `allowed_hosts`.

    Raises ValueError for a list that has anything but hosts in it.
    """
    plain, others, all_of_them = _rules((hosts,) if isinstance(hosts, str) else tuple(hosts))
    split = split_host(host)
    if split is None:
        return False
    name, port = split
    if all_of_them or name in plain:
        return True
    if port is None:
        port = _USUAL_PORTS.get(scheme)
    for below, itself, allowed, at in others:
        if at is not None and at != port:
            continue
        if (itself and name == allowed) or (below and name.endswith("." + allowed)):
            return True
    return False


def _refuse() -> None:
    raise HTTPError(400, "This site is not known by the name in the request's Host field.")


def allowed_hosts(hosts: Iterable[str], accept_missing: bool = False) -> None:
    """Answer 400 to requests for names that are not of this site (tool `allowed_hosts`).

    Args:
        hosts: names such as ``'example.com'``, at any port, or ``'example.com:8443'``, at that
            one; ``'.example.com'`` for the domain and whatever is below it, ``'*.example.com'``
            only for what is below; ``'[::1]'``; ``'*'`` for everything that is a host at all.
        accept_missing: let requests of HTTP/1.0 in that name no host.
    """
    request = serving.request
    # Past what `autovary` watches: no cache may keep a page by a name that is not of this site.
    host = dict.get(request.headers, "Host")
    if host is None:
        if not accept_missing:
            _refuse()
    elif not is_allowed(host, hosts, request.scheme):
        _refuse()
    if request._proxied is not None:
        _check_base(hosts)


def _check_base(hosts: Iterable[str], **_: Any) -> None:
    """Judge the name that the tool `proxy` has put in place of the one in the Host field."""
    request = serving.request
    scheme, _sep, host = request.base.partition("://")
    host = host.partition("/")[0]
    # What the base is made of while nobody has set it; that has been judged.
    known = dict.get(request.headers, "Host") or request.local.name or request.local.ip
    if host != known and not is_allowed(host, hosts, scheme):
        _refuse()


class AllowedHostsTool(Tool):
    """Judges a request's name before anything is made of it: a link, a cookie, a page to cache."""

    def __init__(self) -> None:
        Tool.__init__(self, "on_start_resource", allowed_hosts, "allowed_hosts", 5)

    def hooks(self, conf: dict[str, Any]) -> Iterator[HookSpec]:
        """Yield the hook before all others, and the one behind the tool `proxy`."""
        yield self._point, self.callable, self._priority_of(conf), conf
        yield "before_request_body", _check_base, 31, conf
