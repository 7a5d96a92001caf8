"""The small tools, JSON, authentication, caching and XML-RPC, each through a whole request."""

from __future__ import annotations

import base64
import http.client
import threading
import time
import xmlrpc.client

import pytest

from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.lib import auth_basic, auth_digest, caching, cptools, xmlrpcutil
from cherrypy.lib.toolbox import XMLRPCController


class Root:
    calls = 0

    @expose
    def index(self):
        return "page"

    @expose
    def generate(self):
        def inner():
            yield "b"
            yield (x for x in ["c", "d"])

        yield "a"
        yield inner()
        yield "e"

    @expose
    def base(self):
        request = serving.request
        return f"{request.base} {request.remote.ip}"

    @expose
    def headers(self):
        return ", ".join(sorted(serving.request.headers))

    @expose
    def accepted(self):
        return cptools.accept(["text/html", "a/b"])

    @expose
    def typed(self, n: int, x: float = 0.5, s="t"):
        return repr((n, x, s))

    @expose
    def tagged(self):
        serving.response.headers["ETag"] = '"x"'
        return "page"

    @expose
    def dated(self):
        serving.response.headers["Last-Modified"] = "Sun, 09 Sep 2001 01:46:40 GMT"
        return "page"

    @expose
    def looks(self):
        headers = serving.request.headers
        headers.get("x-one")
        "X-Two" in headers  # noqa: B015 - that it was asked for is the point
        headers.elements("x-three")
        return headers.get("x-four", "")

    @expose
    def boom(self):
        raise ValueError("boom")

    @expose
    def json(self):
        return {"a": [1, None, "é"]}

    @expose
    def cannot(self):
        return {1, 2}

    @expose
    def posted(self):
        return repr(getattr(serving.request, "json", "none"))

    @expose
    def count(self, **params):
        Root.calls += 1
        return f"call {Root.calls} {sorted(params)}"

    @expose
    def vary(self):
        serving.response.headers["Vary"] = "X-Kind"
        return self.count()

    @expose
    def private(self):
        serving.response.headers["Cache-Control"] = "private"
        return self.count()

    @expose
    def who(self):
        return repr(serving.request.login)


# -------------------------------------------------------------------------------- validators


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/tagged", "GET", {}, 200),
        ("/tagged", "GET", {"If-None-Match": '"x"'}, 304),
        ("/tagged", "GET", {"If-None-Match": 'W/"x"'}, 304),
        ("/tagged", "GET", {"If-None-Match": "*"}, 304),
        ("/tagged", "GET", {"If-None-Match": '"y", "z"'}, 200),
        ("/tagged", "GET", {"If-Match": '"x"'}, 200),
        ("/tagged", "GET", {"If-Match": '"y"'}, 412),
        ("/tagged", "GET", {"If-Match": 'W/"x"'}, 412),
        ("/tagged", "PUT", {"If-None-Match": "*"}, 412),
        ("/boom", "GET", {"If-None-Match": "*"}, 500),
    ],
)
def test_etags(serve, path, method, headers, status):
    body = b"" if method == "PUT" else None
    site = serve(Root(), {"tools.etags.on": True})
    answer = site(path, method=method, headers=headers, body=body)
    assert answer.status == status
    if status == 412 and "If-Match" in headers:
        assert "did not match" in answer.text


def test_autotags(serve):
    site = serve(Root(), {"tools.etags.on": True, "tools.etags.autotags": True})
    etag = site("/")["ETag"]
    assert etag == '"71860c77c6745379b0d44304d66b6a13"'
    answer = site("/", headers={"If-None-Match": etag})
    assert (answer.status, answer.body, answer["ETag"]) == (304, b"", etag)


def test_validate_since():
    class Response:
        status = 200
        headers = serving.response.headers.__class__()

    # Nothing to validate without a date.
    serving.response = Response()
    cptools.validate_since()


# ----------------------------------------------------------------------------- what may come


@pytest.mark.parametrize(
    ("methods", "status", "allow"),
    [
        (None, 200, "GET, HEAD"),
        ("POST", 405, "POST"),
        (["POST", "get"], 200, "POST, GET, HEAD"),
        (["HEAD"], 405, "HEAD"),
    ],
)
def test_allow(serve, methods, status, allow):
    answer = serve(Root(), {"tools.allow.on": True, "tools.allow.methods": methods})("/")
    assert (answer.status, answer["Allow"]) == (status, allow)


