"""h11 and httptools behind one face: what the first request in some bytes is, and where it ends."""

from __future__ import annotations

from typing import Any, NamedTuple

import h11
import httptools

from kirsch.wire.errors import ProtocolError
from kirsch.wire.http1.bodies import BodyLimits, ChunkedBody, LengthBody
from kirsch.wire.http1.requests import HeadLimits, parse_head


class Reading(NamedTuple):
    """One parser's reading of the first request: None where it refused or wants more."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes
    end: int  # bytes of head and body together


def cgi(pairs: Any) -> dict[str, str]:
    """Header pairs as an environ would show them, by the rules of docs/wire.md, written anew."""
    fields: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name = raw_name.decode("latin-1").upper()
        value = raw_value.decode("latin-1").strip(" \t")  # httptools leaves what is behind
        if "_" in name:
            continue
        key = name.replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        if key in fields:
            single = key in ("CONTENT_TYPE", "HTTP_AUTHORIZATION")
            glue = "; " if key == "HTTP_COOKIE" else ", "
            value = fields[key] if single else fields[key] + glue + value
        fields[key] = value
    return fields


def ours(data: bytes) -> Reading | None:
    try:
        head = parse_head(data, HeadLimits())
        if head is None:
            return None
        body: Any = ChunkedBody(BodyLimits()) if head.chunked else LengthBody(head.length or 0)
        content = body.feed(data[head.size :])
    except ProtocolError:
        return None
    if not body.done:
        return None
    end = len(data) - len(body.rest)
    return Reading(head.method, head.target, dict(head.fields), content, end)


def with_h11(data: bytes) -> Reading | None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    request: h11.Request | None = None
    body = b""
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return None
    except h11.RemoteProtocolError:
        return None
    assert request is not None
    return Reading(
        request.method.decode("latin-1"),
        request.target.decode("latin-1"),
        cgi(request.headers),
        body,
        len(data) - len(connection.trailing_data[0]),
    )


class _Collector:
    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.complete = False
        self.in_trailers = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_trailers:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.in_trailers = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def with_httptools(data: bytes) -> Reading | None:
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    end = 0
    try:
        while not collector.complete and end < len(data):
            end += 1
            parser.feed_data(data[end - 1 : end])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return None
    if not collector.complete:
        return None
    return Reading(
        parser.get_method().decode("latin-1"),
        collector.url.decode("latin-1"),
        cgi(collector.headers),
        collector.body,
        end,
    )
