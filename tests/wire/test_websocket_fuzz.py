"""Whatever arrives on a WebSocket: the same events at every split, within the limits, in linear time."""

import time

from corpus_loader import pieces
from hypothesis import given, settings
from hypothesis import strategies as st
from websocket_corpus import INVALID, VALID, deflated, frame

from kirsch.wire.websocket import handshake
from kirsch.wire.websocket.deflate import Agreement, Settings
from kirsch.wire.websocket.events import Close, Failure, Ping, Pong, may_be_sent
from kirsch.wire.websocket.grammar import read_extensions
from kirsch.wire.websocket.protocol import Protocol

LIMIT = 400
CORPUS = [case["data"] for case in (*VALID, *INVALID) if len(case["data"]) < 2000]

payloads = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=80).map(str.encode),
    st.binary(max_size=60).map(deflated),
    st.integers(0, 500).map(lambda size: deflated(bytes(size))),
)
frames = st.builds(
    frame,
    st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0xC1, 0xC2, 0x41, 0x89, 0x8A, 0x88])
    | st.integers(0, 255),
    payloads,
    key=st.binary(min_size=4, max_size=4),
)
streams = st.lists(frames, max_size=12).map(b"".join)


@st.composite
def damaged(draw):
    data = bytearray(draw(st.one_of(st.sampled_from(CORPUS), streams)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


inputs = st.one_of(streams, damaged(), st.binary(max_size=100))


def protocol(deflate=True, limit=LIMIT, client=False):
    agreement = Agreement(Settings(threshold=1)) if deflate else None
    return Protocol(max_message=limit, agreement=agreement, client=client)


@settings(max_examples=500, deadline=None)
@given(inputs, st.booleans(), st.booleans())
def test_events_are_sound(data, deflate, client):
    one = protocol(deflate, client=client)
    events = one.feed(data)
    for event in events[:-1]:
        assert not isinstance(event, (Close, Failure)), "nothing comes after the end"
    for event in events:
        if isinstance(event, str):
            assert len(event.encode()) <= LIMIT  # and so is well formed
        elif isinstance(event, bytes):
            assert len(event) <= LIMIT
        elif isinstance(event, (Ping, Pong)):
            assert len(event.data) <= 125
        else:
            assert event.code == 1005 or may_be_sent(event.code)
            assert one.ending is event
            assert one.feed(data) == []


@settings(max_examples=300, deadline=None)
@given(inputs, st.lists(st.integers(0, 1500), max_size=12), st.booleans())
def test_splits_do_not_matter(data, cuts, deflate):
    whole = protocol(deflate).feed(data)

    def read(stream):
        one = protocol(deflate)
        return [event for piece in stream for event in one.feed(piece)]

    assert read(pieces(data, cuts)) == whole
    assert read(data[i : i + 1] for i in range(len(data))) == whole


messages = st.lists(
    st.one_of(st.text(max_size=300), st.binary(max_size=600), st.just("ab" * 4000)), max_size=8
)


@settings(max_examples=200, deadline=None)
@given(messages, st.booleans(), st.booleans(), st.booleans(), st.lists(st.integers(0, 9000)))
def test_what_is_sent_arrives(sent, from_client, takeover, deflate, cuts):
    one_side = {"send_takeover": takeover, "receive_takeover": takeover}
    agreement = Agreement(Settings(threshold=1), **one_side) if deflate else None
    sender = Protocol(client=from_client, agreement=agreement)
    receiver = Protocol(client=not from_client, agreement=agreement)
    data = b"".join(sender.text(m) if isinstance(m, str) else sender.binary(m) for m in sent)
    assert [event for piece in pieces(data, cuts) for event in receiver.feed(piece)] == sent


@given(st.lists(st.text(max_size=20), min_size=1, max_size=6), st.booleans())
def test_fragments_arrive(parts, client):
    sender, receiver = Protocol(client=client), Protocol(client=not client)
    data = sender.text(parts[0], last=len(parts) == 1)
    for index, part in enumerate(parts[1:], 2):
        data += sender.more(part, last=index == len(parts)) + sender.ping(b"x")
    events = receiver.feed(data)
    assert [event for event in events if isinstance(event, str)] == ["".join(parts)]


@given(
    st.dictionaries(
        st.sampled_from(
            ["HTTP_UPGRADE", "HTTP_CONNECTION", "HTTP_HOST", "HTTP_ORIGIN", "CONTENT_LENGTH"]
            + [f"HTTP_SEC_WEBSOCKET_{x}" for x in ("KEY", "VERSION", "PROTOCOL", "EXTENSIONS")]
        ),
        st.one_of(
            st.text(st.characters(max_codepoint=255), max_size=30),
            st.sampled_from(["websocket", "Upgrade", "13", "dGhlIHNhbXBsZSBub25jZQ==", "x"]),
        ),
    )
)
def test_handshakes_are_accepted_or_refused(fields):
    rules = handshake.Rules(subprotocols=["x"], compression=Settings())
    try:
        head = handshake.judge("GET", 1, fields, rules).head()
    except handshake.Refusal as error:
        assert error.status in (400, 403, 426)
    else:
        assert head.count(b"\r\n\r\n") == 1


def cost(run, data):
    best = 9.9
    for _ in range(3):
        start = time.thread_time()
        run(data)
        best = min(best, time.thread_time() - start)
    return best


def test_time_is_linear_in_what_arrives():
    """Ten times the bytes may cost some ten times the time; never a hundred."""

    def at_once(data):
        protocol(limit=1 << 22).feed(data)

    def in_bits(data):
        one = protocol(limit=1 << 22)
        for at in range(0, len(data), 7):
            one.feed(data[at : at + 7])

    shapes = [
        lambda n: frame(0x82, bytes(n), key=b"abcd"),
        lambda n: frame(0x81, b"\xc3\xa9" * (n // 2)),
        lambda n: frame(0x01) + frame(0x00) * (n // 6) + frame(0x80),
        lambda n: frame(0x01) + frame(0x00, b"\xc3\xa9") * (n // 8) + frame(0x80),
        lambda n: frame(0x89, b"x" * 125) * (n // 131),
        lambda n: frame(0x81, b"a") * (n // 7),
        lambda n: frame(0xC2, b"\0\0\0\xff\xff" * (n // 5) + b"\0"),
        lambda n: frame(0xC1) * (n // 6),
        lambda n: frame(0x42) + frame(0x00, b"\0\0\0\xff\xff") * (n // 11) + frame(0x80, b"\0"),
        lambda n: frame(0xC2, bytes.fromhex("0300") * n),
    ]
    for index, shape in enumerate(shapes):
        for run in (at_once, in_bits):
            small, large = cost(run, shape(20_000)), cost(run, shape(200_000))
            assert large < 40 * max(small, 2e-4), (index, run.__name__)


def test_time_of_extension_lists_is_linear():
    for shape in (
        lambda n: "a" + ";" * n,
        lambda n: "a" + " \t" * n + "(",
        lambda n: "," * n + "(",
        lambda n: ", " * n,
        lambda n: "a, " * n + "(",
        lambda n: "a" + ";b" * n,
        lambda n: 'a;b="' + "\\" * n,
        lambda n: 'a;b="' + "c" * n + '"(',
    ):
        small, large = cost(read_extensions, shape(3_000)), cost(read_extensions, shape(30_000))
        assert large < 40 * max(small, 2e-4), shape(3)
