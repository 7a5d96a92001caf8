"""The tables of a store's file, and whether a file is one of ours."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

#: What SQLite's header calls the file: 'KMon'.
APPLICATION = 0x4B4D6F6E
VERSION = 1

#: Bytes of a page.
PAGE = 4096

TABLES = """
CREATE TABLE frames (
    step INTEGER NOT NULL, tick INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (step, tick)
);
CREATE TABLE names (
    id INTEGER PRIMARY KEY AUTOINCREMENT, metric TEXT NOT NULL, labels TEXT NOT NULL
);
CREATE TABLE marks (at REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Damaged(Exception):
    """The file is not a store that can be read: it is to be set aside."""


class Foreign(Exception):
    """The file is a database of somebody else: it is to be left alone."""


def open_file(path: Path, most_bytes: int) -> sqlite3.Connection:
    """Open a store for writing, or make one, readable by its owner alone.

    Raises Damaged, Foreign, OSError, or what SQLite says when the disk is full.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(file, 0o600)
    finally:
        os.close(file)
    connection = sqlite3.connect(
        path, timeout=1.0, isolation_level=None, check_same_thread=False, cached_statements=32
    )
    try:
        _prepare(connection, path, most_bytes)
    except sqlite3.OperationalError:
        connection.close()
        raise
    except sqlite3.DatabaseError as error:
        connection.close()
        raise Damaged(str(error)) from error
    except (Damaged, Foreign):
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, most_bytes: int) -> None:
    if not path.stat().st_size:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    else:
        _recognize(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    # The log beside the file stays a small part of what both may take.
    pages = max(16, min(1000, most_bytes // PAGE // 20))
    connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
    connection.execute(f"PRAGMA journal_size_limit = {pages * PAGE}")
    connection.execute(f"PRAGMA max_page_count = {max(64, most_bytes * 9 // 10 // PAGE)}")
    if not _number(connection, "PRAGMA application_id"):
        connection.executescript(
            f"BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION}; "
            f"PRAGMA user_version = {VERSION}; COMMIT;"
        )


def _recognize(connection: sqlite3.Connection, path: Path) -> None:
    tables = {
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    application = _number(connection, "PRAGMA application_id")
    if application != APPLICATION:
        if tables or application:
            raise Foreign(f"{path} is left alone: it is a database of another program")
        return  # made, and never filled
    version = _number(connection, "PRAGMA user_version")
    if version != VERSION:
        raise Damaged(f"its schema has version {version}, this program writes {VERSION}")
    if not tables >= {"frames", "names", "marks", "meta"}:
        raise Damaged("tables are missing")
    connection.execute("SELECT step, tick, length(data) FROM frames LIMIT 1").fetchall()


def _number(connection: sqlite3.Connection, statement: str) -> int:
    return int(connection.execute(statement).fetchone()[0])
