"""What arrives on a WebSocket: a text is a ``str``, a binary message ``bytes``, the rest is here."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

__all__ = [
    "ABNORMAL",
    "GOING_AWAY",
    "INVALID_PAYLOAD",
    "NORMAL",
    "NO_STATUS",
    "PROTOCOL_ERROR",
    "TOO_BIG",
    "Close",
    "Event",
    "Failure",
    "Ping",
    "Pong",
    "may_be_sent",
]

# RFC 6455 7.4.1
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005  # stands for a Close frame without a code; never sent
ABNORMAL: Final = 1006  # stands for no Close frame at all; never sent
INVALID_PAYLOAD: Final = 1007
TOO_BIG: Final = 1009

# RFC 6455 7.4.1 and the registry of 11.7. Not among them: 1004 (reserved), 1005, 1006 and 1015
# (MUST NOT be set as a status code in a Close frame).
_REGISTERED: Final = frozenset((*range(1000, 1004), *range(1007, 1015)))


def may_be_sent(code: int) -> bool:
    """Whether *code* may stand in a Close frame (RFC 6455 7.4.1, 7.4.2)."""
    # 7.4.2: 3000-3999 for libraries, 4000-4999 for private use.
    return 3000 <= code <= 4999 or code in _REGISTERED


class _Event:
    """A value: events of one kind are equal when all they hold is."""

    __slots__: tuple[str, ...] = ()

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._names())

    def _names(self) -> tuple[str, ...]:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._values() == self._values()

    def __hash__(self) -> int:
        return hash((type(self), *self._values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._values()))})"


class _Control(_Event):
    __slots__ = ("data",)

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    def _names(self) -> tuple[str, ...]:
        return ("data",)


class Ping(_Control):
    """A Ping frame (RFC 6455 5.5.2), to be answered by a Pong with the same ``data``."""

    __slots__ = ()


class Pong(_Control):
    """A Pong frame (RFC 6455 5.5.3), asked for or not."""

    __slots__ = ()


class _End(_Event):
    __slots__ = ("code", "reason")

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason

    def _names(self) -> tuple[str, ...]:
        return ("code", "reason")


class Close(_End):
    """The peer's Close frame (RFC 6455 5.5.1); ``code`` is 1005 when it held none."""

    __slots__ = ()


class Failure(_End):
    """The peer broke a rule or a limit (RFC 6455 7.1.7): send the answer, then drop the connection.

    ``code`` is the one to send: 1002, 1007 or 1009. ``reason`` never repeats what the peer sent.
    """

    __slots__ = ()


Event: TypeAlias = "str | bytes | Ping | Pong | Close | Failure"
