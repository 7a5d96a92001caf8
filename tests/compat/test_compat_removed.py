"""Names that CherryPy took away between 3.1 and 18: they are here, work, and warn once."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from compat_process import free_port, get, wait_for

import cherrypy
from cherrypy.testing import Client

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from cherrypy import wsgiserver
    from cherrypy.lib import auth
    from cherrypy.process.servers import (
        check_port,
        client_host,
        wait_for_free_port,
        wait_for_occupied_port,
    )


def warned(code: str) -> list[str]:
    """The warnings of a program, which prints nothing else, one a line."""
    shown = (
        "import warnings\nseen = []\n"
        "warnings.showwarning = lambda m, c, f, n, *a: seen.append(f'{c.__name__} {f} {m}')\n"
        "warnings.simplefilter('always')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{shown}{code}\nprint('\\n'.join(seen))"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("from cherrypy import wsgiserver", "kirsch.Server"),
        ("import cherrypy.wsgiserver", "kirsch.Server"),
        ("from cherrypy.wsgiserver import CherryPyWSGIServer", "kirsch.Server"),
        ("from cherrypy.wsgiserver.ssl_builtin import BuiltinSSLAdapter", "kirsch.Server"),
        ("from cherrypy.wsgiserver.ssl_pyopenssl import pyOpenSSLAdapter", "kirsch.Server"),
        ("from cherrypy.lib import http; assert http.HTTPDate and http.response_codes", "httputil"),
        ("import cherrypy; cherrypy.tools.basic_auth", "auth_basic"),
        ("import cherrypy; cherrypy.tools.digest_auth", "auth_digest"),
        ("from cherrypy.process.servers import wait_for_free_port", "without probes"),
        ("from cherrypy.process import servers; servers.check_port", "without probes"),
        ("from cherrypy._cpcompat import unicodestr; assert unicodestr is str", "Python 3"),
        ("from cherrypy._cpcompat import iteritems; iteritems({})", "Python 3"),
    ],
)
def test_each_warns_once_however_often_it_is_asked_for(code: str, words: str) -> None:
    (line,) = warned(f"for i in range(3):\n    {code}")
    assert line.startswith("DeprecationWarning ")
    assert words in line


def test_who_asks_for_nothing_old_is_not_warned() -> None:
    names = "process.servers lib.httputil _cpcompat process.plugins lib.auth_basic"
    code = "\n".join(f"import cherrypy.{name}" for name in names.split())
    assert warned(f"{code}\ndir(cherrypy.tools); hasattr(cherrypy.process.servers, 'nothing')") == [
        ""
    ]


def test_what_never_was_is_not_there() -> None:
    import cherrypy._cpcompat

    for module in (cherrypy._cpcompat, cherrypy.process.servers, cherrypy.process.plugins):
        with pytest.raises(AttributeError, match="nothing"):
            _ = module.nothing


def test_words_of_two_pythons() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from cherrypy import _cpcompat as compat

        assert compat.json_decode(b"".join(compat.json_encode({"a": 1})).decode()) == {"a": 1}
        assert compat.base64_decode("Zm9v") == "foo"
        assert list(compat.iteritems({1: 2})) == compat.copyitems({1: 2}) == [(1, 2)]
        assert list(compat.itervalues({1: 2})) == compat.copyvalues({1: 2}) == [2]
        assert list(compat.iterkeys({1: 2})) == compat.copykeys({1: 2}) == [1]
        assert len(compat.random20()) == 40
        assert compat.quote("a b") == "a%20b"
        thread = threading.Thread()
        compat.set_daemon(thread, True)
        assert compat.get_daemon(thread)
        from cherrypy.framework.twopythons import MADE, WHERE

        for name in (*MADE, *WHERE):
            assert getattr(compat, name) is not None, name


# -- the port helpers --------------------------------------------------------------------------


def test_port_helpers() -> None:
    assert [client_host(h) for h in ("0.0.0.0", "::", "a.example")] == [
        "127.0.0.1",
        "::1",
        "a.example",
    ]
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match=f"Port {port} is in use on 127.0.0.1; perhaps"):
            check_port("0.0.0.0", port)
        wait_for_occupied_port("127.0.0.1", port)
        with pytest.raises(OSError, match=f"Port {port} not free on '127.0.0.1'"):
            wait_for_free_port("127.0.0.1", port, timeout=0.002)
    check_port("127.0.0.1", port)
    wait_for_free_port("127.0.0.1", port)
    with pytest.raises(OSError, match=f"Port {port} not bound on '127.0.0.1'"):
        wait_for_occupied_port("127.0.0.1", port, timeout=0.002)
    with pytest.warns(UserWarning, match="Unable to verify that the server is bound on "):
        wait_for_occupied_port("0.0.0.0", port, timeout=0.002)
    for helper in (check_port, wait_for_occupied_port):
        with pytest.raises(ValueError, match="not allowed"):
            helper("", port)


def test_a_port_that_frees_itself_is_waited_for() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    timer = threading.Timer(0.2, sock.close)
    timer.start()
    began = time.monotonic()
    wait_for_free_port("127.0.0.1", port, timeout=0.05)
    assert 0.15 < time.monotonic() - began < 3
    timer.join()


# -- the tools ---------------------------------------------------------------------------------


class Root:
    @cherrypy.expose
    def index(self) -> str:
        return f"hello {cherrypy.request.login}"


def hashed(password: str) -> str:
    return md5(password.encode()).hexdigest()


def fetch_one(name: str) -> str | None:
    return {"ann": hashed("secret")}.get(name)


def fetch_all() -> dict[str, str]:
    return {"ann": hashed("secret")}


def crypt(password: str, name: str) -> str:
    return f"{name}:{password}"


@pytest.mark.parametrize(
    ("users", "encrypt"),
    [
        ({"ann": hashed("secret")}, None),
        (fetch_all, None),
        (fetch_one, None),
        ({"ann": "secret"}, lambda password: password),
        ({"ann": "ann:secret"}, crypt),
    ],
)
def test_basic_auth(users: Any, encrypt: Any) -> None:
    entries = {"tools.basic_auth.realm": "here", "tools.basic_auth.users": users}
    if encrypt is not None:
        entries["tools.basic_auth.encrypt"] = encrypt
    client = Client(Root(), {"/": {"tools.basic_auth.on": True, **entries}})

    def ask(name: str, password: str) -> Any:
        token = b64encode(f"{name}:{password}".encode()).decode()
        return client.get("/", headers={"Authorization": f"Basic {token}"})

    assert ask("ann", "secret").text == "hello ann"
    for name, password in (("ann", "wrong"), ("bob", "secret"), ("ann", ""), ("bob", "")):
        answer = ask(name, password)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith('Basic realm="here"')
    assert client.get("/").status == 401


def test_users_that_are_no_dictionary() -> None:
    with pytest.raises(ValueError, match="must be a dictionary"):
        auth._stored(lambda: ["ann"], "ann")


def test_digest_auth_with_a_client_of_its_own() -> None:
    import urllib.request

    from cherrypy.test.client import TestClient  # noqa: F401 a server is wanted: urllib speaks to ports

    port = free_port()
    config = {
        "/": {
            "tools.digest_auth.on": True,
            "tools.digest_auth.realm": "here",
            "tools.digest_auth.users": {"ann": "secret"},
        }
    }
    server = wsgiserver.CherryPyWSGIServer(
        ("127.0.0.1", port), cherrypy.Application(Root(), "", config)
    )
    with running(server):

        def ask(password: str, name: str = "ann") -> int:
            handler = urllib.request.HTTPDigestAuthHandler()
            handler.add_password("here", f"http://127.0.0.1:{port}/", name, password)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)
            try:
                with opener.open(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                    assert answer.read() == b"hello ann"
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code
            except ValueError:  # it tries no more
                return 401

        assert ask("secret") == 200
        assert ask("wrong") == 401
        assert ask("None", "bob") == 401  # whom nobody knows


# -- the server --------------------------------------------------------------------------------


class running:
    """A server in a thread, as programs start it."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.thread = threading.Thread(target=server.start)

    def __enter__(self) -> Any:
        self.thread.start()
        wait_for(lambda: self.server.ready, "the server")
        return self.server

    def __exit__(self, *exc_info: object) -> None:
        self.server.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()


