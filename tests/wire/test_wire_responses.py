"""Response heads: what is added, what is refused, how the body is framed; read back by h11."""

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kirsch.wire.http1 import responses
from kirsch.wire.http1.requests import HeadLimits, parse_head
from kirsch.wire.http1.responses import (
    CONTINUE,
    LAST_CHUNK,
    around_value,
    encode_chunk,
    error_response,
    response_head,
    with_value,
)

REFUSED = r"control character|Malformed (status|header name)|latin-1"
SUFFIX = b"Date: Sat, 21 Nov 2026 03:32:40 GMT\r\nServer: Kirsch\r\n"


def request(method="GET", minor=1, connection=None):
    target = "x:1" if method == "CONNECT" else "/"
    lines = [f"{method} {target} HTTP/1.{minor}", "Host: x"]
    if connection:
        lines.append(f"Connection: {connection}")
    head = parse_head("\r\n".join([*lines, "", ""]).encode(), HeadLimits())
    assert head is not None
    return head


def respond(status="200 OK", headers=(), *, req=None, keep=True, size=None, suffix=SUFFIX, **more):
    return response_head(
        status,
        list(headers),
        request=req or request(),
        keep_alive=keep,
        body_length=size,
        suffix=suffix,
        **more,
    )


def lines(head):
    assert head.data.endswith(b"\r\n\r\n")
    return head.data[:-4].decode("latin-1").split("\r\n")


def test_the_common_one():
    head = respond(headers=[("Content-Type", "text/plain"), ("X-A", "b")], size=12)
    assert head.data == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: b\r\nContent-Length: 12\r\n"
        + SUFFIX
        + b"\r\n"
    )
    assert (head.framing, head.length, head.keep_alive) == ("length", 12, True)
    assert "200 OK" in repr(head)


def test_bytes_and_strings_give_the_same():
    pairs = [("Content-Type", "text/plain"), ("X-\u0041", "\xe9"), ("Date", "now")]
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    assert respond(headers=pairs, size=1).data == respond(headers=raw, size=1).data
    mixed = [pairs[0], raw[1], (pairs[2][0], raw[2][1])]
    assert respond(headers=mixed, size=1).data == respond(headers=raw, size=1).data


