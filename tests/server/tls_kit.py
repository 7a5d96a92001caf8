"""Certificates made by the openssl command, and TLS clients for the servers of server_kit."""

from __future__ import annotations

import contextlib
import os
import select
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
        self.local = self.issue("localhost")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def self_signed(self, name: str, ca: bool = False) -> tuple[str, str]:
        stem = name.replace(" ", "-").replace("*", "star")
        key, cert = self.path(stem + ".key"), self.path(stem + ".pem")
        extensions = ["-addext", "basicConstraints=critical,CA:" + ("TRUE" if ca else "FALSE")]
        if ca:
            extensions += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-keyout", key, "-out", cert, "-days", DAY, "-subj", f"/CN={name}"),
            *extensions,
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
        lines = ["subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]
        if ca:
            lines += ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        else:
            lines += ["basicConstraints=CA:FALSE", f"subjectAltName={names}"]
        Path(ext).write_text("\n".join(lines) + "\n")
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


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class BioPeer:
    """A client whose records are in our hands: `wire` is what was encrypted and not yet sent."""

    def __init__(self, address: Any, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.obj = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.sock = socket.create_connection(address[:2], timeout=10)

    def shake(self, send_last: bool = True) -> BioPeer:
        """Do the handshake; without `send_last` our Finished stays in `outgoing`."""
        while True:
            try:
                self.obj.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                data = self.sock.recv(65536)
                assert data, "the server ended the handshake"
                self.incoming.write(data)
        if send_last:
            self.flush()
        return self

    def write(self, data: bytes) -> BioPeer:
        self.obj.write(data)
        return self

    def flush(self) -> None:
        self.sock.sendall(self.outgoing.read())

    def end(self) -> None:
        """Say close_notify."""
        try:
            self.obj.unwrap()
        except ssl.SSLError:  # theirs has not come
            pass

    def read(self, until: bytes = b"") -> bytes:
        """Read to the bytes `until`, or to close_notify; b'cut' at the end when that is missing."""
        seen = b""
        while not until or until not in seen:
            try:
                data = self.obj.read(65536)
                if not data:
                    break
                seen += data
            except ssl.SSLWantReadError:
                raw = self.sock.recv(65536)
                if not raw:
                    return seen + b"cut"
                self.incoming.write(raw)
            except ssl.SSLZeroReturnError:
                break
        return seen

    def close(self) -> None:
        self.sock.close()


def both_ways(peer: TLSPeer, data: bytes) -> bytes:
    """Send `data` and read meanwhile, in one thread, until the server ends; what was read."""
    sock = peer.sock
    sock.setblocking(False)
    waiter = select.poll()
    view, seen = memoryview(data), bytearray()
    waiter.register(sock, select.POLLIN | select.POLLOUT)
    while True:
        waiter.poll(5000)
        if len(view):
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                view = view[sock.send(view[:16384]) :]
                if not len(view):
                    waiter.modify(sock, select.POLLIN)
        try:
            got = sock.recv(16384)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            continue
        if not got:
            return bytes(seen)
        seen += got
