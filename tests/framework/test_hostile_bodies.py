"""Bodies that are made to cost the server more than they cost the peer."""

from __future__ import annotations

import encodings
import io
import os
import re
import sys
import time

import pytest
from framework_asking import ask

import cherrypy
from cherrypy.framework.body import Entity, Part
from cherrypy.framework.helpers import expose
from cherrypy.framework.ramfile import SmallFile
from kirsch.http.charsets import known_charset
from kirsch.http.headers import MAX_PARAMETERS

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"


class Root:
    @expose
    def index(self, **params):
        return repr(params)[:200]

    @expose
    def files(self, f):
        return str(len(os.listdir("/proc/self/fd")))

    @expose
    def read(self, f):
        file = f.file
        first = file.read(2)
        with os.fdopen(os.dup(file.fileno()), "rb") as copy:
            rest = copy.read()
        return f"{type(file).__name__} {os.fstat(file.fileno()).st_size} {first!r} {rest[-2:]!r}"


def post(path: str, body: bytes, kind: str = URLENCODED):
    return ask(Root(), path, "", body, kind)


def form(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


FILE = b'Content-Disposition: form-data; name="f"; filename="n"\r\n\r\n'
FIELD = b'Content-Disposition: form-data; name="f"\r\n\r\n'


# ----------------------------------------------------------------------------------- charsets


@pytest.mark.parametrize("charset", ["punycode", "PUNYCODE", "Puny-Code", "idna", "IDNA "])
def test_charsets_that_take_quadratic_time_are_not_taken(charset):
    body = b"a=" + b"b" * 20 + b"-" + b"a" * 1_500_000
    started = time.process_time()
    answer = post("/", body, f"{URLENCODED}; charset={charset}")
    assert answer.code == 200
    assert "bbb-aaa" in answer.text
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "charset",
    ["utf\0", "utf-7", "zlib", "hex", "rot13", "unicode_escape", "undefined", "mbcs", "x" * 5000]
    + ["\xe9", "..", "os", "encodings.utf_8", "", " ", '"', "utf-8'"],
)
def test_no_name_of_a_charset_is_our_fault(charset):
    answer = post("/", b"a=%2BADw-b", f"{URLENCODED}; charset={charset}")
    assert answer.code == 200
    assert answer.text == "{'a': '+ADw-b'}"
    answer = post("/", b"a=%FF", f"{URLENCODED}; charset={charset}")
    assert answer.code == 400


def test_names_of_charsets_that_there_are_not_are_not_remembered():
    before = len(encodings._cache)
    modules = set(sys.modules)
    for number in range(200):
        post("/", b"a=b", f"{URLENCODED}; charset=made-up-{number}")
        part = FIELD.replace(
            b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=up%d\r\n\r\n" % number
        )
        post("/", form(part + b"text"), MULTIPART)
        extended = FILE.replace(b'filename="n"', b"filename*=other-%d''n" % number)
        post("/", form(extended + b"text"), MULTIPART)
    assert len(encodings._cache) == before
    assert {name for name in set(sys.modules) - modules if name.startswith("encodings")} == set()


def test_charsets_that_peers_use_are_known():
    for name in ("utf-8", "UTF8", "us-ascii", "latin-1", "ISO-8859-15", "windows-1252", "koi8-u"):
        assert known_charset(name), name
    for name in ("big5", "shift_jis", "Shift-JIS", "euc-jp", "gb18030", "utf-16", "macintosh"):
        assert known_charset(name), name
    body = "a=grün".encode("cp1252")
    assert post("/", body, f"{URLENCODED}; charset=windows-1252").text == "{'a': 'grün'}"


def test_an_application_may_try_any_codec_of_its_own():
    import codecs

    def search(name: str):
        if name != "kirsch_own":
            return None
        return codecs.CodecInfo(codecs.utf_8_encode, lambda data, errors="": ("own", len(data)))

    codecs.register(search)
    try:
        conf = {"/": {"request.body.attempt_charsets": ["kirsch-own"]}}
        kind = f"{URLENCODED}; charset=kirsch-own"
        answer = ask(Root(), "/", "", b"a=b", kind, config=conf)
        assert answer.text == "{'own': 'own'}"
    finally:
        codecs.unregister(search)


# -------------------------------------------------------------------------------------- pairs


def test_pairs_of_an_urlencoded_body_are_counted_before_they_are_made():
    answer = post("/", b"a&" * 200_000)
    assert answer.code == 413
    assert "more than 100000 fields" in answer.text
    assert post("/", b"a;" * 200_000).code == 413
    assert post("/", b"&".join(b"a=1" for _ in range(50_000))).code == 200


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=c", URLENCODED])
def test_what_is_within_parts_is_counted_with_the_rest(kind):
    """Else 5000 parts of 5000 parts: some bytes of a body each, and a thousand of memory."""
    inner = b"--c\r\n\r\nx\r\n" * 2000 + b"--c--" if "mixed" in kind else b"a&" * 40_000
    part = b"Content-Type: %s\r\n\r\n%s" % (kind.encode(), inner)
    assert post("/", form(part, part), MULTIPART).code == 200
    answer = post("/", form(*[part] * 3), MULTIPART)
    assert answer.code == 413
    assert re.search("more than (5000 parts|100000 fields)", answer.text)


