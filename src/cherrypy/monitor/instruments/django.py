"""Django's models: what querysets and saved objects take is the layer `model`, without the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patches import Patches
from .models import Models

MODELS = Models("django")

#: Methods of querysets, and what they are; what calls another of them is counted alone.
_QUERYSET = {
    "get": "get",
    "first": "get",
    "last": "get",
    "latest": "get",
    "earliest": "get",
    "_fetch_all": "query",
    "iterator": "query",
    "aggregate": "query",
    "in_bulk": "query",
    "count": "count",
    "exists": "exists",
    "create": "create",
    "bulk_create": "create",
    "get_or_create": "create",
    "update_or_create": "update",
    "update": "update",
    "bulk_update": "update",
    "delete": "delete",
}


def instrument(module: Any) -> Callable[[], object]:
    """Have the operations of all models counted: of `django.db.models`."""
    patches = Patches()
    queryset = module.QuerySet
    for name, operation in _QUERYSET.items():
        if name == "iterator":
            patches.method(queryset, name, _iterating)
        elif name == "_fetch_all":
            patches.method(queryset, name, _fetching)
        else:
            patches.method(queryset, name, MODELS.method(operation))
    patches.method(module.Model, "save_base", _saving)
    patches.method(module.Model, "delete", MODELS.method("delete"))
    return patches.end


def _saving(plain: Any) -> Any:
    """What is saved is new, or has been there before."""
    create, update = MODELS.method("create")(plain), MODELS.method("update")(plain)

    def save_base(self: Any, *args: Any, **kwargs: Any) -> Any:
        return (create if self._state.adding else update)(self, *args, **kwargs)

    return save_base


def _fetching(plain: Any) -> Any:
    """A queryset is fetched when it is first looked at; later looks are none of the database's."""
    counted = MODELS.method("query")(plain)

    def _fetch_all(self: Any) -> Any:
        if self._result_cache is not None:
            return plain(self)
        return counted(self)

    return _fetch_all


def _iterating(plain: Any) -> Any:
    def iterator(self: Any, *args: Any, **kwargs: Any) -> Any:
        MODELS.count("query", 1)
        return Models.each(plain(self, *args, **kwargs))

    return iterator
