"""JSON and XML-RPC."""

from __future__ import annotations

import http.client
import json
import xmlrpc.client

import pytest

from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.lib import jsontools, xmlrpcutil
from cherrypy.lib.toolbox import XMLRPCController


class Root:
    calls = 0

    @expose
    def json(self):
        return {"a": [1, None, "é"]}

    @expose
    def cannot(self):
        return {1, 2}

    @expose
    def posted(self):
        return repr(getattr(serving.request, "json", "none"))


# -------------------------------------------------------------------------------------- JSON


def test_json_out(serve):
    site = serve(Root(), {"tools.json_out.on": True})
    answer = site("/json")
    assert answer["Content-Type"] == "application/json"
    assert answer.body == b'{"a": [1, null, "\\u00e9"]}'
    assert answer["Content-Length"] == str(len(answer.body))
    assert site("/cannot").status == 500
    own = {"tools.json_out.on": True, "tools.json_out.content_type": "text/x"}
    assert serve(Root(), own)("/json")["Content-Type"].startswith("text/x")
    handler = {"tools.json_out.on": True, "tools.json_out.handler": lambda: b"mine"}
    assert serve(Root(), handler)("/json").body == b"mine"


def test_json_says_what_json_says():
    deep = []
    for _ in range(100):
        deep = [deep, {"k": [1.5, True, "é\n"]}]
    for value in (deep, {1: 2, None: "x"}, "text", 7, float("inf"), {"a": ()}):
        assert b"".join(jsontools.encode(value)) == json.dumps(value).encode()


def test_what_json_cannot_say():
    circle = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        jsontools.encode({"a": circle})
    for _ in range(3):
        with pytest.raises(TypeError):
            jsontools.encode([object()])
    endless = [0]
    for _ in range(200_000):
        endless = [endless]
    with pytest.raises(RecursionError):
        jsontools.encode(endless)
    while endless:  # taken apart by hand: not every Python survives doing it at once
        endless = endless[0]


def test_the_way_out_for_other_objects_may_be_replaced(monkeypatch):
    monkeypatch.setattr(json.JSONEncoder, "default", lambda self, value: sorted(value))
    assert b"".join(jsontools.encode({2, 1})) == b"[1, 2]"


@pytest.mark.parametrize(
    ("body", "kind", "status", "text"),
    [
        (b'{"a":1}', "application/json", 200, "{'a': 1}"),
        (b'{"a":1}', "application/json;charset=utf-8", 200, "{'a': 1}"),
        (b'"\xc3\xa9"', "text/javascript", 200, "'é'"),
        (b"{", "application/json", 400, "Invalid JSON document"),
        (b"", "application/json", 400, "Invalid JSON document"),
        (b"\xff", "application/json", 400, "Invalid JSON document"),
        (b"[" * 100000, "application/json", 400, "Invalid JSON document"),
        (
            b"a=1",
            "application/x-www-form-urlencoded",
            415,
            "Expected an entity of content type application/json, text/javascript",
        ),
    ],
)
def test_json_in(serve, body, kind, status, text):
    site = serve(Root(), {"tools.json_in.on": True})
    answer = site("/posted", method="POST", body=body, headers={"Content-Type": kind})
    assert answer.status == status
    assert text in answer.body.decode()


def test_settings_of_json_in(serve):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    soft = {"tools.json_in.on": True, "tools.json_in.force": False}
    assert serve(Root(), soft)("/posted", method="POST", body=b"", headers=headers).text == "'none'"
    own = {"tools.json_in.on": True, "tools.json_in.content_type": "a/b"}
    answer = serve(Root(), own)(
        "/posted", method="POST", body=b"5", headers={"Content-Type": "a/b"}
    )
    assert answer.text == "5"


# ------------------------------------------------------------------------------------- XML-RPC


class Methods(XMLRPCController):
    @expose
    def add(self, a, b):
        return a + b

    @expose
    def none(self):
        return None

    @expose
    def error(self):
        raise ValueError("boo")

    @expose
    def fault(self):
        return xmlrpc.client.Fault(3, "f")

    def hidden(self):
        return 1

    class Inner:
        @expose
        def hello(self):
            return "héllo"

    inner = Inner()


@pytest.fixture
def call(serve):
    def make(**conf):
        from cherrypy.framework.dispatch import XMLRPCDispatcher

        site = serve(Methods(), {"request.dispatch": XMLRPCDispatcher(), **conf})

        def call(name, *args, raw=None):
            body = xmlrpc.client.dumps(args, name).encode() if raw is None else raw
            answer = site("/", method="POST", body=body, headers={"Content-Type": "text/xml"})
            assert answer.status == 200
            assert answer["Content-Type"].startswith("text/xml")
            assert answer["Content-Length"] == str(len(answer.body))
            return xmlrpc.client.loads(answer.body)[0][0]

        return call

    return make


def test_xmlrpc(call):
    rpc = call()
    assert rpc("add", 1, 2) == 3
    assert rpc("inner.hello") == "héllo"
    for name in ("hidden", "nope", "inner.nope", "_x", "add.__code__"):
        with pytest.raises(xmlrpc.client.Fault, match=f'method "{name}" is not supported'):
            rpc(name)
    with pytest.raises(xmlrpc.client.Fault, match="boo") as info:
        rpc("error")
    assert info.value.faultCode == 1
    with pytest.raises(xmlrpc.client.Fault, match="f") as info:
        rpc("fault")
    assert info.value.faultCode == 3
    with pytest.raises(xmlrpc.client.Fault, match="allow_none"):
        rpc("none")
    assert call(**{"tools.xmlrpc.allow_none": 1})("none") is None
    with pytest.raises(xmlrpc.client.Fault, match='method "ERRORMETHOD" is not supported'):
        rpc("x", raw=b"rubbish")
    assert xmlrpcutil.patched_path("/RPC2/b") == "/b/"
    assert xmlrpcutil.patched_path("/a") == "/a/"
    assert http.client.OK == 200
