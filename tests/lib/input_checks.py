"""What is promised of malformed input, as functions that fail for whatever does not keep it.

Each takes a site of `Pages`. Work is compared with that for a quarter of the input, never with a clock.
"""

from __future__ import annotations

import encodings
import gc
import io
import os
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import cherrypy
from cherrypy.framework.helpers import expose
from cherrypy.lib import auth_digest

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
FIELD = b'Content-Disposition: form-data; name="f"\r\n\r\n'
FILE = b'Content-Disposition: form-data; name="f"; filename="n"\r\n\r\n'


class Pages:
    @expose
    def form(self, **params: Any) -> str:
        return str(len(params))

    @expose
    def descriptors(self, f: Any) -> str:
        """How many there are while the form is there."""
        return str(descriptors())

    @expose
    @cherrypy.tools.auth_digest(
        realm="r", get_ha1=auth_digest.get_ha1_dict_plain({"u": "p"}), key="k"
    )
    def digest(self) -> str:
        return "in"

    @expose
    def cookies(self) -> str:
        return str(len(cherrypy.request.cookie))


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n%s\r\n" % part for part in parts) + end


def post(site: Any, body: bytes, kind: str = URLENCODED, path: str = "/form") -> Any:
    return site(path, method="POST", body=body, headers={"Content-Type": kind})


def login(site: Any, credentials: str) -> Any:
    return site("/digest", headers={"Authorization": f"Digest {credentials}"})


def send_cookie(site: Any, field: str) -> Any:
    return site("/cookies", headers={"Cookie": field})


# --------------------------------------------------------------------------- 4xx, never a 500

BAD_FORMS: dict[str, tuple[str, bytes]] = {
    "no boundary": ("multipart/form-data", form(FIELD + b"x")),
    "an empty boundary": ("multipart/form-data; boundary=", form(FIELD + b"x")),
    "a boundary in another alphabet": ("multipart/form-data; boundary=\xe9", form(FIELD + b"x")),
    "another boundary": ("multipart/form-data; boundary=c", form(FIELD + b"x")),
    "no end": (MULTIPART, form(FIELD + b"x", end=b"")),
    "no end of headers": (MULTIPART, form(b"X-A: b")),
    "no headers": (MULTIPART, form(b"rubbish\r\n\r\nx")),
    "other line ends": (MULTIPART, form(FIELD.replace(b"\r\n", b"\n") + b"x")),
    "a field that is no text": (MULTIPART, form(FIELD + b"\xff")),
    "10000 parts": (MULTIPART, form(*[FIELD + b"x"] * 10_000)),
    "large headers": (MULTIPART, form(b"X-A: " + b"a" * 20_000 + b"\r\n" + FIELD + b"x")),
}
BAD_CHARSETS = [
    ("utf-8", b"a=%ff"), ("us-ascii", b"a=%e9"), ("no-such", b"a=%ff"), ("utf\0", b"a=%ff"),
    ("undefined", b"a=%ff"), ("zip", b"a=%ff"), ("rot13", b"a=%ff"), ("idna", b"a=%ff"),
    ("x" * 5000, b"a=%ff"), ("..", b"a=%ff"), ("\xe9", b"a=%ff"), ("utf-16", b"a=%ff"),
]  # fmt: skip
DIGEST = 'username="u", realm="r", nonce="n", uri="/", response="x"'
BAD_DIGESTS = [
    "", "rubbish", ",,,", "=", 'username="u', "username", DIGEST + ", x", DIGEST + ", algorithm=none",
    DIGEST + ", qop=none", DIGEST + ", qop=auth", DIGEST + ', qop=auth, nc=xyz, cnonce="\xff"',
    DIGEST.replace('"n"', '"::"'), DIGEST.replace('"n"', '"nan:x"'), DIGEST.replace('"u"', '"\xff"'),
    DIGEST.replace('"u"', '"u, x="'), DIGEST.replace("realm=", "realms="), "\0", '"' * 1000,
]  # fmt: skip
BAD_COOKIES = [
    "a", "=", ";;;", "a b=c", 'a="', 'a="\\', "a[b]=c", "a=b; c/d=e", "\xff=\xff", "$Version=x; a",
    "path=/; a=b", "a=\x01", "expires; secure", "a=b, c=d; {}", "session_id=\x00", '"=\\"; a=b',
]  # fmt: skip


