"""The settings of a server: one table, read by the constructor, the command line and the docs.

Values may be changed while the server runs (``server.settings.keep_alive_timeout = 5``); what is
only read at start says so in its sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import __version__


class Setting(NamedTuple):
    """One row: what it is called, what it holds, and what it is for."""

    name: str
    type: (
        str  # 'int' | 'seconds' | 'bytes' | 'str' | 'bool' | 'octal' | 'callable' | 'any' | 'peers'
    )
    default: Any
    unit: str
    sentence: str
    low: float = 0  # the smallest value that makes sense


TABLE = (
    Setting("threads", "int", 10, "threads", "Workers kept ready from the start.", 1),
    Setting(
        "threads_max",
        "int",
        None,
        "threads",
        "Most workers the pool grows to when all are busy; none or -1 means 256.",
    ),
    Setting(
        "queue_size",
        "int",
        1024,
        "requests",
        "Complete requests that may wait for a worker at threads_max; the next gets 503; -1 is no limit.",
        -1,
    ),
    Setting("queue_timeout", "seconds", 10.0, "s", "Longest wait in that queue before a 503."),
    Setting(
        "backlog", "int", 1024, "connections", "Connections the kernel may hold for us (start).", 1
    ),
    Setting(
        "head_timeout",
        "seconds",
        10.0,
        "s",
        "Total time for the head of a request, from its first byte; then 408.",
    ),
    Setting(
        "keep_alive_timeout",
        "seconds",
        10.0,
        "s",
        "Idle time promised between requests; the server waits one more second before it closes.",
    ),
    Setting("body_timeout", "seconds", 30.0, "s", "Time for a request body, plus bytes / rate."),
    Setting("body_min_rate", "int", 240, "bytes/s", "Slowest accepted request body.", 1),
    Setting("write_timeout", "seconds", 30.0, "s", "Time for a response, plus bytes / rate."),
    Setting("write_min_rate", "int", 240, "bytes/s", "Slowest accepted reader of a response.", 1),
    Setting(
        "shutdown_timeout", "seconds", 5.0, "s", "Time requests in flight have to finish at stop()."
    ),
    Setting("linger_timeout", "seconds", 2.0, "s", "How long a closed connection's rest is read."),
    Setting("max_request_line", "bytes", 8192, "bytes", "Longest request line (start)."),
    Setting(
        "max_head", "bytes", 65536, "bytes", "Longest request head, first line included (start)."
    ),
    Setting("max_fields", "int", 100, "fields", "Most header fields in a request (start)."),
    Setting(
        "max_body", "bytes", 104857600, "bytes", "Longest request body; 0 means no limit; then 413."
    ),
    Setting(
        "body_buffer",
        "bytes",
        65536,
        "bytes",
        "Body bytes gathered without a thread before the handler starts.",
    ),
    Setting(
        "output_buffer",
        "bytes",
        262144,
        "bytes",
        "Unsent bytes a generator may be ahead of its reader before its worker waits.",
    ),
    Setting(
        "drain_limit",
        "bytes",
        262144,
        "bytes",
        "Unread request body read and thrown away to keep a connection; beyond it is closed.",
    ),
    Setting(
        "server_name", "str", f"Kirsch/{__version__}", "", "The Server field; empty sends none."
    ),
    Setting("nodelay", "bool", True, "", "TCP_NODELAY on every connection (start)."),
    Setting(
        "protocol", "str", "HTTP/1.1", "", "HTTP/1.1, or HTTP/1.0 to close after each response."
    ),
    Setting(
        "socket_mode", "octal", None, "mode", "Permissions of a unix socket, e.g. 0o660 (start)."
    ),
    Setting("poller", "str", "auto", "", "auto, epoll or selectors (start)."),
    Setting(
        "pollers",
        "int",
        0,
        "pollers",
        "Poller groups, one baton each; 0 is one, or one per core without a GIL (start).",
    ),
    Setting(
        "certificate",
        "str",
        None,
        "file",
        "Serve HTTPS with this certificate (PEM), its chain and perhaps its key behind it (start).",
    ),
    Setting("private_key", "str", None, "file", "Its private key (PEM); none: in `certificate`."),
    Setting(
        "private_key_password",
        "any",
        None,
        "",
        "What the key is encrypted with: str, bytes, or a callable that returns one.",
    ),
    Setting(
        "certificate_chain",
        "str",
        None,
        "file",
        "Certificates between ours and the authority's, when `certificate` holds but ours.",
    ),
    Setting(
        "sni",
        "any",
        None,
        "",
        "More certificates: {'host or *.domain': (certificate, private key, chain)}, by name asked for.",
    ),
    Setting("tls_timeout", "seconds", 10.0, "s", "Total time for a TLS handshake, from accept."),
    Setting("tls_minimum", "str", "1.2", "", "Oldest TLS version spoken: 1.2 or 1.3."),
    Setting(
        "ciphers", "str", None, "", "For TLS 1.2, in OpenSSL's notation; none is OpenSSL's choice."
    ),
    Setting(
        "client_ca", "str", None, "file", "Authorities (PEM file or folder) of client certificates."
    ),
    Setting(
        "verify", "str", "none", "", "Client certificates: none, optional or required (mutual TLS)."
    ),
    Setting(
        "plain_http",
        "str",
        "hint",
        "",
        "Plain HTTP on the TLS port: hint answers 400 with the https URL, redirect sends there.",
    ),
    Setting(
        "ssl_context",
        "any",
        None,
        "",
        "A ready ssl.SSLContext, in place of certificate, verify, ciphers and the like (start).",
    ),
    Setting(
        "proxy_protocol",
        "peers",
        None,
        "",
        "Peers that announce their clients by the PROXY protocol: addresses, networks, loopback, private, unix, * (start).",
    ),
    Setting("thread_started", "callable", None, "", "Called with a worker when it first serves."),
    Setting("thread_stopped", "callable", None, "", "Called with that worker when it ends."),
    Setting(
        "log", "callable", None, "", "log(message, level, traceback); none means logging 'kirsch'."
    ),
)


def _peers(value: Any) -> tuple[str, ...]:
    from ..http.peers import names_of, truster  # and ipaddress, which few servers need

    names = names_of(value)
    truster(names)
    return names


_CASTS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "bytes": int,
    "seconds": float,
    "str": str,
    "bool": lambda v: v.lower() in ("1", "true", "yes", "on") if isinstance(v, str) else bool(v),
    "octal": lambda v: int(v, 8) if isinstance(v, str) else int(v),
    "callable": lambda v: v,
    "any": lambda v: v,
    "peers": _peers,
}
_CHOICES = {
    "plain_http": ("hint", "redirect"),
    "poller": ("auto", "epoll", "selectors"),
    "protocol": ("HTTP/1.1", "HTTP/1.0"),
    "tls_minimum": ("1.2", "1.3"),
    "verify": ("none", "optional", "required"),
}
_BY_NAME = {row.name: row for row in TABLE}
THREADS_CAP = 256


def default_log(message: str, level: int = logging.INFO, traceback: bool = False) -> None:
    """Write one record to the logger named ``kirsch``."""
    logging.getLogger("kirsch").log(level, message, exc_info=traceback)


class Settings:
    """The values of TABLE as attributes; assignments are checked.

    Raises TypeError for an unknown name and ValueError for a value out of range.
    """

    threads: int
    threads_max: int | None
    queue_size: int
    queue_timeout: float
    backlog: int
    head_timeout: float
    keep_alive_timeout: float
    body_timeout: float
    body_min_rate: int
    write_timeout: float
    write_min_rate: int
    shutdown_timeout: float
    linger_timeout: float
    max_request_line: int
    max_head: int
    max_fields: int
    max_body: int
    body_buffer: int
    output_buffer: int
    drain_limit: int
    server_name: str
    nodelay: bool
    protocol: str
    socket_mode: int | None
    poller: str
    pollers: int
    certificate: str | None
    private_key: str | None
    private_key_password: Any
    certificate_chain: str | None
    sni: Any
    tls_timeout: float
    tls_minimum: str
    ciphers: str | None
    client_ca: str | None
    verify: str
    plain_http: str
    ssl_context: Any
    proxy_protocol: tuple[str, ...] | None
    thread_started: Callable[[Any], object] | None
    thread_stopped: Callable[[Any], object] | None
    log: Callable[..., object]

    __slots__ = tuple(row.name for row in TABLE)

    def __init__(self, **values: Any) -> None:
        unknown = set(values) - set(_BY_NAME)
        if unknown:
            raise TypeError(f"unknown server setting: {', '.join(sorted(unknown))}")
        for row in TABLE:
            setattr(self, row.name, values.get(row.name, row.default))

    def __setattr__(self, name: str, value: Any) -> None:
        row = _BY_NAME.get(name)
        if row is None:
            raise AttributeError(f"no server setting is called {name!r}")
        if value is not None:
            try:
                value = _CASTS[row.type](value)
            except (TypeError, ValueError):
                raise ValueError(f"{name} must be {row.type}, not {value!r}") from None
            measured = row.type in ("int", "bytes", "seconds") and name != "threads_max"
            if measured and value < row.low:
                raise ValueError(f"{name} must be at least {row.low:g}, not {value!r}")
        elif row.default is not None:
            value = row.default
        elif name == "log":
            value = default_log
        choices = _CHOICES.get(name)
        if choices is not None and value not in choices:
            words = " or ".join((", ".join(choices[:-1]), choices[-1]))
            raise ValueError(f"{name} must be {words}, not {value!r}")
        if name == "server_name" and not value.isprintable():
            raise ValueError("server_name must be one printable line")
        object.__setattr__(self, name, value)

    @property
    def wants_tls(self) -> bool:
        """Whether anything was said about TLS: then nothing is ever sent in the clear."""
        said = (self.certificate, self.private_key, self.ssl_context, self.client_ca, self.sni)
        return any(said) or self.verify != "none"

    @property
    def pool_max(self) -> int:
        """The real ceiling of the pool: threads_max, or the cap when it is open."""
        most = self.threads_max
        if most is None or most < 0:
            most = THREADS_CAP
        return max(most, self.threads)


def table_markdown() -> str:
    """The settings as the table printed in docs/server.md."""
    lines = ["| name | type | default | unit | what it is for |", "|---|---|---|---|---|"]
    lines += [
        f"| `{row.name}` | {row.type} | `{row.default!r}` | {row.unit} | {row.sentence} |"
        for row in TABLE
    ]
    return "\n".join(lines)
