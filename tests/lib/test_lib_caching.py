"""The cache of responses, and what tells other caches."""

from __future__ import annotations

import threading
import time

import pytest

from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.lib import caching


class Root:
    calls = 0

    @expose
    def index(self):
        return "page"

    @expose
    def tagged(self):
        serving.response.headers["ETag"] = '"x"'
        return "page"

    @expose
    def dated(self):
        serving.response.headers["Last-Modified"] = "Sun, 09 Sep 2001 01:46:40 GMT"
        return "page"

    @expose
    def boom(self):
        raise ValueError("boom")

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


class Closed:
    """A body whose `close` is to be called, once, however much of it was pulled."""

    def __init__(self, told, chunks=("one ", "two")):
        self.told = told
        self.chunks = chunks

    def __iter__(self):
        try:
            for chunk in self.chunks:
                yield chunk.encode()
        finally:
            self.told.append("iterator")

    def close(self):
        self.told.append("body")


def test_a_body_is_closed(serve):
    told = []

    class Streams:
        @expose
        def index(self, given="whole"):
            return Closed(told)

        @expose
        def breaks(self):
            return Closed(told, ("one ", None))

    site = serve(Streams(), {"tools.caching.on": True, "response.stream": True})
    assert site("/").body == b"one two"
    assert told == ["iterator", "body"]
    assert site("/")["Age"] == "0"  # from the cache: nothing to close
    assert told == ["iterator", "body"]
    told.clear()
    with pytest.raises(AttributeError):
        site("/breaks")
    assert told == ["iterator", "body"]
    told.clear()
    assert site("/", "given=up", method="HEAD").body == b""  # nobody pulls
    assert told == ["body"]


@pytest.mark.parametrize("encode", [True, False])
def test_a_body_that_nobody_reads_to_its_end_is_closed_and_not_kept(serve, encode):
    told = []

    class Streams:
        @expose
        def index(self):
            return Closed(told)

    conf = {"tools.caching.on": True, "response.stream": True, "tools.encode.on": encode}
    app = serve(Streams(), conf).app
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "h",
    }
    body = app(environ, lambda *args: None)
    assert next(iter(body)) == b"one "
    body.close()
    body.close()
    assert told == ["iterator", "body"]
    assert owner._cache.tot_puts == 0


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