@pytest.mark.parametrize(
    ("accept", "status", "kind"),
    [
        (None, 200, "text/html"),
        ("", 200, "text/html"),
        ("a/b", 200, "a/b"),
        ("a/*", 200, "a/b"),
        ("*/*", 200, "text/html"),
        ("text/html;q=0.1, a/b", 200, "a/b"),
        ("text/html;q=0", 406, None),
        ("text/css", 406, None),
        ("text/html;q=x", 400, None),
    ],
)
def test_accept(serve, accept, status, kind):
    headers = {} if accept is None else {"Accept": accept}
    answer = serve(Root())("/accepted", headers=headers)
    assert answer.status == status
    if kind:
        assert answer.text == kind
    if status == 406:
        assert (
            f"Your client sent this Accept header: {accept}. But this resource only emits these "
            "media types: text/html, a/b."
        ) in answer.text
    conf = {"tools.accept.on": True, "tools.accept.media": ["text/html", "a/b"]}
    assert serve(Root(), conf)("/", headers=headers).status == status


@pytest.mark.parametrize(
    ("conf", "field", "status"),
    [
        ({}, None, 403),
        ({}, "http://a/x", 200),
        ({}, "http://b/x", 403),
        ({"accept": False}, "http://a/x", 403),
        ({"accept": False}, "http://b/x", 200),
        ({"accept_missing": True}, None, 200),
        ({"error": 404}, None, 404),
    ],
)
def test_referer(serve, conf, field, status):
    settings = {"tools.referer.on": True, "tools.referer.pattern": "http://a"}
    settings.update({f"tools.referer.{name}": value for name, value in conf.items()})
    answer = serve(Root(), settings)("/", headers={"Referer": field} if field else {})
    assert answer.status == status
    if status == 403:
        assert "Forbidden Referer header." in answer.text


def test_ignore_headers(serve):
    headers = {"Range": "bytes=0-1", "X-A": "1"}
    assert "Range" in serve(Root())("/headers", headers=headers).text
    answer = serve(Root(), {"tools.ignore_headers.on": True})("/headers", headers=headers)
    assert "Range" not in answer.text
    assert "X-A" in answer.text


# -------------------------------------------------------------------------------- who speaks


FORWARDED = {
    "X-Forwarded-Host": "www.example.com, inner",
    "X-Forwarded-For": "1.2.3.4, 5.6.7.8",
    "X-Forwarded-Proto": "https",
}


@pytest.mark.parametrize(
    ("conf", "headers", "seen"),
    [
        ({}, {}, "http://127.0.0.1 127.0.0.1"),
        ({}, FORWARDED, "https://www.example.com 1.2.3.4"),
        ({"local": None}, FORWARDED, "https://127.0.0.1 1.2.3.4"),
        ({"remote": None}, FORWARDED, "https://www.example.com 127.0.0.1"),
        ({"scheme": None}, FORWARDED, "http://www.example.com 1.2.3.4"),
        ({"base": "https://other"}, {}, "https://other 127.0.0.1"),
        ({"base": "other"}, {"X-Forwarded-Proto": "https"}, "https://other 127.0.0.1"),
        ({"scheme": "Front-End-Https"}, {"Front-End-Https": "on"}, "https://127.0.0.1 127.0.0.1"),
        ({"scheme": "X-Forwarded-Ssl"}, {"X-Forwarded-Ssl": "on"}, "https://127.0.0.1 127.0.0.1"),
        ({}, {"X-Forwarded-Proto": "javascript:alert(1)//"}, "http://127.0.0.1 127.0.0.1"),
        ({"remote": "X-Real-IP"}, {"X-Real-IP": "9.9.9.9"}, "http://127.0.0.1 9.9.9.9"),
    ],
)
def test_proxy(serve, conf, headers, seen):
    settings = {"tools.proxy.on": True}
    settings.update({f"tools.proxy.{name}": value for name, value in conf.items()})
    assert serve(Root(), settings)("/base", headers=headers).text == seen


# --------------------------------------------------------------------------- what goes out


def test_response_headers(serve):
    conf = {
        "tools.response_headers.on": True,
        "tools.response_headers.headers": [("X-A", "1"), ("x-a", "2"), ("X-B", "3")],
    }
    answer = serve(Root(), conf)("/")
    assert answer.all("X-A") == ["2"]
    assert answer["X-B"] == "3"


def test_flatten(serve):
    assert serve(Root(), {"tools.flatten.on": True})("/generate").body == b"abcde"


def test_flattening_goes_deep_and_closes():
    closed = []

    def nest(depth):
        try:
            yield b"x"
            if depth:
                yield nest(depth - 1)
        finally:
            closed.append(depth)

    assert b"".join(cptools._flattened(nest(5000))) == b"x" * 5001
    assert len(closed) == 5001
    closed.clear()
    body = cptools._flattened(nest(3))
    next(body), next(body)
    body.close()
    assert sorted(closed) == [2, 3]


