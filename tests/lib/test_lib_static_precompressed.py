"""Variants of files that were compressed beforehand, by what the client takes."""

from __future__ import annotations

import gzip
import os

import pytest

from cherrypy.framework.helpers import expose

PLAIN = b"body { color: red }\n" * 200
BR, ZSTD, GZIP = b"as if brotli", b"as if zstandard!", gzip.compress(PLAIN)
BODIES = {"br": BR, "zstd": ZSTD, "gzip": GZIP, None: PLAIN}


class Root:
    @expose
    def default(self, *args):
        return "page"


@pytest.fixture
def folder(tmp_path):
    base = tmp_path / "www"
    (base / "sub").mkdir(parents=True)
    for name, body in {
        "a.css": PLAIN,
        "a.css.br": BR,
        "a.css.zst": ZSTD,
        "a.css.gz": GZIP,
        "b.css": PLAIN,
        "b.css.gz": GZIP,
        "only.css.gz": GZIP,
        "sub/index.html": PLAIN,
        "sub/index.html.br": BR,
        "stale.css": PLAIN,
        "stale.css.br": BR,
    }.items():
        (base / name).write_bytes(body)
        os.utime(base / name, (1e9, 1e9))
    os.utime(base / "stale.css", (1e9 + 5, 1e9 + 5))
    (base / "folder.css").write_bytes(PLAIN)
    (base / "folder.css.br").mkdir()
    return base


@pytest.fixture
def site(serve, folder):
    return serve(
        Root(),
        {
            "tools.staticdir.on": True,
            "tools.staticdir.dir": str(folder),
            "tools.staticdir.index": "index.html",
            "tools.staticdir.precompressed": True,
        },
    )


@pytest.mark.parametrize(
    ("path", "accept", "coding"),
    [
        ("/a.css", None, None),
        ("/a.css", "", None),
        ("/a.css", "identity", None),
        ("/a.css", "br", "br"),
        ("/a.css", "gzip", "gzip"),
        ("/a.css", "x-gzip", "gzip"),
        ("/a.css", "zstd", "zstd"),
        ("/a.css", "gzip, deflate, br, zstd", "zstd"),
        ("/a.css", "gzip, br", "br"),
        ("/a.css", "gzip, br;q=0.9", "gzip"),
        ("/a.css", "*", "zstd"),
        ("/a.css", "*, zstd;q=0", "br"),
        ("/a.css", "identity, br;q=0.5", None),
        ("/a.css", "br;q=0", None),
        ("/a.css", "deflate", None),
        ("/b.css", "br, gzip;q=0.2", "gzip"),
        ("/b.css", "br", None),
        ("/sub/", "br", "br"),
        ("/stale.css", "br", None),
        ("/folder.css", "br", None),
    ],
)
def test_which_variant(site, path, accept, coding):
    headers = {} if accept is None else {"Accept-Encoding": accept}
    answer = site(path, headers=headers)
    assert (answer.status, answer["Content-Encoding"]) == (200, coding)
    assert answer.body == BODIES[coding]
    assert answer["Content-Length"] == str(len(answer.body))
    assert answer["Vary"] == "Accept-Encoding"
    assert answer["Content-Type"] == ("text/html" if path == "/sub/" else "text/css")
    head = site(path, headers=headers, method="HEAD")
    assert {**dict(head.fields), "Date": 1} == {**dict(answer.fields), "Date": 1}
    assert head.body == b""


def test_a_variant_without_its_file_is_nothing(site):
    assert site("/only.css", headers={"Accept-Encoding": "gzip"}).body == b"page"
    # By its own name it is a file as any other.
    answer = site("/only.css.gz", headers={"Accept-Encoding": "gzip"})
    assert (answer.body, answer["Content-Type"]) == (GZIP, "application/x-gzip")
    assert answer["Content-Encoding"] is None


