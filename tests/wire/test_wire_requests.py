"""Request heads: limits to the byte, what is shared between heads, what is refused early."""

import sys

import pytest

from kirsch.wire.errors import BadRequest, HeadTooLarge, ProtocolError
from kirsch.wire.http1 import requests
from kirsch.wire.http1.requests import (
    MAX_EMPTY_LINES,
    HeadLimits,
    RequestHead,
    check_partial,
    parse_head,
    parse_request_line,
)

LIMITS = HeadLimits()
PLAIN = b"GET /a?b HTTP/1.1\r\nHost: x\r\nCookie: c=d\r\n\r\n"


def refused(data, limits=LIMITS, last=None):
    with pytest.raises(ProtocolError) as caught:
        parse_head(data, limits, last)
    return caught.value.status, caught.value.text


def test_everything_a_head_says():
    head = parse_head(PLAIN + b"more", LIMITS)
    assert isinstance(head, RequestHead)
    assert (head.method, head.target, head.path, head.query) == ("GET", "/a?b", "/a", "b")
    assert (head.scheme, head.minor, head.size) == (None, 1, len(PLAIN))
    assert head.fields == {"HTTP_HOST": "x", "HTTP_COOKIE": "c=d"}
    assert (head.length, head.chunked, head.keep_alive, head.expect) == (None, False, True, False)
    assert repr(head) == "<RequestHead GET '/a?b' HTTP/1.1>"
    assert not hasattr(head, "__dict__")


def test_every_beginning_is_incomplete():
    for end in range(len(PLAIN)):
        assert parse_head(PLAIN[:end], LIMITS) is None
    assert parse_head(b"", LIMITS) is None


