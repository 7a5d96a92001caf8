"""The HTTP servers of a configuration: what they listen on, and what they would do with a peer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cherrypy.hosting.adapter import Server

from .reading import Configuration, Entry, Unknown

__all__ = ("ServerSettings", "servers", "tls_somewhere")


class ServerSettings:
    """The settings of one server: `server.<setting>`, or `server.<name>.<setting>`."""

    def __init__(self, configuration: Configuration, name: str = "") -> None:
        self.configuration = configuration
        self.name = name
        self.prefix = f"server.{name}." if name else "server."

    def entry(self, setting: str) -> Entry | None:
        """Return the entry of a setting, if it has one."""
        return self.configuration.sections["global"].get(self.prefix + setting)

    def get(self, setting: str) -> Any:
        """Return a setting, or the default of servers."""
        found = self.entry(setting)
        return getattr(Server, setting, None) if found is None else found.value

    @property
    def host(self) -> Any:
        """What it listens on; `socket_host` is a property of the class."""
        found = self.entry("socket_host")
        return Server._socket_host if found is None else found.value

    @property
    def public(self) -> bool:
        """Whether other machines can reach it, as far as that can be told."""
        if self.get("socket_file") or isinstance(self.host, Unknown):
            return False
        host = str(self.host).strip("[]").lower()
        return not (host in ("localhost", "::1", "none") or host.startswith("127."))

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS."""
        return bool(self.get("ssl_certificate") or self.get("ssl_context"))


def servers(configuration: Configuration) -> Iterator[ServerSettings]:
    """Yield the site's first server and those that have a name."""
    yield ServerSettings(configuration)
    names = {key.split(".")[1] for _, key, _ in configuration.each(r"server\.[^.]+\.[^.]+")}
    for name in sorted(names):
        server = ServerSettings(configuration, name)
        on = server.entry("on")
        if on is None or on.value:
            yield server


def tls_somewhere(configuration: Configuration) -> bool:
    """Return whether any of the servers speaks TLS."""
    return any(server.tls for server in servers(configuration))
