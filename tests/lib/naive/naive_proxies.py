"""Proxies as one believes them in an afternoon: hooks, each with one thing left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from asking_kit import Site
from proxy_checks import Looking, Pages

from cherrypy.framework.serving import serving

OURS = ("127.", "10.")


def is_ours(address: str) -> bool:
    return address.startswith(OURS) and address.count(".") == 3


def right_most(addresses: list[str]) -> str:
    """The right one."""
    return next((one for one in reversed(addresses) if not is_ours(one)), addresses[0])


def fields(
    choose: Callable[[list[str]], str] = right_most,
    trusts: Callable[[str], bool] = is_ours,
) -> Callable[[], None]:
    """A hook that reads the X-Forwarded fields."""

    def hook() -> None:
        request = serving.request
        if not trusts(request.remote.ip):
            return
        get: Any = request.headers.get
        scheme, _, host = request.base.partition("://")
        host = get("X-Forwarded-Host", host)
        request.base = f"{get('X-Forwarded-Proto', scheme)}://{host}"
        if field := get("X-Forwarded-For"):
            request.remote.ip = choose([one.strip() for one in field.split(",")])

    return hook


def site(hook: Callable[[], None]) -> Any:
    conf = {"hooks.before_handler": hook, "request.dispatch": Looking()}
    return Site(Pages(), conf)


def believes_anybody(folder: Path) -> Any:
    """X-Forwarded fields of whoever sends them"""
    return site(fields(trusts=lambda address: True))


def by_prefix(folder: Path) -> Any:
    """`remote.ip.startswith(('127', '10'))`"""
    return site(fields(trusts=lambda address: address.startswith(("127", "10"))))


def left_most(folder: Path) -> Any:
    """`x_forwarded_for.split(',')[0]`"""
    return site(fields(lambda addresses: addresses[0]))


def last(folder: Path) -> Any:
    """`x_forwarded_for.split(',')[-1]`"""
    return site(fields(lambda addresses: addresses[-1]))


def splits_forwarded(folder: Path) -> Any:
    """`dict(pair.split('=') for pair in forwarded.split(';'))`"""

    def hook() -> None:
        request = serving.request
        pairs = [pair.strip().split("=", 1) for pair in request.headers["Forwarded"].split(";")]
        said = {name.lower(): value.strip('"') for name, value in pairs}
        request.base = f"{said.get('proto', 'http')}://{said.get('host', '127.0.0.1')}"
        request.remote.ip = said.get("for", request.remote.ip)

    return site(hook)


def too_late(folder: Path) -> Any:
    """The right fields of the right peers, in a hook at `before_handler`"""
    return site(fields())
