"""The body of a request: entities, parts of entities, and what turns them into parameters.

Law: whatever a peer sends ends in parameters or in a 4xx, in linear time and bounded memory.
"""

from __future__ import annotations

from typing import Any

from kirsch.http.charsets import known_charset
from kirsch.http.headers import HeaderElement, HeaderMap
from kirsch.http.query import unquote_bytes

from .errors import HTTPError
from .multipart import BoundaryReader, valid_boundary
from .ramfile import SmallFile
from .serving import serving
from .sized import SizedReader, inf
from .tempfiles import files_of_request, small_file

__all__ = (
    "Entity",
    "Part",
    "RequestBody",
    "SizedReader",
    "process_multipart",
    "process_multipart_form_data",
    "process_urlencoded",
    "unquote_plus",
)

# ------------------------------------------------------------------------------- processors


def unquote_plus(bs: bytes) -> bytes:
    """Decode `+` and `%XX` in bytes; what is no escape stays as it is."""
    if b"+" in bs:
        bs = bs.replace(b"+", b" ")
    return unquote_bytes(bs) if b"%" in bs else bs


def _add(params: dict[str, Any], name: str, value: Any) -> None:
    """Put a value among parameters; those of one name become a list."""
    if name not in params:
        params[name] = value
    elif type(params[name]) is list:
        params[name].append(value)
    else:
        params[name] = [params[name], value]


def _undecodable(charsets: list[str]) -> HTTPError:
    return HTTPError(
        400,
        "The request entity could not be decoded. The following charsets were "
        f"attempted: {charsets!r}",
    )


def process_urlencoded(entity: Entity) -> None:
    """Read an `application/x-www-form-urlencoded` entity into `entity.params`.

    Raises HTTPError 400 when it is in no charset, 413 when it has more fields than `maxparams`.
    """
    data = entity.fp.read().replace(b";", b"&")
    # A pair may be two bytes, and takes hundreds when it is taken apart.
    entity._count("params", data.count(b"&") + 1, entity.maxparams, "The form", "fields")
    pairs = [pair.partition(b"=") for pair in data.split(b"&") if pair]
    raw = [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]
    for charset in entity._charsets():
        try:
            decoded = [(name.decode(charset), value.decode(charset)) for name, value in raw]
        except (UnicodeError, LookupError):
            continue
        entity.charset = charset
        break
    else:
        raise _undecodable(entity.attempt_charsets)
    for name, value in decoded:
        _add(entity.params, name, value)


def process_multipart(entity: Entity) -> None:
    """Read the parts of a `multipart/*` entity into `entity.parts`."""
    try:
        boundary = valid_boundary(entity.content_type.params.get("boundary", ""))
        reader = BoundaryReader(entity.fp, boundary)
        if reader.depth > entity.maxdepth:
            raise ValueError("Multipart entities are nested too deeply.")
        _read_parts(entity, reader, boundary)
    except EOFError as exc:
        raise HTTPError(400, str(exc)) from exc
    except ValueError as exc:
        raise HTTPError(400, str(exc)) from exc


def _read_parts(entity: Entity, reader: BoundaryReader, boundary: bytes) -> None:
    try:
        found = reader.advance()  # over the preamble
    except EOFError:
        if reader.empty:
            return
        raise EOFError("The boundary of the multipart body was not found in it.") from None
    while found:
        entity._count("parts", 1, entity.maxparts, "The request", "parts")
        part = entity.part_class.from_fp(reader, boundary)
        part.maxdepth = entity.maxdepth
        part.maxparts = entity.maxparts
        part.maxparams = entity.maxparams
        part._counts = entity._counts
        part.maxfield = entity.maxfield
        entity.parts.append(part)
        part.process()
        found = reader.advance()


def _parameter(part: Part) -> Any:
    """Return what a part is as a parameter: itself if it is a file or has parts, else text."""
    if part.filename is not None or (part.value is None and part.file is None):
        return part
    return part.fullvalue()


def process_multipart_form_data(entity: Entity) -> None:
    """Read a `multipart/form-data` entity: named parts become parameters.

    Files are `Part` objects, fields are text. Parts without a name stay in `entity.parts`.
    """
    process_multipart(entity)
    kept = []
    for part in entity.parts:
        if part.name is None:
            kept.append(part)
        else:
            _add(entity.params, part.name, _parameter(part))
    entity.parts[:] = kept


def _old_process_multipart(entity: Entity) -> None:
    """Read a `multipart/*` entity: the parts become parameters as well, nameless ones 'parts'."""
    process_multipart(entity)
    for part in entity.parts:
        name = "parts" if part.name is None else part.name
        _add(entity.params, name, _parameter(part))


# --------------------------------------------------------------------------------- entities