def _client_error(status: int, what: str) -> None:
    assert status < 500, f"{status} for {what}"
    assert status >= 400, f"{status} for {what}"


def bad_multipart_is_a_4xx(site: Any) -> None:
    for name, (kind, body) in BAD_FORMS.items():
        _client_error(post(site, body, kind).status, f"a form with {name}")
    assert post(site, form(FIELD + b"x"), MULTIPART).body == b"1"


def bad_charsets_are_a_4xx(site: Any) -> None:
    for charset, body in BAD_CHARSETS:
        status = post(site, body, f"{URLENCODED}; charset={charset}").status
        _client_error(status, f"a form in the charset {charset[:20]!r}")
    assert post(site, "a=grün".encode("cp1252"), f"{URLENCODED}; charset=cp1252").body == b"1"


def bad_digests_are_a_4xx(site: Any) -> None:
    for credentials in BAD_DIGESTS:
        _client_error(login(site, credentials).status, f"the credentials {credentials!r}")


def bad_cookies_are_no_500(site: Any) -> None:
    """Other applications of a host set odd ones, and visitors cannot help it: they are left out."""
    for field in BAD_COOKIES:
        status = send_cookie(site, field).status
        assert status < 500, f"{status} for the cookie {field!r}"
        assert status == 200
        answer = send_cookie(site, f"good=1; {field}")
        assert answer.status < 500, f"{answer.status} for the cookie {field!r}"
        assert int(answer.body) >= 1


# ---------------------------------------------------------------------------------- linear time

#: Processor time up to which nothing can be told.
NOISE = 0.005


def _timed(work: Callable[[int], Any], size: int) -> float:
    gc.disable()  # what it takes depends on all that other tests have left
    try:
        began = time.thread_time()
        work(size)
        return time.thread_time() - began
    finally:
        gc.enable()


