"""asyncpg and aiosqlite with their instruments on, against a real PostgreSQL and files."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time

import pytest
from drivers_kit import serving, watching
from session_kit import running, server

asyncpg = pytest.importorskip("asyncpg")
aiosqlite = pytest.importorskip("aiosqlite")

DURATION, CALLS = "db.client.operation.duration", "cherrypy.db.calls"
ERRORS = "cherrypy.db.errors"
PG = "postgresql"


@pytest.fixture(scope="module")
def postgres():
    had = "postgresql" in running
    found = server("postgresql")
    yield found
    if not had:
        running.pop("postgresql").close()


def how(postgres):
    return {"host": postgres.folder, "user": "tester", "database": "postgres"}


@contextlib.asynccontextmanager
async def opened(postgres):
    connection = await asyncpg.connect(**how(postgres))
    try:
        await connection.execute("CREATE TEMPORARY TABLE t (a integer, b text)")
        yield connection
    finally:
        await connection.close()


def test_statements_are_counted_once_and_work(postgres):
    async def main():
        async with opened(postgres) as connection:
            await connection.execute("INSERT INTO t VALUES ($1, $2)", 1, "hush")
            await connection.executemany("INSERT INTO t VALUES ($1, $2)", [(2, "x"), (3, "y")])
            rows = await connection.fetch("SELECT a FROM t WHERE b <> 'hush' ORDER BY a")
            assert [row["a"] for row in rows] == [2, 3]
            assert await connection.fetchval("SELECT count(*) FROM t") == 3
            assert (await connection.fetchrow("SELECT a FROM t WHERE b = $1", "hush"))["a"] == 1
            prepared = await connection.prepare("SELECT b FROM t WHERE a = $1")
            assert await prepared.fetchval(2) == "x"
            assert [row["b"] for row in await prepared.fetch(3)] == ["y"]

    with watching("asyncpg") as seen:
        asyncio.run(main())
        assert seen.count(CALLS, PG, "connect") == 1
        assert seen.count(CALLS, PG, "execute") == 7
        assert seen.count(CALLS, PG, "executemany") == 1
        assert seen.spread(DURATION, PG, "INSERT", postgres.folder, "")[0] == 2
        assert seen.spread(DURATION, PG, "SELECT", postgres.folder, "")[0] == 5
        assert seen.spread(DURATION)[0] == 8
        assert seen.statements()["SELECT b FROM t WHERE a = ?"]["count"] == 2
        assert seen.spread("db.client.connection.create_time", f"{PG} {postgres.folder}")[0] == 1
        assert "hush" not in repr(seen.monitor.taker.take().details)


def test_transactions_cursors_and_copies_are_counted(postgres):
    async def main():
        async with opened(postgres) as connection:
            async with connection.transaction():
                await connection.execute("INSERT INTO t VALUES (1)")
                with pytest.raises(ZeroDivisionError):
                    async with connection.transaction():  # a savepoint
                        await connection.execute("INSERT INTO t VALUES (2)")
                        raise ZeroDivisionError
            with pytest.raises(ZeroDivisionError):
                async with connection.transaction():
                    await connection.execute("INSERT INTO t VALUES (3)")
                    raise ZeroDivisionError
            assert await connection.fetchval("SELECT count(*) FROM t") == 1
            async with connection.transaction():
                found = [row["i"] async for row in connection.cursor("SELECT 1 AS i")]
                assert found == [1]
                cursor = await connection.cursor("SELECT * FROM generate_series(1, 5) AS i")
                assert [row["i"] for row in await cursor.fetch(2)] == [1, 2]
                assert (await cursor.fetchrow())["i"] == 3
            out = io.BytesIO()
            await connection.copy_from_query("SELECT a FROM t WHERE a = $1", 1, output=out)
            assert out.getvalue() == b"1\n"
            await connection.copy_records_to_table("t", records=[(7, "hush"), (8, "x")])
            assert await connection.fetchval("SELECT count(*) FROM t") == 3

    with watching("asyncpg") as seen:
        asyncio.run(main())
        assert seen.count(CALLS, PG, "commit") == 2
        assert seen.count(CALLS, PG, "rollback") == 1
        assert seen.count(CALLS, PG, "copy") == 2
        assert seen.spread(DURATION, PG, "COPY")[0] == 2
        assert seen.statements()["SELECT * FROM generate_series(?) AS i"]["count"] == 1
        assert seen.statements()["SELECT ? AS i"]["count"] == 1
        assert seen.count(CALLS, PG, "fetchmany") == 2
        assert seen.count(ERRORS) == 0
        assert "hush" not in repr(seen.monitor.taker.take().details)


def test_errors_are_asyncpg_s_own_and_counted(postgres):
    async def main():
        async with opened(postgres) as connection:
            with pytest.raises(asyncpg.UndefinedTableError):
                await connection.fetch("SELECT * FROM nowhere WHERE a = 'hush'")
            with pytest.raises(TypeError):
                await connection.execute()
        with pytest.raises(asyncpg.InterfaceError):
            await connection.execute("SELECT 1")  # closed
        with pytest.raises(OSError):
            await asyncpg.connect(host="/nowhere/at/all", user="hush")

    with watching("asyncpg") as seen:
        asyncio.run(main())
        assert seen.count(ERRORS, PG, "UndefinedTableError") == 1
        assert seen.count(ERRORS, PG, "InterfaceError") == 1
        assert seen.count(ERRORS, PG, "TypeError") == 1
        assert seen.count(ERRORS, PG) == 4
        assert seen.statements()["SELECT * FROM nowhere WHERE a = ?"]["errors"] == 1


def test_pools_are_waited_for_and_counted(postgres):
    async def main(seen):
        async with asyncpg.create_pool(**how(postgres), min_size=1, max_size=1) as pool:
            assert await pool.fetchval("SELECT 7") == 7
            async with pool.acquire() as connection:
                assert isinstance(connection, asyncpg.pool.PoolConnectionProxy)
                await connection.execute("SELECT 8")
                name = f"{PG} {postgres.folder}"
                counts = seen.gauge("db.client.connection.count")
                assert (counts["used", name], counts["idle", name]) == (1, 0)
                with pytest.raises(asyncio.TimeoutError):
                    await pool.acquire(timeout=0.05)
            return name

    with watching("asyncpg") as seen:
        name = asyncio.run(main(seen))
        assert seen.spread("db.client.connection.wait_time", name)[0] == 3
        assert seen.count("db.client.connection.timeouts", name) == 1
        # What a connection asks when it is given back is none of the program's.
        assert list(seen.statements()) == ["SELECT ?"]
        assert seen.count(CALLS, PG, "execute") == 2
        assert seen.count(CALLS, PG, "connect") == 1


def test_time_is_that_of_the_layer(postgres):
    async def main():
        async with opened(postgres) as one, opened(postgres) as two:
            with serving() as request:
                await asyncio.sleep(0.02)
                await asyncio.gather(*(each.execute("SELECT pg_sleep(0.1)") for each in (one, two)))
            return request

    with watching("asyncpg"):
        request = asyncio.run(main())
        assert request.layers["db"] >= 0.1
        assert request.layers["wsgi"] >= 0.02
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6
        assert request.steps == [("db", "postgresql SELECT")] * 2
        (began, ended), (second, _) = sorted(request.spans)
        assert began <= second <= ended  # at the same time


def test_subclasses_are_counted_once(postgres):
    class Mine(asyncpg.Connection):
        async def fetchval(self, query, *args, **kwargs):
            return await super().fetchval(f"/* mine */ {query}", *args, **kwargs)

    async def main():
        connection = await asyncpg.connect(**how(postgres), connection_class=Mine)
        assert await connection.fetchval("SELECT 7") == 7
        assert type(connection) is Mine
        await connection.close()

    with watching("asyncpg") as seen:
        asyncio.run(main())
        assert seen.statements()["SELECT ?"]["count"] == 1


@pytest.mark.parametrize("libraries", [("asyncpg", "sqlalchemy"), ("sqlalchemy",)])
def test_sqlalchemy_on_asyncpg_counts_statements_once(postgres, libraries):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from sqlalchemy.ext.asyncio import create_async_engine

    async def one(engine):
        async with engine.connect() as connection:
            assert (await connection.execute(sqlalchemy.text("SELECT 7 AS seven"))).scalar() == 7
            await connection.commit()

    async def main():
        engine = create_async_engine(
            f"postgresql+asyncpg://tester@/postgres?host={postgres.folder}"
        )
        await asyncio.gather(*(one(engine) for _ in range(3)))
        await engine.dispose()

    with watching(*libraries) as seen:
        asyncio.run(main())
        assert seen.statements()["SELECT ? AS seven"]["count"] == 3
        assert seen.count(ERRORS) == 0
        if "asyncpg" in libraries:
            assert seen.count(CALLS, PG, "commit") == 3


# -- aiosqlite -------------------------------------------------------------------------------------


def test_aiosqlite_is_counted_once_and_its_time_is_that_of_the_layer(tmp_path):
    async def main():
        async with aiosqlite.connect(tmp_path / "file") as connection:
            await connection.create_function("nap", 1, time.sleep)
            await connection.execute("CREATE TABLE t (a)")
            with serving() as request:
                await connection.execute("INSERT INTO t VALUES ('hush')")
                async with connection.execute("SELECT nap(0.1), a FROM t") as cursor:
                    assert [row[1] async for row in cursor] == ["hush"]
                await connection.execute_fetchall("SELECT a FROM t")
                await connection.commit()
            return request

    with watching("sqlite3") as seen:
        request = asyncio.run(main())
        assert seen.count(CALLS, "sqlite", "execute") == 4
        assert seen.statements()["SELECT nap(?), a FROM t"]["count"] == 1
        assert seen.count(CALLS, "sqlite", "commit") == 1
        assert request.calls == {"db": 3}
        assert request.layers["db"] >= 0.1
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6


@pytest.mark.parametrize("libraries", [("sqlite3", "sqlalchemy"), ("sqlalchemy",)])
def test_sqlalchemy_on_aiosqlite_counts_statements_once(tmp_path, libraries):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from sqlalchemy.ext.asyncio import create_async_engine

    async def main():
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/file")
        async with engine.connect() as connection:
            with serving() as request:
                answer = await connection.execute(sqlalchemy.text("SELECT 7 AS seven"))
            assert answer.scalar() == 7
        await engine.dispose()
        return request

    with watching(*libraries) as seen:
        request = asyncio.run(main())
        assert seen.statements()["SELECT ? AS seven"]["count"] == 1
        assert request.calls == {"db": 1}


def test_at_the_end_asyncpg_is_as_before():
    plain = asyncpg.connect, asyncpg.Connection.fetch, asyncpg.Pool._acquire
    execute = aiosqlite.Connection._execute
    with watching("asyncpg", "aiosqlite"):
        assert asyncpg.connect is not plain[0]
        assert asyncpg.Connection.fetch.__wrapped__ is plain[1]
        assert aiosqlite.Connection._execute is not execute
    assert (asyncpg.connect, asyncpg.Connection.fetch, asyncpg.Pool._acquire) == plain
    assert aiosqlite.Connection._execute is execute