@pytest.mark.parametrize(
    "headers",
    [
        b"".join(b"%x:\r\n" % number for number in range(1000)),
        b"a:\r\n" * 1000,
        b"a:\r\n" + b" b\r\n" * 1000,
    ],
    ids=["names", "one name", "folds"],
)
def test_lines_of_the_headers_of_a_part_are_counted(headers):
    assert post("/", form(headers + FIELD + b"x"), MULTIPART).code == 413
    assert post("/", form(b"X-A: b\r\n" * 150 + FIELD + b"x"), MULTIPART).code == 200


def test_parameters_of_a_part_are_counted():
    """The rest of them is ignored."""
    many = b"".join(b";a%x=b" % number for number in range(1000))

    class Kinds(Root):
        @expose
        def kind(self, f):
            return f"{len(f.content_type.params)} {f.filename}"

    part = FILE.replace(b"\r\n\r\n", many + b"\r\nContent-Type: text/plain%s\r\n\r\n" % many[:5000])
    answer = ask(Kinds(), "/kind", "", form(part + b"x"), MULTIPART)
    assert answer.text == f"{MAX_PARAMETERS} n"


def test_limits_of_fields_reach_the_parts_of_a_body():
    conf = {"/": {"request.body.maxparams": 3}}
    part = b"Content-Type: %s\r\n\r\na=1&b=2" % URLENCODED.encode()
    assert ask(Root(), "/", "", form(part), MULTIPART, config=conf).code == 200
    assert ask(Root(), "/", "", form(part, part), MULTIPART, config=conf).code == 413


def test_the_text_of_a_body_without_processor():
    class Text(Root):
        @expose
        def text(self):
            return cherrypy.request.body.fullvalue()

    for kind in ("text/plain; charset=utf-8", "application/x-own", "text/plain; charset=zip"):
        assert ask(Text(), "/text", "", "grün".encode(), kind).text == "grün"
    assert ask(Text(), "/text", "", b"\xff", "application/x-own; charset=idna").code == 400
    assert ask(Text(), "/text", "", b"gr\xfcn", "text/plain; charset=latin-1").text == "grün"


# -------------------------------------------------------------------------------- descriptors


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only on Linux")
@pytest.mark.parametrize("part", [FILE + b"x", FILE, FILE + b"x" * 2000, FIELD + b"x" * 1001])
def test_parts_take_no_descriptors(part):
    before = len(os.listdir("/proc/self/fd"))
    answer = post("/files", form(*[part] * 900), MULTIPART)
    assert answer.code == 200
    assert int(answer.text) < before + 20


def test_large_files_on_disk_are_counted(monkeypatch):
    monkeypatch.setattr(Entity, "maxfiles", 3)
    large = FILE + b"x" * (Part.maxramfile + 1)
    assert post("/files", form(*[large] * 3), MULTIPART).code == 200
    answer = post("/files", form(*[large] * 4), MULTIPART)
    assert answer.code == 413
    assert "more than 3 large parts" in answer.text
    # Small ones are not.
    mixed = [large, *[FILE + b"x"] * 50, large]
    assert post("/files", form(*mixed), MULTIPART).code == 200


@pytest.mark.parametrize(("size", "kind"), [(10, "SmallFile"), (100_000, "BufferedRandom")])
def test_a_small_file_has_a_descriptor_for_those_who_ask(size, kind):
    data = b"ab" + b"." * (size - 4) + b"yz"
    answer = post("/read", form(FILE + data), MULTIPART)
    assert answer.text == f"{kind} {size} b'ab' b'yz'"


def test_a_small_file_is_a_file():
    file = SmallFile(b"line\nnext\n")
    assert io.TextIOWrapper(file, "ascii").readlines() == ["line\n", "next\n"]
    file = SmallFile(b"content")
    file.seek(3)
    descriptor = file.fileno()
    assert file.fileno() == descriptor
    assert os.read(descriptor, 10) == b"tent"
    file.close()
    assert file.closed
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_who_makes_files_of_his_own_gets_every_file():
    made = []

    class Own(Part):
        def make_file(self):
            made.append(io.BytesIO())
            return made[-1]

    class Body(Root):
        @expose
        def index(self, f):
            return f"{f.file is made[0]} {f.fullvalue()}"

    conf = {"/": {"request.body.part_class": Own}}
    answer = ask(Body(), "/", "", form(FILE + b"text"), MULTIPART, config=conf)
    assert answer.text == "True text"
