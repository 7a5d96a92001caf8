"""Reading an entity through pieces of any size."""

from typing import Any

import pytest

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.sized import SizedReader


class Dripping:
    """A file that gives one byte at a time, as a socket may."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def read(self, size: int = -1) -> bytes:
        piece = self.data[self.at : self.at + 1]
        self.at += len(piece)
        return piece


def reader(data: bytes, **more: Any) -> SizedReader:
    return SizedReader(Dripping(data), more.pop("length", None), more.pop("maxbytes", None))


def test_short_reads_are_put_together_without_recursion() -> None:
    data = bytes(range(256)) * 200
    assert reader(data).read(len(data)) == data
    assert reader(data).read(len(data) + 5) == data
    assert reader(data).read() == data


def test_length_and_limit_hold_for_short_reads() -> None:
    assert reader(b"abcdef", length=4).read(10) == b"abcd"
    with pytest.raises(HTTPError) as caught:
        reader(b"abcdef", maxbytes=3).read(10)
    assert caught.value.code == 413


def test_lines_of_short_reads() -> None:
    assert reader(b"one\ntwo\nthree").readlines() == [b"one\n", b"two\n", b"three"]
