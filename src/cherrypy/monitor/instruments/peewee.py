"""peewee: queries are the layer `model`; what their driver takes is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patches import Patches
from .models import Models, layered

MODELS = Models("peewee")


def instrument(module: Any) -> Callable[[], object]:
    """Have the queries of all models counted."""
    kinds = ((module.Insert, "create"), (module.Update, "update"), (module.Delete, "delete"))

    def operation(query: Any, *args: Any, **kwargs: Any) -> str:
        return next((name for kind, name in kinds if isinstance(query, kind)), "query")

    patches = Patches()
    patches.method(module.BaseQuery, "execute", MODELS.method(operation))
    for owner in (module.SelectBase, module.BaseModelSelect):
        for name in ("count", "exists", "get"):
            if name in vars(owner):
                patches.method(owner, name, MODELS.method(name))
    for name in ("iterate", "fill_cache"):
        patches.method(module.CursorWrapper, name, layered)
    return patches.end
