"""The parts that recording and comparing share: a request, a raw client, and what may differ.

Everything here speaks bytes over a socket; nothing imports an implementation of CherryPy.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass, field
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
APPS = HERE / "apps"
EXPECTED = HERE / "expected.json"
LONG_BODY = 3000
HOST = "compat.test"


@dataclass
class R:
    """One named request. Header values may hold ``{{Name}}``: that field of the last response."""

    name: str
    path: str = "/"
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    http: str = "1.1"
    jar: str = ""  # cookies are kept under this name between the requests of one app
    raw: bytes | None = None  # sent as it is, instead of all the above
    digest: tuple[str, str] | None = None  # answer a challenge as this user
    wait: float = 0.0  # seconds to let pass before
    ends: bool = True  # ask the server to close the connection after the answer

    def key(self) -> str:
        return repr(
            (self.name, self.path, self.method, self.headers, self.body, self.http, self.raw)
        )


def digest_of(requests: list[R]) -> str:
    return hashlib.sha256("\n".join(r.key() for r in requests).encode()).hexdigest()[:16]


def form(**fields: str) -> dict[str, Any]:
    """Keyword arguments for an R that posts a urlencoded form."""
    from urllib.parse import urlencode

    return {
        "method": "POST",
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
        "body": urlencode(fields).encode(),
    }


def multipart(*parts: tuple[str, bytes], boundary: str = "x-y-z") -> dict[str, Any]:
    """Keyword arguments for an R that posts multipart/form-data; a part is (head lines, body)."""
    data = b"".join(
        b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary.encode(), head.encode(), body)
        for head, body in parts
    )
    return {
        "method": "POST",
        "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}"},
        "body": data + b"--%s--\r\n" % boundary.encode(),
    }


# ---------------------------------------------------------------- the client


def render(request: R, cookies: dict[str, str], last: dict[str, str]) -> bytes:
    """The bytes of a request."""
    if request.raw is not None:
        return request.raw
    headers = {
        k: re.sub(r"\{\{([\w-]+)\}\}", lambda m: last.get(m[1].lower(), ""), v)
        for k, v in request.headers.items()
    }
    names = {k.lower() for k in headers}
    lines = [f"{request.method} {request.path} HTTP/{request.http}"]
    if "host" not in names:
        lines.append(f"Host: {HOST}")
    if request.ends and "connection" not in names:
        lines.append("Connection: close")
    if cookies and "cookie" not in names:
        lines.append("Cookie: " + "; ".join(f"{k}={v}" for k, v in cookies.items()))
    if request.body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(request.body)}")
    lines += [f"{k}: {v}" for k, v in headers.items() if v != "<none>"]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
    return head + (request.body or b"")


def send(address: tuple[str, int], data: bytes, timeout: float = 6) -> tuple[bytes, str]:
    """Send, read to the end; give the bytes and how it ended: 'closed', 'reset' or 'timeout'."""
    received = bytearray()
    try:
        peer = socket.create_connection(address, timeout)
    except OSError:
        return b"", "refused"
    with peer:
        try:
            peer.sendall(data)
        except OSError:
            pass  # an early answer is still worth reading
        while True:
            try:
                block = peer.recv(65536)
            except TimeoutError:
                return bytes(received), "timeout"
            except OSError:
                return bytes(received), "reset"
            if not block:
                return bytes(received), "closed"
            received += block


def split_chunks(data: bytes) -> tuple[bytes, bytes, bool]:
    """Decode a chunked body: what it held, what follows, and whether it was whole."""
    out = bytearray()
    while True:
        line, mark, data = data.partition(b"\r\n")
        if not mark:
            return bytes(out), b"", False
        size = int(line.split(b";")[0], 16)
        if size == 0:
            while data and not data.startswith(b"\r\n"):
                data = data.partition(b"\r\n")[2]
            return bytes(out), data[2:], True
        if len(data) < size + 2:
            return bytes(out + data[:size]), b"", False
        out += data[:size]
        data = data[size + 2 :]


def parse(data: bytes, method: str) -> list[dict[str, Any]]:
    """All the responses in a stream."""
    found = []
    while data:
        head, mark, data = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ", 2)
        if not mark or not words[0].startswith("HTTP/"):
            found.append({"malformed": (head + mark + data)[:200].decode("latin-1")})
            break
        status = int(words[1])
        headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        low = {pair[0].lower(): pair[-1] for pair in headers}
        whole = True
        if 100 <= status < 200 or status in (204, 304) or method == "HEAD":
            body = b""
        elif low.get("transfer-encoding", "").lower() == "chunked":
            body, data, whole = split_chunks(data)
        elif low.get("content-length", "").isdigit():
            length = int(low["content-length"])
            body, data = data[:length], data[length:]
            whole = len(body) == length
        else:
            body, data = data, b""
        found.append(
            {
                "http": words[0],
                "status": status,
                "reason": words[2] if len(words) > 2 else "",
                "headers": headers,
                "body": body,
                "whole": whole,
            }
        )
    return found


def digest_answer(request: R, challenge: str) -> str:
    """An RFC 7616 (MD5, qop=auth) Authorization value."""
    assert request.digest
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', challenge))
    user, password = request.digest

    def md5(text: str) -> str:
        return hashlib.md5(text.encode("utf-8")).hexdigest()

    ha1 = md5(f"{user}:{fields['realm']}:{password}")
    ha2 = md5(f"{request.method}:{request.path}")
    answer = md5(f"{ha1}:{fields['nonce']}:00000001:abcdef:auth:{ha2}")
    return (
        f'Digest username="{user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", '
        f'uri="{request.path}", algorithm=MD5, response="{answer}", qop=auth, nc=00000001, '
        'cnonce="abcdef"'
    )


class Talk:
    """One conversation with one app: keeps cookies and the last response."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.jars: dict[str, dict[str, str]] = {}
        self.last: dict[str, str] = {}

    def ask(self, request: R) -> dict[str, Any]:
        """Send one request; give its normalised answer."""
        time.sleep(request.wait)
        jar = self.jars.setdefault(request.jar, {}) if request.jar else {}
        data, end = send(self.address, render(request, jar, self.last))
        responses = parse(data, request.method)
        if request.digest and responses and responses[0].get("status") == 401:
            low = {k.lower(): v for k, v in responses[0]["headers"]}
            headers = {"Authorization": digest_answer(request, low["www-authenticate"])}
            again = R(request.name, request.path, request.method, request.headers | headers)
            data, end = send(self.address, render(again, jar, self.last))
            responses = parse(data, request.method)
        for response in responses:
            for key, value in response.get("headers", ()):
                if request.jar and key.lower() == "set-cookie":
                    name, _, rest = value.partition("=")
                    jar[name] = rest.split(";")[0]
        if responses and "headers" in responses[-1]:
            self.last = {pair[0].lower(): pair[-1] for pair in responses[-1]["headers"]}
        return normal(responses, end)


