"""Frames: what goes between processes on a stream, each behind its length. Law: nobody's length is
believed beyond a limit.

To the collector go snapshots and answers, from it come questions.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

LENGTH = struct.Struct("!I")

#: Bytes of a packed snapshot or answer, of an answer when it is unpacked, and of a question.
MOST = 8 * 1024 * 1024
MOST_UNPACKED = 64 * 1024 * 1024
MOST_ASKED = 64 * 1024

#: A frame without a snapshot: the process ends, and says so.
FAREWELL = LENGTH.pack(0)

#: What the word of a process begins with that only collects, and would take over: see `handover`.
CLAIM = b"C"

#: What an answer begins with, which no snapshot does; then come the number of its question, and JSON.
ANSWER = b"A"
_NUMBER = struct.Struct("!I")


def frame(data: bytes) -> bytes:
    """Put a packed snapshot in a frame. Raises ValueError if it is too big."""
    if not 0 < len(data) <= MOST:
        raise ValueError(f"a snapshot of {len(data)} bytes; {MOST} are the limit")
    return LENGTH.pack(len(data)) + data


class Frames:
    """Takes a stream apart.

    most
        Bytes that a frame may have.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return what is whole now; b"" is the farewell. Raises ValueError for a length beyond reason."""
        buffer = self._buffer
        buffer += data
        found = []
        while len(buffer) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(buffer)
            if size > self.most:
                raise ValueError(f"a frame of {size} bytes; {self.most} are the limit")
            end = LENGTH.size + size
            if len(buffer) < end:
                break
            found.append(bytes(buffer[LENGTH.size : end]))
            del buffer[:end]
        return found


def question_frame(number: int, question: dict[str, Any]) -> bytes:
    """Return a question in its frame. Raises ValueError if it is too big."""
    data = json.dumps({"number": number, **question}, separators=(",", ":")).encode()
    if len(data) > MOST_ASKED:
        raise ValueError(f"a question of {len(data)} bytes; {MOST_ASKED} are the limit")
    return LENGTH.pack(len(data)) + data


def question_in(data: bytes) -> tuple[int, dict[str, Any]]:
    """Return the number and the words of a question. Raises ValueError for what is none."""
    try:
        question = json.loads(data)
        number = question.pop("number")
        _NUMBER.pack(number)
    except (AttributeError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise ValueError(f"not a question: {error!r}") from error
    return number, question


def answer_frame(number: int, answer: dict[str, Any]) -> bytes:
    """Return an answer in its frame. Raises ValueError if it is too big."""
    text = json.dumps(answer, separators=(",", ":"), default=str).encode()
    return frame(ANSWER + _NUMBER.pack(number) + zlib.compress(text, 1))


def number_in(data: bytes) -> int:
    """Return which question a frame answers; -1 if it is no answer."""
    head = len(ANSWER) + _NUMBER.size
    if data[: len(ANSWER)] != ANSWER or len(data) <= head:
        return -1
    return int(_NUMBER.unpack_from(data, len(ANSWER))[0])


def answer_in(data: bytes) -> dict[str, Any]:
    """Return what an answer says. Raises ValueError for what is none, or is too big."""
    try:
        reader = zlib.decompressobj()
        text = reader.decompress(data[len(ANSWER) + _NUMBER.size :], MOST_UNPACKED)
        if reader.unconsumed_tail or not reader.eof:
            raise ValueError("an answer that is too big, or cut short")
        answer = json.loads(text)
    except (zlib.error, RecursionError) as error:
        raise ValueError(f"not an answer: {error!r}") from error
    if not isinstance(answer, dict):
        raise ValueError("not an answer")
    return answer
