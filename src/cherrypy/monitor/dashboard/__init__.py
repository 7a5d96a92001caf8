"""The dashboard: pages that show what the monitor knows, its API, and `/metrics`.

`listener` is its own small server, `front` finds who answers what, `guard` says who may ask.
`boards` is the table of charts, `sections` and `rooms` make the pages, `static/` brings them to life.
"""

from __future__ import annotations

import os
from typing import Any

from .front import Front
from .guard import Guard, Unsafe
from .listener import is_local, open_server, url_of
from .mount import Mount, check_path


class Dashboard:
    """The dashboard while it is on.

    front
        What answers.
    server
        Its own server; None if it has none.
    url
        Where it is found.
    """

    def __init__(self, monitor: Any) -> None:
        settings = monitor.settings
        listen, auth = settings["dashboard.listen"], settings["dashboard.auth"]
        hosts = list(settings["dashboard.hosts"])
        local = True
        if listen:
            try:
                local = is_local(listen)
            except ValueError as error:
                raise Unsafe(f"monitor.dashboard.listen: {error}") from None
            if not local and not auth:
                raise Unsafe(
                    f"The dashboard would be open to everybody who reaches {listen}. Have it listen "
                    "on 127.0.0.1, or set monitor.dashboard.auth = 'token:...' to a secret of your own."
                )
        self.monitor = monitor
        self.server: Any = None
        self.url = ""
        self.mounted: Mount | None = None
        self.pid = os.getpid()
        self.front = Front(monitor, Guard(auth, hosts, any_address=not local))
        if settings["dashboard.mount"]:
            if not auth:
                raise Unsafe(
                    "monitor.dashboard.mount puts the dashboard before the public: it needs "
                    "monitor.dashboard.auth = 'token:...', a secret of your own."
                )
            path = check_path(settings["dashboard.mount"])
            self.mounted = Mount(monitor, self.front, path)
        if listen:
            self._open(listen)
        monitor.beats.append(self.front.live.beat)

    def _open(self, listen: str) -> None:
        settings, bus = self.monitor.settings, self.monitor.bus
        more = {}
        if settings["dashboard.certificate"]:
            more["certificate"] = settings["dashboard.certificate"]
            more["private_key"] = settings["dashboard.private_key"]

        def log(message: str, level: int = 20, traceback: bool = False) -> None:
            if level >= 30:
                bus.log(f"dashboard: {message}", level=level, traceback=traceback)

        self.server = open_server(listen, self.front.answer, log, **more)
        self.url = url_of(self.server)
        asked = listen.rpartition(":")[2]
        taken = "" if self.url.endswith(f":{asked}") or asked == "0" else f" ({listen} is taken)"
        if listen.startswith(("unix:", "/")):
            taken = ""
        bus.log(f"The dashboard is at {self.url}{'' if 'unix:' in self.url else '/'}{taken}")

    def end(self) -> None:
        """End it."""
        if self.front.live.beat in self.monitor.beats:
            self.monitor.beats.remove(self.front.live.beat)
        self.front.end()
        if self.mounted is not None:
            self.mounted.end()
        if self.server is not None and os.getpid() == self.pid:
            self.server.stop()


def begin(monitor: Any) -> Dashboard | None:
    """Start the dashboard, if it is to be anywhere."""
    settings = monitor.settings
    if not settings["dashboard.listen"] and not settings["dashboard.mount"]:
        return None
    dashboard = Dashboard(monitor)
    monitor.dashboard = dashboard
    return dashboard
