"""Books: what is no number. Errors, slow requests, requests in flight, statements of databases.

Law: every book has a last page. Nothing of a request is kept but its method, its route, its path
while it is in flight, and the first words of what it failed of.
"""

from __future__ import annotations

from typing import Any


def begin(monitor: Any) -> Any:
    """Open the books; those of before the monitor was stopped are opened again."""
    from .shelf import Books

    books = monitor.books
    if not isinstance(books, Books):
        books = Books(monitor)
    books.open()
    return books