def test_variants_have_validators_of_their_own(site, folder):
    # Of the same age and size as the plain one.
    (folder / "b.css.gz").write_bytes(PLAIN)
    os.utime(folder / "b.css.gz", (1e9, 1e9))
    plain = site("/b.css")["ETag"]
    zipped = {"Accept-Encoding": "gzip"}
    tag = site("/b.css", headers=zipped)["ETag"]
    assert tag != plain
    answer = site("/b.css", headers={**zipped, "If-None-Match": tag})
    assert (answer.status, answer["ETag"], answer["Vary"]) == (304, tag, "Accept-Encoding")
    assert site("/b.css", headers={**zipped, "If-None-Match": plain}).status == 200
    assert site("/b.css", headers={"If-None-Match": tag}).status == 200


def test_ranges_count_the_bytes_that_are_sent(site):
    headers = {"Accept-Encoding": "br", "Range": "bytes=3-4"}
    answer = site("/a.css", headers=headers)
    assert (answer.status, answer.body, answer["Content-Range"]) == (206, BR[3:5], "bytes 3-4/12")
    assert answer["Content-Encoding"] == "br"
    # A part of the plain file is not continued with one of the other.
    headers["If-Range"] = site("/a.css")["ETag"]
    answer = site("/a.css", headers=headers)
    assert (answer.status, answer.body) == (200, BR)
    answer = site("/a.css", headers={"Accept-Encoding": "br", "Range": "bytes=99-"})
    assert answer.status == 416
    assert answer["Content-Encoding"] is None  # the error's page is plain


def test_what_is_compressed_is_not_compressed_again(serve, folder):
    conf = {
        "tools.staticdir.on": True,
        "tools.staticdir.dir": str(folder),
        "tools.staticdir.precompressed": ["br"],
        "tools.gzip.on": True,
        "tools.gzip.mime_types": ["text/css"],
    }
    site = serve(Root(), conf)
    answer = site("/a.css", headers={"Accept-Encoding": "br, gzip"})
    assert (answer["Content-Encoding"], answer.body) == ("br", BR)
    answer = site("/a.css", headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.body) == PLAIN
    assert answer["Vary"] == "Accept-Encoding"


def test_settings(serve, folder):
    conf = {"tools.staticdir.on": True, "tools.staticdir.dir": str(folder)}
    both = {"Accept-Encoding": "br, gzip"}
    site = serve(Root(), {**conf, "tools.staticdir.precompressed": "gzip, br"})
    assert site("/a.css", headers=both)["Content-Encoding"] == "gzip"
    site = serve(Root(), {**conf, "tools.staticdir.precompressed": "deflate"})
    assert site("/a.css", headers=both).status == 500
    answer = serve(Root(), conf)("/a.css", headers=both)
    assert (answer["Content-Encoding"], answer["Vary"]) == (None, None)
    one = {
        "tools.staticfile.on": True,
        "tools.staticfile.filename": str(folder / "a.css"),
        "tools.staticfile.precompressed": True,
    }
    assert serve(Root(), one)("/x", headers=both)["Content-Encoding"] == "br"


def test_a_variant_that_may_not_be_read_is_not_there(site, folder, monkeypatch):
    real = os.open

    def refusing(path, *how, **more):  # root, who runs tests in containers, may read everything
        if str(path).endswith(".br"):
            raise PermissionError(path)
        return real(path, *how, **more)

    monkeypatch.setattr(os, "open", refusing)
    assert site("/a.css", headers={"Accept-Encoding": "br"}).body == PLAIN


def test_no_descriptor_is_left_open(site):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for accept in ("br", "gzip", "identity", "br;q=x"):
        for more in ({}, {"If-None-Match": "*"}, {"Range": "bytes=9999-"}, {"If-Match": '"x"'}):
            for path in ("/a.css", "/stale.css", "/nope"):
                site(path, headers={"Accept-Encoding": accept, **more})
    assert before in (0, len(os.listdir("/proc/self/fd")))


def test_a_field_that_cannot_be_understood(site):
    assert site("/a.css", headers={"Accept-Encoding": "br;q=x"}).status == 400
