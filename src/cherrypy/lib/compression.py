"""Compression by what the client likes best: zstd, br or gzip (the tool `compress`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving

from . import codings as words
from . import encoding

__all__ = ("compress", "installed")

#: How hard to try, if the setting does not say: about as quick as gzip's 5, each.
LEVELS = {"zstd": 3, "br": 4, "gzip": 5}

#: From fastest to best. Above 19, zstd takes a window that browsers refuse (RFC 9659, 3).
BOUNDS = {"zstd": (1, 19), "br": (0, 11), "gzip": (0, 9)}


def _import(coding: str) -> Any:
    if coding == "br":
        import brotli

        return brotli
    if coding == "zstd":
        import zstandard

        return zstandard
    return None


@lru_cache(1)
def installed() -> tuple[str, ...]:
    """Return the codings whose libraries are there, the favourite first."""
    found = []
    for coding in words.NAMES:
        try:
            _import(coding)
        except ImportError:
            continue
        found.append(coding)
    return tuple(found)


def _compressed(coding: str, level: int, body: Iterable[bytes], flush: bool) -> Any:
    if coding == "gzip":
        return encoding.compress(body, level, flush)
    library = _import(coding)
    sync: Callable[[], bytes]
    if coding == "br":
        squeeze = library.Compressor(quality=level)
        feed, sync, finish = squeeze.process, squeeze.flush, squeeze.finish
    else:
        # One for each response: it is not for several threads.
        squeeze = library.ZstdCompressor(level=level).compressobj()
        feed, finish = squeeze.compress, squeeze.flush

        def sync() -> bytes:
            data: bytes = squeeze.flush(library.COMPRESSOBJ_FLUSH_BLOCK)
            return data

    return encoding.Compressed(body, feed, sync if flush else None, finish)


@lru_cache(100)
def _offered(setting: Any) -> tuple[str, ...]:
    if setting is None:
        return installed()
    names = words.names_of(setting)
    for name in names:
        if name not in installed():
            raise ImportError(f"The coding {name} needs a library: pip install kirsch[compression]")
    return names


@lru_cache(100)
def _level(coding: str, level: int | None) -> int:
    if level is None:
        return LEVELS[coding]
    lowest, highest = BOUNDS[coding]
    if not lowest <= level <= highest:
        raise ValueError(f"The level of {coding} is {lowest} to {highest}, not {level}.")
    return level


def compress(
    codings: Any = None,
    mime_types: Any = [  # noqa: B006 - read only; shown to users
        "text/*",
        "application/*+json",
        "application/*+xml",
        "application/javascript",
        "application/json",
        "application/wasm",
        "application/xml",
        "image/svg+xml",
    ],
    min_size: int = 500,
    levels: Any = None,
    debug: bool = False,
) -> None:
    """Compress the response body in the coding the client likes best (tool `compress`).

    Args:
        codings: what to offer, the favourite first: a list of ``zstd``, ``br`` and ``gzip``, or
            None for those whose libraries are installed.
        mime_types: content types to compress; ``text/*`` and ``application/*+xml`` mean all of
            their kind.
        min_size: bytes; smaller bodies are left alone.
        levels: how hard to try, by coding: a dict; 1 to 19 for zstd, 0 to 11 for br, 0 to 9 for
            gzip.

    The response is 406 when the client accepts neither these nor the plain body, and 400 when
    its Accept-Encoding cannot be understood. Raises ImportError for a coding that is named but
    not installed, ValueError for one that is not known.
    """
    request, response = serving.request, serving.response
    if not encoding.may_have_coding():
        return
    if not request.headers.get("Accept-Encoding"):
        return
    offered = _offered(tuple(codings) if isinstance(codings, list) else codings)
    try:
        elements = request.headers.elements("Accept-Encoding")
        liked, plain = words.acceptable(elements, offered)
        if not liked and not plain:
            raise HTTPError(406, ", ".join(("identity", *offered)))
    except HTTPError as answer:
        # Not let out: this hook would run again for the error's page, and raise again.
        answer.set_response()
        return
    if liked and encoding.may_be_compressed(mime_types, min_size if plain else 0):
        coding = liked[0]
        level = _level(coding, (levels or {}).get(coding))
        encoding.set_coding(coding)
        response.body = _compressed(coding, level, response.body, response.stream)
