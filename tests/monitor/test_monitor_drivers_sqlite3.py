"""sqlite3 with its instrument on: the library does what it did, and what it does is counted."""

from __future__ import annotations

import itertools
import os
import pickle
import sqlite3
import threading
import time

import pytest
from drivers_kit import serving, watching

DURATION, CALLS = "db.client.operation.duration", "cherrypy.db.calls"


@pytest.fixture
def seen():
    with watching("sqlite3") as seen:
        yield seen


def opened(**how):
    connection = sqlite3.connect(":memory:", **how)
    connection.execute("CREATE TABLE t (a INTEGER, b TEXT)")
    return connection


def nap(connection, seconds):
    """Have the database itself take some time."""
    connection.create_function("nap", 0, lambda: time.sleep(seconds))
    return connection.execute("SELECT nap()")


def test_what_is_connected_is_what_the_library_makes(seen):
    connection = opened()
    assert isinstance(connection, sqlite3.Connection)
    assert isinstance(connection.cursor(), sqlite3.Cursor)
    assert repr(type(connection)) == "<class 'sqlite3.Connection'>"
    with pytest.raises(AttributeError):
        connection.anything = 1
    with pytest.raises(TypeError):
        pickle.dumps(connection)
    assert pickle.loads(pickle.dumps(sqlite3.connect)) is sqlite3.connect
    assert sqlite3.connect is sqlite3.dbapi2.connect
    assert sqlite3.connect.__name__ == "connect"
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")


def test_all_ways_to_run_a_statement_are_counted_once(seen):
    connection = opened()
    before = seen.count(CALLS, "sqlite", "execute")
    cursor = connection.cursor()
    assert cursor.execute("INSERT INTO t VALUES (?, ?)", (1, "x")) is cursor
    assert type(connection.execute("SELECT * FROM t")) is type(cursor)
    assert cursor.execute("SELECT a FROM t WHERE a = :a", {"a": 1}).fetchone() == (1,)
    assert seen.count(CALLS, "sqlite", "execute") - before == 3
    cursor.executemany("INSERT INTO t VALUES (?, ?)", ((n, "y") for n in range(3)))
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(9, "z")])
    assert seen.count(CALLS, "sqlite", "executemany") == 2
    connection.executescript("DELETE FROM t WHERE a = 9; SELECT 1;")
    cursor.executescript("SELECT 2;")
    assert seen.count(CALLS, "sqlite", "executescript") == 2
    assert seen.spread(DURATION, "sqlite")[0] == before + 3 + 2 + 2
    assert seen.spread(DURATION, "sqlite", "INSERT", "", "")[0] == 3
    assert seen.count(CALLS, "sqlite", "connect") == 1
    assert seen.spread("db.client.connection.create_time", "sqlite")[0] == 1
    connection.close()


def test_rows_come_as_they_did(seen):
    connection = opened()
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, str(n)) for n in range(10)])
    cursor = connection.execute("SELECT a FROM t ORDER BY a")
    assert iter(cursor) is cursor
    assert next(cursor) == (0,)
    assert cursor.fetchone() == (1,)
    assert cursor.fetchmany(2) == [(2,), (3,)]
    assert list(itertools.islice(cursor, 2)) == [(4,), (5,)]
    assert cursor.fetchall() == [(n,) for n in range(6, 10)]
    assert cursor.fetchone() is None
    with pytest.raises(StopIteration):
        next(cursor)
    assert cursor.description[0][0] == "a"
    counts = {
        name: seen.count(CALLS, "sqlite", name) for name in ("fetchone", "fetchmany", "fetchall")
    }
    assert counts == {"fetchone": 2, "fetchmany": 1, "fetchall": 1}
    connection.row_factory = sqlite3.Row
    assert connection.execute("SELECT a AS x FROM t").fetchone()["x"] == 0
    connection.close()


def test_rows_are_counted_at_level_two():
    with watching("sqlite3", level=2) as seen:
        connection = opened()
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, "") for n in range(7)])
        connection.execute("SELECT * FROM t").fetchall()
        connection.execute("SELECT * FROM t").fetchmany(3)
        connection.execute("SELECT * FROM t").fetchone()
        assert seen.spread("db.client.response.returned_rows", "sqlite") == (3, 11.0)
        connection.close()


def test_transactions_end_and_are_counted(seen, tmp_path):
    connection = sqlite3.connect(tmp_path / "x")
    with connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(ZeroDivisionError), connection:
        connection.execute("INSERT INTO t VALUES (2)")
        raise ZeroDivisionError
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
    connection.execute("INSERT INTO t VALUES (3)")
    connection.commit()
    connection.rollback()
    other = sqlite3.connect(tmp_path / "x")
    assert other.execute("SELECT count(*) FROM t").fetchone() == (2,)
    assert seen.count(CALLS, "sqlite", "commit") == 2
    assert seen.count(CALLS, "sqlite", "rollback") == 2
    with connection:  # nothing is open: nothing ends
        pass
    with pytest.raises(sqlite3.ProgrammingError), other:
        other.close()
    assert seen.count(CALLS, "sqlite", "commit") == 2
    other.close()
    connection.close()


