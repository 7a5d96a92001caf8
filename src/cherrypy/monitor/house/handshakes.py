"""TLS handshakes: how long they take, what they agree upon, and what they fail of."""

from __future__ import annotations

import ssl
import time
from typing import Any

from kirsch.server import certificates as certs
from kirsch.server.tls import TLSConnection

from ..table import servers as s
from .house import House

#: Characters of a reason; OpenSSL's own words are shorter.
LONGEST = 60

#: For whom handshakes are counted already.
watching: set[House] = set()

_expiries: dict[Any, float | None] = {}  # by path, time of change and size


def begin(house: House) -> None:
    """Count them; called when TLS is there to be counted."""
    watching.add(house)
    house.ending(lambda: watching.discard(house))
    servers = house.monitor.servers
    broken = house.monitor.broken

    def secured(conn: Any, channel: Any, worker: Any) -> bool:
        if conn.group.server in servers:
            try:
                _done(conn, channel)
            except Exception as error:
                broken("house.secured", error)
        return bool(go_on(conn, channel, worker))

    def close(conn: Any, worker: Any) -> None:
        channel = conn.channel
        if channel is not None and channel.failed and conn.group.server in servers:
            s.SERVER_TLS_ERRORS.add(1, (reason_of(channel.failed),))
        end(conn, worker)

    def on_plain(conn: Any, data: bytes, worker: Any) -> bool:
        before = conn.cause
        result = bool(plain(conn, data, worker))
        if conn.cause != before and conn.group.server in servers:  # refused, and not half a head
            s.SERVER_TLS_ERRORS.add(1, ("PLAIN_HTTP",))
        return result

    go_on = house.patches.replace(TLSConnection, "secured", secured)
    end = house.patches.replace(TLSConnection, "close", close)
    plain = house.patches.replace(TLSConnection, "on_plain", on_plain)


def _done(conn: Any, channel: Any) -> None:
    version = channel.obj.version() or ""
    s.SERVER_TLS_HANDSHAKE_DURATION.observe(time.monotonic() - conn.born, (version,))
    resumed = "true" if channel.obj.session_reused else "false"
    s.SERVER_TLS_HANDSHAKES.add(1, (version, resumed))


def reason_of(words: str) -> str:
    """Return why a handshake failed, as OpenSSL names it, or in its manner."""
    return words.upper().replace(" ", "_")[:LONGEST]


def expires_at(certificates: Any) -> float | None:
    """When the first certificate of a server expires, in seconds since the epoch.

    None for certificates in a context that the program has made: it does not tell.
    """
    settings = certificates.server.settings
    if settings.ssl_context is not None:
        return None
    paths = [settings.certificate, *(pair[0] for pair in (settings.sni or {}).values())]
    looks = [(path, look) for path, look in certificates.looks() if path in paths]
    times = [at for path, look in looks if (at := _expiry(path, look)) is not None]
    return min(times, default=None)


def _expiry(path: Any, look: Any) -> float | None:
    key = (path, look)
    if key not in _expiries:
        if len(_expiries) >= 100:
            _expiries.clear()
        try:
            _expiries[key] = float(ssl.cert_time_to_seconds(certs.decoded(path)["notAfter"]))
        except (AttributeError, ImportError, KeyError, OSError, ValueError):
            _expiries[key] = None
    return _expiries[key]
