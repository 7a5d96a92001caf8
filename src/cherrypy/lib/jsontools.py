"""JSON in and out; also what `cherrypy._json` offers: the module in use, `encode`, `decode`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving

__all__ = ("decode", "encode", "json", "json_handler", "json_in", "json_out", "json_processor")

_encoder = json.JSONEncoder()
_encode = _encoder.iterencode
_text = _encoder.encode
decode = json.JSONDecoder().decode


def _chunks_of(value: Any, level: int) -> Iterable[str]:
    return (_text(value),)


def _default(value: Any) -> Any:
    return _encoder.default(value)


_make_encoder = getattr(json.encoder, "c_make_encoder", None)
if _make_encoder is not None:
    # What json makes anew for every document. Without a memory of where it has been it may be
    # shared: what is circular ends in a RecursionError. `default` is asked for when it is needed,
    # as programs replace it.
    _chunks_of = _make_encoder(
        None,
        _default,
        json.encoder.encode_basestring_ascii,
        None,
        _encoder.key_separator,
        _encoder.item_separator,
        False,
        False,
        True,
    )

_JSON_TYPES = ["application/json", "text/javascript"]


def encode(value: Any) -> Iterable[bytes]:
    """Return `value` as the chunks of a JSON document in UTF-8.

    Raises TypeError or ValueError when it cannot be said in JSON, before anything is sent.
    """
    try:
        return ["".join(_chunks_of(value, 0)).encode()]
    except RecursionError:
        # Deep, or circular: json itself says which.
        return [_text(value).encode()]


def json_processor(entity: Any) -> None:
    """Read a JSON document into `request.json`.

    Raises HTTPError 411 when the entity has no length, 400 when it is no JSON.
    """
    headers = entity.headers
    if not headers.get("Content-Length") and "chunked" not in (
        headers.get("Transfer-Encoding") or serving.request.headers.get("Transfer-Encoding", "")
    ):
        raise HTTPError(411)
    body = entity.fp.read()
    try:
        serving.request.json = decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise HTTPError(400, "Invalid JSON document") from None


def json_in(
    content_type: Any = _JSON_TYPES,
    force: bool = True,
    debug: bool = False,
    processor: Callable[[Any], None] = json_processor,
) -> None:
    """Take entities that are JSON and put their value in `request.json` (tool `json_in`).

    Args:
        content_type: a content type, or a list of them, that `processor` reads.
        force: answer 415 to all other content types, instead of reading them as usual.
        processor: called with the entity.
    """
    body = serving.request.body
    types: list[str] = [content_type] if isinstance(content_type, str) else content_type
    if force:
        body.processors.clear()
        body.default_proc = HTTPError(415, "Expected an entity of content type " + ", ".join(types))
    for name in types:
        body.processors[name] = processor


def json_handler(*args: Any, **kwargs: Any) -> Iterable[bytes]:
    """Call the page handler and return its value as JSON."""
    return encode(serving.request._json_inner_handler(*args, **kwargs))


def json_out(
    content_type: str | None = "application/json",
    debug: bool = False,
    handler: Callable[..., Any] = json_handler,
) -> None:
    """Send what the page handler returns as JSON (tool `json_out`).

    Args:
        content_type: for the response; None leaves it as it is.
        handler: stands in for the page handler, which it finds as
            `request._json_inner_handler`.
    """
    request = serving.request
    # None when an earlier tool has made the response, such as a file's.
    if request.handler is None:
        return
    request._json_inner_handler = request.handler
    request.handler = handler
    if content_type is not None:
        serving.response.headers["Content-Type"] = content_type
