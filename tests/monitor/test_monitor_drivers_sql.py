"""Fingerprints of SQL: no value of any kind is left, and what is the same but for values is the same."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherrypy.monitor.instruments.sql import LONGEST, fingerprint, table_of, word_of

SAME = [
    ("SELECT * FROM t WHERE a = 1", "SELECT * FROM t WHERE a = ?"),
    ("SELECT  *\n FROM t\tWHERE a=1 ;", "SELECT * FROM t WHERE a=?"),
    ("SELECT 'it''s' , 2.5e-3, .5, 0xFF, -1", "SELECT ? , ?, ?, ?,?"),
    ("SELECT * FROM t2024 WHERE x1 = 7", "SELECT * FROM t2024 WHERE x1 = ?"),
    ("SELECT 1 -- hush\nFROM t", "SELECT ? FROM t"),
    ("SELECT /* hush */ 1 FROM t /* and", "SELECT ? FROM t"),
    ("WHERE a IN (1, 2, 3)", "WHERE a IN (?)"),
    ("WHERE a IN ('x', 'y') AND b IN (?, ?)", "WHERE a IN (?) AND b IN (?)"),
    ("INSERT INTO t VALUES (1, 'a'), (2, 'b'),(3,'c')", "INSERT INTO t VALUES (?)"),
    ("SELECT %s, %(name)s, :name, $1, ?, ?3, @p", "SELECT ?, ?, ?, ?, ?, ?, ?"),
    ("SELECT a::text, b::int FROM t", "SELECT a::text, b::int FROM t"),
    ("SELECT X'CAFE', N'x', E'a\\'b', U&'d'", "SELECT ?, ?, ?, ?"),
    ("SELECT 'never closed FROM t WHERE a = 1", "SELECT ?"),
    ("LIMIT 10 OFFSET 20", "LIMIT ? OFFSET ?"),
]


@pytest.mark.parametrize(("sql", "expected"), SAME, ids=[sql[:30] for sql, _ in SAME])
@pytest.mark.parametrize("system", ["sqlite", "postgresql", "mysql"])
def test_values_are_gone(sql, expected, system):
    assert fingerprint(sql, system) == expected


def test_dollar_quotes_are_values():
    assert (
        fingerprint("SELECT $$it's$$, $tag$x $$ y$tag$, $a$open", "postgresql") == "SELECT ?, ?, ?"
    )


def test_double_quotes_are_names_where_they_can_be_nothing_else():
    assert fingerprint('SELECT "a" FROM "t"', "postgresql") == 'SELECT "a" FROM "t"'
    assert fingerprint('SELECT "t"."a" FROM "t" WHERE b = "hush"', "sqlite").endswith(
        'FROM "t" WHERE b = ?'
    )
    assert "hush" not in fingerprint('SELECT "say \\"hush\\" now", 1', "mysql")
    assert fingerprint("SELECT `a` FROM `t` WHERE b = 'it\\'s hush' # hush", "mysql") == (
        "SELECT `a` FROM `t` WHERE b = ?"
    )


def test_a_fingerprint_is_short_whatever_the_statement_is():
    began = time.monotonic()
    for nasty in (
        "'" * 100_000,
        '"' * 100_001,
        "(" * 100_000,
        "$" * 100_000,
        "?," * 100_000,
        "/*" * 9999,
    ):
        for system in ("sqlite", "mysql", "postgresql"):
            assert len(fingerprint(nasty, system)) <= LONGEST
    assert len(fingerprint("SELECT " + ", ".join(f"c{n}" for n in range(500)))) == LONGEST
    assert time.monotonic() - began < 5


SECRET = "hush"
quiet = st.text(
    st.characters(blacklist_characters="'\\", blacklist_categories=("Cs",)), max_size=20
)


@given(quiet, quiet, st.sampled_from(["sqlite", "postgresql", "mysql", ""]))
def test_no_text_gets_through(before, after, system):
    sql = f"SELECT a FROM t WHERE b = '{before}{SECRET}{after}' AND c = 5"
    assert fingerprint(sql, system) == "SELECT a FROM t WHERE b = ? AND c = ?"


@given(st.text(max_size=300), st.sampled_from(["sqlite", "postgresql", "mysql", ""]))
def test_any_text_has_a_fingerprint_that_has_itself(text, system):
    once = fingerprint(text, system)
    assert len(once) <= LONGEST
    word_of(once)
    table_of(once)


@pytest.mark.parametrize(
    ("sql", "word", "table"),
    [
        ("select * from Users u", "SELECT", "Users"),
        ("(SELECT 1)", "SELECT", ""),
        ("INSERT INTO main.users (a) VALUES (1)", "INSERT", "main.users"),
        ('UPDATE "my table" SET a = 1', "UPDATE", "my table"),
        ("DELETE FROM `t`", "DELETE", "t"),
        ("CREATE TABLE IF NOT EXISTS t (a)", "CREATE", "t"),
        ("WITH x AS (SELECT 1 FROM y) SELECT * FROM x", "WITH", "y"),
        ("hush hush", "OTHER", ""),
        ("", "OTHER", ""),
    ],
)
def test_the_word_and_the_table_of_a_statement(sql, word, table):
    assert word_of(fingerprint(sql)) == word
    assert table_of(fingerprint(sql)) == table
