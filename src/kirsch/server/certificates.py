"""Certificates: from the settings to TLS contexts, one for each name, and anew when files change.

Whoever has a connection keeps the context that it began with. A change that cannot be loaded changes
nothing: the certificates in use stay, and the log says so.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import tempfile
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .sslnames import certificate_names
from .tls import TLSConnection

if TYPE_CHECKING:
    from .limits import Settings
    from .server import Server

CHECK = 1.0  # seconds between looks at the files, and only when somebody connects
CERTIFICATE = re.compile(
    rb"-----BEGIN (?:TRUSTED )?CERTIFICATE-----.+?-----END (?:TRUSTED )?CERTIFICATE-----", re.DOTALL
)
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
PROTOCOLS = ["http/1.1"]  # RFC 7301 6


class Certificates:
    """The TLS side of a server. Raises OSError or ValueError that names file and setting."""

    connection = TLSConnection

    def __init__(self, server: Server) -> None:
        self.server = server
        self.lock = threading.Lock()  # guards: one thread looks at the files, and loads them
        self.seen: Any = None  # what the files looked like when they were loaded
        self.refused: Any = None  # and when that failed last
        self.next_look = 0.0
        self.facts: tuple[ssl.SSLContext, dict[str, str]] | None = None  # names of the default
        self.default, self.hosts = self.load()

    def context(self, now: float) -> ssl.SSLContext:
        """The context for a new connection (the holder calls; `now` is monotonic)."""
        if now >= self.next_look and self.lock.acquire(blocking=False):
            try:
                self.next_look = now + CHECK
                self.look()
            finally:
                self.lock.release()
        return self.default

    def reload(self) -> None:
        """Load all certificates again, from any thread. Raises as the constructor; then the old stay."""
        with self.lock:
            self.default, self.hosts = self.load()

    def look(self) -> None:
        """Load the files when they have changed."""
        looks = None
        try:
            looks = self.looks()
            if looks == self.seen:
                return
            self.default, self.hosts = self.load()
        except Exception as error:
            # Certificate and key are two files: found between the two, they do not fit yet.
            if looks == self.refused:
                self.seen = looks
                self.server.log(f"changed certificates are not used: {error}", 40)
            self.refused = looks
        else:
            self.server.log("certificates loaded anew")

    def looks(self) -> list[Any]:
        """What tells that a file has changed, for every file in use."""
        settings = self.server.settings
        paths = [settings.certificate, settings.private_key, settings.certificate_chain]
        for pair in (settings.sni or {}).values():
            paths += pair[:2]
        looks: list[Any] = []
        for path in (*paths, settings.client_ca):
            try:
                info = os.stat(path) if path else None
            except OSError:
                looks.append((path, None))
            else:
                looks.append((path, info and (info.st_mtime_ns, info.st_size, info.st_ino)))
        return looks

    def load(self) -> tuple[ssl.SSLContext, dict[str, ssl.SSLContext]]:
        """Make every context anew."""
        settings = self.server.settings
        seen = self.looks()
        ready = settings.ssl_context
        if ready is not None:
            check_context(ready)
            self.seen = seen
            return ready, {}
        if not settings.certificate:
            raise ValueError("private_key, client_ca, verify or sni need a certificate beside them")
        default = make_context(
            settings, settings.certificate, settings.private_key, settings.certificate_chain
        )
        hosts = {}
        for host, pair in (settings.sni or {}).items():
            files = [*pair, None, None][:3]
            try:
                hosts[ascii_host(host)] = make_context(settings, *files)
            except (OSError, ValueError) as error:
                raise type(error)(f"sni[{host!r}]: {error}") from error
        self.seen = seen
        default.sni_callback = self.choose
        return default, hosts

    def choose(self, obj: Any, host: str | None, context: ssl.SSLContext) -> None:
        """Take the context of the name that the peer asks for (RFC 6066 3), called by OpenSSL.

        A name that nobody has gets the default certificate: the peer judges it.
        """
        if host is None:
            return
        obj.asked = host = host.lower()
        hosts = self.hosts
        # RFC 9525 6.3: a wildcard stands for one whole label, the first.
        found = hosts.get(host) or hosts.get("*." + host.partition(".")[2])
        if found is not None:
            obj.context = found

    def names(self) -> dict[str, str]:
        """The SSL_SERVER_* names of the certificate that is the default, made once it is asked for."""
        default, facts = self.default, self.facts
        if facts is None or facts[0] is not default:
            settings = self.server.settings
            names: dict[str, str] = {}
            if settings.certificate and settings.ssl_context is None:
                with contextlib.suppress(AttributeError, ImportError, OSError, ValueError):
                    names = certificate_names("SSL_SERVER_", decoded(settings.certificate))
            facts = self.facts = (default, names)
        return facts[1]


def make_context(
    settings: Settings, certificate: str, key: str | None, chain: str | None
) -> ssl.SSLContext:
    """A context for one certificate. Raises OSError or ValueError in words."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[settings.tls_minimum]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(PROTOCOLS)
    if settings.ciphers:
        try:
            context.set_ciphers(settings.ciphers)
        except ssl.SSLError:
            raise ValueError(
                f"ciphers: OpenSSL knows none of {settings.ciphers!r} (see `openssl ciphers`)"
            ) from None
    load_pair(context, certificate, key or certificate, chain, settings.private_key_password)
    load_authority(context, settings)
    return context


