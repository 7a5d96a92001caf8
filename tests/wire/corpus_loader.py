"""Load the corpus by path, and replay bytes through the protocol layer as a server would.

Usable from any test: ``importlib`` it by path, or put this folder on ``sys.path``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "corpus"


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"wire_corpus_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rules = _load("rules")
_invalid = _load("invalid")
REFUSED: dict[str, tuple[str, int, str, str]] = rules.REFUSED
ACCEPTED: dict[str, tuple[str, str, str]] = rules.ACCEPTED
FAILURES: dict[str, tuple[str, int, str, str]] = _load("frame_rules").REFUSED
LIMITS: dict[str, int] = _invalid.LIMITS

_DEFAULT = {
    "method": "GET",
    "target": "/",
    "scheme": None,
    "path": "/",
    "query": "",
    "minor": 1,
    "fields": {"HTTP_HOST": "x"},
    "length": None,
    "chunked": False,
    "keep_alive": True,
    "expect": False,
    "body": b"",
}

#: Well-formed: dicts of name, rfc, data, exchanges (complete), rule (of ACCEPTED, or None), rest.
VALID: list[dict[str, Any]] = [
    {**case, "exchanges": [{**_DEFAULT, **exchange} for exchange in case["exchanges"]]}
    for case in _load("valid").CASES
]

#: Refused: dicts of name, rule, data, before (good exchanges), status, text, rfc.
INVALID: list[dict[str, Any]] = [
    {
        **case,
        "status": REFUSED[case["rule"]][1],
        "text": REFUSED[case["rule"]][2],
        "rfc": REFUSED[case["rule"]][3],
    }
    for case in _invalid.CASES
]


def limits() -> tuple[Any, Any]:
    """(HeadLimits, BodyLimits) of LIMITS."""
    from kirsch.wire.http1.bodies import BodyLimits
    from kirsch.wire.http1.requests import HeadLimits

    head = ("max_request_line", "max_head", "max_fields")
    body = ("max_body", "max_chunk_line", "max_trailer", "max_fields")
    return (
        HeadLimits(**{name: LIMITS[name] for name in head}),
        BodyLimits(**{name: LIMITS[name] for name in body}),
    )


def pieces(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """*data* cut at the given offsets."""
    start = 0
    for cut in sorted(set(cuts)):
        if 0 < cut < len(data):
            yield data[start:cut]
            start = cut
    yield data[start:]


def replay(stream: Iterable[bytes]) -> tuple[list[dict[str, Any]], tuple[Any, ...]]:
    """Feed the pieces to the protocol layer by the rules of its callers.

    :return: the complete exchanges, and how it ended: ('refused', status, text), or ('open', what
        is left over of a connection that stays), or ('closed', what follows the last exchange), or
        ('body', bytes of an unfinished body).
    """
    from kirsch.wire.errors import ProtocolError
    from kirsch.wire.http1.bodies import ChunkedBody, LengthBody
    from kirsch.wire.http1.requests import RequestHead, parse_head

    head_limits, body_limits = limits()
    exchanges: list[dict[str, Any]] = []
    last: RequestHead | None = None
    buffer = b""
    body: Any = None
    decoded = b""
    waiting = iter(stream)
    new = b""
    try:
        while True:
            if body is None:
                head = None
                # The contract: ask only when there is a line end in what is new, or too much.
                if b"\n" in new or len(buffer) > min(
                    head_limits.max_request_line, head_limits.max_head
                ):
                    head = parse_head(buffer, head_limits, last)
                if head is None:
                    new = next(waiting)
                    buffer += new
                    continue
                assert 0 < head.size <= len(buffer)
                last = head
                buffer = buffer[head.size :]
                if head.chunked:
                    body = ChunkedBody(body_limits)
                else:
                    body = LengthBody(head.length or 0, body_limits.max_body)
                decoded = b""
                new = buffer
            if not body.done or new:
                decoded += body.feed(new)
            if not body.done:
                assert not body.rest
                new = next(waiting)
                continue
            assert last is not None
            exchanges.append(
                {name: getattr(last, name) for name in _DEFAULT if name != "body"}
                | {"fields": dict(last.fields), "body": decoded}
            )
            buffer = new = body.rest
            body = None
            if not last.keep_alive:
                return exchanges, ("closed", buffer + b"".join(waiting))
    except StopIteration:
        try:
            # The verdict on what is there must not depend on when it was last asked for.
            if body is None and buffer:
                assert parse_head(buffer, head_limits, last) is None
        except ProtocolError as error:
            return exchanges, ("refused", error.status, error.text)
        return exchanges, ("open", buffer) if body is None else ("body", decoded)
    except ProtocolError as error:
        return exchanges, ("refused", error.status, error.text)


def tables() -> dict[str, str]:
    """The rule tables of docs/wire.md, by name: 'refused', 'accepted', and 'frames' of WebSockets.

    ``python tests/wire/corpus_loader.py`` writes them into the page.
    """
    refused = ["| What arrives | Answer | Text | Source |", "|---|---|---|---|"]
    for what, status, text, rfc in REFUSED.values():
        refused.append(f"| {what} | {status} | `{text}` | {rfc} |")
    accepted = ["| What arrives | What is made of it | Source |", "|---|---|---|"]
    for what, made, rfc in ACCEPTED.values():
        accepted.append("| " + " | ".join(x.replace("|", "\\|") for x in (what, made, rfc)) + " |")
    return {
        "refused": "\n".join(refused),
        "accepted": "\n".join(accepted),
        "frames": _frames(),
    }


def _frames() -> str:
    lines = ["| What arrives | Code | Reason | Source |", "|---|---|---|---|"]
    for what, code, reason, rfc in FAILURES.values():
        lines.append(f"| {what} | {code} | `{reason}` | {rfc} |")
    return "\n".join(lines)


PAGE = Path(__file__).parents[2] / "docs" / "wire.md"


def with_tables(page: str) -> str:
    """The page with its tables made anew."""
    for name, table in tables().items():
        opening, closing = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, found, rest = page.partition(opening)
        _, ended, after = rest.partition(closing)
        assert found and ended, f"the page has no place for the table {name!r}"
        page = f"{before}{opening}{table}\n{closing}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
