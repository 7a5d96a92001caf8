"""Rubbish over a real socket: each is answered below 500, in a time that is linear in its size."""

from __future__ import annotations

import base64
import os
import re
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from compat_process import get

SITE = Path(__file__).parent / "rubbish_site.py"
#: Seconds of the server's processor, for a request of at most some megabytes. Whatever is quadratic takes minutes.
PROCESSOR = 2.5
PATIENCE = 30.0
MULTIPART = "multipart/form-data; boundary=b"
URLENCODED = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(SITE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        process.stdout.close()


def dialogue(port: int, data: bytes) -> bytes:
    """Everything that comes back before the server closes the connection."""
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as peer:
        try:
            peer.sendall(data)
        except OSError:
            pass  # An early answer is still worth reading.
        try:
            while block := peer.recv(65536):
                answer += block
        except ConnectionResetError:
            pass  # What came before is the answer.
    return bytes(answer)


def request(
    path: str, *fields: tuple[str, str | bytes], body: bytes | None = None, method: str = ""
) -> bytes:
    """The bytes of a request, whose connection ends with its answer."""
    lines = [
        f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1".encode("latin-1"),
        b"Connection: close",
    ]
    if not any(name == "Host" for name, _ in fields):
        lines.append(b"Host: h")
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    for name, value in fields:
        value = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        lines.append(name.encode() + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def judge(port: int, data: bytes, *wanted: int) -> bytes:
    """Send a request; its status must be among those wanted (if any), and never 500 or beyond."""
    before = float(get(port, "/cpu")[1])
    answer = dialogue(port, data)
    spent = float(get(port, "/cpu")[1]) - before
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert found, f"no answer: {answer[:200]!r}"
    status = int(found[1])
    assert status < 500, answer[-3000:].decode("latin-1")
    if wanted:
        assert status in wanted, answer[:3000].decode("latin-1")
    assert b"Traceback" not in answer
    assert spent < PROCESSOR, f"{spent:.1f} s of the processor"
    return answer


def post(path: str, kind: str | bytes, body: bytes, *fields: tuple[str, str | bytes]) -> bytes:
    return request(path, ("Content-Type", kind), *fields, body=body)


# ---------------------------------------------------------------------------------- multipart

FIELD = b'Content-Disposition: form-data; name="f"\r\n\r\n'


def parts(*bodies: bytes, boundary: bytes = b"b", end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in bodies) + end


DISPOSITION = b"Content-Disposition: form-data; "
FORMS: dict[str, tuple[str | bytes, bytes]] = {
    "20000 parts": (MULTIPART, parts(*[FIELD + b"x"] * 20_000)),
    "40000 parts without headers": (MULTIPART, parts(*[b"\r\nx"] * 40_000)),
    "a header of a megabyte": (MULTIPART, parts(b"X-A: " + b"a" * 1_000_000 + b"\r\n" + FIELD)),
    "100000 headers": (MULTIPART, parts(b"X-A: a\r\n" * 100_000 + FIELD)),
    "100000 folds": (MULTIPART, parts(b"X-A: a\r\n" + b" b\r\n" * 100_000 + FIELD)),
    "headers without end": (MULTIPART, b"--b\r\n" + b"X-A: a\r\n" * 10),
    "headers without colon": (MULTIPART, parts(b"rubbish\r\n" + FIELD)),
    "headers of zeros": (MULTIPART, parts(b"\0" * 100_000 + b"\r\n\r\n")),
    "a disposition of parameters": (MULTIPART, parts(DISPOSITION + b'a="b"; ' * 50_000 + b"\r\n\r\n")),
    "a disposition of quotes": (MULTIPART, parts(DISPOSITION + b'name="' + b'\\"' * 200_000)),
    "a disposition of semicolons": (MULTIPART, parts(DISPOSITION + b";" * 300_000 + b"\r\n\r\n")),
    "an open quote": (MULTIPART, parts(DISPOSITION + b'name="f\r\n\r\nx')),
    "a name of surrogates": (MULTIPART, parts(DISPOSITION + b'name="\xed\xa0\x80"\r\n\r\nx')),
    "a name of zeros": (MULTIPART, parts(DISPOSITION + b'name="\0"; filename="\0/../\0"\r\n\r\nx')),
    "a file name in an unknown charset": (
        MULTIPART, parts(DISPOSITION + b"name=f; filename*=no-such''%ff\r\n\r\nx"),
    ),
    "a file name without quotes for its charset": (
        MULTIPART, parts(DISPOSITION + b"name=f; filename*=%ff%\r\n\r\nx"),
    ),
    "a length of a part": (MULTIPART, parts(b"Content-Length: x\r\n" + FIELD + b"x")),
    "a negative length of a part": (MULTIPART, parts(b"Content-Length: -5\r\n" + FIELD + b"x")),
    "a part in a coding": (
        MULTIPART, parts(b"Content-Transfer-Encoding: base64\r\n" + FIELD + b"\xff"),
    ),
    "no boundary": ("multipart/form-data", parts(FIELD)),
    "an empty boundary": ("multipart/form-data; boundary=", parts(FIELD, boundary=b"")),
    "an empty boundary in quotes": ('multipart/form-data; boundary=""', parts(FIELD, boundary=b"")),
    "a boundary of 100000": ("multipart/form-data; boundary=" + "b" * 100_000, parts(FIELD)),
    "a boundary with an open quote": ('multipart/form-data; boundary="b', parts(FIELD)),
    "a boundary that is no text": (b"multipart/form-data; boundary=\xff\xfe\0b", parts(FIELD)),
    "a boundary of surrogates": ("multipart/form-data; boundary=\ud800", parts(FIELD)),
    "a boundary that is an expression": ("multipart/form-data; boundary=(b+)+$", parts(FIELD)),
    "a boundary of spaces": ('multipart/form-data; boundary="   "', parts(FIELD, boundary=b"   ")),
    "almost the boundary, often": (
        "multipart/form-data; boundary=" + "a" * 60,
        b"--" + b"a" * 60 + b"\r\n" + FIELD + (b"\r\n--" + b"a" * 59) * 30_000,
    ),
    "2 MB without a boundary": (MULTIPART, b"\r\n" * 1_000_000),
    "2 MB of line feeds": (MULTIPART, b"--b\r\n" + FIELD + b"\n" * 2_000_000),
    "2 MB of returns": (MULTIPART, b"--b\r\n" + FIELD + b"\r" * 2_000_000),
    "2 MB of dashes": (MULTIPART, b"--b\r\n" + FIELD + b"-" * 2_000_000),
    "no end": (MULTIPART, parts(FIELD + b"x", end=b"")),
    "nothing": (MULTIPART, b""),
    "the end alone": (MULTIPART, b"--b--\r\n"),
    "multipart in multipart": (
        MULTIPART,
        parts(b"Content-Type: multipart/mixed; boundary=c\r\n" + FIELD + parts(FIELD + b"x", boundary=b"c", end=b"--c--")),
    ),
    "multipart, 1000 deep": (
        MULTIPART,
        b"".join(
            b"--b%s\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (b"" if n == 0 else b"%d" % n, n + 1)
            for n in range(1000)
        ),
    ),
    "mixed": ("multipart/mixed; boundary=b", parts(FIELD + b"x")),
    "related, rubbish": ("multipart/related; boundary=b; start=;;;", parts(b"\xff")),
    "a text type of rubbish": (";;;=\xff", b"x"),
    "a type of 100000 parameters": ("text/plain; " + "a=b; " * 60_000, b"x"),
    "a type of quotes": ("text/plain; a=" + '"\\' * 100_000, b"x"),
    "a type of commas": ("," * 300_000, b"x"),
    "200000 pairs": (URLENCODED, b"a=b&" * 200_000),
    "2 MB of ampersands": (URLENCODED, b"&" * 2_000_000),
    "2 MB of percents": (URLENCODED, b"a=" + b"%" * 2_000_000),
    "2 MB of plus": (URLENCODED, b"+" * 2_000_000),
    "90000 names": (URLENCODED, b"&".join(b"a%d=b" % n for n in range(90_000))),
    "90000 times one name": (URLENCODED, b"&".join(b"a=%d" % n for n in range(90_000))),
}  # fmt: skip


@pytest.mark.parametrize("path", ["/form", "/raw", "/number", "/decoded"])
@pytest.mark.parametrize("name", FORMS)
def test_forms(port: int, name: str, path: str) -> None:
    kind, body = FORMS[name]
    judge(port, post(path, kind, body))


@pytest.mark.parametrize("name", FORMS)
def test_forms_in_chunks(port: int, name: str) -> None:
    kind, body = FORMS[name]
    size = 7 if len(body) < 20_000 else 10_000
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    data = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    head = request("/raw", ("Content-Type", kind), ("Transfer-Encoding", "chunked"), method="POST")
    judge(port, head + data)


# ----------------------------------------------------------------------------------- charsets

CODECS = [
    "no-such",
    "idna",
    "punycode",
    "unicode_escape",
    "raw_unicode_escape",
    "zip",
    "zlib",
    "bz2",
]
CODECS += [
    "hex",
    "base64",
    "rot13",
    "uu",
    "quopri",
    "undefined",
    "mbcs",
    "oem",
    "utf-7",
    "utf-16",
    "utf-32",
]
CODECS += [
    "\xff",
    "",
    '"',
    "\0",
    "x" * 100_000,
    "../../etc",
    "os.path",
    "utf-8\ud800",
    "*",
    "utf_8_sig",
]


@pytest.mark.parametrize("charset", CODECS, ids=lambda text: ascii(text[:20]))
def test_charsets(port: int, charset: str) -> None:
    body = b"a=" + b"%FF-xn--" * 100_000
    judge(port, post("/form", f"{URLENCODED}; charset={charset}", body))
    judge(port, post("/decoded", f"{URLENCODED}; charset={charset}", body))
    judge(port, post("/json", f"application/json; charset={charset}", b'{"a": "\xff"}'))
    text = b"Content-Type: text/plain; charset=" + charset.encode("utf-8", "surrogatepass")
    judge(port, post("/form", MULTIPART, parts(text + b"\r\n" + FIELD + b"\xff" * 100_000)))
    judge(port, request("/coded", ("Accept-Charset", charset)))
    judge(port, request("/coded", ("Accept-Charset", f"{charset};q=0.5, utf-8;q=0.1")))
    for word in ("Cookie", "X-Any", "Authorization"):
        judge(port, request("/raw", (word, f"=?{charset}?q?=FF=00?= =?{charset}?b?/w==?=")))


# -------------------------------------------------------------------------------- credentials

DIGEST = 'Digest username="u", realm="r", nonce="n", uri="/digest", response="x"'
CREDENTIALS: list[str | bytes] = [
    "", "Digest", "Digest ", "digest x", 'Digest username="', 'Digest username="u', "Digest ,,,",
    "Digest =", "Digest a", "Digest a=b", 'Digest username="u", username="u"', DIGEST,
    DIGEST + ", algorithm=no-such", DIGEST + ", algorithm=md5", DIGEST + ', algorithm="MD5-sess"',
    DIGEST + ", algorithm=SHA-256, qop=auth, nc=1, cnonce=c", DIGEST + ", qop=no-such",
    DIGEST + ", qop=auth", DIGEST + ", qop=auth-int, nc=1, cnonce=c", DIGEST + ", opaque",
    DIGEST + ', qop=auth, nc=xyz, cnonce="\xff"', DIGEST.replace('"n"', '"::"'),
    DIGEST.replace('"n"', '"9999999999999:x"'), DIGEST.replace('"n"', '"-1:x"'),
    DIGEST.replace('"n"', '"nan:x"'), DIGEST.replace('"n"', '"\ud800:x"'),
    DIGEST.replace('"u"', '"\ud800"'), DIGEST.replace('"u"', '"u\\"'), DIGEST.replace('"u"', '""'),
    "Digest " + 'a="b", ' * 40_000, "Digest " + "," * 400_000, "Digest " + '"' * 400_000,
    "Digest " + '\\"' * 200_000, 'Digest username="' + "u" * 400_000 + '"',
    'Digest username="' + "\\" * 400_000, "Digest " + "a" * 400_000, "Digest " + " " * 400_000,
    "Digest " + "a=" * 200_000, DIGEST.replace("/digest", "/" * 300_000),
    "Basic", "Basic ", "Basic ===", "Basic \xff", "Basic " + "A" * 400_001, "Basic " + "=" * 400_000,
    b"Basic " + base64.b64encode(b"u"), b"Basic " + base64.b64encode(b"\xff:\xff"),
    b"Basic " + base64.b64encode(b":" * 100_000), b"Basic " + base64.b64encode(b"u:\0\0"),
    b"Basic " + base64.b64encode(b"\xed\xa0\x80:p"), "Bearer x", "\xff\xfe", "=?utf-8?q?Basic?= x",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CREDENTIALS)))
