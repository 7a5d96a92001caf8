"""What a visitor sees when something is wrong: a page in the house style, and never a traceback."""

from __future__ import annotations

from .views import page


def not_found(status: str, message: str, traceback: str, version: str) -> str:
    """For `error_page.404`."""
    return page(
        "", "error.html", status=status, message=message, hint="Perhaps a page was renamed."
    )


def anything_else(status: str, message: str, traceback: str, version: str) -> str:
    """For `error_page.default`: all the other ones. The traceback is in the log, not here."""
    return page("", "error.html", status=status, message=message, hint="The log knows more.")
