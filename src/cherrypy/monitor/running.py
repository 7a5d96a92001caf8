"""Running a program in this process as Python itself would: its `__main__`, its arguments, its end.

Law: the program cannot tell, but for `import cherrypy` having been done.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any


class NotRunnableError(Exception):
    """There is no such program. `status` is what Python would end with."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


def run(target: str, arguments: list[str], module: bool = False) -> None:
    """Run a program to its end.

    target
        The path of a script, or of a folder or archive with a `__main__.py`; or the name of a module.
    arguments
        What goes into `sys.argv` behind it.
    module
        It is the name of a module, as after `python -m`.

    Raises NotRunnableError, and what ends the program: SystemExit, KeyboardInterrupt. Any other
    exception is shown as Python shows it, and becomes a SystemExit of 1.
    """
    main = ModuleType("__main__")
    vars(main)["__builtins__"] = builtins
    code = _module(target, main) if module else _script(target, main)
    sys.argv[:] = [main.__file__ if module and main.__file__ else target, *arguments]
    replaced = sys.modules["__main__"]  # kept: this function may have been called by it
    sys.modules["__main__"] = main
    try:
        exec(code, vars(main))
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        trace = error.__traceback__
        _show(error, trace.tb_next if trace is not None else None)
        raise SystemExit(1) from None
    finally:
        del replaced


def _script(path: str, main: ModuleType) -> CodeType:
    if os.path.isdir(path) or _is_archive(path):
        return _folder(path, main)
    name = os.path.abspath(path)
    try:
        with io.open_code(name) as stream:
            source = stream.read()
    except OSError as error:
        raise NotRunnableError(
            f"can't open file {name!r}: [Errno {error.errno}] {error.strerror}", 2
        ) from None
    if not _is_safe():
        sys.path[0] = os.path.dirname(os.path.realpath(name))
    _describe(main, None, name, SourceFileLoader("__main__", name))
    return _compiled(source, name)


def _compiled(source: bytes, name: str) -> CodeType:
    try:
        code: CodeType = compile(source, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        _show(error, None)
        raise SystemExit(1) from None
    return code


def _show(error: BaseException, trace: TracebackType | None) -> None:
    """Show an exception without our frames; hooks read either of the two."""
    error.__traceback__ = trace
    sys.excepthook(type(error), error, trace)


def _is_archive(path: str) -> bool:
    if not os.path.isfile(path) or path.endswith(".py"):
        return False
    from zipfile import is_zipfile

    return is_zipfile(path)


def _folder(path: str, main: ModuleType) -> CodeType:
    path = os.path.abspath(path)
    spec = PathFinder.find_spec("__main__", [path])
    if spec is None:
        raise NotRunnableError(f"can't find '__main__' module in {path!r}", 1)
    if _is_safe():
        sys.path.insert(0, path)
    else:
        sys.path[0] = path
    return _found(spec, main)


def _module(name: str, main: ModuleType) -> CodeType:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(name + ".__main__")
            if spec is None:
                words = f"No module named {name}.__main__; {name!r} is a package and cannot be directly executed"
                raise NotRunnableError(words, 1)
    except (ModuleNotFoundError, ValueError) as error:
        raise NotRunnableError(
            f"Error while finding module specification for {name!r} ({error})", 1
        ) from None
    if spec is None:
        raise NotRunnableError(f"No module named {name}", 1)
    return _found(spec, main)


def _found(spec: ModuleSpec, main: ModuleType) -> CodeType:
    loader: Any = spec.loader
    code: CodeType | None = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise NotRunnableError(f"No code object available for {spec.name}", 1)
    _describe(main, spec, spec.origin, loader)
    return code


def _describe(main: ModuleType, spec: ModuleSpec | None, path: str | None, loader: Any) -> None:
    main.__spec__ = spec
    main.__package__ = None if spec is None else spec.parent
    main.__file__ = path
    main.__loader__ = loader
    vars(main)["__cached__"] = None if spec is None else spec.cached
    vars(main)["__annotations__"] = {}


def _is_safe() -> bool:
    """Whether Python was told to leave the folder of the program out of `sys.path`."""
    return bool(getattr(sys.flags, "safe_path", False) or sys.flags.isolated)