def test_credentials(port: int, number: int) -> None:
    for path in ("/basic", "/digest"):
        judge(port, request(path, ("Authorization", CREDENTIALS[number])), 400, 401)


def test_credentials_of_a_megabyte(port: int) -> None:
    judge(port, request("/digest", ("Authorization", "Digest " + "a" * 1_000_000)), 413, 431)


# -------------------------------------------------------------------------------------- fields

FIELDS: dict[str, list[str | bytes]] = {
    "Cookie": [
        "a=b; " * 80_000, "; ".join(f"c{n}=x" for n in range(40_000)), ";" * 450_000,
        "=" * 450_000, '"' * 450_000, 'a="' + "\\" * 400_000, "a=" + "\\377" * 100_000, "$Version=1; $" * 30_000,
        'a="' + '\\"' * 200_000 + '"', 'session_id="' + "\\101" * 100_000 + '"',
        "session_id=" + "x" * 400_000, "session_id=../../etc/passwd", "session_id=\0",
        "session_id=\ud800", b"\xff\xfe=\xff", ",", "a", "expires=1; path=2; a=b", "a=\x01b",
        "=?utf-8?q?a=3Db?=", '__proto__=1; constructor="x"', "a" * 200_000 + "=b", "a b=c; d e=f",
    ],
    "Accept": [
        "text/html;q=0.5, " * 25_000, "," * 450_000, "a/b," * 80_000, ";" * 400_000, "text/html;q=x",
        "text/html;q=", "text/html;q=-1", "text/html;q=1e999", "text/html;q=nan", "text/html;q=inf", "/", "*",
        "*/", "text/*;q=0", '"' * 400_000, 'a;b="' + "\\" * 400_000, "\ud800", b"\xff", "a;" + "b=c;" * 90_000,
        "text/html; level=1; q=0.3;q=0.9;;;=", "text/html;Q=0.5", "a/b;q=" + "9" * 100_000, "=?utf-8?q?a/b?=",
    ],
    "Accept-Encoding": [
        "gzip;q=x", "gzip;q=-5", "gzip;q=nan", "gzip;q=1e400", "," * 450_000, "gzip," * 80_000, "*;q=0", "\ud800",
        "identity;q=0", "a," * 200_000, "br;q=0.5, zstd;q=", b"\xff", "gzip;" * 80_000,
    ],
    "Accept-Charset": [
        "utf-8;q=x", "a," * 200_000, "*;q=0", "," * 450_000, "utf-8;q=nan", "utf-8;q=1e999", "idna, punycode, zip",
        "iso-8859-1;q=0.0001" * 1000, b"\xff",
    ],
    "Accept-Language": ["de;q=x", "," * 450_000, "de," * 90_000],
    "Range": [
        "bytes=" + ",".join(f"{n}-{n}" for n in range(10_000)), "bytes=0-," * 40_000, "bytes=" + "0-," * 100_000,
        "bytes=0-" + "9" * 5_000, "bytes=" + "-" * 400_000, "bytes=" + "," * 400_000, "bytes=-" + "9" * 5_000,
        "bytes=x-y", "bytes=5-1", "bytes", "=", "", "bytes=\xb2-\xb3", "bytes=1_0-2_0", "bytes=+1-+2", "\ud800",
        "bytes=" + "0-0," * 50_000 + "x", "bytes= 1 - 2 , 3", "none=0-1", "bytes=\u0661-\u0662",
        "bytes=" + "9" * 400_000 + "-",
    ],
    "If-None-Match": ['"a", ' * 80_000, "," * 450_000, '"', "*, *", "W/" * 200_000, b"\xff", "\ud800", 'W/"' + "a" * 400_000],
    "If-Match": ['"a", ' * 80_000, "," * 450_000, '"', "*", b"\xff"],
    "If-Modified-Since": [
        "yesterday", "9" * 400_000, "Sun, 06 Nov 9999999 08:49:37 GMT", "Sun, 06 Nov 1994 99:99:99 GMT", "\ud800",
        "Sun, 06 Nov 0000 08:49:37 GMT", " " * 400_000 + "x", "Sun, 31 Feb 1994 08:49:37 GMT", b"\xff", "Sun," * 80_000,
    ],
    "If-Unmodified-Since": ["yesterday", "9" * 400_000],
    "If-Range": ["yesterday", '"' * 400_000, "W/x"],
    "Referer": ["a" * 450_000, "http://" * 60_000, b"\xff", "\ud800", "http://[", "//" * 200_000],
    "Forwarded": ["for=" * 80_000, ";" * 400_000, "," * 400_000, 'for="' + "\\" * 400_000, 'for="[', "for=\ud800", "host=a/b", 'for="[::1]:x"', "for=1.2.3.4," * 30_000],
    "X-Forwarded-For": ["1.2.3.4, " * 40_000, "," * 400_000, "[::", "\ud800", b"\xff", "1.2.3.4:99999999", "x" * 400_000],
    "X-Forwarded-Host": ["," * 400_000, "a b", "http://[::", "\ud800", "a@b/c?d#e", "x" * 400_000, "\\\\evil"],
    "X-Forwarded-Proto": ["," * 400_000, "javascript", "\ud800", "on", "https://"],
    "X-Forwarded-Prefix": ["/" * 400_000, "//evil", "..", "\ud800", "/a?b#c", "\\evil"],
    "Cache-Control": ["max-age=x", "max-age=" + "9" * 5000, "max-age=-1", "," * 400_000, "max-age", "max-age=" + "9" * 400_000, "a=" * 100_000, 'a="' + "\\" * 300_000, "min-fresh=nan", "max-stale=\xb2"],
    "Pragma": ["no-cache", "," * 400_000],
    "X-HTTP-Method-Override": ["\ud800", "X" * 400_000],
    "Host": ["[::", "[::]:x", "a@b", "h:99999999", "\ud800", b"\xff", "=?utf-8?q?=5B?=", "[x]", "a/b", "x" * 300_000, "//h", "h,h", "?", "h:", ":80", "\\"],
    "Origin": ["null", "\ud800", "x" * 400_000, "http://[::"],
    "X-Any": ["=?utf-8?q?a?=" * 30_000, "=?" * 200_000, "=?a?b?" * 60_000, "=?utf-8?b?" + "A" * 400_000 + "?=", "?=" * 200_000, "=?utf-8?q?" + "=" * 400_000],
    "Expect": ["100-continue", "rubbish", "," * 100_000],
    "Upgrade": ["websocket", "h2c", "," * 100_000],
    "Content-Encoding": ["gzip", "no-such"],
    "User-Agent": ["\ud800", '"' * 400_000, "\\" * 400_000, "=?utf-8?q?" + "x" * 300_000],
}  # fmt: skip

