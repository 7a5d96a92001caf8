"""Files as responses: contained in their directory, with validators and ranges.

Law: a path that leaves its directory is refused, and nothing about the file system is told.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from cherrypy.framework.errors import HTTPError, NotFound
from cherrypy.framework.serving import serving
from kirsch.http.dates import HTTPDate, parse_date
from kirsch.http.ranges import get_ranges

from . import cptools, file_generator

__all__ = ("serve_download", "serve_file", "serve_fileobj", "staticdir", "staticfile")

_WINDOWS = os.name == "nt"
# Names that mean a device in any directory of Windows, whatever their extension.
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\..*)?", re.IGNORECASE
)

#: Types that the platform's tables lack or have wrong.
_OWN_TYPES = {
    ".bz2": "application/x-bzip2",
    ".dwg": "image/x-dwg",
    ".gz": "application/gzip",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
#: For files of unknown kind. Not text/html: what somebody has uploaded must not become a page.
_UNKNOWN_TYPE = "application/octet-stream"

_types: dict[str, str] | None = None


def _setup_mimetypes() -> dict[str, str]:
    """Read the platform's table of types, once, and return it with our own additions."""
    global _types
    import mimetypes

    if not mimetypes.inited:
        mimetypes.init()
    for extension, kind in _OWN_TYPES.items():
        mimetypes.add_type(kind, extension)
    _types = mimetypes.types_map
    return _types


def _guess_type(path: str) -> str | None:
    types = _types
    if types is None:
        types = _setup_mimetypes()
    return types.get(os.path.splitext(path)[1].lower())


def _make_content_disposition(disposition: str, file_name: str) -> str:
    """Return a Content-Disposition field that names a file (RFC 6266).

    A plain name in ASCII goes for all clients; where that is not the whole name, the real one
    follows in UTF-8 (RFC 8187). What could end the quoted string, or the field, is left out.
    """
    import unicodedata

    plain = unicodedata.normalize("NFKC", file_name).encode("ascii", "ignore").decode()
    plain = "".join(char for char in plain if char.isprintable())
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    field = f'{disposition}; filename="{quoted}"'
    if plain != file_name:
        from urllib.parse import quote

        field += "; filename*=UTF-8''" + quote(file_name, safe="")
    return field


# ------------------------------------------------------------------------------------ bodies


class FileBody(file_generator):
    """The bytes of a file from `offset` on, `length` of them; None means up to its end.

    `input` is the open file. A server that can send files itself (`os.sendfile`) takes `input`,
    `offset` and `length` instead of iterating, if nobody has pulled a chunk yet.
    """

    def __init__(
        self, input: Any, length: int | None = None, offset: int = 0, chunkSize: int = 65536
    ) -> None:
        super().__init__(input, chunkSize)
        self.length = length
        self.offset = offset
        self.remaining = length

    def __next__(self) -> Any:
        remaining = self.remaining
        if remaining is None:
            return super().__next__()
        if remaining > 0:
            chunk = self.input.read(min(self.chunkSize, remaining))
            if chunk:
                self.remaining = remaining - len(chunk)
                return chunk
        self.close()
        raise StopIteration

    next = __next__

    def close(self) -> None:
        """Close the file."""
        close = getattr(self.input, "close", None)
        if close is not None:
            close()


class _PartsBody(FileBody):
    """Several ranges of a file as a multipart/byteranges entity (RFC 9110, 14.6)."""

    def __init__(
        self, input: Any, ranges: list[tuple[int, int]], heads: list[bytes], tail: bytes
    ) -> None:
        super().__init__(input)
        self._parts = self._pull(ranges, heads, tail)

    def _pull(
        self, ranges: list[tuple[int, int]], heads: list[bytes], tail: bytes
    ) -> Iterator[bytes]:
        for (start, stop), head in zip(ranges, heads, strict=True):
            yield head
            self.input.seek(start)
            left = stop - start
            while left > 0:
                chunk = self.input.read(min(self.chunkSize, left))
                if not chunk:
                    break
                left -= len(chunk)
                yield chunk
            yield b"\r\n"
        yield tail
        self.close()

    def __next__(self) -> Any:
        return next(self._parts)

    next = __next__


