"""Who is believed about where a request came from, and what of it."""

from __future__ import annotations

import socket
import time

import pytest
from security_kit import served

import cherrypy
from cherrypy.framework.helpers import expose
from cherrypy.lib import forwarding

OUTER = {
    "X-Forwarded-Host": "www.example.com",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/shop",
    "Forwarded": "for=198.51.100.7;proto=https;host=other.example.com",
}
PLAIN = "http://127.0.0.1/seen"


class Root:
    @expose
    def seen(self):
        return f"{cherrypy.url()} {cherrypy.request.remote.ip}"

    @expose
    def go(self):
        raise cherrypy.HTTPRedirect("/there")

    @expose
    def inside(self):
        raise cherrypy.InternalRedirect("/seen")


@pytest.fixture
def seen(serve):
    def ask(headers, peer="127.0.0.1", path="/seen", **conf):
        settings = {"tools.proxy.on": True}
        settings.update({f"tools.proxy.{name}": value for name, value in conf.items()})
        return serve(Root(), settings)(path, headers=headers, REMOTE_ADDR=peer).text

    return ask


@pytest.mark.parametrize(
    ("peer", "trusted", "believed"),
    [
        ("127.0.0.1", None, True),
        ("127.9.9.9", None, True),
        ("::1", None, True),
        ("::ffff:127.0.0.1", None, True),
        ("", None, True),  # a unix socket
        ("10.1.2.3", None, True),
        ("192.168.1.1", None, True),
        ("172.31.255.255", None, True),
        ("fd00::1", None, True),
        ("172.32.0.1", None, False),
        ("8.8.8.8", None, False),
        ("2001:db8::1", None, False),
        ("rubbish", None, False),
        ("127.0.0.1", ["192.0.2.0/24"], False),
        ("", ["192.0.2.0/24"], False),
        ("192.0.2.7", ["192.0.2.0/24"], True),
        ("192.0.2.7", "loopback, 192.0.2.7", True),
        ("192.0.2.8", "loopback, 192.0.2.7", False),
        ("10.0.0.1", ["loopback"], False),
        ("", "unix", True),
        ("8.8.8.8", "*", True),
        ("", "*", True),
        ("127.0.0.1", [], False),
    ],
)
def test_who_is_believed(seen, peer, trusted, believed):
    conf = {} if trusted is None else {"trusted": trusted}
    text = seen(OUTER, peer, **conf)
    assert text == ("https://www.example.com/seen 203.0.113.9" if believed else f"{PLAIN} {peer}")


def test_nobody_is_believed_about_fields_that_were_not_asked_for(seen):
    # The proxy may not set them, and would let those of a client pass.
    assert seen(OUTER) == "https://www.example.com/seen 203.0.113.9"


def test_what_is_no_network_is_an_error(serve):
    conf = {"tools.proxy.on": True, "tools.proxy.trusted": "10.0.0.0/99"}
    assert serve(Root(), conf)("/seen").status == 500


