"""psycopg and psycopg2 with their instruments on, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import io
import pickle
import time

import psycopg
import psycopg2
import pytest
from drivers_kit import serving, watching
from psycopg2 import connect as taken_before
from psycopg2 import extras
from session_kit import running, server

DURATION, CALLS = "db.client.operation.duration", "cherrypy.db.calls"
PG = "postgresql"
KINDS = ["psycopg", "psycopg2"]


@pytest.fixture(scope="module")
def postgres():
    had = "postgresql" in running
    found = server("postgresql")
    yield found
    if not had:
        running.pop("postgresql").close()


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def seen(kind):
    with watching(kind) as seen:
        yield seen


def opened(kind, postgres, **how):
    library = psycopg if kind == "psycopg" else psycopg2
    connection = library.connect(postgres.url, **how)
    cursor = connection.cursor()
    cursor.execute("CREATE TEMPORARY TABLE t (a integer, b text)")
    connection.commit()
    return connection


def test_statements_and_rows_are_counted_once_and_work(kind, postgres, seen):
    connection = opened(kind, postgres)
    cursor = connection.cursor()
    before = seen.count(CALLS, PG, "execute")
    cursor.execute("INSERT INTO t VALUES (%s, %s)", (1, "hush"))
    cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(2, "x"), (3, "y")])
    cursor.execute("SELECT a FROM t ORDER BY a")
    assert cursor.fetchone()[0] == 1
    assert [row[0] for row in cursor.fetchmany(1)] == [2]
    assert [row[0] for row in cursor.fetchall()] == [3]
    cursor.execute("SELECT a FROM t WHERE b = %(b)s", {"b": "hush"})
    assert [row[0] for row in cursor] == [1]
    connection.commit()
    connection.rollback()
    assert seen.count(CALLS, PG, "execute") - before == 3
    assert seen.count(CALLS, PG, "executemany") == 1
    for name in ("fetchone", "fetchmany", "fetchall"):
        assert seen.count(CALLS, PG, name) == 1
    assert (seen.count(CALLS, PG, "commit"), seen.count(CALLS, PG, "rollback")) == (2, 1)
    assert seen.spread(DURATION, PG, "INSERT", postgres.folder, "")[0] == 2
    assert seen.spread(DURATION, PG)[0] == before + 4
    assert seen.count(CALLS, PG, "connect") == 1
    assert seen.spread("db.client.connection.create_time", f"{PG} {postgres.folder}")[0] == 1
    assert seen.statements()["INSERT INTO t VALUES (?)"]["count"] == 2
    assert "hush" not in repr(seen.monitor.taker.take().details)
    connection.close()


def test_errors_are_the_library_s_own_and_counted(kind, postgres, seen):
    library = psycopg if kind == "psycopg" else psycopg2
    connection = opened(kind, postgres)
    with pytest.raises(library.errors.UndefinedTable):
        connection.cursor().execute("SELECT * FROM nowhere WHERE a = 'hush'")
    connection.rollback()
    assert seen.count("cherrypy.db.errors", PG, "UndefinedTable") == 1
    assert seen.statements()["SELECT * FROM nowhere WHERE a = ?"]["errors"] == 1
    with pytest.raises(library.OperationalError):
        library.connect("host=/nowhere/at/all user=hush")
    assert seen.count("cherrypy.db.errors", PG, "OperationalError") == 1
    connection.close()
    with pytest.raises((library.InterfaceError, library.OperationalError)):
        connection.cursor().execute("SELECT 1")


def test_a_context_ends_its_transaction(kind, postgres, seen):
    connection = opened(kind, postgres)
    commits = seen.count(CALLS, PG, "commit")
    if kind == "psycopg2":
        with connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(ZeroDivisionError), connection:
            connection.cursor().execute("INSERT INTO t VALUES (2)")
            raise ZeroDivisionError
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM t")
        assert cursor.fetchone() == (1,)
        assert seen.count(CALLS, PG, "rollback") == 1
        connection.close()
    else:
        with connection:
            connection.execute("INSERT INTO t VALUES (1)")
        assert connection.closed
    assert seen.count(CALLS, PG, "commit") == commits + 1


def test_time_is_that_of_the_layer(kind, postgres, seen):
    connection = opened(kind, postgres)
    with serving() as request:
        time.sleep(0.02)
        connection.cursor().execute("SELECT pg_sleep(0.08)")
        connection.commit()
    assert request.layers["db"] >= 0.08
    assert request.layers["wsgi"] >= 0.02
    assert abs(sum(request.layers.values()) - request.wall) < 1e-6
    assert ("db", "postgresql SELECT") in request.steps
    assert ("db", "postgresql COMMIT") in request.steps
    assert request.calls["db"] == 1
    connection.close()


def test_named_cursors_fetch_from_the_server(kind, postgres, seen):
    connection = opened(kind, postgres)
    connection.cursor().execute("INSERT INTO t SELECT n, 'x' FROM generate_series(1, 50) n")
    before = seen.count(CALLS, PG, "execute")
    cursor = connection.cursor("by_name")
    cursor.itersize = 20
    cursor.execute("SELECT a FROM t ORDER BY a")
    assert cursor.fetchone()[0] == 1
    with serving() as request:
        assert [row[0] for row in cursor] == list(range(2, 51))
    assert 0 < request.layers["db"] <= request.wall
    cursor.close()
    assert seen.count(CALLS, PG, "execute") == before + 1
    assert seen.statements()["SELECT a FROM t ORDER BY a"]["count"] == 1
    connection.close()


def test_composed_statements_are_taken_apart(kind, postgres, seen):
    library = psycopg if kind == "psycopg" else psycopg2
    __import__(f"{kind}.sql")
    sql = library.sql
    connection = opened(kind, postgres)
    composed = sql.SQL("SELECT {} FROM {} WHERE b = {}").format(
        sql.Identifier("a"), sql.Identifier("t"), sql.Literal("hush")
    )
    connection.cursor().execute(composed)
    connection.cursor().execute(b"SELECT a FROM t")
    assert seen.statements()['SELECT "a" FROM "t" WHERE b = ?']["count"] == 1
    assert seen.statements()["SELECT a FROM t"]["count"] == 1
    connection.close()


# -- psycopg2 --------------------------------------------------------------------------------------


def test_psycopg2_classes_of_others_stay_what_they_are(postgres):
    class Own(psycopg2.extensions.connection):
        def cursor(self, *args, **kwargs):
            kwargs.setdefault("cursor_factory", OwnCursor)
            return super().cursor(*args, **kwargs)

    class OwnCursor(psycopg2.extensions.cursor):
        def execute(self, query, vars=None):
            return super().execute(query.replace("WORD", "SELECT"), vars)

    with watching("psycopg2") as seen:
        connection = psycopg2.connect(postgres.url, connection_factory=Own)
        assert isinstance(connection, Own)
        cursor = connection.cursor()
        assert isinstance(cursor, OwnCursor)
        cursor.execute("WORD 1")
        assert cursor.fetchone() == (1,)
        assert seen.count(CALLS, PG, "execute") == 1
        connection.close()
        for factory, row in (
            (extras.DictCursor, "x"),
            (extras.RealDictCursor, "x"),
            (extras.NamedTupleCursor, 0),
        ):
            connection = psycopg2.connect(postgres.url, cursor_factory=factory)
            for cursor in (connection.cursor(), connection.cursor(cursor_factory=factory)):
                assert isinstance(cursor, factory)
                cursor.execute("SELECT 5 AS x")
                assert cursor.fetchone()[row] == 5
            connection.cursor_factory = None
            assert not isinstance(connection.cursor(), factory)
            connection.close()
        assert seen.count(CALLS, PG, "execute") == 7
        connection = psycopg2.connect(postgres.url, connection_factory=extras.DictConnection)
        cursor = connection.cursor()
        cursor.execute("SELECT 6 AS x")
        assert cursor.fetchone()["x"] == 6
        assert seen.count(CALLS, PG, "execute") == 8
        connection.close()


def test_psycopg2_what_is_written_in_c_takes_its_connections(postgres):
    with watching("psycopg2") as seen:
        connection = taken_before(postgres.url)
        assert seen.count(CALLS, PG, "connect") == 1
        cursor = connection.cursor()
        psycopg2.extensions.register_type(psycopg2.extensions.UNICODE, connection)
        psycopg2.extensions.register_type(psycopg2.extensions.UNICODE, cursor)
        assert psycopg2.extensions.quote_ident('a"b', connection) == '"a""b"'
        extras.register_uuid(conn_or_curs=connection)
        cursor.execute("CREATE TEMPORARY TABLE t (a integer, b text)")
        extras.execute_values(cursor, "INSERT INTO t VALUES %s", [(1, "hush"), (2, "b")])
        extras.execute_batch(cursor, "INSERT INTO t VALUES (%s, %s)", [(3, "c")])
        out = io.StringIO()
        cursor.copy_expert("COPY t TO STDOUT", out)
        assert out.getvalue() == "1\thush\n2\tb\n3\tc\n"
        cursor.copy_from(io.StringIO("4\td\n"), "t")
        cursor.callproc("abs", (-5,))
        assert cursor.fetchone() == (5,)
        assert cursor.mogrify("SELECT %s", (1,)) == b"SELECT 1"
        assert seen.statements()["CALL abs"]["count"] == 1
        assert seen.statements()["INSERT INTO t VALUES (?)"]["count"] == 2
        connection.close()


def test_psycopg2_pools_use_counted_connections(postgres):
    import psycopg2.pool

    with watching("psycopg2") as seen:
        pool = psycopg2.pool.ThreadedConnectionPool(1, 2, postgres.url)
        connection = pool.getconn()
        connection.cursor().execute("SELECT 1")
        pool.putconn(connection)
        pool.closeall()
        assert seen.count(CALLS, PG, "execute") == 1


# -- psycopg (3) -----------------------------------------------------------------------------------


def test_psycopg_connections_that_are_open_are_seen(postgres):
    connection = psycopg.connect(postgres.url)
    with watching("psycopg") as seen:
        connection.execute("SELECT 1")
        assert seen.count(CALLS, PG, "execute") == 1
    connection.execute("SELECT 1")
    connection.close()


def test_psycopg_streams_pipelines_rows_and_copies(postgres):
    with watching("psycopg") as seen:
        connection = opened("psycopg", postgres)
        with connection.cursor().copy("COPY t FROM STDIN") as copy:
            copy.write_row((1, "x"))
        with serving() as request:
            rows = []
            for row in connection.cursor().stream("SELECT a FROM t UNION SELECT 2 ORDER BY 1"):
                rows.append(row)
                time.sleep(0.01)
        assert rows == [(1,), (2,)]
        assert request.layers["wsgi"] >= 0.02
        assert request.layers["db"] > 0
        assert seen.count(CALLS, PG, "stream") == 1
        with pytest.raises(psycopg.errors.UndefinedTable):
            list(connection.cursor().stream("SELECT * FROM nowhere"))
        connection.rollback()
        with connection.pipeline():
            connection.execute("SELECT 1")
            connection.execute("SELECT 2")
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        assert cursor.execute("SELECT 1 AS x").fetchone() == {"x": 1}
        assert list(cursor.execute("SELECT 2 AS x")) == [{"x": 2}]
        assert psycopg.ClientCursor(connection).execute("SELECT %s", (3,)).fetchone() == (3,)
        connection.close()


def test_psycopg_pickles_and_subclasses(postgres):
    with watching("psycopg"):

        class Own(psycopg.Cursor):
            def execute(self, *args, **kwargs):
                return super().execute(*args, **kwargs)

        connection = psycopg.connect(postgres.url, cursor_factory=Own)
        cursor = connection.execute("SELECT 1")
        assert type(cursor) is Own
        with pytest.raises(psycopg.errors.SyntaxError) as caught:
            connection.execute("SELEKT")
        assert type(pickle.loads(pickle.dumps(caught.value))) is psycopg.errors.SyntaxError
        connection.close()


def test_psycopg_calls_of_a_loop_are_counted_and_do_not_disturb_each_other(postgres):
    async def one(seconds):
        connection = await psycopg.AsyncConnection.connect(postgres.url)
        async with connection:
            cursor = await connection.execute("SELECT pg_sleep(%s)", (seconds,))
            await cursor.fetchone()
            with pytest.raises(psycopg.errors.UndefinedTable):
                await connection.execute("SELECT * FROM nowhere")
            await connection.rollback()

    async def all_():
        await asyncio.gather(*(one(0.1) for _ in range(5)))

    with watching("psycopg") as seen:
        asyncio.run(all_())
        count, total = seen.spread(DURATION, PG, "SELECT", postgres.folder, "")
        assert count == 5
        assert total >= 0.5
        assert seen.count("cherrypy.db.errors", PG, "UndefinedTable") == 5
        assert seen.count(CALLS, PG, "fetchone") == 5
        assert seen.count(CALLS, PG, "connect") == 5
        assert seen.count(CALLS, PG, "commit") == 5
        assert seen.statements()["SELECT pg_sleep(?)"]["count"] == 5


def test_pools_of_psycopg_tell_what_they_have_and_who_waits(postgres):
    psycopg_pool = pytest.importorskip("psycopg_pool")
    with watching("psycopg") as seen:
        with psycopg_pool.ConnectionPool(postgres.url, min_size=1, max_size=1, name="p") as pool:
            pool.wait(10)
            with pool.connection() as connection:
                connection.execute("SELECT 1")
                gauge = seen.gauge("db.client.connection.count")
                assert gauge["used", "postgresql p"] == 1
                with pytest.raises(psycopg_pool.PoolTimeout):
                    pool.getconn(timeout=0.05)
            assert seen.count("db.client.connection.timeouts", "postgresql p") == 1
            count, total = seen.spread("db.client.connection.wait_time", "postgresql p")
            assert count == 2
            assert total >= 0.05
            assert seen.gauge("db.client.connection.count")["idle", "postgresql p"] == 1
