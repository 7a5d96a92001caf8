"""Where our answers differ from the recorded ones on purpose: each with its reason and our value.

``DIFFERENCES`` replaces the recorded answer of one request (``app/name``, a glob) by the parts
given here; ``RULES`` are differences that touch a whole kind of answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Answer = dict[str, Any]


@dataclass
class Wanted:
    """Our answers to one request. Parts that are not given are not compared; a compiled pattern
    is searched for; a header that is None must be absent."""

    reason: str
    answers: tuple[Answer, ...]


def ours(reason: str, *answers: Answer) -> Wanted:
    return Wanted(reason, answers)


def body(text: str) -> Answer:
    return {"status": 200, "body": text}


STRICT = "framing that two parties could read differently is refused (RFC 9112)"
COOKIES = "malformed cookie pairs are skipped one by one, never refused (USERS 6)"
MALFORMED = "a malformed body is the fault of the client: 400, not 500"
BAD = ours(STRICT, {"status": 400})

DIFFERENCES: dict[str, Wanted] = {
    "app_responses/cookies malformed": ours(COOKIES, body("[('good', '1'), ('last', '3')]")),
    "app_responses/cookies odd": ours(COOKIES, {"status": 200, "body": re.compile("'good', '1'")}),
    "app_responses/cookies json": ours(
        COOKIES, {"status": 200, "body": re.compile(r"'good', '3'.*'z', '3'")}
    ),
    "app_wire/lengths differ": BAD,
    "app_wire/length and chunked": BAD,
    "app_wire/length negative": BAD,
    "app_wire/length plus": BAD,
    "app_wire/header space": BAD,
    "app_wire/header space before colon": BAD,
    "app_wire/header folded": BAD,
    "app_wire/header empty name": BAD,
    "app_wire/header first is folded": BAD,
    "app_wire/chunked bad size": BAD,
    "app_wire/odd method": BAD,
    "app_wire/chunked too large": ours(
        "the limit on bodies holds for chunked ones, with the status that says so", {"status": 413}
    ),
    "app_wsgi/text": ours(
        "the documentation shows a grafted application that returns text", body("Hello world!")
    ),
    "app_wsgi/raw/deeper": ours(
        "the documentation shows a grafted application that returns text", body("Hello world!")
    ),
    "app_wsgi/head grafted": ours(
        "a HEAD response has no body, whatever the application returns", {"status": 200}
    ),
    "app_wsgi/wrapper": ours("wsgi.file_wrapper (PEP 3333) is offered", body("file wrapped")),
    "app_bodies/multipart no boundary": ours(MALFORMED, {"status": 400}),
    "app_bodies/multipart bad boundary": ours(MALFORMED, {"status": 400}),
    "app_bodies/multipart truncated": ours(MALFORMED, {"status": 400}),
}

# Where a traceback was asked for, and so has to be there.
TRACEBACKS_ASKED_FOR = (
    re.compile(r"^app_errors/shown "),
    re.compile(r"^app_config/traceback by config$"),
)


def session_cookie(key: str, expected: Answer) -> None:
    """Session cookies are HttpOnly and SameSite=Lax unless told otherwise (USERS 10)."""
    cookies = expected["headers"].get("set-cookie")
    if key.startswith("app_sessions/") and cookies:
        expected["headers"]["set-cookie"] = [with_flags(c) for c in cookies]


def with_flags(cookie: str) -> str:
    parts = cookie.split("; ")
    flags = {p.split("=")[0].lower(): p for p in parts[1:]}
    flags.setdefault("httponly", "HttpOnly")
    flags.setdefault("samesite", "SameSite=Lax")
    return "; ".join([parts[0], *(flags[k] for k in sorted(flags))])


def no_traceback(key: str, expected: Answer) -> None:
    """No traceback in any response unless asked for (USERS 17)."""
    if not any(p.search(key) for p in TRACEBACKS_ASKED_FOR):
        expected["traceback"] = False
        expected["body"] = expected["body"].replace("<TRACEBACK>", "").rstrip()


RULES: tuple[Callable[[str, Answer], None], ...] = (session_cookie, no_traceback)
