"""The grammar: which octets belong where, for all 256."""

import re

import pytest

from kirsch.http import grammar
from kirsch.http.grammar import is_field_value, is_host, is_token

ALPHANUMERIC = set(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def members(pattern):
    return {code for code in range(256) if re.fullmatch(pattern, chr(code))}


def test_token():
    assert members(grammar.TCHAR) == ALPHANUMERIC | set(b"!#$%&'*+-.^_`|~")
    assert is_token("X-A")
    assert not is_token("")
    assert not is_token("a b")
    assert not is_token("a\n")


def test_method():
    assert members(grammar.METHOD) == members(grammar.TCHAR) - set(range(97, 123))


def test_field_value():
    assert members(grammar.FIELD_VALUE) == {9, *range(32, 127), *range(128, 256)}
    assert is_field_value("")
    assert not is_field_value("a\n")
    assert not is_field_value("\u0100")


def test_quoted_string():
    full = re.compile(grammar.QUOTED_STRING).fullmatch
    assert all(full(text) for text in ('""', '"a b"', r'"\""', r'"\\"', '"\xe9"'))
    assert not any(full(text) for text in ('"', '"""', '"\\"', '"\n"', 'a"b"'))


def test_chunk_ext():
    full = re.compile(grammar.CHUNK_EXT).fullmatch
    assert all(full(text) for text in ("", ";a", ";a=b", ' ; a = "b;c" ;d'))
    assert not any(full(text) for text in (";", ";a=", " ", ";a ", "a", ";a=b c", ";=b"))


@pytest.mark.parametrize(
    "host",
    ["", "x", "x:", "x:80", "a.b-c_d~e", "127.0.0.1", "[::1]:8", "[v1.x]", "%41", "!$&'()*+,;=", "=?utf-8?B?YQ==?="],
)  # fmt: skip
def test_hosts(host):
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    ["x y", "x/", "@x", "x@y", "x#", "x?", "\\", "x:a", "x:1:2", "::1", "[", "[]", "[::1", "[g]", "%", "%4", "\xe9",
     "x\n", "<x>", '"', "x:123456", "=?a?x?b?=", "=?a?q?b c?="],
)  # fmt: skip
def test_no_hosts(host):
    assert not is_host(host)
