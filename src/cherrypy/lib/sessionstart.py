"""Whether the stores of sessions that the configuration names can be used: found out when the engine starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..framework.application import Application
from ..framework.site import site
from . import sessions
from .sessionpages import config_of, configured

__all__ = ("check_stores",)

_PREFIX = "tools.sessions."
# What is of the cookie or the tool, and not of the store.
_NOT_OF_THE_STORE = {*sessions.init.__code__.co_varnames[: sessions.init.__code__.co_argcount]}
_NOT_OF_THE_STORE |= {"on", "locking", "priority", "storage_class"}


def check_stores() -> None:
    """Have each store that is switched on somewhere tried out once.

    Raises what the store says: OSError with a clear text when it cannot be used, ValueError for
    settings that are none, ImportError for a library that is missing.
    """
    done: list[tuple[Any, dict[str, Any]]] = []
    for settings in _switched_on():
        cls = sessions._class_of(settings.get("storage_type"), settings.get("storage_class"))
        check = getattr(cls, "check", None)
        own = {name: value for name, value in settings.items() if name not in _NOT_OF_THE_STORE}
        if check is not None and (cls, own) not in done:
            done.append((cls, own))
            check(**own)


def _switched_on() -> Iterator[dict[str, Any]]:
    """Yield the settings of the tool for each section, and each page with some of its own, where it is on."""
    general = _of(site.config)
    for app in list(site.tree.apps.values()):
        if not isinstance(app, Application):
            continue  # a grafted one, whatever its attributes are called
        config = app.config
        sections = {path: _of(one) for path, one in config.items() if str(path).startswith("/")}
        for root in _roots(app, config):
            first = (("/", config_of(root)),)
            chains = [(*first, *_upwards(path, sections)) for path in sections or {"/": {}}]
            for chain in (*chains, *configured(root)):
                settings = dict(general)
                for path, own in chain:
                    # What the configuration says of a path counts more than what is on the page.
                    settings |= _of(own) | sections.get(path, {})
                if settings.get("on"):
                    yield settings


def _roots(app: Any, config: dict[str, Any]) -> list[Any]:
    """Return the objects under which the pages of an application are: its root, and what routes lead to."""
    roots = [app.root]
    for section in list(config.values()):
        dispatch = section.get("request.dispatch") if isinstance(section, dict) else None
        controllers = getattr(dispatch, "__dict__", {}).get("controllers")
        if isinstance(controllers, dict):
            roots += list(controllers.values())
    return roots


def _upwards(path: str, sections: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the sections that a path is in, and nothing of their own: the shortest first."""
    return [
        (other, {})
        for other in sorted(sections, key=len)
        if path == other or path.startswith(other.rstrip("/") + "/")
    ]


def _of(config: Any) -> dict[str, Any]:
    if not isinstance(config, dict):
        return {}
    found = {key: value for key, value in config.items() if str(key).startswith(_PREFIX)}
    return {key[len(_PREFIX) :]: value for key, value in found.items()}
