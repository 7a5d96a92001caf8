"""Static files as one serves them in an afternoon: WSGI applications, each with one thing left out."""

from __future__ import annotations

import os
import re
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Any

from asking_kit import Site
from static_checks import NAME, Trickle, filled


class NotThere(Exception):
    """Of 404."""


class Files:
    """What is right in all of them; what is naive overrides a method."""

    def __init__(self, base: Path) -> None:
        self.base = str(base)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            status, fields, body = self.answer(environ)
        except NotThere:
            status, fields, body = "404 Not Found", {}, b""
        except Exception as exc:  # as servers do
            status, fields, body = "500 Internal Server Error", {}, repr(exc).encode()
        start_response(status, [(name, value) for name, value in fields.items() if value])
        return [body]

    def answer(self, environ: dict[str, Any]) -> tuple[str, dict[str, Any], bytes]:
        path = self.path(environ["PATH_INFO"].encode("latin-1").decode("utf-8"))
        fields: dict[str, Any] = {}
        path = self.variant(path, environ.get("HTTP_ACCEPT_ENCODING", ""), fields)
        data, status = self.read(path)
        fields["ETag"], fields["Last-Modified"] = self.validators(status)
        if self.known(environ, fields):
            return "304 Not Modified", fields, b""
        field = environ.get("HTTP_RANGE", "")
        if field and self.continues(environ.get("HTTP_IF_RANGE"), fields):
            return self.parts(field, data, fields)
        return "200 OK", fields, data

    def path(self, path: str) -> str:
        whole = os.path.abspath(self.base + path)
        if not whole.startswith(self.base + os.sep):
            raise NotThere
        return whole

    def read(self, path: str) -> tuple[bytes, os.stat_result]:
        try:
            with open(path, "rb") as file:
                return file.read(), os.fstat(file.fileno())
        except OSError:
            raise NotThere from None

    def variant(self, path: str, accept: str, fields: dict[str, Any]) -> str:
        return path

    def validators(self, status: os.stat_result) -> tuple[Any, Any]:
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        return tag, formatdate(status.st_mtime, usegmt=True)

    def known(self, environ: dict[str, Any], fields: dict[str, Any]) -> bool:
        return environ.get("HTTP_IF_NONE_MATCH") == fields["ETag"]

    def continues(self, condition: str | None, fields: dict[str, Any]) -> bool:
        return condition in (None, fields["ETag"], fields["Last-Modified"])

    def parts(
        self, field: str, data: bytes, fields: dict[str, Any]
    ) -> tuple[str, dict[str, Any], bytes]:
        size = len(data)
        body = b""
        for one in field.partition("=")[2].split(","):
            first, last = self.span(one, size)
            body += b"\r\n--b\r\nContent-Range: bytes %d-%d/%d\r\n\r\n" % (first, last, size)
            body += data[first : last + 1]
        if "," in field:
            fields["Content-Type"] = "multipart/byteranges; boundary=b"
            body += b"\r\n--b--\r\n"
        else:
            body = data[first : last + 1]
            fields["Content-Range"] = f"bytes {first}-{last}/{size}"
        return "206 Partial Content", fields, body

    def span(self, text: str, size: int) -> tuple[int, int]:
        first, _, last = text.partition("-")
        if not first:
            return size - int(last), size - 1
        return int(first), min(int(last or size), size - 1)


def site(cls: type[Files]) -> Any:
    """A builder of sites for the table."""

    def build(folder: Path) -> Any:
        asked = object.__new__(Site)
        asked.app = cls(filled(folder))
        return asked

    build.__doc__ = cls.__doc__
    return build


class Joined(Files):
    """`open(os.path.join(root, path))`"""

    def path(self, path: str) -> str:
        return os.path.join(self.base, path[1:])


class StartsWith(Files):
    """`os.path.abspath(path).startswith(root)`"""

    def path(self, path: str) -> str:
        whole = os.path.abspath(self.base + path)
        if not whole.startswith(self.base):
            raise NotThere
        return whole


class Bare(Files):
    """The bytes of the file and nothing else"""

    def validators(self, status: os.stat_result) -> tuple[Any, Any]:
        return None, None

    def known(self, environ: dict[str, Any], fields: dict[str, Any]) -> bool:
        return False


class OneTag(Files):
    """`If-None-Match == etag`, and no dates"""


class Seconds(Files):
    """An ETag of the age in seconds and the size"""

    def validators(self, status: os.stat_result) -> tuple[Any, Any]:
        tag = f'"{int(status.st_mtime):x}-{status.st_size:x}"'
        return tag, formatdate(status.st_mtime, usegmt=True)


class Unconditional(Files):
    """Ranges without a look at If-Range"""

    def continues(self, condition: str | None, fields: dict[str, Any]) -> bool:
        return True


class WeakTags(Files):
    """If-Range compared like If-None-Match, `W/` or not"""

    def continues(self, condition: str | None, fields: dict[str, Any]) -> bool:
        return condition is None or condition.removeprefix("W/") == fields["ETag"]


class NotNewer(Files):
    """If-Range compared like If-Modified-Since: not newer is good enough"""

    def continues(self, condition: str | None, fields: dict[str, Any]) -> bool:
        if condition is None:
            return True
        return parsedate_to_datetime(fields["Last-Modified"]) <= parsedate_to_datetime(condition)


class FirstRange(Files):
    """The first range of a field, whatever follows"""

    def parts(
        self, field: str, data: bytes, fields: dict[str, Any]
    ) -> tuple[str, dict[str, Any], bytes]:
        return super().parts(field.partition(",")[0], data, fields)


class AllRanges(Files):
    """All the ranges that are asked for, as parts"""


class NoSuffix(Files):
    """`first, last = range.split('-')`, and what is missing is 0"""

    def span(self, text: str, size: int) -> tuple[int, int]:
        first, _, last = text.partition("-")
        return int(first or 0), int(last or size - 1)


class AnyGzip(Files):
    """`if 'gzip' in accept_encoding`, and then the file with .gz"""

    def variant(self, path: str, accept: str, fields: dict[str, Any]) -> str:
        if not self.takes(accept) or not os.path.exists(path + ".gz"):
            return path
        fields["Content-Encoding"] = "gzip"
        return path + ".gz"

    def takes(self, accept: str) -> bool:
        return "gzip" in accept


class SilentGzip(AnyGzip):
    """A variant with the right look at q-values, and no Vary"""

    def takes(self, accept: str) -> bool:
        return bool(re.search(r"gzip(?!;q=0)|\*", accept))


class Latin(Files):
    """PATH_INFO as it comes in a WSGI environ"""

    def answer(self, environ: dict[str, Any]) -> tuple[str, dict[str, Any], bytes]:
        raw = environ["PATH_INFO"].encode("utf-8").decode("latin-1")
        return super().answer({**environ, "PATH_INFO": raw})


class RawNames(Files):
    """`f'attachment; filename="{name}"'`"""

    def answer(self, environ: dict[str, Any]) -> tuple[str, dict[str, Any], bytes]:
        return "200 OK", {"Content-Disposition": f'attachment; filename="{NAME}"'}, b""


class Measuring(Files):
    """`file.seek(0, 2)`, for the Content-Length"""

    def answer(self, environ: dict[str, Any]) -> tuple[str, dict[str, Any], bytes]:
        file = Trickle()
        length = file.seek(0, 2)
        file.seek(0)
        return "200 OK", {"Content-Length": str(length)}, file.read()
