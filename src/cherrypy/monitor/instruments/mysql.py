"""Drivers of MySQL and MariaDB: PyMySQL, and mysqlclient, which is called `MySQLdb`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..patches import Patches
from .databases import Database, database
from .drivers import Driver

_NAME = "_monitor_database"  # the attribute of a connection


def _counts(library: str) -> Callable[[Any], Database]:
    def of(connection: Any) -> Database:
        """What counts for a connection."""
        kept: dict[str, Any] = getattr(connection, "__dict__", {})
        found: Database | None = kept.get(_NAME)
        if found is None:
            try:
                version = str(connection.get_server_info())
                where = _server(str(connection.get_host_info()), connection)
            except Exception:  # there is none, or it is closed
                return database("mysql", "", library)
            system = "mariadb" if "mariadb" in version.lower() else "mysql"
            found = kept[_NAME] = database(system, where, library)
        return found

    return of


def _server(said: str, connection: Any) -> str:
    """The server of 'socket db1:3306', 'db1 via TCP/IP' or 'Localhost via UNIX socket'."""
    if "unix" in said.lower():
        return str(getattr(connection, "unix_socket", None) or "localhost")
    return (
        said.removeprefix("socket ").partition(" ")[0].rpartition(":")[0] or said.partition(" ")[0]
    )


def pymysql(module: Any) -> Callable[[], object]:
    """Have the calls of all connections counted: of `pymysql.connections`."""
    patches = Patches()
    driver = Driver(_counts("pymysql"))
    cursors = import_module("pymysql.cursors")
    driver.cursors(patches, cursors.Cursor, cursors.SSCursor)
    driver.connections(patches, module.Connection, "connect")
    return patches.end


def mysqldb(module: Any) -> Callable[[], object]:
    """Have the calls of all connections counted: of `MySQLdb.connections`."""
    patches = Patches()
    driver = Driver(_counts("MySQLdb"))
    cursors = import_module("MySQLdb.cursors")
    names = ("BaseCursor", "CursorStoreResultMixIn", "CursorUseResultMixIn")
    driver.cursors(patches, *(getattr(cursors, name) for name in names))
    driver.connections(patches, module.Connection, "__init__")
    return patches.end
