"""The settings of the monitor: one table, and where their values come from.

What the whole site is told while it runs (`Monitor.order`) goes over a program's own word
(`engine.monitor.level = 2`), that over the environment (`CHERRYPY_MONITOR_LEVEL=2`), that over the file that `monitor.config` names, that over the site's
configuration (`monitor.level`, or a section `[monitor]`), that over the defaults. `sources` reads them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

#: Who sets a value: the later in this list go over the earlier.
CONFIGURATION, FILE, ENVIRONMENT, PROGRAM = "configuration", "file", "environment", "program"
SITE = "site"
LAYERS = (CONFIGURATION, FILE, ENVIRONMENT, PROGRAM, SITE)

#: What says what is recorded: changed in the process that collects, it changes in all of the site.
SHARED = (
    "level",
    "metrics.include",
    "metrics.exclude",
    "libraries",
    "apdex",
    "slow_threshold",
    "db.slow_threshold",
)

#: What is read when the monitor starts: a change is said to come too late for this life.
AT_START = frozenset(
    (
        "routes.ignore",
        "store.path",
        "store.retention",
        "store.max_bytes",
        "socket",
        "dashboard.listen",
        "dashboard.mount",
        "dashboard.auth",
        "dashboard.hosts",
        "dashboard.certificate",
        "dashboard.private_key",
        "frontend.peers",
    )
)


class Kind:
    """What a setting may be: in words, and as a test of a value."""

    __slots__ = ("test", "words")

    def __init__(self, words: str, test: Callable[[Any], bool]) -> None:
        self.words = words
        self.test = test

    def __call__(self, value: Any) -> bool:
        return self.test(value)


class Setting:
    """One setting: its name without `monitor.`, its default, a sentence, and what it may be."""

    __slots__ = ("check", "default", "doc", "name")

    def __init__(
        self, name: str, default: Any, doc: str, check: Callable[[Any], bool] | None = None
    ) -> None:
        self.name = name
        self.default = default
        self.doc = doc
        self.check = check

    @property
    def kind(self) -> str:
        """What it may be, in words."""
        return self.check.words if isinstance(self.check, Kind) else "anything"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e300


def _is_names(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _is_apdex(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_number(v) and v for k, v in value.items())
    return _is_number(value) and value > 0


def _is_duration(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[1-9][0-9]*[smhd]", value) is not None


def _are_durations(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_duration(k) and _is_duration(v) for k, v in value.items()
    )


def _are_fields(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(item, str) and not re.search("[\r\n]", item)
        for pair in value.items()
        for item in pair
    )


def _is_rules(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(rule, (dict, str)) for rule in value)


def _is_mail(value: Any) -> bool:
    keys = {"to", "from", "server", "tls", "user", "password"}
    if not isinstance(value, dict) or not value.keys() <= keys:
        return False
    to = value.get("to", [])
    to = [to] if isinstance(to, str) else to
    return _is_names(to) and all("@" in item and item.isprintable() for item in to)


def choice(*values: Any) -> Kind:
    """One of several values."""
    shown = [repr(value) for value in values]
    words = ", ".join(shown[:-1]) + " or " + shown[-1]
    return Kind(words, lambda value: type(value) is type(values[0]) and value in values)


def _matching(pattern: str) -> Callable[[Any], bool]:
    wanted = re.compile(pattern).fullmatch
    return lambda value: value is None or (isinstance(value, str) and wanted(value) is not None)


_number = Kind("a number from 0 on", _is_number)
_seconds = Kind("a number above 0", lambda value: _is_number(value) and value > 0)
_names = Kind("a list of texts", _is_names)
_text = Kind("None or a text", lambda value: value is None or isinstance(value, str))
_address = Kind(
    "'host:port', 'unix:/path', or False",
    lambda value: value is None or value is False or isinstance(value, str),
)
_flag = Kind("True or False", lambda value: isinstance(value, bool))
_url = Kind("None or a URL, 'http://...' or 'https://...'", _matching(r"https?://[^/\s]+\S*"))
_peer = Kind("None or 'host:port'", _matching(r"(\[[0-9A-Fa-f:.]+\]|[^:\s]+):[0-9]{1,5}"))
_path = Kind("None or a path that begins with a slash", _matching(r"/\S*"))
_auth = Kind(
    "None, 'token:...', 'view:...', a list of these, or a callable",
    lambda value: value is None or isinstance(value, str) or _is_names(value) or callable(value),
)


#: Every setting.
SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("on", False, "Whether anything is recorded.", _flag),
        Setting(
            "config",
            None,
            "A file with more settings: TOML, an INI file with a section [monitor], or the "
            "agent-conf.json of Librato's agent.",
            _text,
        ),
        Setting(
            "level",
            1,
            "0: counters of the servers only; 1: everything that costs little; 2: processor time, "
            "stages and single tools as well.",
            choice(0, 1, 2),
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
            Kind("a number above 0, or {route: number}", _is_apdex),
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
            Kind("{'10s': '6h', ...}, of a number with s, m, h or d", _are_durations),
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
            _path,
        ),
        Setting(
            "dashboard.auth",
            None,
            "Who may look: None for all who reach it, 'token:...' with all rights, 'view:...' for "
            "looking only, a list of these, or a callable of the request that returns None, 'view' "
            "or 'act'.",
            _auth,
        ),
        Setting(
            "dashboard.hosts", [], "Names by which the dashboard may be asked for, too.", _names
        ),
        Setting("dashboard.certificate", None, "A PEM file: the dashboard speaks HTTPS.", _text),
        Setting("dashboard.private_key", None, "The key to that.", _text),
        Setting("prometheus", True, "Whether the dashboard's listener answers /metrics.", _flag),
        Setting("otlp.endpoint", None, "Where metrics are pushed to by OTLP over HTTP.", _url),
        Setting(
            "otlp.headers",
            {},
            "Header fields of these pushes, such as an authorization.",
            Kind("{name: text}", _are_fields),
        ),
        Setting("otlp.interval", 15.0, "Seconds between them.", _seconds),
        Setting(
            "otlp.timeout", 10.0, "Seconds that a push may take, with all its attempts.", _seconds
        ),
        Setting(
            "otlp.encoding",
            "protobuf",
            "How they are written; collectors read both.",
            choice("protobuf", "json"),
        ),
        Setting("statsd", None, "Where metrics are sent to by StatsD, over UDP.", _peer),
        Setting(
            "statsd.dialect",
            "statsd",
            "'dogstatsd' has labels as tags, where 'statsd' makes them a part of the name.",
            choice("statsd", "dogstatsd"),
        ),
        Setting("statsd.interval", 10.0, "Seconds between what is sent.", _seconds),
        Setting("statsd.prefix", None, "What goes before each name there: 'shop.web'.", _text),
        Setting(
            "names",
            "otel",
            "The names that StatsD is told: ours, or those that Librato's agent used.",
            choice("otel", "librato"),
        ),
        Setting(
            "health.mount",
            None,
            "A path of the site's own servers below which /live and /ready answer, such as '/-'.",
            _path,
        ),
        Setting(
            "health.stuck",
            30.0,
            "Seconds after which a thread that serves one request counts as stuck.",
            _seconds,
        ),
        Setting("alerts", [], "Rules; see the page on alerts.", Kind("a list of rules", _is_rules)),
        Setting("alerts.defaults", True, "Whether the rules for emergencies apply.", _flag),
        Setting("alerts.webhook", None, "Where alerts are posted to as JSON.", _url),
        Setting(
            "alerts.command",
            None,
            "A program with its arguments that is run for each alert, and reads it as JSON.",
            Kind(
                "None or a list of texts",
                lambda value: value is None or (_is_names(value) and len(value) > 0),
            ),
        ),
        Setting(
            "alerts.mail",
            None,
            "Where alerts are mailed to, and how.",
            Kind(
                "None or a dict of 'to', and of 'from', 'server', 'tls', 'user', 'password'",
                lambda value: value is None or _is_mail(value),
            ),
        ),
        Setting(
            "frontend.peers",
            [],
            "Addresses of proxies whose X-Request-Start is believed.",
            _names,
        ),
    )
}


def setting(name: str) -> Setting:
    """Return a setting. Raises ValueError, with the name that may be meant, if there is none."""
    found = SETTINGS.get(name)
    if found is None:
        from difflib import get_close_matches

        near = get_close_matches(name, SETTINGS, 1)
        hint = f" Did you mean monitor.{near[0]}?" if near else ""
        raise ValueError(f"There is no setting monitor.{name}.{hint}")
    return found


def checked(name: str, value: Any) -> Any:
    """Return a value that a setting may have. Raises ValueError, which says what it may be."""
    known = setting(name)
    if known.check is not None and not known.check(value):
        raise ValueError(f"monitor.{name} cannot be {value!r}. It may be {known.kind}. {known.doc}")
    return value


class Settings:
    """The values of all settings: `settings["store.path"]`."""

    def __init__(self) -> None:
        self._layers: dict[str, dict[str, Any]] = {layer: {} for layer in LAYERS}
        self._said: dict[str, Any] = {}  # the uppermost of each
        self._lock = threading.Lock()  # guards: what is said is what the layers say
        #: Called with the name of a setting that has changed.
        self.changed: list[Callable[[str], object]] = []

    def __getitem__(self, name: str) -> Any:
        if name in self._said:
            return self._said[name]
        return SETTINGS[name].default

    def __setitem__(self, name: str, value: Any) -> None:
        """Set one. Raises ValueError for a setting that there is not, or a value it cannot have."""
        checked(name, value)
        with self._lock:
            self._layers[PROGRAM][name] = value
            changed = self._settle([name])
        self._tell(changed)

    def replace(self, layer: str, entries: dict[str, Any]) -> None:
        """Put `entries` in the place of all that a layer says.

        Raises ValueError for a setting that there is not, or a value it cannot have; nothing has
        changed then.
        """
        entries = {name: checked(name, value) for name, value in entries.items()}
        with self._lock:
            before, self._layers[layer] = self._layers[layer], entries
            names = [*before, *(name for name in entries if name not in before)]
            changed = self._settle(names)
        self._tell(changed)

    def add(self, layer: str, entries: dict[str, Any]) -> None:
        """Add `entries` to what a layer says; as `replace`."""
        entries = {name: checked(name, value) for name, value in entries.items()}
        with self._lock:
            self._layers[layer] = {**self._layers[layer], **entries}
            changed = self._settle(list(entries))
        self._tell(changed)

    def entries(self, layer: str) -> dict[str, Any]:
        """Return what a layer says."""
        return dict(self._layers[layer])

    def forked(self) -> None:
        """In a forked child: nobody else has the lock."""
        self._lock = threading.Lock()

    def _settle(self, names: list[str]) -> list[str]:
        changed = []
        for name in names:
            before = self[name]
            for layer in reversed(LAYERS):
                if name in self._layers[layer]:
                    self._said[name] = self._layers[layer][name]
                    break
            else:
                self._said.pop(name, None)
            if self[name] != before:
                changed.append(name)
        return changed

    def _tell(self, changed: list[str]) -> None:
        for name in changed:
            for told in list(self.changed):
                told(name)

    def said(self, name: str) -> bool:
        """Whether somebody has set it."""
        return name in self._said

    def source(self, name: str) -> str:
        """Who has set it, one of `LAYERS`; 'default' if nobody has."""
        for layer in reversed(LAYERS):
            if name in self._layers[layer]:
                return layer
        return "default"

    def apdex_of(self, route: str) -> float:
        """Seconds within which an answer of a route satisfies."""
        apdex: Any = self["apdex"]
        if isinstance(apdex, dict):
            apdex = apdex.get(route, apdex.get("*", 0.5))
        return float(apdex)
