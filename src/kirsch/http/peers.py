"""Peers by their addresses: which of them are trusted, as lists of addresses, networks and words say."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

__all__ = ("NETWORKS", "address_of", "names_of", "truster")

#: Words that stand for networks.
NETWORKS: dict[str, tuple[str, ...]] = {
    "loopback": ("127.0.0.0/8", "::1/128"),
    # RFC 1918, RFC 6598 (carriers and containers), RFC 3927, RFC 4193, RFC 4291
    "private": (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    ),
    "*": ("0.0.0.0/0", "::/0"),
}

Address = IPv4Address | IPv6Address


def names_of(trusted: Any) -> tuple[str, ...]:
    """Return a list of peers as a tuple: a text may name several, between commas."""
    if isinstance(trusted, str):
        trusted = trusted.split(",")
    return tuple(str(entry).strip() for entry in trusted or () if str(entry).strip())


@lru_cache(64)
def truster(trusted: tuple[str, ...]) -> Callable[[str], bool]:
    """Return a function that tells of the text of an address whether it is one of `trusted`.

    Args:
        trusted: addresses and networks, and the words of `NETWORKS` and ``unix``, which stands
            for a peer without an address.

    Raises ValueError for what is none of these.
    """
    networks = []
    for entry in trusted:
        if entry != "unix":
            networks += [ip_network(network) for network in NETWORKS.get(entry, (entry,))]
    unix = "unix" in trusted or "*" in trusted

    @lru_cache(1000)
    def trusts(text: str) -> bool:
        address = address_of(text)
        if address is None:
            # A unix socket has no address, or a path.
            return unix and (not text or text[0] in "/@\0" or text == "unix")
        return any(address in network for network in networks if network.version == address.version)

    return trusts


def address_of(text: str) -> Address | None:
    """Return the address a proxy means: with or without a port, brackets; None for anything else."""
    if len(text) > 64:
        return None
    if text[:1] == "[":
        text, bracket, port = text[1:].partition("]")
        if not bracket or (port and not _is_port(port[1:], port[0])):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(port, ":"):
            return None
    if "%" in text:  # a zone means something on one machine only
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_port(port: str, before: str) -> bool:
    return before == ":" and port.isascii() and port.isdigit() and len(port) <= 5
