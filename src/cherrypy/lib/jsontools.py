"""JSON in and out; also what `cherrypy._json` offers: the module in use, `encode`, `decode`.

`json` itself is imported with the first document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving

if TYPE_CHECKING:
    import json

__all__ = ("decode", "encode", "json", "json_handler", "json_in", "json_out", "json_processor")

_encoder: Any = None


def _first_pieces(value: Any, level: int) -> Any:
    _load()
    return _pieces(value, level)


def _first_decode(*args: Any) -> Any:
    _load()
    return _decode(*args)


# What makes the pieces of a document of a value, and a value of a document; json's own, once there
# has been one.
_pieces: Any = _first_pieces
_decode: Any = _first_decode


def _load() -> None:
    global _encoder, _pieces, _decode
    import json

    encoder = json.JSONEncoder()
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:

        def pieces(value: Any, level: int) -> Iterable[str]:
            return (encoder.encode(value),)

    else:
        # What json makes anew for every document. Without a memory of where it has been it may be
        # shared: what is circular ends in a RecursionError. `default` is asked for when it is
        # needed, as programs replace it.
        pieces = make(
            None,
            lambda value: encoder.default(value),  # noqa: PLW0108 - whatever it is by then
            json.encoder.encode_basestring_ascii,
            None,
            encoder.key_separator,
            encoder.item_separator,
            False,
            False,
            True,
        )
    _encoder = encoder
    _decode = json.JSONDecoder().decode
    _pieces = pieces


def __getattr__(name: str) -> Any:
    if name == "json":
        import json

        return json
    if name == "_encode":
        _load()
        return _encoder.iterencode
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def decode(s: str, _w: Any = None) -> Any:
    """Return the value of a JSON document. Raises ValueError when it is none.

    _w
        What json's own takes: a function that finds the end of white space.
    """
    return _decode(s) if _w is None else _decode(s, _w)


_JSON_TYPES = ["application/json", "text/javascript"]


def encode(value: Any) -> Iterable[bytes]:
    """Return `value` as the chunks of a JSON document in UTF-8.

    Raises TypeError or ValueError when it cannot be said in JSON, before anything is sent.
    """
    try:
        return ["".join(_pieces(value, 0)).encode()]
    except RecursionError:
        # Deep, or circular: json itself says which.
        return [_encoder.encode(value).encode()]


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
    value = serving.request._json_inner_handler(*args, **kwargs)
    try:
        return encode(value)
    except TypeError:
        if hasattr(value, "give_feed"):
            return value  # type: ignore[no-any-return]  # a body that has no end, and no JSON
        raise


# As of `ResponseEncoder`.
json_handler.changes_results = True  # type: ignore[attr-defined]  # a mark


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
