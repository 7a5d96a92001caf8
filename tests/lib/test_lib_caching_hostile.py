"""The cache against those who would have others see what they asked for, or fill it with waste."""

from __future__ import annotations

import time

import pytest

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.lib import caching
from cherrypy.lib.static import serve_file


class Root:
    calls = 0

    @expose
    def page(self, *args, **params):
        Root.calls += 1
        if serving.request.headers.get("X-Bad"):
            raise HTTPError(400, "bad")
        return f"page by {serving.request.method} {args} {params} {Root.calls}"

    @expose
    def default(self, *args, **params):
        return f"another page: {args}"

    @expose
    def vary(self):
        Root.calls += 1
        serving.response.headers["Vary"] = "User-Agent"
        return f"call {Root.calls}"

    @expose
    def sometimes(self):
        """Varies with the language only when the language is asked for."""
        wanted = serving.request.headers.get("Accept-Language")
        if wanted:
            serving.response.headers["Vary"] = "Accept-Language"
        return f"in {wanted}"

    @expose
    def star(self):
        Root.calls += 1
        serving.response.headers["Vary"] = "*"
        return f"call {Root.calls}"

    @expose
    def file(self):
        return serve_file(__file__)

    @expose
    def status(self, code):
        Root.calls += 1
        serving.response.status = int(code)
        return f"call {Root.calls}"


@pytest.fixture
def cached(serve):
    Root.calls = 0
    return serve(Root(), {"tools.caching.on": True})


def test_an_error_of_one_peer_is_not_for_all(cached):
    assert cached("/page", headers={"X-Bad": "1"}).status == 400
    assert cached("/page").status == 200


def test_a_part_is_not_taken_for_the_whole(cached):
    assert cached("/file", headers={"Range": "bytes=0-3"}).status == 206
    whole = cached("/file")
    assert whole.status == 200
    assert len(whole.body) > 1000
    # And a range of what is kept does not hurt it.
    cached("/file", headers={"Range": "bytes=0-3"})
    assert cached("/file").body == whole.body


@pytest.mark.parametrize("code", [201, 202, 206, 302, 303, 307, 403, 406, 412, 416, 429, 500, 503])
def test_statuses_that_are_kept_for_nobody(cached, code):
    cached("/status", f"code={code}")
    assert owner._cache.store == {}


@pytest.mark.parametrize("code", [200, 203, 301, 404, 410])
def test_statuses_that_are_kept(cached, code):
    first = cached("/status", f"code={code}")
    second = cached("/status", f"code={code}")
    assert second.body == first.body
    assert second["Age"] == "0"


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "MOVE", "TRACE", "HEAD"])
def test_only_get_is_kept(cached, method):
    cached("/page", method=method, headers={"Content-Length": "0"})
    assert b"by GET" in cached("/page").body


@pytest.mark.parametrize("method", ["PATCH", "MOVE"])
def test_other_methods_reach_the_handler_and_end_what_is_kept(cached, method):
    cached("/page")
    Root.calls = 10
    cached("/page", method=method, body=b"")
    assert Root.calls == 11
    assert cached("/page").body.endswith(b" 12")


def test_head_is_answered_by_what_is_kept_and_leaves_nothing(cached):
    body = cached("/page").body
    calls = Root.calls
    answer = cached("/page", method="HEAD")
    assert (answer.body, answer["Content-Length"]) == (b"", str(len(body)))
    assert Root.calls == calls


@pytest.mark.parametrize("other", ["/page?x=1", "/a/../page?x=1", "/./page?x=1", "/page%3Fx=1"])
def test_no_path_stands_for_another_page(cached, other):
    path, _, query = other.partition("?")
    if other != "/page?x=1":
        cached(path, query)
    cached(other)  # the '?' within the path, as %3F gives it
    assert b"page by GET" in cached("/page", "x=1").body


def test_a_page_that_begins_to_vary(cached):
    assert cached("/sometimes").body == b"in None"
    assert cached("/sometimes", headers={"Cache-Control": "no-cache", "Accept-Language": "de"})
    assert cached("/sometimes", headers={"Accept-Language": "fr"}).body == b"in fr"
    assert cached("/sometimes", headers={"Accept-Language": "de"}).body == b"in de"


def test_what_varies_with_everything_is_not_kept(cached):
    assert cached("/star").body != cached("/star").body


def test_variants_that_a_peer_makes_up_are_bounded(cached):
    for number in range(200):
        cached("/vary", headers={"User-Agent": f"agent {number}"})
    cache = owner._cache
    (variants,) = cache.store.values()
    assert len(variants) == len(cache._entries) == cache.maxvariants
    assert len(cache.expirations) <= 2 * cache.maxvariants + 101
    assert cached("/vary", headers={"User-Agent": "agent 199"}).body == b"call 200"
    assert cached("/vary", headers={"User-Agent": "agent 0"}).body == b"call 201"


def test_reloading_does_not_fill_the_cache(cached):
    for _ in range(500):
        body = cached("/page", headers={"Cache-Control": "no-cache"}).body
    cache = owner._cache
    # With what tells it from others: a peer may make that up.
    assert cache.cursize == len(body) + len("http://127.0.0.1/page")
    assert len(cache._entries) == 1
    assert len(cache.expirations) < 200


def test_what_is_removed_gives_its_room_back(cached):
    cached("/page")
    assert owner._cache.cursize > 0
    cached("/page", method="POST", body=b"")
    assert owner._cache.cursize == 0
    assert owner._cache.store == {}


def test_a_response_that_is_not_kept_leaves_no_empty_place(serve):
    site = serve(
        Root(),
        {"tools.caching.on": True, "tools.caching.delay": 0.2, "tools.caching.expire_freq": 0.01},
    )
    Root.calls = 1
    site("/vary", headers={"User-Agent": "a"})
    # Somebody is making another variant while the first one expires.
    cache = owner._cache
    (variants,) = cache.store.values()
    assert variants.wait(("b",)) is None
    deadline = time.monotonic() + 5
    while len(variants) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cache.maxobj_size = 1
    variants.abandon(("b",))
    site("/vary", headers={"User-Agent": "b"})
    assert cache.store == {}


def test_a_long_stream_is_not_gathered():
    """More than is ever stored is not kept in memory either, while it passes."""
    import tracemalloc

    from cherrypy.framework.response import Response

    owner.__dict__["_cache"] = caching.MemoryCache()
    serving.response = response = Response()
    response.body = (bytes(100_000) for _ in range(200))
    caching.tee_output()
    tracemalloc.start()
    try:
        assert sum(map(len, response.body)) == 20_000_000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert owner._cache.store == {}