class TestSuffix:
    def test_what_the_application_says_itself_is_left_out(self):
        server = ("SERVER", "Mine")
        date = (b"date", b"today")
        assert lines(respond(headers=[server], size=0))[1:] == [
            "SERVER: Mine", "Content-Length: 0", "Date: Sat, 21 Nov 2026 03:32:40 GMT",
        ]  # fmt: skip
        assert lines(respond(headers=[date], size=0))[1:] == [
            "date: today", "Content-Length: 0", "Server: Kirsch",
        ]  # fmt: skip
        assert lines(respond(headers=[date, server], size=0))[1:] == [
            "date: today", "SERVER: Mine", "Content-Length: 0",
        ]  # fmt: skip

    def test_keep_alive_goes_with_the_connection(self):
        suffix = SUFFIX + b"Keep-Alive: timeout=10\r\n"
        both = [("Date", "today"), ("Server", "Mine")]
        assert "Keep-Alive: timeout=10" in lines(respond(size=0, suffix=suffix))
        assert lines(respond(headers=both, size=0, suffix=suffix))[3:] == [
            "Content-Length: 0", "Keep-Alive: timeout=10",
        ]  # fmt: skip
        for closing in (
            respond(size=0, suffix=suffix, keep=False),
            respond(size=0, suffix=suffix, headers=[("Connection", "close")]),
            respond(suffix=suffix, req=request(minor=0)),
        ):
            assert not any(line.startswith("Keep-Alive") for line in lines(closing))
            assert "Server: Kirsch" in lines(closing)

    def test_a_new_suffix_is_never_an_old_one(self):
        for second in range(50):
            suffix = b"Date: %d\r\nServer: Kirsch\r\n" % second
            head = respond(headers=[("Server", "Mine")], size=0, suffix=suffix)
            assert lines(head)[-1] == f"Date: {second}"
        assert len(responses._CUT) <= responses._CUT_LIMIT

    def test_none(self):
        assert respond(size=0, suffix=b"").data == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class TestInjection:
    BAD = ["\r", "\n", "\0", "\r\n", "\x7f", "\x1b", "\x0b", "\x01"]

    @pytest.mark.parametrize("bad", BAD)
    @pytest.mark.parametrize("place", ["status", "name", "value", "connection", "start", "end"])
    def test_control_bytes(self, bad, place):
        status = f"200 O{bad}K" if place == "status" else "200 OK"
        name = f"X{bad}A" if place == "name" else "X-A"
        value = {"value": f"a{bad}b", "start": bad + "a", "end": "a" + bad}.get(place, "a")
        pairs = [(name, value)]
        if place == "connection":
            pairs.append(("Connection", f"close{bad}x"))
        with pytest.raises(ValueError, match=REFUSED):
            respond(status, pairs, size=0)
        raw = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in pairs]
        with pytest.raises(ValueError, match=REFUSED):
            respond(status, raw, size=0)

    def test_a_whole_response_in_a_value(self):
        evil = "x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n"
        for name in ("X-A", "Location", "Set-Cookie", "Date", "Server", "Connection"):
            with pytest.raises(ValueError, match=REFUSED):
                respond(headers=[(name, evil)], size=0)

    @pytest.mark.parametrize(
        "name", ["", " ", "A b", "A:", ":A", "A\t", "\xc4", "A(", b"", b"A b", b"\xff", None, 3]
    )
    def test_names(self, name):
        with pytest.raises(ValueError, match="name"):
            respond(headers=[(name, "a")], size=0)

    @pytest.mark.parametrize("value", [None, 3, ["a"], object()])
    def test_values_of_other_types(self, value):
        with pytest.raises(ValueError, match="str or bytes"):
            respond(headers=[("X-A", value)], size=0)

    @pytest.mark.parametrize(
        "status",
        [
            "",
            "OK",
            "20",
            "2000 OK",
            "200OK",
            " 200 OK",
            "099 X",
            "\uff12\uff10\uff10 OK",
            None,
            200,
            b"200 OK",
        ],
    )
    def test_statuses(self, status):
        with pytest.raises(ValueError, match="status"):
            respond(status, size=0)

    def test_beyond_latin_1(self):
        for pairs in ([("X-A", "\u20ac")], [("X-A", "\u010a\u010d")]):
            with pytest.raises(ValueError, match=REFUSED):
                respond(headers=pairs, size=0)

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.one_of(
                    st.sampled_from(["X-A", "Date", "Connection", "Location"]), st.text(max_size=5)
                ),
                st.text(st.characters(max_codepoint=300), max_size=12),
            ),
            max_size=4,
        )
    )
    def test_as_many_lines_as_headers(self, pairs):
        try:
            head = respond(headers=pairs, size=0, suffix=b"")
        except ValueError:
            return
        got = lines(head)
        assert len(got) <= 3 + len(pairs)
        for line in got[1:]:
            assert ":" in line
            assert all(char == "\t" or char >= " " for char in line)

    def test_tables_are_bounded(self):
        for table in (responses._NAMES, responses._STATUS_LINES):
            before = dict(table)
            try:
                for number in range(table.LIMIT + 20):
                    respond(f"200 {number}", [(f"X-{number}", "a")], size=0)
                assert len(table) <= table.LIMIT
            finally:
                table.clear()
                table.update(before)
        respond("200 " + "x" * 100, [("X" * 100, "a")], size=0)
        assert "X" * 100 not in responses._NAMES


class TestLength:
    def test_the_application_decides(self):
        head = respond(headers=[("content-length", "7")], size=3)
        assert (head.framing, head.length) == ("length", 7)
        assert head.data.lower().count(b"content-length") == 1

    @pytest.mark.parametrize(
        "bad", ["", "x", "+1", "-1", "1_0", "0x1", "1, 1", " 1", "1 ", "\xb2", "9" * 19]
    )
    def test_malformed(self, bad):
        with pytest.raises(ValueError, match="Content-Length"):
            respond(headers=[("Content-Length", bad)], size=1)

    def test_twice(self):
        with pytest.raises(ValueError, match="More than one"):
            respond(headers=[("Content-Length", "1"), (b"CONTENT-LENGTH", b"1")], size=1)