class TestLast:
    def test_the_same_bytes_give_the_same_object(self):
        first = parse_head(PLAIN, LIMITS)
        assert parse_head(PLAIN + b"GET", LIMITS, first) is first

    def test_another_line_shares_the_fields(self):
        first = parse_head(PLAIN, LIMITS)
        data = PLAIN.replace(b"/a?b", b"/%62")
        second = parse_head(data, LIMITS, first)
        assert second.fields is first.fields
        assert (second.target, second.path, second.query) == ("/%62", "/b", "")
        assert second.size == len(data)

    def test_other_fields_share_nothing(self):
        first = parse_head(PLAIN, LIMITS)
        second = parse_head(PLAIN.replace(b"c=d", b"c=e"), LIMITS, first)
        assert second.fields == {"HTTP_HOST": "x", "HTTP_COOKIE": "c=e"}
        assert first.fields["HTTP_COOKIE"] == "c=d"

    def test_a_longer_head_that_begins_alike(self):
        first = parse_head(PLAIN, LIMITS)
        second = parse_head(PLAIN[:-2] + b"A: b\r\n\r\n", LIMITS, first)
        assert second.fields["HTTP_A"] == "b"

    def test_an_unfinished_head_that_begins_alike(self):
        first = parse_head(PLAIN, LIMITS)
        assert parse_head(PLAIN[:-2], LIMITS, first) is None

    def test_a_line_that_begins_alike(self):
        first = parse_head(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", LIMITS)
        data = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".replace(b"1.1", b"1.1x")
        assert refused(data, last=first) == (400, "Malformed Request-Line: bad version")

    def test_sizes_with_and_without_empty_lines(self):
        first = parse_head(b"\r\n" + PLAIN, LIMITS)
        assert first.size == len(PLAIN) + 2
        second = parse_head(PLAIN, LIMITS, first)
        assert second.size == len(PLAIN)
        assert second.fields is first.fields
        third = parse_head(b"\r\n\r\n" + PLAIN, LIMITS, second)
        assert (second.size, third.size) == (len(PLAIN), len(PLAIN) + 4)

    def test_the_host_rule_is_asked_again_for_another_version(self):
        data = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        first = parse_head(data, LIMITS)
        assert first.keep_alive
        status, text = refused(data.replace(b"1.0", b"1.1"), last=first)
        assert (status, text) == (400, "HTTP/1.1 requires a 'Host' request header.")

    def test_a_host_taken_from_a_target_stays_with_it(self):
        first = parse_head(PLAIN.replace(b"/a?b", b"http://y/a"), LIMITS)
        assert first.fields["HTTP_HOST"] == "y"
        assert parse_head(PLAIN, LIMITS, first).fields["HTTP_HOST"] == "x"

    def test_connect_is_not_mistaken_for_a_path(self):
        first = parse_head(PLAIN, LIMITS)
        _, text = refused(PLAIN.replace(b"GET", b"CONNECT"), last=first)
        assert text == "Invalid path in Request-URI: request-target must match authority-form."

    def test_limits_hold(self):
        first = parse_head(PLAIN, LIMITS)
        longer = PLAIN.replace(b"/a", b"/" + b"a" * 100)
        assert refused(longer, HeadLimits(max_request_line=50), first)[0] == 414
        assert refused(longer, HeadLimits(max_head=len(longer) - 1), first)[0] == 413


class TestLimits:
    @pytest.mark.parametrize("last", [None, parse_head(PLAIN, LIMITS)])
    def test_request_line_to_the_byte(self, last):
        line = len(b"GET /a?c HTTP/1.1\r\n")
        data = PLAIN.replace(b"?b", b"?c")
        assert parse_head(data, HeadLimits(max_request_line=line), last)
        assert refused(data, HeadLimits(max_request_line=line - 1), last) == (
            414,
            "The Request-URI sent with the request exceeds the maximum allowed bytes.",
        )

    @pytest.mark.parametrize("last", [None, parse_head(PLAIN, LIMITS)])
    def test_head_to_the_byte(self, last):
        data = PLAIN.replace(b"?b", b"?c")
        assert parse_head(data + b"x" * 99, HeadLimits(max_head=len(data)), last)
        assert refused(data, HeadLimits(max_head=len(data) - 1), last) == (
            413,
            "The headers sent with the request exceed the maximum allowed bytes.",
        )

    def test_a_line_larger_than_the_head_may_be(self):
        assert refused(PLAIN, HeadLimits(max_head=10))[0] == 414

    def test_number_of_fields(self):
        assert parse_head(PLAIN, HeadLimits(max_fields=2))
        assert refused(PLAIN, HeadLimits(max_fields=1))[0] == 431

    def test_unfinished_heads_are_measured(self):
        assert refused(b"G" * 101, HeadLimits(max_request_line=100))[0] == 414
        assert refused(PLAIN[:40], HeadLimits(max_head=30))[0] == 413
        assert refused(PLAIN[:-2], HeadLimits(max_fields=1))[0] == 431
        many = b"GET / HTTP/1.1\r\n" + b"abcd: e\r\n" * 1000
        assert refused(many, HeadLimits(max_fields=999))[0] == 431
        assert parse_head(many, HeadLimits(max_fields=1000)) is None

    def test_zero_lifts_a_limit(self):
        limits = HeadLimits(0, 0, 0)
        assert limits.max_head == limits.max_fields == limits.max_request_line == sys.maxsize
        data = b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 500 + b"\r\n"
        assert parse_head(data, limits).size == len(data)

    def test_empty_lines(self):
        for number in range(MAX_EMPTY_LINES + 1):
            assert parse_head(b"\r\n" * number, LIMITS) is None
            assert parse_head(b"\r\n" * number + b"\r", LIMITS) is None
            assert parse_head(b"\r\n" * number + PLAIN[:-1], LIMITS) is None
            assert parse_head(b"\r\n" * number + PLAIN, LIMITS).size == len(PLAIN) + 2 * number
        assert refused(b"\r\n" * (MAX_EMPTY_LINES + 1)) == (400, "Malformed Request-Line")


class TestEarlyRefusal:
    """What no continuation can mend is refused before the head is complete."""

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/1.1\r\n\n",
            b"GET / HTTP/1.1\r\nHost: x\n",
            b"GET / HTTP/9.1\r\n",
            b"get / HTTP/1.1\r\n",
            b"GET /\r\n",
            b"\x16\x03\x01",
            b"\n",
            b"GET / HTTP/1.1\r\nHost : x\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n",
            b"GET / HTTP/1.1\r\nBad\r\nGood: x\r\n",
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 90 + b"C\0: d\r\n",
            b"GET / HTTP/1.1\r\nA: " + b"b" * 8000 + b"\r\nC\0: d\r\n",
            b"GET / HTTP/1.1\r\nA: " + b"b" * 8000 + b"\n",
            b"GET /" + b"a" * 8000 + b"#b HTTP/1.1\r\n",
            b"a:b\r\n",
            b"a:" + b"b" * 8000 + b"\r\n",
        ],
    )
    def test_it(self, data):
        with pytest.raises(ProtocolError):
            check_partial(data, LIMITS)
        assert refused(data)
        with pytest.raises(ProtocolError):
            parse_head(data + PLAIN, LIMITS)

    def test_a_long_unfinished_head_is_looked_at_from_its_end(self):
        data = b"GET / HTTP/1.1\r\nA: " + b"b" * 8000 + b"\r\nHost: x\r\nC: d"
        assert parse_head(data, LIMITS) is None
        assert parse_head(b"GET /" + b"a" * 8000, LIMITS) is None
        assert parse_head(b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\nHo", LIMITS) is None


class TestNames:
    def test_spellings_are_learnt_up_to_a_bound(self):
        table = requests._KEYS
        before = len(table)
        try:
            for number in range(table.LIMIT + 50):
                fields = b"GET / HTTP/1.0\r\nX-Junk-%d: 1\r\n\r\n" % number
                assert parse_head(fields, LIMITS).fields == {f"HTTP_X_JUNK_{number}": "1"}
            assert len(table) <= table.LIMIT
            assert table["Host"] == "HTTP_HOST"
        finally:
            for name in list(table)[before:]:
                del table[name]

    def test_long_and_underscore_names_are_not_kept(self):
        name = "X-" + "a" * 100
        data = f"GET / HTTP/1.0\r\n{name}: 1\r\nA_b: 2\r\n\r\n".encode()
        assert parse_head(data, LIMITS).fields == {"HTTP_X_" + "A" * 100: "1"}
        assert name not in requests._KEYS
        assert "A_b" not in requests._KEYS

    def test_hosts_are_remembered_up_to_a_bound(self):
        before = dict(requests._HOSTS)
        try:
            for number in range(requests._HOSTS_LIMIT + 10):
                assert parse_head(b"GET / HTTP/1.1\r\nHost: h%d\r\n\r\n" % number, LIMITS)
            assert len(requests._HOSTS) == requests._HOSTS_LIMIT
            assert refused(b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")[0] == 400
        finally:
            requests._HOSTS.clear()
            requests._HOSTS.update(before)


def test_request_lines():
    assert parse_request_line("GET http://h:1/%7e?q HTTP/1.0") == (
        "GET", "http://h:1/%7e?q", "http", "/~", "q", 0, "h:1",
    )  # fmt: skip
    with pytest.raises(BadRequest):
        parse_request_line("GET /\n HTTP/1.1")


def test_errors_say_nothing_of_what_was_sent():
    marker = b"s3cr3t"
    for data in (
        b"GET /%b#x HTTP/1.1\r\n\r\n", b"%b\r\n\r\n", b"GET / HTTP/1.1\r\n%b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: %b/\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: %b\r\n\r\n",
        b"GET / %b/1.1\r\n\r\n", b"%b / HTTP/1.1\r\n\r\n",
    ):  # fmt: skip
        assert "s3cr3t" not in refused(data % marker)[1]


def test_kinds_of_errors():
    with pytest.raises(HeadTooLarge):
        parse_head(PLAIN, HeadLimits(max_head=20))
    with pytest.raises(BadRequest):
        parse_head(b"\0", LIMITS)
