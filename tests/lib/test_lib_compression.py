"""The tool `compress`: which coding, what of, and bodies that are made while they are sent."""

from __future__ import annotations

import gzip
import http.client
import threading
import zlib

import brotli
import pytest
import zstandard
from security_kit import served

import cherrypy
from cherrypy.framework.helpers import expose
from cherrypy.lib import compression, encoding

TEXT = "Kirschen, " * 300
PLAIN = TEXT.encode()


def unzstd(data):
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


READ = {"zstd": unzstd, "br": brotli.decompress, "gzip": gzip.decompress, None: bytes}


class Root:
    @expose
    def index(self, size=3000, kind="text/html", control=None, coding=None, etag=None):
        headers = cherrypy.response.headers
        headers["Content-Type"] = kind
        for name, value in (
            ("Cache-Control", control),
            ("Content-Encoding", coding),
            ("ETag", etag),
        ):
            if value:
                headers[name] = value
        return PLAIN[: int(size)]

    @expose
    def pieces(self):
        def pull():
            for n in range(0, len(PLAIN), 100):
                yield PLAIN[n : n + 100]
            yield b""

        return pull()

    @expose
    @cherrypy.config(**{"response.stream": True})
    def slowly(self):
        cherrypy.response.headers["Content-Type"] = "text/plain"

        def pull():
            for n in range(3):
                yield f"line {n}\n".encode()
                assert Root.go_on.acquire(timeout=20)

        return pull()

    @expose
    def broken(self):
        def pull():
            yield PLAIN
            raise ValueError

        return pull()