# status, method, minor, given length, body length -> framing, length, announced, keep_alive
FRAMING = [
    ("200 OK", "GET", 1, None, 5, "length", 5, "5", True),
    ("200 OK", "GET", 1, None, 0, "length", 0, "0", True),
    ("200 OK", "GET", 1, None, None, "chunked", None, None, True),
    ("200 OK", "GET", 0, None, None, "close", None, None, False),
    ("200 OK", "GET", 0, None, 5, "length", 5, "5", True),
    ("200 OK", "GET", 1, "9", None, "length", 9, "9", True),
    ("200 OK", "HEAD", 1, None, None, "none", None, None, True),
    ("200 OK", "HEAD", 1, None, 0, "none", None, None, True),
    ("200 OK", "HEAD", 1, "9", 0, "none", None, "9", True),
    ("200 OK", "HEAD", 0, None, None, "none", None, None, True),
    ("204 No Content", "GET", 1, "9", 0, "none", None, None, True),
    ("204 No Content", "GET", 1, None, None, "none", None, None, True),
    ("205 Reset Content", "GET", 1, "9", 4, "none", None, "0", True),
    ("304 Not Modified", "GET", 1, "9", 0, "none", None, "9", True),
    ("304 Not Modified", "GET", 1, None, 0, "none", None, None, True),
    ("304 Not Modified", "GET", 0, None, None, "none", None, None, True),
    ("101 Switching Protocols", "GET", 1, "9", 0, "none", None, None, True),
    ("103 Early Hints", "GET", 1, None, 0, "none", None, None, True),
    ("200 OK", "CONNECT", 1, "9", 0, "none", None, None, True),
    ("405 No", "CONNECT", 1, "9", 9, "length", 9, "9", True),
    ("405 No", "CONNECT", 1, None, None, "chunked", None, None, True),
]


@pytest.mark.parametrize("row", FRAMING, ids=str)
def test_framing(row):
    status, method, minor, given_length, size, framing, length, announced, stays = row
    headers = [("Content-Length", given_length)] if given_length else []
    req = request(method, minor, "keep-alive")
    head = respond(status, headers, req=req, size=size)
    assert (head.framing, head.length, head.keep_alive) == (framing, length, stays)
    said = [line.partition(": ")[2] for line in lines(head) if line.startswith("Content-Length")]
    assert said == ([announced] if announced else [])
    assert (b"Transfer-Encoding: chunked" in head.data) == (framing == "chunked")


class TestConnection:
    def said(self, head):
        return [line for line in lines(head) if line.startswith(("Connection", "Keep-Alive"))]

    def test_nothing_to_say(self):
        assert self.said(respond(size=0)) == []
        assert self.said(respond(size=0, req=request(connection="keep-alive"))) == []

    @pytest.mark.parametrize("minor", [0, 1])
    @pytest.mark.parametrize(("wish", "keep"), [("close", True), ("keep-alive", False)])
    def test_either_side_may_close(self, minor, wish, keep):
        head = respond(size=0, keep=keep, req=request(minor=minor, connection=wish))
        assert self.said(head) == ["Connection: close"]
        assert head.keep_alive is False

    def test_the_application_may_close(self):
        for value in ("close", "Close", "foo, CLOSE"):
            head = respond(headers=[("connection", value)], size=0)
            assert head.keep_alive is False
            assert self.said(head)[0].endswith("close")

    def test_the_application_cannot_keep(self):
        head = respond(headers=[("Connection", "keep-alive")], size=0, keep=False)
        assert self.said(head) == ["Connection: close"]
        head = respond(headers=[("Connection", "keep-alive"), ("Keep-Alive", "timeout=99")], size=0)
        assert head.keep_alive is True
        assert self.said(head) == []

    def test_1_0_that_stays(self):
        req = request(minor=0, connection="Keep-Alive")
        assert self.said(respond(size=0, req=req)) == ["Connection: Keep-Alive"]
        assert self.said(respond(size=0, req=req, timeout=10)) == [
            "Keep-Alive: timeout=10", "Connection: Keep-Alive",
        ]  # fmt: skip
        assert self.said(respond(req=req)) == ["Connection: close"]  # unknown length

    def test_upgrade(self):
        headers = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        head = respond("101 Switching Protocols", headers, keep=False)
        assert self.said(head) == ["Connection: upgrade"]
        assert b"Upgrade: websocket\r\n" in head.data

    def test_transfer_encoding_is_ours(self):
        head = respond(headers=[("Transfer-Encoding", "chunked")], size=3)
        assert head.framing == "length"
        assert b"Transfer-Encoding" not in head.data
        with pytest.raises(ValueError, match="Transfer-Encoding"):
            respond(headers=[(b"transfer-encoding", b"gzip")], size=3)

    def test_a_server_of_1_0(self):
        head = respond(protocol="HTTP/1.0")
        assert head.data.startswith(b"HTTP/1.0 200 OK\r\n")
        assert (head.framing, head.keep_alive) == ("close", False)
        head = respond(size=1, protocol="HTTP/1.0")
        assert self.said(head) == ["Connection: Keep-Alive"]


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "299", "299 \xe9"])
@pytest.mark.parametrize(("size", "chunks"), [(6, False), (None, True)])
def test_h11_reads_it_back(status, size, chunks):
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    head = respond(status, [("X-A", "b"), ("X-A", "c")], size=size)
    body = b"abcdef"
    client.receive_data(head.data)
    client.receive_data(
        encode_chunk(b"abc") + encode_chunk(b"def") + LAST_CHUNK if chunks else body
    )
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == int(status[:3])
    assert [value for name, value in response.headers if name == b"x-a"] == [b"b", b"c"]
    got = b""
    while isinstance(event := client.next_event(), h11.Data):
        got += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert got == body


