"""permessage-deflate: offers and answers as a table, contexts, thresholds, memory."""

import random
import tracemalloc
import zlib

import pytest
from websocket_corpus import HELLO, deflated, frame

from kirsch.wire.websocket.deflate import Agreement, Settings, accept, confirm, offer
from kirsch.wire.websocket.grammar import read_extensions
from kirsch.wire.websocket.protocol import Protocol

PLAIN = Settings()
WIDE = Settings(window_bits=15, peer_window_bits=15)
STRICT = Settings(no_context_takeover=True, peer_no_context_takeover=True)


def parameters(text):
    found = read_extensions("permessage-deflate" + text)
    assert found is not None and len(found) == 1
    return found[0][1]


def facts(agreement):
    return (
        agreement.send_bits,
        agreement.receive_bits,
        agreement.send_takeover,
        agreement.receive_takeover,
    )


# offer, settings -> answer, (send_bits, receive_bits, send_takeover, receive_takeover)
OFFERS = [
    ("", PLAIN, "", (12, 15, True, True)),
    ("", WIDE, "", (15, 15, True, True)),
    ("", STRICT, "; server_no_context_takeover; client_no_context_takeover", (12, 15, False, False)),
    ("; client_max_window_bits", PLAIN, "; client_max_window_bits=12", (12, 12, True, True)),
    ("; client_max_window_bits", WIDE, "", (15, 15, True, True)),
    ("; client_max_window_bits=9", PLAIN, "; client_max_window_bits=9", (12, 9, True, True)),
    ("; client_max_window_bits=8", PLAIN, "; client_max_window_bits=8", (12, 8, True, True)),
    ("; client_max_window_bits=15", PLAIN, "; client_max_window_bits=12", (12, 12, True, True)),
    ("; server_max_window_bits=10", PLAIN, "; server_max_window_bits=10", (10, 15, True, True)),
    ("; server_max_window_bits=15", PLAIN, "; server_max_window_bits=12", (12, 15, True, True)),
    ("; server_max_window_bits=9", WIDE, "; server_max_window_bits=9", (9, 15, True, True)),
    ("; server_no_context_takeover", PLAIN, "; server_no_context_takeover", (12, 15, False, True)),
    ("; client_no_context_takeover", PLAIN, "; client_no_context_takeover", (12, 15, True, False)),
    ('; server_max_window_bits="10"', PLAIN, "; server_max_window_bits=10", (10, 15, True, True)),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "settings", "answer", "agreed"), OFFERS)
def test_offers(asked, settings, answer, agreed):
    found = accept(parameters(asked), settings)
    assert found is not None
    assert found[0] == "permessage-deflate" + answer
    assert facts(found[1]) == agreed


@pytest.mark.parametrize(
    "asked",
    [
        "; unknown",
        "; server_max_window_bits",
        "; server_max_window_bits=7",
        "; server_max_window_bits=8",  # valid, but beyond zlib
        "; server_max_window_bits=16",
        "; server_max_window_bits=09",
        "; server_max_window_bits=1",
        "; client_max_window_bits=7",
        "; client_max_window_bits=16",
        "; client_max_window_bits=a",
        "; server_no_context_takeover=1",
        "; client_no_context_takeover=true",
        "; client_max_window_bits; client_max_window_bits",
        "; server_no_context_takeover; server_no_context_takeover",
        "; Client_Max_Window_Bits",
    ],
)
def test_declined(asked):
    assert accept(parameters(asked), PLAIN) is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (PLAIN, "; server_max_window_bits=12; client_max_window_bits=12"),
        (WIDE, "; client_max_window_bits"),
        (
            STRICT,
            "; server_no_context_takeover; client_no_context_takeover"
            "; server_max_window_bits=12; client_max_window_bits=12",
        ),
    ],
)
def test_what_a_client_offers_and_a_server_like_it_accepts(settings, words):
    assert offer(settings) == "permessage-deflate" + words
    found = accept(parameters(words), settings)
    assert found is not None
    [(_, answered)] = read_extensions(found[0])
    agreement = confirm(answered, settings)
    assert agreement is not None
    ours, theirs = facts(agreement), facts(found[1])
    assert (ours[0], ours[2]) == (theirs[1], theirs[3])
    assert (ours[1], ours[3]) == (theirs[0], theirs[2])


@pytest.mark.parametrize(
    ("answer", "settings", "agreed"),
    [
        ("", WIDE, (15, 15, True, True)),
        ("", PLAIN, None),  # the server does not keep to 12 bits
        ("; server_max_window_bits=12", PLAIN, (12, 12, True, True)),
        ("; server_max_window_bits=9; client_max_window_bits=10", PLAIN, (10, 9, True, True)),
        ("; client_max_window_bits=8", WIDE, None),
        ("; client_max_window_bits", WIDE, None),
        ("; client_no_context_takeover", WIDE, (15, 15, False, True)),
        ("; server_no_context_takeover", WIDE, (15, 15, True, False)),
        ("; server_max_window_bits=12", STRICT, None),  # server_no_context_takeover was demanded
        ("; server_max_window_bits=12; server_no_context_takeover", STRICT, (12, 12, False, False)),
        ("; unknown", WIDE, None),
    ],
)
def test_answers(answer, settings, agreed):
    found = confirm(parameters(answer), settings)
    assert (found and facts(found)) == agreed


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_bits": 8},
        {"window_bits": 16},
        {"peer_window_bits": 8},
        {"level": 0},
        {"level": 10},
        {"memory_level": 0},
        {"memory_level": 10},
    ],
)
def test_settings_that_zlib_cannot_do(wrong):
    with pytest.raises(ValueError):
        Settings(**wrong)


