"""The scope of an ASGI request or WebSocket, out of a WSGI environment: values only."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from kirsch.wire.websocket.grammar import has_token, read_tokens

__all__ = ("ASGI", "http_scope", "is_websocket", "websocket_scope")

#: What applications may count on. `send()` raises an OSError once the peer has gone, as 2.4 asks;
#: 2.3 is what makes frameworks listen for a disconnect while they stream.
ASGI = {"version": "3.0", "spec_version": "2.3"}

#: For WebSockets nothing speaks against the newest: 2.4 is OSErrors, 2.5 the reason of a disconnect.
ASGI_WEBSOCKET = {"version": "3.0", "spec_version": "2.5"}

#: What RFC 3986 3.3 lets a path hold unescaped.
PLAIN = "/:@!$&'()*+,;=~"


def http_scope(environ: dict[str, Any], state: dict[str, Any] | None) -> dict[str, Any]:
    """Return the scope of a request.

    environ
        SCRIPT_NAME is the mount point, and becomes `root_path`; `path` includes it.
    state
        What the application left in the lifespan's `state`; None when it takes no part in it.
    """
    return {
        "type": "http",
        "asgi": dict(ASGI),
        "method": (environ.get("REQUEST_METHOD") or "GET").upper(),
        "scheme": environ.get("wsgi.url_scheme") or "http",
        "extensions": {},
        **_common(environ, state),
    }


def websocket_scope(environ: dict[str, Any], state: dict[str, Any] | None) -> dict[str, Any]:
    """Return the scope of a handshake that asks for a WebSocket; like `http_scope`."""
    return {
        "type": "websocket",
        "asgi": dict(ASGI_WEBSOCKET),
        "scheme": "wss" if environ.get("wsgi.url_scheme") == "https" else "ws",
        "subprotocols": read_tokens(environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL") or "") or [],
        "extensions": {"websocket.http.response": {}},
        **_common(environ, state),
    }


def _common(environ: dict[str, Any], state: dict[str, Any] | None) -> dict[str, Any]:
    root = environ.get("SCRIPT_NAME") or ""
    path, raw_path = _paths(environ, root + (environ.get("PATH_INFO") or ""))
    scope: dict[str, Any] = {
        "http_version": (environ.get("SERVER_PROTOCOL") or "HTTP/1.1").partition("/")[2],
        "path": path.decode("utf-8", "replace"),
        "raw_path": raw_path,
        "query_string": (environ.get("QUERY_STRING") or "").encode("latin-1", "replace"),
        "root_path": root.encode("latin-1", "replace").decode("utf-8", "replace"),
        "headers": _headers(environ),
        "client": _end(environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT"), 0),
        "server": _end(environ.get("SERVER_NAME"), environ.get("SERVER_PORT"), None),
    }
    if state is not None:
        scope["state"] = state.copy()
    return scope


def _paths(environ: dict[str, Any], known: str) -> tuple[bytes, bytes]:
    """Return the path decoded, and as the client wrote it or might have.

    known
        The path of the environment.
    """
    path = known.encode("latin-1", "replace")
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    written = target.partition("?")[0]
    if not written.startswith("/") and "://" in written:  # absolute-form (RFC 9112 3.2.2)
        written = "/" + written.partition("://")[2].partition("/")[2]
    raw: bytes = written.encode("latin-1", "replace")
    decoded = unquote_to_bytes(raw).replace(b"//", b"/")
    # Our server leaves an escaped slash escaped, as pages want it; ASGI wants it decoded.
    for candidate in (path, re.sub(b"%2[Ff]", b"/", path)):
        if raw and decoded == candidate.replace(b"//", b"/"):
            return candidate, raw
    # Whoever is in front has rewritten the path since: the target says nothing.
    return path, quote(path, safe=PLAIN).encode("ascii")


def _headers(environ: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    headers = []
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            name = key[5:]
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            name = key
        else:
            continue
        headers.append(
            (name.replace("_", "-").lower().encode("latin-1"), str(value).encode("latin-1"))
        )
    return headers


def _end(host: Any, port: Any, otherwise: Any) -> tuple[str, Any] | None:
    """Return an address as a pair, None when it is not known."""
    if not host:
        return None
    try:
        return str(host), int(port)
    except (TypeError, ValueError):
        return str(host), otherwise


def is_websocket(environ: dict[str, Any]) -> bool:
    """Return whether the client asks for a WebSocket, if only badly (RFC 6455 4.1).

    RFC 9110 7.8: an Upgrade in an HTTP/1.0 request is ignored, and any may be.
    """
    upgrade = environ.get("HTTP_UPGRADE")
    return (
        upgrade is not None
        and has_token(upgrade, "websocket")
        and environ.get("REQUEST_METHOD") == "GET"
        and environ.get("SERVER_PROTOCOL") != "HTTP/1.0"
    )
