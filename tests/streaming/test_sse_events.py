"""Events: what is sent for them, and that no value can begin a line."""

from __future__ import annotations

import pytest

from cherrypy.lib.sse import Event


@pytest.mark.parametrize(
    ("event", "sent"),
    [
        (Event("one"), "data: one\n\n"),
        (Event("one\ntwo\r\nthree\rfour"), "data: one\ndata: two\ndata: three\ndata: four\n\n"),
        (Event(""), "data: \n\n"),
        (Event("\n"), "data: \ndata: \n\n"),
        (Event(" leading"), "data:  leading\n\n"),
        (Event("grün \u2028 \x0b \x85"), "data: grün \u2028 \x0b \x85\n\n"),
        (
            Event("x", event="tick", id="7", retry=2.5),
            "id: 7\nevent: tick\nretry: 2500\ndata: x\n\n",
        ),
        (Event("x", id=7), "id: 7\ndata: x\n\n"),
        (Event("x", id=""), "id: \ndata: x\n\n"),
        (Event(retry=1), "retry: 1000\n\n"),
        (Event({"a": "ö\n"}), 'data: {"a":"ö\\n"}\n\n'),
        (Event([1, None]), "data: [1,null]\n\n"),
        (Event(b"gr\xc3\xbcn\xff"), "data: grün\ufffd\n\n"),
        (Event("\ud800"), "data: ?\n\n"),
        (Event("x", retry=-1), "retry: 0\ndata: x\n\n"),
    ],
)
def test_what_is_sent(event: Event, sent: str) -> None:
    assert event.encode() == sent.encode()


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\r\ndata: evil", "\n"])
@pytest.mark.parametrize("field", ["event", "id"])
def test_no_value_can_begin_a_line(field: str, bad: str) -> None:
    with pytest.raises(ValueError, match="must be one line"):
        Event("x", **{field: bad})


def test_an_id_with_a_nul_would_be_ignored() -> None:
    with pytest.raises(ValueError, match="NUL"):
        Event("x", id="a\0b")


def test_data_that_json_cannot_say() -> None:
    with pytest.raises(TypeError):
        Event(object())
