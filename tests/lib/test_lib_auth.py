"""Who may come in: basic and digest authentication, and the login form."""

from __future__ import annotations

import base64
import time

import pytest

from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.lib import auth_basic, auth_digest


class Root:
    calls = 0

    @expose
    def index(self):
        return "page"

    @expose
    def who(self):
        return repr(serving.request.login)


# ------------------------------------------------------------------------------ authentication


def basic(user: str, password: str, charset: str = "utf-8") -> dict[str, str]:
    token = base64.b64encode(f"{user}:{password}".encode(charset)).decode()
    return {"Authorization": f"Basic {token}"}


def test_basic(serve):
    conf = {
        "tools.auth_basic.on": True,
        "tools.auth_basic.realm": "wonderland",
        "tools.auth_basic.checkpassword": auth_basic.checkpassword_dict(
            {"alice": "p:w", "jürgen": "ü", "nobody": ""}
        ),
    }
    site = serve(Root(), conf)
    assert site("/who", headers=basic("alice", "p:w")).text == "'alice'"
    assert site("/who", headers=basic("jürgen", "ü")).status == 200
    assert site("/who", headers=basic("ju\u0308rgen", "u\u0308")).status == 200
    assert site("/who", headers=basic("jürgen", "ü", "latin-1")).status == 200
    for headers in (
        {},
        basic("alice", "x"),
        basic("bob", "p:w"),
        basic("nobody", ""),
        {"Authorization": "Digest x"},
    ):
        answer = site("/who", headers=headers)
        assert answer.status == 401
        assert answer["WWW-Authenticate"] == 'Basic realm="wonderland", charset="UTF-8"'
        assert len(answer.body) > 513
    for token in ("Basic", "Basic !!!", "Basic " + base64.b64encode(b"alice").decode(), "Basic é"):
        assert site("/who", headers={"Authorization": token}).status == 400
    conf["tools.auth_basic.accept_charset"] = "ISO-8859-1"
    assert serve(Root(), conf)("/")["WWW-Authenticate"] == 'Basic realm="wonderland"'
    conf["tools.auth_basic.realm"] = 'a"b'
    assert serve(Root(), conf)("/").status == 500


DIGEST = {
    "tools.auth_digest.on": True,
    "tools.auth_digest.realm": "wonderland",
    "tools.auth_digest.key": "secret",
    "tools.auth_digest.get_ha1": auth_digest.get_ha1_dict_plain({"alice": "pass", "jürgen": "ü"}),
}


def answer_to(
    nonce: str, user: str = "alice", password: str = "pass", **changes: str
) -> dict[str, str]:
    params = {
        "username": user,
        "realm": "wonderland",
        "nonce": nonce,
        "uri": "/who",
        "algorithm": "MD5",
        "qop": "auth",
        "nc": "00000001",
        "cnonce": "abc",
        "response": "x",
        **changes,
    }

    def field() -> str:
        return "Digest " + ", ".join(f'{k}="{v}"' for k, v in params.items() if v)

    raw = field().encode("utf-8").decode("latin-1")
    auth = auth_digest.HttpDigestAuthorization(raw, "GET")
    if params["response"] == "x":
        ha1 = auth_digest.md5_hex(f"{user}:wonderland:{password}")
        params["response"] = auth.request_digest(ha1)
    return {"Authorization": field().encode("utf-8").decode("latin-1")}


def test_digest(serve):
    site = serve(Root(), DIGEST)
    challenge = site("/who")
    assert challenge.status == 401
    field = challenge["WWW-Authenticate"]
    assert field.startswith('Digest realm="wonderland", nonce="')
    assert field.endswith('algorithm="MD5", qop="auth", charset="UTF-8"')
    nonce = field.partition('nonce="')[2].partition('"')[0]
    assert site("/who", headers=answer_to(nonce)).text == "'alice'"
    assert site("/who", headers=answer_to(nonce, "jürgen", "ü")).status == 200
    assert site("/who", headers=answer_to(nonce, algorithm="MD5-sess")).status == 200
    assert site("/who", headers=answer_to(nonce, qop="", nc="", cnonce="")).status == 200
    assert site("/who", headers=answer_to(nonce, qop="auth-int")).status == 200
    for headers in (
        answer_to(nonce, password="x"),
        answer_to(nonce, user="bob"),
        answer_to("1:2"),
        answer_to("9999999999:0"),
        answer_to("x" * 100),
        answer_to("٣:x"),
        {"Authorization": "Basic x"},
    ):
        assert site("/who", headers=headers).status == 401
    stale = auth_digest.synthesize_nonce("wonderland", "secret", int(time.time()) - 601)
    answer = site("/who", headers=answer_to(stale))
    assert answer.status == 401
    assert 'stale="true"' in answer["WWW-Authenticate"]
    assert "stale" not in site("/who", headers=answer_to(stale, password="x"))["WWW-Authenticate"]
    for field in ("Digest x", "Digest", 'Digest username="a"', 'Digest username="' + '"' * 1000):
        answer = site("/who", headers={"Authorization": field})
        assert answer.status == 400
        assert "The Authorization header could not be parsed." in answer.text


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("Basic x", 'Authorization scheme is not "Digest"'),
        ('Digest username="a"', "Not all required parameters are present."),
        ("Digest algorithm=SHA", "Unsupported value for algorithm: 'SHA'"),
        (
            'Digest username="a", realm="r", nonce="1:2", uri="/", response="1", qop=zz',
            "Unsupported value for qop: 'zz'",
        ),
        (
            'Digest username="a", realm="r", nonce="1:2", uri="/", response="1", cnonce="1"',
            "If qop is not sent, neither cnonce nor nc can be present",
        ),
        (
            'Digest username="a", realm="r", nonce="1:2", uri="/", response="1", qop=auth',
            "If qop is sent then cnonce and nc MUST be present",
        ),
    ],
)
def test_bad_digests(field, text):
    with pytest.raises(ValueError) as info:
        auth_digest.HttpDigestAuthorization(field, "GET")
    assert text in str(info.value)