def test_backups_dumps_functions_and_blobs_work(seen):
    connection = opened()
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    connection.commit()
    with serving() as request:
        other = sqlite3.connect(":memory:")
        steps = []
        connection.backup(other, pages=1, progress=lambda *told: steps.append(told))
    assert ("db", "sqlite BACKUP") in request.steps
    assert steps
    assert other.execute("SELECT * FROM t").fetchall() == [(1, "x")]
    assert "INSERT INTO \"t\" VALUES(1,'x');" in list(other.iterdump())
    connection.create_function("twice", 1, lambda number: number * 2)
    assert connection.execute("SELECT twice(21)").fetchone() == (42,)
    connection.set_trace_callback(steps.append)
    connection.execute("SELECT 'traced'")
    assert "SELECT 'traced'" in steps
    other.close()
    connection.close()


class Own(sqlite3.Connection):
    """A program's connection."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.asked = []

    def execute(self, *args):
        self.asked.append(args[0])
        return super().execute(*args)

    def cursor(self, factory=None):
        return super().cursor(OwnCursor)


class OwnCursor(sqlite3.Cursor):
    """A program's cursor."""

    kind = "own"

    def execute(self, sql, *args):
        return super().execute(sql.replace("WORD", "SELECT"), *args)


def made_by_hand(connection):
    return OwnCursor(connection)


def opened_by_hand(*args, **kwargs):
    return Own(*args, **kwargs)


def test_the_classes_of_a_program_stay_what_they_are(seen):
    connection = sqlite3.connect(":memory:", factory=Own)
    assert isinstance(connection, Own)
    assert repr(type(connection)) == repr(Own)
    before = seen.count(CALLS, "sqlite", "execute")
    connection.execute("SELECT 1")
    assert connection.asked == ["SELECT 1"]
    assert seen.count(CALLS, "sqlite", "execute") - before == 1
    cursor = connection.cursor()
    assert isinstance(cursor, OwnCursor)
    assert cursor.kind == "own"
    assert cursor.execute("WORD 2").fetchone() == (2,)
    assert seen.count(CALLS, "sqlite", "execute") - before == 2
    connection.close()
    plain = sqlite3.connect(":memory:")
    assert isinstance(plain.cursor(OwnCursor), OwnCursor)
    assert plain.cursor(factory=OwnCursor).execute("WORD 3").fetchone() == (3,)
    assert seen.count(CALLS, "sqlite", "execute") - before == 3
    made = plain.cursor(made_by_hand)
    assert type(made) is OwnCursor  # what is no class is called, and goes without
    with pytest.raises(TypeError):
        plain.cursor(lambda connection: None)
    plain.close()


def test_a_factory_that_is_no_class_is_called_as_before(seen):
    connection = sqlite3.connect(":memory:", factory=opened_by_hand)
    assert type(connection) is Own
    connection.close()


def test_many_classes_of_a_program_are_not_kept(seen):
    import gc
    import weakref

    def one():
        class Passing(sqlite3.Connection):
            pass

        sqlite3.connect(":memory:", factory=Passing).close()
        return weakref.ref(Passing)

    ref = one()
    gc.collect()
    assert ref() is None


def test_exceptions_are_the_library_s_own_and_counted(seen):
    connection = opened()
    with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
        connection.execute("SELECT * FROM nowhere WHERE secret = 'hush'")
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT ?", ())
    with pytest.raises(TypeError):
        connection.execute()
    with pytest.raises(TypeError):
        connection.cursor().execute(1)
    assert seen.count("cherrypy.db.errors", "sqlite", "OperationalError") == 1
    assert seen.spread(DURATION, "sqlite", "SELECT", "", "OperationalError")[0] == 1
    rows = seen.statements()
    assert rows["SELECT * FROM nowhere WHERE secret = ?"]["errors"] == 1
    connection.close()


