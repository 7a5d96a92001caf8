"""Files that hold parts of a request's body: closed when the request ends.

Law: none outlives its request, however that ends.
"""

from __future__ import annotations

from typing import Any

from .ramfile import SmallFile
from .serving import serving

__all__ = ("files_of_request", "small_file")


def files_of_request() -> list[Any]:
    """Return the list of files that are closed with the request that is being served."""
    request = serving.request
    if getattr(request, "app", None) is None:
        return []  # outside a request: whoever parses keeps the files
    files: list[Any] | None = getattr(request, "__dict__", {}).get("_temporary_files")
    if files is None:
        files = []
        hooks = getattr(request, "hooks", None)
        if hooks is not None:
            request._temporary_files = files
            hooks.attach("on_end_request", _close_all, failsafe=True, files=files)
    return files


def small_file(value: bytes) -> SmallFile:
    """Return a file in memory with that content."""
    file = SmallFile(value)
    files_of_request().append(file)
    return file


def _close_all(files: list[Any]) -> None:
    while files:
        files.pop().close()
