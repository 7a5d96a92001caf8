"""Files that have been compressed beforehand and lie beside the plain ones: `site.css.br`.

Law: a variant is the file in another coding. It is sent only while the file is there and not newer.
"""

from __future__ import annotations

import os
from typing import Any

from cherrypy.framework.errors import NotFound
from cherrypy.framework.serving import serving

from . import codings, filebodies, set_vary_header, static

__all__ = ("SUFFIXES", "serve")

#: What is behind the name of the plain file, by coding.
SUFFIXES = {"br": ".br", "gzip": ".gz", "zstd": ".zst"}


def serve(path: str, content_type: str | None, setting: Any) -> Any:
    """Do as `static.serve_file` with the best variant of a file that the client takes.

    Args:
        setting: codings, the favourite first; True for all.

    Raises ValueError for an unknown coding, HTTPError 400 for an Accept-Encoding that cannot be
    understood, and what `serve_file` raises.
    """
    offered = codings.names_of(setting)
    request, response = serving.request, serving.response
    elements = request.headers.elements("Accept-Encoding")
    fd, status = filebodies.open_regular(path)
    try:
        # Whatever is chosen: a variant may come or go.
        set_vary_header(response, "Accept-Encoding")
        for coding in codings.acceptable(elements, offered)[0]:
            found = _variant(path + SUFFIXES[coding], status)
            if found is not None:
                os.close(fd)
                fd, status = found
                response.headers["Content-Encoding"] = coding
                break
        else:
            coding = ""
        file, fd = filebodies.as_file(fd, path), -1
    finally:
        if fd >= 0:
            os.close(fd)
    return static._serve_opened(file, path, status, content_type, coding=coding)


def _variant(path: str, plain: os.stat_result) -> tuple[int, os.stat_result] | None:
    """Open a variant; None if there is none that is as young as the plain file, to the second."""
    try:
        fd, status = filebodies.open_regular(path)
    except NotFound:
        return None
    if int(status.st_mtime) < int(plain.st_mtime):
        os.close(fd)
        return None
    return fd, status