def told(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|{environ['wsgi.url_scheme']}".encode()


def test_the_server_as_its_page_showed_it() -> None:
    port = free_port()
    server = wsgiserver.CherryPyWSGIServer(
        ("127.0.0.1", port), told, numthreads=3, server_name="www.example", timeout=7
    )
    assert (server.timeout, server.numthreads, server.server_name) == (7, 3, "www.example")
    with running(server):
        assert get(port, "/x") == (200, "|/x|http")
        server.wsgi_app = wsgiserver.WSGIPathInfoDispatcher({"/a": told})
        assert get(port, "/a/b") == (200, "/a|/b|http")


def test_a_dispatcher_takes_the_longest_path() -> None:
    port = free_port()
    apps = [("/a", told), ("/a/b", told), ("/", told)]
    with running(wsgiserver.CherryPyWSGIServer(("127.0.0.1", port), apps)):
        for path, found in (
            ("/a/b/c", "/a/b|/c"),
            ("/a/b", "/a/b|"),
            ("/a/bc", "/a|/bc"),
            ("/ab", "|/ab"),
            ("/", "|/"),
        ):
            assert get(port, path) == (200, f"{found}|http")
    port = free_port()
    with running(wsgiserver.CherryPyWSGIServer(("127.0.0.1", port), {"/only": told})):
        assert get(port, "/else")[0] == 404


@pytest.mark.parametrize("way", ["attributes", "class", "class adapter", "builtin", "pyopenssl"])
def test_tls_in_each_of_its_ways(tmp_path: Path, way: str) -> None:
    import ssl

    pem = tmp_path / "both.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", pem, "-out", pem],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "pkey", "-in", pem, "-out", key], check=True, timeout=30)
    port = free_port()

    class Secure(wsgiserver.CherryPyWSGIServer):
        """The pages of others set the attributes on the class itself; here on one of the test's own."""

    server = Secure(("127.0.0.1", port), told)
    if way == "attributes":
        server.ssl_certificate, server.ssl_private_key = str(pem), str(key)
    elif way == "class":
        Secure.ssl_certificate, Secure.ssl_private_key = str(pem), str(key)
    elif way == "class adapter":
        adapter = wsgiserver.get_ssl_adapter_class()(str(pem), str(key))
        Secure.ssl_adapter = adapter  # type: ignore[assignment]  # in place of a property
    else:
        server.ssl_adapter = wsgiserver.get_ssl_adapter_class(way)(str(pem), str(key))
    with running(server):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        client.request("GET", "/")
        assert client.getresponse().read() == b"|/|https"
        client.close()
    with pytest.raises(KeyError):
        wsgiserver.get_ssl_adapter_class("none")


