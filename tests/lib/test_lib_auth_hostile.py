"""Credentials and XML-RPC calls that are made to cost, or to make the server say too much."""

from __future__ import annotations

import base64
import time
import xmlrpc.client

import pytest

import cherrypy
from cherrypy.framework.helpers import expose
from cherrypy.lib import auth_basic


class Root:
    @expose
    def index(self):
        return "in"


@pytest.fixture
def guarded(serve):
    check = auth_basic.checkpassword_dict({"u": "p"})
    return serve(
        Root(),
        {
            "tools.auth_basic.on": True,
            "tools.auth_basic.realm": "r",
            "tools.auth_basic.checkpassword": check,
        },
    )


def test_normalising_a_name_does_not_take_quadratic_time(guarded):
    name = "a" + "\u0301\u0316" * 60_000
    token = base64.b64encode(f"{name}:p".encode()).decode()
    started = time.process_time()
    assert guarded("/", headers={"Authorization": f"Basic {token}"}).status == 400
    assert time.process_time() - started < 0.5
    # What people have is not refused.
    token = base64.b64encode(f"{'n' * 2000}:{'p' * 2000}".encode()).decode()
    assert guarded("/", headers={"Authorization": f"Basic {token}"}).status == 401


# ------------------------------------------------------------------------------------- XML-RPC


class Calls(cherrypy._cptools.XMLRPCController):
    @expose
    def echo(self, *args):
        return repr(args)

    @expose
    def file(self):
        open("/nonexistent/secret")  # noqa: SIM115 - fails

    @expose
    def odd(self):
        raise ValueError("a\0b\x0b\ud800 <c> \u20ac")

    @expose
    def mute(self):
        class Mute(Exception):
            def __str__(self):
                raise RuntimeError("no words")

        raise Mute


@pytest.fixture
def rpc(serve):
    site = serve(Calls(), {"request.dispatch": cherrypy.dispatch.XMLRPCDispatcher()})

    def ask(body: bytes):
        answer = site("/", method="POST", body=body, headers={"Content-Type": "text/xml"})
        assert answer.status == 200
        try:
            return xmlrpc.client.loads(answer.body)[0][0]
        except xmlrpc.client.Fault as fault:
            return fault.faultString

    return ask


def call(method: str, text: str = "") -> str:
    value = f"<param><value><string>{text}</string></value></param>"
    return (
        f"<methodCall><methodName>{method}</methodName><params>{value}</params></methodCall>"
        if text
        else f"<methodCall><methodName>{method}</methodName></methodCall>"
    )


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY a "text">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
        "<!DOCTYPE x>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_call_has_no_document_type(rpc, doctype, encoding):
    text = "&a;" if "ENTITY" in doctype else "text"
    document = f'<?xml version="1.0" encoding="{encoding}"?>{doctype}{call("echo", text)}'
    assert rpc(document.encode(encoding)) == 'method "ERRORMETHOD" is not supported'
    document = f'<?xml version="1.0" encoding="{encoding}"?>{call("echo", "text")}'
    assert rpc(document.encode(encoding)) == "('text',)"


def test_a_fault_is_xml_and_names_no_file(rpc):
    assert rpc(call("file").encode()) == "[Errno 2] No such file or directory"
    assert rpc(call("odd").encode()) == "a?b?\\ud800 <c> \u20ac"
    assert rpc(call("mute").encode()) == "Mute"