def test_where_passwords_are(tmp_path):
    file = tmp_path / "htdigest"
    file.write_text("u:w:abc\nv:w:def\n")
    get_ha1 = auth_digest.get_ha1_file_htdigest(str(file))
    assert get_ha1("w", "v") == "def"
    assert get_ha1("w", "z") is None
    assert get_ha1("x", "v") is None
    assert auth_digest.get_ha1_dict({"u": "h"})("any", "u") == "h"
    assert (
        auth_digest.get_ha1_dict_plain({"u": "p"})("r", "u") == "44add22b6f3179b751eafd68ee370f7d"
    )
    assert auth_digest.get_ha1_dict_plain({"u": "p"})("r", "x") is None
    assert auth_digest.synthesize_nonce("s", "k", 123) == "123:ac65ae7836dbdd2d2e0d88c8a731a520"
    with pytest.raises(ValueError, match="qop"):
        auth_digest.www_authenticate("r", "k", qop="zz")
    with pytest.raises(ValueError, match="algorithm"):
        auth_digest.www_authenticate("r", "k", algorithm="SHA")


# -------------------------------------------------------------------------------- session_auth


@pytest.fixture
def guarded(serve):
    conf = {
        "tools.sessions.on": True,
        "tools.session_auth.on": True,
        "tools.session_auth.check_username_and_password": (
            lambda user, password: None if password == "x" else "Wrong <b>"
        ),
    }
    return serve(Root(), conf)


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_session_auth(guarded):
    answer = guarded("/who", "a=1")
    assert answer.status == 200
    assert '<form method="post" action="do_login">' in answer.text
    assert 'value="http://127.0.0.1/who?a=1"' in answer.text
    body = b"username=u%22&password=y&from_page=/who"
    answer = guarded("/do_login", method="POST", body=body, headers=FORM)
    assert "Wrong &lt;b&gt;" in answer.text
    assert 'value="u&quot;"' in answer.text
    body = b"username=u&password=x&from_page=/who"
    answer = guarded("/do_login", method="POST", body=body, headers=FORM)
    assert (answer.status, answer["Location"]) == (303, "http://127.0.0.1/who")
    headers = {"Cookie": answer.cookie}
    assert guarded("/who", headers=headers).text == "'u'"
    assert guarded("/do_logout", headers=headers).status == 405
    answer = guarded("/do_logout", method="POST", body=b"", headers={**headers, **FORM})
    assert answer.status == 303
    assert "do_login" in guarded("/who", headers=headers).text


def test_a_login_changes_the_id(guarded):
    before = guarded("/who")
    headers = {"Cookie": before.cookie, **FORM}
    body = b"username=u&password=x&from_page=/who"
    after = guarded("/do_login", method="POST", body=body, headers=headers)
    assert after.cookie != before.cookie
    assert "do_login" in guarded("/who", headers={"Cookie": before.cookie}).text


@pytest.mark.parametrize(
    "page",
    ["//evil.example", "http://evil.example/", "javascript:x", "/\\evil", "\\\\evil"]
    # What browsers and urljoin leave out.
    + ["\t//evil.example", "+//evil.example", "/%09/evil.example", "/%0a/evil.example", "%00//evil"]
    + ["%0d%0a//evil.example", "ht%09tp://evil.example/", "http://127.0.0.1@evil.example/"],
)
def test_a_login_leads_nowhere_else(guarded, page):
    body = b"username=u&password=x&from_page=" + page.encode()
    location = guarded("/do_login", method="POST", body=body, headers=FORM)["Location"]
    assert location.startswith("http://127.0.0.1/")
    assert "evil" not in location.partition("127.0.0.1")[2].partition("/")[0]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/do_login", b"username=u", 400),
        ("/do_login", b"", 400),
        ("/do_login", b"username=u&password=x&self=1", 303),
        ("/do_login", b"username=v&username=u&password=x&from_page=/a&from_page=/b", 303),
        ("/do_logout", b"from_page=/a&from_page=/b&self=x", 303),
        ("/login_screen", b"self=x&username=a&username=b", 200),
    ],
)
def test_odd_parameters_of_a_login_are_no_errors_of_ours(guarded, path, body, status):
    assert guarded(path, method="POST", body=body, headers=FORM).status == status


@pytest.mark.parametrize("page", ["//evil.example", "/\\evil", "/fine"])
def test_where_a_login_leads(guarded, page):
    body = b"username=u&password=x&from_page=" + page.encode()
    location = guarded("/do_login", method="POST", body=body, headers=FORM)["Location"]
    assert location in ("http://127.0.0.1/", "http://127.0.0.1/" + page.lstrip("/"))
