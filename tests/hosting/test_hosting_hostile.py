"""Servers that must not start: with settings that mean something else than they say."""

from __future__ import annotations

import ssl

import pytest

from cherrypy.hosting.adapter import Server
from cherrypy.hosting.httpserver import port_number
from cherrypy.hosting.native import CPHTTPServer
from cherrypy.hosting.wsgi import CPWSGIServer


@pytest.mark.parametrize("kind", [CPHTTPServer, CPWSGIServer])
@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("ssl_certificate", "/somewhere/cert.pem", "cannot read /somewhere/cert.pem"),
        ("ssl_private_key", "/somewhere/key.pem", "need a certificate"),
        ("ssl_client_ca", "/somewhere/ca.pem", "need a certificate"),
        ("ssl_context", "/somewhere/cert.pem", "must be an ssl.SSLContext"),
        ("ssl_context", ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "one for clients"),
        ("ssl_module", "cheroot.ssl.own.Adapter", "set server.ssl_context"),
    ],
)
def test_what_is_meant_to_be_encrypted_is_not_sent_in_the_clear(kind, setting, value, words):
    adapter = Server()
    setattr(adapter, setting, value)
    with pytest.raises((OSError, ValueError), match=words):
        kind(adapter)


@pytest.mark.parametrize("port", [99999, 65536, -1, "x", "", "80 ", 8080.0, True, [], "9" * 5000])
def test_a_port_that_is_none_is_not_taken_for_another(port):
    adapter = Server()
    adapter.socket_port = port
    with pytest.raises(ValueError, match=r"server\.socket_port must be a number"):
        CPWSGIServer(adapter)


def test_a_port_may_be_text():
    assert port_number("8080") == 8080
    assert port_number(0) == 0
    adapter = Server()
    adapter.socket_port = "0"  # type: ignore[assignment]  # as people write it
    server = CPWSGIServer(adapter)
    server.prepare()
    try:
        assert server.bound_addresses[0][1] > 0
    finally:
        server.stop()
