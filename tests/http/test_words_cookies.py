"""Cookie fields: what is well-formed is read whatever stands beside it."""

from __future__ import annotations

import http.cookies
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirsch.http.cookies import (
    MAX_COOKIES,
    _unquote,
    cookie_lines,
    cookie_value,
    new_jar,
    parse_cookies,
    split_pairs,
)


def read(text: str) -> dict[str, str]:
    return {name: morsel.value for name, morsel in parse_cookies(text).items()}


@pytest.mark.parametrize(
    ("text", "cookies"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        (" a = 1 ;b=2", {"a": "1", "b": "2"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=", {"a": ""}),
        ("a=1; a=2", {"a": "2"}),
        # Names that are none.
        ("SM#/#x=1; good=1", {"good": "1"}),
        ("foo[bar]=1; good=1", {"good": "1"}),
        ("good=1; {x}=2; z=3", {"good": "1", "z": "3"}),
        ("=1; good=1; ; novalue; z=2", {"good": "1", "z": "2"}),
        ("é=1; good=1", {"good": "1"}),
        # Values that are none of RFC 6265's are kept as sent.
        ('good=1; j={"a":1}; z=3', {"good": "1", "j": '{"a":1}', "z": "3"}),
        ("a=x y,z; b=1", {"a": "x y,z", "b": "1"}),
        # Quoted ones.
        ('a="x y"; b=1', {"a": "x y", "b": "1"}),
        ('a="x;y"; b=1', {"a": "x;y", "b": "1"}),
        (r'a="q\"r"; b=1', {"a": 'q"r', "b": "1"}),
        (r'a="\303\251"; b=1', {"a": "Ã©", "b": "1"}),
        ('a="x; b=2', {"a": '"x', "b": "2"}),
        ('a="x; b=2; c="y', {"a": '"x', "b": "2", "c": '"y'}),
        # Names of attributes are names of cookies, too; those with a $ are long gone.
        ("path=1; expires=2; version=3", {"path": "1", "expires": "2", "version": "3"}),
        ("$Version=1; a=2; $Path=/", {"a": "2"}),
    ],
)
def test_pairs(text, cookies):
    assert read(text) == cookies


def test_the_result_is_an_ordinary_cookie():
    jar = parse_cookies('a="x y"; b=1')
    assert type(jar) is http.cookies.SimpleCookie
    assert jar["a"].coded_value == '"x y"'
    assert jar["b"]["path"] == ""
    jar["b"]["path"] = "/x"
    assert jar["b"].OutputString() == "b=1; Path=/x"
    assert jar.output() == 'Set-Cookie: a="x y"\r\nSet-Cookie: b=1; Path=/x'
    assert parse_cookies("c=1", jar) is jar
    assert set(jar) == {"a", "b", "c"}


def test_programs_may_allow_other_names(monkeypatch):
    monkeypatch.setattr(http.cookies, "_is_legal_key", lambda name: True)
    assert read("foo[bar]=1; good=1") == {"foo[bar]": "1", "good": "1"}


@given(st.dictionaries(st.from_regex(r"[a-zA-Z][\w!#%&'*+.^`|~-]{0,9}", fullmatch=True), st.text()))
def test_what_python_writes_is_read_back(pairs):
    written = http.cookies.SimpleCookie()
    for name, value in pairs.items():
        try:
            written[name] = value
        except http.cookies.CookieError:
            return
    field = "; ".join(f"{name}={written[name].coded_value}" for name in pairs)
    if field.isascii():
        assert read(field) == {name: morsel.value for name, morsel in written.items()}


@given(st.text(alphabet='a"\\012345 ', max_size=20))
def test_values_are_unquoted_as_by_the_library(text):
    for coded in (text, f'"{text}"'):
        assert _unquote(coded) == http.cookies.SimpleCookie().value_decode(coded)[0]


@given(st.text(alphabet='ab=;"\\ $[{', max_size=60))
def test_a_good_cookie_in_front_is_never_lost(rubbish):
    assert read("good=1; " + rubbish).get("good") is not None
    for name, value in split_pairs(rubbish):
        assert name in rubbish
        assert value in rubbish


@pytest.mark.parametrize(
    "text",
    [
        'a="' * 40000,
        'a="\\' * 40000,
        ";" * 200000,
        "a=1;" * 10000,
        '"' * 200000,
        'a="' + "\\" * 200000,
        'b="' + '\\"' * 200000 + '"',
        'b="' + "\\\\" * 200000 + '"',
        'b="' + "\\101" * 100000 + '"',
        "".join(f"c{n}=1;" for n in range(70000)),
        "c/=1;" * 70000,
    ],
)
def test_linear_time(text):
    started = time.thread_time()
    list(split_pairs(text))
    parse_cookies(text)
    cookie_value(text, "b")
    assert time.thread_time() - started < 6


def test_there_is_a_limit_on_cookies():
    many = "".join(f"c{n}=1; x/{n}=malformed; " for n in range(MAX_COOKIES))
    assert len(read(many)) == MAX_COOKIES
    # Only what is read counts, and what comes later is ignored, by both who read.
    assert read(many + "late=1") == read(many)
    assert cookie_value(many + "late=1", "late") is None
    last = f"c{MAX_COOKIES - 1}"
    assert cookie_value(many, last) == "1"
    assert cookie_value(f"{many} {last}=2", last) == "1"


@pytest.mark.parametrize("pair", ["c{}=1", "c{}/=1", "same=1", 'c{}="1"'])
def test_many_cookies_take_little_memory(pair):
    text = "; ".join(pair.format(n) for n in range(70000))
    parse_cookies("")
    tracemalloc.start()
    try:
        parse_cookies(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


@given(
    st.text(alphabet='ab=;" \\$/é\x00', max_size=30), st.sampled_from(["a", "b", "$a", "a/", ""])
)
def test_one_cookie_is_what_the_jar_would_say(text: str, name: str) -> None:
    assert cookie_value(text, name) == read(text).get(name)


def test_a_cookie_without_a_name_is_none() -> None:
    assert cookie_value("=1", "") is None


def test_the_law_for_names_is_asked_for_one_cookie_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cookie_value("a/b=1", "a/b") is None
    monkeypatch.setattr(http.cookies, "_is_legal_key", lambda key: True)
    assert cookie_value("a/b=1", "a/b") == "1"


def test_cookies_are_written_as_by_the_library() -> None:
    jar = new_jar()
    jar["z"] = "plain"
    jar["b"] = 'with "quotes"; and more'
    jar["a"] = "attributes"
    jar["a"]["path"] = "/"
    jar["a"]["max-age"] = 0
    jar["a"]["secure"] = True

    class Own(http.cookies.SimpleCookie):
        pass

    own = Own()
    own.update(jar)
    assert cookie_lines(jar) == cookie_lines(own)
    assert cookie_lines(jar) == jar.output(header="").replace(" ", "", 1).split("\r\n ")
