"""Against websockets and wsproto: frames read alike, messages understood both ways, handshakes agreed upon.

The exceptions are listed, each with its reason.
"""

import pytest
import wsproto
import wsproto.events as w
from hypothesis import given, settings
from hypothesis import strategies as st
from other_websockets import ours, with_websockets, with_wsproto
from websocket_corpus import INVALID, VALID, deflated, frame
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from kirsch.wire.http1.requests import HeadLimits, parse_head
from kirsch.wire.websocket import client
from kirsch.wire.websocket.deflate import Settings
from kirsch.wire.websocket.handshake import Rules, judge
from kirsch.wire.websocket.protocol import Protocol

OTHERS = {"websockets": with_websockets, "wsproto": with_wsproto}

_BFINAL = "it inflates nothing after a block with BFINAL (RFC 7692 7.2.3.4)"
_SHORTEST = "it does not ask for the minimal number of bytes (RFC 6455 5.2 MUST)"
_INFLATE = "it calls what does not inflate an error of protocol"
#: (who, name) -> why it reads a valid case otherwise.
VALID_OTHERWISE = {
    ("wsproto", "close code 1014"): "registered since",
    **{
        (who, name): _BFINAL
        for who in OTHERS
        for name in ("messages after BFINAL", "nothing after BFINAL")
    },
    **{
        (who, "nothing at all for an empty message"): "its context is out of step afterwards"
        for who in OTHERS
    },
}
#: (who, rule, name) -> why it refuses otherwise, or not.
INVALID_OTHERWISE = {
    ("websockets", "long-control", "by its form"): _SHORTEST,
    ("websockets", "length", "0 in two bytes"): _SHORTEST,
    ("websockets", "length", "124 in two bytes"): _SHORTEST,
    ("websockets", "length", "125 in two bytes"): _SHORTEST,
    ("websockets", "length", "1 in eight bytes"): _SHORTEST,
    ("websockets", "length", "65535 in eight bytes"): _SHORTEST,
    ("websockets", "huge", "all ones"): "it is too big for it",
    ("websockets", "huge", "the highest bit"): "it is too big for it",
    ("websockets", "deflate", "a reserved block type"): _INFLATE,
    ("websockets", "deflate", "a distance too far back"): _INFLATE,
    ("websockets", "deflate", "a length that contradicts itself"): _INFLATE,
    ("websockets", "deflate", "an endless row of BFINAL"): _BFINAL,
    ("wsproto", "deflate", "an endless row of BFINAL"): _BFINAL,
    ("wsproto", "size", "announced only"): "it has no limit",
}


def read(function, case):
    return function(case["data"], case.get("deflate", False), case.get("client", False))


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize("case", VALID, ids=lambda case: case["name"])
def test_valid(who, case):
    if case["name"] == "whatever after a close":
        assert read(OTHERS[who], case).end == 1000
        return
    alike = read(OTHERS[who], case) == read(ours, case)
    assert alike is ((who, case["name"]) not in VALID_OTHERWISE)


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize(
    "case",
    [case for case in INVALID if "limit" not in case],
    ids=lambda case: f"{case['rule']}: {case['name']}",
)
def test_invalid(who, case):
    alike = read(OTHERS[who], case) == read(ours, case)
    assert alike is ((who, case["rule"], case["name"]) not in INVALID_OTHERWISE)


def test_the_exceptions_are_cases():
    assert {name for _, name in VALID_OTHERWISE} <= {case["name"] for case in VALID}
    names = {(case["rule"], case["name"]) for case in INVALID}
    assert {exception[1:] for exception in INVALID_OTHERWISE} <= names


keys = st.binary(min_size=4, max_size=4)
# Without 0xED: we alone refuse the first two bytes of a surrogate before the third comes.
payloads = st.one_of(st.binary(max_size=150), st.text(max_size=60).map(str.encode)).map(
    lambda payload: payload.replace(b"\xed", b"e")
)
frames = st.one_of(
    st.builds(frame, st.sampled_from([0x81, 0x82, 0x01, 0x02, 0, 0x80]), payloads, key=keys),
    st.builds(frame, st.sampled_from([0x89, 0x8A]), st.binary(max_size=125), key=keys),
    # A Close frame with a bad code and a bad reason may fail for either.
    st.builds(frame, st.integers(0, 255).filter(lambda first: first != 0x88), payloads, key=keys),
    st.builds(
        lambda code, reason, key: frame(0x88, code.to_bytes(2, "big") + reason.encode(), key=key),
        st.integers(990, 1013) | st.integers(2990, 5010),
        st.text(max_size=20),
        keys,
    ),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(frames, max_size=10).map(b"".join))
def test_streams_are_read_alike(data):
    """Well formed or not: the same messages, and the same end for the same reason."""
    mine = ours(data)
    assert with_websockets(data) == mine
    assert with_wsproto(data) == mine


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(payloads, st.booleans(), st.booleans(), st.integers(0, 150)), max_size=8))
def test_compressed_streams_are_read_alike(messages):
    data, bare = b"", b""
    for payload, packed, text, cut in messages:
        first = (0x41 if packed else 0x01) if text else (0x42 if packed else 0x02)
        content = deflated(payload) if packed else payload
        begin, end = frame(first, content[:cut]), frame(0x80, content[cut:])
        data += begin + frame(0x89, b"p") + end
        bare += begin + end  # a ping within a compressed message makes wsproto forget RSV1
    assert with_websockets(data, deflated=True) == ours(data, deflated=True)
    assert with_wsproto(bare, deflated=True) == ours(bare, deflated=True)


