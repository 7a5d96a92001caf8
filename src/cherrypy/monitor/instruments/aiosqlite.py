"""aiosqlite: a page waits for a thread that runs sqlite3, whose instrument counts what it does there.

What is here is the time: that of the layer of the page that waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patches import Patches
from ..traces import DB
from .awaits import Wait


def instrument(module: Any) -> Callable[[], object]:
    """Have the waits for statements in the layer: of `aiosqlite.core`."""
    patches = Patches()
    patches.method(module.Connection, "_execute", _waiting)
    return patches.end


def _waiting(plain: Any) -> Any:
    async def _execute(self: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        name = str(getattr(function, "__name__", "")).lstrip("_")
        if not name.startswith("execute"):
            return await plain(self, function, *args, **kwargs)
        wait = Wait(DB)
        try:
            return await plain(self, function, *args, **kwargs)
        finally:
            wait.end(f"sqlite {name}")

    return _execute
