"""Sites over real TLS: the `ssl_*` settings, HTTP beside HTTPS, and what tools make of it."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import sys
import types
from pathlib import Path

import pytest

import cherrypy
from cherrypy.hosting.adapter import Server
from cherrypy.hosting.native import CPHTTPServer
from cherrypy.hosting.wsgi import CPWSGIServer
from kirsch.server.selfsigned import self_signed_certificate

OPEN = []  # connections, closed after each test


class Root:
    @cherrypy.expose
    def index(self):
        request = cherrypy.request
        return f"{request.scheme} {request.base} {cherrypy.url('/x')}"

    @cherrypy.expose
    def count(self):
        cherrypy.session["n"] = n = cherrypy.session.get("n", 0) + 1
        return str(n)

    @cherrypy.expose
    def peer(self):
        environ = cherrypy.request.wsgi_environ
        return f"{environ['SSL_PROTOCOL']} {environ['HTTPS']} {environ['SSL_CLIENT_VERIFY']}"

    @cherrypy.expose
    def size(self, data):
        return f"{len(data.file.read())} " + "x" * 3_000_000


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """A certificate for localhost, and its key in the same file."""
    return self_signed_certificate(str(tmp_path_factory.mktemp("tls")))


@pytest.fixture(scope="module")
def visitor(tmp_path_factory):
    """A certificate for a client, and its key in the same file."""
    folder = tmp_path_factory.mktemp("client")
    key, path = str(folder / "key.pem"), folder / "client.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=visitor", "-keyout", key, "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(key).read_bytes())
    return str(path)


@pytest.fixture
def engine(monkeypatch):
    """The engine with a tree of its own and no server but the test's; stopped afterwards."""
    before, servers = dict(cherrypy.config), set(cherrypy.servers)
    monkeypatch.setattr(cherrypy, "tree", type(cherrypy.tree)())
    cherrypy.config.update({"environment": "test_suite", "engine.autoreload.on": False})
    cherrypy.server.unsubscribe()
    yield cherrypy.engine
    cherrypy.engine.exit()
    for connection in OPEN:
        connection.close()
    OPEN.clear()
    for name in set(cherrypy.servers) - servers:
        cherrypy.servers.pop(name).unsubscribe()
    cherrypy.server.subscribe()
    cherrypy.config.clear()
    dict.update(cherrypy.config, before)


@pytest.fixture
def site(engine, pem):
    """Start the site with a server for each set of settings; the adapters."""
    adapters = []

    def start(*settings, config=None, kind=CPWSGIServer):
        cherrypy.tree.mount(Root(), "/", config)
        for values in settings:
            adapter = Server()
            adapter.socket_port = 0
            for name, value in values.items():
                setattr(adapter, name, value)
            adapter.httpserver = kind(adapter)
            adapter.subscribe()
            adapters.append(adapter)
        engine.start()
        return adapters

    yield start
    engine.exit()
    for adapter in adapters:
        adapter.unsubscribe()


def client(adapter, pem, tls=True, certificate=None):
    host, port = adapter.bound_addr
    connection = http.client.HTTPConnection(host, port, timeout=10)
    if tls:
        context = ssl.create_default_context(cafile=pem)
        if certificate is not None:
            context.load_cert_chain(certificate)
        connection = http.client.HTTPSConnection(host, port, timeout=10, context=context)
    OPEN.append(connection)
    return connection


def get(connection, path="/", headers=()):
    connection.request("GET", path, headers=dict(headers))
    response = connection.getresponse()
    return response.status, response.read().decode(), response


@pytest.mark.parametrize("kind", [CPWSGIServer, CPHTTPServer])
def test_http_and_https_side_by_side(site, pem, kind):
    secure, clear = site({"ssl_certificate": pem}, {}, kind=kind)
    for adapter, scheme in ((secure, "https"), (clear, "http")):
        base = f"{scheme}://127.0.0.1:{adapter.bound_addr[1]}"
        connection = client(adapter, pem, scheme == "https")
        for _ in range(3):  # one connection
            assert get(connection)[:2] == (200, f"{scheme} {base} {base}/x")
        assert adapter.base() == adapter.description == base
    connection = client(secure, pem, tls=False)
    status, text, _ = get(connection)
    assert status == 400 and f"Try https://127.0.0.1:{secure.bound_addr[1]}/" in text


def test_session_cookies_are_secure_on_https_only(site, pem):
    config = {"/": {"tools.sessions.on": True}}
    secure, clear = site({"ssl_certificate": pem}, {}, config=config)
    cookies = {}
    for adapter in (secure, clear):
        connection = client(adapter, pem, adapter is secure)
        _, text, response = get(connection, "/count")
        assert text == "1"
        cookies[adapter] = cookie = response.getheader("Set-Cookie")
        pair = cookie.partition(";")[0]
        assert get(connection, "/count", {"Cookie": pair})[1] == "2"
    assert "; secure" in cookies[secure].lower()
    assert "secure" not in cookies[clear].lower()


def test_hsts_goes_out_over_tls_only(site, pem):
    config = {"/": {"tools.secure_headers.on": True, "tools.secure_headers.hsts": 31536000}}
    secure, clear = site({"ssl_certificate": pem}, {}, config=config)
    field = "Strict-Transport-Security"
    connection = client(secure, pem)
    assert get(connection)[2].getheader(field).startswith("max-age=31536000")
    connection = client(clear, pem, tls=False)
    assert get(connection)[2].getheader(field) is None


