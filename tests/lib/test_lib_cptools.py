"""The small tools, each through a whole request."""

from __future__ import annotations

import pytest

import cherrypy
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.tools import Tool, default_toolbox
from cherrypy.lib import cptools


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
    def looks(self):
        headers = serving.request.headers
        headers.get("x-one")
        "X-Two" in headers  # noqa: B015 - that it was asked for is the point
        headers.elements("x-three")
        return headers.get("x-four", "")

    @expose
    def boom(self):
        raise ValueError("boom")


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
    "X-Forwarded-For": "5.6.7.8, 1.2.3.4, 10.0.0.1",
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


def test_autovary_counts_what_other_tools_read(serve):
    """At whatever priority they do, at the same point and later; names in another order than the tools'."""
    readers = {"aa_first": 1, "zz_late": 50, "mm_last": 99}
    for name, priority in readers.items():
        field = f"X-Of-{priority}"

        def read(field=field):
            serving.request.headers.get(field)

        setattr(default_toolbox, name, Tool("on_start_resource", read, name, priority))
    try:
        conf = {f"tools.{name}.on": True for name in readers}
        conf |= {"tools.autovary.on": True, "tools.proxy.on": True, "tools.proxy.port": "X-Port"}
        names = set(serve(Root(), conf)("/looks")["Vary"].split(", "))
        assert {f"X-Of-{priority}" for priority in readers.values()} <= names
        # Read before the dispatcher was asked, and again at the tool's point.
        assert {"X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Port"} <= names
    finally:
        for name in readers:
            delattr(default_toolbox, name)


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


class Annotated:
    @cherrypy.expose
    def number(self, n: int = 0, **others: float) -> int:
        return repr((n, others))

    @cherrypy.expose
    def many(self, n: list = ()):
        return repr(n)


def test_params_that_are_no_single_text(serve):
    site = serve(Annotated(), {"tools.params.on": True, "tools.params.error": 422})
    answer = site("/number", "n=1&n=2")
    assert answer.status == 422
    assert "The parameter n is not a single text." in answer.text
    assert site("/many", "n=1&n=2").text == "['1', '2']"
    upload = b'--b\r\nContent-Disposition: form-data; name="n"; filename="f"\r\n\r\nx\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert site("/number", method="POST", body=upload, headers=headers).status == 422


def test_params_convert_parameters_only(serve):
    """Not what a peer calls by the name of the result, or of what gathers all others."""
    site = serve(Annotated(), {"tools.params.on": True})
    answer = site("/number", "n=3&return=x&others=y")
    assert answer.text == "(3, {'return': 'x', 'others': 'y'})"
