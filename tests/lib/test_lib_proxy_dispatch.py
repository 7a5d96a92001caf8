"""What a proxy says is known when the dispatcher is asked, and hooks that come before the tool's."""

from __future__ import annotations

import pytest
from security_kit import served

import cherrypy
from cherrypy.framework.dispatch.objects import Dispatcher
from cherrypy.framework.dispatch.wrappers import VirtualHost
from cherrypy.framework.helpers import expose
from cherrypy.framework.tools import Tool, default_toolbox
from cherrypy.lib import cptools, forwarding

OUTER = {
    "X-Forwarded-Host": "www.example.com",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/shop",
}
SEEN = "https://www.example.com/shop/seen /shop 203.0.113.9"
INNER = "http://127.0.0.1/seen  127.0.0.1"
ON = {"tools.proxy.on": True, "tools.proxy.prefix": "X-Forwarded-Prefix"}


def view():
    request = cherrypy.request
    return f"{cherrypy.url()} {request.script_name} {request.remote.ip}"


class Looking(Dispatcher):
    """A dispatcher of a program's own, that looks before it finds."""

    def __call__(self, path):
        seen.append(view())
        super().__call__(path)


seen: list[str] = []


class Root:
    @expose
    def seen(self):
        return view()

    @expose
    @cherrypy.tools.proxy(local="X-Own-Host", prefix="X-Forwarded-Prefix")
    def own(self):
        return view()

    @expose
    @cherrypy.config(**{"tools.proxy.on": False})
    def off(self):
        return view()

    @expose
    def inside(self):
        raise cherrypy.InternalRedirect("/seen")


@pytest.fixture(autouse=True)
def clean():
    seen.clear()
    yield
    for key in [key for key in cherrypy.config if key.startswith("tools.proxy")]:
        del cherrypy.config[key]


@pytest.mark.parametrize("where", ["section", "site", "path", "both"])
def test_the_dispatcher_sees_the_outer_addresses(serve, where):
    conf = {"/": {"request.dispatch": Looking()}}
    if where == "section":
        conf["/"].update(ON)
    elif where == "path":
        conf["/seen"] = ON
    elif where == "site":
        cherrypy.config.update(ON)
    else:
        cherrypy.config.update(
            {"tools.proxy.on": False, "tools.proxy.prefix": "X-Forwarded-Prefix"}
        )
        conf["/"]["tools.proxy.on"] = True
    site = serve(Root(), sections=conf)
    assert site("/seen", headers=OUTER).text == SEEN
    assert seen == [SEEN]
    assert (
        site("/seen", headers=OUTER, REMOTE_ADDR="8.8.8.8").text == "http://127.0.0.1/seen  8.8.8.8"
    )
    assert seen[1:] == ["http://127.0.0.1/seen  8.8.8.8"]
    # A client that says nothing, and what the one before has left behind.
    assert site("/seen").text == INNER


def test_it_is_off_where_it_is_off(serve):
    conf = {"/": {"request.dispatch": Looking(), **ON}, "/seen": {"tools.proxy.on": False}}
    assert serve(Root(), sections=conf)("/seen", headers=OUTER).text == INNER
    assert seen == [INNER]


def test_a_page_may_have_it_off(serve):
    site = serve(Root(), {"request.dispatch": Looking(), **ON})
    assert site("/off", headers=OUTER).text == INNER.replace("seen", "off")
    assert seen == [SEEN.replace("seen", "off")]


def test_what_a_page_says_itself_counts_in_the_end(serve):
    site = serve(Root(), {"request.dispatch": Looking(), **ON})
    answer = site("/own", headers={**OUTER, "X-Own-Host": "own.example"})
    assert answer.text == "https://own.example/shop/own /shop 203.0.113.9"
    assert seen == ["https://www.example.com/shop/own /shop 203.0.113.9"]
    # No field of its own: neither is that of the other one left behind.
    assert site("/own", headers=OUTER).text == "https://127.0.0.1/shop/own /shop 203.0.113.9"


def test_an_inner_redirect_does_not_do_it_twice(serve):
    site = serve(Root(), {"request.dispatch": Looking(), **ON})
    assert site("/inside", headers=OUTER).text == SEEN
    assert seen[1:] == [SEEN]


