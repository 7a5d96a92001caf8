"""redis-py and pymemcache with their instruments on, against a real Redis and a real memcached."""

from __future__ import annotations

import asyncio
import pickle
import sys
import time

import pytest
from drivers_kit import serving, watching
from session_kit import running, server

redis = pytest.importorskip("redis")
pymemcache = pytest.importorskip("pymemcache")

OPERATION, REQUESTS = "cherrypy.kv.operation.duration", "cherrypy.kv.requests"


def started(kind):
    had = kind in running
    found = server(kind)
    yield found
    if not had:
        running.pop(kind).close()


@pytest.fixture(scope="module")
def redis_server():
    yield from started("redis")


@pytest.fixture(scope="module")
def memcached():
    yield from started("memcached")


# -- Redis -----------------------------------------------------------------------------------------


def test_commands_are_counted_once_and_work(redis_server):
    with watching("redis") as seen, redis_server.client() as client:
        assert client.set("key:hush", "value") is True
        assert client.get("key:hush") == b"value"
        assert client.get("missing") is None
        assert client.mget("key:hush", "missing", "missing") == [b"value", None, None]
        assert client.hset("h", mapping={"a": 1, "b": 2}) == 2
        assert client.hget("h", "a") == b"1"
        assert client.hgetall("h") == {b"a": b"1", b"b": b"2"}
        assert client.incr("n") == 1
        assert sorted(client.scan_iter()) == [b"h", b"key:hush", b"n"]
        assert client.eval("return 7", 0) == 7
        assert client.config_get("port") == {"port": "0"}
        assert seen.spread(OPERATION, "redis", "GET")[0] == 2
        assert seen.spread(OPERATION, "redis", "MGET")[0] == 1
        assert seen.spread(OPERATION, "redis", "SET")[0] == 1
        assert (
            seen.spread("db.client.operation.duration", "redis", "GET", redis_server.path)[0] == 2
        )
        assert seen.count(REQUESTS, "redis", "hit") == 3
        assert seen.count(REQUESTS, "redis", "miss") == 3
        assert "hush" not in repr(seen.monitor.taker.take().spreads)


def test_pipelines_are_one_call_and_know_hits(redis_server):
    redis_server.clear()
    with watching("redis") as seen, redis_server.client() as client:
        with serving() as request, client.pipeline() as pipe:
            pipe.set("a", 1).get("a").get("b").mget("a", "b")
            assert pipe.execute() == [True, b"1", None, [b"1", None]]
        assert request.steps == [("db", "redis PIPELINE")]
        assert seen.spread(OPERATION, "redis", "PIPELINE")[0] == 1
        assert seen.spread(OPERATION)[0] == 1
        assert (seen.count(REQUESTS, "redis", "hit"), seen.count(REQUESTS, "redis", "miss")) == (
            2,
            2,
        )
        with client.pipeline() as pipe:  # one that looks before it leaps
            pipe.watch("a")
            assert pipe.get("a") == b"1"
            pipe.multi()
            pipe.set("a", 2)
            assert pipe.execute() == [True]
        assert seen.spread(OPERATION, "redis", "WATCH")[0] == 1
        assert seen.spread(OPERATION, "redis", "GET")[0] == 1
        assert client.pipeline().execute() == []
        with pytest.raises(redis.ResponseError):
            client.pipeline().set("s", "x").hget("s", "f").execute()
        assert seen.count(REQUESTS, "redis", "error") == 1


def test_errors_of_redis_are_its_own(redis_server):
    with watching("redis") as seen, redis_server.client() as client:
        client.set("s", "x")
        with pytest.raises(redis.ResponseError) as caught:
            client.lpush("s", "y")
        assert type(pickle.loads(pickle.dumps(caught.value))) is redis.ResponseError
        with pytest.raises(redis.ResponseError):
            client.execute_command("no such $ command with hush")
        gone = redis.Redis(unix_socket_path="/nowhere/at/all")
        with pytest.raises(redis.ConnectionError):
            gone.get("x")
        assert seen.count(REQUESTS, "redis", "error") == 3
        assert seen.count("cherrypy.db.errors", "redis", "ResponseError") == 2
        assert seen.spread(OPERATION, "redis", "_OTHER")[0] == 1


def test_time_in_redis_is_that_of_the_database(redis_server):
    with watching("redis"), redis_server.client() as client:
        client.delete("list")
        client.ping()
        with serving() as request:
            client.blpop("list", timeout=0.05)
            time.sleep(0.02)
        assert request.layers["db"] >= 0.05
        assert request.layers["wsgi"] >= 0.02
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6
        assert request.steps == [("db", "redis BLPOP")]


def test_locks_subscriptions_and_scripts_of_redis_work(redis_server):
    with watching("redis") as seen, redis_server.client() as client:
        with client.lock("lock", timeout=5):
            assert client.exists("lock")
        told = client.pubsub()
        told.subscribe("news")
        assert told.get_message(timeout=5)["type"] == "subscribe"
        client.publish("news", "x")
        assert told.get_message(timeout=5)["data"] == b"x"
        told.close()
        assert client.register_script("return ARGV[1]")(args=["x"]) == b"x"

        def change(pipe):
            pipe.multi()
            pipe.set("t", 1)

        assert client.transaction(change, "t") == [True]
        assert seen.spread(OPERATION, "redis", "PUBLISH")[0] == 1


