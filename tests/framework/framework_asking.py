"""Asks an application in process: the whole request, without a socket."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace
from typing import Any

import cherrypy.lib.toolbox  # noqa: F401 - fills the default toolbox
from cherrypy.framework.application import Application
from cherrypy.framework.serving import serving
from kirsch.http.hosts import Host


def expose(thing: Any) -> Any:
    thing.exposed = True
    return thing


def ask(
    root: Any,
    path: str = "/",
    query: str = "",
    body: bytes | None = None,
    content_type: str | None = None,
    *,
    method: str = "",
    config: Any = None,
    script_name: str = "",
    headers: Any = (),
    rfile: Any = None,
) -> Any:
    """Serve one request of `root`; the result has status, code, text, headers and request."""
    app = root if isinstance(root, Application) else Application(root, script_name, config)
    request, _ = app.get_serving(Host("127.0.0.1", 80), Host("1.2.3.4", 5), "http", "HTTP/1.1")
    fields = [("Host", "host.example"), *headers]
    if body is not None:
        fields.append(("Content-Length", str(len(body))))
    if content_type:
        fields.append(("Content-Type", content_type))
    try:
        response = request.run(
            method or ("GET" if body is None and rfile is None else "POST"),
            path,
            query,
            "HTTP/1.1",
            fields,
            rfile or io.BytesIO(body or b""),
        )
        status = str(response.status)
        text = b"".join(response.body).decode()
        found = re.search("<p>(.*?)</p>", text, re.DOTALL)
        return SimpleNamespace(
            status=status,
            code=int(status[:3]),
            text=found[1] if found and int(status[:3]) >= 400 else text,
            headers=dict(response.headers),
            config=request.config,
            is_index=request.is_index,
            request=request,
        )
    finally:
        app.release_serving()
        assert serving.request is not request
