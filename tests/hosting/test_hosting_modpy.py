"""mod_python hosting, against a stand-in of the request object Apache would hand over.

mod_python itself is not packaged any more, so its object is written here after its manual.
"""

import types

import pytest

import cherrypy
from cherrypy import _cpmodpy


class Table(list):
    def add(self, name, value):
        self.append((name, value))

    def items(self):
        return list(self)


class ApacheRequest:
    def __init__(self, uri, args="", method="GET", body=b""):
        self.uri, self.args, self.method = uri, args, method
        self.connection = types.SimpleNamespace(
            local_addr=("127.0.0.1", 80), remote_addr=("127.0.0.1", 5000)
        )
        self.parsed_uri = ("http",)
        self.proto_num = 1001
        self.user = None
        self.headers_in = Table([("Host", "example.com"), ("Content-Length", str(len(body)))])
        self.headers_out = Table()
        self.server = object()
        self.status, self.content_type, self.sent, self.body = 0, None, b"", body

    def get_options(self):
        return {"cherrypy.setup": "modpy_site::setup_site"}

    def get_basic_auth_pw(self):
        return ""

    def write(self, data):
        self.sent += data

    def read(self, size=-1):
        data, self.body = self.body, b""
        return data

    readline = read

    def readlines(self):
        return [self.read()]


@pytest.fixture
def apache(monkeypatch, tmp_path):
    (tmp_path / "modpy_site.py").write_text(
        "import cherrypy\n"
        "class Root:\n"
        "    @cherrypy.expose\n"
        "    def index(self, name='nobody'):\n"
        "        cherrypy.response.headers['X-Seen'] = cherrypy.request.method\n"
        "        return 'Hello ' + name\n"
        "def setup_site():\n"
        "    cherrypy.tree.mount(Root(), '/site')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cherrypy, "tree", cherrypy._cptree.Tree())
    monkeypatch.setattr(_cpmodpy, "_isSetUp", False)
    before = dict(cherrypy.config)
    yield
    cherrypy.engine.exit()
    cherrypy.server.subscribe()
    cherrypy.config.clear()
    dict.update(cherrypy.config, before)


def test_requests_are_answered_through_apache(apache):
    request = ApacheRequest("/site/", "name=Ann")
    assert _cpmodpy.handler(request) == 0
    assert (request.status, request.sent) == (200, b"Hello Ann")
    assert request.content_type == "text/html;charset=utf-8"
    assert ("X-Seen", "GET") in request.headers_out
    assert cherrypy.engine.state == cherrypy.engine.states.STARTED

    missing = ApacheRequest("/elsewhere")
    assert _cpmodpy.handler(missing) == 0
    assert missing.status == 404


def test_read_process_names_what_is_missing():
    assert _cpmodpy.read_process("echo", "one two") == b"one two\n"
    with pytest.raises(OSError, match="no-such-command-here must be on your system path"):
        _cpmodpy.read_process("no-such-command-here")
