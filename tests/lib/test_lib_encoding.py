"""Charsets and compression."""

from __future__ import annotations

import gzip as stdlib
import io

import pytest

import cherrypy.lib as lib
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.lib import encoding


class Root:
    @expose
    def index(self):
        return "héllo"

    @expose
    def list(self):
        return ["é", b"x", "y"]

    @expose
    def buffers(self):
        yield bytearray(b"a")
        yield memoryview(b"b")

    @expose
    def generate(self):
        yield "é"
        yield b"b"

    @expose
    def latin(self):
        serving.response.headers["Content-Type"] = "text/html;charset=latin-1"
        return "é"

    @expose
    def json(self):
        serving.response.headers["Content-Type"] = "application/json"
        return b'"x"'

    @expose
    def bytes(self):
        return b"\xe9"

    @expose
    def nothing(self):
        return None

    @expose
    def file(self):
        return io.BytesIO(b"abc")

    @expose
    def long(self):
        return "é" * 10000

    @expose
    def form(self, **params):
        return repr(sorted(params.items()))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", "héllo".encode()),
        ("/list", b"\xc3\xa9xy"),
        ("/generate", b"\xc3\xa9b"),
        ("/buffers", b"ab"),
        ("/latin", b"\xc3\xa9"),
        ("/bytes", b"\xe9"),
        ("/nothing", b""),
        ("/file", b"abc"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_utf8_by_default(serve, path, body, stream):
    answer = serve(Root(), {"response.stream": stream})(path)
    assert answer.status == 200
    assert answer.body == body
    assert answer["Content-Type"] == "text/html;charset=utf-8"
    assert answer["Content-Length"] == (None if stream else str(len(body)))


@pytest.mark.parametrize(
    ("accept", "charset", "body"),
    [
        ("iso-8859-1;q=1, utf-8;q=0.5", "iso-8859-1", b"h\xe9llo"),
        ("us-ascii, ISO-8859-1, x-mac-ce", "ISO-8859-1", b"h\xe9llo"),
        ("*", "utf-8", "héllo".encode()),
        ("utf-16;q=0.1", "utf-16", "héllo".encode("utf-16")),
        ("us-ascii", "iso-8859-1", b"h\xe9llo"),
        ("utf-8;q=0", "iso-8859-1", b"h\xe9llo"),
        ("us-ascii;q=0.9, *;q=0.3", "utf-8", "héllo".encode()),
        ("", "utf-8", "héllo".encode()),
    ],
)
def test_accept_charset(serve, accept, charset, body):
    answer = serve(Root())("/", headers={"Accept-Charset": accept})
    assert answer.body == body
    assert answer["Content-Type"] == f"text/html;charset={charset}"


@pytest.mark.parametrize(
    ("accept", "conf", "text"),
    [
        (
            "*;q=0",
            {},
            "Your client sent this Accept-Charset header: *;q=0. We tried these charsets: .",
        ),
        (
            "iso-8859-1;q=0, us-ascii, US-ascii",
            {},
            "Your client sent this Accept-Charset header: iso-8859-1;q=0, us-ascii, US-ascii. "
            "We tried these charsets: US-ascii, us-ascii.",
        ),
        (
            None,
            {"tools.encode.encoding": "ascii"},
            "Your client did not send an Accept-Charset header. We tried these charsets: ascii.",
        ),
        (
            "iso-8859-1",
            {"tools.encode.encoding": "utf-8"},
            "Your client sent this Accept-Charset header: iso-8859-1. We tried these charsets: .",
        ),
    ],
)
def test_not_acceptable(serve, accept, conf, text):
    headers = {} if accept is None else {"Accept-Charset": accept}
    answer = serve(Root(), conf)("/", headers=headers)
    assert answer.status == 406
    assert f"<p>{text}</p>" in answer.text


def test_settings_of_encode(serve):
    answer = serve(Root(), {"tools.encode.default_encoding": "ascii"})("/")
    assert answer.status == 500
    assert "Response body could not be encoded with" in answer.text
    answer = serve(Root(), {"tools.encode.errors": "replace", "tools.encode.encoding": "ascii"})(
        "/"
    )
    assert answer.body == b"h?llo"
    answer = serve(Root(), {"tools.encode.text_only": False})("/json")
    assert answer["Content-Type"] == "application/json;charset=utf-8"
    assert serve(Root())("/json")["Content-Type"] == "application/json"
    answer = serve(Root(), {"tools.encode.add_charset": False})("/")
    assert answer["Content-Type"] == "text/html"
    assert answer.body == "héllo".encode()


def test_a_stream_that_cannot_be_encoded_breaks_off(serve):
    site = serve(Root(), {"response.stream": True, "tools.encode.encoding": "ascii"})
    # What comes instead is the gateway's business.
    assert b"\xc3\xa9b" not in site("/generate").body


def test_the_pieces_of_a_stream_are_bytes(serve):
    seen = []

    def pieces(environ, start_response):
        for piece in app(environ, start_response):
            seen.append(type(piece))
            yield piece

    app = serve(Root(), {"response.stream": True}).app
    site = serve(app)
    site.app = pieces
    assert site("/buffers").body == b"ab"
    assert seen == [bytes, bytes]


def test_decode(serve):
    def ask(conf, body=b"a=%E9"):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return serve(Root(), conf)("/form", method="POST", body=body, headers=headers)

    assert ask({}).status == 400
    decoded = repr([("a", "é")]).encode()
    assert (
        ask({"tools.decode.on": True, "tools.decode.default_encoding": "latin-1"}).body == decoded
    )
    assert (
        ask({"tools.decode.on": True, "tools.decode.encoding": ["utf-8", "latin-1"]}).body
        == decoded
    )
    assert ask({"tools.decode.on": True, "tools.decode.encoding": "ascii"}).status == 400


# -------------------------------------------------------------------------------------- gzip


GZIP = {"tools.gzip.on": True}


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        ("gzip", True),
        ("x-gzip", True),
        ("GZIP;q=0.1", True),
        ("*", True),
        ("br, gzip", True),
        ("gzip,deflate,", True),
        ("identity, gzip", True),
        ("identity", False),
        ("deflate", False),
        ("gzip;q=0", False),
        ("identity;q=0.5, gzip;q=0.1", False),
        ("", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("path", ["/", "/generate", "/long"])
@pytest.mark.parametrize("stream", [False, True])
def test_who_gets_gzip(serve, accept, compressed, path, stream):
    headers = {} if accept is None else {"Accept-Encoding": accept}
    plain = serve(Root())(path).body
    answer = serve(Root(), {**GZIP, "response.stream": stream})(path, headers=headers)
    assert answer["Vary"] == "Accept-Encoding"
    if compressed:
        assert answer["Content-Encoding"] == "gzip"
        assert stdlib.decompress(answer.body) == encoding.decompress(answer.body) == plain
    else:
        assert answer["Content-Encoding"] is None
        assert answer.body == plain
    assert answer["Content-Length"] == (None if stream else str(len(answer.body)))


@pytest.mark.parametrize("accept", ["*;q=0", "identity;q=0", "identity;q=0, *;q=0"])
def test_who_gets_nothing(serve, accept):
    answer = serve(Root(), GZIP)("/", headers={"Accept-Encoding": accept})
    assert answer.status == 406
    assert "identity, gzip" in answer.text
    assert answer["Content-Encoding"] is None


@pytest.mark.parametrize("accept", ["gzip;q=abc", "br, gzip;q=abc", "gzip," * 1001])
@pytest.mark.parametrize("path", ["/", "/none"])
def test_a_field_that_cannot_be_understood_is_the_peers_fault(serve, accept, path):
    answer = serve(Root(), GZIP)(path, headers={"Accept-Encoding": accept})
    assert answer.status == 400
    assert answer["Content-Encoding"] is None


@pytest.mark.parametrize(
    ("types", "compressed"),
    [
        (["text/html"], False),
        (["application/json"], True),
        (["application/*"], True),
        (["*/*"], True),
        (["text/*"], False),
        (["application/*+xml"], False),
    ],
)
def test_which_types(serve, types, compressed):
    conf = {**GZIP, "tools.gzip.mime_types": types}
    answer = serve(Root(), conf)("/json", headers={"Accept-Encoding": "gzip"})
    assert (answer["Content-Encoding"] == "gzip") is compressed


def test_suffixes():
    assert encoding._is_gzip_type("image/svg+xml", ["image/*+xml"])
    assert not encoding._is_gzip_type("image/svg", ["image/*+xml"])
    assert not encoding._is_gzip_type("", ["*/*"])


def test_empty_bodies_are_left_alone(serve):
    answer = serve(Root(), GZIP)("/nothing", headers={"Accept-Encoding": "gzip"})
    assert (answer.body, answer["Content-Encoding"]) == (b"", None)


def test_etags_and_gzip(serve):
    site = serve(Root(), {**GZIP, "tools.etags.on": True, "tools.etags.autotags": True})
    headers = {"Accept-Encoding": "gzip"}
    etag = site("/", headers=headers)["ETag"]
    assert etag.startswith('W/"')
    assert site("/", headers={**headers, "If-None-Match": etag}).status == 304


def test_compress_closes_its_source():
    closed = []

    def source():
        try:
            yield b"x" * 100000
            yield b"y"
        finally:
            closed.append(True)

    chunks = encoding.compress(source(), 9)
    next(chunks)
    chunks.close()
    assert closed == [True]
    assert stdlib.decompress(b"".join(encoding.compress([b"a", b"", b"b"], 0))) == b"ab"


# --------------------------------------------------------------------------------- small parts


def test_prepare_iter():
    assert encoding.prepare_iter("a") == ["a"]
    assert encoding.prepare_iter(b"a") == [b"a"]
    assert (
        encoding.prepare_iter("") == encoding.prepare_iter(b"") == encoding.prepare_iter(None) == []
    )
    for value in (bytearray(b"ab"), memoryview(b"ab"), memoryview(b"ab").cast("H")):
        assert encoding.prepare_iter(value) == [b"ab"]
    assert encoding.prepare_iter(bytearray()) == encoding.prepare_iter(memoryview(b"")) == []
    assert encoding.prepare_iter([1]) == [1]
    assert isinstance(encoding.prepare_iter(io.BytesIO(b"")), lib.file_generator)


def test_utf8_stream_encoder():
    class Source:
        status = 5

        def __init__(self):
            self.items = ["é", b"b"]

        def __iter__(self):
            return self

        def __next__(self):
            if not self.items:
                raise StopIteration
            return self.items.pop(0)

        def close(self):
            self.closed = True

    source = Source()
    wrapped = encoding.UTF8StreamEncoder(source)
    assert list(wrapped) == [b"\xc3\xa9", b"b"]
    assert wrapped.status == 5
    wrapped.close()
    assert source.closed
    with pytest.raises(AttributeError):
        _ = wrapped.__secret__


def test_file_generators():
    file = io.BytesIO(b"x" * 100000)
    assert [len(chunk) for chunk in lib.file_generator(file)] == [65536, 34464]
    assert file.closed
    file = io.BytesIO(b"abcdef")
    assert list(lib.file_generator_limited(file, 5, 2)) == [b"ab", b"cd", b"e"]
    assert not file.closed
    generator = lib.file_generator(file)
    assert generator.input is file
    del generator
    assert file.closed


def test_iterators():
    def generate():
        yield

    assert lib.is_iterator(generate())
    assert lib.is_iterator(iter([]))
    assert not lib.is_iterator([])
    assert not lib.is_iterator("a")
    assert lib.is_closable_iterator(generate())
    assert not lib.is_closable_iterator(iter([]))
    assert not lib.is_closable_iterator(io.BytesIO())

    class Closable:
        def __iter__(self):
            return self

        def __next__(self):
            raise StopIteration

        def close(self, how):
            """Not without an argument."""

    assert not lib.is_closable_iterator(Closable())


def test_vary():
    class Response:
        headers = lib.encoding.serving.response.headers.__class__()

    lib.set_vary_header(Response, "B")
    assert Response.headers["Vary"] == "B"
    lib.set_vary_header(Response, "A")
    lib.set_vary_header(Response, "B")
    assert Response.headers["Vary"] == "A, B"