# ---------------------------------------------------------------- what may differ

IGNORED = {"date", "server", "keep-alive"}

REWRITES = [  # (pattern, replacement) for bodies and header values
    (re.compile(rb"(CherryPy|Kirsch|kirsch|Cheroot)([ /])\d[\w.+-]*"), rb"<SERVER>"),
    (re.compile(rb"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), rb"<UUID>"),
    (re.compile(rb"\b[0-9a-f]{40}\b"), rb"<SID>"),
    (re.compile(rb"0x[0-9a-fA-F]{6,}"), rb"<ADDR>"),
    (re.compile(rb'"[0-9a-f]{32}"'), rb'"<TAG>"'),
    (re.compile(rb"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\]"), rb"[<WHEN>]"),
    (re.compile(rb'nonce="[^"]+"'), rb'nonce="<NONCE>"'),
    (re.compile(rb"expires=[^;]+", re.IGNORECASE), rb"expires=<DATE>"),
    (re.compile(rb"127\.0\.0\.1:\d{4,5}"), rb"<ADDRESS>"),
    (re.compile(rb'/tmp/compat-[^/\'"<]+'), rb"<TMP>"),
]
TRACE_PAGE = re.compile(rb'(<pre id="traceback">)(.*?)(</pre>)', re.DOTALL)
TRACE_PLAIN = re.compile(rb"Traceback \(most recent call last\):.*", re.DOTALL)
# The default error page of either: what it says counts, not how it is set.
ERROR_PAGE = re.compile(
    rb"<!DOCTYPE html.*?<h[12]>(\d{3} [^<]*)</h[12]>\s*<p>(.*?)</p>\s*"
    rb'<pre id="traceback">(.*?)</pre>.*?</html>\s*',
    re.DOTALL | re.IGNORECASE,
)


LISTED = re.compile(rb"(parameters: )([\w, ]+)")


def rewrite(data: bytes) -> bytes:
    # Names out of a set: their order is no promise.
    data = LISTED.sub(lambda m: m[1] + b", ".join(sorted(m[2].split(b", "))), data)
    for pattern, replacement in REWRITES:
        data = pattern.sub(replacement, data)
    return data


def body_of(response: dict[str, Any], headers: dict[str, list[str]]) -> tuple[str, bool, bool]:
    """The body as text, whether it was changed here, and whether it showed a traceback."""
    data = raw = response["body"]
    if "gzip" in headers.get("content-encoding", []) and data:
        data = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(data)  # cut short or whole
    given = dict(response["headers"]).get("Content-Type", "")
    if boundary := re.search(r'boundary="?([^";]+)', given):
        data = data.replace(boundary[1].encode(), b"<BOUNDARY>")
    shown = bool(re.search(rb"Traceback \(most recent", data))
    data = TRACE_PAGE.sub(rb"\1\3", data)
    data = TRACE_PLAIN.sub(b"<TRACEBACK>", data)
    data = ERROR_PAGE.sub(rb"<ERROR PAGE: \1 | \2 | \3>", rewrite(data))
    if response["status"] >= 400:
        data = data.rstrip(b" ")  # padding for old browsers depends on the length of the version
    if len(data) > LONG_BODY:
        text = f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}"
        return text, data != raw, shown
    return data.decode("utf-8", "surrogateescape"), data != raw, shown


def header_values(response: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    date = parsedate_tz(dict(response["headers"]).get("Date", ""))
    for pair in response["headers"]:
        key, value = pair[0].lower(), pair[-1]
        if key in IGNORED:
            continue
        if key == "expires" and date and (then := parsedate_tz(value)):
            seconds = mktime_tz(then) - mktime_tz(date)
            value = f"Date + {round(seconds, -1)} s" if seconds > -1e7 else value
        value = rewrite(value.encode("latin-1")).decode("latin-1")
        if "boundary=" in value:
            value = re.sub(r"boundary=\S+", "boundary=<BOUNDARY>", value)
        found.setdefault(key, []).append(value)
    return {k: sorted(v) for k, v in sorted(found.items())}


def normal(responses: list[dict[str, Any]], end: str) -> dict[str, Any]:
    """What is compared: the same for the same behaviour, whoever answered and when."""
    answers = []
    for response in responses:
        if "malformed" in response:
            answers.append(response)
            continue
        headers = header_values(response)
        body, changed, shown = body_of(response, headers)
        if changed or response["status"] >= 400:
            headers.pop("content-length", None)
        answers.append(
            {
                "status": response["status"],
                "reason": response["reason"],
                "headers": headers,
                "body": body,
                "traceback": shown,
                "whole": response["whole"],
                "http": response["http"],
            }
        )
    return {"answers": answers, "end": end}


# ---------------------------------------------------------------- the served process


class Served:
    """An app of the corpus, served by a process of its own until ``close``."""

    def __init__(self, app: str, python: str = sys.executable, folder: str = "") -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        env |= {"PYTHONDONTWRITEBYTECODE": "1", "COMPAT_FOLDER": folder, "PYTHONHASHSEED": "0"}
        self.log = Path(folder) / f"{app}.stderr"
        with self.log.open("wb") as errors:
            self.process = subprocess.Popen(
                [python, str(HERE / "compat_serve.py"), app],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=env,
                cwd=folder,
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(10)
            raise RuntimeError(f"{app} did not start:\n{self.log.read_text()[-3000:]}")
        told = json.loads(line)
        self.address = ("127.0.0.1", told["port"])
        self.digest = told["digest"]

    def close(self) -> int:
        """End it politely, by force after five seconds; give its exit status."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        try:
            return self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(5)
        finally:
            self.process.stdout.close()
