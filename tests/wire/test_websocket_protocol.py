"""What is sent: frames of both roles, order, the closing handshake; and the two roles with each other."""

import array

import pytest
from websocket_corpus import KEY, close, frame

from kirsch.wire.websocket import protocol as module
from kirsch.wire.websocket.events import Close, Failure, Ping, Pong, may_be_sent
from kirsch.wire.websocket.protocol import Protocol


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setattr(module.os, "urandom", lambda size: KEY[:size])


def test_a_server_does_not_mask():
    one = Protocol()
    assert one.text("Hello") == b"\x81\x05Hello"
    assert one.binary(b"Hello") == b"\x82\x05Hello"
    assert one.ping(b"Hello") == b"\x89\x05Hello"
    assert one.pong(b"Hello") == b"\x8a\x05Hello"
    assert one.text("é" * 100) == b"\x81\x7e\0\xc8" + "é".encode() * 100
    assert one.binary(bytes(65536)) == b"\x82\x7f" + (65536).to_bytes(8, "big") + bytes(65536)
    assert one.close(1001, "bye") == b"\x88\x05\x03\xe9bye"


def test_a_client_masks_everything(key):
    one = Protocol(client=True)
    assert one.text("Hello") == bytes.fromhex("818537fa213d7f9f4d5158")
    assert one.binary(b"a" * 126) == frame(0x82, b"a" * 126)
    assert one.ping() == frame(0x89)
    assert one.pong(b"x") == frame(0x8A, b"x")
    assert one.close() == close(1000)


def test_each_frame_of_a_client_has_a_key_of_its_own():
    one = Protocol(client=True)
    assert len({one.text("a")[2:6] for _ in range(50)}) > 45


@pytest.mark.parametrize(
    "kind", [bytearray, memoryview, lambda data: memoryview(array.array("I", data))]
)
def test_binary_takes_buffers(kind):
    data = bytes(range(200))
    one = Protocol()
    assert one.binary(kind(data)) == frame(0x82, memoryview(kind(data)).tobytes(), key=None)
    one.binary(b"", last=False)
    assert one.more(kind(data), last=True) == frame(
        0x80, memoryview(kind(data)).tobytes(), key=None
    )


@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2]])
def test_binary_takes_nothing_else(wrong):
    with pytest.raises(TypeError):
        Protocol().binary(wrong)


def test_a_lone_surrogate_is_refused_and_leaves_no_trace():
    one = Protocol()
    with pytest.raises(UnicodeEncodeError):
        one.text("\ud800", last=False)
    assert one.text("a") == b"\x81\x01a"


@pytest.mark.parametrize("client", [False, True])
def test_fragments(client, key):
    one = Protocol(client=client)
    mask = KEY if client else None
    assert one.text("a", last=False) == frame(0x01, b"a", key=mask)
    assert one.more("é") == frame(0x00, "é".encode(), key=mask)
    assert one.ping() == frame(0x89, key=mask)
    for send in (one.text, one.binary):
        with pytest.raises(RuntimeError, match="more"):
            send("a" if send == one.text else b"a")
    assert one.more(b"b", last=True) == frame(0x80, b"b", key=mask)
    with pytest.raises(RuntimeError, match="no fragmented"):
        one.more("c")
    assert one.binary(b"a", last=False) == frame(0x02, b"a", key=mask)
    assert one.more(last=True, data=b"") == frame(0x80, key=mask)
    assert one.text("d") == frame(0x81, b"d", key=mask)


def test_nothing_but_pongs_after_a_close():
    one = Protocol()
    assert not one.close_sent
    assert one.close(4000, "a") == b"\x88\x03\x0f\xa0a"
    assert one.close_sent and not one.done
    for send in (lambda: one.text("a"), lambda: one.binary(b"a"), lambda: one.more("a"), one.ping):
        with pytest.raises(RuntimeError, match="clos"):
            send()
    assert one.close() == b"" and one.close(1001, "again") == b""
    # RFC 6455 5.5.2: a Pong is due until the peer's Close has come; messages may be under way, too.
    assert one.feed(frame(0x89, b"p") + frame(0x81, b"late")) == [Ping(b"p"), "late"]
    assert one.answer(Ping(b"p")) == b"\x8a\x01p"
    assert one.feed(close(4000)) == [Close(4000)]
    assert one.answer(Close(4000)) == b""
    assert one.done


def test_a_close_within_a_message_of_ours():
    one = Protocol()
    one.text("a", last=False)
    assert one.close() == b"\x88\x02\x03\xe8"
    with pytest.raises(RuntimeError, match="clos"):
        one.more("b")


@pytest.mark.parametrize(
    ("received", "answer"),
    [
        (Ping(b"abc"), b"\x8a\x03abc"),
        (Pong(b"abc"), b""),
        ("a", b""),
        (b"a", b""),
        (Close(1005), b"\x88\0"),
        (Close(1001, "going"), b"\x88\x02\x03\xe9"),
        (Failure(1007, "why"), b"\x88\x05\x03\xefwhy"),
    ],
)
def test_answers(received, answer):
    one = Protocol()
    assert one.answer(received) == answer
    assert one.close_sent is isinstance(received, (Close, Failure))


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 70000, -1])
def test_codes_that_may_not_be_sent(code):
    one = Protocol()
    assert not may_be_sent(code)
    with pytest.raises(ValueError, match="code"):
        one.close(code)
    assert one.text("a"), "still open"


def test_the_limits_of_control_frames():
    one = Protocol()
    assert len(one.ping(b"a" * 125)) == len(one.pong(b"a" * 125)) == 127
    for wrong in (
        lambda: one.ping(b"a" * 126),
        lambda: one.pong(b"a" * 126),
        lambda: one.close(1000, "é" * 62),
        lambda: one.close(None, "why"),
    ):
        with pytest.raises(ValueError):
            wrong()
    assert len(one.close(1000, "a" * 123)) == 127


def test_done_needs_both_sides():
    one = Protocol()
    one.feed(close(1000))
    assert not one.done
    one.answer(one.ending)
    assert one.done


def test_every_reason_of_a_failure_can_be_sent():
    from websocket_corpus import REFUSED

    for _, code, reason, _ in REFUSED.values():
        sent = Protocol().answer(Failure(code, reason))
        assert Protocol(client=True).feed(sent) == [Close(code, reason)]


def test_events_are_values():
    assert Ping(b"a") == Ping(b"a") != Ping(b"b")
    assert Ping(b"a") != Pong(b"a")
    assert Close(1000, "a") != Failure(1000, "a")
    assert len({Close(1000), Close(1000), Close(1001)}) == 2
    assert repr(Close(1000, "a")) == "Close(1000, 'a')"
    assert repr(Ping(b"a")) == "Ping(b'a')"


def test_a_conversation():
    client, server = Protocol(client=True), Protocol()
    assert server.feed(client.text("Grüße") + client.binary(b"\0") + client.ping(b"?")) == [
        "Grüße",
        b"\0",
        Ping(b"?"),
    ]
    assert client.feed(server.answer(Ping(b"?")) + server.text("bye") + server.close(1001)) == [
        Pong(b"?"),
        "bye",
        Close(1001),
    ]
    assert server.feed(client.answer(client.ending)) == [Close(1001)]
    assert client.done and server.done
