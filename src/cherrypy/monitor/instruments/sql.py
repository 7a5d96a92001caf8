"""The fingerprints of SQL: a statement without its values, the same for whatever they are.

Law: nothing that a program or a user has put into a statement as a value is in its fingerprint.
"""

from __future__ import annotations

import re

#: Characters of a statement that are looked at, and of a fingerprint.
LOOKED_AT = 2000
LONGEST = 200

#: The words that a statement may begin with; any other is `OTHER`.
WORDS = frozenset(
    (
        *("ALTER", "ANALYZE", "ATTACH", "BEGIN", "CALL", "CHECKPOINT", "CLOSE", "COMMIT", "COPY"),
        *("CREATE", "DEALLOCATE", "DECLARE", "DELETE", "DESCRIBE", "DETACH", "DISCARD", "DO"),
        *("DROP", "END", "EXECUTE", "EXPLAIN", "FETCH", "GRANT", "INSERT", "LISTEN", "LOCK"),
        *(
            "MERGE",
            "MOVE",
            "NOTIFY",
            "PRAGMA",
            "PREPARE",
            "REFRESH",
            "REINDEX",
            "RELEASE",
            "RENAME",
        ),
        *("REPLACE", "RESET", "REVOKE", "ROLLBACK", "SAVEPOINT", "SELECT", "SET", "SHOW", "START"),
        *("TABLE", "TRUNCATE", "UNLISTEN", "UPDATE", "USE", "VACUUM", "VALUES", "WITH"),
    )
)
OTHER = "OTHER"

# Systems in which a text in double quotes may be a value, and those with backslashes in texts.
_QUOTED_VALUES = frozenset(("sqlite", "mysql", "mariadb"))
_BACKSLASHES = frozenset(("mysql", "mariadb"))

_PLAIN = r"'(?:[^']|'')*(?:'|\Z)"
_ESCAPED = r"'(?:[^'\\]|\\.|'')*(?:'|\Z)"


def _tokens(text: str, name: str, comment: str) -> re.Pattern[str]:
    """What is replaced in a statement; whatever is not closed goes on to the end."""
    return re.compile(
        rf"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z){comment})
        |(?P<text>\b[eE]{_ESCAPED}|\b[xXbBnN]{text}|\b[uU]&{text}|{text})
        |(?P<dollar>\$(?P<tag>[A-Za-z_]*)\$.*?(?:\$(?P=tag)\$|\Z))
        |(?P<name>{name}|`[^`]*(?:`|\Z))
        |(?P<parameter>%s|%\(\w+\)[sbt]|%[bt](?!\w)|\?\d*|\$\d+|(?<![:\w]):\w+|@\w+)
        |(?P<number>(?<![\w.])(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+))
        """,
        re.VERBOSE | re.DOTALL,
    )


_STANDARD = _tokens(_PLAIN, r'"(?:[^"]|"")*(?:"|\Z)', "")
_MYSQL = _tokens(_ESCAPED, r'"(?:[^"\\]|\\.|"")*(?:"|\Z)', r"|\#[^\n]*")
_SPACE = re.compile(r"\s+")
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)")
_ROWS = re.compile(r"\(\?\)(?:\s*,\s*\(\?\))+")
_SIGNS = re.compile(r"(?<=[=<>(,])\s*[-+]\s*\?")
_NAMES_FOLLOW = re.compile(
    r"(?:\b(?:FROM|JOIN|INTO|UPDATE|TABLE|EXISTS|INDEX|AS|REFERENCES)\s+|\.)\Z", re.IGNORECASE
)
_TABLE = re.compile(
    r"\b(?:FROM|INTO|UPDATE|JOIN|TABLE)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?"
    r"((?:[\w$]+|\"[\w$ ]+\"|`[\w$ ]+`)(?:\.(?:[\w$]+|\"[\w$ ]+\"|`[\w$ ]+`))?)",
    re.IGNORECASE,
)
_FIRST = re.compile(r"[\s(]*([A-Za-z]+)")


def fingerprint(statement: str, system: str = "") -> str:
    """Return a statement without values and comments, in at most 200 characters.

    Lists of values, as of IN and of VALUES, are one value whatever their length.
    system
        Whose SQL it is: 'sqlite', 'postgresql', 'mysql', ...
    """
    text = statement[:LOOKED_AT]
    quoted = system in _QUOTED_VALUES

    def plain(found: re.Match[str]) -> str:
        if found["comment"] is not None:
            return " "
        if found["name"] is not None:
            return _name(found, text) if quoted else found[0]
        return "?"

    pattern = _MYSQL if system in _BACKSLASHES else _STANDARD
    text = _SPACE.sub(" ", pattern.sub(plain, text)).strip(" ;")
    text = _ROWS.sub("(?)", _LISTS.sub("(?)", _SIGNS.sub("?", text)))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _name(found: re.Match[str], text: str) -> str:
    """A text in double quotes where it may be a value: kept if its place says that it is a name."""
    name = found[0]
    if name[0] == "`":
        return name
    if text[found.end() : found.end() + 1] == "." or _NAMES_FOLLOW.search(text[: found.start()]):
        return name
    return "?"


def word_of(fingerprint: str) -> str:
    """The operation of a statement: its first word."""
    found = _FIRST.match(fingerprint)
    word = found[1].upper() if found else ""
    return word if word in WORDS else OTHER


def table_of(fingerprint: str) -> str:
    """The first table that a statement names, or ''."""
    found = _TABLE.search(fingerprint)
    return found[1].replace('"', "").replace("`", "") if found else ""
