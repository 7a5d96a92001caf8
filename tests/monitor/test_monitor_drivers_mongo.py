"""pymongo with its instrument on; the client is the real one, what it asks a stand-in, see `drivers_mongo`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest
from drivers_kit import serving, watching
from drivers_mongo import mongo
from session_kit import free_port

from cherrypy.monitor.instruments import pymongo as ours

pymongo = pytest.importorskip("pymongo")

__all__ = ("mongo",)

DURATION, CALLS = "db.client.operation.duration", "cherrypy.db.calls"
ERRORS = "cherrypy.db.errors"
HERE = "127.0.0.1"


def opened(port, cls="MongoClient", **more):
    how = {"serverSelectionTimeoutMS": 20_000, "serverMonitoringMode": "poll", **more}
    api = pymongo.server_api.ServerApi("1")
    return getattr(pymongo, cls)(HERE, port, directConnection=True, server_api=api, **how)


def test_commands_are_counted_and_work(mongo):
    with watching("pymongo") as seen, opened(mongo) as client:
        users = client.shop.users
        with serving() as request:
            users.insert_one({"_id": 1, "name": "hush"})
            users.insert_many([{"_id": 2}, {"_id": 3}])
            assert [row["_id"] for row in users.find({"name": "hush"})] == [1, 2, 3]
            list(users.find({"nap": 0.05}))
            time.sleep(0.02)
        assert client.admin.command("ping")["ok"] == 1
        assert seen.spread(DURATION, "mongodb", "insert", HERE, "")[0] == 2
        assert seen.spread(DURATION, "mongodb", "find", HERE, "")[0] == 2
        assert seen.spread(DURATION, "mongodb", "ping", HERE, "")[0] == 1
        assert seen.spread(DURATION)[0] == 5
        assert seen.count(CALLS, "mongodb", "execute") == 5
        assert seen.count(CALLS, "mongodb", "connect") >= 1
        assert seen.spread("db.client.connection.create_time", f"mongodb {HERE}")[0] >= 1
        assert seen.spread("db.client.connection.wait_time", f"mongodb {HERE}")[0] >= 5
        assert seen.statements()["insert users"]["count"] == 2
        assert seen.statements()["find users"]["total"] >= 0.05
        assert request.layers["db"] >= 0.05
        assert request.layers["wsgi"] >= 0.02
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6
        assert request.steps[0] == ("db", "mongodb insert users")
        assert request.calls == {"db": 4}
        assert "hush" not in repr(seen.monitor.taker.take())


def test_errors_are_pymongo_s_own_and_counted(mongo):
    with watching("pymongo", db__slow_threshold=0.0) as seen, opened(mongo) as client:
        with pytest.raises(pymongo.errors.OperationFailure) as caught:
            client.shop.command("broken", "hush")
        assert caught.value.code == 59
        assert seen.count(ERRORS, "mongodb", "CommandNotFound") == 1
        assert seen.spread(DURATION, "mongodb", "_OTHER", HERE, "CommandNotFound")[0] == 1
        assert seen.count("cherrypy.db.slow", "mongodb", None) == 1
        with opened(free_port(), serverSelectionTimeoutMS=100) as gone:
            with pytest.raises(pymongo.errors.ServerSelectionTimeoutError):
                gone.shop.users.find_one()


def test_a_client_of_a_loop_is_counted(mongo):
    async def main():
        client = opened(mongo, "AsyncMongoClient")
        with serving() as request:
            await asyncio.gather(*(client.shop.none.find_one({"nap": 0.1}) for _ in range(3)))
        await client.close()
        return request

    with watching("pymongo") as seen:
        request = asyncio.run(main())
        assert seen.spread(DURATION, "mongodb", "find", HERE, "")[0] == 3
        assert request.calls == {"db": 3}
        assert request.layers["db"] >= 0.1
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6


def test_a_pool_that_has_none_to_give_is_counted(mongo):
    with watching("pymongo") as seen, opened(mongo, maxPoolSize=1, waitQueueTimeoutMS=50) as client:
        client.shop.command("ping")

        def ask():
            with contextlib.suppress(pymongo.errors.WaitQueueTimeoutError):
                list(client.shop.none.find({"nap": 1}))

        slow = threading.Thread(target=ask)
        slow.start()
        # The only connection is taken as soon as the other thread asks.
        deadline = time.monotonic() + 20
        while not seen.count("db.client.connection.timeouts", f"mongodb {HERE}"):
            with contextlib.suppress(pymongo.errors.WaitQueueTimeoutError):
                client.shop.command("ping")
            assert time.monotonic() < deadline
        slow.join(20)


def test_a_failure_of_the_instrument_is_not_the_program_s(mongo, monkeypatch):
    with watching("pymongo") as seen, opened(mongo) as client:
        monkeypatch.setattr(ours, "DURATION", None)
        for _ in range(4):
            assert client.shop.command("ping")["ok"] == 1
        assert "switched off" in seen.told[-1]
        seen.told.clear()


def test_at_the_end_new_clients_have_no_listeners(mongo):
    listeners = pymongo.monitoring._LISTENERS
    before = [list(rows) for rows in listeners]
    with watching("pymongo") as seen:
        client = opened(mongo)
        client.shop.command("ping")
        assert seen.spread(DURATION)[0] == 1
    assert [list(rows) for rows in listeners] == before
    with watching("sqlite3") as seen:
        client.shop.command("ping")  # it still has them
        assert seen.spread(DURATION)[0] == 0
    client.close()
