"""Against h11 and httptools: what we accept they accept and read alike, the exceptions are listed."""

import itertools

import pytest
from corpus_loader import VALID
from hypothesis import given, settings
from hypothesis import strategies as st
from other_parsers import ours, with_h11, with_httptools

# (parser, case) -> why it refuses what we accept.
REFUSALS = {
    ("h11", "one empty line before"): "RFC 9112 2.2: SHOULD ignore at least one",
    ("h11", "four empty lines before"): "RFC 9112 2.2: SHOULD ignore at least one",
    ("h11", "chunk extension whitespace"): "RFC 9110 5.6.3: bad whitespace MUST be parsed",
    ("httptools", "chunk extension whitespace"): "RFC 9110 5.6.3: bad whitespace MUST be parsed",
    ("httptools", "method of odd token characters"): "it knows a fixed list of methods",
    ("httptools", "method of 32 bytes"): "it knows a fixed list of methods",
    (
        "httptools",
        "trailers",
    ): "it takes a Content-Length in a trailer for framing; we drop trailers",
}
# (parser, case) -> why it reads the fields otherwise than we do.
FIELDS = {
    ("h11", "chunked, another case"): "it puts the value in lower case",
    **{
        (parser, case): "RFC 9112 3.2.2: the target's host MUST replace Host"
        for parser in ("h11", "httptools")
        for case in (
            "absolute, another host",
            "absolute IPv6",
            "absolute 1.0 without Host",
            "same fields after an absolute target",
        )
    },
}
OTHERS = {"h11": with_h11, "httptools": with_httptools}


@pytest.mark.parametrize("parser", OTHERS)
@pytest.mark.parametrize("case", VALID, ids=lambda case: case["name"])
def test_the_corpus(parser, case):
    mine = ours(case["data"])
    assert mine is not None
    theirs = OTHERS[parser](case["data"])
    key = (parser, case["name"])
    assert (theirs is None) == (key in REFUSALS)
    if theirs is not None:
        assert (theirs.fields != mine.fields) == (key in FIELDS)
        assert theirs._replace(fields={}) == mine._replace(fields={})


def test_the_exceptions_are_cases():
    names = {case["name"] for case in VALID}
    assert {name for _, name in (*REFUSALS, *FIELDS)} <= names


LENGTHS = [
    b"",
    b"Content-Length: 5\r\n",
    b"Content-Length: 05\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: -5\r\n",
    b"Content-Length: 5_0\r\n",
    b"Content-Length: 0x5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 5, 6\r\n",
    b"Content-Length: 5 5\r\n",
    b"Content-Length:\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n",
    b"Content-Length : 5\r\n",
    b"Content_Length: 5\r\n",
    b"Content-Length: 5\rX: y\r\n",
    b"Content-Length: 5\nX: y\r\n",
    b"X: y\nContent-Length: 5\r\n",
    b"X: y\rContent-Length: 5\r\n",
    b"X:\r\n Content-Length: 5\r\n",
    b"Content-Length: \x0b5\r\n",
    b"Content-Length: 5\0\r\n",
    b"\0Content-Length: 5\r\n",
]
CODINGS = [
    b"",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: CHUNKED\r\n",
    b"transfer-encoding:chunked \t\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: identity, chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
    b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer_Encoding: chunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding: chunked;q=1\r\n",
    b"Transfer-Encoding: 'chunked'\r\n",
    b"Transfer-Encoding:\r\n",
    b"X: y\nTransfer-Encoding: chunked\r\n",
    b" Transfer-Encoding: chunked\r\n",
]
BODIES = [
    b"",
    b"abcde",
    b"5\r\nabcde\r\n0\r\n\r\n",
    b"5;a=b\r\nabcde\r\n0\r\n\r\n",
    b"5\nabcde\r\n0\r\n\r\n",
    b"5\r\nabcdeX\r0\r\n\r\n",
    b"05\r\nabcde\r\n0\r\nX: y\r\n\r\n",
    b"5 \r\nabcde\r\n0\r\n\r\n",
    b"0x5\r\nabcde\r\n0\r\n\r\n",
    b"5\r\nabcde\r\n0\r\n\n",
    b"5;\nabcde\r\n0\r\n\r\n",
    b'5;a="\r\nabcde\r\n0\r\n\r\n',
]
TAIL = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_nobody_disagrees_where_a_body_ends(version):
    """All of CL x TE x order x body: who accepts what we accept ends it where we end it.

    So where h11 and httptools disagree with each other, we must have refused.
    """
    accepted = agreed = 0
    for length, coding, body, swap in itertools.product(LENGTHS, CODINGS, BODIES, (False, True)):
        if swap and not (length and coding):
            continue
        lines = coding + length if swap else length + coding
        data = b"POST / HTTP/" + version + b"\r\nHost: x\r\n" + lines + b"\r\n" + body + TAIL
        readings = [ours(data), with_h11(data), with_httptools(data)]
        mine = readings[0]
        ends = {(reading.end, reading.body) for reading in readings if reading is not None}
        if mine is not None:
            accepted += 1
            agreed += readings[1] is not None and readings[2] is not None
            assert len(ends) == 1, data
    assert accepted >= 30
    assert agreed >= accepted - 10


tokens = st.text("!#$%&'*+-.^`|~019azAZ", min_size=1, max_size=12)
values = st.text("".join(map(chr, [9, *range(32, 127), 0x80, 0xE9, 0xFF])), max_size=30)
targets = st.text("".join(map(chr, range(33, 127))), max_size=20).map(lambda text: "/" + text)
names = st.one_of(tokens, st.sampled_from(["Accept", "Cookie", "accept", "X_Y", "Content-Type"]))
chunk_lists = st.lists(st.binary(min_size=1, max_size=20), max_size=4)


@st.composite
def requests(draw):
    method = draw(st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE"]))
    lines = [f"{method} {draw(targets)} HTTP/1.1", "Host: x"]
    lines += [
        f"{name}:{value}" for name, value in draw(st.lists(st.tuples(names, values), max_size=6))
    ]
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    body = b""
    chunks = draw(chunk_lists)
    if framing == "length":
        body = b"".join(chunks)
        lines.insert(draw(st.integers(1, len(lines))), f"Content-Length: {len(body)}")
    elif framing == "chunked":
        body = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        lines.insert(draw(st.integers(1, len(lines))), "Transfer-Encoding: chunked")
    return (
        "\r\n".join([*lines, "", ""]).encode("latin-1") + body + draw(st.sampled_from([b"", TAIL]))
    )


@settings(max_examples=300, deadline=None)
@given(requests())
def test_generated_requests(data):
    mine = ours(data)
    if mine is None:
        return  # refusing more is our business
    for name, parser in OTHERS.items():
        theirs = parser(data)
        if theirs is None:
            # httptools wants RFC 3986 characters in some places of a target.
            assert name == "httptools" and not mine.target.isalnum(), data
            continue
        assert theirs == mine


@settings(max_examples=300, deadline=None)
@given(requests(), st.data())
def test_damaged_requests(data, draw):
    """One byte replaced, removed or doubled: whoever else accepts it ends it where we end it."""
    at = draw.draw(st.integers(0, len(data) - 1))
    piece = draw.draw(
        st.sampled_from([b"", b"\r", b"\n", b"\0", b" ", b"\t", b":", b"_", b"\xff", b"0"])
    )
    data = data[:at] + piece + data[at + draw.draw(st.integers(0, 1)) :]
    mine = ours(data)
    if mine is not None:
        for parser in OTHERS.values():
            theirs = parser(data)
            assert theirs is None or (theirs.end, theirs.body) == (mine.end, mine.body)
