"""Bodies that come in chunks, read partly by `_fetch` and partly as a file: nothing is lost, and nothing twice."""

from __future__ import annotations

import io
import random

import pytest

from cherrypy.framework.chunks import ChunkedFile

LINES = [b"first line\n", b"\n", b"x" * 100_000 + b"\n", b"no end"]
DATA = b"".join(LINES)


class Dribble:
    """A file that gives a few bytes at a time."""

    def __init__(self, data):
        self.file = io.BytesIO(data)

    def read(self, size=-1):
        return self.file.read(min(size, 7) if size >= 0 else -1)

    def readline(self, size=-1):
        return self.file.readline(size)


def test_as_programs_take_it_apart():
    file = ChunkedFile(Dribble(b"abcdefghij"))
    assert (file.closed, file.buffer) == (False, b"")
    file._fetch()
    assert file.buffer == b"abcdefg"
    file.buffer = file.buffer[5:]
    file._fetch()
    assert (file.closed, file.buffer) == (False, b"fghij")
    file._fetch()
    file._fetch()
    assert (file.closed, file.buffer) == (True, b"fghij")
    assert file.read(2) == b"fg"
    assert file.read() == b"hij"
    assert file.read() == b""


@pytest.mark.parametrize("fetched", [0, 1, 2])
def test_lines(fetched):
    for size in (-1, None, 3, 200_000):
        file = ChunkedFile(io.BytesIO(DATA))
        for _ in range(fetched):
            file._fetch()
        found = []
        while line := file.readline(size):
            found.append(line)
        if size in (-1, None, 200_000):
            assert found == LINES
        else:
            assert max(map(len, found)) == 3
            assert b"".join(found) == DATA
    file = ChunkedFile(io.BytesIO(DATA))
    file._fetch()
    assert file.readlines() == LINES
    file = ChunkedFile(io.BytesIO(DATA))
    file._fetch()
    assert file.readlines(5) == LINES[:1]
    assert list(file) == LINES[1:]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_called_in_whatever_order(seed):
    chance = random.Random(seed)
    data = bytes(chance.choices(b"ab\n", k=3000))
    file = ChunkedFile(io.BytesIO(data))
    found = b""
    while len(found) < len(data):
        call = chance.choice(["fetch", "read", "line", "cut"])
        size = chance.choice([1, 5, 64, 700])
        if call == "fetch":
            file._fetch()
        elif call == "read":
            found += file.read(size)
        elif call == "line":
            found += file.readline(chance.choice([-1, size]))
        else:
            found += file.buffer[:size]
            file.buffer = file.buffer[size:]
    assert found == data


def test_the_end():
    inner = io.BytesIO(b"abc")
    file = ChunkedFile(inner)
    file._fetch()
    file.close()
    assert file.closed
    assert inner.closed
    assert file.buffer == b""
    assert file.getvalue is not None  # whatever else the file has
