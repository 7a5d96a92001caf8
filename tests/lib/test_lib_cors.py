"""The tool `cors`: which pages of other sites a browser lets read ours."""

from __future__ import annotations

import re
import time

import pytest
from security_kit import served

import cherrypy
from cherrypy.lib import auth_basic
from cherrypy.lib.cors import is_origin_allowed

APP = "https://app.example.com"
ALLOWED = "Access-Control-Allow-Origin"


class Root:
    def __init__(self):
        self.calls = 0

    @cherrypy.expose
    def index(self):
        self.calls += 1
        return "page"

    @cherrypy.expose
    def own(self):
        cherrypy.response.headers["Vary"] = "Accept-Language"
        return "page"

    @cherrypy.expose
    def boom(self):
        raise RuntimeError

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def streamed(self):
        yield "a"
        yield "b"


def conf(**settings):
    return {"/": {"tools.cors.on": True} | {f"tools.cors.{k}": v for k, v in settings.items()}}


def preflight(ask, path="/", origin=APP, method="PUT", **fields):
    fields = {"access_control_request_method": method, "origin": origin, **fields}
    return ask(path, "OPTIONS", **fields)


def vary(answer):
    return {name.strip() for name in (answer["Vary"] or "").split(",")} - {""}


ENTRIES = [
    (APP, f"{APP} HTTPS://App.Example.com", "https://app.example.com.evil.org https://evil.org"),
    (APP, "", "http://app.example.com https://app.example.com:8443 https://xapp.example.com null"),
    ("https://app.example.com/", APP, "https://app.example.com/"),
    ("https://app.example.com:443", APP, "https://app.example.com:80"),
    ("http://localhost:80", "http://localhost", "http://localhost:8080"),
    ("http://localhost:8080", "http://localhost:8080", "http://localhost"),
    ("https://*.example.com", "https://a.example.com https://a.b.example.com", "https://example.com"),
    ("https://*.example.com", "", "https://a.example.com.evil.org https://evilexample.com"),
    ("https://*.example.com", "", "https://a/.example.com https://.example.com http://a.example.com"),
    ("https://*.example.com:8443", "https://a.example.com:8443", "https://a.example.com"),
    ("*", f"{APP} null http://[::1]:80", "x https:// https://a/b https://a@b"),
    ("null", "null", APP),
    ("moz-extension://abc", "moz-extension://abc", APP),
    (re.compile(r"https://[a-z]+\.test"), "https://a.test", "https://a.test.evil xhttps://a.test"),
    (str.islower, "https://a.test", "HTTPS://a.test a/b"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(ENTRIES)))
def test_entries(number):
    entry, yes, no = ENTRIES[number]
    for origins in (entry, [entry], ("https://other.example", entry)):
        for origin in yes.split():
            assert is_origin_allowed(origin, origins), origin
        for origin in no.split():
            assert not is_origin_allowed(origin, origins), origin
    assert not is_origin_allowed(APP, ())


@pytest.mark.parametrize(
    "entry",
    ["app.example.com", "", "https://", "https://a/b", "https://*.*.a", "https://a*.b", "a b"],
)
def test_an_entry_that_is_no_origin(entry):
    with pytest.raises(ValueError, match="is no origin"):
        is_origin_allowed(APP, [entry])


@pytest.mark.parametrize("native", [False, True])
def test_responses_of_all_kinds(native):
    root = Root()
    settings = conf(origins=[APP], credentials=True, expose_headers=["X-Total", "ETag"])
    with served(root, settings, native) as ask:
        for path, status in [("/", 200), ("/streamed", 200), ("/nothing", 404), ("/boom", 500)]:
            answer = ask(path, origin=APP)
            assert answer.status == status
            assert answer[ALLOWED] == APP
            assert answer["Access-Control-Allow-Credentials"] == "true"
            assert answer["Access-Control-Expose-Headers"] == "X-Total, ETag"
            assert "Origin" in vary(answer)
            for fields in ({}, {"origin": "https://evil.org"}, {"origin": "null"}):
                answer = ask(path, **fields)
                assert answer.status == status
                assert not [name for name in answer.headers if name.startswith("Access-Control-")]
                assert "Origin" in vary(answer)  # or a cache gives this one to the other
        assert vary(ask("/own", origin=APP)) == {"Accept-Language", "Origin"}
        # It keeps nobody out: a request without a preflight has been made already.
        assert ask("/", origin="https://evil.org").text == "page"


