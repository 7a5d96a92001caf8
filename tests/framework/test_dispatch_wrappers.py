"""Virtual hosts and XML-RPC paths."""

from __future__ import annotations

from framework_asking import ask, expose

from cherrypy.framework.dispatch import VirtualHost, XMLRPCDispatcher


class Site:
    def __init__(self, name):
        self.name = name

    @expose
    def index(self):
        return self.name

    @expose
    def page(self, *args):
        return f"{self.name} {args}"


def tree():
    root = Site("main")
    root.second = Site("second")
    return root


def host(name, **more):
    dispatch = VirtualHost(**{"second.example": "/second"}, **more)
    config = {
        "/": {"request.dispatch": dispatch},
        "/second/page": {"tools.staticdir.dir": "x"},
    }
    return {"headers": [("X-Forwarded-Host", name)], "config": config}


def test_hosts_have_prefixes():
    assert ask(tree(), "/page/1", **host("second.example")).text == "second ('1',)"
    assert ask(tree(), "/page/1", **host("SECOND.example, proxy")).text == "second ('1',)"
    assert ask(tree(), "/page/1", **host("other.example")).text == "main ('1',)"


def test_the_forwarded_host_may_be_ignored():
    more = host("second.example", use_x_forwarded_host=False)
    assert ask(tree(), "/page/1", **more).text == "main ('1',)"


def test_static_sections_are_as_the_client_sees_them():
    config = ask(tree(), "/page", **host("second.example")).config
    assert config["tools.staticdir.section"] == "/page"


def test_xmlrpc_paths():
    config = {"/": {"request.dispatch": XMLRPCDispatcher()}}
    assert ask(tree(), "/RPC2/", config=config).text == "main"
    assert ask(tree(), "/RPC2/second/", config=config).text == "second"
    assert ask(tree(), "/second/", config=config).text == "second"
