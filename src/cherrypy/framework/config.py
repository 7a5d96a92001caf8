"""The site's configuration, what its entries do, and the merged configuration of a path.

Law: nothing is frozen. A plan is used only while every dict it was made of equals what it was.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from . import reprconf
from .site import site

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Config", "Plan", "environments", "merge", "plan")

_QUIET: dict[str, Any] = {
    "engine.autoreload.on": False,
    "checker.on": False,
    "tools.log_headers.on": False,
    "request.show_tracebacks": False,
    "request.show_mismatched_params": False,
}

#: Bundles of entries for `environment`, by name.
environments: dict[str, dict[str, Any]] = {
    "staging": {**_QUIET},
    "production": {**_QUIET, "log.screen": False},
    # A host process keeps its own signal handlers.
    "embedded": {**_QUIET, "log.screen": False, "engine.SIGHUP": None, "engine.SIGTERM": None},
    "test_suite": {
        **_QUIET,
        "request.show_tracebacks": True,
        "request.show_mismatched_params": True,
        "log.screen": False,
    },
}


def _if_filename_register_autoreload(ob: Any) -> None:
    """Have the autoreloader watch `ob` if it is a file name."""
    if isinstance(ob, (str, bytes, os.PathLike)):
        name = os.fspath(ob)
        autoreload = getattr(getattr(site, "engine", None), "autoreload", None)
        if autoreload is not None:
            autoreload.files.add(name)


def merge(base: dict[str, Any], other: Any) -> None:
    """Merge an application's config into `base`, section by section.

    Args:
        base: `{section: {key: value}}`; changed in place.
        other: the same, or the name of a file (which the autoreloader then watches), or an open
            file.

    Raises:
        ValueError: `other` has entries outside sections.
    """
    _if_filename_register_autoreload(other)
    for section, entries in reprconf.Parser.load(other).items():
        if not isinstance(entries, dict):
            raise ValueError(
                "Application config must include section headers, but the config you tried to "
                "merge doesn't have any sections. Wrap your config in another dict with paths as "
                "section headers, for example: {'/': config}. "
                f"(The entry without a section is {section!r}.)"
            )
        base.setdefault(section, {}).update(entries)


class Config(reprconf.Config):
    """The site's configuration: a dict of entries that act when they are set.

    Also a decorator: `@cherrypy.config(**{'tools.gzip.on': True})` adds to the `_cp_config` of a
    page handler or class.
    """

    environments = environments
    namespaces = reprconf.NamespaceSet()
    #: The name of the file that is being taken in, for handlers of namespaces.
    reading: str | None = None

    def update(self, config: Any) -> None:  # type: ignore[override]  # historical signature
        """Take in a dict, a file name (which the autoreloader then watches) or an open file."""
        _if_filename_register_autoreload(config)
        if isinstance(config, (str, bytes, os.PathLike)):
            self.reading = os.path.abspath(os.fsdecode(config))
        try:
            super().update(config)
        finally:
            self.reading = None

    def _apply(self, config: dict[str, Any]) -> None:
        for name in late_plugins.keys() & self.namespaces.keys():
            _unfold(config, name)
        section = config.get("global")
        if isinstance(section, dict):
            if len(config) > 1:
                site.checker.global_config_contained_paths = True
            config = dict(section)
        if "tools.staticdir.dir" in config:
            config["tools.staticdir.section"] = "global"
        super()._apply(config)

    @staticmethod
    def __call__(**kwargs: Any) -> Callable[[Any], Any]:
        """Return a decorator that adds `kwargs` to the `_cp_config` of what it decorates."""

        def decorate(target: Any) -> Any:
            variables = _Vars(target)
            own = variables.setdefault("_cp_config", {})
            own.update(kwargs)
            return target

        return decorate


def _unfold(config: dict[str, Any], name: str) -> None:
    """Turn a section `[<plugin>]` into the entries `<plugin>.<key>` that it stands for."""
    section = config.get(name)
    if not isinstance(section, dict):
        return
    del config[name]
    into = config.get("global")
    if isinstance(into, dict):
        into = config["global"] = dict(into)
    else:
        into = config
    for key, value in section.items():
        into[f"{name}.{key.removeprefix(name + '.')}"] = value


class _Vars:
    """The attributes of an object, with `setdefault` as of a dict.

    For a class only its own attributes count, and a dict it inherits is copied first: what is set
    on a subclass is no business of its base.
    """

    def __init__(self, target: Any) -> None:
        self.target = target

    def setdefault(self, key: str, default: Any) -> Any:
        target = self.target
        if isinstance(target, type):
            if key not in vars(target):
                inherited = getattr(target, key, default)
                setattr(target, key, dict(inherited) if isinstance(inherited, dict) else inherited)
        elif not hasattr(target, key):
            setattr(target, key, default)
        return getattr(target, key)


# ------------------------------------------------------------------------------ the namespaces


#: What makes another server for `server.<name>.<key>` entries; `hosting` puts its class here.
server_factory: Callable[[], Any] | None = None


def _server_namespace_handler(k: str, v: Any) -> None:
    """`server.<key>` sets an attribute of the server, `server.<name>.<key>` of a further one.

    A further server is made, and subscribed to the engine, by the first entry that names it;
    `server.<name>.on` says whether it is to start with the engine.
    """
    name, dot, key = k.partition(".")
    if not dot:
        setattr(site.server, k, v)
        return
    servers = site.__dict__.setdefault("servers", {})
    server = servers.get(name)
    if server is None:
        server = servers[name] = (server_factory or type(site.server))()
        if key != "on":
            server.subscribe()
    if key == "on":
        (server.subscribe if v else server.unsubscribe)()
    else:
        setattr(server, key, v)


#: Plugins that are made by the first entry that names them: name -> what makes one, subscribed.
late_plugins: dict[str, Callable[[Any], Any]] = {}


def _engine_namespace_handler(k: str, v: Any) -> None:
    """`engine.<key>` sets an attribute of the bus, `engine.<plugin>.<key>` of a plugin.

    `engine.SIG...` names the handler of a signal (None leaves the signal alone), and
    `engine.<plugin>.on` subscribes or unsubscribes the plugin.
    """
    engine = site.engine
    if k.startswith("SIG") and (v is None or callable(v)):
        handlers = getattr(getattr(engine, "signal_handler", None), "handlers", {})
        if v is None:
            handlers.pop(k, None)
        else:
            handlers[k] = v
            engine.subscribe(k, v)
        return
    name, dot, key = k.partition(".")
    if not dot:
        setattr(engine, k, v)
        return
    plugin = getattr(engine, name, None)
    if plugin is None and name in late_plugins:
        plugin = late_plugins[name](engine)
        setattr(engine, name, plugin)
    if plugin is None:
        raise AttributeError(f"engine.{k}: the engine has no plugin {name!r}")
    if key == "on":
        switch = getattr(plugin, "subscribe" if v else "unsubscribe", None)
        if callable(switch):
            switch()
            return
    setattr(plugin, key, v)


class LateEntries:
    """The namespace of a late plugin: `<plugin>.<key>` anywhere in the site's configuration.

    The plugin gets all entries of one dict or file at once, by `configure(entries, file)`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._local = threading.local()

    def __enter__(self) -> Callable[[str, Any], None]:
        entries: dict[str, Any] = {}
        self._local.entries = entries
        return entries.__setitem__

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        entries = self._local.__dict__.pop("entries", None)
        if error is not None or not entries:
            return
        engine = site.engine
        plugin = getattr(engine, self._name, None)
        if plugin is None:
            plugin = late_plugins[self._name](engine)
            setattr(engine, self._name, plugin)
        plugin.configure(entries, site.config.reading)


