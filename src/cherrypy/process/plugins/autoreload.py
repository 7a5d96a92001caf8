"""Restarting the process when the code it runs has changed.

Law: never into code that does not compile, and never in a frozen application.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING

from cherrypy.process.plugins.monitor import Monitor

if TYPE_CHECKING:
    from cherrypy.process.wspbus import Bus

__all__ = ("Autoreloader",)

try:
    # Relative module paths were made before anybody could have changed the directory.
    _module__file__base = os.getcwd()
except OSError:
    _module__file__base = os.path.abspath(os.sep)

_VENDOR = re.compile(r"[\\/](site-packages|dist-packages)[\\/]")


class Autoreloader(Monitor):
    """Watches the files of the loaded modules, and those in ``files``.

    ``files`` is a set of further names to watch. ``match`` is a regular expression for the names
    of the modules to watch, matched from the beginning. ``frequency`` is the pause between looks
    in seconds. With ``ignore_vendor`` the standard library and what lies in site-packages is
    left out.
    """

    files: set[str]
    frequency: float = 1
    match: str = ".*"
    ignore_vendor: bool = False

    def __init__(self, bus: Bus, frequency: float = 1, match: str = ".*") -> None:
        self.mtimes: dict[str, float | None] = {}
        self.files = set()
        self.match = match
        self._refused: dict[str, object] = {}  # file -> the version that did not compile
        super().__init__(bus, self.run, frequency)

    def start(self) -> None:
        """Start looking, from what the files are now."""
        if getattr(sys, "frozen", False):
            self.bus.log("Autoreload is off: a frozen application has no source to watch.")
            return
        if self.thread is None:
            self.mtimes = {}
            self._refused = {}
            if self.frequency > 0:
                # Now, not at the thread's first look: what is saved in between counts.
                for name in self.sysfiles() | self.files:
                    if name:
                        self._changed(name)
        super().start()

    start.priority = 70  # type: ignore[attr-defined] # read by Bus.subscribe

    def sysfiles(self) -> set[str]:
        """Return the files of the loaded modules whose names match."""
        matches = re.compile(self.match).match
        found = set()
        for name, module in list(sys.modules.items()):
            if module is not None and matches(name):
                filename = self._file_for_module(module)
                if filename and not (self.ignore_vendor and _is_vendor(filename)):
                    found.add(filename)
        return found

    @classmethod
    def _file_for_module(cls, module: ModuleType) -> str | None:
        """Return the file to watch for ``module``: its zip archive, or its source."""
        return cls._archive_for_zip_module(module) or cls._file_for_file_module(module)

    @staticmethod
    def _archive_for_zip_module(module: ModuleType) -> str | None:
        archive = getattr(_attribute(module, "__loader__"), "archive", None)
        return archive if isinstance(archive, str) else None

    @classmethod
    def _file_for_file_module(cls, module: ModuleType) -> str | None:
        filename = _attribute(module, "__file__")
        if not filename or not isinstance(filename, str):
            return None
        return cls._make_absolute(filename)

    @staticmethod
    def _make_absolute(filename: str) -> str:
        if os.path.isabs(filename):
            return filename
        return os.path.normpath(os.path.join(_module__file__base, filename))

    def run(self) -> None:
        """Look once; restart the bus when something changed and all that changed compiles."""
        if getattr(sys, "frozen", False):
            return
        changed = [name for name in self.sysfiles() | self.files if name and self._changed(name)]
        # All are asked, so that each broken file is named, and a deleted one seen twice.
        refused = [name for name in changed if not self._acceptable(name)]
        if refused or not changed:
            return
        self.bus.log(f"Restarting because {', '.join(sorted(changed))} changed.")
        thread = self.thread
        if thread is not None:
            thread.cancel()
            self.bus.log(f"Stopped thread {thread.name!r}.")
        self.bus.restart()

    def _changed(self, filename: str) -> bool:
        """Return whether ``filename`` differs from the first look. A new name is remembered."""
        if filename.endswith(".pyc"):
            filename = filename[:-1]
        try:
            mtime: float | None = os.stat(filename).st_mtime
        except OSError:
            mtime = None  # Not there: never was (built in), or deleted.
        if filename not in self.mtimes:
            self.mtimes[filename] = mtime
            return False
        known = self.mtimes[filename]
        if known == mtime:
            self._refused.pop(filename, None)
            return False
        if known is None:
            # It never existed when we looked before: what runs was not made of it.
            self.mtimes[filename] = mtime
            return False
        return True

    def _acceptable(self, filename: str) -> bool:
        """Return whether a changed file can be loaded; says once of each version that cannot."""
        if filename.endswith(".pyc"):
            filename = filename[:-1]
        try:
            stat = os.stat(filename)
            version: object = (stat.st_mtime_ns, stat.st_size)
        except OSError:
            version = None
        if version is None:
            # Editors save by delete and rename: only gone twice in a row is gone.
            gone = filename in self._refused and self._refused[filename] is None
            self._refused[filename] = None
            return gone
        if self._refused.get(filename) == version:
            return False
        reason = _why_not(filename)
        if reason is None:
            return True
        self._refused[filename] = version
        self.bus.log(f"Not restarting: {filename} has changed but {reason}.", level=30)
        return False


Autoreloader.files = None  # type: ignore[assignment] # Historical: readable on the class.


def _attribute(module: object, name: str) -> object:
    """Read an attribute of whatever is in ``sys.modules``, without waking lazy modules."""
    try:
        return vars(module).get(name)
    except TypeError:
        pass  # No __dict__: somebody put another object there.
    try:
        return getattr(module, name, None)
    except Exception:  # Objects that pretend to be modules raise anything.
        return None


def _is_vendor(filename: str) -> bool:
    if _VENDOR.search(filename):
        return True
    return filename.startswith(os.path.dirname(os.__file__) + os.sep)


def _why_not(filename: str) -> str | None:
    """Return why a Python file cannot be compiled, None when it can or is something else."""
    if not filename.endswith((".py", ".pyw")):
        return None
    try:
        with open(filename, "rb") as file:
            source = file.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, filename, "exec", dont_inherit=True)
    except SyntaxError as exc:
        return f"does not compile: line {exc.lineno}: {exc.msg}"
    except (OSError, ValueError) as exc:
        return f"cannot be read: {exc}"
    except (RecursionError, MemoryError):
        return None  # Too deep for compile() in this thread proves nothing.
    return None