def is_linear(work: Callable[[int], Any], size: int) -> None:
    """Four times the input takes some four times the time, not sixteen times."""
    work(size // 4)  # what is imported and remembered the first time
    for attempt in range(3):
        once, four = _timed(work, size), _timed(work, 4 * size)
        times = four / max(once, NOISE)
        if times < 7:
            return
        if times > 9 and attempt:
            break
    raise AssertionError(f"four times the input takes {times:.0f} times the time")


class Streamed(io.RawIOBase):
    """A form with one file, or one field, of `size` bytes, made while it is read."""

    def __init__(self, size: int, head: bytes = FILE) -> None:
        block = b"\r\n-" * 16384
        pieces = [b"--b\r\n" + head, *[block] * (size // len(block)), b"\r\n--b--\r\n"]
        self.length = sum(map(len, pieces))
        self._pieces = iter(pieces)
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            self._left = next(self._pieces, b"")
        data, self._left = self._left[:size], self._left[size:]
        return data


def upload(site: Any, size: int) -> Any:
    file = Streamed(size)
    length = {"CONTENT_LENGTH": str(file.length), "wsgi.input": file}
    answer = site("/form", method="POST", headers={"Content-Type": MULTIPART}, **length)
    assert (answer.status, answer.body) == (200, b"1")


def multipart_takes_linear_time(site: Any) -> None:
    is_linear(lambda size: upload(site, size), 330_000)


def many_parts_take_linear_time(site: Any) -> None:
    """Of a limited number."""
    is_linear(lambda count: post(site, form(*[FIELD + b"x" * 900] * count), MULTIPART).status, 1200)


def charsets_take_linear_time(site: Any) -> None:
    def send(size: int) -> None:
        body = b"a=" + b"b" * 20 + b"-" + b"a" * size
        assert post(site, body, f"{URLENCODED}; charset=punycode").status < 500

    is_linear(send, 36_000)


def digests_take_linear_time(site: Any) -> None:
    is_linear(lambda count: login(site, 'a="b, c", ' * count + DIGEST), 600)


def cookies_take_linear_time(site: Any) -> None:
    is_linear(lambda count: send_cookie(site, 'a="' + '\\"' * count + '"'), 15_000)


# ------------------------------------------------------------------------------- bounded memory


def _peak(work: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def multipart_takes_bounded_memory(site: Any) -> None:
    """The body is made while it is read."""
    upload(site, 100_000)
    peak = _peak(lambda: upload(site, 8_000_000))
    assert peak < 2_000_000, f"{peak} bytes of memory for a file of 8 MB"


def charsets_take_bounded_memory(site: Any) -> None:
    """A body is not unpacked because its charset says so, and names that are none are forgotten."""
    packed = zlib.compress(b"\0" * 10_000_000)
    post(site, b"a=b", f"{URLENCODED}; charset=zlib")
    peak = _peak(lambda: post(site, packed, f"{URLENCODED}; charset=zlib"))
    assert peak < 2_000_000, f"{peak} bytes of memory for a body of {len(packed)}"
    _names_are_forgotten(site)


def _names_are_forgotten(site: Any) -> None:
    before = len(encodings._cache)
    for number in range(100):
        post(site, b"a=b", f"{URLENCODED}; charset=made-up-{number}-{id(site)}")
    more = len(encodings._cache) - before
    assert more < 10, f"{more} names of charsets that there are not are remembered"


names_of_charsets_are_forgotten = _names_are_forgotten


def digests_take_bounded_memory(site: Any) -> None:
    """Nothing of those that are refused is kept."""

    def send(count: int) -> None:
        for number in range(count):
            login(site, DIGEST.replace('"n"', f'"{number}{"n" * 5000}"'))

    send(20)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        send(300)
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept < 500_000, f"{kept} bytes are kept of 300 logins that were refused"


def cookies_take_bounded_memory(site: Any) -> None:
    field = "; ".join(f"c{number}=x" for number in range(20_000))
    send_cookie(site, "a=b")
    peak = _peak(lambda: send_cookie(site, field))
    assert peak < 3_000_000, f"{peak} bytes of memory for {len(field)} of cookies"


# ---------------------------------------------------------------------------------- descriptors


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def parts_take_no_descriptors(site: Any) -> None:
    before = descriptors()
    answer = post(site, form(*[FILE + b"x"] * 300), MULTIPART, "/descriptors")
    taken = int(answer.body) - before
    assert taken < 20, f"300 small files take {taken} descriptors"


def _torn(site: Any) -> None:
    """A form that breaks off behind a large file."""
    large = FILE + b"x" * 200_000
    post(site, form(large, FILE + b"y", end=b"--b\r\n"), MULTIPART)


def _all_charsets(site: Any) -> None:
    for charset, body in BAD_CHARSETS:
        post(site, body, f"{URLENCODED}; charset={charset}")


def _all_digests(site: Any) -> None:
    for credentials in BAD_DIGESTS:
        login(site, credentials)


def _all_cookies(site: Any) -> None:
    for field in BAD_COOKIES:
        send_cookie(site, field)


BAD = {
    "multipart": _torn,
    "charset": _all_charsets,
    "digest": _all_digests,
    "cookie": _all_cookies,
}


def leaves_no_descriptors(kind: str) -> Callable[[Any], None]:
    """A check that nothing is left of bad input of that kind."""

    def check(site: Any) -> None:
        BAD[kind](site)
        before = descriptors()
        for _ in range(10):
            BAD[kind](site)
        left = descriptors() - before
        assert left < 5, f"{left} descriptors are left by bad {kind} input"

    return check