def _seekable(fileobj: Any) -> bool:
    seekable = getattr(fileobj, "seekable", None)
    if seekable is None:
        return hasattr(fileobj, "seek") and hasattr(fileobj, "tell")
    return bool(seekable())


# ------------------------------------------------------------------------------- conditions


def _range_applies(fields: Any, etag: str | None, modified: int | None) -> bool:
    """Tell whether If-Range, if there is one, still means this file (RFC 9110, 13.1.5)."""
    condition = dict.get(fields, "If-Range")
    if not condition:
        return True
    condition = condition.strip()
    if condition.startswith('"'):
        return bool(condition == etag)
    if condition.startswith("W/"):
        return False
    date = parse_date(condition)
    return date is not None and modified is not None and date == modified


def _validate_etag(etag: str) -> None:
    """Answer 304 or 412 if the client's entity tags ask for that (RFC 9110, 13.2.2)."""
    from cherrypy.framework.errors import HTTPRedirect

    fields = serving.request.headers
    tags = cptools._tags(dict.get(fields, "If-Match"))
    if tags and tags != ["*"] and etag not in tags:
        raise HTTPError(412)
    tags = cptools._tags(dict.get(fields, "If-None-Match"))
    if tags and (tags == ["*"] or etag in [cptools._weak(tag) for tag in tags]):
        raise HTTPRedirect([], 304)


# ------------------------------------------------------------------------------------ serving


def _serve_fileobj(
    fileobj: Any,
    content_type: str | None,
    content_length: int | None,
    debug: bool = False,
    *,
    offset: int = 0,
    etag: str | None = None,
    modified: int | None = None,
) -> Any:
    """Make a response of an open file and return its body.

    Args:
        content_length: bytes that are left in the file, None if unknown.
        offset: where in the file the entity begins.
    """
    request, response = serving.request, serving.response
    headers = response.headers
    if request.protocol < (1, 1) or content_length is None or not _seekable(fileobj):
        if content_length is not None:
            headers["Content-Length"] = content_length
        body: FileBody = FileBody(fileobj, content_length, offset)
        response.body = body
        return body

    # HTTP/1.0 knows no ranges.
    headers["Accept-Ranges"] = "bytes"
    field = request.headers.get("Range")
    ranges = None
    # RFC 9110, 14.2: a Range means something for GET only.
    if field and request.method == "GET" and _range_applies(request.headers, etag, modified):
        ranges = get_ranges(field, content_length)
    if ranges is None:
        headers["Content-Length"] = content_length
        body = FileBody(fileobj, content_length, offset)
    elif not ranges:
        headers["Content-Range"] = f"bytes */{content_length}"
        fileobj.close()
        raise HTTPError(416, "Invalid Range (first-byte-pos greater than Content-Length)")
    elif len(ranges) == 1:
        start, stop = ranges[0]
        response.status = "206 Partial Content"
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content_length}"
        headers["Content-Length"] = stop - start
        fileobj.seek(offset + start)
        body = FileBody(fileobj, stop - start, offset + start)
    else:
        body = _several_ranges(fileobj, content_type, content_length, offset, ranges)
    response.body = body
    return body


def _several_ranges(
    fileobj: Any,
    content_type: str | None,
    content_length: int,
    offset: int,
    ranges: list[tuple[int, int]],
) -> FileBody:
    response = serving.response
    response.status = "206 Partial Content"
    # Random, so that no file can hold it.
    boundary = os.urandom(16).hex()
    kind = content_type or response.headers.get("Content-Type") or _UNKNOWN_TYPE
    heads = [
        (
            f"--{boundary}\r\nContent-type: {kind}\r\n"
            f"Content-range: bytes {start}-{stop - 1}/{content_length}\r\n\r\n"
        ).encode("latin-1", "replace")
        for start, stop in ranges
    ]
    tail = f"--{boundary}--\r\n".encode("ascii")
    headers = response.headers
    headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    # The length of every part, its head, the line end behind it, and the tail.
    headers["Content-Length"] = (
        sum(map(len, heads)) + sum(stop - start + 2 for start, stop in ranges) + len(tail)
    )
    spans = [(offset + start, offset + stop) for start, stop in ranges]
    return _PartsBody(fileobj, spans, heads, tail)


