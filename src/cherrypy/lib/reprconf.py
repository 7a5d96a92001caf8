"""The config language of the framework under its historical name."""

from __future__ import annotations

from cherrypy.framework.reprconf import (
    Config,
    NamespaceSet,
    Parser,
    _Builder,
    attributes,
    modules,
    unrepr,
)

__all__ = ("Config", "NamespaceSet", "Parser", "_Builder", "attributes", "modules", "unrepr")
