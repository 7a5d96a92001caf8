"""Assertions about what stands in a log file between two marks."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

UUID4 = re.compile(
    rb"(?<![0-9a-fA-F])[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    re.IGNORECASE,
)

Line = str | bytes


def _bytes(value: Line) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else value


class LogCase:
    """Mix into a ``unittest.TestCase``; set ``logfile`` to the name of the log.

    Take a mark with :meth:`markLog` before the action: the assertions then look at what was
    written since that mark, up to the next one.
    """

    logfile: str | None = None
    lastmarker: str | bytes | None = None
    markerPrefix: bytes = b"test suite marker: "
    interactive: bool = False

    def _name(self) -> str:
        assert self.logfile, "set logfile to the name of the log"
        return self.logfile

    def _handleLogError(
        self, msg: str, data: list[bytes], marker: Line | None, pattern: object
    ) -> None:
        print()
        print(f"    ERROR: {msg}")
        if self.interactive:
            print(f"    Marker: {marker!r}  Pattern: {pattern!r}")
            print(b"".join(data).decode("utf-8", "replace"))
            print("    [I]gnore, [R]aise, or sys.e[X]it >> ")
            choice = (sys.stdin.readline() or "R")[:1].upper()
            if choice == "I":
                return
            if choice == "X":
                self.exit()
        raise AssertionError(msg)

    def exit(self) -> NoReturn:
        """End the whole test run."""
        sys.exit()

    def emptyLog(self) -> None:
        """Make the log empty."""
        with open(self._name(), "wb"):
            pass

    def markLog(self, key: str | None = None) -> None:
        """Write a line that the assertions start from; ``key`` names it."""
        marker = key if key is not None else str(time.time())
        self.lastmarker = marker
        with open(self._name(), "ab+") as log:
            # A line that is being written ends here, so that the mark has its own.
            if log.tell():
                log.seek(-1, os.SEEK_END)
                if log.read(1) != b"\n":
                    log.write(b"\n")
            log.write(self.markerPrefix + _bytes(marker) + b"\n")

    def _read_marked_region(self, marker: Line | None = None) -> list[bytes]:
        """The lines after ``marker`` (by default the last one taken), up to the next mark."""
        with open(self._name(), "rb") as log:
            lines = log.readlines()
        marker = marker or self.lastmarker
        if marker is None:
            return lines
        mark = self.markerPrefix + _bytes(marker)
        found: list[bytes] = []
        inside = False
        for line in lines:
            if inside:
                if line.startswith(self.markerPrefix):
                    break
                found.append(line)
            elif line.rstrip(b"\r\n") == mark:
                inside = True
        return found

    def assertInLog(self, line: Line, marker: Line | None = None) -> None:
        """Fail unless the (partial) line is in the log."""
        data = self._read_marked_region(marker)
        if not any(_bytes(line) in one for one in data):
            self._handleLogError(f"{line!r} not found in log", data, marker, line)

    def assertNotInLog(self, line: Line, marker: Line | None = None) -> None:
        """Fail if the (partial) line is in the log."""
        data = self._read_marked_region(marker)
        if any(_bytes(line) in one for one in data):
            self._handleLogError(f"{line!r} found in log", data, marker, line)

    def assertValidUUIDv4(self, marker: Line | None = None) -> None:
        """Fail unless a random (version 4) UUID is in the log."""
        data = self._read_marked_region(marker)
        if not any(UUID4.search(one) for one in data):
            self._handleLogError("UUIDv4 not found in log", data, marker, UUID4.pattern)

    def assertLog(
        self,
        sliceargs: int | tuple[int, ...],
        lines: Line | Sequence[Line],
        marker: Line | None = None,
    ) -> None:
        """Fail unless the log lines hold these.

        :param sliceargs: the index of one line, or the arguments of a slice of lines.
        :param lines: what that line holds, or what the lines of the slice hold, in their order.
        """
        data = self._read_marked_region(marker)
        if isinstance(sliceargs, int):
            wanted = lines if isinstance(lines, (str, bytes)) else lines[0]
            line = data[sliceargs] if -len(data) <= sliceargs < len(data) else b""
            if _bytes(wanted) not in line:
                msg = f"{_bytes(wanted)!r} not found on log line {sliceargs!r}"
                self._handleLogError(msg, [line], marker, wanted)
            return
        several = [lines] if isinstance(lines, (str, bytes)) else list(lines)
        region = data[slice(*sliceargs)]
        for number, wanted in enumerate(several):
            line = region[number] if number < len(region) else b""
            if _bytes(wanted) not in line:
                self._handleLogError(f"{_bytes(wanted)!r} not found in log", region, marker, wanted)
