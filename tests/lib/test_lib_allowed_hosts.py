"""The tool `allowed_hosts`: which names a site answers to."""

from __future__ import annotations

import socket

import pytest
from security_kit import served

import cherrypy
from cherrypy.lib.allowedhosts import is_allowed, split_host


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("example.com", ("example.com", None)),
        ("Example.COM:80", ("example.com", 80)),
        ("example.com.", ("example.com", None)),
        ("example.com:", ("example.com", None)),
        ("[::1]:8080", ("::1", 8080)),
        ("[0:0::1]", ("::1", None)),
        ("my_container-1", ("my_container-1", None)),
        ("", None),
        (".", None),
        ("::1", None),
        ("a b", None),
        ("a/b", None),
        ("a@b", None),
        ("a,b", None),
        ("a:b", None),
        ("a:99999999", None),
        ("[::1", None),
        ("example.com\n", None),
        ("exämple.com", None),
    ],
)
def test_split_host(text, split):
    assert split_host(text) == split


@pytest.mark.parametrize(
    ("entry", "yes", "no"),
    [
        (
            "example.com",
            "example.com EXAMPLE.com. example.com:8080",
            "www.example.com badexample.com example.com.evil.org example.co",
        ),
        ("Example.com:8443", "example.com:8443", "example.com example.com:443"),
        ("example.com:80", "example.com example.com:80", "example.com:8080"),
        (
            ".example.com",
            "example.com a.example.com a.b.example.com:99",
            "badexample.com example.com.org",
        ),
        ("*.example.com", "a.example.com", "example.com badexample.com"),
        ("*.example.com:8443", "a.example.com:8443", "a.example.com example.com:8443"),
        ("::1", "[::1] [::1]:80 [0::1]", "[::2] 1"),
        ("[::1]:80", "[::1] [::1]:80", "[::1]:81"),
        ("127.0.0.1", "127.0.0.1:8080", "127.0.0.2"),
        ("bücher.example", "xn--bcher-kva.example", "bucher.example"),
        ("*", "example.com [::1]:1", "a@b"),
    ],
)
def test_entries(entry, yes, no):
    for host in yes.split():
        assert is_allowed(host, [entry]), host
        assert is_allowed(host, ("x.org", entry)), host
        assert is_allowed(host, entry), host
    for host in no.split():
        assert not is_allowed(host, [entry]), host


def test_the_usual_port_of_https():
    assert is_allowed("example.com", ["example.com:443"], "https")
    assert not is_allowed("example.com", ["example.com:443"], "http")


@pytest.mark.parametrize("entry", ["http://example.com", "a b", "", "example.com/x", "a.*"])
def test_an_entry_that_is_no_host(entry):
    with pytest.raises(ValueError, match="is no host"):
        is_allowed("example.com", [entry])


class Root:
    calls = 0

    @cherrypy.expose
    def index(self):
        Root.calls += 1
        return cherrypy.url("/x")

    @cherrypy.expose
    def health(self):
        return "fine"


CONFIG = """
    [/]
    tools.allowed_hosts.on = True
    tools.allowed_hosts.hosts = ['example.com', '.lab.example:8080', '[::1]']
    tools.redirect.url = '/elsewhere'
    tools.redirect.internal = False
    [/health]
    tools.allowed_hosts.on = False
    [/redirecting]
    tools.redirect.on = True
"""


def dialogue(address, request):
    with socket.create_connection(address[:2], timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("native", [False, True])
def test_over_a_socket(native):
    with served(Root(), CONFIG, native) as ask:
        assert ask("/", host="example.com").text == "http://example.com/x"
        assert ask("/", host="a.lab.example:8080").status == 200
        assert ask("/", host="[::1]:8080").status == 200
        calls = Root.calls
        for host in ("evil.org", "example.com.evil.org", "a.lab.example", "127.0.0.1"):
            answer = ask("/", host=host)
            assert answer.status == 400
            assert "not known by the name" in answer.text
            assert host not in answer.text
        # Before any other tool has made a link of it.
        answer = ask("/redirecting", host="evil.org")
        assert (answer.status, answer["Location"]) == (400, None)
        assert ask("/redirecting", host="example.com").status == 303
        assert Root.calls == calls
        assert ask("/health", host="10.0.0.1").text == "fine"


@pytest.mark.parametrize("native", [False, True])
def test_the_host_of_an_absolute_target_counts(native):
    """RFC 9112, 3.2.2: it replaces what the field says."""
    with served(Root(), CONFIG, native) as ask:
        for target, host, status in (
            (b"http://evil.org/", b"example.com", b"400"),
            (b"http://example.com/", b"evil.org", b"200"),
        ):
            answer = dialogue(
                ask.address,
                b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n",
            )
            assert answer.split()[1] == status


def test_no_host_at_all():
    with served(Root(), CONFIG) as ask:
        assert dialogue(ask.address, b"GET / HTTP/1.0\r\n\r\n").split()[1] == b"400"
    more = CONFIG.replace("[/]", "[/]\n    tools.allowed_hosts.accept_missing = True")
    with served(Root(), more) as ask:
        assert dialogue(ask.address, b"GET / HTTP/1.0\r\n\r\n").split()[1] == b"200"


def test_behind_a_proxy_both_names_must_be_on_the_list():
    conf = {
        "tools.allowed_hosts.on": True,
        "tools.allowed_hosts.hosts": ["inner", "www.example.com"],
        "tools.proxy.on": True,
    }
    with served(Root(), {"/": conf}) as ask:
        answer = ask("/", host="inner", x_forwarded_host="www.example.com")
        assert answer.text == "http://www.example.com/x"
        assert ask("/", host="inner", x_forwarded_host="evil.org").status == 400
        assert ask("/", host="evil.org", x_forwarded_host="www.example.com").status == 400
        assert ask("/", host="inner").status == 200


def test_a_list_that_is_changed_counts_at_once():
    hosts = ["example.com"]
    conf = {"tools.allowed_hosts.on": True, "tools.allowed_hosts.hosts": hosts}
    with served(Root(), {"/": conf}) as ask:
        assert ask("/", host="more.org").status == 400
        hosts.append("more.org")
        assert ask("/", host="more.org").status == 200


def test_autovary_does_not_see_it(serve):
    conf = {
        "tools.allowed_hosts.on": True,
        "tools.allowed_hosts.hosts": ["127.0.0.1"],
        "tools.autovary.on": True,
    }
    answer = serve(Root(), conf)("/health")
    assert answer.status == 200
    assert "Host" not in (answer["Vary"] or "")
