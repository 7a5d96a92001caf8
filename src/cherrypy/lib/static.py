"""Files as responses: contained in their directory, with validators and ranges.

Law: a path that leaves its directory is refused, and nothing about the file system is told.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cherrypy.framework.errors import HTTPError, NotFound
from cherrypy.framework.response import Response
from cherrypy.framework.serving import serving
from kirsch.http.dates import HTTPDate, parse_date
from kirsch.http.headers import HeaderMap
from kirsch.http.ranges import get_ranges

from . import cptools
from .filebodies import FileBody, PartsBody, as_file, open_regular, read_whole

__all__ = ("serve_download", "serve_file", "serve_fileobj", "staticdir", "staticfile")

_WINDOWS = os.name == "nt"
# Names that mean a device in any directory of Windows, whatever their extension.
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\..*)?", re.IGNORECASE
)

#: Types that the platform's tables lack or have wrong; ".gz" is CherryPy's, not that of RFC 6713: programs compare it,
#: and no browser makes a difference.
_OWN_TYPES = {
    ".bz2": "application/x-bzip2",
    ".dwg": "image/x-dwg",
    ".gz": "application/x-gzip",
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


def __getattr__(name: str) -> Any:
    # Programs take the standard library's table from here, with our additions in it.
    if name != "mimetypes":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import mimetypes

    _setup_mimetypes()
    return mimetypes


def _guess_type(path: str) -> str | None:
    types = _types
    if types is None:
        types = _setup_mimetypes()
    stem, _, extension = path.rpartition(".")
    if not stem or stem[-1] in "./\\" or "/" in extension or "\\" in extension:
        extension = os.path.splitext(path)[1][1:]  # a name that begins with a dot, or has none
    return types.get("." + extension.lower())


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
        elif not _seekable(fileobj):
            # Of any length, perhaps without an end: not to be gathered to be measured.
            response.stream = True
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
    return PartsBody(fileobj, spans, heads, tail)


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
    fd, status = open_regular(path)
    return _serve_opened(as_file(fd, path), path, status, content_type, disposition, name)


def _serve_opened(
    fileobj: Any,
    path: str,
    status: os.stat_result,
    content_type: str | None,
    disposition: str | None = None,
    name: str | None = None,
    coding: str = "",
) -> Any:
    """Do the rest of `serve_file`, with an open file, which is closed if there is an error."""
    try:
        last_modified, etag = _validators(status.st_mtime_ns, status.st_size)
        if coding:  # other bytes, even if by chance of the same age and size
            etag = f'{etag[:-1]}-{coding}"'
        content_type = _describe(path, last_modified, etag, content_type)
        if disposition is not None:
            if name is None:
                name = os.path.basename(path)
            serving.response.headers["Content-Disposition"] = _make_content_disposition(
                disposition, name
            )
        return _serve_fileobj(
            fileobj,
            content_type,
            status.st_size,
            etag=etag,
            modified=int(status.st_mtime),
        )
    except BaseException:
        fileobj.close()
        raise


@lru_cache(500)
def _validators(modified: int, size: int) -> tuple[str, str]:
    """Return Last-Modified and ETag of a file of that age, in nanoseconds since 1970, and size."""
    return HTTPDate(modified // 1_000_000_000), f'"{modified:x}-{size:x}"'


def _describe(path: str, last_modified: str, etag: str, content_type: str | None) -> str | None:
    """Set the fields that tell about a file, and check the request's conditions about it.

    Returns the content type. Raises HTTPRedirect 304 or HTTPError 412.
    """
    headers = serving.response.headers
    headers["Last-Modified"] = last_modified
    headers["ETag"] = etag
    if serving.request.headers:
        _validate_etag(etag)
        cptools.validate_since()
    return _set_type(path, content_type)


def _asks(request: Any) -> bool:
    """Tell whether anything in the request could change what is sent of a file."""
    fields = request._fields
    if request._headers is not None or fields is None or request.protocol < (1, 1):
        return True
    return not fields.keys().isdisjoint(_ASKING)


_ASKING = (
    "HTTP_IF_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_RANGE",
)

#: Bytes up to which a file is rather read at once: it leaves together with the head.
_SMALL = 65536

#: The last small file that was read: the turn of the request (see `Request._turn`), its path, what was in it, its status.
_shared: tuple[Any, str, bytes, Any] = (None, "", b"", None)


def _goes_first(request: Any) -> bool:
    """Tell whether no hook comes before this one, which could have just written what is served."""
    hooks = request._template.before_handler if request._quiet else ()
    tool = getattr(hooks[0][1].callback, "__self__", None) if hooks else None
    return request._turn is not None and getattr(tool, "callable", None) in (staticdir, staticfile)


def _serve_plainly(path: str, content_type: str | None) -> None:
    """Do as `serve_file`, for a request that asks for the whole file and for nothing else."""
    global _shared
    request, response = serving.request, serving.response
    body: Any
    turn, of, body, status = _shared
    if of == path and turn is request._turn and request.method == "GET" and _goes_first(request):
        size = len(body)  # it has been read since this request came
    else:
        fd, status = open_regular(path)
        size = status.st_size
        try:
            if request.method == "HEAD":
                body = b""
            elif size <= _SMALL:
                body = read_whole(fd, size)
                size = len(body)
                _shared = (request._turn, path, body, status)
            else:
                body = FileBody(as_file(fd, path), size)
                fd = -1
        finally:
            if fd >= 0:
                os.close(fd)
    if type(body) is bytes and type(response) is Response:
        response._body = body
    else:
        response.body = body
    _set_type(path, content_type)
    last_modified, etag = _validators(status.st_mtime_ns, status.st_size)
    fields = {
        "Last-Modified": last_modified,
        "Etag": etag,
        "Accept-Ranges": "bytes",
        "Content-Length": str(size),
    }
    headers = response.headers
    # The names are as they are stored.
    (dict.update if type(headers) is HeaderMap else HeaderMap.update)(headers, fields)


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


def _attempt(
    filename: str,
    content_types: Mapping[str, str] | None,
    debug: bool = False,
    precompressed: Any = False,
) -> bool:
    """Serve `filename` if there is such a file; say whether there was."""
    try:
        content_type = None
        if content_types:
            extension = os.path.splitext(filename)[1][1:]
            content_type = content_types.get(extension) or content_types.get(extension.lower())
        if precompressed:
            from .precompressed import serve

            serve(filename, content_type, precompressed)
        elif _asks(serving.request):
            serve_file(filename, content_type=content_type)
        else:
            _serve_plainly(filename, content_type)
    except NotFound:
        return False
    return True


_normal = lru_cache(100)(os.path.normpath)


@lru_cache(500)
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
    if "" in segments or "." in segments:
        segments = [segment for segment in segments if segment not in ("", ".")]
    path = os.sep.join([base.rstrip(os.sep) if segments else base, *segments])
    root = _normal(base)
    # The last word: whatever came before, the result lies in the directory.
    normal = os.path.normpath(path)
    if normal != root and not normal.startswith(root if root.endswith(os.sep) else root + os.sep):
        raise HTTPError(403)
    return path + os.sep if branch.endswith("/") else path


def staticdir(
    section: str,
    dir: str | os.PathLike[str],
    root: str | os.PathLike[str] = "",
    match: str = "",
    content_types: Mapping[str, str] | None = None,
    index: str = "",
    debug: bool = False,
    precompressed: Any = False,
) -> bool:
    """Serve the files below a directory (tool `staticdir`); say whether there was one.

    Args:
        section: the path of the configuration section, which `dir` stands for.
        dir: the directory; relative to `root` unless absolute.
        root: an absolute directory.
        match: a regular expression; only paths in which it is found are looked at.
        content_types: content types by extension (without the dot).
        index: the name of the file that stands for its directory.
        precompressed: codings in which files may lie beside the plain ones (``site.css.br``,
            ``.zst``, ``.gz``): a list of ``br``, ``zstd``, ``gzip`` with the favourite first;
            True for all.
    """
    request = serving.request
    if request.method not in ("GET", "HEAD"):
        return False
    path = request.path_info
    if match and not re.search(match, path):
        return False
    if type(dir) is not str:
        dir = os.fspath(dir)
    if dir[:1] == "~":
        dir = os.path.expanduser(dir)
    if not os.path.isabs(dir):
        if not root:
            raise ValueError("Static dir requires an absolute dir (or root).")
        dir = os.path.join(root, dir)
    if section == "global":
        section = "/"
    branch = path[len(section.rstrip("\\/")) + 1 :].lstrip("\\/")
    # What is this long is asked for once, and is not to fill the memory.
    filename = (_contained if len(branch) < 500 else _contained.__wrapped__)(dir, branch)
    if filename is None:
        return False
    # A file has no slash behind its name.
    handled = not filename.endswith(os.sep) and _attempt(
        filename, content_types, debug, precompressed
    )
    if not handled and index:
        handled = _attempt(os.path.join(filename, index), content_types, debug, precompressed)
        if handled:
            # At the section itself the tool `trailing_slash` has a missing slash added.
            request.is_index = not branch or path.endswith("/")
    return handled


def staticfile(
    filename: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    match: str = "",
    content_types: Mapping[str, str] | None = None,
    debug: bool = False,
    precompressed: Any = False,
) -> bool:
    """Serve one file (tool `staticfile`); say whether it was there.

    Args:
        filename: the file; relative to `root` unless absolute.
        root, match, content_types, precompressed: as of `staticdir`.
    """
    request = serving.request
    if request.method not in ("GET", "HEAD"):
        return False
    if match and not re.search(match, request.path_info):
        return False
    if type(filename) is not str:
        filename = os.fspath(filename)
    if not os.path.isabs(filename):
        if not root:
            raise ValueError(f"Static tool requires an absolute filename (got '{filename}').")
        filename = os.path.join(root, filename)
    return _attempt(filename, content_types, debug, precompressed)
