"""Clusters of redis-py, and valkey-py, with their instruments on, against real Redis servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator

import pytest
from drivers_brokers import Broker
from drivers_kit import serving, watching
from session_kit import command, free_port, running, server

redis = pytest.importorskip("redis")
valkey = pytest.importorskip("valkey")

OPERATION, REQUESTS = "cherrypy.kv.operation.duration", "cherrypy.kv.requests"
DURATION = "db.client.operation.duration"
KINDS = ["redis", "valkey"]


class Cluster(Broker):
    """A cluster of one server."""

    def launch_on(self, port: int) -> None:
        self.port = port
        self.launch()

    def arguments(self) -> list[str]:
        return [
            *(command("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--save", ""),
            *("--dir", self.folder, "--cluster-config-file", os.path.join(self.folder, "nodes")),
        ]

    def greets(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            with redis.Redis(port=self.port, socket_timeout=5) as client:
                if client.cluster("info")["cluster_slots_assigned"] == "0":
                    client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
                return bool(client.cluster("info")["cluster_state"] == "ok")
        return False


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.close()


@pytest.fixture(scope="module")
def alone():
    had = "redis" in running
    yield server("redis")
    if not had:
        running.pop("redis").close()


def clustered(kind, port):
    if kind == "redis":
        return redis.RedisCluster(host="127.0.0.1", port=port)
    return valkey.ValkeyCluster(host="127.0.0.1", port=port)


@pytest.mark.parametrize("kind", KINDS)
def test_commands_and_pipelines_of_a_cluster_are_counted_once(kind, cluster):
    with watching(kind) as seen, contextlib.closing(clustered(kind, cluster.port)) as client:
        client.flushall()
        with serving() as request:
            assert client.set("{a}hush", "1")
            assert client.get("{a}hush") == b"1"
            assert client.get("{a}none") is None
            assert client.mget(["{a}hush", "{a}none"]) == [b"1", None]
            pipe = client.pipeline()
            pipe.set("{a}n", 2).get("{a}n").get("{b}none")
            assert pipe.execute() == [True, b"2", None]
            assert client.pipeline().execute() == []
        assert seen.spread(OPERATION, kind, "GET")[0] == 2
        assert seen.spread(OPERATION, kind, "MGET")[0] == 1
        assert seen.spread(OPERATION, kind, "PIPELINE")[0] == 1
        assert seen.spread(DURATION, kind, "GET", "127.0.0.1", "")[0] == 2
        assert seen.spread(DURATION, kind, "PIPELINE", "127.0.0.1", "")[0] == 1
        assert (seen.count(REQUESTS, kind, "hit"), seen.count(REQUESTS, kind, "miss")) == (3, 3)
        assert request.calls == {"db": 5}
        assert "hush" not in repr(seen.monitor.taker.take().spreads)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cluster_s_client_of_a_loop_is_counted(kind, cluster):
    async def main():
        if kind == "redis":
            client = redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster.port)
        else:
            client = valkey.asyncio.ValkeyCluster(host="127.0.0.1", port=cluster.port)
        await client.set("{l}a", 1)
        answers = await asyncio.gather(*(client.get("{l}a") for _ in range(3)), client.get("{l}x"))
        assert answers == [b"1"] * 3 + [None]
        pipe = client.pipeline()
        assert await pipe.set("{l}a", 2).get("{l}a").execute() == [True, b"2"]
        with pytest.raises((redis.ResponseError, valkey.ResponseError)):
            await client.lpush("{l}a", 1)
        await client.aclose()

    with watching(kind) as seen:
        asyncio.run(main())
        assert seen.spread(OPERATION, kind, "GET")[0] == 4
        assert seen.spread(OPERATION, kind, "PIPELINE")[0] == 1
        assert seen.spread(DURATION, kind, "GET", "127.0.0.1", "")[0] == 4
        assert (seen.count(REQUESTS, kind, "hit"), seen.count(REQUESTS, kind, "miss")) == (4, 1)
        assert seen.count(REQUESTS, kind, "error") == 1


def test_valkey_is_counted_once_and_works(alone):
    with watching("valkey", "redis") as seen:
        client = valkey.Valkey(unix_socket_path=alone.path, socket_timeout=5)
        assert client.set("hush", "value") is True
        assert client.get("hush") == b"value"
        assert client.mget("hush", "missing") == [b"value", None]
        with client.pipeline() as pipe:
            assert pipe.get("hush").get("missing").execute() == [b"value", None]
        with client.pipeline() as pipe:
            pipe.watch("hush")
            assert pipe.get("hush") == b"value"
        with pytest.raises(valkey.ResponseError):
            client.lpush("hush", 1)
        client.close()
        assert seen.spread(OPERATION, "valkey", "GET")[0] == 2
        assert seen.spread(OPERATION, "valkey", "PIPELINE")[0] == 1
        assert seen.spread(DURATION, "valkey", "GET", alone.path, "")[0] == 2
        assert seen.count(REQUESTS, "valkey", "hit") == 4
        assert seen.count(REQUESTS, "valkey", "miss") == 2
        assert seen.count(REQUESTS, "valkey", "error") == 1
        assert seen.count(REQUESTS, "redis") == 0
        assert "hush" not in repr(seen.monitor.taker.take().spreads)
        # A server is no service: it is not among the hosts of those.
        assert seen.gauge("http.client.active_requests") == {}


def test_valkey_of_a_loop_is_counted(alone):
    import valkey.asyncio as later

    async def main():
        client = later.Valkey(unix_socket_path=alone.path)
        await client.set("a", 1)
        assert await asyncio.gather(client.get("a"), client.get("none")) == [b"1", None]
        async with client.pipeline() as pipe:
            assert await pipe.get("a").execute() == [b"1"]
        await client.aclose()

    with watching("valkey") as seen:
        asyncio.run(main())
        assert seen.spread(OPERATION, "valkey", "GET")[0] == 2
        assert seen.spread(OPERATION, "valkey", "PIPELINE")[0] == 1
        assert (seen.count(REQUESTS, "valkey", "hit"), seen.count(REQUESTS, "valkey", "miss")) == (
            2,
            1,
        )


def test_at_the_end_the_clients_are_as_before():
    import redis.asyncio.cluster
    import valkey.asyncio.cluster
    import valkey.cluster

    def methods():
        return [
            vars(owner)[name]
            for owner, name in (
                (redis.asyncio.RedisCluster, "execute_command"),
                (redis.cluster.ClusterPipeline, "execute"),
                (redis.asyncio.cluster.ClusterPipeline, "execute"),
                (valkey.Valkey, "execute_command"),
                (valkey.asyncio.Valkey, "execute_command"),
                (valkey.cluster.ClusterPipeline, "execute"),
                (valkey.asyncio.ValkeyCluster, "execute_command"),
            )
        ]

    plain = methods()
    with watching(*KINDS):
        assert all(new.__wrapped__ is old for new, old in zip(methods(), plain, strict=True))
    assert methods() == plain