def test_what_somebody_sets_in_between_is_not_taken_back(serve):
    class Setting(Looking):
        def __call__(self, path):
            super().__call__(path)
            cherrypy.request.remote.ip = "192.168.0.7"
            cherrypy.request.script_name = "/mine"

    site = serve(Root(), {"request.dispatch": Setting(), **ON})
    fields = {key: value for key, value in OUTER.items() if key != "X-Forwarded-For"}
    assert site("/seen", headers=fields).text == (
        "https://www.example.com/shop/mine/seen /shop/mine 192.168.0.7"
    )


def test_a_tool_of_ones_own_is_left_to_its_hook_point(serve, monkeypatch):
    order = []

    def own(**settings):
        order.append("tool")
        cptools.proxy(**settings)

    class Own(Tool):
        def __init__(self):
            super().__init__("before_request_body", cptools.proxy, "proxy", 30)

    class Ordered(Dispatcher):
        def __call__(self, path):
            order.append(view())
            super().__call__(path)

    for tool in (Tool("before_request_body", own, "proxy", 30), Own()):
        order.clear()
        monkeypatch.setattr(default_toolbox, "proxy", tool)
        site = serve(Root(), {"request.dispatch": Ordered(), **ON})
        assert site("/seen", headers=OUTER).text == SEEN
        assert order == ([INNER, "tool"] if type(tool) is Tool else [INNER])


class Hosts:
    class one:
        @expose
        def index(self):
            return "one"

    class two:
        @expose
        def index(self):
            return "two"

    one, two = one(), two()

    @expose
    def index(self):
        return "none"


VHOSTS = {"one.example": "/one", "two.example": "/two"}


@pytest.mark.parametrize(
    ("fields", "peer", "more", "expected"),
    [
        ({"X-Forwarded-Host": "two.example"}, "127.0.0.1", {}, "two"),
        ({"X-Forwarded-Host": "two.example, inner"}, "127.0.0.1", {}, "two"),
        # Nobody who is not trusted gets into a site by a field.
        ({"X-Forwarded-Host": "two.example"}, "8.8.8.8", {}, "one"),
        ({"X-Forwarded-Host": "two.example/x"}, "127.0.0.1", {}, "one"),
        ({"X-Forwarded-Host": "two.example"}, "127.0.0.1", {"local": None}, "one"),
        ({"X-Own": "two.example"}, "127.0.0.1", {"local": "X-Own"}, "two"),
        ({"Forwarded": "host=two.example"}, "127.0.0.1", {"forwarded": "Forwarded"}, "two"),
        ({}, "127.0.0.1", {"base": "https://two.example"}, "one"),
    ],
)
def test_virtual_hosts_are_those_of_the_outside(serve, fields, peer, more, expected):
    conf = {"request.dispatch": VirtualHost(**VHOSTS), "tools.proxy.on": True}
    conf.update({f"tools.proxy.{name}": value for name, value in more.items()})
    site = serve(Hosts(), conf)
    assert site("/", headers={"Host": "one.example", **fields}, REMOTE_ADDR=peer).text == expected
    conf["tools.proxy.on"] = False
    expected = "two" if "X-Forwarded-Host" in fields and "/" not in str(fields) else "one"
    answer = serve(Hosts(), conf)("/", headers={"Host": "one.example", **fields}, REMOTE_ADDR=peer)
    if "X-Forwarded-Host" not in fields or "/" not in fields["X-Forwarded-Host"]:
        assert answer.text == expected  # as it always was
    conf.update(
        {
            "tools.proxy.on": True,
            "request.dispatch": VirtualHost(use_x_forwarded_host=False, **VHOSTS),
        }
    )
    assert serve(Hosts(), conf)("/", headers={"Host": "one.example", **fields}).text == "one"


def test_the_outer_name_is_judged_before_other_tools(serve):
    began = []
    default_toolbox.began = Tool("on_start_resource", lambda: began.append(cherrypy.request.base))
    try:
        conf = {
            **ON,
            "tools.began.on": True,
            "tools.allowed_hosts.on": True,
            "tools.allowed_hosts.hosts": ["127.0.0.1", "www.example.com"],
        }
        site = serve(Root(), conf)
        assert site("/seen", headers=OUTER).text == SEEN
        assert began == ["https://www.example.com"]
        refused = {**OUTER, "X-Forwarded-Host": "evil.example"}
        assert site("/seen", headers=refused).status == 400
        assert began == ["https://www.example.com"]
    finally:
        del default_toolbox.began