class Entity:
    """Headers and a body: of the request, or of a part of it.

    Args:
        fp: the file to read the body from.
        headers: a `HeaderMap`.
        params: where parameters of the body go; a dict.
        parts: where parts of the body go; a list.

    `process` reads it if the content type has a processor, and leaves it in `fp` if not.
    """

    attempt_charsets: list[str] = ["utf-8"]
    """The charsets to try. What the content type says comes first."""

    charset: str | None = None
    """The charset that was right; set by decoding."""

    content_type: Any = None
    """The content type, a `HeaderElement` with `value` and `params`."""

    default_content_type = "application/x-www-form-urlencoded"
    """What to take it for when the headers do not say."""

    filename: str | None = None
    """The file name of the Content-Disposition."""

    fp: Any = None
    headers: Any = None

    length: int | None = None
    """The Content-Length, in bytes; None if there is none, or a transfer encoding."""

    name: str | None = None
    """The name of the Content-Disposition."""

    params: Any = None
    parts: Any = None
    part_class: Any = None
    """The class of the parts: `Part`."""

    processors: dict[str, Any] = {
        "application/x-www-form-urlencoded": process_urlencoded,
        "multipart/form-data": process_multipart_form_data,
        "multipart": process_multipart,
    }
    """Callables that take the entity, by content type or by its first half. Each entity has its
    own copy."""

    maxparams: int | None = 100_000
    """How many fields an urlencoded entity may have, those of its parts together; beyond that 413.
    None: no limit."""

    maxparts = 5000
    """How many parts a multipart entity may have, with those within parts; beyond that 413."""

    maxfield = 16 * 1024 * 1024
    """How many bytes a part that is not a file may have; beyond that 413. None: no limit."""

    maxdepth = 4
    """How deep multipart entities may be nested; beyond that 400."""

    maxfiles = 500
    """How many temporary files the entities of a request may fill; beyond that 413. Each is a
    descriptor of this process, which has some thousand."""

    file: Any = None
    value: Any = None

    #: What was counted of this entity and those that it is in or that are in it.
    _counts: dict[str, int] | None = None

    #: `attempt_charsets`, if the first of them is one that the peer should not have named.
    _doubtful: list[str] | None = None

    def __init__(self, fp: Any, headers: Any, params: Any = None, parts: Any = None) -> None:
        self.processors = self.processors.copy()
        self.fp = fp
        self.headers = headers
        self.params = {} if params is None else params
        self.parts = [] if parts is None else parts
        text = headers.get("Content-Type")
        self.content_type = kind = HeaderElement.from_str(text or self.default_content_type)
        charset = kind.params.get("charset")
        if charset:
            own = self.attempt_charsets
            self.attempt_charsets = [charset, *[other for other in own if other != charset]]
            if charset not in own and not known_charset(charset):
                self._doubtful = self.attempt_charsets
        else:
            self.attempt_charsets = self.attempt_charsets[:]
        self.length = None
        length = headers.get("Content-Length")
        if length is not None and "chunked" not in headers.get("Transfer-Encoding", ""):
            try:
                self.length = int(length)
            except ValueError:
                pass
        self.name = self.filename = None
        disposition = headers.get("Content-Disposition")
        if disposition:
            params = HeaderElement.parse(disposition)[1]
            self.name = params.get("name")
            self.filename = _file_name(params)

    def read(self, size: int | None = None, fp_out: Any = None) -> Any:
        """Return bytes of the body, or write them to `fp_out`."""
        if fp_out is None:  # what the server gives, for a body that is not processed, is a file
            return self.fp.read(size)
        return self.fp.read(size, fp_out)

    def readline(self, size: int | None = None) -> bytes:
        """Return a line of the body, of at most `size` bytes."""
        line: bytes = self.fp.readline(size)
        return line

    def readlines(self, sizehint: int | None = None) -> list[bytes]:
        """Return the lines of the body, until they have `sizehint` bytes."""
        lines: list[bytes] = self.fp.readlines(sizehint)
        return lines

    def __iter__(self) -> Entity:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    next = __next__

    def read_into_file(self, fp_out: Any = None) -> Any:
        """Write the body to a file (a new temporary one, unless given) and return that."""
        if fp_out is None:
            fp_out = self.make_file()
        self.read(fp_out=fp_out)
        return fp_out

    def make_file(self) -> Any:
        """Return a temporary file for the body, which is closed with the request.

        May be overridden to have the bodies of parts written elsewhere.
        """
        import tempfile

        files = files_of_request()
        if sum(type(file) is not SmallFile for file in files) >= self.maxfiles:
            raise HTTPError(413, f"The request has more than {self.maxfiles} large parts.")
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the request closes it
        files.append(file)
        return file

    def _count(self, what: str, more: int, limit: int | None, whose: str, words: str) -> None:
        """Count parts or fields before they are made. Raises HTTPError 413 beyond the limit."""
        if self._counts is None:
            self._counts = {}
        number = self._counts[what] = self._counts.get(what, 0) + more
        if limit is not None and number > limit:
            raise HTTPError(413, f"{whose} has more than {limit} {words}.")

    def fullvalue(self) -> Any:
        """Return the whole body, decoded. Raises HTTPError 400 if it is in no charset."""
        if self.file:
            self.file.seek(0)
            value = self.file.read()
            self.file.seek(0)
        else:
            if self.value is None and self.fp is not None:
                self.value = self.read()  # nobody has read it, as there is no processor for it
            value = self.value
        return self.decode_entity(value)

    def decode_entity(self, value: bytes) -> str:
        """Return `value` decoded in the first of `attempt_charsets` that fits."""
        for charset in self._charsets():
            try:
                text = value.decode(charset)
            except (UnicodeError, LookupError):
                continue
            self.charset = charset
            return text
        raise _undecodable(self.attempt_charsets)

    def _charsets(self) -> list[str]:
        """The charsets to try; those that somebody has set meanwhile are his own choice."""
        charsets = self.attempt_charsets
        return charsets[1:] if charsets is self._doubtful else charsets

    def process(self) -> None:
        """Read the body with the processor of its content type, or else `default_proc`."""
        kind = self.content_type.value.lower()
        proc = self.processors.get(kind)
        if proc is None:
            proc = self.processors.get(kind.split("/", 1)[0])
        if proc is None:
            self.default_proc()
        else:
            proc(self)

    def default_proc(self) -> None:
        """Leave the body in `fp`, for somebody else to read."""


