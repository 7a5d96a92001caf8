"""PyMySQL and mysqlclient with their instruments on, against a real MariaDB."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import time
from importlib.machinery import PathFinder

import pytest
from drivers_brokers import SLOWLY, maria
from drivers_kit import serving, watching
from session_kit import free_port

pymysql = pytest.importorskip("pymysql")

__all__ = ("maria",)
pytestmark = SLOWLY

DURATION, CALLS = "db.client.operation.duration", "cherrypy.db.calls"
ERRORS = "cherrypy.db.errors"
MARIA = "mariadb"
#: mysqlclient has no wheels: the one that Debian has built is of one Python.
DEBIAN = "/usr/lib/python3/dist-packages"
KINDS = ["pymysql", "MySQLdb"]


def mysqldb():
    """mysqlclient, from this environment or from Debian's package."""
    if "MySQLdb" not in sys.modules and importlib.util.find_spec("MySQLdb") is None:
        spec = PathFinder.find_spec("MySQLdb", [DEBIAN])
        if spec is None or spec.loader is None:
            return None
        module = sys.modules["MySQLdb"] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except ImportError:  # it is built for another one
            for name in [name for name in sys.modules if name.partition(".")[0] == "MySQLdb"]:
                del sys.modules[name]
            return None
    importlib.import_module("MySQLdb.cursors")
    return importlib.import_module("MySQLdb")


@pytest.fixture(params=KINDS)
def library(request):
    if request.param == "pymysql":
        return pymysql
    found = mysqldb()
    if found is None:
        pytest.skip("only on the Python that Debian's python3-mysqldb is built for")
    return found


@pytest.fixture
def seen(library):
    with watching(library.__name__) as seen:
        yield seen


@pytest.fixture
def connection(library, seen, maria):
    connection = library.connect(**maria.how)
    cursor = connection.cursor()
    cursor.execute("CREATE TEMPORARY TABLE t (a integer, b text) ENGINE=InnoDB")
    cursor.close()
    yield connection
    connection.close()


def test_statements_and_rows_are_counted_once_and_work(library, connection, seen):
    cursor = connection.cursor()
    before = seen.count(CALLS, MARIA, "execute")
    cursor.execute("INSERT INTO t VALUES (%s, %s)", (1, "hush"))
    cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(2, "x"), (3, "y")])
    cursor.execute("SELECT a FROM t ORDER BY a")
    assert cursor.fetchone() == (1,)
    assert list(cursor.fetchmany(1)) == [(2,)]
    assert list(cursor.fetchall()) == [(3,)]
    cursor.execute('SELECT a FROM t WHERE b = "hush\\"" OR b = %(b)s', {"b": "hush"})
    assert list(cursor) == [(1,)]
    connection.commit()
    connection.rollback()
    assert seen.count(CALLS, MARIA, "execute") - before == 3
    assert seen.count(CALLS, MARIA, "executemany") == 1
    for name in ("fetchone", "fetchmany", "fetchall"):
        assert seen.count(CALLS, MARIA, name) == 1
    assert (seen.count(CALLS, MARIA, "commit"), seen.count(CALLS, MARIA, "rollback")) == (1, 1)
    assert seen.count(CALLS, MARIA, "connect") == 1
    assert seen.spread("db.client.connection.create_time", f"{MARIA} 127.0.0.1")[0] == 1
    assert seen.spread(DURATION, MARIA, "INSERT", "127.0.0.1", "")[0] == 2
    assert seen.spread(DURATION, MARIA)[0] == before + 4
    assert seen.statements()["INSERT INTO t VALUES (?)"]["count"] == 2
    assert seen.statements()["SELECT a FROM t WHERE b = ? OR b = ?"]["count"] == 1
    assert "hush" not in repr(seen.monitor.taker.take().details)


