"""What the process owns: engine, config, log, tree, tools, server; one object, made once.

Law: rooms say `site.log`, never `from ... import log`: users rebind these names on the package,
and the one object shares its namespace (`site.__dict__ = globals()` in the front door).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..process.wspbus import Bus
    from .checker import Checker
    from .config import Config
    from .tools import Toolbox
    from .tree import Tree

__all__ = ("Site", "site")


class Site:
    """The owner. Its attributes are made and wired together when the first of them is asked for.

    That moment cannot be the import of this module, which everything imports.
    """

    if TYPE_CHECKING:
        engine: Bus
        config: Config
        log: Any
        tree: Tree
        tools: Toolbox
        checker: Checker
        server: Any
        servers: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        # From now on attributes are found, or not, without coming here: a class with a
        # __getattr__ makes every access slower.
        del Site.__getattr__
        from .wiring import wire

        wire(self)
        return getattr(self, name)


site = Site()