def test_ctrl_c_ends_it_as_the_pages_of_others_expect(tmp_path: Path) -> None:
    """The last lines of many a program: try, start, except KeyboardInterrupt, stop."""
    from compat_process import Program, write

    port = free_port()
    write(
        tmp_path,
        "program.py",
        "import sys, warnings\nwarnings.simplefilter('ignore')\n"
        "from cherrypy import wsgiserver\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [b'STARTED']\n"
        "server = wsgiserver.CherryPyWSGIServer(('127.0.0.1', int(sys.argv[1])), app)\n"
        "try:\n    server.start()\nexcept KeyboardInterrupt:\n    server.stop()\n    print('over')\n",
    )
    import signal

    with Program(tmp_path, "program.py", str(port)) as program:
        program.listens(port)
        program.send(signal.SIGINT)
        assert program.ends() == 0
        assert program.text() == "over\n"


def test_the_pool_of_a_server() -> None:
    """`server.httpserver.requests`: what resizers read and call, one of which replaces `size`."""
    port = free_port()
    server = wsgiserver.CherryPyWSGIServer(("127.0.0.1", port), told, numthreads=2, max=6)
    kind = wsgiserver.ThreadPool
    old = kind.size
    with running(server):
        pool = server.requests
        assert isinstance(pool, kind)
        try:
            kind.size = property(lambda self: len(self._threads))  # type: ignore[assignment]  # as a plugin does
            assert (pool.min, pool.max, pool.size, pool.qsize) == (2, 6, 2, 0)
            pool.grow(3)
            wait_for(lambda: pool.idle == 5, "five idle threads")
            assert pool.size == 5
            assert all(isinstance(thread, threading.Thread) for thread in pool._threads)
            assert get(port)[0] == 200
            pool.grow(10)
            assert pool.size == 6
            pool.shrink(2)

            def fewer() -> bool:
                get(port)  # who has been idle for long leaves as well
                return bool(pool.size <= 4)

            wait_for(fewer, "at most four threads")
        finally:
            kind.size = old  # type: ignore[method-assign]  # as it was
        assert get(port)[0] == 200
