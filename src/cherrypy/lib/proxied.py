"""A request as the outside sees it: addresses and prefix that a proxy tells of, in place of the inner ones.

Law: however often this is done to a request, what is seen is what the last one saw in the request as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from cherrypy.framework.site import site
from cherrypy.framework.tools import Tool, default_toolbox

from . import cptools, forwarding

__all__ = ("Proxied", "at_once", "before_dispatch", "show")

_SETTINGS = tuple(signature(cptools.proxy).parameters)
_USUAL_PORTS = {"http": "80", "https": "443"}


class Proxied:
    """What was put into a request, and what had been there: pairs of the two; and the outer host, if it was told."""

    __slots__ = ("base", "host", "ip", "script_name", "settings")

    def __init__(self, host: str | None) -> None:
        self.host = host
        self.settings: dict[str, Any] | None = None  # by which it was done; None: it is not known
        self.base = self.ip = self.script_name = ("", "")

    def undo(self, request: Any) -> None:
        """Put back what had been there, unless somebody has set something else since."""
        if request.base == self.base[0]:
            request.base = self.base[1]
        if request.remote.ip == self.ip[0]:
            request.remote.ip = self.ip[1]
        if request.script_name == self.script_name[0]:
            request.script_name = self.script_name[1]


def show(request: Any, base: str | None, trusted: Any, names: dict[str, str | None]) -> None:
    """Let a request be seen as the outside sees it. See `cptools.proxy` for the arguments.

    names
        The fields: `local`, `remote`, `scheme`, `port`, `forwarded` and `prefix`.
    """
    if request._proxied is not None:
        request._proxied.undo(request)
        request._proxied = None
    trusts = forwarding.truster(forwarding.names_of(trusted))
    headers = request.headers
    believed = trusts(request.remote.ip or "")
    said = {key: headers.get(name) for key, name in names.items() if name} if believed else {}
    told = _told(said, names["scheme"] or "", trusts)

    found = Proxied(told.host)
    inner = request.base
    scheme, _, at = inner.partition("://")
    scheme = told.scheme or scheme
    host = told.host or base or headers.get("Host") or at.partition("/")[0]
    if told.port and "://" not in host:
        host = _at_port(host, told.port, scheme)
    outer = host if "://" in host else f"{scheme}://{host}"
    found.base = outer, inner
    request.base = outer
    ip = request.remote.ip
    found.ip = told.client or ip, ip
    if told.client:
        request.remote.ip = told.client
    prefix = forwarding.prefix_of(said.get("prefix") or "") or ""
    found.script_name = prefix + request.script_name, request.script_name
    if prefix:
        request.script_name = found.script_name[0]
    request._proxied = found


def _told(said: dict[str, Any], scheme: str, trusts: Any) -> forwarding.Told:
    told = forwarding.forwarded(said.get("forwarded") or "", trusts)
    if (field := said.get("port")) and told.host is None:
        # That of a Forwarded field has its port with it.
        told.port = forwarding.port_of(field)
    if (field := said.get("scheme")) and told.scheme is None:
        told.scheme = forwarding.scheme_of(field, scheme)
    if (field := said.get("local")) and told.host is None:
        told.host = forwarding.host_of(field)
    if (field := said.get("remote")) and told.client is None:
        told.client = forwarding.client_of(field, trusts)
    return told


def _at_port(host: str, port: str, scheme: str) -> str:
    # A colon may be of an address in brackets.
    name = host[: host.rindex("]") + 1] if "]" in host else host.partition(":")[0]
    return name if port == _USUAL_PORTS.get(scheme) else f"{name}:{port}"


def _after_dispatch(request: Any) -> None:
    """Take it back for a page that has the tool off."""
    if request._proxied is not None and not request.config.get("tools.proxy.on"):
        request._proxied.undo(request)
        request._proxied = None


def at_once(request: Any, settings: dict[str, Any]) -> None:
    """Do what the tool `proxy` will do, now that it is known which page the request is for: hooks come after it.

    settings
        The arguments of the tool. What was done by the same ones before is left as it is.
    """
    if request._proxied is None or request._proxied.settings != settings:
        cptools.proxy(**settings)


def before_dispatch(request: Any, path: str) -> Callable[[Any], None] | None:
    """Do what the tool `proxy` will do, for whoever looks at the request before it is known which page it is for.

    As the site's settings, the root object and the sections of the application have it: what objects on the way
    and the page say is known as soon as the dispatcher has found them (`at_once`). A tool that somebody has put in
    its place is left to its hook point.
    """
    box = request.app.toolboxes.get("tools", default_toolbox)
    tool = getattr(box, "proxy", None)
    if type(tool) is not Tool or tool.callable is not cptools.proxy:
        return None
    find = request.app.find_config
    # The nearest section, else the root, else the site: as dispatchers merge them.
    general = {**site.config, **(getattr(request.app.root, "_cp_config", None) or {})}
    if not find(path, "tools.proxy.on", general.get("tools.proxy.on")):
        return None
    missing = object()
    settings = {}
    for name in _SETTINGS:
        key = f"tools.proxy.{name}"
        value = find(path, key, general.get(key, missing))
        if value is not missing:
            settings[name] = value
    cptools.proxy(**settings)
    request._proxied.settings = settings
    return _after_dispatch