# ------------------------------------------------------------------------------------- ports


@pytest.mark.parametrize(
    ("fields", "base"),
    [
        ({"X-Forwarded-Port": "8443"}, "http://127.0.0.1:8443"),
        ({"X-Forwarded-Port": "80"}, "http://127.0.0.1"),
        ({"X-Forwarded-Port": "443", "X-Forwarded-Proto": "https"}, "https://127.0.0.1"),
        ({"X-Forwarded-Port": "80", "X-Forwarded-Proto": "https"}, "https://127.0.0.1:80"),
        ({"X-Forwarded-Port": "8443, 80"}, "http://127.0.0.1:8443"),
        ({"X-Forwarded-Port": "81", "Host": "a.example:8080"}, "http://a.example:81"),
        ({"X-Forwarded-Port": "80", "Host": "a.example:8080"}, "http://a.example"),
        ({"X-Forwarded-Port": "81", "X-Forwarded-Host": "a.example:8080"}, "http://a.example:81"),
        (
            {"X-Forwarded-Port": "81", "X-Forwarded-Host": "[2001:db8::1]"},
            "http://[2001:db8::1]:81",
        ),
        ({"X-Forwarded-Port": "81", "X-Forwarded-Host": "[::1]:8"}, "http://[::1]:81"),
        ({"X-Forwarded-Port": "81", "Forwarded": "host=a.example"}, "http://a.example"),
        ({"X-Forwarded-Port": "81", "Forwarded": "proto=https"}, "https://127.0.0.1:81"),
        *(
            ({"X-Forwarded-Port": bad}, "http://127.0.0.1")
            for bad in ("", "0", "65536", "-1", "x", "٣", "8 1", "81/evil", "1" * 9000)
        ),
    ],
)
def test_the_outer_port(serve, fields, base):
    conf = {
        "tools.proxy.on": True,
        "tools.proxy.port": "X-Forwarded-Port",
        "tools.proxy.forwarded": "Forwarded",
    }
    fields = {key: value.encode().decode("latin-1") for key, value in fields.items()}
    assert serve(Root(), conf)("/seen", headers=fields).text == f"{base}/seen  127.0.0.1"
    # It takes one that is believed, and who has asked for it.
    plain = serve(Root(), {"tools.proxy.on": True})("/seen", headers={"X-Forwarded-Port": "81"})
    assert plain.text == INNER
    answer = serve(Root(), conf)("/seen", headers={"X-Forwarded-Port": "81"}, REMOTE_ADDR="8.8.8.8")
    assert answer.text == "http://127.0.0.1/seen  8.8.8.8"


def test_a_base_that_is_a_whole_url_keeps_its_port(serve):
    conf = {
        "tools.proxy.on": True,
        "tools.proxy.port": "X-Forwarded-Port",
        "tools.proxy.base": "https://www.example.com",
    }
    site = serve(Root(), conf)
    answer = site("/seen", headers={"X-Forwarded-Port": "81"})
    assert answer.text == "https://www.example.com/seen  127.0.0.1"


def test_ports():
    assert forwarding.port_of("0443") == "443"
    assert forwarding.port_of("²") is None


# ------------------------------------------------------------------------------------ sockets


@pytest.mark.parametrize("native", [False, True], ids=["wsgi", "native"])
def test_over_a_socket_each_request_by_itself(native):
    conf = {"/": {**ON, "request.dispatch": Looking()}}
    with served(Root(), conf, native) as ask:
        inner = f"http://127.0.0.1:{ask.address[1]}/seen  127.0.0.1"
        fields = {key.lower().replace("-", "_"): value for key, value in OUTER.items()}
        for _ in range(2):
            assert ask("/seen", **fields).text == SEEN
            assert ask("/seen").text == inner
        assert seen == [SEEN, inner] * 2
        conf["/"]["tools.proxy.on"] = False  # while it serves
    seen.clear()


@pytest.mark.parametrize("native", [False, True], ids=["wsgi", "native"])
def test_it_is_switched_on_while_the_site_serves(native):
    conf = {"/": {"request.dispatch": Looking()}}
    with served(Root(), conf, native) as ask:
        fields = {key.lower().replace("-", "_"): value for key, value in OUTER.items()}
        assert ask("/seen", **fields).text.startswith("http://127.0.0.1:")
        cherrypy.config.update(ON)
        assert ask("/seen", **fields).text == SEEN
        assert seen[-1] == SEEN