PATHS = {
    "Cookie": ["/cookies", "/session", "/raw"],
    "Accept": ["/accept", "/coded", "/raw"],
    "Accept-Encoding": ["/coded", "/compressed"],
    "Accept-Charset": ["/coded"],
    "Range": ["/static/rubbish_site.py", "/download?name=a", "/vary"],
    "If-Modified-Since": ["/static/rubbish_site.py", "/tagged"],
    "If-Unmodified-Since": ["/static/rubbish_site.py"],
    "If-Range": ["/static/rubbish_site.py"],
    "If-None-Match": ["/tagged", "/static/rubbish_site.py"],
    "If-Match": ["/tagged", "/static/rubbish_site.py"],
    "Referer": ["/referred"],
    "Cache-Control": ["/tagged"],
    "Pragma": ["/tagged"],
    "Host": ["/raw", "/redirected?to=x", "/methods", "/proxied", "/away"],
    "Forwarded": ["/proxied"],
    "X-Forwarded-For": ["/proxied"],
    "X-Forwarded-Host": ["/proxied"],
    "X-Forwarded-Proto": ["/proxied"],
    "X-Forwarded-Prefix": ["/proxied"],
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, n) for name, values in FIELDS.items() for n in range(len(values))]
)
def test_fields(port: int, name: str, number: int) -> None:
    value = FIELDS[name][number]
    for path in PATHS.get(name, ["/raw", "/vary"]):
        more = [("Range", "bytes=0-1")] if name == "If-Range" else []
        judge(port, request(path, (name, value), *more))
        if name.startswith("Accept"):
            judge(port, request(path, (name, value), (name, value[:1000])))


