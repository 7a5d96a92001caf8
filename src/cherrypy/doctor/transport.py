"""The doctor's checks of servers and of the process: addresses, TLS, limits, time-outs, files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cherrypy.hosting.adapter import Server

from .hits import Hit, mode_of
from .reading import Configuration
from .servers import servers, tls_somewhere

#: Seconds beyond which a time-out protects nobody.
LONGEST_TIMEOUT = 600

#: Bytes of a body, and of a head, beyond which a limit is none.
LARGEST_BODY = 1024**3
LARGEST_HEAD = 1024**2

_TIMEOUTS = ("socket_timeout", "accepted_queue_timeout", "shutdown_timeout")

#: Entries whose values are nobody's business.
_SECRET = r".*(^|[._])(secret|password|passwd|key|token|api_key)"


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def public_without_tls(configuration: Configuration) -> Iterator[Hit]:
    """A server that others reach, and that speaks plain HTTP."""
    for server in servers(configuration):
        if server.public and not server.tls:
            yield Hit(
                "global",
                f"The server listens on {server.host} without TLS. (Behind a proxy that speaks "
                f'TLS: {server.prefix}socket_host = "127.0.0.1".)',
                (
                    f'{server.prefix}ssl_certificate = "/etc/ssl/site/fullchain.pem"',
                    f'{server.prefix}ssl_private_key = "/etc/ssl/site/privkey.pem"',
                ),
                server.entry("socket_host"),
            )


def _auth_without_tls(configuration: Configuration, tool: str) -> Iterator[Hit]:
    if tls_somewhere(configuration) or configuration.on("/", "proxy"):
        return
    for section in configuration.turned_on(tool):
        yield Hit(
            "global",
            f"{section} asks for a password by tools.{tool}, and no server here speaks TLS.",
            (
                'server.ssl_certificate = "/etc/ssl/site/fullchain.pem"',
                'server.ssl_private_key = "/etc/ssl/site/privkey.pem"',
            ),
            configuration.sections[section][f"tools.{tool}.on"],
        )


def basic_auth_without_tls(configuration: Configuration) -> Iterator[Hit]:
    """Passwords sent as they are."""
    return _auth_without_tls(configuration, "auth_basic")


def digest_auth_without_tls(configuration: Configuration) -> Iterator[Hit]:
    """Passwords hidden, and nothing else."""
    return _auth_without_tls(configuration, "auth_digest")


def private_key_readable(configuration: Configuration) -> Iterator[Hit]:
    """A private key that others than its owner can read."""
    for server in servers(configuration):
        path = server.get("ssl_private_key")
        mode = mode_of(path)
        if mode is not None and mode & 0o007:
            yield Hit(
                "global",
                f"Everyone on this machine can read the private key {path} (mode {mode:04o}).",
                entry=server.entry("ssl_private_key"),
                run=f"chmod 600 {path}",
            )


_EVERYBODY = {"*", "0.0.0.0/0", "::/0"}


def _words(value: Any) -> list[str]:
    """The entries of a list, or of a text with commas."""
    if isinstance(value, str):
        value = value.split(",")
    return [str(entry).strip() for entry in value] if isinstance(value, (list, tuple)) else []


def proxy_believes_anyone(configuration: Configuration) -> Iterator[Hit]:
    """The proxy tool set to believe whoever it is, on a server that can be reached by anybody."""
    for section in configuration.turned_on("proxy"):
        trusted = configuration.entry(section, "tools.proxy.trusted")
        if trusted is None or not _EVERYBODY & set(_words(trusted.value)):
            continue
        for server in servers(configuration):
            if server.public:
                yield Hit(
                    "global",
                    f"{section} believes X-Forwarded fields, and {server.host} can be reached "
                    "past the proxy.",
                    (f'{server.prefix}socket_host = "127.0.0.1"',),
                    trusted,
                )


def autoreload_on(configuration: Configuration) -> Iterator[Hit]:
    """Autoreload, which is on unless something says otherwise."""
    entry = configuration.sections["global"].get("engine.autoreload.on")
    if entry is None or entry.value:
        yield Hit(
            "global",
            "Autoreload is on"
            + (f" in the environment {configuration.environment}." if entry else " by default."),
            ("engine.autoreload.on = False",),
            entry,
        )


def timeouts_disabled(configuration: Configuration) -> Iterator[Hit]:
    """Time-outs of 0, of None, or so long that they are none."""
    for server in servers(configuration):
        for name in _TIMEOUTS:
            entry = server.entry(name)
            if entry is None:
                continue
            seconds = _number(entry.value)
            if entry.value is None or (seconds is not None and not 0 < seconds <= LONGEST_TIMEOUT):
                if name == "shutdown_timeout" and seconds == 0:
                    continue  # it means at once
                yield Hit(
                    "global",
                    f"{server.prefix}{name} is {entry.value!r}.",
                    (f"{server.prefix}{name} = {getattr(Server, name)}",),
                    entry,
                )


def _limit(configuration: Configuration, name: str, most: int, usual: str) -> Iterator[Hit]:
    for server in servers(configuration):
        entry = server.entry(name)
        size = _number(entry.value) if entry else None
        if size is not None and (size <= 0 or size > most):
            shown = f"{size:,.0f} bytes" if size > 0 else "no limit"
            yield Hit(
                "global",
                f"{server.prefix}{name} is {shown}.",
                (f"{server.prefix}{name} = {usual}",),
                entry,
            )


def body_limit_huge(configuration: Configuration) -> Iterator[Hit]:
    """Bodies without a limit, or with one that is none."""
    return _limit(configuration, "max_request_body_size", LARGEST_BODY, "100 * 1024 * 1024")


def head_limit_huge(configuration: Configuration) -> Iterator[Hit]:
    """Heads without a limit, or with one that is none."""
    return _limit(configuration, "max_request_header_size", LARGEST_HEAD, "64 * 1024")


def socket_open_to_all(configuration: Configuration) -> Iterator[Hit]:
    """A unix socket that every account may connect to."""
    for server in servers(configuration):
        entry = server.entry("socket_mode")
        path = server.get("socket_file")
        if path and entry and isinstance(entry.value, int) and entry.value & 0o002:
            yield Hit(
                "global",
                f"Everyone may connect to {path} (mode {entry.value:04o}).",
                (f"{server.prefix}socket_mode = 0o660",),
                entry,
            )


def config_readable(configuration: Configuration) -> Iterator[Hit]:
    """A file with secrets in it that everyone can read."""
    for path in configuration.files:
        mode = mode_of(path)
        if mode is None or not mode & 0o004:
            continue
        secrets = [
            (section, key, entry)
            for section, key, entry in configuration.each(_SECRET)
            if entry.file == path
            and isinstance(entry.value, str)
            and entry.value
            and not key.startswith("tools.rate_limit.")
            and not (key.startswith("server.") and key.endswith("ssl_private_key"))  # a file's name
        ]
        if secrets:
            section, key, entry = secrets[0]
            yield Hit(
                section,
                f"Everyone on this machine can read {key} in {path} (mode {mode:04o}).",
                entry=entry,
                run=f"chmod 600 {path}",
            )