def test_redis_of_a_loop_is_counted(redis_server):
    import redis.asyncio as aioredis

    async def main():
        client = aioredis.Redis(unix_socket_path=redis_server.path)
        await client.set("a", 1)
        answers = await asyncio.gather(*(client.get("a") for _ in range(4)), client.get("none"))
        assert answers == [b"1"] * 4 + [None]
        async with client.pipeline() as pipe:
            assert await pipe.set("a", 2).get("a").execute() == [True, b"2"]
        with pytest.raises(redis.ResponseError):
            await client.lpush("a", 1)
        await client.aclose()

    with watching("redis") as seen:
        asyncio.run(main())
        assert seen.spread(OPERATION, "redis", "GET")[0] == 5
        assert seen.spread(OPERATION, "redis", "PIPELINE")[0] == 1
        assert (seen.count(REQUESTS, "redis", "hit"), seen.count(REQUESTS, "redis", "miss")) == (
            5,
            1,
        )
        assert seen.count(REQUESTS, "redis", "error") == 1


def test_at_the_end_redis_is_as_before():
    plain = redis.Redis.execute_command
    with watching("redis"):
        assert redis.Redis.execute_command is not plain
        assert redis.Redis.execute_command.__wrapped__ is plain
    assert redis.Redis.execute_command is plain


# -- memcached -------------------------------------------------------------------------------------


def clients(port):
    from pymemcache.client.base import Client, PooledClient
    from pymemcache.client.hash import HashClient
    from pymemcache.client.retrying import RetryingClient

    where = ("127.0.0.1", port)
    yield Client(where)
    yield PooledClient(where)
    yield HashClient([where])
    yield HashClient([where], use_pooling=True)
    yield RetryingClient(Client(where), attempts=2)


@pytest.mark.parametrize("number", range(5))
def test_all_clients_of_memcached_are_counted_once(memcached, number):
    memcached.clear()
    client = list(clients(memcached.port))[number]
    with watching("pymemcache") as seen:
        assert client.set("hush", "1", noreply=False)
        assert client.get("hush") == b"1"
        assert client.get("missing") is None
        assert client.get("missing", "other") == "other"
        assert client.get_many(["hush", "missing", "gone"]) == {"hush": b"1"}
        assert client.set_many({"a": "1", "b": "2"}, noreply=False) == []
        assert client.incr("hush", 2) == 3
        assert client.delete("hush", noreply=False)
        assert client.delete_many(["a", "b"], noreply=False)
        assert seen.spread(OPERATION, "memcached", "get")[0] == 3
        assert seen.spread(OPERATION, "memcached", "get_many")[0] == 1
        assert seen.spread(OPERATION, "memcached", "set")[0] == 1
        assert seen.spread(OPERATION, "memcached", "set_many")[0] == 1
        assert seen.count(REQUESTS, "memcached", "hit") == 2
        assert seen.count(REQUESTS, "memcached", "miss") == 4
        assert "hush" not in repr(seen.monitor.taker.take().spreads)
    client.close()


def test_time_in_memcached_is_that_of_the_cache(memcached):
    from pymemcache.client.base import Client

    client = Client(("127.0.0.1", memcached.port))
    with watching("pymemcache"), serving() as request:
        client["key"] = "value"
        assert client["key"] == b"value"
        with pytest.raises(KeyError):
            client["missing"]
    assert request.layers["cache"] > 0
    assert request.steps == [("cache", "memcached set"), *[("cache", "memcached get")] * 2]
    assert abs(sum(request.layers.values()) - request.wall) < 1e-6
    client.close()


def test_errors_of_memcached_are_its_own():
    from pymemcache.client.base import Client

    with watching("pymemcache") as seen:
        client = Client("/nowhere/at/all")
        with pytest.raises(OSError):
            client.get("x")
        with pytest.raises(pymemcache.MemcacheIllegalInputError):
            client.get("a b")
        assert seen.count(REQUESTS, "memcached", "error") == 2


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="only on Pythons that pylibmc is built for")
def test_pylibmc_is_counted_once(memcached):
    pylibmc = pytest.importorskip("pylibmc")
    memcached.clear()
    client = pylibmc.Client([f"127.0.0.1:{memcached.port}"], binary=False)
    with watching("pylibmc") as seen:
        assert isinstance(client, pylibmc.Client)
        assert client.set("hush", "1")
        assert client.get("hush") == "1"
        assert client.get("missing") is None
        assert client.get_multi(["hush", "missing"]) == {"hush": "1"}
        assert client.set_multi({"a": 1}) == []
        assert client.incr("a") == 2
        assert client["a"] == 2
        with pytest.raises(pylibmc.NotFound):
            client.incr("gone")
        assert seen.spread(OPERATION, "memcached", "set")[0] == 1
        assert seen.spread(OPERATION, "memcached", "get_many")[0] == 1
        assert seen.count(REQUESTS, "memcached", "miss") == 2
        assert seen.count(REQUESTS, "memcached", "error") == 1
        pool = pylibmc.ThreadMappedPool(client)
        with pool.reserve() as other:
            assert other.get("hush") == "1"
    plain = pylibmc.Client([f"127.0.0.1:{memcached.port}"])
    assert plain.get("hush") == "1"
