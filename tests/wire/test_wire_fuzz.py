"""Whatever arrives: an answer or a `ProtocolError`, the same at every split, in linear time."""

import time

from corpus_loader import INVALID, VALID, pieces, replay
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kirsch.wire.errors import ProtocolError
from kirsch.wire.http1 import requests
from kirsch.wire.http1.bodies import BodyLimits, ChunkedBody, LengthBody
from kirsch.wire.http1.requests import HeadLimits, check_partial, parse_head, parse_request_line

CORPUS = [case["data"] for case in (*VALID, *INVALID)]
FRAGMENTS = [
    b"GET ", b"POST ", b"/", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\n", b"\r", b"Host: x\r\n",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b": ",
    b"\r\n\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"\0", b"\xff", b" ", b"\t", b"#", b"?", b"%00", b"A" * 300,
    b"abc", b";", b'"', b"=",
]  # fmt: skip
soups = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join)


@st.composite
def damaged(draw):
    data = bytearray(draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(
            st.one_of(st.binary(max_size=3), st.sampled_from(FRAGMENTS))
        )
    return bytes(data)


inputs = st.one_of(soups, damaged(), st.binary(max_size=200))


@settings(max_examples=500, deadline=None)
@given(inputs)
def test_nothing_but_protocol_errors(data):
    for limits in (HeadLimits(), HeadLimits(64, 128, 3)):
        try:
            head = parse_head(data, limits)
        except ProtocolError as error:
            assert error.status in (400, 413, 414, 431, 501, 505)
            assert error.text.isascii() and error.text.isprintable()
        else:
            assert head is None or 0 < head.size <= len(data)


blanks = st.text(" \t", max_size=3)
field_lines = st.tuples(
    st.sampled_from(["A", "b-C", "Host", "Cookie", "A_b", "x"]),
    blanks,
    st.text("a:b \t\xe9,;", max_size=8),
    blanks,
).map(lambda parts: f"{parts[0]}:{''.join(parts[1:])}")


@settings(max_examples=500, deadline=None)
@given(st.lists(field_lines, max_size=8))
def test_the_quick_path_reads_what_the_careful_one_reads(lines):
    data = "\r\n".join(["GET / HTTP/1.0", *lines, "", ""]).encode("latin-1")
    try:
        head = parse_head(data, HeadLimits())
    except ProtocolError:
        return
    assert head is not None
    careful = [
        (name, value) for name, value in requests._walk(data, HeadLimits()) if "_" not in name
    ]
    assert head.fields.keys() == {"HTTP_" + name.upper().replace("-", "_") for name, _ in careful}
    for name, value in careful:
        key = "HTTP_" + name.upper().replace("-", "_")
        same = [other for again, other in careful if again.upper() == name.upper()]
        assert head.fields[key] == ("; " if key == "HTTP_COOKIE" else ", ").join(same)
        assert value == value.strip(" \t")


@settings(max_examples=300, deadline=None)
@given(inputs, st.lists(st.integers(0, 3000), max_size=12))
@example(b"GET / HTTP/1.1\r\nA: b\nC: d\r\n", [20])
def test_splits_do_not_matter(data, cuts):
    whole = replay([data])
    assert replay(list(pieces(data, cuts))) == whole
    if len(data) < 600:
        assert replay([data[i : i + 1] for i in range(len(data))]) == whole


@settings(max_examples=200, deadline=None)
@given(inputs, inputs)
def test_a_refused_beginning_stays_refused(data, more):
    """None means: so far acceptable. So an error must not depend on what comes later."""
    try:
        parse_head(data, HeadLimits(512, 1024, 10))
    except ProtocolError as error:
        if b"\r\n\r\n" in data:
            return
        try:
            parse_head(data + more, HeadLimits(512, 1024, 10))
        except ProtocolError as again:
            assert (again.status, again.text) == (error.status, error.text)
        else:
            raise AssertionError("accepted after all") from error


@settings(max_examples=200, deadline=None)
@given(st.one_of(soups, st.binary(max_size=100)), st.lists(st.integers(0, 400), max_size=8))
def test_chunked_bodies(data, cuts):
    def read(stream):
        body = ChunkedBody(BodyLimits(max_body=1000, max_chunk_line=40, max_trailer=60))
        decoded = b""
        try:
            for piece in stream:
                decoded += body.feed(piece)
        except ProtocolError as error:
            return error.status, error.text
        assert len(decoded) + len(body.rest) <= len(data)
        assert data.endswith(body.rest)
        return decoded, body.done, body.rest

    whole = read([data])
    assert read(pieces(data, cuts)) == whole
    assert read(data[i : i + 1] for i in range(len(data))) == whole


@given(st.integers(0, 50), st.binary(max_size=100), st.lists(st.integers(0, 100), max_size=8))
def test_length_bodies(length, data, cuts):
    body = LengthBody(length)
    decoded = b"".join([body.feed(piece) for piece in pieces(data, cuts)])
    assert decoded == data[:length]
    assert body.done == (len(data) >= length)
    assert body.rest == data[length:]


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_request_lines(line):
    try:
        method, target, *_ = parse_request_line(line)
    except ProtocolError:
        return
    assert line.startswith(f"{method} {target} HTTP/1.")


def cost(run, *arguments):
    best = 9.9
    for _ in range(3):
        start = time.thread_time()
        run(*arguments)
        best = min(best, time.thread_time() - start)
    return best


def feed_head(stream):
    limits = HeadLimits(1 << 20, 1 << 20, 1 << 20)
    buffer = b""
    for piece in stream:
        buffer += piece
        if b"\n" in piece:
            try:
                parse_head(buffer, limits)
            except ProtocolError:
                return


def test_time_is_linear_in_what_arrives():
    """Ten times the bytes may cost some ten times the time, whatever they are; never a hundred."""
    shapes = [
        lambda n: b"GET / HTTP/1.1\r\nA:" + b" " * n + b"\0\r\n\r\n",
        lambda n: b"GET / HTTP/1.1\r\nA:" + b" \t" * n + b"\r\n\r\n",
        lambda n: b"GET / HTTP/1.1\r\n" + b"A" * n + b"\r\n\r\n",
        lambda n: b"GET / HTTP/1.1\r\n" + b"\r" * n + b"\r\n\r\n",
        lambda n: b"GET /" + b"%" * n + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda n: b"GET /" + b"?" * n + b"# HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda n: b"GET http://" + b"a" * n + b"/ HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda n: b"GET / HTTP/1.1\r\nHost: =?" + b"a" * n + b"\r\n\r\n",
        lambda n: b"GET / HTTP/1.1\r\nHost: x\r\nConnection: " + b"," * n + b"\r\n\r\n",
        lambda n: b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * (n // 6) + b"\r\n",
        lambda n: b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A b\r\n" * (n // 6) + b"\r\n",
        lambda n: b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"1" * n + b"\r\n\r\n",
    ]
    for index, shape in enumerate(shapes):
        small, large = shape(10_000), shape(100_000)
        assert cost(feed_head, [large]) < 40 * max(cost(feed_head, [small]), 2e-4), index


def test_time_of_chunk_lines_is_linear():
    def read(data):
        body = ChunkedBody(BodyLimits(max_chunk_line=1 << 20, max_trailer=1 << 20))
        try:
            body.feed(data)
        except ProtocolError:
            pass

    for make in (
        lambda n: b"1;" + b"a;" * n + b"\r\n",
        lambda n: b"1" + b" " * n + b"\r\n",
        lambda n: b"1;a" + b" " * n + b"\0\r\n",
        lambda n: b'1;a="' + b"\\" * n + b"\r\n",
        lambda n: b'1;a="' + b'\\"' * n + b"\0\r\n",
        lambda n: b"1\r\na\r\n" * n,
        lambda n: b"0\r\nA:" + b" " * n + b"\0\r\n",
    ):
        assert cost(read, make(30_000)) < 40 * max(cost(read, make(3_000)), 2e-4), make(3)


def test_many_small_lines_arriving_one_by_one_are_cheap():
    limits = HeadLimits()
    buffer = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 60_000 + b"\r\n"
    start = time.perf_counter()
    for _ in range(100):
        buffer += b"a:b\r\n"
        assert parse_head(buffer, limits) is None
    assert time.perf_counter() - start < 0.5
    check_partial(buffer, limits)