def _file_name(params: dict[str, Any]) -> str | None:
    """Return the file name of the parameters of a Content-Disposition."""
    extended = params.get("filename*")
    if extended:
        # RFC 5987: charset'language'percent-encoded
        charset, _, rest = extended.partition("'")
        if known_charset(charset):
            try:
                return unquote_bytes(rest.partition("'")[2].encode("utf-8")).decode(charset)
            except (UnicodeError, LookupError):
                pass  # the plain one, if there is any
    name: str | None = params.get("filename")
    return name


class Part(Entity):
    """A part of a multipart entity: an uploaded file, or a field of a form.

    `file` is the content as an open file, at its beginning, if the part has a `filename` or is
    long; else `value` is the content.
    """

    attempt_charsets = ["us-ascii", "utf-8"]
    boundary: bytes | None = None

    default_content_type = "text/plain"
    """RFC 2046, 5.1."""

    maxrambytes = 1000
    """Bytes up to which the value of a field is a `value`, not a `file`."""

    maxramfile = 64 * 1024
    """Bytes up to which a `file` is kept in memory; of no account where `make_file` is one's own."""

    maxheaders = 16 * 1024
    """Bytes the headers of a part may have; beyond that 413."""

    maxheaderlines = 200
    """Lines they may have; beyond that 413. Each becomes objects of many times its size."""

    header_charsets = ("utf-8", "iso-8859-1")
    """What names and file names may be in: browsers write UTF-8 (RFC 7578, 5.1)."""

    def __init__(self, fp: Any, headers: Any, boundary: bytes) -> None:
        super().__init__(fp, headers)
        self.boundary = boundary
        self.file = None
        self.value = None
        self.name = self._decoded(self.name)
        self.filename = self._decoded(self.filename)

    def _decoded(self, text: str | None) -> str | None:
        if text is None or text.isascii():
            return text
        for charset in self.header_charsets:
            try:
                return text.encode("latin-1").decode(charset)
            except UnicodeError:  # which also says: has been decoded already
                continue
        return text

    @classmethod
    def from_fp(cls, fp: Any, boundary: bytes) -> Any:
        """Read the headers of a part from `fp` and return the part, its body still in `fp`."""
        return cls(fp, cls.read_headers(fp), boundary)

    @classmethod
    def read_headers(cls, fp: Any) -> HeaderMap:
        """Read headers up to the empty line.

        Raises:
            EOFError: there is no empty line.
            ValueError: they are no headers.
            HTTPError: 413, there are too many.
        """
        fields: list[tuple[str, str]] = []
        left, lines = cls.maxheaders, cls.maxheaderlines
        while True:
            line = fp.readline(left + 1)
            left -= len(line)
            lines -= 1
            if left < 0 or lines < 0:
                raise HTTPError(413, "The headers of a part of the entity are too large.")
            if not line or line[-1:] != b"\n":
                raise EOFError("Illegal end of headers.")
            if line == b"\r\n":
                break
            if not line.endswith(b"\r\n"):
                raise ValueError(f"MIME requires CRLF terminators: {line[:80]!r}")
            text = line[:-2].decode("latin-1")
            if text[:1] in " \t" and fields:
                name, value = fields[-1]
                fields[-1] = (name, f"{value} {text.strip()}")
                continue
            name, colon, value = text.partition(":")
            if not colon or not name.strip():
                raise ValueError(f"Illegal header of a part: {line[:80]!r}")
            fields.append((name.strip(), value.strip()))
        headers = HeaderMap()
        for name, value in fields:
            known = headers.get(name)
            headers[name] = value if known is None else f"{known}, {value}"
        return headers

    def read_lines_to_boundary(self, fp_out: Any = None) -> Any:
        """Read the body, up to the boundary.

        Returns bytes, or a file if it is longer than `maxrambytes`; or `fp_out`, if given, with
        everything in it. Files are returned at their beginning.
        """
        fp = self.fp
        if not isinstance(fp, BoundaryReader):
            fp = BoundaryReader(fp, self.boundary or b"", inside=True)
        limit: float = inf
        size = 0
        if fp_out is None:
            value, more = self._begin(fp, self.maxrambytes)
            if not more:
                return value if len(value) <= self.maxrambytes else small_file(value)
            fp_out = self.make_file()
            fp_out.write(value)
            size = len(value)
            if self.maxfield is not None:
                limit = self.maxfield
        while True:
            if size > limit:
                raise HTTPError(413, f"A field of the form is larger than {limit} bytes.")
            block = fp.read_block()
            if not block:
                break
            fp_out.write(block)
            size += len(block)
        fp_out.seek(0)
        return fp_out

    def _begin(self, fp: BoundaryReader, ram: int) -> tuple[bytes, bool]:
        """Read what is kept in memory, of a field `ram` bytes; return it and if there is more."""
        if type(self).make_file is Entity.make_file and "make_file" not in self.__dict__:
            ram = max(ram, self.maxramfile)
        blocks: list[bytes] = []
        size = 0
        while size <= ram:
            block = fp.read_block()
            if not block:
                return b"".join(blocks), False
            blocks.append(block)
            size += len(block)
        return b"".join(blocks), True

    def default_proc(self) -> None:
        """Read the body into `file`, if it is one, or into `value`."""
        if self.filename:
            self.file = self.read_into_file()
        else:
            result = self.read_lines_to_boundary()
            if isinstance(result, bytes):
                self.value = result
            else:
                self.file = result

    def read_into_file(self, fp_out: Any = None) -> Any:
        """Write the body to a file (a new one, unless given) and return it at its beginning."""
        if fp_out is None:
            value = b""
            if isinstance(self.fp, BoundaryReader):
                value, more = self._begin(self.fp, -1)
                if not more:
                    return small_file(value)
            fp_out = self.make_file()
            fp_out.write(value)
        self.read_lines_to_boundary(fp_out=fp_out)
        return fp_out


