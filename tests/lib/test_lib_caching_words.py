"""What requests and responses say about caches, and what must never be shared."""

from __future__ import annotations

import threading
import time

import pytest

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from kirsch.http.dates import HTTPDate


class Root:
    calls = 0
    value = "old"

    @expose
    def page(self, control=None, expires=None, cookie=None, field=None):
        Root.calls += 1
        headers = serving.response.headers
        headers["ETag"] = '"tag"'
        if control:
            headers["Cache-Control"] = control
        if expires is not None:
            headers["Expires"] = HTTPDate(time.time() + int(expires)) if expires != "0" else "0"
        if cookie:
            serving.response.cookie["who"] = cookie
        if field:
            headers["Set-Cookie"] = field
        return f"call {Root.calls}"

    @expose
    def slow(self):
        """Reads the value, and is a while about it."""
        if serving.request.method == "POST":
            Root.value = "new"
            Root.before_the_answer()
            return "changed"
        value = Root.value
        Root.while_reading()
        return value

    @expose
    def fails(self):
        if serving.request.method == "POST":
            Root.value = "new"
            Root.before_the_answer()
            raise HTTPError(500)
        return Root.value

    @staticmethod
    def nothing():
        pass


@pytest.fixture
def cached(serve):
    Root.calls, Root.value = 0, "old"
    Root.while_reading = Root.before_the_answer = staticmethod(Root.nothing)
    site = serve(Root(), {"tools.caching.on": True})

    def twice(query="", **how):
        """Whether the second answer is the first one."""
        return site("/page", query, **how).body == site("/page", query, **how).body

    site.twice = twice
    return site


def elsewhere(ask):
    """A function that has another thread ask, as another client would, and waits for it."""

    def run():
        answers = []
        thread = threading.Thread(target=lambda: answers.append(ask()))
        thread.start()
        thread.join(10)
        assert answers, "the other request did not come back"
        return answers[0]

    return staticmethod(run)


def aged(seconds):
    """Let all that is in the cache have been there so long."""
    cache = owner._cache
    for variants in cache.store.values():
        for key, (status, headers, body, created) in list(variants.items()):
            dict.__setitem__(variants, key, (status, headers, body, created - seconds))


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("", True),
        ("control=public", True),
        ("control=max-age%3D60", True),
        ("control=max-age%3D0", False),
        ("control=max-age%3D60,s-maxage%3D0", False),
        ("control=max-age%3D0,s-maxage%3D60", True),
        ("control=max-age%3Drubbish", False),
        ("control=no-store", False),
        ("control=private", False),
        ("control=PRIVATE", False),
        ('control=no-cache%3D"x"', False),
        ("expires=60", True),
        ("expires=-60", False),
        ("expires=0", False),
        ("expires=-60&control=max-age%3D60", True),
        ("cookie=me", False),
        ("cookie=me&control=public", True),
        ("field=a%3Db", False),
        ("field=a%3Db&control=public", False),
    ],
)
def test_what_responses_say(cached, query, kept):
    assert cached.twice(query) is kept


def test_a_cookie_is_nobody_elses(cached):
    assert cached("/page", "cookie=me&control=public")["Set-Cookie"] == "who=me"
    answer = cached("/page", "cookie=me&control=public")
    assert (answer["Age"], answer["Set-Cookie"]) == ("0", None)


@pytest.mark.parametrize(
    ("control", "kept"),
    [
        ("", False),
        ("max-age=60", False),
        ("public", True),
        ("s-maxage=60", True),
        ("must-revalidate", True),
    ],
)
def test_who_has_shown_who_they_are(cached, control, kept):
    query = "control=" + control.replace("=", "%3D")
    me = {"Authorization": "Basic bWU6aXQ="}
    assert cached.twice(query, headers=me) is kept
    owner._cache.clear()
    cached("/page", query, headers=me)
    assert ("Age" in dict(cached("/page", query).fields)) is kept


