"""Hooks that run when a module has been imported, whoever imports it, or at once if it is there.

Law: what `import` gives, and what it raises, is what it would be without them.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

Hook = Callable[[ModuleType], object]


class Finder:
    """Lets the others find a module, and has its hooks run after its code has.

    broken
        Told of a hook that raised, with the module's name; the hook is forgotten.
    """

    def __init__(self, broken: Callable[[str, Exception], object]) -> None:
        self.broken = broken
        self._hooks: dict[str, list[Hook]] = {}
        self._halves: list[str] = []  # modules that were being imported when they were asked for
        self._busy = threading.local()

    def begin(self) -> None:
        """Be asked first for modules."""
        sys.meta_path.insert(0, self)

    def end(self) -> None:
        """Be asked no more, and forget all hooks."""
        self._hooks.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def after(self, name: str, hook: Hook) -> None:
        """Call `hook(module)` once the module `name` is imported: now, if it is."""
        module = sys.modules.get(name)
        if module is not None and not _half(module):
            self._run(hook, module)
            return
        self._hooks.setdefault(name, []).append(hook)
        if module is not None:
            self._halves.append(name)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> Any:
        """Find nothing; but see to it that the loader that the others find tells of its end."""
        if self._halves:
            self._look_again()
        if name not in self._hooks or getattr(self._busy, "name", None) == name:
            return None
        before = getattr(self._busy, "name", None)
        self._busy.name = name
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._busy.name = before
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader, name)
        return spec

    def _follow(self, loader: Any, name: str) -> None:
        plain = getattr(loader, "exec_module", None)
        if plain is None or isinstance(loader, type):
            return

        def exec_module(module: ModuleType) -> None:
            if module.__name__ == name:
                loader.__dict__.pop("exec_module", None)
            plain(module)
            if module.__name__ == name:
                self.loaded(name, module)

        try:
            loader.exec_module = exec_module
        except AttributeError:  # it has no place for one: this module goes without
            return

    def _look_again(self) -> None:
        """With the next import: modules that had begun before we were asked may be whole by now."""
        for name in self._halves.copy():
            module = sys.modules.get(name)
            if module is None or not _half(module):
                self._halves.remove(name)
                if module is not None:
                    self.loaded(name, module)

    def loaded(self, name: str, module: ModuleType) -> None:
        """A module's code has run."""
        for hook in self._hooks.pop(name, []):
            self._run(hook, module)

    def _run(self, hook: Hook, module: ModuleType) -> None:
        try:
            hook(module)
        except Exception as error:
            self.broken(module.__name__, error)


def _half(module: ModuleType) -> bool:
    """Whether a module is being imported, by this or another thread, and lacks names."""
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
