"""The tool `rate_limit`: its buckets, from many threads too, and what a client is told."""

from __future__ import annotations

import sys
import threading

import pytest
from security_kit import served

import cherrypy
from cherrypy.lib import ratelimit
from cherrypy.lib.auth_basic import checkpassword_dict
from cherrypy.lib.ratelimit import Buckets, Policy, _network


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def buckets(limit=3, window=60, burst=None, max_keys=65536):
    clock = Clock()
    policy = Policy("x", limit, window, burst or int(limit), max_keys)
    return Buckets(policy, clock), clock


# ---------------------------------------------------------------------------- the buckets


def test_a_bucket_empties_and_fills():
    made, clock = buckets(3, 60)
    assert [made.take("a")[:2] for _ in range(3)] == [(True, 2), (True, 1), (True, 0)]
    allowed, remaining, wait, reset = made.take("a")
    assert (allowed, remaining) == (False, 0)
    assert (wait, reset) == (pytest.approx(20), pytest.approx(60))
    assert made.take("b").allowed
    clock.now += 19.9
    assert not made.take("a").allowed
    clock.now += 0.1
    assert made.take("a").allowed
    assert not made.take("a").allowed
    clock.now += 1000
    assert [made.take("a").allowed for _ in range(4)] == [True, True, True, False]


def test_refusals_cost_nothing():
    made, clock = buckets(1, 10)
    assert made.take("a").allowed
    for _ in range(100):
        assert not made.take("a").allowed
    clock.now += 10
    assert made.take("a").allowed


@pytest.mark.parametrize("limit", [0.1, 1 / 3, 7, 999])
def test_the_long_run(limit):
    made, clock = buckets(limit, 1, 5)
    taken = 0
    for _ in range(5000):
        clock.now += 0.013
        taken += made.take("a").allowed
    assert taken == pytest.approx(min(5000, 5 + limit * 65), abs=1.5)


def test_as_many_keys_as_are_kept_and_no_more():
    made, _clock = buckets(2, 60, max_keys=160)
    for number in range(100_000):
        made.take(f"key {number}")
    assert len(made) <= 160
    # What is used stays, however many others come.
    assert made.take("mine").allowed
    assert made.take("mine").allowed
    for number in range(2000):
        made.take(f"other {number}")
        assert not made.take("mine").allowed
    assert len(made) <= 160


def test_full_buckets_are_forgotten():
    made, clock = buckets(2, 60)
    for number in range(5000):
        made.take(f"key {number}")
    assert len(made) == 5000
    clock.now += 61
    for number in range(5000):
        made.take(f"later {number}")
    assert len(made) == 5000
    clock.now += 61
    for _ in range(5000):
        clock.now += 31  # whenever it comes its bucket is full
        made.take("one")
    made.clear()
    assert len(made) == 0


def test_many_threads_take_no_more_than_there_is():
    """Without a GIL, and with one that changes hands all the time."""
    made, _clock = buckets(500, 60, 500)
    taken = []
    start = threading.Barrier(16)

    def run(key):
        start.wait()
        count = sum(made.take(key).allowed for _ in range(400))
        taken.append((key, count))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run, args=(f"key {i % 2}",)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    for key in ("key 0", "key 1"):
        assert sum(count for name, count in taken if name == key) == 500


@pytest.mark.parametrize("bad", [{"limit": 0}, {"window": 0}, {"limit": -1}])
def test_numbers_that_mean_nothing(bad):
    with pytest.raises(ValueError, match="must be positive"):
        Buckets(Policy(**{"name": "", "limit": 1, "window": 1, "burst": 1, "max_keys": 9, **bad}))


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "20010db800000000"),
        ("2001:db8::ffff:1", "20010db800000000"),
        ("fe80::1%eth0", "fe80000000000000"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("not:an:address", "not:an:address"),
        ("x" * 10_000, "x" * 45),
        ("", ""),
    ],
)
def test_networks(ip, network):
    assert _network(ip) == network


# -------------------------------------------------------------------------------- the tool


class Root:
    calls = 0

    @cherrypy.expose
    def index(self):
        Root.calls += 1
        return "Hello"

    @cherrypy.expose
    def other(self):
        return "other"

    @cherrypy.expose
    def login(self, username=""):
        return f"not {username}"

    @cherrypy.expose
    def inside(self):
        raise cherrypy.InternalRedirect("/other")

    @cherrypy.expose
    def no(self):
        raise cherrypy.HTTPError(403)


@pytest.fixture(autouse=True)
def full_buckets():
    ratelimit._stores.clear()
    yield
    ratelimit._stores.clear()