@pytest.mark.parametrize(
    ("field", "ip"),
    [
        ("203.0.113.9", "203.0.113.9"),
        # What a client has sent itself stands left of what the proxy adds.
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 10.0.0.1, 192.168.0.1", "203.0.113.9"),
        ("192.168.0.20, 10.0.0.1", "192.168.0.20"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::5]:4711", "2001:db8::5"),
        ("[2001:DB8::5]", "2001:db8::5"),
        ("2001:db8::5", "2001:db8::5"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("unknown", "127.0.0.1"),
        ("203.0.113.9, unknown", "127.0.0.1"),
        ("203.0.113.9, nonsense, 10.0.0.1", "10.0.0.1"),
        ("203.0.113.9,", "127.0.0.1"),
        ("203.0.113.9:port", "127.0.0.1"),
        ("203.0.113.999", "127.0.0.1"),
        ("fe80::1%eth0", "127.0.0.1"),
        ("<script>", "127.0.0.1"),
        ("1" * 5000, "127.0.0.1"),
        ("203.0.113.9, " + "10.0.0.1, " * 70 + "10.0.0.2", "10.0.0.1"),
    ],
)
def test_the_client_is_the_right_most_that_is_not_trusted(seen, field, ip):
    assert seen({"X-Forwarded-For": field}) == f"{PLAIN} {ip}"


@pytest.mark.parametrize(
    ("field", "host"),
    [
        ("www.example.com", "www.example.com"),
        ("www.example.com:8443", "www.example.com:8443"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ("http://www.example.com", "www.example.com"),
        ("a.example, b.example", "a.example"),
        ("", "127.0.0.1"),
        ("evil.org/path", "127.0.0.1"),
        ("user@evil.org", "127.0.0.1"),
        ("evil.org#", "127.0.0.1"),
        ("evil org", "127.0.0.1"),
        ("evil\\org", "127.0.0.1"),
        ('evil"><script>', "127.0.0.1"),
        ("evil.org:99999999", "127.0.0.1"),
        ("javascript://evil.org", "127.0.0.1"),
        ("a" * 5000, "127.0.0.1"),
    ],
)
def test_hosts(seen, field, host):
    assert seen({"X-Forwarded-Host": field}) == f"http://{host}/seen 127.0.0.1"


@pytest.mark.parametrize(
    ("field", "scheme"),
    [
        ("https", "https"),
        ("HTTPS , http", "https"),
        ("wss", "https"),
        ("on", "http"),
        ("f//", "http"),
    ],
)
def test_schemes(seen, field, scheme):
    assert seen({"X-Forwarded-Proto": field}) == f"{scheme}://127.0.0.1/seen 127.0.0.1"


@pytest.mark.parametrize(
    ("field", "prefix"),
    [
        ("/shop", "/shop"),
        ("/shop/", "/shop"),
        ("/a/b", "/a/b"),
        ("/", ""),
        ("shop", ""),
        ("//evil.org", ""),
        ("/a//b", ""),
        ("/a/../b", ""),
        ("/.", ""),
        ("/a?b", ""),
        ("/a\\b", ""),
        ("/%2e%2e", ""),
        ("https://evil.org/", ""),
        ("/" + "a" * 2000, ""),
    ],
)
def test_prefixes(seen, field, prefix):
    text = seen({"X-Forwarded-Prefix": field}, prefix="X-Forwarded-Prefix")
    assert text == f"http://127.0.0.1{prefix}/seen 127.0.0.1"


def test_redirects_have_the_outer_name_and_prefix(serve):
    site = serve(Root(), {"tools.proxy.on": True, "tools.proxy.prefix": "X-Forwarded-Prefix"})
    assert site("/go", headers=OUTER)["Location"] == "https://www.example.com/there"
    assert site("/inside", headers=OUTER).text == "https://www.example.com/shop/seen 203.0.113.9"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("for=203.0.113.9", "http://127.0.0.1/seen 203.0.113.9"),
        ('For="[2001:db8:cafe::17]:4711"', "http://127.0.0.1/seen 2001:db8:cafe::17"),
        ("for=203.0.113.9;proto=https;host=a.example", "https://a.example/seen 203.0.113.9"),
        ('for="203.0.113.9" ; proto="https"', "https://127.0.0.1/seen 203.0.113.9"),
        # The first element is what a client has made up.
        (
            "for=1.1.1.1;host=evil.org, for=203.0.113.9;host=a.example",
            "http://a.example/seen 203.0.113.9",
        ),
        # Two proxies of ours: the outer one knows the outer name.
        (
            "for=203.0.113.9;host=a.example, for=10.0.0.1;host=inner",
            "http://a.example/seen 203.0.113.9",
        ),
        (
            "for=1.1.1.1;host=evil.org, for=_hidden;host=a.example",
            "http://a.example/seen 127.0.0.1",
        ),
        ("for=1.1.1.1, for=unknown", "http://127.0.0.1/seen 127.0.0.1"),
        ('host="a\\.example"', "http://a.example/seen 127.0.0.1"),
        ("host=evil.org/x;proto=javascript", PLAIN + " 127.0.0.1"),
        # Malformed: nothing of it counts, not even what could be read.
        ('for=203.0.113.9, for="', PLAIN + " 127.0.0.1"),
        ("for=203.0.113.9;for=203.0.113.8", PLAIN + " 127.0.0.1"),
        ("for 203.0.113.9", PLAIN + " 127.0.0.1"),
        ("", PLAIN + " 127.0.0.1"),
    ],
)
def test_the_standard_field(seen, field, text):
    assert seen({"Forwarded": field}, forwarded="Forwarded") == text


def test_the_standard_field_beats_the_others_only_in_what_it_says(seen):
    text = seen({**OUTER, "Forwarded": "proto=http"}, forwarded="Forwarded")
    assert text == "http://www.example.com/seen 203.0.113.9"
    assert seen(OUTER, "8.8.8.8", forwarded="Forwarded") == f"{PLAIN} 8.8.8.8"


@pytest.mark.parametrize("piece", ['a="\\', 'a="b\\"', "a=b;", ",", " ", "for=[", 'a="'])
def test_long_nonsense_takes_no_long_time(piece):
    trusts = forwarding.truster(("*",))
    began = time.thread_time()
    for read in (forwarding.forwarded, forwarding.client_of):
        read(piece * 20_000, trusts)
    forwarding.host_of(piece * 20_000)
    forwarding.prefix_of("/" + piece * 20_000)
    assert time.thread_time() - began < 2


@pytest.mark.parametrize("native", [False, True], ids=["wsgi", "native"])
def test_over_a_socket(native):
    conf = {"/": {"tools.proxy.on": True, "tools.proxy.trusted": "loopback"}}
    with served(Root(), conf, native) as ask:
        reply = ask("/seen", x_forwarded_for="1.1.1.1, 203.0.113.9", x_forwarded_proto="https")
        assert reply.text.endswith(" 203.0.113.9")
        assert reply.text.startswith("https://127.0.0.1:")
    conf["/"]["tools.proxy.trusted"] = "192.0.2.1"
    with served(Root(), conf, native) as ask:
        reply = ask("/seen", x_forwarded_for="1.1.1.1", x_forwarded_host="evil.org")
        assert reply.text == f"http://127.0.0.1:{ask.address[1]}/seen 127.0.0.1"


@pytest.mark.parametrize("native", [False, True], ids=["wsgi", "native"])
def test_the_client_that_a_balancer_announces(native, monkeypatch):
    from cherrypy._cpserver import Server

    monkeypatch.setattr(Server, "proxy_protocol", "192.0.2.7, 127.0.0.1")
    with served(Root(), {"/": {"tools.proxy.on": True}}, native) as ask:
        with socket.create_connection(ask.address, 10) as balancer:
            balancer.sendall(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n")
            fields = "Host: h\r\nX-Forwarded-For: 198.51.100.1\r\nConnection: close"
            balancer.sendall(f"GET /seen HTTP/1.1\r\n{fields}\r\n\r\n".encode())
            answer = balancer.makefile("rb").read()
        # Whom it announces is no proxy of ours.
        assert answer.endswith(b"http://h/seen 203.0.113.9")
        assert ask("/seen").status == 400