@pytest.mark.parametrize("native", [False, True])
def test_a_preflight_is_answered_before_anything_else(native):
    root = Root()
    settings = conf(
        origins=[APP], methods=["GET", "PUT"], headers=["X-Token", "Content-Type"], max_age=60
    )
    settings["/"] |= {
        "tools.auth_basic.on": True,
        "tools.auth_basic.realm": "r",
        "tools.auth_basic.checkpassword": auth_basic.checkpassword_dict({"u": "p"}),
        "tools.allow.on": True,
        "tools.allow.methods": ["PUT"],
        "tools.sessions.on": True,
        "tools.referer.on": True,
        "tools.referer.pattern": "x",
    }
    with served(root, settings, native) as ask:
        answer = preflight(ask)
        assert (answer.status, answer.text) == (204, "")
        assert answer[ALLOWED] == APP
        assert answer["Access-Control-Allow-Methods"] == "GET, PUT"
        assert answer["Access-Control-Allow-Headers"] == "X-Token, Content-Type"
        assert answer["Access-Control-Max-Age"] == "60"
        assert answer["Access-Control-Allow-Credentials"] is None
        assert answer["Set-Cookie"] is None
        assert vary(answer) == {
            "Origin",
            "Access-Control-Request-Method",
            "Access-Control-Request-Headers",
        }
        assert root.calls == 0
        answer = preflight(ask, origin="https://evil.org")
        assert answer.status == 403
        assert answer[ALLOWED] is None
        assert "Origin" in vary(answer)
        # The request itself: its origin may read that it has to log in.
        answer = ask("/", "PUT", "", origin=APP, referer="x")
        assert (answer.status, answer[ALLOWED]) == (401, APP)
        # What is no preflight goes on.
        assert ask("/", "OPTIONS", origin=APP).status == 405
        assert ask("/", "OPTIONS", access_control_request_method="PUT").status == 405


def test_a_preflight_of_what_the_dispatcher_has_not():
    class Verbs:
        exposed = True

        def GET(self):
            return "got"

    settings = conf(origins=[APP])
    settings["/"]["request.dispatch"] = cherrypy.dispatch.MethodDispatcher()
    with served(Verbs(), settings) as ask:
        assert preflight(ask).status == 204
        assert preflight(ask, "/nothing").status == 204
        assert ask("/", origin=APP).text == "got"


def test_everybody():
    with served(Root(), conf(origins="*")) as ask:
        for fields in ({}, {"origin": APP}, {"origin": "null"}):
            answer = ask("/", **fields)
            assert answer[ALLOWED] == "*"
            assert answer["Access-Control-Allow-Credentials"] is None
            assert vary(answer) == set()  # it is the same for all
        assert preflight(ask, origin="null")[ALLOWED] == "*"


@pytest.mark.parametrize("origins", ["*", ["*"], [APP, " * "]])
def test_credentials_are_never_for_everybody(origins):
    with served(Root(), conf(origins=origins, credentials=True)) as ask:
        for answer in (ask("/", origin=APP), preflight(ask)):
            assert answer.status == 500
            assert answer[ALLOWED] is None
            assert answer["Access-Control-Allow-Credentials"] is None


