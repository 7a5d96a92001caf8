"""Headers of the PROXY protocol: both versions, at every split, to the byte of their limits; and what is none."""

from __future__ import annotations

import random
import socket

import pytest

from kirsch.wire.announcement import MAX_HEADER, Announcement, parse_announcement
from kirsch.wire.errors import BadRequest

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = socket.inet_aton("203.0.113.9") + socket.inet_aton("192.0.2.1") + b"\x1f\x90\x01\xbb"
V6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::5")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + b"\x1f\x90\x01\xbb"
)
TLV = b"\x04\x00\x03abc" + b"\x20\x00\x08" + b"\xff" * 8  # PP2_TYPE_NOOP, PP2_TYPE_SSL


def v2(command=0x21, family=0x11, payload=V4, size=None):
    length = len(payload) if size is None else size
    return SIGNATURE + bytes((command, family)) + length.to_bytes(2, "big") + payload


CLIENT = ("203.0.113.9", 8080)

GOOD = [
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 8080 443\r\n", CLIENT),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 0 65535\r\n", ("203.0.113.9", 0)),
    (b"PROXY TCP6 2001:db8::5 2001:DB8::1 8080 443\r\n", ("2001:db8::5", 8080)),
    (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 8080 443\r\n", CLIENT),
    (
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
    ),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", None),  # 107 bytes, the longest
    (v2(), CLIENT),
    (v2(payload=V4 + TLV), CLIENT),
    (v2(payload=V4 + b"\xee"), CLIENT),  # no whole TLV: nobody looks
    (v2(payload=V4 + b"\0" * (MAX_HEADER - 16 - 12)), CLIENT),
    (v2(family=0x21, payload=V6), ("2001:db8::5", 8080)),
    (v2(family=0x21, payload=V6 + TLV), ("2001:db8::5", 8080)),
    (v2(family=0x31, payload=b"/run/x".ljust(108, b"\0") * 2), None),
    (v2(family=0x00, payload=b""), None),
    (v2(family=0x00, payload=TLV), None),
    (v2(family=0x12), None),  # datagrams are no connection
    (v2(command=0x20, family=0x00, payload=b""), None),
    (v2(command=0x20), None),  # of the proxy itself, whatever it says
    (v2(command=0x20, payload=b"\x01"), None),
]

BAD = [
    b"GET / HTTP/1.1\r\n",
    b"X",
    b"\r\n\r\nX",
    b"\x16\x03\x01",
    b"proxy TCP4 203.0.113.9 192.0.2.1 8080 443\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 8080 443\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 8080 443 \r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 8080\r\n",
    b"PROXY TCP4  203.0.113.9 192.0.2.1 8080 443\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 08080 443\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 65536 443\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 -1 443\r\n",
    b"PROXY TCP4 203.0.113.999 192.0.2.1 8080 443\r\n",
    b"PROXY TCP4 203.0.113.09 192.0.2.1 8080 443\r\n",
    b"PROXY TCP4 203.0.113.9 nonsense 8080 443\r\n",
    b"PROXY TCP4 2001:db8::5 2001:db8::1 8080 443\r\n",
    b"PROXY TCP6 203.0.113.9 192.0.2.1 8080 443\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 8080 443\r\n",
    b"PROXY TCP5 203.0.113.9 192.0.2.1 8080 443\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY UNKNOWN\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    b"PROXY " + b"x" * 101,  # 107 bytes, and no end
    v2(command=0x11),
    v2(command=0x22),
    v2(command=0x31),
    v2(family=0x41),
    v2(family=0x13),
    v2(payload=V4[:11]),
    v2(family=0x21, payload=V4),
    v2(family=0x31, payload=V6),
    v2(size=MAX_HEADER - 15),
    v2(size=65535),
    SIGNATURE + b"\x00",
]


@pytest.mark.parametrize(("header", "client"), GOOD)
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n\r\n", SIGNATURE])
def test_headers(header, client, rest):
    assert parse_announcement(header + rest) == Announcement(len(header), client)
    for end in range(len(header)):
        assert parse_announcement(header[:end]) is None, header[:end]


@pytest.mark.parametrize("data", BAD)
def test_what_is_none_is_refused(data):
    with pytest.raises(BadRequest) as caught:
        parse_announcement(data)
    assert caught.value.status == 400
    # Nothing that the peer sent stands in the answer, and no more of it makes it better.
    assert "203" not in caught.value.text
    with pytest.raises(BadRequest):
        parse_announcement(data + b"\r\n" + GOOD[0][0])


def test_what_cannot_become_a_header_is_refused_at_once():
    for data in (b"P0", b"PROXY-", b"\r\n\r\n\0\r\nQUIX", SIGNATURE + b"\x21\x71"):
        with pytest.raises(BadRequest):
            parse_announcement(data)


def test_nonsense_of_all_kinds():
    dice = random.Random(4711)
    for _ in range(20_000):
        header = bytearray(dice.choice(GOOD)[0])
        for _ in range(dice.randint(1, 4)):
            header[dice.randrange(len(header))] = dice.randrange(256)
        try:
            found = parse_announcement(bytes(header))
        except BadRequest:
            continue
        if found is not None:
            assert 0 < found.size <= len(header)
            if found.client is not None:
                address, port = found.client
                socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
                assert 0 <= port <= 65535
