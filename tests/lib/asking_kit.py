"""Requests through a whole application, as a WSGI server would make them, without a socket."""

from __future__ import annotations

import io
from typing import Any


class Answer:
    """What a client would see."""

    def __init__(self, status: str, fields: list[tuple[str, str]], body: bytes) -> None:
        self.status = int(status[:3])
        self.reason = status[4:]
        self.fields = fields
        self.body = body
        self.text = body.decode("latin-1")

    def __getitem__(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    @property
    def cookie(self) -> str:
        """The first cookie as a client would send it back."""
        return (self["Set-Cookie"] or "").partition(";")[0]

    def __repr__(self) -> str:
        return f"<{self.status} {self.fields} {self.body[:300]!r}>"


class Site:
    """An application that can be asked."""

    def __init__(self, root: Any, conf: Any = None, sections: Any = None, name: str = "") -> None:
        import cherrypy.lib.toolbox  # noqa: F401 - imported because it registers the tools
        from cherrypy.framework.application import Application
        from cherrypy.framework.site import site

        site.log.screen = False
        if not isinstance(root, Application):
            root = Application(root, name, sections or {"/": dict(conf or {})})
        self.app = root
        self.app.log.screen = False

    def __call__(
        self,
        path: str = "/",
        query: str = "",
        *,
        method: str = "GET",
        headers: Any = (),
        body: bytes | None = None,
        scheme: str = "http",
        protocol: str = "HTTP/1.1",
        close: bool = True,
        **environ: Any,
    ) -> Answer:
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": protocol,
            "ACTUAL_SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_PORT": "1111",
            "HTTP_HOST": "127.0.0.1",
            "wsgi.url_scheme": scheme,
            "wsgi.version": (1, 0),
            "wsgi.input": io.BytesIO(body or b""),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **environ,
        }
        if body is not None:
            environ["CONTENT_LENGTH"] = str(len(body))
        for name, value in dict(headers).items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key] = value
        seen: list[Any] = []

        def start_response(status: str, fields: Any, exc_info: Any = None) -> Any:
            seen[:] = [status, fields]
            return seen.append

        result = self.app(environ, start_response)
        try:
            data = b"".join(result)
        finally:
            if close and hasattr(result, "close"):
                result.close()
        return Answer(seen[0], seen[1], data)