Entity.part_class = Part


class RequestBody(Entity):
    """The body of the request.

    Args:
        fp, headers, params: as of `Entity`.
        request_params: the request's parameters; those of the body are added to them.
    """

    bufsize = 8 * 1024
    """Bytes to read at once for lines."""

    # RFC 9110, 8.3: without a content type the server does not guess.
    default_content_type = ""

    maxbytes: int | None = None
    """Bytes the body may have; beyond that 413, before it is read if it says its length."""

    def __init__(
        self, fp: Any, headers: Any, params: Any = None, request_params: Any = None
    ) -> None:
        super().__init__(fp, headers, params)
        # The old default charset of HTTP for text (RFC 2616, 3.7.1).
        if self.content_type.value.startswith("text/") and not any(
            charset.lower() in ("iso-8859-1", "latin-1") for charset in self.attempt_charsets
        ):
            self.attempt_charsets.append("ISO-8859-1")
        if self.processors.get("multipart") is process_multipart:
            self.processors["multipart"] = _old_process_multipart
        self.request_params = {} if request_params is None else request_params

    def process(self) -> None:
        """Read the body, if its type has a processor, and add its parameters to the request's.

        Raises:
            HTTPError: 411 without a length, 413 for too much, 400 for what cannot be understood.
        """
        headers = serving.request.headers
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            raise HTTPError(411)
        if self.maxbytes and self.length is not None and self.length > self.maxbytes:
            raise HTTPError(413)
        self.fp = SizedReader(
            self.fp,
            self.length,
            self.maxbytes,
            bufsize=self.bufsize,
            has_trailers="Trailer" in headers,
        )
        super().process()
        request_params = self.request_params
        for name, value in self.params.items():
            if name not in request_params:
                request_params[name] = value
                continue
            for item in value if type(value) is list else (value,):
                _add(request_params, name, item)
