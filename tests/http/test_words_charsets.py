"""Encoded words in charsets that a peer names."""

import time
from encodings import _cache

from kirsch.http.headers import decode_TEXT


def test_words_in_known_charsets_are_read():
    assert decode_TEXT("=?utf-8?q?caf=C3=A9?=") == "caf\xe9"
    assert decode_TEXT("=?iso-8859-1?b?Y2Fm6Q==?=") == "caf\xe9"


def test_words_in_slow_or_unknown_charsets_stay_as_sent():
    word = "=?punycode?q?b-" + "a" * 100_000 + "?="
    started = time.thread_time()
    assert decode_TEXT(word) == word
    assert time.thread_time() - started < 0.2
    for name in ("unicode_escape", "utf-7", "rot13", "no-such-charset-here"):
        assert decode_TEXT(f"=?{name}?q?abc?=") == f"=?{name}?q?abc?="
    assert "no_such_charset_here" not in _cache


def test_words_do_not_end_lines():
    assert decode_TEXT("=?utf-8?q?a=0D=0Ab=00c?=") == "abc"
