"""``python -m kirsch module:app``: the server from the command line, its options made from the table."""

from __future__ import annotations

import argparse
import importlib
import logging
import signal
import sys
from typing import Any

from . import __version__
from .server.exchange import Exchange
from .server.gateway import Gateway, Response
from .server.limits import TABLE
from .server.server import Server

# What is no text, and a secret that would stand in the list of processes.
NOT_OPTIONS = frozenset(
    ("thread_started", "thread_stopped", "log", "sni", "ssl_context", "private_key_password")
)


def option_parser() -> argparse.ArgumentParser:
    """The options: a few of our own, and one for each setting that has a value in words."""
    parser = argparse.ArgumentParser(
        prog="python -m kirsch", description="Serve a WSGI application over HTTP/1.1."
    )
    parser.add_argument("app", help="where the application is: module:name, or module (its 'app')")
    parser.add_argument(
        "--bind",
        action="append",
        metavar="ADDR",
        help="host:port, [v6]:port, unix:/path or fd://N; may be repeated (127.0.0.1:8080)",
    )
    parser.add_argument(
        "--self-signed",
        action="store_true",
        help="serve HTTPS with a certificate for localhost made for this run (development only)",
    )
    parser.add_argument(
        "--key-password-file",
        metavar="FILE",
        help="where the password of the private key stands, in the first line",
    )
    parser.add_argument("--access-log", action="store_true", help="write a line for each response")
    parser.add_argument("--version", action="version", version=f"Kirsch {__version__}")
    group = parser.add_argument_group("settings")
    for row in TABLE:
        if row.name in NOT_OPTIONS:
            continue
        unit = f", in {row.unit}" if row.unit else ""
        default = "" if row.default is None else f" (default {row.default}{unit})"
        group.add_argument(
            "--" + row.name.replace("_", "-"),
            dest=row.name,
            metavar=row.type.upper(),
            default=argparse.SUPPRESS,
            help=(row.sentence + default).replace("%", "%%"),
        )
    return parser


def load_app(where: str) -> Any:
    """The object called `where` ('module:name.attribute'); SystemExit says what is wrong."""
    name, _, path = where.partition(":")
    if not all(part.isidentifier() for part in name.split(".")):
        words = f"kirsch: {name!r} is no module's name (expected module:name, as in shop.web:app)"
        raise SystemExit(words)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only our own name is explained; a module missing inside the application shows its place.
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        words = f"kirsch: there is no module {name!r} (looked from here and sys.path)"
        raise SystemExit(words) from None
    for part in (path or "app").split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise SystemExit(f"kirsch: {name!r} has no {path or 'app'!r}") from None
    if not callable(found):
        raise SystemExit(f"kirsch: {where!r} is no WSGI application: it cannot be called")
    return found


def access_logging(gateway: Gateway) -> Gateway:
    """Wrap a gateway so that each response writes one line."""
    log = logging.getLogger("kirsch.access")

    def logging_gateway(exchange: Exchange) -> Response:
        response = gateway(exchange)
        head = exchange.head
        # RFC 9110 grammar keeps control characters out of method and target.
        log.info("%s %s %s %s", exchange.remote[0] or "-", head.method, head.target, response[0])
        return response

    return logging_gateway


def first_line(path: str) -> str:
    """The first line of a text file. Raises OSError that names it."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except OSError as error:
        raise OSError(error.errno, f"cannot read {path}: {error.strerror}") from None


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 after a graceful end."""
    options = vars(option_parser().parse_args(argv))
    where, binds = options.pop("app"), options.pop("bind") or ["127.0.0.1:8080"]
    access = options.pop("access_log")
    self_signed, secret = options.pop("self_signed"), options.pop("key_password_file")
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    app = load_app(where)
    try:
        if secret:
            options["private_key_password"] = first_line(secret)
        if self_signed:
            from .server.selfsigned import self_signed_certificate

            options["certificate"] = self_signed_certificate()
        server = Server(binds, app, **options)
        if access:
            server.gateway = access_logging(server.gateway)

        def finish(number: int, frame: Any) -> None:
            server.finish()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, finish)
        server.serve()
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise SystemExit(f"kirsch: {words}") from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
