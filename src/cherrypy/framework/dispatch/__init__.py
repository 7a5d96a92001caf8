"""Dispatchers: from the path of a request to the page handler and its configuration.

Set one with `request.dispatch` in a section of the application's config.
"""

from __future__ import annotations

from .handlers import LateParamPageHandler, PageHandler, test_callable_spec
from .methods import MethodDispatcher
from .objects import Dispatcher, punctuation_to_underscores, validate_translator
from .routes import RoutesDispatcher
from .wrappers import VirtualHost, XMLRPCDispatcher

__all__ = (
    "Dispatcher",
    "LateParamPageHandler",
    "MethodDispatcher",
    "PageHandler",
    "RoutesDispatcher",
    "VirtualHost",
    "XMLRPCDispatcher",
    "punctuation_to_underscores",
    "test_callable_spec",
    "validate_translator",
)
