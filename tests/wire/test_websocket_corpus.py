"""The corpus of frame sequences, whole, byte by byte and at random splits; and when they fail."""

import random
import tracemalloc

import pytest
from corpus_loader import pieces
from websocket_corpus import INVALID, KEY, REFUSED, VALID, close, deflated, frame, masked

from kirsch.wire.websocket import receiver
from kirsch.wire.websocket.deflate import Agreement, Settings
from kirsch.wire.websocket.events import Failure
from kirsch.wire.websocket.frames import mask, mask_plainly
from kirsch.wire.websocket.protocol import Protocol


def protocol(case):
    return Protocol(
        client=case.get("client", False),
        max_message=case.get("limit", 1 << 20),
        agreement=Agreement(Settings()) if case.get("deflate") else None,
    )


def splits(case):
    data = case["data"]
    yield "whole", [data]
    if len(data) < 5000:
        yield "byte by byte", [data[i : i + 1] for i in range(len(data))]
    yield "in twos", [data[i : i + 2] for i in range(0, min(len(data), 3000), 2)] + [data[3000:]]
    rng = random.Random(case["name"])
    for _ in range(12):
        cuts = [rng.randrange(len(data)) for _ in range(rng.randrange(1, 9))]
        yield f"cut at {sorted(cuts)}", list(pieces(data, cuts))


def replay(one, stream):
    return [event for piece in stream for event in one.feed(piece)]


@pytest.fixture(params=[mask, mask_plainly], ids=["mask", "mask_plainly"])
def masker(request, monkeypatch):
    monkeypatch.setattr(receiver, "mask", request.param)


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["name"])
def test_valid(case, masker):
    for how, stream in splits(case):
        one = protocol(case)
        events = replay(one, stream)
        assert events == case["events"], how
        assert [type(event) for event in events] == [type(event) for event in case["events"]], how
        ended = case["events"][-1] if type(case["events"][-1]).__name__ == "Close" else None
        assert one.ending == ended
        # What was read leaves nothing behind: another message is read as it is alone.
        again = [] if ended else case["events"][:1]
        if not case.get("deflate"):
            assert replay(one, [case["data"]])[:1] == again, how


@pytest.mark.parametrize("case", INVALID, ids=lambda case: f"{case['rule']}: {case['name']}")
def test_invalid(case, masker):
    _, code, reason, _ = REFUSED[case["rule"]]
    for how, stream in splits(case):
        one = protocol(case)
        assert replay(one, stream) == [*case["before"], Failure(code, reason)], how
        assert (one.code, one.reason) == (code, reason)
        assert one.feed(frame(0x81, b"more")) == [], "nothing is read after a failure"


def test_size_of_the_corpus():
    assert len(VALID) >= 80
    assert len(INVALID) >= 100


def test_every_rule_has_a_case_and_every_case_a_name_of_its_own():
    assert {case["rule"] for case in INVALID} == set(REFUSED)
    for names in (
        [case["name"] for case in VALID],
        [(case["rule"], case["name"]) for case in INVALID],
    ):
        assert len(names) == len(set(names))
    assert all(case["rfc"] == "none" or case["rfc"].startswith("RFC ") for case in VALID)


def fails_at(data, **options):
    """The number of bytes after which the connection fails."""
    one = protocol(options)
    for index in range(len(data)):
        if any(isinstance(event, Failure) for event in one.feed(data[index : index + 1])):
            return index + 1
    return None


@pytest.mark.parametrize("size", [124, 125, 126, 127, 300, 65536])
def test_a_frame_cut_anywhere(size):
    """The first piece is not taken for a whole frame, whatever its size."""
    data = frame(0x82, bytes(size))
    for cut in range(1, min(len(data), 400)):
        one = Protocol()
        assert one.feed(data[:cut]) == []
        assert one.feed(data[cut:]) == [bytes(size)]


