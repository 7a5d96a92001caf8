"""Old module names: one table from each historical module to the room that holds its names now.

The real module is put under the old name, so monkeypatching either is seen by both.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

#: Old name -> room.
ROOMS = {
    "_cpchecker": "framework.checker",
    "_cpcompat": "framework.compat",
    "_cpconfig": "framework.config",
    "_cpdispatch": "framework.dispatch",
    "_cperror": "framework.errors",
    "_cplogging": "framework.logs",
    "_cpmodpy": "hosting.modpy",
    "_cpnative_server": "hosting.native",
    "_cpreqbody": "framework.body",
    "_cprequest": "framework.request",
    "_cpserver": "hosting.adapter",
    "_cptools": "lib.toolbox",
    "_cptree": "framework.tree",
    "_cpwsgi": "framework.wsgi",
    "_cpwsgi_server": "hosting.wsgi",
    "_helper": "framework.helpers",
    "_json": "lib.jsontools",
}


class LegacyFinder:
    """Finds `cherrypy.<old name>` when somebody imports it."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, old = fullname.rpartition(".")
        if package != __package__ or old not in ROOMS:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(fullname, cls)  # type: ignore[arg-type]  # a loader by duck typing

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        from importlib import import_module

        module = import_module(f"{__package__}.{ROOMS[spec.name.rpartition('.')[2]]}")
        spec.loader_state = module.__spec__
        return module

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Run nothing: the module has run under its own name. Give it back its own spec."""
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


def install() -> None:
    """Show the rooms under their old names, on the package and to `import`."""
    package = sys.modules[__package__]
    for old, room in ROOMS.items():
        # The rooms that the package has not imported by itself wait for the first import.
        module = sys.modules.get(f"{__package__}.{room}")
        if module is not None:
            setattr(package, old, module)
    if LegacyFinder not in sys.meta_path:
        sys.meta_path.append(LegacyFinder)
