"""Request bodies: where they end, what they may weigh, and that nothing is lost or kept."""

import pytest

from kirsch.wire.errors import BadBody, BodyTooLarge, HeadTooLarge, ProtocolError
from kirsch.wire.http1.bodies import BodyLimits, ChunkedBody, LengthBody


class TestLength:
    def test_nothing_is_copied_that_need_not_be(self):
        body = LengthBody(10)
        data = b"abcde"
        assert body.feed(data) is data
        assert not body.done
        assert body.feed(data) is data
        assert body.done
        assert body.rest == b""

    def test_the_rest(self):
        body = LengthBody(3)
        assert body.feed(b"abcGET") == b"abc"
        assert (body.done, body.rest) == (True, b"GET")
        assert body.feed(b" /") == b""
        assert body.rest == b"GET /"

    def test_none(self):
        body = LengthBody(0)
        assert body.done
        assert body.feed(b"GET") == b""
        assert body.rest == b"GET"

    def test_limit(self):
        assert not LengthBody(10, 10).done
        with pytest.raises(BodyTooLarge) as caught:
            LengthBody(11, 10)
        assert caught.value.status == 413
        LengthBody(1 << 50, 0)


class TestChunked:
    def test_across_feeds(self):
        body = ChunkedBody(BodyLimits())
        assert body.feed(b"5;a=b\r") == b""
        assert body.feed(b"\nab") == b"ab"
        assert body.feed(b"cde\r") == b"cde"
        assert body.feed(b"\n3\r\nxyz\r\n0\r\nA: ") == b"xyz"
        assert not body.done
        assert body.feed(b"b\r\n\r\nGET") == b""
        assert (body.done, body.rest) == (True, b"GET")
        assert body.feed(b" /") == b""
        assert body.rest == b"GET /"

    def test_several_chunks_at_once(self):
        body = ChunkedBody(BodyLimits())
        assert body.feed(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n") == b"abc"
        assert body.done

    def test_limit_to_the_byte(self):
        body = ChunkedBody(BodyLimits(max_body=5))
        assert body.feed(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") == b"abcde"
        body = ChunkedBody(BodyLimits(max_body=4))
        assert body.feed(b"3\r\nabc\r\n") == b"abc"
        with pytest.raises(BodyTooLarge):
            body.feed(b"2\r\n")  # announced is enough

    def test_line_limit_to_the_byte(self):
        line = b"1;abc\r\n"
        assert ChunkedBody(BodyLimits(max_chunk_line=len(line))).feed(line + b"x") == b"x"
        with pytest.raises(BadBody):
            ChunkedBody(BodyLimits(max_chunk_line=len(line) - 1)).feed(line)
        with pytest.raises(BadBody):
            ChunkedBody(BodyLimits(max_chunk_line=len(line) - 1)).feed(b"1;abcdef")

    def test_trailer_limits(self):
        trailer = b"A: b\r\n"
        ChunkedBody(BodyLimits(max_trailer=8, max_fields=1)).feed(b"0\r\n" + trailer + b"\r\n")
        for limits in (BodyLimits(max_trailer=7), BodyLimits(max_fields=1)):
            with pytest.raises(HeadTooLarge) as caught:
                ChunkedBody(limits).feed(b"0\r\n" + trailer * 2 + b"\r\n")
            assert caught.value.status == 431

    def test_held_bytes_are_bounded(self):
        body = ChunkedBody(BodyLimits(max_chunk_line=50))
        with pytest.raises(ProtocolError):
            for _ in range(100):
                body.feed(b"0")
        assert len(body._held) <= 51

    def test_done_cannot_be_set(self):
        with pytest.raises(AttributeError):
            ChunkedBody(BodyLimits()).done = True


def test_zero_lifts_limits():
    limits = BodyLimits(0, 0, 0, 0)
    body = ChunkedBody(limits)
    assert (
        body.feed(b"1;" + b"a" * 10_000 + b"\r\nx\r\n0\r\n" + b"A: b\r\n" * 5000 + b"\r\n") == b"x"
    )
    assert body.done