VALUES = ["", "1", "id=3; Path=/", "a\tb", "caf\xe9", "a\r\nX: b", "a\x7f", b"1", 7]


@pytest.mark.parametrize(
    "name", ["Set-Cookie", "X-Own", "Date", "Connection", "Content-Length", b"X"]
)
@pytest.mark.parametrize(
    "before", [(), (("Set-Cookie", "1"),), (("X-Own", "1"), ("Server", "mine"))]
)
def test_another_value_in_the_same_head(name, before):
    """What is put in a known head is what would have been written anew, or it is not put there."""

    def written(value):
        return respond(headers=[*before, (name, value)], size=1)

    known = written("1")
    around = around_value(known, name, "1")
    assert (around is not None) == (name in ("Set-Cookie", "X-Own"))
    if around is None:
        return
    made = [with_value(known, around, value) for value in VALUES]
    assert [one is not None for one in made] == [True, True, True] + [False] * 6
    for value, one in zip(VALUES, made, strict=True):
        if one is not None:
            anew = written(value)
            assert (one.data, one.framing) == (anew.data, anew.framing)
            assert (one.length, one.keep_alive) == (anew.length, anew.keep_alive)


def test_chunks():
    assert encode_chunk(b"a" * 26) == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert encode_chunk(b"") == b""
    assert LAST_CHUNK == b"0\r\n\r\n"
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"


class TestErrorResponse:
    def test_complete(self):
        assert error_response(400, "Illegal header line.", suffix=SUFFIX) == (
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 20\r\nContent-Type: text/plain\r\n"
            b"Connection: close\r\n" + SUFFIX + b"\r\nIllegal header line."
        )

    def test_headers_and_no_body(self):
        data = error_response(503, "Busy", headers=[("Retry-After", "1")], body=False)
        head, _, body = data.partition(b"\r\n\r\n")
        assert b"\r\nRetry-After: 1\r\n" in data
        assert b"\r\nContent-Length: 4\r\n" in head
        assert body == b""

    def test_text_beyond_ascii(self):
        data = error_response(500, "\u20ac")
        assert data.endswith(b"\r\n\r\n\xe2\x82\xac")
        assert b"Content-Length: 3\r\n" in data
        assert b"charset=utf-8" in data

    def test_injection(self):
        with pytest.raises(ValueError, match="control"):
            error_response(400, "", headers=[("A", "b\r\nC: d")])
        with pytest.raises(ValueError, match="name"):
            error_response(400, "", headers=[("A:", "b")])
        with pytest.raises(ValueError, match="status"):
            error_response(20, "")
