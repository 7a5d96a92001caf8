"""The same under the name of the adapter for pyOpenSSL: the standard library's TLS serves both."""

from __future__ import annotations

from .ssl_builtin import BuiltinSSLAdapter

__all__ = ("pyOpenSSLAdapter",)

pyOpenSSLAdapter = BuiltinSSLAdapter