def test_whatever_is_asked_for():
    with served(Root(), conf(origins=[APP], methods="*", headers="*", credentials=True)) as ask:
        asked = "authorization,X-Token , x y,\x80, " + ",".join(f"x-{n}" for n in range(500))
        answer = preflight(ask, method="PATCH", access_control_request_headers=asked)
        assert answer["Access-Control-Allow-Methods"] == "PATCH"
        names = answer["Access-Control-Allow-Headers"].split(", ")
        assert names[:2] == ["authorization", "X-Token"]
        assert 50 < len(names) <= 100
        assert "x y" not in names
        assert answer[ALLOWED] == APP
        assert preflight(ask, method="a b")["Access-Control-Allow-Methods"] in (None, "")
        assert preflight(ask)["Access-Control-Allow-Headers"] is None


def test_private_networks_only_when_it_is_said():
    wants = {"access_control_request_private_network": "true"}
    field = "Access-Control-Allow-Private-Network"
    with served(Root(), conf(origins=[APP])) as ask:
        assert preflight(ask, **wants)[field] is None
    with served(Root(), conf(origins=[APP], private_network=True, max_age=None)) as ask:
        answer = preflight(ask, **wants)
        assert answer[field] == "true"
        assert answer["Access-Control-Max-Age"] is None
        assert preflight(ask)[field] is None
        assert preflight(ask, origin="https://evil.org", **wants)[field] is None


def test_each_path_has_its_own():
    settings = conf(origins=[APP])
    settings["/own"] = {"tools.cors.origins": "*"}
    settings["/streamed"] = {"tools.cors.on": False}
    with served(Root(), settings) as ask:
        assert ask("/", origin=APP)[ALLOWED] == APP
        assert ask("/own", origin=APP)[ALLOWED] == "*"
        answer = ask("/streamed", origin=APP)
        assert answer[ALLOWED] is None
        assert vary(answer) == set()


def test_a_list_that_is_changed_counts_at_once():
    origins = [APP]
    with served(Root(), conf(origins=origins)) as ask:
        assert ask("/", origin="https://new.example")[ALLOWED] is None
        origins.append("https://new.example")
        assert ask("/", origin="https://new.example")[ALLOWED] == "https://new.example"


def test_a_cache_keeps_the_answers_apart():
    settings = conf(origins=[APP, "https://b.example"])
    settings["/"] |= {
        "tools.caching.on": True,
        "tools.etags.on": True,
        "tools.etags.autotags": True,
    }
    root = Root()
    with served(root, settings) as ask:
        for _ in range(2):
            for origin in (APP, "https://b.example", "https://evil.org", None):
                wanted = origin if origin != "https://evil.org" else None
                assert ask("/", origin=origin)[ALLOWED] == wanted
        tag = ask("/", origin=APP)["ETag"]
        answer = ask("/", origin=APP, if_none_match=tag)
        assert (answer.status, answer[ALLOWED]) == (304, APP)
        assert root.calls <= 4


@pytest.mark.parametrize(
    "settings",
    [
        {"methods": ["GET, PUT"]},
        {"headers": ["a b"]},
        {"origins": ["example.com"]},
        {"headers": ["a\r\nb: c"]},
    ],
)
def test_a_setting_that_is_none(settings):
    with served(Root(), conf(**{"origins": [APP], **settings})) as ask:
        answer = preflight(ask)
        assert answer.status == 500
        assert answer["b"] is None


def test_rubbish_from_peers():
    settings = conf(
        origins=[APP, re.compile("https://[a-z]+"), "https://*.example.com"], headers="*"
    )
    with served(Root(), settings) as ask:
        before = time.process_time()
        for origin in ["", "a", "://", "https://" + "a." * 20_000, "https://" + "a" * 40_000, "\xff",
                       "https://a\x80", "null null", f"{APP}, {APP}", f"{APP} https://evil.org", "https://a:b@c",
                       "https://" + "a." * 60 + "example.org", "=?utf-8?q?https://1?="]:  # fmt: skip
            answer = ask("/", origin=origin)
            assert answer.status == 200
            assert answer[ALLOWED] is None, origin
            answer = preflight(ask, origin=origin, access_control_request_headers="," * 30_000)
            assert answer.status == 403
        assert time.process_time() - before < 2