def test_autovary(serve):
    site = serve(Root(), {"tools.autovary.on": True, "tools.gzip.on": True})
    names = set(site("/looks")["Vary"].split(", "))
    assert {"X-One", "X-Two", "X-Three", "X-Four", "Accept-Encoding"} <= names
    extra = names - {"X-One", "X-Two", "X-Three", "X-Four"}
    assert extra <= {"Accept-Charset", "Accept-Encoding", "Host"}
    site = serve(Root(), {"tools.autovary.on": True, "tools.autovary.ignore": ["X-One"]})
    assert "X-One" not in site("/looks")["Vary"].split(", ")


@pytest.mark.parametrize(
    ("conf", "path", "location"),
    [
        ({"url": "/foo", "internal": False}, "/", "http://127.0.0.1/foo"),
    ],
)
def test_redirect(serve, conf, path, location):
    settings = {"tools.redirect.on": True}
    settings.update({f"tools.redirect.{name}": value for name, value in conf.items()})
    answer = serve(Root(), settings)(path)
    assert (answer.status, answer["Location"]) == (303, location)


def test_internal_redirect(serve):
    site = serve(
        Root(),
        sections={"/boom": {"tools.redirect.on": True, "tools.redirect.url": "/base"}},
    )
    assert site("/boom").text.startswith("http://127.0.0.1")
    site = serve(
        Root(),
        sections={"/boom": {"tools.err_redirect.on": True, "tools.err_redirect.url": "/base"}},
    )
    assert site("/boom").text.startswith("http://127.0.0.1")


def test_trailing_slash(serve):
    class Tree(Root):
        sub = Root()

    answer = serve(Tree())("/sub", "a=1")
    assert (answer.status, answer["Location"]) == (301, "http://127.0.0.1/sub/?a=1")
    assert serve(Tree())("/base/").status == 200
    extra = {"tools.trailing_slash.extra": True, "tools.trailing_slash.status": 302}
    answer = serve(Tree(), extra)("/base/", "a=1")
    assert (answer.status, answer["Location"]) == (302, "http://127.0.0.1/base?a=1")
    off = {"tools.trailing_slash.missing": False}
    assert serve(Tree(), off)("/sub").status == 200


def test_logs(serve, caplog):
    conf = {
        "tools.log_headers.on": True,
        "tools.log_tracebacks.on": True,
        "tools.log_hooks.on": True,
    }
    serve(Root(), conf)("/boom", headers={"X-Secret": "see me"})
    assert "ValueError: boom" in caplog.text
    assert "X-Secret: see me" in caplog.text.replace("X-SECRET", "X-Secret")
    assert "Request Hooks for http://127.0.0.1/boom" in caplog.text
    assert "before_error_response:" in caplog.text


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("n=5", 200, "(5, 0.5, 't')"),
        ("n=5&x=1e3&s=7", 200, "(5, 1000.0, '7')"),
        ("n=five", 400, None),
    ],
)
def test_params(serve, query, status, text):
    answer = serve(Root(), {"tools.params.on": True})("/typed", query)
    assert answer.status == status
    assert text is None or answer.text == text
    if status == 400:
        assert (
            serve(Root(), {"tools.params.on": True, "tools.params.error": 404})(
                "/typed", query
            ).status
            == 404
        )


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


# ------------------------------------------------------------------------------------- caching


@pytest.fixture
def cached(serve):
    Root.calls = 0
    return serve(Root(), {"tools.caching.on": True})


def test_the_cache(cached):
    first = cached("/count")
    assert first.body == b"call 1 []"
    assert first["Age"] is None
    second = cached("/count")
    assert second.body == b"call 1 []"
    assert second["Age"] == "0"
    assert second["Content-Type"] == "text/html;charset=utf-8"
    assert cached("/count", "q=1").body == b"call 2 ['q']"
    assert cached("/count", method="HEAD").body == b""
    cache = owner._cache
    assert isinstance(cache, caching.MemoryCache)
    assert (cache.tot_puts, cache.tot_hist) == (2, 2)
    assert sorted(cache.store) == ["http://127.0.0.1/count", "http://127.0.0.1/count?q=1"]
    cache.clear()
    assert cached("/count").body == b"call 3 []"