def server(agreement=None, **settings):
    return Protocol(agreement=agreement or Agreement(Settings(**settings)))


def inflated(frames, takeover=True):
    """What a peer with zlib alone makes of frames of one fragment and less than 64 KiB."""
    context = zlib.decompressobj(-15)
    for data in frames:
        assert data[0] & 0x40
        start = 2 if data[1] < 126 else 4
        if not takeover:
            context = zlib.decompressobj(-15)
        yield context.decompress(data[start:] + b"\0\0\xff\xff")


def test_messages_share_a_window():
    one = server(threshold=1)
    sent = [one.text("Hello, Hello, World") for _ in range(3)]
    assert list(inflated(sent)) == [b"Hello, Hello, World"] * 3
    assert len(sent[1]) < len(sent[0])


@pytest.mark.parametrize("how", ["settings", "agreement"])
def test_messages_do_not_share_a_window(how):
    if how == "settings":
        one = server(threshold=1, no_context_takeover=True)
    else:
        one = server(Agreement(Settings(threshold=1), send_takeover=False))
    words = "Hello, Hello, Hello, Hello, World"
    sent = [one.text(words) for _ in range(3)]
    assert sent[0] == sent[1] == sent[2]
    assert list(inflated(sent, takeover=False)) == [words.encode()] * 3


def test_the_window_is_no_wider_than_agreed():
    """A repetition 3,000 bytes away is out of reach of 9 bits."""
    start = random.Random(1).randbytes(256)
    far = start + bytes(3000) + start
    narrow = server(Agreement(Settings(window_bits=15), send_bits=9)).binary(far)
    wide = server(Agreement(Settings(window_bits=15), send_bits=15)).binary(far)
    assert len(narrow) > len(wide) + 150
    context = zlib.decompressobj(-9)
    assert context.decompress(narrow[4:] + b"\0\0\xff\xff") == far


def test_short_messages_are_sent_as_they_are():
    one = server(threshold=100)
    assert one.text("a" * 99)[0] == 0x81
    assert one.text("a" * 100)[0] == 0xC1
    assert one.binary(b"a" * 99)[0] == 0x82
    assert one.binary(b"a" * 100)[0] == 0xC2


def test_empty_messages_are_never_compressed():
    one = server(threshold=0)
    assert one.text("") == b"\x81\0"
    assert one.text("a")[0] == 0xC1


def test_what_does_not_shrink_is_sent_as_it_is_where_the_window_allows():
    data = random.Random(1).randbytes(456)
    assert server(no_context_takeover=True).binary(data) == frame(0x82, data, key=None)
    assert server().binary(data)[0] == 0xC2  # the next message may build upon it


def test_fragmented_messages_and_control_frames_are_not_compressed():
    one = server(threshold=1)
    assert one.text("a" * 300, last=False)[0] == 0x01
    assert one.more("a" * 300, last=True)[0] == 0x80
    assert one.ping(b"a" * 100)[0] == 0x89
    assert one.close(1000, "a" * 100)[0] == 0x88


def test_a_window_that_the_peer_forgets_is_forgotten():
    """7.1.1.2: a reference into the last message is an error then."""
    one = Protocol(agreement=Agreement(Settings(), receive_takeover=False))
    assert one.feed(frame(0xC1, HELLO) * 2) == ["Hello"] * 2
    assert one.feed(frame(0xC1, bytes.fromhex("f200110000")))[0].code == 1007


@pytest.mark.parametrize("bits", range(8, 16))
def test_all_windows_are_inflated(bits):
    one = Protocol(agreement=Agreement(Settings(), receive_bits=bits))
    data = bytes(range(256)) * 200
    context = zlib.compressobj(wbits=-max(bits, 9))
    packed = (context.compress(data) + context.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert one.feed(frame(0xC2, packed)) == [data]


def test_memory_comes_with_the_first_compressed_message():
    agreement = Agreement(Settings())

    def held(prepare):
        tracemalloc.start()
        try:
            everyone = [prepare() for _ in range(20)]
            return tracemalloc.get_traced_memory()[0] / len(everyone)
        finally:
            tracemalloc.stop()

    def quiet():
        one = Protocol(agreement=agreement)
        one.text("short")
        one.feed(frame(0x81, b"short"))
        return one

    assert held(quiet) < 1500
    assert held(Protocol) < 1000


def test_a_close_gives_the_contexts_back():
    one = Protocol(agreement=Agreement(Settings()))
    one.text("a" * 300)
    one.feed(frame(0xC1, deflated(b"a" * 300)))
    assert one._deflater is not None and one._inflater is not None
    one.feed(frame(0x88))
    one.answer(one.ending)
    assert one._deflater is None and one._inflater is None
