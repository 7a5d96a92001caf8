"""Entities, sized readers and urlencoded forms."""

from __future__ import annotations

import io

import pytest
from framework_asking import ask, expose

from cherrypy.framework.body import (
    Entity,
    Part,
    RequestBody,
    SizedReader,
    process_multipart,
    unquote_plus,
)
from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving
from kirsch.http.headers import HeaderMap

FORM = "application/x-www-form-urlencoded"


class Root:
    @expose
    def index(self, **params):
        return repr(params)

    @expose
    def raw(self):
        return serving.request.body.read()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b"a=1&b=%C3%A9&c=x+y&d&e=&a=2;f=3",
            {"a": ["1", "2"], "b": "é", "c": "x y", "d": "", "e": "", "f": "3"},
        ),
        (b"", {}),
        (b"&&=", {"": ""}),
        (b"a=%zz&b=%4", {"a": "%zz", "b": "%4"}),
        ("ä=€".encode(), {"ä": "€"}),
    ],
)
def test_urlencoded(body, expected):
    answer = ask(Root(), "/", "", body, FORM)
    assert answer.text == repr(expected)


def test_body_and_query_parameters_are_one():
    answer = ask(Root(), "/", "a=0&b=1", b"a=2&c=3&c=4", FORM)
    assert answer.text == repr({"a": ["0", "2"], "b": "1", "c": ["3", "4"]})
    assert answer.request.body.params == {"a": "2", "c": ["3", "4"]}


def test_charsets():
    assert ask(Root(), "/", "", b"a=%E9", FORM + "; charset=ISO-8859-1").text == "{'a': 'é'}"
    answer = ask(Root(), "/", "", b"a=%E9", FORM)
    assert answer.code == 400
    assert "The following charsets were attempted: [&#x27;utf-8&#x27;]" in answer.text or (
        "The following charsets were attempted: ['utf-8']" in answer.text
    )
    assert ask(Root(), "/", "", b"a=%E9", FORM + "; charset=nope").code == 400
    config = {"/": {"request.body.attempt_charsets": ["utf-8", "latin-1"]}}
    assert ask(Root(), "/", "", b"a=%E9", FORM, config=config).text == "{'a': 'é'}"


def test_sizes():
    config = {"/": {"request.body.maxbytes": 5}}
    assert ask(Root(), "/", "", b"a=12345678", FORM, config=config).code == 413
    assert ask(Root(), "/", "", b"a=123", FORM, config=config).code == 200
    chunked = {"headers": [("Transfer-Encoding", "chunked")], "content_type": FORM}
    answer = ask(Root(), rfile=io.BytesIO(b"a=12345678"), config=config, **chunked)
    assert answer.code == 413
    assert ask(Root(), rfile=io.BytesIO(b"a=1"), config=config, **chunked).text == "{'a': '1'}"
    assert ask(Root(), rfile=io.BytesIO(b"a=1"), content_type=FORM).code == 411


def test_an_early_413_reads_nothing():
    class Untouchable(io.BytesIO):
        def read(self, *args):
            raise AssertionError("read")

    config = {"/": {"request.body.maxbytes": 5}}
    headers = [("Content-Length", "1000")]
    answer = ask(Root(), rfile=Untouchable(), content_type=FORM, headers=headers, config=config)
    assert answer.code == 413


def test_other_types_are_left_to_the_handler():
    assert ask(Root(), "/raw", "", b"a=1", "text/plain").text == "a=1"
    assert ask(Root(), "/raw", "", b"a=1").text == "a=1"


