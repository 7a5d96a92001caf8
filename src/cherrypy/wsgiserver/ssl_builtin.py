"""What programs assign to `CherryPyWSGIServer.ssl_adapter`: the names of the files."""

from __future__ import annotations

from typing import Any

__all__ = ("BuiltinSSLAdapter",)


class BuiltinSSLAdapter:
    """A certificate and its key, in files of PEM; or, in `context`, an `ssl.SSLContext`."""

    context: Any = None

    def __init__(
        self,
        certificate: str,
        private_key: str,
        certificate_chain: str | None = None,
        ciphers: str | None = None,
    ) -> None:
        self.certificate = certificate
        self.private_key = private_key
        self.certificate_chain = certificate_chain
        self.ciphers = ciphers