def test_the_rest_of_a_frame_is_not_taken_for_a_frame():
    """Without its first byte this one looks like a whole frame of one byte."""
    data = frame(0x82, b"ab", key=b"\x81abc")
    assert Protocol().feed(data[1:]) == [bytes([data[7] ^ data[3]])]
    one = Protocol()
    assert one.feed(data[:1]) == []
    assert one.feed(data[1:]) == [b"ab"]


GREETING = "κόσμε".encode()

# The payload of a text -> how many of its bytes are read before all hope is lost (RFC 3629 3).
HOPELESS = [
    (GREETING + b"\xff" + GREETING, len(GREETING) + 1),
    (GREETING + b"\xf4\x90\x80\x80edited", len(GREETING) + 2),
    (GREETING + b"\xed\xa0\x80edited", len(GREETING) + 2),
    (b"\xe0\x9f\xbf", 2),
    (b"\xf0\x80\x80\x80", 2),
    (b"\xf0\x9f\x8da", 4),
    (b"\xf5\x80\x80\x80", 1),
    (b"\xc1\x80", 1),
    (b"a\x80a", 2),
    (b"\xe2\x82a", 3),
]


@pytest.mark.parametrize(("payload", "hopeless"), HOPELESS)
@pytest.mark.parametrize("more", [0, 300, 70000])
def test_text_fails_at_its_first_wrong_byte(payload, hopeless, more):
    """Long before its frame is complete, alone and in a fragmented message."""
    payload += b"a" * more
    head = len(frame(0x81, payload)) - len(payload)
    assert fails_at(frame(0x81, payload)) == head + hopeless
    assert fails_at(frame(0x01, payload)) == head + hopeless
    before = frame(0x01, b"ok")
    assert fails_at(before + frame(0x00, payload)) == len(before) + head + hopeless


@pytest.mark.parametrize(
    ("data", "bytes_needed"),
    [
        (b"\xf1", 1),  # a reserved bit
        (b"\x83", 1),  # an unknown opcode
        (b"\x09", 1),  # a fragmented ping
        (b"\x81\x05Hello", 2),  # no mask
        (frame(0x89, b"a" * 126), 2),
        (b"\x82\xff" + (1 << 21).to_bytes(8, "big") + KEY, 10),  # too big
        (frame(0x80, b"abc"), 2),  # continues nothing
    ],
)
def test_a_frame_fails_by_its_header(data, bytes_needed):
    """Nobody has to send, and nobody to keep, the payload of a frame that is refused anyway."""
    assert fails_at(data) == bytes_needed


def test_a_bomb_is_not_inflated():
    bomb = frame(0xC2, deflated(bytes(1 << 26)))
    one = protocol({"deflate": True, "limit": 1 << 16})
    tracemalloc.start()
    try:
        assert one.feed(bomb) == [Failure(1009, "message too big")]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_fragments_cost_no_memory_beyond_their_bytes():
    one = Protocol(max_message=1 << 20)
    tracemalloc.start()
    try:
        one.feed(frame(0x02))
        piece = frame(0x00, b"abcd") * 1000
        for _ in range(200):
            one.feed(piece)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 1_300_000  # of 800,000 bytes; a list of them would be ten times that


def test_a_limit_of_0_is_none():
    data = bytes(3 << 20)
    assert Protocol(max_message=0).feed(frame(0x82, data, key=bytes(4))) == [data]
    one = Protocol(max_message=0, agreement=Agreement(Settings()))
    assert one.feed(frame(0xC2, deflated(data))) == [data]


def test_a_close_leaves_its_code_and_reason():
    one = Protocol()
    assert (one.code, one.reason, one.ending) == (1006, "", None)  # RFC 6455 7.1.5
    one.feed(close(4001, b"so long"))
    assert (one.code, one.reason) == (4001, "so long")


def test_the_masks_of_the_corpus_are_those_of_the_standard():
    assert masked(b"Hello") == bytes.fromhex("7f9f4d5158")  # RFC 6455 5.7