@settings(max_examples=300, deadline=None)
@given(st.lists(frames, min_size=1, max_size=6).map(b"".join), st.data())
def test_damage(data, draw):
    """One byte replaced, removed or doubled. What we read to its end, they read alike."""
    at = draw.draw(st.integers(0, len(data) - 1))
    piece = draw.draw(st.binary(max_size=2))
    data = data[:at] + piece + data[at + draw.draw(st.integers(0, 1)) :]
    mine = ours(data)
    if mine.end not in (1002, 1007, 1009, 1014):
        assert with_websockets(data) == mine
        assert with_wsproto(data) == mine


# handshakes, and messages after them

RULES = Rules(subprotocols=["chat"], compression=Settings(threshold=1))
MESSAGES = ["Grüße", b"\0\xff" * 300, "", b"", "ab" * 40000, "x" * 126, b"y" * 65536]


def judged(request):
    head = parse_head(request, HeadLimits())
    assert head is not None and head.size == len(request)
    accepted = judge(head.method, head.minor, head.fields, RULES)
    return accepted, Protocol(agreement=accepted.agreement, max_message=0)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_client_of_websockets(compressed):
    extensions = [ClientPerMessageDeflateFactory(client_max_window_bits=True)] if compressed else []
    peer = ClientProtocol(
        parse_uri("ws://x.example/path"),
        origin="http://x.example",
        subprotocols=["other", "chat"],
        extensions=extensions,
        max_size=None,
    )
    peer.send_request(peer.connect())
    accepted, one = judged(b"".join(peer.data_to_send()))
    peer.receive_data(accepted.head())
    peer.events_received()
    assert peer.handshake_exc is None
    assert peer.subprotocol == accepted.subprotocol == "chat"
    assert bool(peer.extensions) is compressed is (accepted.agreement is not None)
    for message in MESSAGES * 2:
        peer.send_text(message.encode()) if isinstance(message, str) else peer.send_binary(message)
        assert one.feed(b"".join(peer.data_to_send())) == [message]
        peer.receive_data(one.text(message) if isinstance(message, str) else one.binary(message))
        [received] = peer.events_received()
        assert (received.opcode is Opcode.TEXT) is isinstance(message, str)
        assert bytes(received.data) == (message.encode() if isinstance(message, str) else message)
    peer.receive_data(one.close(4321, "über"))
    assert (peer.close_rcvd.code, peer.close_rcvd.reason) == (4321, "über")
    assert [event.code for event in one.feed(b"".join(peer.data_to_send()))] == [4321]
    assert one.done


@pytest.mark.parametrize("compressed", [False, True])
def test_a_server_of_websockets(compressed):
    settings = Settings(threshold=1) if compressed else None
    key = client.make_key()
    asked = client.request_head("/", "x.example", key, subprotocols=["chat"], compression=settings)
    peer = ServerProtocol(
        subprotocols=["chat"],
        extensions=[ServerPerMessageDeflateFactory()] if compressed else [],
        max_size=None,
    )
    peer.receive_data(asked)
    [request] = peer.events_received()
    assert isinstance(request, Request)
    peer.send_response(peer.accept(request))
    status, fields, _ = client.read_answer(b"".join(peer.data_to_send()))
    accepted = client.check_answer(status, fields, key, subprotocols=["chat"], compression=settings)
    assert accepted.subprotocol == "chat"
    assert compressed is (accepted.agreement is not None)
    one = Protocol(client=True, agreement=accepted.agreement, max_message=0)
    for message in MESSAGES * 2:
        peer.receive_data(one.text(message) if isinstance(message, str) else one.binary(message))
        [received] = peer.events_received()
        assert bytes(received.data) == (message.encode() if isinstance(message, str) else message)
        peer.send_text(message.encode()) if isinstance(message, str) else peer.send_binary(message)
        assert one.feed(b"".join(peer.data_to_send())) == [message]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_client_of_wsproto(compressed):
    peer = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    extensions = [wsproto.extensions.PerMessageDeflate()] if compressed else []
    asked = peer.send(
        w.Request(host="x.example", target="/", subprotocols=["chat"], extensions=extensions)
    )
    accepted, one = judged(asked)
    peer.receive_data(accepted.head())
    [answer] = peer.events()
    assert isinstance(answer, w.AcceptConnection)
    assert answer.subprotocol == "chat"
    assert bool(answer.extensions) is compressed is (accepted.agreement is not None)
    for message in MESSAGES * 2:
        kind = w.TextMessage if isinstance(message, str) else w.BytesMessage
        assert one.feed(peer.send(kind(data=message))) == [message]
        peer.receive_data(one.text(message) if isinstance(message, str) else one.binary(message))
        assert type(message)().join([event.data for event in peer.events()]) == message
    peer.receive_data(one.close(4321, "über"))
    [event] = peer.events()
    assert (event.code, event.reason) == (4321, "über")
    one.feed(peer.send(event.response()))
    assert one.done
