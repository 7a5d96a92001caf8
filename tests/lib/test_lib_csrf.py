"""The tool `csrf`: what other sites make browsers send is refused."""

from __future__ import annotations

import re
import socket

import pytest
from security_kit import served

import cherrypy
from cherrypy.lib import csrf
from cherrypy.lib.csrf import check_token, hidden_field, make_token


class Root:
    @cherrypy.expose
    def index(self):
        return hidden_field()

    @cherrypy.expose
    def plain(self):
        return "no form"

    @cherrypy.expose
    def save(self, text=""):
        return f"saved {text}"

    @cherrypy.expose
    def hook(self, text=""):
        return f"called {text}"

    @cherrypy.expose
    @cherrypy.tools.json_in()
    def json(self):
        return str(cherrypy.request.json)

    @cherrypy.expose
    def delete(self):
        return "deleted"

    @cherrypy.expose
    def login(self):
        cherrypy.session["user"] = "alice"
        cherrypy.tools.sessions.regenerate()
        return "welcome"


COOKIE = {"/": {"tools.csrf.on": True}}
SESSION = {"/": {"tools.csrf.on": True, "tools.sessions.on": True}}


def token_in(answer):
    return re.search('value="([0-9a-f]{80})"', answer.text)[1]


def test_tokens():
    secret = "5ec1e7"
    one, two = make_token(secret), make_token(secret)
    assert one != two
    assert check_token(secret, one)
    assert check_token(secret, two)
    assert not check_token("other", one)
    for bad in ("", one[:-1], one + "0", "0" * 80, "ä" * 80, one[::-1], secret):
        assert not check_token(secret, bad)


@pytest.mark.parametrize("conf", [COOKIE, SESSION], ids=["cookie", "session"])
@pytest.mark.parametrize("native", [False, True])
def test_a_form_goes_and_comes_back(conf, native):
    with served(Root(), conf, native) as ask:
        page = ask("/")
        assert page["Cache-Control"] == "private"
        assert "Cookie" in page["Vary"]
        cookies, token = page.cookies, token_in(page)
        body = f"text=x&csrf_token={token}"
        answer = ask("/save", "POST", body, cookie=cookies)
        assert (answer.status, answer.text) == (200, "saved x")
        # The same page twice: another token, and both are good.
        again = ask("/", cookie=cookies)
        assert token_in(again) != token
        body = f"csrf_token={token_in(again)}"
        assert ask("/save", "POST", body, cookie=cookies).status == 200
        assert ask("/save", "POST", f"csrf_token={token}", cookie=cookies).status == 200
        # A script says it in a field.
        answer = ask(
            "/json",
            "POST",
            b"[1]",
            cookie=cookies,
            x_csrf_token=token,
            content_type="application/json",
        )
        assert (answer.status, answer.text) == (200, "[1]")
        assert ask("/delete", "DELETE", cookie=cookies, x_csrf_token=token).text == "deleted"


@pytest.mark.parametrize("conf", [COOKIE, SESSION], ids=["cookie", "session"])
def test_what_is_refused(conf):
    with served(Root(), conf) as ask:
        page, other = ask("/"), ask("/")
        cookies, token = page.cookies, token_in(page)
        refused = [
            (ask("/save", "POST", "text=x"), "no token"),
            (ask("/save", "POST", "text=x", cookie=cookies), "'csrf_token'"),
            (ask("/save", "POST", f"csrf_token={token}"), "no cookie"),
            (
                ask("/save", "POST", f"csrf_token={token}", cookie=other.cookies),
                "not, or no longer",
            ),
            (ask("/save", "POST", f"csrf_token={token}0", cookie=cookies), "not, or no longer"),
            # Not from the address.
            (ask(f"/save?csrf_token={token}", "POST", "text=x", cookie=cookies), "no token"),
            # Two are none.
            (
                ask("/save", "POST", f"csrf_token={token}&csrf_token={token}", cookie=cookies),
                "not, or no longer",
            ),
            (ask("/delete", "DELETE", cookie=cookies), "no token"),
            (ask("/save", "PUT", "text=x", cookie=cookies), "no token"),
        ]
        for answer, words in refused:
            assert answer.status == 403
            assert words in answer.text.replace("&#x27;", "'")
            assert "saved" not in answer.text
        for method in ("GET", "HEAD", "OPTIONS"):
            assert ask("/save", method).status == 200


def test_a_cookie_that_somebody_has_made_up():
    with served(Root(), COOKIE) as ask:
        token = make_token("")
        body = f"csrf_token={token}"
        assert ask("/save", "POST", body, cookie="csrf=").status == 403
        assert ask("/save", "POST", f"csrf_token={make_token('x')}", cookie="csrf=x").status == 403


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"origin": "http://site.example"}, 200),
        ({"origin": "HTTP://Site.example:80"}, 200),
        # Somebody in front of us may speak TLS.
        ({"origin": "https://site.example"}, 200),
        ({"origin": "http://site.example:81"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://site.example.evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://app.example"}, 200),
        ({"origin": "https://app.example", "sec_fetch_site": "cross-site"}, 200),
        # The browser's word weighs more than the name in Origin, which a proxy may not know.
        ({"origin": "http://outer.example", "sec_fetch_site": "same-origin"}, 200),
        ({}, 200),
    ],
)
def test_origins(fields, status):
    conf = {**COOKIE["/"], "tools.csrf.origins": ["https://app.example/"]}
    with served(Root(), {"/": conf}) as ask:
        page = ask("/")
        for with_token in (True, False):
            if not with_token and "app.example" not in fields.get("origin", ""):
                continue
            body = f"csrf_token={token_in(page)}" if with_token else ""
            answer = ask("/save", "POST", body, host="site.example", cookie=page.cookies, **fields)
            assert answer.status == status
        if status == 403:
            assert "another site" in answer.text