def test_a_file_that_cannot_be_opened_is_an_error(seen, tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(tmp_path / "no" / "such" / "folder")
    assert seen.count(CALLS, "sqlite", "connect") == 1
    assert seen.count("cherrypy.db.errors", "sqlite", "OperationalError") == 1
    assert seen.count("db.client.connection.create_time") == 0


def test_time_goes_to_the_layer_and_to_the_steps(seen):
    connection = opened()
    with serving() as request:
        time.sleep(0.02)
        nap(connection, 0.05).fetchall()
        connection.execute("INSERT INTO t VALUES (5, 'secret')")
        connection.commit()
        time.sleep(0.02)
    assert abs(sum(request.layers.values()) - request.wall) < 1e-6
    assert request.layers["db"] >= 0.05
    assert request.layers["wsgi"] >= 0.04
    assert [step for step in request.steps if step[0] == "db"] == [
        ("db", "sqlite SELECT"),
        ("db", "sqlite INSERT t"),
        ("db", "sqlite COMMIT"),
    ]
    assert request.calls["db"] == 2
    assert seen.count("cherrypy.db.slow") == 0
    connection.close()


def test_rows_that_take_time_are_time_of_the_database(seen):
    connection = opened()
    connection.create_function("nap", 1, lambda number: time.sleep(0.01))
    with serving() as request:
        for _ in connection.execute("SELECT nap(1) FROM (VALUES (1), (2), (3), (4))"):
            time.sleep(0.005)
    assert request.layers["db"] >= 0.04
    assert request.layers["wsgi"] >= 0.02
    assert abs(sum(request.layers.values()) - request.wall) < 1e-6
    connection.close()


@pytest.mark.parametrize("by_cursor", [True, False])
def test_what_a_statement_calls_for_itself_is_its_own(seen, by_cursor):
    connection, other = opened(), opened()

    def ask():
        runner = other.cursor() if by_cursor else other
        return runner.execute("SELECT 5").fetchone()[0]

    connection.create_function("ask", 0, ask)
    before = seen.count(CALLS, "sqlite", "execute")
    with serving() as request:
        assert connection.execute("SELECT ask()").fetchone() == (5,)
    assert seen.count(CALLS, "sqlite", "execute") - before == 1
    assert request.steps == [("db", "sqlite SELECT")]
    assert abs(sum(request.layers.values()) - request.wall) < 1e-6
    connection.close()
    other.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children_count_anew_and_hold_no_locks(seen):
    from cherrypy.monitor.instruments import external, statements

    connection = opened()
    connection.close()
    with statements._lock, external._lock:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                free = []

                def take():  # another thread: the one that forked may take them twice
                    for lock in (statements._lock, external._lock):
                        if lock.acquire(timeout=5):
                            free.append(lock)
                            lock.release()

                thread = threading.Thread(target=take)
                thread.start()
                thread.join()
                sqlite3.connect(":memory:").execute("SELECT 1")
                good = seen.count(CALLS, "sqlite", "execute") == 1
                code = 0 if good and len(free) == 2 else 2
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_slow_statements_are_counted_by_fingerprint():
    with watching("sqlite3", db__slow_threshold=0.03) as seen:
        connection = opened()
        nap(connection, 0.05).close()
        connection.execute("SELECT 1")
        assert seen.count("cherrypy.db.slow", "sqlite", "SELECT nap()") == 1
        assert seen.count("cherrypy.db.slow") == 1
        row = seen.statements()["SELECT nap()"]
        assert row["count"] == row["slow"] == 1
        assert row["longest"] >= 0.05
        seen.monitor.settings["db.slow_threshold"] = 1.0
        nap(connection, 0.05).close()
        assert seen.count("cherrypy.db.slow") == 1
        connection.close()


def test_parameters_and_literals_are_nowhere(seen):
    connection = opened()
    connection.execute("SELECT * FROM t WHERE b = 'swordfish' AND a = 4711")
    connection.execute("SELECT * FROM t WHERE b = ? AND a = ?", ("swordfish", 4711))
    connection.execute('SELECT * FROM t WHERE b = "swordfish"')
    snapshot = seen.monitor.taker.take()
    assert "swordfish" not in repr((snapshot.counts, snapshot.spreads, snapshot.details))
    assert "4711" not in repr((snapshot.counts, snapshot.details))
    assert seen.statements()["SELECT * FROM t WHERE b = ? AND a = ?"]["count"] == 2
    connection.close()


def test_counts_of_threads_are_exact_and_outlive_them(seen):
    def work():
        connection = sqlite3.connect(":memory:")
        for _ in range(2000):
            connection.execute("SELECT 1")
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen.count(CALLS, "sqlite", "execute") == 16000
    assert seen.spread(DURATION, "sqlite", "SELECT")[0] == 16000
    assert seen.statements()["SELECT ?"]["count"] == 16000


def test_statements_without_end_fill_no_memory(seen):
    from cherrypy.monitor.instruments import databases, statements
    from cherrypy.monitor.shards import own

    connection = opened()
    for number in range(1000):
        connection.execute(f"SELECT a AS a{number}x FROM t")
    connection.execute("SELECT '" + "x" * 100_000 + "'")
    (cells,) = own.shard.calls.values()
    assert 0 < len(cells) <= databases.REMEMBERED
    assert not any("xxxx" in str(key) for key in cells)
    assert len(own.shard.statements) <= statements.MOST + 1
    assert len(seen.statements()) == statements.SHOWN
    connection.close()


def test_the_monitor_s_own_database_is_not_counted(seen):
    space = {"__name__": "cherrypy.monitor.history.store"}
    exec("import sqlite3\nconnection = sqlite3.connect(':memory:')", space)
    assert type(space["connection"]) is sqlite3.Connection
    space["connection"].execute("SELECT 1")
    space["connection"].close()
    assert seen.count(CALLS) == 0


def test_at_the_end_everything_is_as_before():
    plain = sqlite3.connect
    with watching("sqlite3"):
        assert sqlite3.connect is not plain
    assert sqlite3.connect is plain
    assert sqlite3.dbapi2.connect is plain
    connection = sqlite3.connect(":memory:")
    assert type(connection) is sqlite3.Connection
    connection.close()
