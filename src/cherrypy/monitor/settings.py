"""The settings of the monitor: one table, and where their values come from.

A program's own word (`engine.monitor.level = 2`) goes over the environment
(`CHERRYPY_MONITOR_LEVEL=2`), that over the configuration, that over the defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Setting:
    """One setting: its name without `monitor.`, its default, and a sentence."""

    __slots__ = ("check", "default", "doc", "name")

    def __init__(
        self, name: str, default: Any, doc: str, check: Callable[[Any], bool] | None = None
    ) -> None:
        self.name = name
        self.default = default
        self.doc = doc
        self.check = check


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def _names(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _address(value: Any) -> bool:
    return value is None or value is False or isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


#: Every setting.
SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("on", False, "Whether anything is recorded.", _flag),
        Setting(
            "level",
            1,
            "0: counters of the servers only; 1: everything that costs little; 2: processor time, "
            "stages and single tools as well.",
            lambda value: value in (0, 1, 2),
        ),
        Setting("metrics.include", ["*"], "Patterns of the metrics that are recorded.", _names),
        Setting("metrics.exclude", [], "Patterns of the metrics that are not.", _names),
        Setting(
            "libraries",
            ["*"],
            "Libraries whose calls are timed, of those that are imported: 'sqlite3', 'redis', ...",
            _names,
        ),
        Setting("routes.ignore", [], "Patterns of the routes that are not recorded.", _names),
        Setting(
            "apdex",
            0.5,
            "Seconds within which an answer satisfies; or {route: seconds}, with '*' for all others.",
        ),
        Setting("slow_threshold", 1.0, "Seconds from which on a request is slow.", _number),
        Setting(
            "db.slow_threshold", 0.1, "Seconds from which on a database call is slow.", _number
        ),
        Setting("app_version", None, "The application's version: a new one is marked.", _text),
        Setting("service", None, "The service's name; the name of the program by default.", _text),
        Setting(
            "store.path", None, "The SQLite file of the history; None keeps it in memory.", _text
        ),
        Setting(
            "store.retention",
            {"10s": "6h", "1m": "8d", "10m": "60d", "1h": "400d"},
            "How long each resolution is kept.",
            lambda value: isinstance(value, dict),
        ),
        Setting("store.max_bytes", 256 * 1024 * 1024, "Bytes that the file may take.", _number),
        Setting(
            "socket",
            None,
            "The unix socket at which processes of one site find the one that collects: its path.",
            _text,
        ),
        Setting(
            "dashboard.listen",
            "127.0.0.1:9191",
            "Where the dashboard listens: 'host:port', 'unix:/path', or False.",
            _address,
        ),
        Setting(
            "dashboard.mount",
            None,
            "A path of the site's own servers where the dashboard is as well, with authentication.",
            _text,
        ),
        Setting(
            "dashboard.auth",
            None,
            "Who may look: None for all who reach it, 'token:...', or a callable of the request "
            "that returns None, 'view' or 'act'.",
        ),
        Setting(
            "dashboard.hosts", [], "Names by which the dashboard may be asked for, too.", _names
        ),
        Setting("dashboard.certificate", None, "A PEM file: the dashboard speaks HTTPS.", _text),
        Setting("dashboard.private_key", None, "The key to that.", _text),
        Setting("prometheus", True, "Whether the dashboard's listener answers /metrics.", _flag),
        Setting("otlp.endpoint", None, "Where metrics are pushed to by OTLP: a URL.", _text),
        Setting("otlp.headers", {}, "Header fields of these pushes, such as an authorization."),
        Setting("otlp.interval", 15.0, "Seconds between them.", _number),
        Setting("statsd", None, "Where metrics are sent to by StatsD: 'host:port'.", _text),
        Setting(
            "statsd.dialect",
            "statsd",
            "'statsd', or 'dogstatsd' with labels as tags.",
            lambda value: value in ("statsd", "dogstatsd"),
        ),
        Setting("statsd.interval", 10.0, "Seconds between what is sent.", _number),
        Setting(
            "names",
            "otel",
            "'otel', or 'librato' for the names that its agent gave to StatsD.",
            lambda value: value in ("otel", "librato"),
        ),
        Setting("alerts", [], "Rules; see the page on alerts."),
        Setting("alerts.defaults", True, "Whether the rules for emergencies apply.", _flag),
        Setting("alerts.webhook", None, "A URL that alerts are posted to as JSON.", _text),
        Setting(
            "frontend.peers",
            [],
            "Addresses of proxies whose X-Request-Start is believed.",
            _names,
        ),
    )
}


class Settings:
    """The values of all settings: `settings["store.path"]`."""

    def __init__(self) -> None:
        self._said: dict[str, Any] = {}
        #: Called with the name of a setting that has changed.
        self.changed: list[Callable[[str], object]] = []

    def __getitem__(self, name: str) -> Any:
        if name in self._said:
            return self._said[name]
        return SETTINGS[name].default

    def __setitem__(self, name: str, value: Any) -> None:
        """Set one. Raises ValueError for a setting that there is not, or a value it cannot have."""
        setting = SETTINGS.get(name)
        if setting is None:
            from difflib import get_close_matches

            near = get_close_matches(name, SETTINGS, 1)
            hint = f" Did you mean monitor.{near[0]}?" if near else ""
            raise ValueError(f"There is no setting monitor.{name}.{hint}")
        if setting.check is not None and not setting.check(value):
            raise ValueError(f"monitor.{name} cannot be {value!r}. {setting.doc}")
        self._said[name] = value
        for told in list(self.changed):
            told(name)

    def said(self, name: str) -> bool:
        """Whether somebody has set it."""
        return name in self._said

    def apdex_of(self, route: str) -> float:
        """Seconds within which an answer of a route satisfies."""
        apdex: Any = self["apdex"]
        if isinstance(apdex, dict):
            apdex = apdex.get(route, apdex.get("*", 0.5))
        return float(apdex)
