"""TLS: handshakes, what they fail of, and the days that a certificate has left."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from monitored import Monitored

import cherrypy
from cherrypy.monitor.house.handshakes import reason_of

DAYS = 30


class Root:
    @cherrypy.expose
    def index(self) -> str:
        return "home"


@pytest.fixture
def secured(site: Monitored, tmp_path: Path) -> Monitored:
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    done = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert),
            *("-days", str(DAYS), "-subj", "/CN=localhost"),
        ],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cherrypy.server.ssl_certificate, cherrypy.server.ssl_private_key = cert, key
    site.mount(Root())
    site.start()
    return site


def context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.minimum_version = made.maximum_version = version
    return made


def test_handshakes_by_version(secured: Monitored) -> None:
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        with context(version).wrap_socket(secured.connect()) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert peer.recv(4096).startswith(b"HTTP/1.1 200")
    assert secured.counts("cherrypy.server.tls.handshakes") == {
        ("TLSv1.3", "false"): 2,
        ("TLSv1.2", "false"): 1,
    }
    took = secured.series("cherrypy.server.tls.handshake.duration")
    assert took[("TLSv1.3",)].count == 2 and 0 < took[("TLSv1.3",)].total < 5
    assert secured.counts("cherrypy.server.tls.errors") == {}
    schemes = {labels[3]: n for labels, n in secured.counts("http.server.request.duration").items()}
    assert schemes == {"https": 3}


def test_a_session_that_is_taken_up_again(secured: Monitored) -> None:
    client = context(ssl.TLSVersion.TLSv1_2)
    session = None
    for _ in range(2):
        with client.wrap_socket(secured.connect(), session=session) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert peer.recv(4096).startswith(b"HTTP/1.1 200")
            session = peer.session
    assert secured.counts("cherrypy.server.tls.handshakes") == {
        ("TLSv1.2", "false"): 1,
        ("TLSv1.2", "true"): 1,
    }


def test_what_handshakes_fail_of(secured: Monitored) -> None:
    plain = secured.connect(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b" 400 " in plain.recv(4096)
    plain.close()
    garbage = secured.connect(b"\x16\x03\x01\x00\x05garbage and more of it")
    garbage.settimeout(5)
    assert garbage.recv(4096) is not None
    garbage.close()
    secured.becomes("cherrypy.server.connections.rejected", {("tls",): 2})
    errors = secured.counts("cherrypy.server.tls.errors")
    assert errors.pop(("PLAIN_HTTP",)) == 1
    assert sum(errors.values()) == 1
    ((name,),) = errors
    assert name.isupper() and " " not in name
    assert secured.counts("cherrypy.server.parse.errors") == {}


def test_handshakes_that_are_not_done(secured: Monitored) -> None:
    peers = [secured.connect() for _ in range(3)]
    secured.becomes("cherrypy.server.tls.handshakes.active", {(): 3})
    for peer in peers:
        peer.close()
    secured.becomes("cherrypy.server.tls.handshakes.active", {})


def test_the_days_that_a_certificate_has_left(secured: Monitored) -> None:
    left = secured.series("cherrypy.server.tls.certificate.expiry")[(secured.listener,)]
    assert DAYS - 0.01 < left <= DAYS


def test_a_server_without_tls_tells_nothing_of_it(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    site.ask()
    assert site.series("cherrypy.server.tls.certificate.expiry") == {}
    assert site.counts("cherrypy.server.tls.handshakes") == {}


def test_reasons_are_short_and_of_one_word() -> None:
    assert reason_of("the peer went away") == "THE_PEER_WENT_AWAY"
    assert len(reason_of("x" * 1000)) == 60
    assert socket.AF_INET
