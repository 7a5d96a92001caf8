"""Engines of templates: what they take is the layer `template`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..patches import Patches
from ..shards import own
from ..traces import TEMPLATE


def jinja2(module: Any) -> Callable[[], object]:
    """Have rendering timed, whole and in parts: of `jinja2`."""
    patches = Patches()
    patches.method(module.Template, "render", _rendering("jinja2", "name"))
    patches.method(module.Template, "generate", _generating("jinja2", "name"))
    return patches.end


def mako(module: Any) -> Callable[[], object]:
    """Have rendering timed: of `mako.template`."""
    patches = Patches()
    for name in ("render", "render_unicode", "render_context"):
        patches.method(module.Template, name, _rendering("mako", "uri"))
    return patches.end


def genshi(module: Any) -> Callable[[], object]:
    """Have rendering timed, in which the events of a template are made: of `genshi.core`."""
    patches = Patches()
    patches.method(module.Stream, "render", _rendering("genshi", ""))
    return patches.end


def _label(engine: str, template: Any, attribute: str) -> str:
    """The label of a step: the template's name, if it has one."""
    name = getattr(template, attribute, None) if attribute else None
    if not isinstance(name, str) or name.startswith("memory:") or name == "<template>":
        return engine
    return f"{engine} {name[-80:]}"


def _rendering(engine: str, attribute: str) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        def render(self: Any, *args: Any, **kwargs: Any) -> Any:
            trace = own.trace
            if trace.layer == TEMPLATE:  # of a template in another one
                return plain(self, *args, **kwargs)
            before = trace.enter(TEMPLATE)
            began = trace.since
            try:
                return plain(self, *args, **kwargs)
            finally:
                trace.leave(before, _label(engine, self, attribute), began)

        return render

    return make


def _generating(engine: str, attribute: str) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        def generate(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            parts = plain(self, *args, **kwargs)
            label, end = _label(engine, self, attribute), object()
            while True:
                trace = own.trace
                before = trace.enter(TEMPLATE)
                began = trace.since
                try:
                    part = next(parts, end)
                finally:
                    trace.leave(before, label, began)
                label = ""  # one step, and all of the time
                if part is end:
                    return
                yield part

        return generate

    return make