ON = {"tools.compress.on": True}


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (None, None),
        ("", None),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("gzip, deflate", "gzip"),
        ("X-GZIP", "gzip"),
        ("*", "zstd"),
        ("br;q=0.9, gzip;q=0.8, zstd;q=0.1", "br"),
        ("zstd;q=0, *", "br"),
        ("zstd;q=0, br;q=0, gzip", "gzip"),
        ("identity, br;q=0.9", None),
        ("identity;q=0.1, br;q=0.1", "br"),
        ("deflate", None),
        ("br;q=0", None),
        ("identity;q=0, br;q=0.001", "br"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/pieces"])
@pytest.mark.parametrize("stream", [False, True])
def test_which_coding(serve, accept, coding, path, stream):
    headers = {} if accept is None else {"Accept-Encoding": accept}
    answer = serve(Root(), {**ON, "response.stream": stream})(path, headers=headers)
    assert (answer["Content-Encoding"], answer["Vary"]) == (coding, "Accept-Encoding")
    assert READ[coding](answer.body) == PLAIN
    assert answer["Content-Length"] == (None if stream else str(len(answer.body)))
    if coding and not stream:
        assert len(answer.body) < 200


@pytest.mark.parametrize("accept", ["identity;q=0", "*;q=0", "deflate, identity;q=0"])
def test_not_acceptable(serve, accept):
    answer = serve(Root(), ON)("/", headers={"Accept-Encoding": accept})
    assert (answer.status, answer["Content-Encoding"]) == (406, None)
    assert "identity, zstd, br, gzip" in answer.text


def test_a_field_that_cannot_be_understood(serve):
    assert serve(Root(), ON)("/", headers={"Accept-Encoding": "br;q=x"}).status == 400


BR = {"Accept-Encoding": "br"}


@pytest.mark.parametrize(
    ("query", "accept", "compressed"),
    [
        ("size=499", "br", False),
        ("size=500", "br", True),
        # Better than what the client cannot read.
        ("size=10", "br, identity;q=0", True),
        ("size=0", "br", False),
        ("kind=text/css;charset=utf-8", "br", True),
        ("kind=application/json", "br", True),
        ("kind=application/hal%2Bjson", "br", True),
        ("kind=image/svg%2Bxml", "br", True),
        ("kind=image/png", "br", False),
        ("kind=application/zip", "br", False),
        ("control=no-transform", "br", False),
        ("coding=deflate", "br", False),
    ],
)
def test_what_is_compressed(serve, query, accept, compressed):
    answer = serve(Root(), ON)("/", query, headers={"Accept-Encoding": accept})
    assert (answer["Content-Encoding"] == "br") is compressed
    assert answer["Vary"] == "Accept-Encoding"


def test_gzip_leaves_small_bodies_alone_if_told_to(serve):
    conf = {"tools.gzip.on": True, "tools.gzip.min_size": 100}
    headers = {"Accept-Encoding": "gzip"}
    assert serve(Root(), conf)("/", "size=99", headers=headers)["Content-Encoding"] is None
    assert serve(Root(), conf)("/", "size=100", headers=headers)["Content-Encoding"] == "gzip"
    headers["Accept-Encoding"] = "gzip, identity;q=0"
    assert serve(Root(), conf)("/", "size=99", headers=headers)["Content-Encoding"] == "gzip"


def test_not_twice(serve):
    conf = {**ON, "tools.gzip.on": True, "tools.caching.on": True}
    site = serve(Root(), conf)
    for _ in range(2):
        answer = site("/", headers={"Accept-Encoding": "gzip, br"})
        assert answer["Content-Encoding"] == "br"
        assert brotli.decompress(answer.body) == PLAIN
        answer = site("/", headers={"Accept-Encoding": "gzip"})
        assert answer["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.body) == PLAIN
        assert site("/").body == PLAIN


def test_etags(serve):
    site = serve(Root(), ON)
    assert site("/", "etag=%22a%22", headers=BR)["ETag"] == 'W/"a"'
    assert site("/", "etag=%22a%22")["ETag"] == '"a"'


def test_settings(serve):
    accept = {"Accept-Encoding": "zstd, br, gzip"}

    def coding(headers=accept, **conf):
        settings = {**ON, **{f"tools.compress.{name}": value for name, value in conf.items()}}
        answer = serve(Root(), settings)("/", headers=headers)
        return answer["Content-Encoding"] or answer.status

    assert coding(codings=["gzip", "br"]) == "gzip"
    assert coding(codings="br, gzip") == "br"
    assert coding(codings=["deflate"]) == 500
    assert coding(min_size=10_000) == 200
    assert coding(mime_types=["text/css"]) == 200
    assert coding(levels={"zstd": 19}) == "zstd"
    assert coding(levels={"zstd": 22}) == 500
    assert coding(BR, levels={"br": 11}) == "br"


def test_what_is_not_installed(serve, monkeypatch):
    real = compression._import

    def without_zstd(coding):
        if coding == "zstd":
            raise ImportError
        return real(coding)

    monkeypatch.setattr(compression, "_import", without_zstd)
    compression.installed.cache_clear()
    compression._offered.cache_clear()
    try:
        accept = {"Accept-Encoding": "zstd, br;q=0.5"}
        assert serve(Root(), ON)("/", headers=accept)["Content-Encoding"] == "br"
        conf = {**ON, "tools.compress.codings": ["zstd"]}
        assert serve(Root(), conf)("/", headers=accept).status == 500
    finally:
        compression.installed.cache_clear()
        compression._offered.cache_clear()


def reader(coding):
    if coding == "br":
        return brotli.Decompressor().process
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress
    return zlib.decompressobj(31).decompress


@pytest.mark.parametrize("native", [False, True], ids=["wsgi", "native"])
@pytest.mark.parametrize("coding", ["zstd", "br", "gzip", "old gzip"])
def test_a_stream_arrives_as_it_is_made(coding, native):
    """Each line can be read before the next one is made."""
    Root.go_on = threading.Semaphore(0)
    tool, _, coding = ("gzip", "", "gzip") if coding == "old gzip" else ("compress", "", coding)
    conf = {f"tools.{tool}.on": True}
    with served(Root(), {"/": conf}, native) as ask:
        connection = http.client.HTTPConnection(*ask.address, timeout=10)
        connection.request("GET", "/slowly", headers={"Accept-Encoding": coding})
        response = connection.getresponse()
        assert response.headers["Content-Encoding"] == coding
        read, text = reader(coding), b""
        for n in range(3):
            while not text.endswith(b"line %d\n" % n):
                piece = response.read1(65536)
                assert piece, text
                text += read(piece)
            Root.go_on.release()
        text += read(response.read())
        connection.close()
    assert text == b"line 0\nline 1\nline 2\n"


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip"])
def test_a_body_that_breaks_off_is_closed_and_not_ended(coding):
    closed = []

    def source():
        try:
            yield PLAIN
            raise ValueError
        finally:
            closed.append(1)

    body = compression._compressed(coding, 5, source(), True)
    data = next(body)
    with pytest.raises(ValueError):
        next(body)
    assert closed == [1]
    assert reader(coding)(data) == PLAIN


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip"])
def test_a_body_that_nobody_reads_is_closed(coding):
    class Body:
        closed = 0

        def __iter__(self):
            return iter([b"x"])

        def close(self):
            self.closed += 1

    body = Body()
    compression._compressed(coding, 5, body, False).close()
    assert body.closed == 1


def test_equal_bodies_compress_to_equal_bytes():
    for coding in ("zstd", "br", "gzip"):
        one, two = (b"".join(compression._compressed(coding, 5, [PLAIN], False)) for _ in "ab")
        assert one == two
    assert b"".join(encoding.compress([PLAIN], 5)) == b"".join(encoding.compress([PLAIN], 5))


def test_streams_of_the_event_loop_are_left_alone(serve):
    """What has no thread while nobody speaks is not given one to be compressed."""
    import cherrypy.lib.sse as sse

    class Events:
        @expose
        def index(self):
            return sse.stream(channel="fruit")

    for tool in ("gzip", "compress"):
        conf = {f"tools.{tool}.on": True, f"tools.{tool}.mime_types": ["text/*"]}
        with served(Events(), {"/": conf}, native=True) as ask:
            connection = http.client.HTTPConnection(*ask.address, timeout=10)
            connection.request("GET", "/", headers={"Accept-Encoding": "gzip"})
            assert connection.getresponse().headers["Content-Encoding"] is None
            connection.close()
