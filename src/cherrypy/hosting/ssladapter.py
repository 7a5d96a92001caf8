"""TLS as programs know it: the `ssl_*` settings, and the object in `httpserver.ssl_adapter`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kirsch.server.server import Server as Kirsch

    from .adapter import Server

#: Setting of `cherrypy.server` -> setting of kirsch.
SETTINGS = {
    "ssl_certificate": "certificate",
    "ssl_certificate_chain": "certificate_chain",
    "ssl_ciphers": "ciphers",
    "ssl_client_ca": "client_ca",
    "ssl_context": "ssl_context",
    "ssl_minimum_version": "tls_minimum",
    "ssl_plain_http": "plain_http",
    "ssl_private_key": "private_key",
    "ssl_private_key_password": "private_key_password",
    "ssl_sni": "sni",
    "ssl_timeout": "tls_timeout",
}

#: There is one implementation, the standard library's; the other name is accepted for old files.
MODULES = ("builtin", "pyopenssl", "", None)


def tls_settings(adapter: Server) -> dict[str, Any]:
    """Return the kirsch settings for the `ssl_*` ones of `cherrypy.server`."""
    if adapter.ssl_module not in MODULES:
        raise ValueError(
            f"server.ssl_module must be 'builtin' or 'pyopenssl', not {adapter.ssl_module!r}; "
            "for TLS of your own making set server.ssl_context."
        )
    settings = {theirs: getattr(adapter, ours) for ours, theirs in SETTINGS.items()}
    verify = adapter.ssl_verify
    settings["verify"] = verify or ("required" if adapter.ssl_client_ca else "none")
    return settings


def _setting(name: str, doc: str) -> Any:
    def get(self: SSLAdapter) -> Any:
        return getattr(self.kirsch.settings, name)

    def put(self: SSLAdapter, value: Any) -> None:
        setattr(self.kirsch.settings, name, value)
        self.kirsch.tls_loaded = False  # what was loaded meant something else

    return property(get, put, doc=doc)


class SSLAdapter:
    """The certificate and the context of one server; assignments count from the next start on."""

    def __init__(self, kirsch: Kirsch) -> None:
        self.kirsch = kirsch

    certificate = _setting("certificate", "File name of the certificate (PEM).")
    certificate_chain = _setting("certificate_chain", "File name of the chain (PEM).")
    ciphers = _setting("ciphers", "Ciphers to offer, in OpenSSL's notation.")
    private_key = _setting("private_key", "File name of the private key (PEM).")
    private_key_password = _setting("private_key_password", "The password of the private key.")

    @property
    def context(self) -> Any:
        """The `ssl.SSLContext` of new connections."""
        tls = self.kirsch.tls
        return self.kirsch.settings.ssl_context if tls is None else tls.default

    @context.setter
    def context(self, context: Any) -> None:
        self.kirsch.settings.ssl_context = context
        self.kirsch.tls_loaded = False

    def take_over(self, adapter: Any) -> None:
        """Use the context, or else the certificate, of another adapter; None: no TLS.

        Raises ValueError for one that has neither: nothing shall go out in the clear by mistake.
        """
        context = getattr(adapter, "context", None)
        if adapter is None:
            settings = self.kirsch.settings
            settings.client_ca = settings.sni = None
            settings.verify = "none"
        elif context is None and not getattr(adapter, "certificate", None):
            raise ValueError(f"{adapter!r} has neither a context nor a certificate.")
        own = ("certificate", "certificate_chain", "ciphers", "private_key", "private_key_password")
        for name in own:
            setattr(self, name, getattr(adapter, name, None))
        self.context = context
