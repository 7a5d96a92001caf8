"""Maps of header fields, elements of fields, encoded words."""

from __future__ import annotations

import copy
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirsch.http.headers import (
    MAX_ELEMENTS,
    AcceptElement,
    CaseInsensitiveDict,
    HeaderElement,
    HeaderMap,
    MalformedHeader,
    decode_TEXT,
    decode_TEXT_maybe,
    header_elements,
    split_unquoted,
)


def test_keys_are_title_cased_on_every_way_in():
    fields = CaseInsensitiveDict({"content-type": 1}, x_y=2)
    fields["ETAG"] = 3
    fields.update([("a-b", 4)])
    fields.update({"c-d": 5}, e=6)
    assert fields.setdefault("www-authenticate", 7) == 7
    fields |= {"te": 8}
    assert list(fields) == [
        "Content-Type",
        "X_Y",
        "Etag",
        "A-B",
        "C-D",
        "E",
        "Www-Authenticate",
        "Te",
    ]
    assert list(CaseInsensitiveDict.fromkeys(["a-b"], 1).items()) == [("A-B", 1)]
    assert isinstance(CaseInsensitiveDict.fromkeys(["a-b"]), CaseInsensitiveDict)


def test_lookups_ignore_case():
    fields = HeaderMap({"Content-Type": "text/html", "Host": "x"})
    for key in ("Content-Type", "content-type", "CONTENT-TYPE", "cOnTeNt-TyPe"):
        assert key in fields
        assert fields[key] == fields.get(key) == "text/html"
    assert fields.get("Nope") is None
    assert fields.get("nope", 5) == 5
    assert "nope" not in fields
    with pytest.raises(KeyError, match="Nope"):
        fields["nope"]
    assert fields.pop("HOST") == "x"
    assert fields.pop("host", None) is None
    with pytest.raises(KeyError):
        fields.pop("host")
    del fields["CONTENT-type"]
    with pytest.raises(KeyError):
        del fields["content-type"]
    assert not fields


def test_odd_keys():
    fields = CaseInsensitiveDict({None: 1, 5: 2})
    assert fields[None] == 1
    assert fields["none"] == 1
    assert fields[5] == fields["5"] == 2
    assert (None in fields) is True
    assert CaseInsensitiveDict({b"ab": 1})[b"AB"] == 1


def test_copies_stay_what_they_are():
    fields = HeaderMap({"a-b": [1]})
    for twin in (
        fields.copy(),
        copy.copy(fields),
        copy.deepcopy(fields),
        pickle.loads(pickle.dumps(fields)),
        fields | {},
        {} | fields,
    ):
        assert twin == fields
        assert twin is not fields
        assert type(twin) is HeaderMap
        assert twin["A-b"] == [1]


def test_output():
    fields = HeaderMap(a=1, b=None, c=b"x", d="\u1234", e="a\r\nb", f="é", g=[1], h="a\tb")
    assert dict(fields.output()) == {
        b"A": b"1",
        b"B": b"None",
        b"C": b"x",
        b"D": b"=?utf-8?b?4Yi0?=",
        b"E": b"ab",
        b"F": b"\xe9",
        b"G": b"[1]",
        b"H": b"a\tb",
    }
    assert b"\n" not in HeaderMap(a="\u1234" * 100).output()[0][1]
    assert HeaderMap.encode_header_item(b"a\nb\x00\x7f") == b"ab"
    # Half a surrogate pair is what os.listdir makes of names that are no text.
    assert HeaderMap.encode_header_item("a\udcffb\n") == b"=?utf-8?b?YT9iCg==?="


@given(st.text(st.characters(exclude_categories=())))
def test_no_value_can_end_a_line(text):
    (pair,) = HeaderMap({"X": text}).output()
    assert not set(b"\r\n\0") & set(pair[1])


def test_encodings_of_subclasses():
    class Plain(HeaderMap):
        use_rfc_2047 = False

    class Utf8(HeaderMap):
        encodings = ["utf-8"]

    class Old(HeaderMap):
        protocol = (1, 0)

    for kind in (Plain, Old):
        with pytest.raises(ValueError, match="Could not encode header part '\u1234'"):
            kind(a="\u1234").output()
    assert Utf8(a="\u1234").output() == [(b"A", "\u1234".encode())]


