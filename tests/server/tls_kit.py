"""Certificates made by the openssl command, and TLS clients for the servers of server_kit."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

from server_kit import Peer

DAY = "1"


def openssl(*arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


class Pki:
    """A small authority in a folder: what it issues is (certificate, key), two paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.serial = 0
        self.ca, self.ca_key = self.self_signed("Test CA", ca=True)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def self_signed(self, name: str, ca: bool = False) -> tuple[str, str]:
        stem = name.replace(" ", "-").replace("*", "star")
        key, cert = self.path(stem + ".key"), self.path(stem + ".pem")
        constraint = "basicConstraints=critical,CA:" + ("TRUE" if ca else "FALSE")
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-keyout", key, "-out", cert, "-days", DAY, "-subj", f"/CN={name}"),
            *("-addext", constraint),
        )
        return cert, key

    def issue(
        self,
        name: str,
        *,
        subject: str = "",
        san: str = "",
        ca: bool = False,
        by: tuple[str, str] | None = None,
        password: str = "",
    ) -> tuple[str, str]:
        """A certificate for `name` (CN and SAN)."""
        self.serial += 1
        stem = f"{self.serial}-{name.replace('*', 'star').replace(' ', '-')}"
        key, cert, csr, ext = (self.path(f"{stem}.{kind}") for kind in ("key", "pem", "csr", "ext"))
        issuer, issuer_key = by or (self.ca, self.ca_key)
        secret = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *(*secret, "-keyout", key, "-out", csr, "-utf8", "-subj", subject or f"/CN={name}"),
        )
        names = san or f"DNS:{name},IP:127.0.0.1"
        constraint = "critical,CA:TRUE" if ca else "CA:FALSE"
        Path(ext).write_text(f"basicConstraints={constraint}\nsubjectAltName={names}\n")
        openssl(
            *("x509", "-req", "-in", csr, "-CA", issuer, "-CAkey", issuer_key, "-out", cert),
            *("-days", DAY, "-extfile", ext, "-set_serial", str(1000 + self.serial)),
        )
        return cert, key


def client_context(pki: Pki, **options: Any) -> ssl.SSLContext:
    """A client that trusts the authority only; options: version, certificate."""
    context = ssl.create_default_context(cafile=pki.ca)
    version = options.get("version")
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if "certificate" in options:
        context.load_cert_chain(*options["certificate"])
    return context


class TLSPeer(Peer):
    """A raw client over TLS."""

    sock: Any

    def __init__(
        self, address: Any, context: ssl.SSLContext, name: str = "localhost", **options: Any
    ) -> None:
        super().__init__(address, **options)
        self.raw = self.sock
        self.sock = context.wrap_socket(self.sock, server_hostname=name)

    def closed_well(self, within: float = 5) -> bool:
        """Whether the server ends the stream by close_notify, and not by the mere end of TCP."""
        self.sock.settimeout(within)
        self.sock.suppress_ragged_eofs = False
        try:
            return bool(self.sock.recv(1) == b"")
        except ssl.SSLError:
            return False


def plain(address: Any) -> socket.socket:
    sock = socket.create_connection(address[:2], timeout=10)
    return sock


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
