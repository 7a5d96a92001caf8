"""Query strings, byte ranges, hosts and the joining of paths."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl
from urllib.parse import unquote_plus as reference

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirsch.http.hosts import Host, SanitizedHost, protocol_from_http, urljoin, urljoin_bytes
from kirsch.http.query import _parse_qs, parse_query_string, unquote_plus
from kirsch.http.ranges import MAX_RANGES, get_ranges


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("", {}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2", {"a": "1", "b": "2"}),
        ("a=1&a=2&a=3", {"a": ["1", "2", "3"]}),
        ("5,6", {"x": 5, "y": 6}),
        ("5,6&x=1", {"5,6": "", "x": "1"}),
        ("a", {"a": ""}),
        ("=1", {"": "1"}),
        ("a=%20+b", {"a": "  b"}),
        ("a=%zz%4", {"a": "%zz%4"}),
        ("%61=1&a=2", {"a": ["1", "2"]}),
        ("x=1=2", {"x": "1=2"}),
        ("&&", {}),
        ("+=1", {" ": "1"}),
        ("a=%C3%A9&b=é", {"a": "é", "b": "é"}),
    ],
)
def test_parse_query_string(text, params):
    assert parse_query_string(text) == params


def test_other_ways_to_read_it():
    assert parse_query_string("a=&b", keep_blank_values=False) == {}
    assert parse_query_string("a=%E9", encoding="latin-1") == {"a": "é"}
    with pytest.raises(UnicodeDecodeError):
        parse_query_string("a=%ff")
    with pytest.raises(ValueError, match="bad query field: 'a'"):
        _parse_qs("a&b=1", True, True)
    assert _parse_qs("a&b=1") == {"b": "1"}


@given(st.text(alphabet="ab%C3A9+ é&=", max_size=60))
def test_unquoting_agrees_with_the_standard_library(text):
    assert unquote_plus(text, errors="replace") == reference(text)


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=8))
def test_what_was_encoded_comes_back(pairs):
    from urllib.parse import urlencode

    text = urlencode(pairs)
    params = parse_query_string(text)
    expected: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        expected.setdefault(name, []).append(value)
    if "," not in text:
        assert {
            name: value if isinstance(value, list) else [value] for name, value in params.items()
        } == expected


@pytest.mark.parametrize(
    ("field", "length", "ranges"),
    [
        (None, 10, None),
        ("", 10, None),
        ("bytes=0-4", 10, [(0, 5)]),
        ("Bytes=0-4", 10, [(0, 5)]),
        ("bytes= 0 - 4 ", 10, [(0, 5)]),
        ("bytes=-3", 10, [(7, 10)]),
        ("bytes=-30", 10, [(0, 10)]),
        ("bytes=5-", 10, [(5, 10)]),
        ("bytes=0-100", 10, [(0, 10)]),
        ("bytes=0-" + "9" * 5000, 10, [(0, 10)]),
        ("bytes=" + "9" * 5000 + "-", 10, []),
        ("bytes=0-4,7-8", 10, [(0, 5), (7, 9)]),
        ("bytes=0-4,", 10, [(0, 5)]),
        ("bytes=0-0,-1", 10, [(0, 1), (9, 10)]),
        ("bytes=7-8,0-1", 10, [(7, 9), (0, 2)]),
        ("bytes=0-1,50-60", 10, [(0, 2)]),
        ("bytes=10-20", 10, []),
        ("bytes=-0", 10, []),
        ("bytes=0-4", 0, []),
        ("bytes=-5", 0, []),
        # Malformed, or another unit: ignored (RFC 9110, 14.2).
        ("bytes=4-2", 10, None),
        ("bytes=0-1,4-2", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=--1", 10, None),
        ("bytes=-", 10, None),
        ("bytes=", 10, None),
        ("bytes", 10, None),
        ("items=0-1", 10, None),
        ("bytes=1_0-2", 100, None),
        ("bytes=٣-٤", 10, None),
        ("bytes=0-4;x", 10, None),
        # More than the whole: merged.
        ("bytes=0-5,2-9,3-4", 10, [(0, 10)]),
        ("bytes=0-,0-,0-", 10, [(0, 10)]),
    ],
)
def test_get_ranges(field, length, ranges):
    assert get_ranges(field, length) == ranges


def test_too_many_ranges_are_ignored():
    assert len(get_ranges("bytes=" + ",".join(f"{2 * i}-{2 * i}" for i in range(20)), 100)) == 20
    assert get_ranges("bytes=" + "0-0," * MAX_RANGES, 100) is None
    started = time.thread_time()
    get_ranges("bytes=" + "0-0," * 100000, 100)
    get_ranges("bytes=" + " " * 100000 + "0-0", 100)
    assert time.thread_time() - started < 4


@given(st.text(alphabet="0123456789-, bytes=", max_size=40), st.integers(0, 50))
def test_ranges_never_leave_the_file(text, length):
    for start, stop in get_ranges("bytes=" + text, length) or ():
        assert 0 <= start < stop <= length


def test_hosts():
    host = Host("1.2.3.4", 80)
    assert host.name == "1.2.3.4"
    assert repr(Host("1.2.3.4", 80, "n")) == "httputil.Host('1.2.3.4', 80, 'n')"
    clean = SanitizedHost("a\r\nb")
    assert clean == "ab"
    assert clean.raw == "a\r\nb"
    assert type(SanitizedHost("ab")) is str
    assert protocol_from_http("HTTP/1.1") == (1, 1)


@pytest.mark.parametrize(
    ("atoms", "url"),
    [
        (("a", "b"), "a/b"),
        (("/a/", "/b"), "/a/b"),
        (("", "/b"), "/b"),
        (("a", "", " "), "a/ "),
        (("/a//", "//b"), "/a/b"),
        (("", ""), "/"),
        ((), "/"),
    ],
)
def test_urljoin(atoms, url):
    assert urljoin(*atoms) == url
    assert urljoin_bytes(*[atom.encode() for atom in atoms]) == url.encode()


@given(st.text(alphabet="ab=&;", max_size=20))
def test_plain_queries_are_read_like_all_others(text: str) -> None:
    params = _parse_qs(text, True)
    # An escape has every field looked at by itself.
    assert {**params, "zz": "1"} == _parse_qs(text + "&z%7A=1", True)