def _tree_namespace_handler(k: str, v: Any) -> None:
    """`tree.graft` takes `{script_name: app}`; any other entry is an application to mount."""
    tree = site.tree
    if isinstance(v, dict):
        for script_name, app in v.items():
            tree.graft(app, script_name)
            site.engine.log(f"Mounted: {app} on {script_name or '/'}")
    elif not hasattr(v, "script_name"):
        raise TypeError(f"tree.{k} must be an application to mount, not {v!r}")
    else:
        tree.graft(v, v.script_name)
        site.engine.log(f"Mounted: {v} on {v.script_name or '/'}")


Config.namespaces["server"] = _server_namespace_handler
Config.namespaces["engine"] = _engine_namespace_handler
Config.namespaces["tree"] = _tree_namespace_handler
Config.namespaces["log"] = lambda k, v: setattr(site.log, k, v)
Config.namespaces["checker"] = lambda k, v: setattr(site.checker, k, v)


# ------------------------------------------------------------------------------------- plans


class Plan:
    """The configuration of a path, merged out of several dicts, and what was derived from it.

    `config` is a template that is never handed out: requests get `config.copy()`.
    `namespaces` holds the same by namespace: `{'tools': {'gzip.on': True}, ...}`.
    `state` is scratch for the owner of the request path: keyed and validated there.
    """

    __slots__ = ("_snapshots", "_sources", "_turn", "config", "namespaces", "state")

    config: dict[str, Any]
    namespaces: dict[str, dict[str, Any]]
    state: dict[Any, Any]

    def __init__(self, sources: tuple[dict[str, Any], ...], extra: dict[str, Any] | None) -> None:
        # Holding the sources keeps their ids from being given to others.
        self._sources = sources
        # The snapshots come first: a source that changes meanwhile makes the plan invalid.
        self._snapshots = snapshots = tuple([dict(source) for source in sources])
        self.config = config = {}
        for snapshot in snapshots:
            config.update(snapshot)
        if extra:
            config.update(extra)
        buckets: dict[str, dict[str, Any]] = {}
        self.namespaces = buckets
        for key, value in config.items():
            name, dot, rest = key.partition(".")
            if dot:
                buckets.setdefault(name, {})[rest] = value
        self.state = {}
        self._turn: object = False


#: Plans kept at most. Beyond it all are dropped: sources that are made anew for each request can
#: never be found again, and must not pile up.
MAX_PLANS = 4096

_plans: dict[Any, Plan] = {}


def plan(
    sources: tuple[dict[str, Any], ...],
    extra: dict[str, Any] | None = None,
    turn: object | None = None,
) -> Plan:
    """Return the plan of `sources`, merged from first to last, and `extra` on top.

    A plan is found by the identity of its sources and is valid only while each of them equals
    the snapshot it was made of, so item assignment anywhere is seen at once. Any thread may call
    this: a dict operation is atomic, and two threads that miss at once make equal plans.

    turn
        What the server took up at once (see `Request._turn`): one comparison is enough for it.
    """
    key: Any = tuple(map(id, sources))
    if extra:
        key = (key, tuple(extra.items()))
        try:
            found = _plans.get(key)
        except TypeError:  # an unhashable value: no plan to keep
            return Plan(sources, extra)
    else:
        found = _plans.get(key)
    if found is not None:
        if found._turn is turn:
            return found
        try:
            # A tuple of dicts against a tuple of dicts: one comparison in C.
            if sources == found._snapshots:
                if turn is not None:
                    found._turn = turn
                return found
        except Exception:  # values that refuse to be compared (arrays, proxies)
            pass
    found = Plan(sources, extra)
    if len(_plans) >= MAX_PLANS:
        _plans.clear()
    _plans[key] = found
    return found