def test_the_environ_and_big_bodies(site, pem):
    (adapter,) = site({"ssl_certificate": pem, "ssl_minimum_version": "1.3"})
    connection = client(adapter, pem)
    assert get(connection, "/peer")[1] == "TLSv1.3 on NONE"
    upload = (
        b"--b\r\nContent-Disposition: form-data; name=data; filename=f\r\n\r\n"
        + b"y" * 2_000_000
        + b"\r\n--b--\r\n"
    )
    fields = {"Content-Type": "multipart/form-data; boundary=b"}
    connection.request("POST", "/size", upload, fields)
    body = connection.getresponse().read()
    assert body.startswith(b"2000000 xxx") and len(body) == 3_000_008


def test_settings_by_name_in_a_configuration(engine, pem, visitor):
    cherrypy.tree.mount(Root())
    cherrypy.config.update(
        {
            "server.tlstest.socket_port": 0,
            "server.tlstest.ssl_module": "pyopenssl",
            "server.tlstest.ssl_certificate": pem,
            "server.tlstest.ssl_private_key": pem,
            "server.tlstest.ssl_client_ca": visitor,
            "server.tlstest.ssl_plain_http": "redirect",
            "server.tlstest.ssl_verify": "optional",
        }
    )
    engine.start()
    adapter = cherrypy.servers["tlstest"]
    connection = client(adapter, pem)
    assert get(connection, "/peer")[1].endswith(" on NONE")
    connection = client(adapter, pem, certificate=visitor)
    assert get(connection, "/peer")[1].endswith(" on SUCCESS")
    connection = client(adapter, pem, tls=False)
    status, _, response = get(connection, "/a?b")
    port = adapter.bound_addr[1]
    assert (status, response.getheader("Location")) == (301, f"https://127.0.0.1:{port}/a?b")


def test_a_client_ca_alone_asks_for_certificates(site, pem):
    (adapter,) = site({"ssl_certificate": pem, "ssl_client_ca": pem})
    connection = client(adapter, pem)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        get(connection)


def test_the_ssl_adapter_of_a_server(site, pem):
    (adapter,) = site({"ssl_certificate": pem, "ssl_private_key": pem})
    shown = adapter.httpserver.ssl_adapter
    assert (shown.certificate, shown.private_key, shown.certificate_chain) == (pem, pem, None)
    assert isinstance(shown.context, ssl.SSLContext)
    assert shown.context.minimum_version == ssl.TLSVersion.TLSv1_2
    plain = Server()
    plain.socket_port = 0
    assert CPWSGIServer(plain).ssl_adapter is None


@pytest.mark.parametrize("by", ["certificate", "context"])
def test_an_adapter_of_the_programs_own(engine, pem, by):
    own = types.SimpleNamespace(certificate=pem, private_key=pem, context=None)
    if by == "context":
        own = types.SimpleNamespace(context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        own.context.load_cert_chain(pem)
    cherrypy.tree.mount(Root())
    adapter = Server()
    adapter.socket_port = 0
    adapter.httpserver = server = CPWSGIServer(adapter)
    with pytest.raises(ValueError, match="neither a context nor a certificate"):
        server.ssl_adapter = object()
    server.ssl_adapter = own
    adapter.subscribe()
    try:
        engine.start()
        assert adapter.description.startswith("https://")
        connection = client(adapter, pem)
        assert get(connection)[1].startswith("https ")
        if by == "context":
            assert server.ssl_adapter.context is own.context
    finally:
        engine.exit()
        adapter.unsubscribe()
    server.ssl_adapter = None
    assert server.ssl_adapter is None


def test_reload(site, pem, tmp_path):
    path = tmp_path / "site.pem"
    path.write_bytes(Path(pem).read_bytes())
    (adapter,) = site({"ssl_certificate": str(path)})
    kept = client(adapter, pem)
    assert get(kept)[0] == 200
    (tmp_path / "new").mkdir()
    fresh = self_signed_certificate(str(tmp_path / "new"))
    adapter.ssl_certificate = fresh
    adapter.reload_tls()
    connection = client(adapter, fresh)
    assert get(connection)[0] == get(kept)[0] == 200
    adapter.ssl_certificate = str(tmp_path / "none.pem")
    with pytest.raises(OSError, match=r"certificate: cannot read .*none\.pem"):
        adapter.reload_tls()
    connection = client(adapter, fresh)
    assert get(connection)[0] == 200


def test_reload_before_the_start():
    with pytest.raises(RuntimeError, match="has not been started"):
        Server().reload_tls()


def test_a_start_with_a_wrong_certificate_says_which(tmp_path):
    source = (
        "import cherrypy\n"
        "cherrypy.config.update({'server.socket_port': 0, 'log.screen': False,\n"
        "    'engine.autoreload.on': False, 'server.ssl_certificate': 'nowhere.pem'})\n"
        "try:\n"
        "    cherrypy.engine.start()\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
        check=False,
    )
    assert "certificate: cannot read nowhere.pem: No such file or directory" in done.stdout