@pytest.mark.parametrize(
    ("control", "age", "answered"),
    [
        ("max-age=100", 50, True),
        ("max-age=40", 50, False),
        ("max-age=0", 50, False),
        ("min-fresh=60", 50, False),
        ("min-fresh=40", 50, True),
        ("no-cache", 0, False),
        ("no-store", 50, True),
        ("", 101, False),
        ("unheard-of=1", 50, True),
    ],
)
def test_what_requests_say(cached, control, age, answered):
    query = "control=max-age%3D100"
    cached("/page", query)
    aged(age)
    answer = cached("/page", query, headers={"Cache-Control": control})
    assert (answer.body == b"call 1") is answered
    assert answer["Age"] == (str(age) if answered else None)


def test_no_store_keeps_nothing(cached):
    assert not cached.twice(headers={"Cache-Control": "no-store"})
    assert owner._cache.store == {}


def test_only_if_cached(cached):
    wish = {"Cache-Control": "only-if-cached"}
    assert cached("/page", headers=wish).status == 504
    assert Root.calls == 0
    cached("/page")
    assert cached("/page", headers=wish).status == 200


@pytest.mark.parametrize(
    "control", ["max-age", "max-age=", "max-age=x", "min-fresh=-1", "max-age=²"]
)
def test_what_is_no_number(cached, control):
    assert cached("/page", headers={"Cache-Control": control}).status == 400


def test_a_response_leaves_when_it_is_no_longer_fresh(cached):
    cached("/page", "control=max-age%3D1")
    deadline = time.monotonic() + 5
    while owner._cache.store:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_entity_tags_of_what_is_kept(cached):
    cached("/page")
    for tag in ('"tag"', 'W/"tag"', "*"):
        answer = cached("/page", headers={"If-None-Match": tag})
        assert (answer.status, answer.body, answer["ETag"]) == (304, b"", '"tag"')
    assert cached("/page", headers={"If-None-Match": '"other"'}).body == b"call 1"
    assert cached("/page", headers={"If-Match": '"other"'}).status == 412
    assert Root.calls == 1
    assert owner._cache.tot_non_modified == 3


def test_what_was_read_before_a_change_is_not_kept_after_it(cached):
    """GET reads; POST changes, and is through; then GET would store what it has read."""
    Root.while_reading = elsewhere(lambda: cached("/slow", method="POST", body=b""))
    assert cached("/slow").body == b"old"
    Root.while_reading = staticmethod(Root.nothing)
    assert cached("/slow").body == b"new"
    assert cached("/slow")["Age"] == "0"


@pytest.mark.parametrize("path", ["/slow", "/fails"])
def test_what_was_read_during_a_change_is_not_kept_after_it(cached, path):
    """POST has thrown away what was kept; another fills the cache before the change is through."""

    def meanwhile():
        Root.value = "old"
        assert cached(path).body == b"old"
        Root.value = "new"
        return True

    Root.before_the_answer = elsewhere(meanwhile)
    cached(path, method="POST", body=b"")
    assert cached(path).body == b"new"


def test_reloading_during_a_change(cached):
    Root.while_reading = elsewhere(lambda: cached("/slow", method="POST", body=b""))
    assert cached("/slow", headers={"Cache-Control": "no-cache"}).body == b"old"
    Root.while_reading = staticmethod(Root.nothing)
    assert cached("/slow").body == b"new"


def test_nothing_is_remembered_of_requests_that_have_ended(cached):
    for number in range(20):
        cached("/page", f"control=no-store&n={number}")
        cached("/page", f"n={number}", method="HEAD")
        cached("/page", f"n={number}", method="POST", body=b"")
    assert owner._cache._making == {}


def test_made_up_fields_and_urls_count_as_bytes(cached):
    cached("/page")
    owner._cache.maxsize = 20_000
    for number in range(30):
        cached(
            "/page",
            f"control=x{number}" + "a" * 1000,
        )
    assert owner._cache.cursize < 20_000
    assert len(owner._cache.store) < 25


def test_many_threads_and_one_change(cached):
    """Whatever the threads do, what is kept after the last change is what was last."""
    stop = threading.Event()
    failures = []

    def read():
        while not stop.is_set():
            if cached("/slow").status != 200:
                failures.append(1)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            Root.value = "old"
            cached("/slow", method="POST", body=b"")
            assert cached("/slow").body == b"new"
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert not failures
    assert owner._cache._making == {}