def test_processors_and_default_proc_may_be_replaced():
    def only_json():
        body = serving.request.body
        body.processors.clear()
        body.default_proc = HTTPError(406, "only JSON")
        body.processors["application/json"] = lambda entity: entity.params.update(j="yes")

    config = {"/": {"hooks.before_request_body": only_json}}
    answer = ask(Root(), "/", "", b"a=1", FORM, config=config)
    assert (answer.code, answer.text) == (406, "only JSON")
    assert ask(Root(), "/", "", b"{}", "application/json", config=config).text == "{'j': 'yes'}"
    assert Entity.processors["multipart"] is process_multipart


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (("status", 408), 408),
        (("status", 413), 413),
        (("MaxSizeExceeded", 0), 413),
        (("x", 0), 500),
    ],
)
def test_errors_of_the_server_below(error, code):
    name, value = error
    failure = type(name, (Exception,), {"status": value} if value else {})("no")

    class Failing(io.BytesIO):
        def read(self, *args):
            raise failure

    answer = ask(Root(), rfile=Failing(), content_type=FORM, headers=[("Content-Length", "3")])
    assert answer.code == code


# ---------------------------------------------------------------------------- sized readers


def sized(length=None, maxbytes=None, data=b"ab\ncd\nef"):
    return SizedReader(io.BytesIO(data), length, maxbytes, bufsize=3)


def test_reading():
    assert sized(5).read() == b"ab\ncd"
    assert sized(20).read() == b"ab\ncd\nef"
    assert sized().read() == b"ab\ncd\nef"
    assert sized(8).read(-1) == b"ab\ncd\nef"
    assert sized(5).readlines() == [b"ab\n", b"cd"]
    assert sized(8).readlines(2) == [b"ab\n"]
    out = io.BytesIO()
    assert sized(5).read(fp_out=out) is None
    assert out.getvalue() == b"ab\ncd"
    reader = sized(8)
    assert (reader.readline(), reader.readline(2), reader.read(1)) == (b"ab\n", b"cd", b"\n")
    assert (reader.read(), reader.read(), reader.readline()) == (b"ef", b"", b"")
    assert (reader.bytes_read, reader.done) == (8, True)


def test_limits():
    for reader in (sized(maxbytes=3), sized(8, maxbytes=3)):
        assert reader.read(2) == b"ab"
        with pytest.raises(HTTPError) as caught:
            reader.read()
        assert caught.value.code == 413


def test_trailers():
    class Chunked(io.BytesIO):
        def read_trailer_lines(self):
            return iter([b"x-sum: 5\r\n", b"X-Sum: 6\r\n"])

    reader = SizedReader(Chunked(b"abc"), None, None, has_trailers=True)
    assert reader.read() == b"abc"
    assert reader.trailers == {"X-Sum": "5, 6"}


def entity(data, cls=RequestBody, **headers):
    fields = HeaderMap({name.replace("_", "-"): value for name, value in headers.items()})
    made = cls(io.BytesIO(data), fields)
    made.fp = SizedReader(made.fp, made.length, None)
    return made


def test_entities():
    made = entity(b"a\nb\nc", Content_Type="text/plain; charset=utf-8", Content_Length="5")
    assert (made.length, made.content_type.value) == (5, "text/plain")
    assert made.attempt_charsets == ["utf-8", "ISO-8859-1"]
    assert next(made) == b"a\n"
    assert list(made) == [b"b\n", b"c"]
    assert entity(b"", Content_Length="x").length is None
    made = entity(b"abc", Content_Length="3")
    with made.read_into_file() as file:
        file.seek(0)
        assert file.read() == b"abc"
    assert made.decode_entity(b"\xc3\xa9") == "é"


def test_parts_can_be_read_from_plain_files():
    part = Part.from_fp(io.BytesIO(b"A: b\r\nA: c\r\n d\r\n\r\nx\r\ny\r\n--Q--\r\n"), b"Q")
    assert dict(part.headers) == {"A": "b, c d"}
    part.process()
    assert part.value == b"x\r\ny"
    with pytest.raises(EOFError, match="Illegal end of headers"):
        Part.read_headers(io.BytesIO(b"A: b\r\n"))
    with pytest.raises(ValueError, match="CRLF"):
        Part.read_headers(io.BytesIO(b"A: b\n\n"))
    with pytest.raises(EOFError, match="Illegal end of multipart body"):
        Part(io.BytesIO(b"x\r\ny"), HeaderMap(), b"Q").read_lines_to_boundary()


def test_unquoting():
    assert unquote_plus(b"a+b%20c%e9") == b"a b c\xe9"
