"""The tool `secure_headers`, and the recipe `secureheaders` of the Advanced page as it stands there."""

from __future__ import annotations

import re

import pytest
from security_kit import served

import cherrypy

FIELDS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; "
        "img-src 'self' data:; object-src 'none'; style-src 'self' 'unsafe-inline'"
    ),
}


class Root:
    @cherrypy.expose
    def index(self):
        return "Hello"

    @cherrypy.expose
    def own(self):
        cherrypy.response.headers["X-Frame-Options"] = "SAMEORIGIN"
        return "own"

    @cherrypy.expose
    def scripted(self):
        nonce = cherrypy.request.csp_nonce
        assert nonce == cherrypy.request.csp_nonce
        return f'<script nonce="{nonce}">1</script>'

    @cherrypy.expose
    def tagged(self):
        cherrypy.response.headers["ETag"] = '"x"'
        return cherrypy.request.csp_nonce

    @cherrypy.expose
    def streamed(self):
        yield b"one "
        yield cherrypy.request.csp_nonce.encode()

    streamed._cp_config = {"response.stream": True}

    @cherrypy.expose
    def boom(self):
        raise ValueError("boom")

    @cherrypy.expose
    def no(self):
        raise cherrypy.HTTPError(403)

    @cherrypy.expose
    def away(self):
        raise cherrypy.HTTPRedirect("/")

    @cherrypy.expose
    def where(self):
        return cherrypy.request.base


ON = {"tools.secure_headers.on": True}


def told(answer):
    """What of the fields the answer has."""
    return {name: answer[name] for name in FIELDS if answer[name] is not None}


# ------------------------------------------------------------------- the recipe of the page


@pytest.fixture
def recipe():
    """Take the recipe's tool away afterwards."""
    yield
    del cherrypy.tools.secureheaders


CONFIG_FILE = """
    [/]
    tools.secureheaders.on = True
"""


@pytest.mark.parametrize("native", [False, True])
def test_the_recipe_as_printed(recipe, native):
    def secureheaders():
        headers = cherrypy.response.headers
        headers["X-Frame-Options"] = "DENY"
        headers["X-XSS-Protection"] = "1; mode=block"
        headers["Content-Security-Policy"] = "default-src='self'"

    # set the priority according to your needs if you are hooking something
    # else on the 'before_finalize' hook point.
    cherrypy.tools.secureheaders = cherrypy.Tool("before_finalize", secureheaders, priority=60)

    with served(Root(), CONFIG_FILE, native) as ask:
        for path, status in (("/", 200), ("/missing", 404), ("/no", 403), ("/away", 303)):
            answer = ask(path)
            assert answer.status == status
            assert answer["X-Frame-Options"] == "DENY"
            assert answer["X-XSS-Protection"] == "1; mode=block"
            assert answer["Content-Security-Policy"] == "default-src='self'"


@pytest.mark.parametrize("native", [False, True])
def test_the_recipe_by_register(recipe, native):
    @cherrypy.tools.register("before_finalize", priority=60)
    def secureheaders():
        headers = cherrypy.response.headers
        headers["X-Frame-Options"] = "DENY"
        headers["X-XSS-Protection"] = "1; mode=block"
        headers["Content-Security-Policy"] = "default-src 'self';"
        # only add Strict-Transport headers if we're actually using SSL; see the ietf spec
        if cherrypy.server.ssl_certificate != None and cherrypy.server.ssl_private_key != None:  # noqa: E711 as printed
            headers["Strict-Transport-Security"] = "max-age=31536000"  # one year

    assert cherrypy.tools.secureheaders._priority == 60
    with served(Root(), CONFIG_FILE, native) as ask:
        answer = ask("/")
        assert answer.text == "Hello"
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["Content-Security-Policy"] == "default-src 'self';"
        assert answer["Strict-Transport-Security"] is None
    with served(Root(), "[/]\ntools.secureheaders.on = False", native) as ask:
        assert ask("/")["X-Frame-Options"] is None


def test_the_recipe_tells_tls(recipe, monkeypatch):
    """The condition that the page adds holds once the server has its two files."""

    @cherrypy.tools.register("before_finalize", priority=60)
    def secureheaders():
        if cherrypy.server.ssl_certificate != None and cherrypy.server.ssl_private_key != None:  # noqa: E711 as printed
            cherrypy.response.headers["Strict-Transport-Security"] = "max-age=31536000"

    monkeypatch.setattr(cherrypy.server, "ssl_certificate", "cert.pem")
    monkeypatch.setattr(cherrypy.server, "ssl_private_key", "key.pem")
    with served(Root(), CONFIG_FILE) as ask:
        assert ask("/")["Strict-Transport-Security"] == "max-age=31536000"


def test_session_settings_of_the_page():
    config = """
        [/]
        tools.sessions.on = True
        # increase security on sessions
        tools.sessions.secure = True
        tools.sessions.httponly = True
    """
    with served(Root(), config) as ask:
        cookie = ask("/")["Set-Cookie"]
        assert {"HttpOnly", "Secure", "SameSite=Lax"} <= set(cookie.split("; "))
    config = config.replace("True", "False").replace("on = False", "on = True")
    with served(Root(), config) as ask:
        cookie = ask("/")["Set-Cookie"]
        assert cookie.startswith("session_id=")
        assert not {"HttpOnly", "Secure"} & set(cookie.split("; "))


# ------------------------------------------------------------------------- the built-in tool