# ------------------------------------------------------------------ switched on by the program


class Below:
    """An object on the way."""

    _cp_config = ON

    @expose
    def seen(self):
        return view()

    @expose
    @cherrypy.config(**{"tools.proxy.on": False})
    def off(self):
        return view()


class Switched(Root):
    """A root that says itself that there is a proxy."""

    _cp_config = ON
    below = Below()


class Plain(Root):
    below = Below()

    @expose
    @cherrypy.tools.proxy(prefix="X-Forwarded-Prefix")
    def page(self):
        return view()


@pytest.mark.parametrize("where", ["class", "object"])
def test_what_the_root_says_is_known_before_the_dispatcher(serve, where):
    root = Switched() if where == "class" else Root()
    if where == "object":
        root._cp_config = ON
    site = serve(root, {"request.dispatch": Looking()})
    assert site("/seen", headers=OUTER).text == SEEN
    assert seen == [SEEN]
    assert site("/seen", headers=OUTER, REMOTE_ADDR="8.8.8.8").text.endswith("seen  8.8.8.8")
    assert site("/off", headers=OUTER).text == INNER.replace("seen", "off")


def test_sections_go_over_the_root_and_the_root_over_the_site(serve):
    cherrypy.config.update({"tools.proxy.on": False, "tools.proxy.local": "X-Site"})
    site = serve(Switched(), sections={"/": {"request.dispatch": Looking()}, "/off": {}})
    assert site("/seen", headers={**OUTER, "X-Site": "site.example"}).text == SEEN.replace(
        "www.example.com", "site.example"
    )
    assert seen == ["https://site.example/shop/seen /shop 203.0.113.9"]
    off = serve(Switched(), {"request.dispatch": Looking(), "tools.proxy.on": False})
    assert off("/seen", headers=OUTER).text == INNER
    assert seen[1:] == [INNER]


def test_virtual_hosts_are_those_of_the_outside_when_the_root_says_so(serve):
    class Hosted(Hosts):
        _cp_config = {"tools.proxy.on": True, "tools.proxy.local": "X-Own"}

    site = serve(Hosted(), {"request.dispatch": VirtualHost(**VHOSTS)})
    fields = {"Host": "one.example", "X-Own": "two.example"}
    assert site("/", headers=fields).text == "two"
    assert site("/", headers=fields, REMOTE_ADDR="8.8.8.8").text == "one"


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("path", ["/below/seen", "/page"])
def test_what_is_said_on_the_way_is_done_before_any_hook(serve, path, early):
    """As soon as the page is found, also where the request has hooks of its own."""

    def look():
        seen.append(view())

    default_toolbox.look = Tool("on_start_resource", look, priority=1)
    expected = SEEN.replace("/seen", path)
    try:
        conf = {"tools.look.on": True}
        if early:
            # Something that takes the slow way through the configuration.
            conf["hooks.before_handler"] = f"{__name__}.nothing_at_all"
        site = serve(Plain(), conf)
        for _ in range(2):
            assert site(path, headers=OUTER).text == expected
        assert seen == [expected] * 2
        assert site(path).text.endswith(f"{path}  127.0.0.1")
        assert site("/below/off", headers=OUTER).text.endswith("/below/off  127.0.0.1")
    finally:
        del default_toolbox.look


def nothing_at_all():
    pass


def test_a_root_may_begin_and_cease_to_say_it(serve):
    root = Root()
    site = serve(root, {"request.dispatch": Looking()})
    assert site("/seen", headers=OUTER).text == INNER
    root._cp_config = ON
    assert site("/seen", headers=OUTER).text == SEEN
    del root._cp_config
    assert site("/seen", headers=OUTER).text == INNER
    assert seen == [INNER, SEEN, INNER]


def test_the_native_servers_see_it_before_the_dispatcher():
    root = Switched()
    with served(root, {"/": {"request.dispatch": Looking()}}, native=True) as get:
        fields = {name.replace("-", "_"): value for name, value in OUTER.items()}
        for _ in range(3):
            assert get("/seen", **fields).text == SEEN
    assert seen == [SEEN] * 3
