"""What processes tell each other: whole, or refused in words that repeat nothing of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherrypy.websocket.envelopes import Envelope, Malformed, pack, unpack

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    room=TEXT.filter(lambda name: len(name) <= 200), data=st.one_of(TEXT, st.binary()), sender=TEXT
)
def test_what_was_packed_comes_out(room: str, data: str | bytes, sender: str) -> None:
    raw = pack(room, data, sender[:16])
    assert unpack(raw, 10_000) == Envelope(room, data, sender[:16])


@given(st.binary())
def test_garbage_is_refused_in_one_way(raw: bytes) -> None:
    try:
        unpack(raw, 10)
    except Malformed as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "no first line"),
        (b"{}", "no first line"),
        (b"x" * 5000 + b"\n", "no first line"),
        (b"nonsense\nx", "no JSON"),
        (b"[" * 4000 + b"\nx", "no JSON"),
        (b"[]\nx", "no JSON object"),
        (b'{"room": 1}\nx', "must be strings"),
        (b'{"from": []}\nx', "must be strings"),
        (b'{"binary": 0}\nx', "true or false"),
        (b"{}\n\xff", "not UTF-8"),
        (b"{}\n12345678901", "larger than 10 bytes"),
    ],
)
def test_why_it_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        unpack(raw, 10)


def test_the_largest_name_fits_its_line() -> None:
    room = "\U0001f33b" * 200
    assert unpack(pack(room, "x", "0" * 16), 1).room == room
