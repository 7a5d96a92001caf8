"""The table of what is asked and what it should reach, and the table of who answers."""

from __future__ import annotations

from dataclasses import dataclass

FRAMEWORKS = (
    "falcon+bjoern",
    "falcon+granian",
    "blacksheep+granian",
    "litestar+granian",
    "starlette+uvicorn",
    "falcon+gunicorn",
    "flask+gunicorn",
)


@dataclass(frozen=True)
class Workload:
    """One question, and who is asked."""

    name: str
    title: str
    path: str
    answer: str  # the body begins so; whoever answers something else is not measured
    contenders: tuple[str, ...]
    rules: tuple[
        tuple[str, float], ...
    ]  # (contender, ratio): "kirsch" reaches that many times its rate
    cookies: bool = False  # 64 sessions take turns
    tls: bool = False
    base: str = "cherrypy"  # whose rate is 1


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "hello",
            "Hello world through the whole framework",
            "/",
            "Hello World!",
            ("kirsch", "cherrypy", *FRAMEWORKS),
            (("cherrypy", 20), ("falcon+granian", 1)),
        ),
        Workload(
            "arguments",
            "Path and query arguments: `/user/42?tab=posts&x=1&y=2`",
            "/user/42?tab=posts&x=1&y=2",
            "user 42 tab posts sum 3",
            ("kirsch", "cherrypy", *FRAMEWORKS),
            (("cherrypy", 16),),
        ),
        Workload(
            "json",
            "JSON out",
            "/json",
            '{"message":',
            ("kirsch", "cherrypy", *FRAMEWORKS),
            (("cherrypy", 15),),
        ),
        Workload(
            "session",
            "A counter in a session kept in memory",
            "/session",
            "count True",
            ("kirsch", "cherrypy"),
            (("cherrypy", 10),),
            cookies=True,
        ),
        Workload(
            "static",
            "A static file of 10 KB",
            "/static/ten.txt",
            "0123456789",
            ("kirsch", "cherrypy"),
            (("cherrypy", 12),),
        ),
        Workload(
            "body",
            "A body of 1 MiB",
            "/big",
            "xxxxxxxxxx",
            ("kirsch", "cherrypy"),
            (("cherrypy", 5),),
        ),
        Workload(
            "raw",
            "Raw WSGI, no framework",
            "/",
            "Hello World!",
            (
                "raw:kirsch",
                "raw:cheroot",
                "raw:gunicorn",
                "raw:waitress",
                "raw:granian",
                "raw:bjoern",
                "raw:floor",
            ),
            (("raw:cheroot", 12), ("raw:granian", 1), ("raw:floor", 0.6)),
            base="raw:cheroot",
        ),
        Workload(
            "native",
            "The native server against the same framework over WSGI",
            "/",
            "Hello World!",
            ("kirsch-native", "kirsch-wsgi", "cherrypy-native", "cherrypy"),
            (("kirsch-wsgi", 1.15),),
        ),
        Workload(
            "https",
            "Hello world over HTTPS, on connections that are kept",
            "/",
            "Hello World!",
            ("kirsch-tls", "cherrypy-tls", "falcon+granian-tls", "starlette+uvicorn-tls"),
            (),
            tls=True,
            base="cherrypy-tls",
        ),
    )
}

_GRANIAN = (
    "-m granian --host 127.0.0.1 --port {port} --workers 1 --backlog 1024 --no-ws"
    " --log-level error --interface {interface} {target}"
)
_GUNICORN = (
    "-m gunicorn -b 127.0.0.1:{port} -w 1 -k gthread --threads 10 --keep-alive 120"
    " --backlog 1024 --log-level error {target}"
)

_UVICORN = (
    "-m uvicorn --host 127.0.0.1 --port {port} --backlog 1024 --log-level error --no-access-log"
    " {target}"
)


def _granian(interface: str, target: str) -> str:
    return _GRANIAN.replace("{interface}", interface).replace("{target}", target)


def _gunicorn(target: str) -> str:
    return _GUNICORN.replace("{target}", target)


def _uvicorn(target: str) -> str:
    return _UVICORN.replace("{target}", target)


# name: (environment under .cache/bench, arguments of its Python, in the folder of the apps)
CONTENDERS: dict[str, tuple[str, str]] = {
    "kirsch": ("kirsch", "cherrypy_app.py {port}"),
    "kirsch-wsgi": ("kirsch", "cherrypy_app.py {port} wsgi"),
    "kirsch-native": ("kirsch", "cherrypy_app.py {port} native"),
    "cherrypy": ("cherrypy", "cherrypy_app.py {port}"),
    "cherrypy-native": ("cherrypy", "cherrypy_app.py {port} native"),
    "falcon+bjoern": ("peers", "raw.py {port} bjoern falcon"),
    "falcon+granian": ("peers", _granian("wsgi", "falcon_app:app")),
    "blacksheep+granian": ("peers", _granian("asgi", "blacksheep_app:app")),
    "litestar+granian": ("peers", _granian("asgi", "litestar_app:app")),
    "starlette+uvicorn": ("peers", _uvicorn("starlette_app:app")),
    "falcon+gunicorn": ("peers", _gunicorn("falcon_app:app")),
    "flask+gunicorn": ("peers", _gunicorn("flask_app:app")),
    "raw:kirsch": ("kirsch", "raw.py {port} kirsch"),
    "raw:cheroot": ("cherrypy", "raw.py {port} cheroot"),
    "raw:gunicorn": ("peers", _gunicorn("raw:app")),
    "raw:waitress": ("peers", "raw.py {port} waitress"),
    "raw:granian": ("peers", _granian("wsgi", "raw:app")),
    "raw:bjoern": ("peers", "raw.py {port} bjoern"),
    "raw:floor": ("kirsch", "floor.py {port}"),
    "kirsch-tls": ("kirsch", "cherrypy_app.py {port} tls"),
    "cherrypy-tls": ("cherrypy", "cherrypy_app.py {port} tls"),
    "falcon+granian-tls": (
        "peers",
        _granian("wsgi", "falcon_app:app --ssl-certificate {cert} --ssl-keyfile {key}"),
    ),
    "starlette+uvicorn-tls": (
        "peers",
        _uvicorn("starlette_app:app --ssl-certfile {cert} --ssl-keyfile {key}"),
    ),
    "ws:kirsch": ("kirsch", "websocket_app.py {port} kirsch"),
    "ws:kirsch+c": ("peers", "websocket_app.py {port} kirsch+c"),
    "ws:ws4py": ("cherrypy", "websocket_app.py {port} ws4py"),
    "ws:websockets": ("peers", "websocket_app.py {port} websockets"),
    "ws:uvicorn": ("peers", _uvicorn("websocket_app:asgi --ws-per-message-deflate false")),
    "ws:aiohttp": ("peers", "websocket_app.py {port} aiohttp"),
}
OURS = ("kirsch", "kirsch-native", "raw:kirsch", "kirsch-tls")
