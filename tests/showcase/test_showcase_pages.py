"""The showcase over a plain socket: each page, what it promises, and what it must not give away."""

from __future__ import annotations

import hashlib
import html
import json
import re
import socket
import time
from collections.abc import Iterator

import pytest
from showcase_site import Site

PAGES = (
    "/",
    "/form",
    "/upload/",
    "/session/",
    "/live/",
    "/stream/",
    "/chat/",
    "/board/",
    "/files",
    "/errors/",
    "/generate",
    "/request",
)


@pytest.mark.parametrize("path", PAGES)
def test_page(site: Site, path: str) -> None:
    """Each page is there, and would survive an injected script: nothing inline, and a policy that says so."""
    answer = site.ask(path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html;charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=\"", answer.text)
    assert not re.search(r"\$[a-z]+", answer.text)  # no placeholder was left


def test_links_lead_somewhere(site: Site) -> None:
    """Whatever the pages point to is there, except what is meant to fail."""
    seen: set[str] = set()
    todo = ["/"]
    while todo:
        path = todo.pop()
        if path in seen or path.startswith("/errors/") or path == "/nowhere":
            continue
        seen.add(path)
        answer = site.ask(path)
        if path.startswith("/stream/lines"):
            continue
        assert answer.status in (200, 301, 303), path
        if answer.headers.get_content_type() == "text/html":
            links = re.findall(r'\s(?:href|src|action)="([^"]+)"', answer.text)
            todo += [html.unescape(link) for link in links if link.startswith("/")]
    assert set(PAGES) - {"/errors/"} <= seen
    assert "/static/style.css" in seen


def form(site: Site, body: str) -> str:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = site.ask("/form", "POST", body, kind)
    assert answer.status == 200
    return answer.text


def test_form(site: Site) -> None:
    page = form(site, "name=Zo%C3%AB+%3Cscript%3E&fruit=cherry&count=3")
    assert "Thank you, Zoë &lt;script&gt;." in page
    assert "3 cherries, coming up." in page
    assert "<script>" not in page


@pytest.mark.parametrize("count", ["0", "100", "many", "", "-1"])
def test_form_mistakes(site: Site, count: str) -> None:
    page = form(site, f"name=Ann&fruit=plum&count={count}")
    assert "A number from 1 to 99." in page
    assert "Thank you" not in page
    assert '<input name="name" value="Ann"' in page  # what was typed is kept
    assert "<option selected>plum</option>" in page


def zeros(size: int) -> Iterator[bytes]:
    piece = bytes(1 << 16)
    for _ in range(size >> 16):
        yield piece


def test_upload_is_streamed(site: Site) -> None:
    """More than half a gigabyte is counted and hashed, with a pause in it; the process does not grow."""
    size = 576 << 20

    def film() -> Iterator[bytes]:
        yield from zeros(size - (1 << 16))
        time.sleep(0.3)  # the sender pauses: the server has to wait for the rest
        yield bytes(1 << 16)

    before = json.loads(site.ask("/live/now").body)["memory"]
    headers = {"Content-Length": str(size)}
    answer = site.ask("/upload/stream?name=big%20file.bin", "PUT", film(), headers)
    assert answer.status == 200
    facts = json.loads(answer.body)
    assert facts["name"] == "big file.bin"
    assert facts["size"] == size
    expected = hashlib.sha256()
    for piece in zeros(size):
        expected.update(piece)
    assert facts["sha256"] == expected.hexdigest()
    after = json.loads(site.ask("/live/now").body)["memory"]
    if before is not None:
        assert after - before < 24 << 20


def test_upload_without_javascript(site: Site) -> None:
    data = bytes(range(256)) * 4000 + b"\r\n--almost\r\n"
    body = (
        b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a&b.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n--XX--\r\n"
    )
    kind = {"Content-Type": "multipart/form-data; boundary=XX"}
    answer = site.ask("/upload/", "POST", body, kind)
    assert answer.status == 200
    assert hashlib.sha256(data).hexdigest() in answer.text
    assert f"<dd>{len(data)}</dd>" in answer.text
    assert "a&amp;b.bin" in answer.text


def test_upload_wants_put(site: Site) -> None:
    answer = site.ask("/upload/stream")
    assert answer.status == 405
    assert "PUT" in answer.headers["Allow"]