def load_authority(context: ssl.SSLContext, settings: Settings) -> None:
    """Say whose certificates clients may bring, and whether they must."""
    authority = settings.client_ca
    if settings.verify == "none":
        return
    if not authority:
        raise ValueError(f"verify={settings.verify!r} needs client_ca, a file of authorities")
    try:
        if os.path.isdir(authority):
            context.load_verify_locations(capath=authority)
        else:
            read("client_ca", authority)
            context.load_verify_locations(authority)
    except ssl.SSLError:
        raise ValueError(f"client_ca: no certificate (PEM) in {authority}") from None
    context.verify_mode = VERIFY[settings.verify]


def load_pair(
    context: ssl.SSLContext, certificate: str, key: str, chain: str | None, password: Any
) -> None:
    """Load certificate, chain and key; every fault is said with its file and what to do."""
    own = CERTIFICATE.findall(read("certificate", certificate))
    if not own:
        raise ValueError(f"certificate: no certificate (PEM) in {certificate}")
    if b"PRIVATE KEY-----" not in read("private_key", key):
        where = "; set private_key" if key == certificate else ""
        raise ValueError(f"private_key: no private key (PEM) in {key}{where}")
    asked = Password(password)
    with full_chain(certificate, own, chain) as path:
        try:
            context.load_cert_chain(path, key, asked)
        except ssl.SSLError as error:
            raise ValueError(pair_fault(error, asked, certificate, key)) from None
        except (TypeError, ValueError) as error:
            raise ValueError(f"private_key_password for {key}: {error}") from error


def pair_fault(error: ssl.SSLError, asked: Password, certificate: str, key: str) -> str:
    """What is wrong with a certificate and its key, in words."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"private_key: the key in {key} does not belong to the certificate in {certificate}"
    if asked.missing:
        return f"private_key: the key in {key} is encrypted; set private_key_password"
    if asked.count:
        return f"private_key_password is wrong for the key in {key}"
    if error.reason and ("TOO_SMALL" in error.reason or "TOO_WEAK" in error.reason):
        return f"certificate: OpenSSL finds {certificate} too weak ({error.reason}); make a new one"
    return f"certificate {certificate} or private_key {key} cannot be read ({error.reason})"


class Password:
    """What OpenSSL calls for a password: it must never ask on a terminal that nobody sees."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.count = 0
        self.missing = False

    def __call__(self) -> Any:
        self.count += 1
        value = self.value() if callable(self.value) else self.value
        if value is None:
            self.missing = True
            return ""
        return value


@contextlib.contextmanager
def full_chain(certificate: str, own: list[bytes], chain: str | None) -> Iterator[str]:
    """The path of a file with the certificate and the chain behind it.

    The chain is not put among the trusted authorities, from where OpenSSL would send it as well: if
    the root is in it, whoever has a certificate of the same authority could pass for a client then.
    """
    if not chain:
        yield certificate
        return
    rest = CERTIFICATE.findall(read("certificate_chain", chain))
    if not rest:
        raise ValueError(f"certificate_chain: no certificate (PEM) in {chain}")
    fd, path = tempfile.mkstemp(".pem")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(b"\n".join([own[0], *(item for item in own[1:] if item not in rest), *rest]))
            file.write(b"\n")
        yield path
    finally:
        os.unlink(path)


def read(name: str, path: str) -> bytes:
    """The contents of a small file; OSError names the setting and the file."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise OSError(error.errno, f"{name}: cannot read {path}: {error.strerror}") from None


def check_context(context: Any) -> None:
    """Whether a ready-made context can serve; ValueError when not."""
    if not isinstance(context, ssl.SSLContext):
        raise ValueError(f"ssl_context must be an ssl.SSLContext, not {type(context).__name__}")
    try:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    except (ssl.SSLError, ValueError):
        raise ValueError(
            "ssl_context is one for clients: make it with ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)"
        ) from None


def ascii_host(host: str) -> str:
    """A host as it stands in a ClientHello: A-labels in lower case (RFC 6066 3)."""
    host = host.strip().rstrip(".").lower()
    return host if host.isascii() else host.encode("idna").decode("ascii")


def decoded(path: str) -> Any:
    """The first certificate of a file, as getpeercert() would tell it of a peer's."""
    import _ssl

    return _ssl._test_decode_cert(path)  # type: ignore[attr-defined]  # else ssl tells but a peer's
