"""Receiving files of any size: counted and hashed piece by piece, never held in memory."""

from __future__ import annotations

import hashlib
import time
from typing import Any, Protocol

import cherrypy

from .views import fill, page

PIECE = 1 << 18  # bytes


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def digest(stream: Readable) -> dict[str, Any]:
    """Read `stream` to its end: how many bytes, their SHA-256, the seconds it took."""
    started = time.perf_counter()
    size, sha256 = 0, hashlib.sha256()
    while piece := stream.read(PIECE):
        size += len(piece)
        sha256.update(piece)
    return {
        "size": size,
        "sha256": sha256.hexdigest(),
        "seconds": round(time.perf_counter() - started, 3),
    }


class Upload:
    """/upload: with a progress bar where there is JavaScript, as a plain form where there is none."""

    @cherrypy.expose
    def index(self, file: Any = None) -> str:
        result = ""
        if file is not None and file.filename:
            result = fill("received.html", name=file.filename, **digest(file.file))
        return page("/upload/", "upload.html", Upload, script="upload.js", result=result)

    @cherrypy.expose
    @cherrypy.tools.allow(methods=["PUT"])
    @cherrypy.tools.json_out()
    @cherrypy.config(**{"request.process_request_body": False})
    def stream(self, name: str = "") -> dict[str, Any]:
        """The body is the file: it is hashed as it arrives, and goes nowhere else."""
        return {"name": name, **digest(cherrypy.request.rfile)}
