"""Dispatchers that prepare the path and leave the rest to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kirsch.http.hosts import urljoin

from ..serving import serving
from .objects import Dispatcher

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("VirtualHost", "XMLRPCDispatcher")

#: What is asked unless another dispatcher is named: one walks the tree as well as another.
_objects = Dispatcher()


def XMLRPCDispatcher(
    next_dispatcher: Callable[[str], Any] = _objects,
) -> Callable[[str], Any]:
    """Return a dispatcher that finds XML-RPC calls whether or not they go to `/RPC2`."""

    def xmlrpc_dispatch(path_info: str) -> Any:
        if not path_info.endswith("/"):
            path_info += "/"
        if path_info.startswith("/RPC2/"):
            path_info = path_info[5:]
        return next_dispatcher(path_info)

    return xmlrpc_dispatch


def VirtualHost(
    next_dispatcher: Callable[[str], Any] = _objects,
    use_x_forwarded_host: bool = True,
    **domains: str,
) -> Callable[[str], Any]:
    """Return a dispatcher that puts a prefix before the path, depending on the host asked for.

    Args:
        next_dispatcher: finds the handler of the prefixed path.
        use_x_forwarded_host: let `X-Forwarded-Host`, if present, name the host. Where the
            tool `proxy` is on, it is the host that it believes, whatever field that comes from.
        domains: the prefix of each host, as in `**{'www.domain2.example:8080': '/domain2'}`.
            Hosts that are not listed get no prefix.
    """

    def vhost_dispatch(path_info: str) -> Any:
        request = serving.request
        headers = request.headers
        domain = headers.get("Host", "")
        if use_x_forwarded_host and request._proxied is not None:
            domain = request._proxied.host or domain
        elif use_x_forwarded_host:
            # Proxies in a row make a list; the first is what the client asked for.
            domain = headers.get("X-Forwarded-Host", domain).partition(",")[0].strip()
        prefix = domains.get(domain) or domains.get(domain.lower(), "")
        if prefix:
            path_info = urljoin(prefix, path_info)
        result = next_dispatcher(path_info)
        # The client does not know the prefix; static files are found by the path it knows.
        section = request.config.get("tools.staticdir.section")
        if section and prefix:
            request.config["tools.staticdir.section"] = section[len(prefix) :]
        return result

    return vhost_dispatch
