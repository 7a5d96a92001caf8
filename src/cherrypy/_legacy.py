"""Old module names: one table from each historical module to the room that holds its names now.

The real module is put under the old name, so monkeypatching either is seen by both.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

#: Reached as attributes after a bare `import cherrypy`; the rooms are imported anyway.
EAGER = {
    "_cpchecker": "framework.checker",
    "_cpcompat": "framework.compat",
    "_cpconfig": "framework.config",
    "_cpdispatch": "framework.dispatch",
    "_cperror": "framework.errors",
    "_cplogging": "framework.logs",
    "_cpreqbody": "framework.body",
    "_cprequest": "framework.request",
    "_cpserver": "hosting.adapter",
    "_cptools": "lib.toolbox",
    "_cptree": "framework.tree",
    "_cpwsgi": "framework.wsgi",
    "_helper": "framework.helpers",
    "_json": "lib.jsontools",
}

#: Found when somebody imports them.
LAZY = {
    "_cpmodpy": "hosting.modpy",
    "_cpnative_server": "hosting.native",
    "_cpwsgi_server": "hosting.wsgi",
}


class LegacyFinder:
    """Find `cherrypy.<old name>` for the modules that are not imported with the package."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, old = fullname.rpartition(".")
        if package != __package__ or old not in LAZY:
            return None
        return ModuleSpec(fullname, cls)  # type: ignore[arg-type]  # a loader by duck typing

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        module = import_module(f"{__package__}.{LAZY[spec.name.rpartition('.')[2]]}")
        spec.loader_state = module.__spec__
        return module

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Run nothing: the module has run under its own name. Give it back its own spec."""
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


def install() -> None:
    """Put every old name in `sys.modules` and on the package."""
    package = sys.modules[__package__]
    for old, room in EAGER.items():
        module = import_module(f"{__package__}.{room}")
        sys.modules[f"{__package__}.{old}"] = module
        setattr(package, old, module)
    if LegacyFinder not in sys.meta_path:
        sys.meta_path.append(LegacyFinder)