def test_accept_elements_come_best_first():
    field = "text/*;q=0.3, text/html;q=0.7, text/html;level=1, */*;q=0.5"
    elements = header_elements("Accept", field)
    assert [str(element) for element in elements] == [
        "text/html;level=1",
        "text/html;q=0.7",
        "*/*;q=0.5",
        "text/*;q=0.3",
    ]
    assert [element.qvalue for element in elements] == [1.0, 0.7, 0.5, 0.3]
    fields = HeaderMap({"Accept": field})
    assert fields.values("accept") == ["text/html", "text/html", "*/*", "text/*"]
    assert [str(e) for e in fields.elements("accept")] == [str(e) for e in elements]
    assert HeaderMap({"te": "gzip;q=0.5"}).elements("TE")[0].qvalue == 0.5


def test_parameters():
    (element,) = header_elements("X", 'a;b=c;D="e;f, \\"g\\"";h')
    assert element.value == "a"
    assert element.params == {"b": "c", "d": 'e;f, "g"'}
    assert str(HeaderElement("a", {"b": "c"})) == "a;b=c"
    assert bytes(HeaderElement("a", {"b": "c"})) == b"a;b=c"
    accept = AcceptElement.from_str("a/b;x=1; q=0.1;ext=2")
    assert accept.params["x"] == "1"
    assert accept.params["q"].params == {"ext": "2"}
    assert AcceptElement.from_str("a;q=0.5") < AcceptElement.from_str("b")


def test_a_bad_weight_is_the_peers_fault():
    (element,) = header_elements("Accept", "text/html;q=abc")
    with pytest.raises(Exception, match="Malformed HTTP header: `text/html;q=abc`") as info:
        _ = element.qvalue
    assert info.value.status == 400
    assert issubclass(MalformedHeader, ValueError)


@pytest.mark.parametrize("name", ["Accept", "If-None-Match", "TE"])
def test_there_is_a_limit_on_elements(name):
    most = ",".join(f"a/{n}" for n in range(MAX_ELEMENTS))
    assert len(header_elements(name, most)) == MAX_ELEMENTS
    fields = HeaderMap({name: most + ",b"})
    for ask in (fields.elements, fields.values):
        with pytest.raises(Exception, match=f"The {name.title()} header has more than") as info:
            ask(name)
        assert info.value.status == 400
    # What is quoted separates nothing.
    assert len(header_elements(name, f'"{most},b"')) == 1


@pytest.mark.parametrize("value", ["", None])
def test_absent_fields_have_no_elements(value):
    assert header_elements("Accept", value) == []
    assert HeaderMap().elements("X") == []
    assert HeaderMap().values("X") == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a,b", ["a", "b"]),
        ('"a,b",c', ['"a,b"', "c"]),
        (r'"a\",b",c', [r'"a\",b"', "c"]),
        (r'"a\\",c', [r'"a\\"', "c"]),
        ('"a,b', ['"a,b']),
        ("", [""]),
        (",", ["", ""]),
        ('x"y,z"w,v', ['x"y,z"w', "v"]),
    ],
)
def test_split_unquoted(text, parts):
    assert split_unquoted(text, ",") == parts


@given(st.text(alphabet='a,;"\\ ='))
def test_splitting_loses_nothing(text):
    assert ",".join(split_unquoted(text, ",")) == text
    header_elements("X", text)


def test_elements_take_linear_time():
    many = ("a/b;q=0.5,", '","', ',"\\', "a,", "a;b=1", ";q=1", ";  q", "q=", '\\"')
    started = time.thread_time()
    for hostile in [start + part * 50000 for part in many for start in ("", '"')]:
        split_unquoted(hostile, ",")
        for name in ("Accept", "X"):
            try:
                header_elements(name, hostile)
            except Exception as error:
                assert error.status == 400
    assert time.thread_time() - started < 8  # minutes, if it were not linear


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("=?utf-8?b?w6k=?=", "é"),
        ("=?UTF-8?Q?=C3=A9_x?=", "é x"),
        ("a =?utf-8?b?w6k=?= =?utf-8?b?w6k=?= b", "a éé b"),
        ("=?iso-8859-1?q?foo=0Abar?=", "foobar"),
        ("=?nope?b?w6k=?=", "=?nope?b?w6k=?="),
        ("=?x?b?z?=", "=?x?b?z?="),
        ("=?utf-8?b?/w==?=", "=?utf-8?b?/w==?="),
        ("plain", "plain"),
        ("=?", "=?"),
    ],
)
def test_encoded_words(raw, text):
    assert decode_TEXT(raw) == text
    assert decode_TEXT_maybe(raw) == text


@given(st.text(alphabet="=?utf-8bqQ+/ \n"))
def test_encoded_words_never_fail(text):
    decode_TEXT(text)