def test_other_cursors_and_procedures_are_counted(library, connection, seen):
    cursors = importlib.import_module(f"{library.__name__}.cursors")
    connection.cursor().execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    rows = connection.cursor(cursors.DictCursor)
    rows.execute("SELECT a FROM t ORDER BY a")
    assert list(rows.fetchall()) == [{"a": 1}, {"a": 2}]
    stream = connection.cursor(cursors.SSCursor)
    before = seen.count(CALLS, MARIA, "fetchone")
    stream.execute("SELECT a FROM t ORDER BY a")
    assert stream.fetchone() == (1,)
    assert list(stream.fetchall()) == [(2,)]
    stream.close()
    assert seen.count(CALLS, MARIA, "fetchone") == before + 1
    assert seen.count(CALLS, MARIA, "fetchall") == 2
    cursor = connection.cursor()
    cursor.execute("CREATE OR REPLACE PROCEDURE hello(IN x integer) SELECT x + 1")
    cursor.callproc("hello", (41,))
    assert cursor.fetchone() == (42,)
    assert cursor.nextset()
    assert seen.count(CALLS, MARIA, "callproc") == 1
    assert seen.spread(DURATION, MARIA, "CALL")[0] == 1
    assert seen.count(CALLS, MARIA, "nextset") == 1
    cursor.close()

    class Mine(cursors.Cursor):
        def execute(self, query, args=None):
            return super().execute(f"/* mine */ {query}", args)

    mine = connection.cursor(Mine)
    assert isinstance(mine, cursors.Cursor)
    mine.execute("SELECT a FROM t WHERE a = 1")
    assert seen.statements()["SELECT a FROM t WHERE a = ?"]["count"] == 1


def test_errors_are_the_library_s_own_and_counted(library, connection, seen):
    with pytest.raises(library.ProgrammingError):
        connection.cursor().execute("SELECT * FROM nowhere WHERE a = 'hush'")
    assert seen.count(ERRORS, MARIA, "ProgrammingError") == 1
    assert seen.statements()["SELECT * FROM nowhere WHERE a = ?"]["errors"] == 1
    with pytest.raises(library.OperationalError):
        library.connect(host="127.0.0.1", port=free_port(), user="hush")
    assert seen.count(ERRORS, "mysql", "OperationalError") == 1
    assert seen.count(CALLS, "mysql", "connect") == 1
    cursor = connection.cursor()
    cursor.close()
    with pytest.raises((library.ProgrammingError, library.InterfaceError)):
        cursor.execute("SELECT 1")


def test_time_is_that_of_the_layer(library, connection, seen):
    with serving() as request:
        time.sleep(0.02)
        cursor = connection.cursor()
        cursor.execute("SELECT SLEEP(0.05)")
        cursor.fetchall()
        connection.commit()
    assert request.layers["db"] >= 0.05
    assert request.layers["wsgi"] >= 0.02
    assert abs(sum(request.layers.values()) - request.wall) < 1e-6
    assert request.steps == [("db", "mariadb SELECT"), ("db", "mariadb COMMIT")]
    assert request.calls == {"db": 1}


def test_a_socket_is_an_address_and_open_connections_are_seen(library, maria):
    how = {"unix_socket": maria.path, "user": "root"}
    before = library.connect(**how)
    with watching(library.__name__) as seen:
        before.cursor().execute("SELECT 1")
        with contextlib.closing(library.connect(**how)) as connection:
            assert isinstance(connection, type(before))
            connection.cursor().execute("SELECT 1")
        (labels,) = seen.series(DURATION)
        assert labels[:2] == (MARIA, "SELECT")
        assert labels[2] in (maria.path, "localhost")
        assert seen.spread(DURATION)[0] == 2
    before.close()


def test_sqlalchemy_leaves_statements_to_the_driver(library, maria):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    driver = library.__name__.lower()
    engine = sqlalchemy.create_engine(f"mysql+{driver}://root@127.0.0.1:{maria.port}/mysql")
    with watching(library.__name__, "sqlalchemy") as seen:
        with engine.connect() as connection:
            before = seen.count(CALLS, MARIA, "execute")
            assert connection.execute(sqlalchemy.text("SELECT 7")).scalar() == 7
            assert seen.count(CALLS, MARIA, "execute") == before + 1
            connection.commit()
            assert seen.count(CALLS, MARIA, "commit") >= 1
        assert seen.count(CALLS, "mysql") == 0
    with watching("sqlalchemy") as seen:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 7"))
        assert seen.statements()["SELECT ?"]["count"] >= 1
    engine.dispose()


def test_at_the_end_the_driver_is_as_before(library):
    cursors = importlib.import_module(f"{library.__name__}.cursors")
    connections = importlib.import_module(f"{library.__name__}.connections")

    def methods():
        names = ("commit", "rollback", "__init__" if library is not pymysql else "connect")
        return [cursors.Cursor.execute, *(getattr(connections.Connection, name) for name in names)]

    plain = methods()
    with watching(library.__name__):
        assert all(new is not old for new, old in zip(methods(), plain, strict=True))
    assert methods() == plain
