"""What looks wrong in the configuration when the engine starts, as warnings.

Law: a check reads and warns; it changes nothing and never keeps a site from starting.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from .serving import serving
from .site import site

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Checker",)

#: Namespaces that make sense only for the whole site.
_SITE_ONLY = ("engine", "server", "tree", "checker", "monitor")


#: Values of another type than expected that are in order: seconds may be fractions, ...
_ALIKE: tuple[tuple[tuple[type, ...], type | tuple[type, ...]], ...] = (
    ((float, int), (int, float)),
    ((tuple, list), (tuple, list)),
)


class Checker:
    """Runs every method called `check_...` when the engine starts.

    Set `checker.on` to False in the config to be left alone, or a single check:
    `cherrypy.checker.check_skipped_app_config = False`.
    """

    on = True
    """If False, no check is run."""

    global_config_contained_paths = False

    obsolete: dict[str, str | None] = {
        "server.default_content_type": "tools.response_headers.headers",
        "log_access_file": "log.access_file",
        "log_config_options": None,
        "log_file": "log.error_file",
        "log_file_not_found": None,
        "log_request_headers": "tools.log_headers.on",
        "log_to_screen": "log.screen",
        "show_tracebacks": "request.show_tracebacks",
        "throw_errors": "request.throw_errors",
        "profiler.on": "cherrypy.tree.mount(profiler.make_app(cherrypy.Application(Root())))",
    }
    """Names of former releases, and what took their place."""

    deprecated: dict[str, str | None] = {}
    """Names that still work, and what will take their place."""

    extra_config_namespaces: list[str] = []
    """Further namespaces that are not to be called unknown."""

    known_config_types: dict[str, type] = {}

    def __init__(self) -> None:
        self.known_config_types = {}

    def __call__(self) -> None:
        """Run all the checks."""
        if not self.on:
            return
        with warnings.catch_warnings():
            warnings.formatwarning, formatter = self.formatwarning, warnings.formatwarning
            warnings.simplefilter("always")
            try:
                for name in dir(self):
                    check = getattr(self, name) if name.startswith("check_") else None
                    if callable(check):
                        check()
            finally:
                warnings.formatwarning = formatter

    def formatwarning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        """Return the text of a warning; where it was raised says nothing to the reader."""
        return f"CherryPy Checker:\n{message}\n\n"

    # ------------------------------------------------------------------- applications

    def check_app_config_entries_dont_start_with_script_name(self) -> None:
        """Sections of an application are paths below its own, without its script name."""
        for name, app in _apps():
            if not name:
                continue
            prefix = name.strip("/").split("/")
            for section in app.config:
                if (
                    section.startswith("/")
                    and section.strip("/").split("/")[: len(prefix)] == prefix
                ):
                    _warn(
                        f"The application mounted at {name!r} has config entries that start with "
                        f"its script name: {section!r}"
                    )

    def check_site_config_entries_in_app_config(self) -> None:
        """Entries that only the site's config may have do nothing in an application's."""
        for name, app in _apps():
            found = [
                f"[{section}] {key} = {value}"
                for section, entries in _sections(app)
                if section.startswith("/")
                for key, value in entries.items()
                if key.partition(".")[0] in _SITE_ONLY
            ]
            if found:
                _warn(
                    f"The application mounted at {name!r} contains the following config entries, "
                    "which are only allowed in site-wide config. Move them to a [global] section "
                    "and pass them to cherrypy.config.update() instead of tree.mount().\n"
                    + "\n".join(found)
                )

    def check_skipped_app_config(self) -> None:
        """An application without any config may have lost it on the way."""
        for name, app in _apps():
            if app.config:
                continue
            message = f"The Application mounted at {name!r} has an empty config."
            if self.global_config_contained_paths:
                message += (
                    " It looks like the config you passed to cherrypy.config.update() contains "
                    "application-specific sections. You must explicitly pass application config "
                    "via cherrypy.tree.mount(..., config=app_config)"
                )
            _warn(message)
            return

    def check_app_config_brackets(self) -> None:
        """Brackets belong to files, not to the keys of a dict."""
        for name, app in _apps():
            for section in app.config:
                if section.startswith("[") or section.endswith("]"):
                    _warn(
                        f"The application mounted at {name!r} has config section names with "
                        f"extraneous brackets: {section!r}. Config *files* need brackets; config "
                        "*dicts* (e.g. passed to tree.mount) do not."
                    )

    def check_static_paths(self) -> None:
        """A static folder has to be an absolute path of something that is there."""
        request = serving.request
        for _, app in _apps():
            before = getattr(request, "app", None)
            request.app = app  # find_config asks for it
            try:
                for section, _entries in _sections(app):
                    conf = _static_conf(app, section)
                    if conf is not None:
                        _check_static(section, conf)
            finally:
                request.app = before

    # --------------------------------------------------------------------- names of entries

    def check_compatibility(self) -> None:
        """Entries of former releases do nothing any more."""
        self._compat(site.config)
        for _, app in _apps():
            self._compat(app.config)

    def _compat(self, config: dict[str, Any]) -> None:
        for section, key, _ in _entries(config):
            where = "" if section is None else f"\nsection: [{section}]"
            if key in self.obsolete:
                _warn(f"{key!r} is obsolete. Use {self.obsolete[key]!r} instead.{where}")
            elif key in self.deprecated:
                _warn(f"{key!r} is deprecated. Use {self.deprecated[key]!r} instead.{where}")

    def check_config_namespaces(self) -> None:
        """Entries whose namespace or tool nobody knows do nothing."""
        for _, app in _apps():
            self._known_ns(app)

    def _known_ns(self, app: Any) -> None:
        toolboxes = getattr(app, "toolboxes", {})
        known = {"wsgi", *self.extra_config_namespaces, *site.config.namespaces, *toolboxes}
        known.update(getattr(app, "namespaces", ()))
        known.update(getattr(getattr(app, "request_class", None), "namespaces", ()))
        for section, entries in _sections(app):
            if not section.startswith("/"):
                continue
            for key in entries:
                first, dot, rest = key.partition(".")
                if not dot:
                    continue
                if first == "cherrypy" and rest.partition(".")[0] in known:
                    problem = f"is invalid; try {rest!r} instead."
                elif first not in known:
                    problem = f"is invalid, because the {first!r} config namespace is unknown."
                elif first in toolboxes and not hasattr(
                    toolboxes[first], tool := rest.partition(".")[0]
                ):
                    problem = f"may be invalid, because the {tool!r} tool was not found."
                else:
                    continue
                _warn(f"The config entry {key!r} {problem}\nsection: [{section}]")

    def check_server_settings(self) -> None:
        """A setting of the server that it does not have is a slip of the pen, and does nothing."""
        known = dir(type(getattr(site, "server", None)))
        for key in site.config:
            first, _, name = key.partition(".")
            if first != "server" or not name:
                continue
            name = name.rpartition(".")[2]
            if name == "on" or name in known:
                continue
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1)
            hint = f" Is it meant to be {near[0]!r}?" if near else ""
            _warn(f"The config entry {key!r} does nothing: the server has no such setting.{hint}")

    # ------------------------------------------------------------------------------- types

    def _populate_known_types(self) -> None:
        """Take the types that entries must have from the defaults of what they configure."""
        owners = {
            "request": type(getattr(serving, "request", None)),
            "response": type(getattr(serving, "response", None)),
            "server": getattr(site, "server", None),
            "engine": getattr(site, "engine", None),
            "log": getattr(site, "log", None),
        }
        known = self.known_config_types
        for namespace, owner in owners.items():
            for name in dir(owner) if owner is not None else ():
                if name.startswith("__"):
                    continue
                try:
                    kind = type(getattr(owner, name))
                except Exception:
                    continue  # a property that does not like to be asked
                if kind in (bool, int, float, str, tuple, list, dict):
                    known[f"{namespace}.{name}"] = kind

    def check_config_types(self) -> None:
        """Entries of another type than the default they replace are often meant otherwise."""
        if not self.known_config_types:
            self._populate_known_types()
        self._known_types(site.config)
        for _, app in _apps():
            self._known_types(app.config)

    def _known_types(self, config: dict[str, Any]) -> None:
        for section, key, value in _entries(config):
            expected = self.known_config_types.get(key)
            if value is None or expected is None or isinstance(value, expected):
                continue
            if any(expected in some and isinstance(value, other) for some, other in _ALIKE):
                continue
            _warn(
                f"The config entry {key!r} in section {section or key!r} is of type "
                f"{type(value).__name__!r}, which does not match the expected type "
                f"{expected.__name__!r}."
            )

    def check_localhost(self) -> None:
        """A host name that stands for two addresses surprises."""
        if site.config.get("server.socket_host") == "localhost":
            _warn(
                "The use of 'localhost' as a socket host can cause problems on newer systems, "
                "since 'localhost' can map to either an IPv4 or an IPv6 address. You should use "
                "'127.0.0.1' or '[::1]' instead."
            )


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _apps() -> Iterator[tuple[str, Any]]:
    """Yield the applications with a config, with their script names; not what was grafted."""
    for name, app in sorted(site.tree.apps.items()):
        if isinstance(getattr(app, "config", None), dict) and hasattr(app, "root"):
            yield name, app


def _sections(app: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for section, entries in app.config.items():
        if isinstance(entries, dict):
            yield section, entries


def _entries(config: dict[str, Any]) -> Iterator[tuple[str | None, str, Any]]:
    """Yield `(section or None, key, value)` of a config of sections, or of one without."""
    for section, entries in config.items():
        if isinstance(entries, dict) and (section.startswith("/") or "." not in section):
            for key, value in entries.items():
                yield section, key, value
        else:
            yield None, section, entries


def _static_conf(app: Any, section: str) -> dict[str, Any] | None:
    """Return the arguments of the staticdir tool for a section, if the tool is on there."""
    find = getattr(app, "find_config", None)
    prefix = "tools.staticdir."
    names = ("on", "root", "dir", "section")
    if find is None:
        conf = {name: app.config[section].get(prefix + name) for name in names}
    else:
        conf = {name: find(section, prefix + name, None) for name in names}
    return conf if conf["on"] else None


def _check_static(section: str, conf: dict[str, Any]) -> None:
    root, folder = conf["root"], conf["dir"]
    problems = []
    if folder is None:
        problems.append("tools.staticdir.dir is not set.")
    else:
        full = folder = os.fspath(folder)
        if os.path.isabs(folder):
            if root:
                problems.append("dir is an absolute path, even though a root is provided.")
                inside = os.path.join(root, folder.lstrip(os.sep))
                if os.path.exists(inside):
                    problems.append(
                        "If you meant to serve the filesystem folder at "
                        f"{inside!r}, remove the leading slash from dir."
                    )
        elif not root:
            problems.append("dir is a relative path and no root provided.")
        else:
            full = os.path.join(root, folder)
            if not os.path.isabs(full):
                problems.append(f"{full!r} is not an absolute path.")
        if (root or os.path.isabs(full)) and not os.path.exists(full):
            problems.append(f"{full!r} (root + dir) is not an existing filesystem path.")
    if problems:
        _warn("\n".join(problems) + f"\nsection: [{section}]\nroot: {root!r}\ndir: {folder!r}")
