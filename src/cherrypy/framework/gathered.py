"""Request bodies in chunks, gathered for foreign WSGI applications: most know a body by its length alone.

PEP 3333 has no body without CONTENT_LENGTH. Falcon and Django take one for empty, Bottle wants to decode
chunks that the server has decoded already; so the length is found out before they are called.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

__all__ = ("Streamed", "gather")

#: Bytes of a body that stay in memory; a longer one goes to a temporary file.
IN_MEMORY = 1 << 18

BLOCK = 65536


class Streamed:
    """A WSGI application that gets bodies in chunks as they come: without a length.

    `wsgi.input_terminated` says that they may be read to their end.
    """

    whole_bodies = False

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self.app(environ, start_response)


class Spool:
    """A temporary file that is closed when nobody has the request any more."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.file)

    def __del__(self) -> None:
        self.file.close()


def gather(environ: dict[str, Any]) -> dict[str, Any]:
    """Return an environment whose body has a length: this one, unless the body comes in chunks.

    Raises what reading the body raises: the server's limits and deadlines hold.
    """
    codings = [one.strip() for one in environ["HTTP_TRANSFER_ENCODING"].split(",")]
    if (
        codings[-1].lower() != "chunked"
        or environ.get("CONTENT_LENGTH")
        # Else nobody promises that reading comes to an end.
        or not environ.get("wsgi.input_terminated")
    ):
        return environ
    body = environ["wsgi.input"]
    if type(body) is BytesIO:  # the server has gathered it
        length = len(body.getbuffer())
    else:
        body, length = _spooled(body)
    environ = environ.copy()
    # RFC 9112 7.1.3: what decoding makes of the two fields.
    del environ["HTTP_TRANSFER_ENCODING"]
    if len(codings) > 1:
        environ["HTTP_TRANSFER_ENCODING"] = ", ".join(codings[:-1])
    environ["CONTENT_LENGTH"] = str(length)
    environ["wsgi.input"] = body
    return environ


def _spooled(source: Any) -> tuple[Any, int]:
    """Read a body to its end; a file that holds it, and its length."""
    data = source.read(IN_MEMORY)
    if len(data) < IN_MEMORY:
        return BytesIO(data), len(data)
    from tempfile import TemporaryFile

    spool = Spool(TemporaryFile())  # noqa: SIM115 the application reads it after we have returned
    length = 0
    while data:
        spool.file.write(data)
        length += len(data)
        data = source.read(BLOCK)
    spool.file.seek(0)
    return spool, length
