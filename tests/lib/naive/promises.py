"""The table: each promise about sessions, static files, proxies and bad input, its check, and who breaks it.

usage: python tests/lib/naive/promises.py      writes the table of docs/promises.md anew
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parent), str(HERE.parents[2] / "src")]

PAGE = HERE.parents[2] / "docs" / "promises.md"
MARKS = re.compile(r"(<!-- promises:[^\n]*-->\n).*?(<!-- end of promises -->)", re.DOTALL)

#: What was promised, clause by clause. `test_every_clause_has_a_row` holds the table to it.
CLAUSES = {
    "Sessions": {
        "reads": "Reads of a session never wait for another request unless locking is asked for",
        "limit": "a lock wait has a limit (503)",
        "holder": "a log line names the holder",
        "updates of files": "no lost update under 32 threads in 4 processes on file",
        "updates of Redis": "the same on Redis",
        "updates of SQL": "the same on SQL",
        "unused": "unused new sessions leave nothing behind",
        "clean-up": "clean-up removes locks",
        "corrupt": "a corrupt record starts a new session instead of a 500",
        "unreadable": "so does an unreadable one",
        "start": "an unwritable store fails at start with a clear message",
        "HttpOnly": "cookies are HttpOnly by default",
        "Lax": "and SameSite=Lax by default",
        "Secure": "and Secure on HTTPS",
        "samesite": "samesite is settable",
        "partitioned": "partitioned is settable",
        "domain": "domain is settable",
        "adoption": "unknown ids are never adopted",
        "paths": "ids are checked before they reach a path",
        "JSON": "JSON serialisation is selectable",
    },
    "Static files": {
        "containment": "strong path containment",
        "sibling": "a sibling directory with the same prefix stays out",
        "ETag": "ETag",
        "Last-Modified": "Last-Modified",
        "If-Range": "If-Range",
        "ranges": "multi-range",
        "limit of ranges": "with a limit",
        "suffixes": "suffix ranges",
        "variants": "precompressed variants",
        "names": "UTF-8 names",
        "non-seekable": "non-seekable file objects",
    },
    "Proxies": {
        "peers": "trusted peers only",
        "right-most": "the right-most untrusted address",
        "Forwarded": "RFC 7239 Forwarded",
        "dispatch": "applied before dispatch",
    },
    "Bad input": {
        f"{kind}: {law}": f"bad {kind} input: {words}"
        for kind in ("multipart", "charset", "digest", "cookie")
        for law, words in {
            "4xx": "a 4xx, never a 500",
            "time": "linear time",
            "memory": "bounded memory",
            "descriptors": "bounded descriptors",
        }.items()
    },
}


@dataclass(frozen=True)
class Row:
    """A promise.

    Args:
        clauses: which of `CLAUSES` it is, by their keys.
        promise: what a visitor or a programmer may count on.
        check: fails with an AssertionError for whatever does not keep it.
        ours: makes what is checked, in a folder where anybody gets.
        naive: makes one that was written in an afternoon; its docstring says how.
        says: a regular expression for what the check says of the naive one.
        line: the line of the naive one that does it, if its docstring does not say.
    """

    clauses: tuple[str, ...]
    promise: str
    check: Callable[[Any], None]
    ours: Callable[[Path], Any]
    naive: Callable[[Path], Any]
    says: str
    line: str = ""

    def __str__(self) -> str:
        return self.promise

    @property
    def naively(self) -> str:
        return self.line or (self.naive.__doc__ or "").strip()


def rows() -> dict[str, list[Row]]:
    """All of them, by area."""
    from rows_input import INPUT
    from rows_sessions import SESSIONS
    from rows_sites import PROXIES, STATIC

    return dict(zip(CLAUSES, (SESSIONS, STATIC, PROXIES, INPUT), strict=True))


def table() -> str:
    """The rows as Markdown."""
    lines = []
    for area, found in rows().items():
        lines += [f"### {area}", "", "| promise | what breaks it |", "|---|---|"]
        lines += [f"| {row.promise} | {row.naively.replace('|', chr(92) + '|')} |" for row in found]
        lines.append("")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with its table as it ought to be."""
    return MARKS.sub(lambda found: f"{found[1]}\n{table()}\n{found[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
