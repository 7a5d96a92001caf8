"""Small uploads as files in memory, which become real files for those who need a descriptor.

Law: a peer decides how many parts a request has, so a part does not cost a descriptor by itself.
"""

from __future__ import annotations

import io
from typing import Any

__all__ = ("SmallFile",)


class SmallFile(io.BytesIO):
    """A file in memory; `fileno` gives the descriptor of a copy on disk, made when asked for."""

    _copy: Any = None

    def fileno(self) -> int:
        """Return the descriptor of a temporary file with the same content and position."""
        if self._copy is None:
            import tempfile

            self._copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this one
            self._copy.write(self.getbuffer())
            self._copy.seek(self.tell())
        number: int = self._copy.fileno()
        return number

    def close(self) -> None:
        """Give the memory back, and the copy."""
        if self._copy is not None:
            self._copy.close()
        super().close()