@pytest.mark.parametrize("native", [False, True])
def test_over_a_socket(native):
    config = """
        [/]
        tools.rate_limit.on = True
        tools.rate_limit.limit = 3
        tools.rate_limit.window = 3600
    """
    with served(Root(), config, native) as ask:
        calls = Root.calls
        for left in (2, 1, 0):
            answer = ask("/")
            assert answer.status == 200
            assert answer["RateLimit-Policy"] == '"default";q=3;w=3600'
            assert answer["RateLimit"].startswith(f'"default";r={left};t=')
            assert answer["Retry-After"] is None
        for path in ("/", "/other", "/missing", "/no"):
            answer = ask(path)
            assert answer.status == 429
            assert 1190 <= int(answer["Retry-After"]) <= 1200
            assert answer["RateLimit"].startswith('"default";r=0;t=3')
            assert f"wait {answer['Retry-After']} s" in answer.text
        assert Root.calls == calls + 3


def test_a_bucket_fills_again():
    conf = {"tools.rate_limit.on": True, "tools.rate_limit.limit": 2, "tools.rate_limit.window": 1}
    with served(Root(), {"/": conf}) as ask:
        statuses = [ask("/").status for _ in range(4)]
        assert statuses[:2] == [200, 200]
        assert 429 in statuses
        # Retry-After is in whole seconds (RFC 9110, 10.2.3).
        assert {ask("/")["Retry-After"] for _ in range(3)} <= {"1", None}


def test_paths_with_limits_of_their_own():
    config = """
        [/]
        tools.rate_limit.on = True
        tools.rate_limit.limit = 5
        [/login]
        tools.rate_limit.limit = 1
        tools.rate_limit.headers = False
        tools.rate_limit.message = 'Slowly.'
        [/other]
        tools.rate_limit.on = False
    """
    with served(Root(), config) as ask:
        answer = ask("/login")
        assert (answer.status, answer["RateLimit"]) == (200, None)
        answer = ask("/login")
        assert (answer.status, answer["RateLimit"]) == (429, None)
        assert "Slowly." in answer.text
        assert [ask("/").status for _ in range(6)] == [200] * 5 + [429]
        assert {ask("/other").status for _ in range(10)} == {200}


def test_an_internal_redirect_is_one_request():
    conf = {"tools.rate_limit.on": True, "tools.rate_limit.limit": 3}
    for native in (False, True):
        ratelimit._stores.clear()
        with served(Root(), {"/": conf}, native) as ask:
            assert [ask("/inside").status for _ in range(4)] == [200, 200, 200, 429]


def test_by_the_address_that_a_proxy_tells():
    conf = {
        "tools.rate_limit.on": True,
        "tools.rate_limit.limit": 1,
        "tools.proxy.on": True,
    }
    with served(Root(), {"/": conf}) as ask:
        assert ask("/", x_forwarded_for="192.0.2.1").status == 200
        assert ask("/", x_forwarded_for="192.0.2.1").status == 429
        assert ask("/", x_forwarded_for="192.0.2.2").status == 200
        assert ask("/", x_forwarded_for="2001:db8::1").status == 200
        assert ask("/", x_forwarded_for="2001:db8::2").status == 429


def test_by_login():
    conf = {
        "tools.rate_limit.on": True,
        "tools.rate_limit.limit": 1,
        "tools.rate_limit.key": "login",
        "tools.auth_basic.on": True,
        "tools.auth_basic.realm": "r",
        "tools.auth_basic.checkpassword": checkpassword_dict({"a": "a", "b": "b"}),
    }
    alice, bob = "Basic YTph", "Basic Yjpi"
    with served(Root(), {"/": conf}) as ask:
        assert [ask("/", authorization=alice).status for _ in range(2)] == [200, 429]
        assert [ask("/", authorization=bob).status for _ in range(2)] == [200, 429]
        assert ask("/").status == 401


def test_by_a_function():
    seen = []

    def user():
        name = cherrypy.request.params.get("username")
        seen.append(name)
        return name

    conf = {
        "tools.rate_limit.on": True,
        "tools.rate_limit.limit": 1,
        "tools.rate_limit.key": user,
    }
    with served(Root(), {"/": conf}) as ask:
        assert [ask("/login", "POST", "username=a").status for _ in range(2)] == [200, 429]
        assert ask("/login", "POST", "username=b").status == 200
        long = "x" * 10_000
        statuses = [ask("/login", "POST", f"username={long}{end}").status for end in "112"]
        assert statuses == [200, 429, 200]
        assert {ask("/").status for _ in range(4)} == {200}  # None: not counted
    assert None in seen
    (store,) = ratelimit._stores.values()
    assert all(len(key) < 110 for shard in store._shards for key in shard.full_at)


def test_a_key_that_is_none():
    with served(
        Root(), {"/": {"tools.rate_limit.on": True, "tools.rate_limit.key": "color"}}
    ) as ask:
        assert ask("/").status == 500