def test_what_makes_it_look_again(cached):
    cached("/count")
    assert cached("/count", headers={"Pragma": "no-cache"}).body == b"call 2 []"
    assert cached("/count", headers={"Cache-Control": "no-cache"}).body == b"call 3 []"
    assert cached("/count", headers={"Cache-Control": "max-age=10"}).body == b"call 3 []"
    bad = cached("/count", headers={"Cache-Control": "max-age=abc"})
    assert bad.status == 400
    assert "Invalid Cache-Control header" in bad.text
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert cached("/count", method="POST", body=b"a=1", headers=headers).body == b"call 4 ['a']"
    assert cached("/count").body == b"call 5 []"


def test_variants(cached):
    one = cached("/vary", headers={"X-Kind": "1"}).body
    two = cached("/vary", headers={"X-Kind": "2"}).body
    assert one != two
    assert cached("/vary", headers={"X-Kind": "1"}).body == one
    assert cached("/vary", headers={"X-Kind": "2"}).body == two


def test_what_is_not_kept(cached):
    assert cached("/private").body != cached("/private").body
    assert cached("/boom").status == cached("/boom").status == 500
    cached("/count")
    owner._cache.clear()
    owner._cache.maxobj_size = 3
    assert cached("/count").body != cached("/count").body
    assert owner._cache.store == {}
    owner._cache.maxobj_size = 1000
    owner._cache.maxobjects = 1
    cached("/count", "a=1")
    cached("/count", "a=2")
    assert list(owner._cache.store) == ["http://127.0.0.1/count?a=1"]


def test_the_cache_forgets(serve):
    Root.calls = 0
    site = serve(
        Root(),
        {"tools.caching.on": True, "tools.caching.delay": 0.2, "tools.caching.expire_freq": 0.01},
    )
    site("/count")
    deadline = time.monotonic() + 5
    while owner._cache.store:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert owner._cache.tot_expires == 1
    assert owner._cache.cursize == 0
    assert site("/count").body == b"call 2 []"


def test_validators_of_cached_responses(cached):
    assert cached("/dated").status == 200
    headers = {"If-Modified-Since": "Sun, 09 Sep 2001 01:46:40 GMT"}
    assert cached("/dated", headers=headers).status == 304
    assert owner._cache.tot_non_modified == 1


def test_a_stampede_makes_one_value():
    cache = caching.AntiStampedeCache()
    assert cache.wait("k") is None  # ours to make
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(cache.wait("k", 10))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    assert cache.wait("k", None) is None
    assert cache.wait("k", 0.01) is None
    cache["k"] = "value"
    for thread in threads:
        thread.join(5)
    assert results == ["value"] * 5
    assert cache.wait("k") == "value"
    assert cache.wait("other") is None
    waiting = threading.Thread(target=lambda: results.append(cache.wait("other", 10)))
    waiting.start()
    started = time.monotonic()
    cache.abandon("other")
    waiting.join(5)
    assert time.monotonic() - started < 4
    assert cache.get("other") is None or not waiting.is_alive()


@pytest.mark.parametrize(
    ("conf", "path", "fields"),
    [
        ({"secs": 60}, "/", {"Expires": None}),
        (
            {"secs": 0, "force": True},
            "/",
            {
                "Pragma": "no-cache",
                "Cache-Control": "no-cache, must-revalidate",
                "Expires": "Sun, 28 Jan 2007 00:00:00 GMT",
            },
        ),
        ({"secs": 0}, "/tagged", {"Expires": "Sun, 28 Jan 2007 00:00:00 GMT"}),
    ],
)
def test_expires(serve, conf, path, fields):
    settings = {"tools.expires.on": True}
    settings.update({f"tools.expires.{name}": value for name, value in conf.items()})
    answer = serve(Root(), settings)(path)
    for name, value in fields.items():
        assert answer[name] == value


def test_expires_later(serve):
    from kirsch.http.dates import parse_date

    answer = serve(Root(), {"tools.expires.on": True, "tools.expires.secs": 86400})("/tagged")
    assert 86000 < parse_date(answer["Expires"]) - time.time() < 86500
    assert answer["Pragma"] is None


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
    "page", ["//evil.example", "http://evil.example/", "javascript:x", "/\\evil", "\\\\evil"]
)
def test_a_login_leads_nowhere_else(guarded, page):
    body = b"username=u&password=x&from_page=" + page.encode()
    location = guarded("/do_login", method="POST", body=body, headers=FORM)["Location"]
    assert location.startswith("http://127.0.0.1/")
    assert "evil" not in location.partition("127.0.0.1")[2].partition("/")[0]
    assert location in ("http://127.0.0.1/", "http://127.0.0.1/" + page.lstrip("/"))


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