def test_what_is_plain_is_answered(port: int) -> None:
    """So that the table is asked of pages that work."""
    for path in {path for paths in PATHS.values() for path in paths} - {"/referred"}:
        judge(port, request(path), 200, 301, 303)
    judge(port, request("/referred", ("Referer", "http://good/")), 200)
    judge(port, request("/cookies", ("Cookie", "a=1; b=2")), 200)
    login = b"Basic " + base64.b64encode(b"u:p")
    judge(port, request("/basic", ("Authorization", login)), 200)
    assert b"2 parameters" in judge(port, post("/form", URLENCODED, b"a=1&b=2"), 200)
    assert b"1 parameters" in judge(port, post("/form", MULTIPART, parts(FIELD + b"x")), 200)
    assert b"dict" in judge(port, post("/json", "application/json", b"{}"), 200)
    assert b"('a',)" in judge(port, post("/calls/", "text/xml", call(b"<string>a</string>")), 200)


# ----------------------------------------------------------------------------------- documents


def call(value: bytes, before: bytes = b"") -> bytes:
    return (
        b'<?xml version="1.0"?>' + before + b"<methodCall><methodName>echo</methodName><params>"
        b"<param><value>" + value + b"</value></param></params></methodCall>"
    )


DOCUMENTS: dict[str, bytes] = {
    "deep lists": b"[" * 100_000, "deep lists, closed": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000, "deep objects, closed": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a number of a million digits": b"9" * 1_000_000, "a large exponent": b"1e99999999",
    "not a number": b"NaN", "infinity": b"-Infinity", "half a pair": rb'"\ud800"', "a bad escape": rb'"\u12"',
    "no document": b"", "spaces": b" " * 1_000_000, "a byte order mark": b"\xef\xbb\xbf{}", "utf-16": '{"a": 1}'.encode("utf-16"),
    "no text": b"\xff\xfe\xfd", "zeros": b"\0" * 10, "an open text": b'"' + b"a" * 1_000_000, "one key, often": b"{" + b'"a":1,' * 100_000 + b'"b":2}',
    "escapes": b'"' + b"\\u0041" * 200_000 + b'"', "commas": b"[" + b"," * 500_000,
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_json(port: int, name: str) -> None:
    judge(port, post("/json", "application/json", DOCUMENTS[name]), 200, 400)


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
    b'<!ENTITY a%d "%s">' % (n + 1, b"&a%s;" % (b"%d" % n if n else b"") * 10) for n in range(10)
)
CALLS: dict[str, bytes] = {
    "a bomb of entities": call(b"<string>&a10;</string>", BOMB + b"]>"),
    "a long entity, often": call(b"<string>" + b"&a;" * 100_000 + b"</string>", b'<!DOCTYPE x [<!ENTITY a "%s">]>' % (b"a" * 100_000)),
    "a file as entity": call(b"<string>&a;</string>", b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
    "deep": call(b"<array><data><value>" * 50_000), "deep, closed": call(b"<array><data><value>" * 20_000 + b"</value></data></array>" * 20_000),
    "deep structs": call(b"<struct><member><name>a</name><value>" * 20_000 + b"</value></member></struct>" * 20_000),
    "rubbish": b"\xff\xfe", "nothing": b"", "no call": b"<a/>", "a long number": call(b"<int>" + b"9" * 500_000 + b"</int>"),
    "a bad date": call(b"<dateTime.iso8601>x</dateTime.iso8601>"), "a bad base64": call(b"<base64>===</base64>"),
    "a bad double": call(b"<double>" + b"9" * 500_000 + b"</double>"), "attributes": b"<a " + b" ".join(b'b%d="c"' % n for n in range(50_000)) + b"/>",
    "no such method": call(b"").replace(b"echo", b"__class__"), "a long name": call(b"").replace(b"echo", b"a." * 200_000),
    "an open tag": b"<" * 500_000, "a comment": b"<!--" + b"-" * 500_000, "an unknown encoding": b'<?xml version="1.0" encoding="no-such"?><a/>',
    "an encoding of idna": b'<?xml version="1.0" encoding="idna"?><a/>',
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_xml_rpc(port: int, name: str) -> None:
    """A fault is an answer: its status is 200."""
    answer = judge(port, post("/calls/", "text/xml", CALLS[name]), 200, 400, 411, 413)
    assert b"root:" not in answer
    assert len(answer) < len(CALLS[name]) + 10_000


# --------------------------------------------------------------------------------------- paths

TARGETS = [
    "/form?" + "a=b&" * 16_000, "/form?" + "&" * 64_000, "/form?" + "a" * 64_000, "/form?%", "/form?%ff", "/form?a=%ED%A0%80",
    "/form?a=%00", "/%ED%A0%80", "/%ff", "/%00", "/%", "/" * 64_000, "/form/" + "a/" * 30_000, "/methods/" + "a/" * 30_000,
    "/%2e%2e/%2e%2e/", "/static/%00", "/static/%ff", "/static/%ED%A0%80", "/static/" + "a" * 60_000, "/static/" + "a/" * 30_000,
    "/static/..%2f..%2f..%2fetc/passwd", "/static/%5c..%5c", "/static//etc/passwd", "/static/con", "/static/" + "%2e%2e/" * 9_000,
    "/number?n=x", "/number?n=" + "9" * 60_000, "/number?n=1&n=2", "/number?n=%00", "/number?m=1", "/form;a=b;c", "/__class__", "/form/__class__",
    "/redirected?to=%ED%A0%80", "/redirected?to=%0d%0aX:y", "/redirected?to=http://[::", "/redirected?to=" + "a" * 60_000, "/redirected?to=//evil",
    "//[::/away", "/away/%5b::", "/away//[", "/inside/", "/inside//[::/x", "//[::/inside", "http://[::/form", "http://h:x/form", "//", "/inside/%ff%00",
    "/redirected?to=javascript:x", "/redirected?to=%00", "/redirected",
    "/echoed?value=%ED%A0%80", "/echoed?value=%0d%0aX-B:y", "/echoed?value=%00", "/echoed?value=" + "%C3%A9" * 10_000, "/echoed?value=%F0%9F%8D%92",
    "/refused?message=%ED%A0%80", "/refused?message=%0d%0aX:y", "/refused?message=%3Cscript%3E", "/refused?message=" + "a" * 60_000,
    "/download?name=%ED%A0%80", "/download?name=%0d%0aX:y", "/download?name=%22%5c", "/download?name=" + "%C3%A9" * 10_000, "/download?name=../../x",
    "/form?_method=PUT", "/form?=", "/form?a&b=&=c", "/form?a[b]=c", "/form?" + "a[" * 30_000, "/form?1,2", "/form?99999999999999999999,1",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(TARGETS)))
def test_targets(port: int, number: int) -> None:
    for method in ("GET", "HEAD", "POST"):
        answer = judge(
            port, request(TARGETS[number], method=method, body=b"" if method == "POST" else None)
        )
        head = answer.partition(b"\r\n\r\n")[0]
        assert b"\nX:" not in head.replace(b" ", b"")
        assert b"\nX-B:" not in head
        assert b"root:" not in answer
        assert b"<script>" not in answer


# --------------------------------------------------------------------------- what handlers give


@pytest.mark.parametrize("path", ["/body", "/streamed"])
@pytest.mark.parametrize(
    "kind",
    ["bytearray", "memoryview", "list of bytearrays", "list of memoryviews", "generator", "sliced"],
)
def test_bodies_of_other_kinds_of_bytes(port: int, path: str, kind: str) -> None:
    answer = judge(port, request(f"{path}?kind={kind.replace(' ', '+')}"), 200)
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        body = b"".join(body.split(b"\r\n")[1::2])
    assert body == b"body"


@pytest.mark.parametrize("value", ["200 \u1234", "200 a%0d%0aX: y", "404 " + "x" * 5000])
def test_reasons(port: int, value: str) -> None:
    from urllib.parse import quote

    answer = judge(port, request(f"/status?value={quote(value, '%')}"))
    assert b"\nX:" not in answer


def test_bodies_that_are_not_what_they_say(port: int) -> None:
    zipped = zlib.compress(b"a" * 1000)
    judge(
        port, post("/json", "application/json", zipped, ("Content-Encoding", "deflate")), 400, 415
    )
    judge(port, post("/json", "text/plain", b"{}"), 415)
    judge(port, request("/json", body=b"{}"), 200, 400, 415)
    judge(port, request("/json", method="POST"), 400, 411)
    random = os.urandom(200_000)
    for path in ("/form", "/json", "/calls/", "/raw", "/decoded"):
        for kind in (URLENCODED, MULTIPART, "application/json", "text/xml", "rubbish"):
            judge(port, post(path, kind, random))
