"""Frames without state: masks and headers, against a reading written anew."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websocket_corpus import KEY, frame, masked

from kirsch.wire.websocket.frames import Flaw, build, mask, mask_plainly, read_header


@pytest.mark.parametrize("function", [mask, mask_plainly])
@pytest.mark.parametrize(
    "size", [*range(70), 511, 512, 513, 4095, 4096, 4097, 8192, 8193, 12289, 70001]
)
def test_masks(function, size):
    data = os.urandom(size)
    for key in (KEY, bytes(4), b"\xff\0\0\0", b"\0\0\0\xff"):
        done = function(data, key)
        assert done == masked(data, key)
        assert type(done) is bytes


def test_the_mask_is_plain_where_websockets_is_missing():
    code = (
        "import sys; sys.modules['websockets'] = None\n"
        "from kirsch.wire.websocket import frames\n"
        "assert frames.mask is frames.mask_plainly\n"
        "from kirsch.wire.websocket.protocol import Protocol\n"
        "a, b = Protocol(client=True), Protocol()\n"
        "print(b.feed(a.text('Grüße' * 2000)) == ['Grüße' * 2000])"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
@pytest.mark.parametrize("first", [0x81, 0x82, 0x01, 0x00, 0x80, 0xC1])
@pytest.mark.parametrize("key", [None, KEY])
def test_frames_are_built_as_the_standard_draws_them(size, first, key):
    payload = bytes(range(256)) * 274
    expected = frame(first, payload[:size], key=key)
    assert build(first, payload[:size], key or b"") == expected
    header = read_header(expected, 0, key is not None, True)
    start = len(expected) - size
    assert header == (first, size, key or b"", start)


@given(st.binary(max_size=20), st.booleans(), st.booleans(), st.integers(0, 3))
def test_headers_are_judged_alike_at_any_offset(data, is_masked, extended, before):
    """What comes before and after does not matter, and None turns into nothing but an answer."""

    def read(data, at):
        try:
            return read_header(data, at, is_masked, extended)
        except Flaw as flaw:
            return flaw.args

    if not data:
        return
    header = read(data, 0)
    moved = read(b"x" * before + data, before)
    if isinstance(header, tuple) and len(header) == 4:
        first, length, key, start = header
        assert moved == (first, length, key, start and start + before)
        if start:
            assert read(data + b"more", 0) == header
    else:
        assert moved == header
        if header is not None:
            assert read(data + b"more", 0) == header