@pytest.mark.parametrize("native", [False, True])
def test_every_answer_has_the_fields(native):
    with served(Root(), {"/": ON}, native) as ask:
        for path, status in (
            ("/", 200),
            ("/missing", 404),
            ("/no", 403),
            ("/boom", 500),
            ("/away", 303),
        ):
            answer = ask(path)
            assert (answer.status, told(answer)) == (status, FIELDS), path
            assert answer["Strict-Transport-Security"] is None


def test_off_means_nothing():
    with served(Root(), {"/": {}}) as ask:
        assert told(ask("/")) == {}


def test_what_the_handler_says_stays():
    with served(Root(), {"/": ON}) as ask:
        assert ask("/own").headers.get_all("X-Frame-Options") == ["SAMEORIGIN"]
    with served(Root(), {"/": {**ON, "tools.secure_headers.overwrite": True}}) as ask:
        assert ask("/own").headers.get_all("X-Frame-Options") == ["DENY"]


def test_a_path_of_its_own():
    config = """
        [/]
        tools.secure_headers.on = True
        tools.secure_headers.frame_options = 'SAMEORIGIN'
        [/own]
        tools.secure_headers.frame_options = None
        tools.secure_headers.csp = "default-src 'none'"
        tools.secure_headers.report_only = True
        [/no]
        tools.secure_headers.on = False
    """
    with served(Root(), config) as ask:
        assert ask("/")["X-Frame-Options"] == "SAMEORIGIN"
        answer = ask("/own")
        assert answer["Content-Security-Policy"] is None
        assert answer["Content-Security-Policy-Report-Only"] == "default-src 'none'"
        assert told(ask("/no")) == {}


def nonce_in(answer):
    found = re.search(r"'nonce-([^']+)'", answer["Content-Security-Policy"] or "")
    return found and found[1]


@pytest.mark.parametrize("native", [False, True])
def test_a_nonce_that_is_asked_for_is_in_the_policy(native):
    with served(Root(), {"/": ON}, native) as ask:
        first, second = ask("/scripted"), ask("/scripted")
        for answer in (first, second):
            nonce = nonce_in(answer)
            assert len(nonce) == 32  # 128 bits
            assert f'nonce="{nonce}"' in answer.text
            policy = answer["Content-Security-Policy"].split("; ")
            assert f"script-src 'self' 'nonce-{nonce}'" in policy
            assert "style-src 'self' 'unsafe-inline'" in policy
        assert nonce_in(first) != nonce_in(second)
        assert nonce_in(ask("/")) is None


def test_a_policy_with_a_placeholder_has_it_always():
    conf = {
        **ON,
        "tools.secure_headers.csp": "script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'",
    }
    with served(Root(), {"/": conf}) as ask:
        nonce = nonce_in(ask("/"))
        assert nonce
        assert nonce != nonce_in(ask("/"))
        answer = ask("/streamed")
        assert answer.text == f"one {nonce_in(answer)}"
        assert answer["Content-Security-Policy"].count(nonce_in(answer)) == 2
        assert nonce_in(ask("/boom"))


@pytest.mark.parametrize(
    ("policy", "sent"),
    [
        ("script-src 'none'", "script-src 'nonce-N'"),
        ("default-src 'none'", "default-src 'none'; script-src 'nonce-N'"),
        ("Script-Src https: ;; img-src *", "Script-Src https: 'nonce-N'; img-src *"),
        ("img-src *", "img-src *"),
    ],
)
def test_the_nonce_among_other_sources(policy, sent):
    conf = {**ON, "tools.secure_headers.csp": policy}
    with served(Root(), {"/": conf}) as ask:
        answer = ask("/scripted")
        nonce = re.search('nonce="(.*?)"', answer.text)[1]
        assert answer["Content-Security-Policy"].replace(nonce, "N") == sent


def test_a_304_leaves_the_nonce_of_the_kept_page_alone():
    conf = {**ON, "tools.etags.on": True}
    with served(Root(), {"/": conf}) as ask:
        assert nonce_in(ask("/tagged"))
        answer = ask("/tagged", if_none_match='"x"')
        assert answer.status == 304
        assert answer["Content-Security-Policy"] is None
        assert answer["X-Frame-Options"] == "DENY"


def test_nobody_is_served_no_nonce():
    assert cherrypy.request.csp_nonce == ""


@pytest.mark.parametrize(
    ("more", "sent"),
    [
        ({"hsts": 31536000}, "max-age=31536000"),
        ({"hsts": 60, "hsts_subdomains": True}, "max-age=60; includeSubDomains"),
        ({"hsts": 60, "hsts_preload": True}, "max-age=60; includeSubDomains; preload"),
        ({"hsts": 0}, "max-age=0"),
        ({"hsts": None}, None),
    ],
)
def test_strict_transport_security_by_https_only(serve, more, sent):
    conf = {**ON, **{f"tools.secure_headers.{name}": value for name, value in more.items()}}
    site = serve(Root(), conf)
    assert site("/", scheme="https")["Strict-Transport-Security"] == sent
    assert site("/boom", scheme="https")["Strict-Transport-Security"] == sent
    assert site("/")["Strict-Transport-Security"] is None


def test_strict_transport_security_behind_a_proxy():
    conf = {**ON, "tools.secure_headers.hsts": 60, "tools.proxy.on": True}
    with served(Root(), {"/": conf}) as ask:
        assert ask("/")["Strict-Transport-Security"] is None
        assert ask("/", x_forwarded_proto="https")["Strict-Transport-Security"] == "max-age=60"
