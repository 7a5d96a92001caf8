"""What is promised of static files, as functions that fail for whatever does not keep it.

Each takes a site that serves the folder of `filled`, and pages for what handlers serve themselves.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

TEN = b"0123456789"
SECRET = b"the secret"
BIG = 300_000
MODIFIED = "Sun, 09 Sep 2001 01:46:40 GMT"
BEFORE, AFTER = "Sun, 09 Sep 2000 01:46:40 GMT", "Sun, 09 Sep 2012 01:46:40 GMT"
NAME = 'Kirschen für 日本 "☃".txt'
#: What more than one range may add to the length of a file: a head for each of the most there are.
HEADS = 64 * 200


def filled(folder: Path) -> Path:
    """A directory `www` with files, and beside it what must not be served."""
    base = folder / "www"
    (base / "sub").mkdir(parents=True)
    files = {
        "a.txt": TEN, "same.txt": TEN, "é ☃.txt": b"umlaut", "big.bin": b"x" * BIG,
        "site.css": b"plain", "site.css.gz": b"zipped", "old.css": b"plain", "old.css.gz": b"stale",
    }  # fmt: skip
    for name, data in files.items():
        (base / name).write_bytes(data)
        os.utime(base / name, (1e9, 1e9))
    os.utime(base / "old.css", (1e9 + 5, 1e9 + 5))
    for secret in (folder / "secret.txt", folder / "www-private" / "s.txt"):
        secret.parent.mkdir(exist_ok=True)
        secret.write_bytes(SECRET)
    return base


class Trickle(io.RawIOBase):
    """Cannot be sought in, as a pipe or a socket cannot."""

    def __init__(self) -> None:
        self.pieces = [b"a", b"bc", b"d" * 10]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> Any:
        return self.pieces.pop(0) if self.pieces else b""


# ------------------------------------------------------------------------------- containment


def stays_inside(site: Any, *paths: str) -> None:
    for path in paths:
        answer = site(path)
        assert SECRET not in answer.body, f"{path} leads out of the directory"
        assert answer.status < 500


def dots_lead_nowhere(site: Any) -> None:
    stays_inside(site, "/../secret.txt", "/sub/../../secret.txt", "/./.././secret.txt")


def siblings_are_outside(site: Any) -> None:
    """Their names begin like that of the directory."""
    stays_inside(site, "/../www-private/s.txt", "/sub/../../www-private/s.txt")


def absolute_paths_are_below(site: Any, folder: Path) -> None:
    stays_inside(site, f"/{folder}/secret.txt", f"//{folder}/www-private/s.txt")


# -------------------------------------------------------------------------------- validators


def files_have_validators(site: Any) -> None:
    answer = site("/a.txt")
    assert answer.body == TEN
    assert (answer["ETag"] or "").startswith('"'), "a file has no ETag"
    assert answer["Last-Modified"] == MODIFIED, "a file has no Last-Modified"


def what_is_known_is_not_sent_again(site: Any) -> None:
    tag = site("/a.txt")["ETag"]
    for fields in (
        {"If-None-Match": tag},
        {"If-None-Match": f'"other", W/{tag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": MODIFIED},
        {"If-Modified-Since": AFTER},
    ):
        answer = site("/a.txt", headers=fields)
        assert (answer.status, answer.body) == (304, b""), f"{answer.status} for {fields}"
    # Tags go before dates.
    fields = {"If-None-Match": '"other"', "If-Modified-Since": MODIFIED}
    assert site("/a.txt", headers=fields).body == TEN


def a_change_within_a_second_is_another_etag(site: Any, base: Path) -> None:
    before = site("/a.txt")["ETag"]
    (base / "a.txt").write_bytes(TEN[::-1])
    os.utime(base / "a.txt", ns=(10**18, 10**18 + 5_000_000))
    answer = site("/a.txt", headers={"If-None-Match": before})
    assert answer.status != 304, "a file that has changed within a second has the same ETag"
    assert answer.body == TEN[::-1]


# ------------------------------------------------------------------------------------ ranges


def _range(site: Any, value: str, path: str = "/a.txt", **more: str) -> Any:
    fields = {name.replace("_", "-"): field for name, field in more.items()}
    return site(path, headers={"Range": value, **fields})


def a_part_is_continued_only_of_the_same_file(site: Any) -> None:
    tag = site("/a.txt")["ETag"]
    for same in (tag, MODIFIED):
        answer = _range(site, "bytes=0-3", If_Range=same)
        assert (answer.status, answer.body) == (206, b"0123"), f"{answer} for the same file"
    for other in ('"other"', BEFORE, "rubbish"):
        answer = _range(site, "bytes=0-3", If_Range=other)
        assert (answer.status, answer.body) == (200, TEN), f"a part of another file for {other}"


def if_range_compares_strongly(site: Any) -> None:
    tag = site("/a.txt")["ETag"]
    answer = _range(site, "bytes=0-3", If_Range=f"W/{tag}")
    assert (answer.status, answer.body) == (200, TEN), "a weak tag was good enough for a part"


def if_range_wants_the_very_date(site: Any) -> None:
    answer = _range(site, "bytes=0-3", If_Range=AFTER)
    assert (answer.status, answer.body) == (200, TEN), "a later date was good enough for a part"


def several_ranges_are_sent_as_parts(site: Any) -> None:
    answer = _range(site, "bytes=0-1,4-5")
    kind, _, boundary = (answer["Content-Type"] or "").partition("; boundary=")
    assert (answer.status, kind) == (206, "multipart/byteranges"), f"{answer} for two ranges"
    parts = answer.body.split(b"--" + boundary.encode())
    assert [part.rpartition(b"\r\n\r\n")[2] for part in parts[1:-1]] == [b"01\r\n", b"45\r\n"]
    assert [b"bytes 0-1/10" in parts[1], b"bytes 4-5/10" in parts[2]] == [True, True]


def ranges_do_not_multiply_a_file(site: Any) -> None:
    """Neither the same bytes over and over, nor a head for each byte."""
    for count in (50, 1000):
        for value in ("0-," * count, ",".join(f"{2 * n}-{2 * n}" for n in range(count))):
            answer = _range(site, f"bytes={value.rstrip(',')}", "/big.bin")
            assert answer.status in (200, 206)
            length = len(answer.body)
            assert length <= BIG + HEADS, f"{length} bytes for a file of {BIG}, by {count} ranges"


def suffixes_are_the_end(site: Any) -> None:
    for value, body in (("-3", b"789"), ("-1", b"9"), ("-10", TEN), ("-99", TEN)):
        answer = _range(site, f"bytes={value}")
        assert answer.body == body, f"{answer.status} {answer.body!r} for the range {value}"
        assert answer["Content-Range"] == f"bytes {10 - len(body)}-9/10"
    answer = _range(site, "bytes=-0")
    assert (answer.status, answer["Content-Range"]) == (416, "bytes */10")


# ---------------------------------------------------------------------------------- variants


def variants_are_for_who_takes_them(site: Any) -> None:
    for accept, body in (
        ("gzip", b"zipped"), ("gzip, br;q=0.5", b"zipped"), ("", b"plain"), ("identity", b"plain"),
        ("gzip;q=0", b"plain"), ("br, gzip;q=0", b"plain"), ("*", b"zipped"),
    ):  # fmt: skip
        answer = site("/site.css", headers={"Accept-Encoding": accept})
        assert answer.body == body, f"{answer.body!r} for Accept-Encoding: {accept}"
        coding = answer["Content-Encoding"]
        assert coding == ("gzip" if body == b"zipped" else None)


def variants_are_told_to_caches(site: Any) -> None:
    zipped = site("/site.css", headers={"Accept-Encoding": "gzip"})
    plain = site("/site.css")
    for answer in (zipped, plain):
        assert answer["Vary"] == "Accept-Encoding", "caches are not told that there are variants"
    assert zipped["ETag"] != plain["ETag"]


def variants_are_not_older(site: Any) -> None:
    answer = site("/old.css", headers={"Accept-Encoding": "gzip"})
    assert answer.body == b"plain", "a variant of what the file was once is sent"


# ------------------------------------------------------------------------- names and file objects


def names_are_utf_8(site: Any) -> None:
    path = "/é ☃.txt".encode().decode("latin-1")  # as PEP 3333 has it
    answer = site(path)
    assert answer.body == b"umlaut", f"{answer.status} for a name in UTF-8"


def download_names_are_utf_8(site: Any) -> None:
    """The page /download serves /a.txt as `NAME`."""
    answer = site("/download")
    field = answer["Content-Disposition"] or ""
    assert field.isascii(), f"the name of a download is raw: {field!r}"
    assert unquote(field.partition("filename*=UTF-8''")[2]) == NAME
    plain = field.partition('filename="')[2].partition('"; ')[0]
    assert '"' not in plain.replace('\\"', ""), "a quote ends the name of a download"


def what_cannot_be_sought_in_is_sent(site: Any) -> None:
    """The page /trickle serves a `Trickle`."""
    for fields in ({}, {"Range": "bytes=1-2"}):
        answer = site("/trickle", headers=fields)
        assert answer.status == 200, f"{answer.status} for what cannot be sought in"
        assert answer.body == b"abc" + b"d" * 10