def count(site: Site) -> int:
    found = re.search(r'id="count">(\d+)<', site.ask("/session/").text)
    assert found
    return int(found[1])


def test_session(site: Site) -> None:
    assert count(site) == 0
    for _ in range(3):
        answer = site.ask("/session/add", "POST", "")
        assert answer.status == 303
        assert answer.headers["Location"] == f"{site.url}/session/"
    assert count(site) == 3
    assert count(site.stranger()) == 0
    assert site.ask("/session/add").status == 405


def test_session_cookie_is_closed_to_scripts(site: Site) -> None:
    cookie = site.ask("/session/").headers["Set-Cookie"]
    assert "httponly" in cookie.lower()


def test_stream_arrives_line_by_line(site: Site) -> None:
    """Twelve lines a tenth of a second apart take more than a second, and the first does not wait for the last."""
    arrivals: list[float] = []
    received = b""
    with socket.create_connection((site.host, site.port), timeout=20) as connection:
        connection.sendall(
            b"GET /stream/lines?count=12&pause=0.1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        while data := connection.recv(65536):
            received += data
            arrivals += [time.monotonic()] * data.count("●".encode() + b"\n")
    assert len(arrivals) == 12
    assert arrivals[-1] - arrivals[0] > 0.8
    assert len(set(arrivals)) >= 6
    head = received.partition(b"\r\n\r\n")[0].lower()
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head


def test_live(site: Site) -> None:
    first, second = (json.loads(site.ask("/live/now").body) for _ in range(2))
    assert second["asked"] > first["asked"]
    assert second["threads"] >= 1
    assert site.ask("/live/now").headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["/generate", "/generer", "/generar"])
def test_aliases(site: Site, path: str) -> None:
    page = site.ask(path + "?length=17").text
    found = re.search(r'id="word">(\w+)<', page)
    assert found
    assert len(found[1]) == 17
    assert f"You called it <code>{path}</code>" in page


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/nowhere", 404, "The path &#x27;/nowhere&#x27; was not found."),
        ("/errors/crash", 500, "unexpected condition"),
        ("/errors/teapot", 418, "short and stout"),
        ("/errors/secret", 403, "This door is closed"),
    ],
)
def test_errors(site: Site, path: str, status: int, words: str) -> None:
    answer = site.ask(path)
    assert answer.status == status
    assert html.unescape(words) in html.unescape(html.unescape(answer.text))
    assert "Back to the tour" in answer.text
    for secret in ("Traceback", "ZeroDivision", ".py", "site-packages"):
        assert secret not in answer.text


def test_redirect(site: Site) -> None:
    answer = site.ask("/errors/moved")
    assert answer.status == 303
    assert answer.headers["Location"] == f"{site.url}/errors/"


def test_static_ranges(site: Site) -> None:
    whole = site.ask("/static/cherry.svg")
    assert whole.headers["Content-Type"].startswith("image/svg+xml")
    part = site.ask("/static/cherry.svg", headers={"Range": "bytes=5-14"})
    assert part.status == 206
    assert part.body == whole.body[5:15]
    assert part.headers["Content-Range"] == f"bytes 5-14/{len(whole.body)}"
    again = site.ask(
        "/static/cherry.svg", headers={"If-Modified-Since": whole.headers["Last-Modified"]}
    )
    assert (again.status, again.body) == (304, b"")


def test_request_is_shown_and_harmless(site: Site) -> None:
    page = site.ask(
        "/request?a=%3Cimg%20src=x%20onerror=alert(1)%3E", headers={"X-Odd": "<b>bold</b>"}
    ).text
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img src=x" not in page
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page


def test_compressed_when_asked(site: Site) -> None:
    plain = site.ask("/")
    packed = site.ask("/", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body)


def test_the_dashboard_knows_what_was_asked(site: Site) -> None:
    """The showcase is watched: the way to the dashboard, and what stands there."""
    answer = site.ask("/dashboard")
    assert answer.status == 303
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", answer.headers["Location"])
    assert found
    shown = Site("127.0.0.1", int(found[1]))
    deadline = time.monotonic() + 10
    while not any(one["route"] == "/form" for one in json.loads(shown.ask("/api/routes").text)):
        assert time.monotonic() < deadline
        site.ask("/form")
        time.sleep(0.1)
