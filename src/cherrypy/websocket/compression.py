"""What `compression` may be, for the server and for the client: True, a dict of settings, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kirsch.wire.websocket.deflate import Settings

__all__ = ("settings_of",)


def settings_of(compression: bool | Mapping[str, Any] | None) -> Settings | None:
    """Return the settings of permessage-deflate; None: it is not wanted.

    Raises TypeError and ValueError for settings that there are not, or out of range.
    """
    if not compression:
        return None
    return Settings(**(compression if isinstance(compression, Mapping) else {}))