def _set_type(path: str | None, content_type: str | None) -> str | None:
    """Set the Content-Type of the response to what is asked for or what the name tells."""
    headers = serving.response.headers
    if content_type is None and path is not None:
        content_type = _guess_type(path)
        if content_type is None and headers.get("Content-Type", "text/html") == "text/html":
            content_type = _UNKNOWN_TYPE
    if content_type is not None:
        headers["Content-Type"] = content_type
    return content_type


def serve_file(
    path: str,
    content_type: str | None = None,
    disposition: str | None = None,
    name: str | None = None,
    debug: bool = False,
) -> Any:
    """Make a response of the file at `path` and return its body (`.input` is the open file).

    Args:
        path: absolute.
        content_type: guessed from the extension if None.
        disposition: ``attachment`` or ``inline``: sends a Content-Disposition with the name.
        name: for that; the last part of `path` if None.

    Raises ValueError when `path` is relative, NotFound when there is no such file, HTTPRedirect
    304 or HTTPError 412 or 416 as the conditions and ranges of the request ask for.
    """
    if not os.path.isabs(path):
        raise ValueError(f"{path!r} is not an absolute path.")
    if "\0" in path:
        raise NotFound()
    try:
        fileobj = open(path, "rb")  # noqa: SIM115 - closed by the body
    except (OSError, ValueError):
        # Also what we may not read: nobody's business.
        raise NotFound() from None
    try:
        # Of the open file, so that what we tell about it holds whatever happens to its name.
        status = os.fstat(fileobj.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise NotFound()
        response = serving.response
        headers = response.headers
        modified = int(status.st_mtime)
        etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        headers["Last-Modified"] = HTTPDate(modified)
        headers["ETag"] = etag
        fields = serving.request.headers
        if fields:
            _validate_etag(etag)
            cptools.validate_since()
        content_type = _set_type(path, content_type)
        if disposition is not None:
            if name is None:
                name = os.path.basename(path)
            headers["Content-Disposition"] = _make_content_disposition(disposition, name)
        return _serve_fileobj(
            fileobj, content_type, status.st_size, debug, etag=etag, modified=modified
        )
    except BaseException:
        fileobj.close()
        raise


def serve_fileobj(
    fileobj: Any,
    content_type: str | None = None,
    disposition: str | None = None,
    name: str | None = None,
    debug: bool = False,
) -> Any:
    """Make a response of an open file, from where it stands, and return its body.

    Anything with `read` will do: a pipe or a socket, of unknown length, is sent to its end; what
    can `seek` and `tell` is measured and may be asked for in ranges. The other arguments are
    those of `serve_file`.
    """
    response = serving.response
    length: int | None = None
    offset = 0
    modified: int | None = None
    if _seekable(fileobj):
        offset = fileobj.tell()
        fileobj.seek(0, os.SEEK_END)
        length = fileobj.tell() - offset
        fileobj.seek(offset)
        try:
            status = os.fstat(fileobj.fileno())
        except (AttributeError, OSError):
            pass
        else:
            if stat.S_ISREG(status.st_mode):
                modified = int(status.st_mtime)
                response.headers["Last-Modified"] = HTTPDate(modified)
                cptools.validate_since()
    if content_type is not None:
        response.headers["Content-Type"] = content_type
    if disposition is not None:
        if name is None:
            field = disposition
        else:
            field = _make_content_disposition(disposition, name)
        response.headers["Content-Disposition"] = field
    return _serve_fileobj(fileobj, content_type, length, debug, offset=offset, modified=modified)


def serve_download(path: str, name: str | None = None) -> Any:
    """Make a response of the file at `path` that browsers save as `name`."""
    return serve_file(path, "application/x-download", "attachment", name)


# -------------------------------------------------------------------------------------- tools


def _attempt(filename: str, content_types: Mapping[str, str] | None, debug: bool = False) -> bool:
    """Serve `filename` if there is such a file; say whether there was."""
    try:
        content_type = None
        if content_types:
            extension = os.path.splitext(filename)[1][1:]
            content_type = content_types.get(extension) or content_types.get(extension.lower())
        serve_file(filename, content_type=content_type, debug=debug)
    except NotFound:
        return False
    return True


def _contained(base: str, branch: str) -> str | None:
    """Return the path of `branch` (of a URL) below `base`, or None if it has no good name.

    Raises HTTPError 403 when it would lie outside.
    """
    if "\0" in branch:
        return None
    segments = branch.replace("\\", "/").split("/") if _WINDOWS else branch.split("/")
    if ".." in segments:
        raise HTTPError(403)
    if _WINDOWS:
        for segment in segments:
            # "file.txt::$DATA", "C:", "aux.html", "secret.txt." and "secret.txt "
            if ":" in segment or segment[-1:] in (".", " ") or _RESERVED.fullmatch(segment):
                return None
    path = os.path.join(base, *[segment for segment in segments if segment not in ("", ".")])
    root = os.path.normpath(base)
    # The last word: whatever came before, the result lies in the directory.
    if os.path.normpath(path) != root and not os.path.normpath(path).startswith(
        root if root.endswith(os.sep) else root + os.sep
    ):
        raise HTTPError(403)
    return path + os.sep if branch.endswith("/") and segments != [""] else path


def staticdir(
    section: str,
    dir: str,
    root: str = "",
    match: str = "",
    content_types: Mapping[str, str] | None = None,
    index: str = "",
    debug: bool = False,
) -> bool:
    """Serve the files below a directory (tool `staticdir`); say whether there was one.

    Args:
        section: the path of the configuration section, which `dir` stands for.
        dir: the directory; relative to `root` unless absolute.
        root: an absolute directory.
        match: a regular expression; only paths in which it is found are looked at.
        content_types: content types by extension (without the dot).
        index: the name of the file that stands for its directory.
    """
    request = serving.request
    if request.method not in ("GET", "HEAD"):
        return False
    path = request.path_info
    if match and not re.search(match, path):
        return False
    if dir[:1] == "~":
        dir = os.path.expanduser(dir)
    if not os.path.isabs(dir):
        if not root:
            raise ValueError("Static dir requires an absolute dir (or root).")
        dir = os.path.join(root, dir)
    if section == "global":
        section = "/"
    branch = path[len(section.rstrip("\\/")) + 1 :].lstrip("\\/")
    filename = _contained(dir, branch)
    if filename is None:
        return False
    # A file has no slash behind its name.
    handled = not filename.endswith(os.sep) and _attempt(filename, content_types)
    if not handled and index:
        handled = _attempt(os.path.join(filename, index), content_types)
        if handled:
            request.is_index = path.endswith("/")
    return handled


def staticfile(
    filename: str,
    root: str | None = None,
    match: str = "",
    content_types: Mapping[str, str] | None = None,
    debug: bool = False,
) -> bool:
    """Serve one file (tool `staticfile`); say whether it was there.

    Args:
        filename: the file; relative to `root` unless absolute.
        root, match, content_types: as of `staticdir`.
    """
    request = serving.request
    if request.method not in ("GET", "HEAD"):
        return False
    if match and not re.search(match, request.path_info):
        return False
    if not os.path.isabs(filename):
        if not root:
            raise ValueError(f"Static tool requires an absolute filename (got '{filename}').")
        filename = os.path.join(root, filename)
    return _attempt(filename, content_types)
