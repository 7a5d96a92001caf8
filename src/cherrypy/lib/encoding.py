"""Charsets and compression: what leaves a handler as text leaves the process as bytes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from types import GeneratorType
from typing import Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.response import timed
from cherrypy.framework.serving import serving

from . import file_generator, is_closable_iterator, set_vary_header

_COMPRESSION_LEVEL_FAST = 1
_COMPRESSION_LEVEL_BEST = 9


def decode(encoding: Any = None, default_encoding: Any = "utf-8") -> None:
    """Say which charsets the request entity may be in (tool `decode`).

    Args:
        encoding: a charset, or a list of them, to use instead of what the client declares.
        default_encoding: a charset, or a list of them, to try after those that the entity
            would be tried with anyway.
    """
    body = serving.request.body
    if encoding is not None:
        body.attempt_charsets = encoding if isinstance(encoding, list) else [encoding]
    elif default_encoding:
        more = default_encoding if isinstance(default_encoding, list) else [default_encoding]
        body.attempt_charsets = body.attempt_charsets + more


class UTF8StreamEncoder:
    """Wrap an iterator so that its texts come out as UTF-8; all else of it shows through."""

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._iterator)
        return chunk.encode("utf-8") if isinstance(chunk, str) else chunk

    next = __next__

    def close(self) -> None:
        """Close the iterator, if it is one that can be."""
        if is_closable_iterator(self._iterator):
            self._iterator.close()

    def __getattr__(self, attr: str) -> Any:
        if attr.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {attr!r}")
        return getattr(self._iterator, attr)


class _StreamEncoder:
    """Texts of `body` as bytes in `encoding`, pulled one by one; closes what it wraps."""

    __slots__ = ("body", "encoding", "errors", "source")

    def __init__(self, body: Any, encoding: str, errors: str) -> None:
        self.source = body
        self.body = iter(body)
        self.encoding = encoding
        self.errors = errors

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self.body)
        if isinstance(chunk, str):
            return chunk.encode(self.encoding, self.errors)
        if isinstance(chunk, (bytearray, memoryview)):
            return bytes(chunk)  # WSGI knows no other kind (PEP 3333, "A Note On String Types")
        return chunk  # type: ignore[no-any-return]  # a body is untyped

    def close(self) -> None:
        if isinstance(self.body, GeneratorType) and self.body is not self.source:
            self.body.close()
        close = getattr(self.source, "close", None)
        if close is not None:
            close()


class ResponseEncoder:
    """The handler of a request wrapped so that its result is encoded (tool `encode`).

    Each attribute is an argument of the tool: `encoding` (a charset, or None to take one that the
    client accepts), `default_encoding`, `errors` (of `str.encode`), `text_only` (leave other
    content types than ``text/*`` alone), `add_charset` (to the Content-Type field).
    """

    default_encoding = "utf-8"
    failmsg = "Response body could not be encoded with %r."
    encoding: str | None = None
    errors = "strict"
    text_only = True
    add_charset = True
    debug = False

    body: Any
    oldhandler: Callable[..., Any]
    changes_results = True  # and does nothing before it calls `oldhandler`

    def __init__(self, **kwargs: Any) -> None:
        for name, value in kwargs.items():
            setattr(self, name, value)
        self.attempted_charsets: set[str] = set()
        request = serving.request
        if request.handler is not None:
            self.oldhandler = request.handler
            request.handler = self

    def encode_stream(self, encoding: str) -> bool:
        """Have the body encoded as it is pulled; False if the encoding was tried before."""
        if encoding in self.attempted_charsets:
            return False
        self.attempted_charsets.add(encoding)
        self.body = _StreamEncoder(self.body, encoding, self.errors)
        return True

    def encode_string(self, encoding: str) -> bool:
        """Encode a buffered body; False if `encoding` is unknown, cannot say it or was tried."""
        if encoding in self.attempted_charsets:
            return False
        self.attempted_charsets.add(encoding)
        try:
            self.body = [
                chunk.encode(encoding, self.errors) if isinstance(chunk, str) else chunk
                for chunk in self.body
            ]
        except (LookupError, UnicodeError):
            return False
        return True

    def find_acceptable_charset(self) -> str:
        """Encode the body with the best charset the client accepts and return its name.

        Raises HTTPError 406 when there is none, 500 when the default cannot say it.
        """
        request, response = serving.request, serving.response
        if response.stream:
            encoder = self.encode_stream
        else:
            encoder = self.encode_string
            # The length changes with the charset.
            if "Content-Length" in response.headers:
                del response.headers["Content-Length"]
            if not isinstance(self.body, (list, tuple)):
                self.body = list(timed(self.body))

        accepted = request.headers.elements("Accept-Charset")
        charsets = [element.value.lower() for element in accepted]
        wanted = self.encoding
        if wanted is not None:
            if (not charsets or "*" in charsets or wanted.lower() in charsets) and encoder(wanted):
                return wanted
        elif not accepted:
            if encoder(self.default_encoding):
                return self.default_encoding
            raise HTTPError(500, self.failmsg % self.default_encoding)
        else:
            for element in accepted:
                if element.qvalue > 0:
                    charset = element.value
                    if charset == "*":
                        charset = self.default_encoding
                    if encoder(charset):
                        return charset  # type: ignore[no-any-return]  # a body is untyped
            # Of old, Latin-1 was acceptable unless named or covered by '*' (RFC 2616, 14.2).
            if "*" not in charsets and "iso-8859-1" not in charsets and encoder("iso-8859-1"):
                return "iso-8859-1"

        header = request.headers.get("Accept-Charset")
        if header is None:
            text = "Your client did not send an Accept-Charset header."
        else:
            text = f"Your client sent this Accept-Charset header: {header}."
        tried = ", ".join(sorted(self.attempted_charsets))
        raise HTTPError(406, f"{text} We tried these charsets: {tried}.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        headers = serving.response.headers
        result = self.oldhandler(*args, **kwargs)
        if hasattr(result, "give_feed"):
            return result  # has no end, and knows its charset
        body = self.body = prepare_iter(result)
        content_type = headers.get("Content-Type")
        if not content_type:
            return body
        elements = headers.elements("Content-Type")
        if not elements:
            return body
        element = elements[0]
        if self.text_only and not element.value.lower().startswith("text/"):
            return body
        charset = self.find_acceptable_charset()
        if self.add_charset:
            element.params["charset"] = charset
            headers["Content-Type"] = str(element)
        return self.body


def prepare_iter(value: Any) -> Any:
    """Make of a handler's result what a body may be: a list, an iterator over a file, or itself."""
    if isinstance(value, (str, bytes)):
        # The empty body is [], so that "if body" tells whether there is one.
        return [value] if value else []
    if isinstance(value, (bytearray, memoryview)):
        return prepare_iter(bytes(value))
    if value is None:
        return []
    if hasattr(value, "read"):
        return file_generator(value)
    return value


def compress(body: Iterable[bytes], compress_level: int, flush: bool = False) -> Iterator[bytes]:
    """Return `body` as one gzip member (RFC 1952), a chunk for each chunk; closes `body`.

    Args:
        compress_level: 0 (none) to 9 (best).
        flush: let the client read each chunk when it comes, and not when there is enough to
            compress well: for bodies that are made while they are sent.
    """
    import zlib

    # wbits 31: deflate in a gzip wrapper; no file name and no time, so that equal bodies
    # compress to equal bytes.
    squeeze = zlib.compressobj(compress_level, zlib.DEFLATED, 31)
    sync = (lambda: squeeze.flush(zlib.Z_SYNC_FLUSH)) if flush else None
    return Compressed(body, squeeze.compress, sync, squeeze.flush)


class Compressed:
    """A body compressed chunk by chunk; closed at its end, or when this is.

    A generator would not close it if nobody had begun.

    Args:
        squeeze: takes a chunk, and returns what there is to send of it.
        flush: returns the rest of the chunks so far; None: that can wait.
        finish: returns the rest.
    """

    __slots__ = ("body", "chunks")

    def __init__(
        self,
        body: Iterable[bytes],
        squeeze: Callable[[bytes], bytes],
        flush: Callable[[], bytes] | None,
        finish: Callable[[], bytes],
    ) -> None:
        self.body: Any = body
        self.chunks = _squeezed(body, squeeze, flush, finish)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self.chunks)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        body, self.body = self.body, None
        self.chunks.close()
        close = getattr(body, "close", None)
        if close is not None:
            close()


def _squeezed(
    body: Iterable[bytes],
    squeeze: Callable[[bytes], bytes],
    flush: Callable[[], bytes] | None,
    finish: Callable[[], bytes],
) -> Generator[bytes, None, None]:
    for chunk in body:
        data = squeeze(chunk)
        if flush is not None and chunk:
            data += flush()
        if data:
            yield data
    yield finish()


def decompress(body: bytes) -> bytes:
    """Return what the gzip members in `body` hold."""
    import gzip

    return gzip.decompress(body)


def _is_gzip_type(content_type: str, mime_types: Iterable[str]) -> bool:
    """Tell whether ``type/subtype`` is one of `mime_types`, where ``*`` and ``*+x`` are wild."""
    main, slash, sub = content_type.partition("/")
    for mime_type in mime_types:
        if mime_type == content_type:
            return True
        if "*" not in mime_type or not slash:
            continue
        wild_main, _, wild_sub = mime_type.partition("/")
        if wild_main not in ("*", main):
            continue
        if wild_sub == "*" or (
            wild_sub[:2] == "*+" and "+" in sub and sub.rpartition("+")[2] == wild_sub[2:]
        ):
            return True
    return False


def _codings(elements: list[Any]) -> tuple[float, float | None]:
    """Return the weights of gzip and, if it is named, of identity (RFC 9110, 12.5.3)."""
    gzip_weight = identity = any_other = None
    for element in elements:
        coding = element.value.lower()
        if coding in ("gzip", "x-gzip"):
            gzip_weight = max(gzip_weight or 0.0, element.qvalue)
        elif coding == "identity":
            identity = element.qvalue
        elif coding == "*":
            any_other = element.qvalue
    if gzip_weight is None:
        gzip_weight = any_other or 0.0
    if identity is None and any_other == 0.0:
        identity = 0.0
    return gzip_weight, identity


def may_be_compressed(mime_types: Iterable[str], min_size: int) -> bool:
    """Tell whether the response is of a type and a size to be compressed.

    Args:
        min_size: bytes; a body of unknown length is large enough.
    """
    response = serving.response
    headers, body = response.headers, response.body
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not _is_gzip_type(content_type, mime_types):
        return False
    if "no-transform" in str(dict.get(headers, "Cache-Control", "")).lower():  # RFC 9111, 5.2.2.6
        return False
    if not min_size:
        return True
    length = headers.get("Content-Length")
    if length is None and isinstance(body, (list, tuple)):
        length = sum(map(len, body))
    return length is None or int(length) >= min_size


def may_have_coding() -> bool:
    """Note that the response varies with Accept-Encoding; tell whether a coding could be put on.

    Not on nothing, not on what has one (from the cache, or a file), not on ranges, which count
    the bytes of the plain file, and not on streams that the event loop sends.
    """
    request, response = serving.request, serving.response
    set_vary_header(response, "Accept-Encoding")
    headers = response.headers
    body = response.body
    return not (
        not body
        or getattr(request, "cached", False)
        or headers.get("Content-Encoding")
        or headers.get("Content-Range")
        or getattr(body, "give_feed", None) is not None
    )


def set_coding(coding: str) -> None:
    """Set the fields of a response whose body is going to be in that coding."""
    headers = serving.response.headers
    headers["Content-Encoding"] = coding
    etag = headers.get("ETag")
    if etag and not etag.startswith("W/"):
        # The tag was made for other bytes: RFC 9110, 8.8.3.3 asks for another, or a weak, one.
        headers["ETag"] = "W/" + etag
    if "Content-Length" in headers:
        del headers["Content-Length"]


def gzip(
    compress_level: int = 5,
    mime_types: Any = ["text/html", "text/plain"],  # noqa: B006 - read only; shown to users
    debug: bool = False,
    min_size: int = 0,
) -> None:
    """Compress the response body if the client can read that (tool `gzip`).

    Args:
        compress_level: 0 (none) to 9 (best).
        mime_types: content types to compress; ``text/*``, ``*/*`` and ``application/*+xml`` mean
            all of their kind.
        min_size: bytes; smaller bodies are left alone.

    The response is 406 when the client accepts neither gzip nor the plain body, and 400 when its
    Accept-Encoding cannot be understood.
    """
    request, response = serving.request, serving.response
    if not may_have_coding():
        return
    field = request.headers.get("Accept-Encoding")
    if not field:
        return
    try:
        gzip_weight, identity = _codings(request.headers.elements("Accept-Encoding"))
        if not gzip_weight and identity == 0.0:
            raise HTTPError(406, "identity, gzip")
    except HTTPError as answer:
        # Not let out: this hook would run again for the error's page, and raise again.
        answer.set_response()
        return
    if not gzip_weight:
        return
    if identity is not None and identity > gzip_weight:
        return
    if may_be_compressed(mime_types, 0 if identity == 0.0 else min_size):
        set_coding("gzip")
        response.body = compress(response.body, compress_level, response.stream)
