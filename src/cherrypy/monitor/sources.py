"""Where settings come from: the site's configuration, a file of the monitor's own, the environment.

Law: what is wrong is said with what would be right, before anything starts; a wrong file that is read
again changes nothing, and ends nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..framework.reprconf import Parser
from .settings import CONFIGURATION, ENVIRONMENT, FILE, SETTINGS, SITE, Settings, checked, setting

if TYPE_CHECKING:
    from .plugin import Monitor

PREFIX = "CHERRYPY_MONITOR_"
_BY_VARIABLE = {PREFIX + name.upper().replace(".", "_"): name for name in SETTINGS}
#: Not a setting: what the command `show` says to a dashboard that wants to know who asks.
TOKEN = PREFIX + "TOKEN"
_FLAGS = {"1": True, "true": True, "yes": True, "on": True}
_FLAGS |= {"0": False, "false": False, "no": False, "off": False, "": False}

#: Bytes that a file of settings may have.
MOST_BYTES = 1024 * 1024


# -- the environment -------------------------------------------------------------------------------


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper().replace(".", "_")


def value_of(name: str, text: str) -> Any:
    """Return what a text of the environment or of a command line means for a setting.

    A Python literal, or plain text; 1 and 0, 'yes' and 'no' for what is on or off; texts with commas
    for a list of them. Raises ValueError, which says what it may be.
    """
    known = setting(name)
    if isinstance(known.default, bool) and text.strip().lower() in _FLAGS:
        return _FLAGS[text.strip().lower()]
    if isinstance(known.default, list) and text.strip()[:1] not in ("[", "("):
        text = repr([part.strip() for part in text.split(",") if part.strip()])
    from ast import literal_eval

    try:
        value = literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = text
    takes_text = known.check is None or known.check(text)
    if takes_text and not (value is None or isinstance(value, (str, bool))):
        value = text  # a version 1.10 is no number
    return checked(name, value)


def environment(environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return what the environment sets, and sentences about what is wrong there."""
    entries: dict[str, Any] = {}
    faults = []
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name == TOKEN:
            continue
        known = _BY_VARIABLE.get(name)
        if known is None:
            from difflib import get_close_matches

            near = get_close_matches(name, _BY_VARIABLE, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            faults.append(f"There is no setting for the environment variable {name}.{hint}")
            continue
        try:
            entries[known] = value_of(known, text)
        except ValueError as error:
            faults.append(f"The environment variable {name}: {error}")
    return entries, faults


# -- files -----------------------------------------------------------------------------------------


def entries_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a configuration: a section `monitor`, and `monitor.<name>` in others."""
    entries: dict[str, Any] = {}
    for section in (config, config.get("global")):
        if isinstance(section, Mapping):
            for key, value in section.items():
                if key.startswith("monitor."):
                    entries[key[len("monitor.") :]] = value
    own = config.get("monitor")
    if isinstance(own, Mapping):
        entries.update((key.removeprefix("monitor."), value) for key, value in own.items())
    return entries


def read_file(path: str) -> tuple[dict[str, Any], list[str]]:
    """Return the settings in a file, and what is to be said of it.

    Raises ValueError, which names the file, for one that cannot be read or says nothing of the monitor.
    """
    try:
        if os.path.getsize(path) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        reader = _READERS.get(os.path.splitext(path)[1].lower(), _ini)
        entries, notes = reader(path)
        for name, value in entries.items():
            checked(name, value)
    except OSError as error:
        raise ValueError(f"The settings in {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"The settings in {path}: {error}") from error
    return entries, [f"{path}: {note}" for note in notes]


def _ini(path: str) -> tuple[dict[str, Any], list[str]]:
    from configparser import Error

    try:
        entries = entries_of(Parser.load(path))
    except Error as error:
        raise ValueError(str(error)) from None
    if not entries:
        raise ValueError("there is no section [monitor], and nothing that begins with monitor.")
    return entries, []


def _toml(path: str) -> tuple[dict[str, Any], list[str]]:
    toml: Any = None
    for name in ("tomllib", "tomli"):  # the standard library's since Python 3.11
        try:
            toml = __import__(name)
        except ImportError:
            continue
        break
    if toml is None:
        raise ValueError("reading TOML takes Python 3.11, or the package tomli")
    with open(path, "rb") as stream:
        try:
            whole = toml.load(stream)
        except toml.TOMLDecodeError as error:
            raise ValueError(f"it is not TOML: {error}") from None
    return _flat(whole.get("monitor", whole)), []


def _flat(table: Any, prefix: str = "") -> dict[str, Any]:
    """Turn tables in tables into names with dots, as far as settings have them."""
    if not isinstance(table, Mapping):
        raise ValueError("'monitor' has to be a table")
    entries: dict[str, Any] = {}
    for key, value in table.items():
        name = prefix + key.removeprefix("monitor.")
        deeper = any(other.startswith(name + ".") for other in SETTINGS)
        if isinstance(value, Mapping) and deeper and name not in SETTINGS:
            entries.update(_flat(value, name + "."))
        else:
            entries[name] = value
    return entries


#: Libraries, as Librato's agent called them -> as we do.
_LIBRARIES = {
    "mysqldb": "MySQLdb",
    "elasticsearch": "elasticsearch",
    "urllib2": "http.client",
    "pykafka": "kafka",
}


def _json(path: str) -> tuple[dict[str, Any], list[str]]:
    import json

    with open(path, encoding="utf-8-sig") as stream:
        try:
            whole = json.load(stream)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(whole, dict):
        raise ValueError("it has to be an object")
    if "monitor" in whole:
        return _flat(whole["monitor"]), []
    return _agent(whole)


def _agent(conf: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What an `agent-conf.json` of Librato's agent means for us."""
    entries: dict[str, Any] = {"names": "librato"}
    notes = []
    for key, value in conf.items():
        if key == "integration":
            if value not in ("cherrypy", "none", None, ""):
                notes.append(f"'integration' is {value!r}; what is monitored here is CherryPy")
        elif key == "app_id":
            entries["service"] = checked("service", value)
        elif key == "libraries":
            names = value.split(",") if isinstance(value, str) else value
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError(f"'libraries' cannot be {value!r}. It may be a list of texts")
            entries["libraries"] = [_LIBRARIES.get(name.strip(), name.strip()) for name in names]
        elif key == "flush_interval":
            entries["statsd.interval"] = _agent_number(key, value, 86400)
        elif key == "port":
            entries["statsd"] = f"127.0.0.1:{int(_agent_number(key, value, 65535))}"
        elif key == "pct":
            _agent_number(key, value, 100)
            notes.append(
                "'pct' is for the StatsD server, which works percentiles out; ours are all kept"
            )
        else:
            notes.append(
                f"{key!r} is unknown and ignored; known are integration, app_id, libraries, "
                "flush_interval, pct and port"
            )
    return entries, notes


def _agent_number(key: str, value: Any, most: int) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number <= most:
        raise ValueError(f"{key!r} cannot be {value!r}. It may be a number up to {most}")
    return number


_READERS = {".toml": _toml, ".json": _json}


# -- all of them -----------------------------------------------------------------------------------


class Sources:
    """What has been said of a monitor's settings, and by whom, so that it can be read again.

    faults
        What is wrong in the environment, in sentences: a monitor with any does not start.
    """

    def __init__(self, monitor: Monitor, environ: Mapping[str, str] | None = None) -> None:
        self.monitor = monitor
        self.settings: Settings = monitor.settings
        # In the order of their coming: the file (None for what a program said), and its entries.
        self._config: list[tuple[str | None, dict[str, Any]]] = []
        self._settling = False
        self._paths: dict[str, str] = {}  # a daemon may be in another folder when it reads again
        entries, self.faults = environment(os.environ if environ is None else environ)
        self.settings.replace(ENVIRONMENT, entries)
        try:
            self._read()
        except ValueError as error:
            self.faults.append(str(error))
        self.settings.changed.append(self._changed)

    def _changed(self, name: str) -> None:
        if name == "config" and not self._settling:
            self._read()

    def configure(self, entries: dict[str, Any], file: str | None = None) -> None:
        """Take in entries of the site's configuration, `monitor.` left out of their names.

        file
            Where they were read, if that is a file.

        Raises ValueError for what is wrong.
        """
        entries = {name: checked(name, value) for name, value in entries.items()}
        last = self._config[-1] if self._config else None
        if file is None and last is not None and last[0] is None:
            last[1].update(entries)
        else:
            self._config = [one for one in self._config if file is None or one[0] != file]
            self._config.append((file, entries))
        self._settle()

    def _settle(self) -> None:
        merged: dict[str, Any] = {}
        for _, entries in self._config:
            merged.update(entries)
        self._settling = True
        try:
            self.settings.replace(CONFIGURATION, merged)
            self._read()
        finally:
            self._settling = False
        self.switch()

    def _read(self) -> None:
        path = self._path()
        entries: dict[str, Any] = {}
        if path:
            entries, notes = read_file(path)
            if "config" in entries:
                raise ValueError(f"The settings in {path}: a file cannot name another one")
            for note in notes:
                self.monitor.bus.log(f"Monitor: {note}", 30)
        self.settings.replace(FILE, entries)

    def _path(self) -> str:
        path = self.settings["config"]
        return self._paths.setdefault(path, os.path.abspath(path)) if path else ""

    def switch(self) -> None:
        """Have the monitor on or off, as it is said."""
        monitor = self.monitor
        if bool(self.settings["on"]) != monitor.subscribed:
            (monitor.subscribe if self.settings["on"] else monitor.unsubscribe)()

    def check(self) -> None:
        """Raises ValueError for what is wrong in the environment."""
        if self.faults:
            raise ValueError(" ".join(self.faults))

    def reload(self) -> None:
        """Read all files again. What cannot be read or is wrong is said, and all stays as it was."""
        log = self.monitor.bus.log
        try:
            config = []
            for file, entries in self._config:
                if file is not None and os.path.exists(file):
                    entries = entries_of(Parser.load(file))
                    for name, value in entries.items():
                        checked(name, value)
                config.append((file, entries))
            if self._path():
                read_file(self._path())
            self._config = config
            self.settings.replace(SITE, {})  # what is in the files now is the later word
            self._settle()
        except Exception as error:
            log(f"The monitor goes on with the settings it had: {error}", 40)
            return
        log("The monitor has read its settings again.")