def test_a_page_by_http_may_not_post_to_one_by_https(serve):
    site = serve(Root(), {**COOKIE["/"], "tools.csrf.token": False})
    headers = {"Origin": "http://127.0.0.1"}
    assert site("/save", method="POST", body=b"", headers=headers).status == 200
    assert site("/save", method="POST", body=b"", headers=headers, scheme="https").status == 403


def test_the_origin_is_judged_before_the_body_is_read():
    with served(Root(), COOKIE) as ask:
        head = (
            b"POST /save HTTP/1.1\r\nHost: a\r\nOrigin: http://evil.example\r\n"
            b"Content-Length: 1000000\r\nConnection: close\r\n\r\n" + b"x" * 70000
        )
        with socket.create_connection(ask.address[:2], timeout=10) as connection:
            connection.sendall(head)  # and no more of it
            assert connection.recv(100).split()[1] == b"403"


def test_without_tokens_the_browser_is_believed():
    with served(Root(), {"/": {**COOKIE["/"], "tools.csrf.token": False}}) as ask:
        assert ask("/save", "POST", "text=x").text == "saved x"
        assert ask("/save", "POST", "text=x", sec_fetch_site="same-origin").status == 200
        assert ask("/save", "POST", "text=x", sec_fetch_site="cross-site").status == 403


def test_paths_that_are_exempt():
    config = """
        [/]
        tools.csrf.on = True
        [/hook]
        tools.csrf.exempt = True
        [/save]
        tools.csrf.on = False
    """
    with served(Root(), config) as ask:
        answer = ask("/hook", "POST", "text=x&csrf_token=stray", origin="http://evil.example")
        assert (answer.status, answer.text) == (200, "called x")
        assert ask("/save", "POST", "text=x", origin="http://evil.example").text == "saved x"
        assert ask("/delete", "DELETE").status == 403


def test_names_of_ones_own():
    conf = {
        **COOKIE["/"],
        "tools.csrf.field": "_t",
        "tools.csrf.header": "x-t",
        "tools.csrf.cookie": "tok",
    }
    with served(Root(), {"/": conf}) as ask:
        page = ask("/")
        assert 'name="_t"' in page.text
        assert page.cookies.startswith("tok=")
        token = token_in(page)
        assert ask("/save", "POST", f"_t={token}", cookie=page.cookies).status == 200
        assert ask("/save", "POST", "", cookie=page.cookies, x_t=token).status == 200


def test_multipart_forms():
    with served(Root(), COOKIE) as ask:
        page = ask("/")
        body = (
            '--b\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n'
            f"{token_in(page)}\r\n"
            '--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nx\r\n--b--\r\n'
        )
        kind = "multipart/form-data; boundary=b"
        answer = ask("/save", "POST", body, cookie=page.cookies, content_type=kind)
        assert (answer.status, answer.text) == (200, "saved x")


def test_the_cookie(serve):
    with served(Root(), COOKIE) as ask:
        assert ask("/plain")["Set-Cookie"] is None
        assert ask("/plain")["Cache-Control"] is None
        page = ask("/")
        attributes = set(page["Set-Cookie"].split("; ")[1:])
        assert attributes == {"HttpOnly", "Path=/", "SameSite=Lax"}
        assert ask("/", cookie=page.cookies)["Set-Cookie"] is None
    secure = serve(Root(), COOKIE["/"])("/", scheme="https")
    assert secure["Set-Cookie"].startswith("__Host-csrf=")
    assert {"Secure", "Path=/"} <= set(secure["Set-Cookie"].split("; "))


def test_a_session_keeps_its_secret_through_a_login():
    with served(Root(), SESSION) as ask:
        page = ask("/")
        body = f"csrf_token={token_in(page)}"
        login = ask("/login", "POST", body, cookie=page.cookies)
        assert login.text == "welcome"
        assert login.cookies != page.cookies
        assert ask("/save", "POST", body, cookie=login.cookies).status == 200
        # The old session is gone, and with it the secret.
        assert ask("/save", "POST", body, cookie=page.cookies).status == 403


def test_a_cookie_beside_a_session_and_a_session_that_is_missing():
    with served(Root(), {"/": {**SESSION["/"], "tools.csrf.storage": "cookie"}}) as ask:
        assert "csrf=" in ask("/").cookies
    with served(Root(), {"/": {**COOKIE["/"], "tools.csrf.storage": "session"}}) as ask:
        assert ask("/").status == 500


def test_pages_with_tokens_are_not_cached():
    with served(Root(), {"/": {**COOKIE["/"], "tools.caching.on": True}}) as ask:
        assert token_in(ask("/")) != token_in(ask("/"))


def test_the_login_form_has_the_field():
    conf = {
        **SESSION["/"],
        "tools.session_auth.on": True,
        "tools.session_auth.check_username_and_password": lambda name, word: None,
    }
    with served(Root(), {"/": conf}) as ask:
        page = ask("/plain")
        assert "password" in page.text
        form = "username=a&password=b"
        assert ask("/do_login", "POST", form, cookie=page.cookies).status == 403
        form += f"&csrf_token={token_in(page)}"
        answer = ask("/do_login", "POST", form, cookie=page.cookies)
        assert answer.status == 303
        assert ask("/plain", cookie=answer.cookies).text == "no form"
    with served(Root(), {"/": {**conf, "tools.csrf.on": False}}) as ask:
        assert "csrf" not in ask("/plain").text


def test_templates_take_the_field_as_it_is():
    assert csrf._Markup("<i>").__html__() == "<i>"
    assert cherrypy.request.csrf_token == ""
