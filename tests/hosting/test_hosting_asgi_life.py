"""ASGI applications and the engine: lifespan, the shared loop, real frameworks, foreign servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import wsgiref.simple_server

import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse
from hosting_kit import ask, hosted, read_all, read_until, until
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import cherrypy
from cherrypy.hosting.asgi.graft import GraftedASGI
from cherrypy.hosting.asgi.lifespan import LifespanFailed
from cherrypy.process.loops import shared


@pytest.fixture
def site(monkeypatch):
    with hosted(monkeypatch) as made:
        yield made


def loops():
    return [thread for thread in threading.enumerate() if thread.name == "event-loop"]


class Recorder:
    """An application that writes down what it is told, and does as it is told."""

    def __init__(self, fail="", patience=0.0):
        self.told = []
        self.fail = fail
        self.patience = patience

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            self.told.append("http")
            state = scope.get("state")
            text = f"state {sorted((state or {}).items())}".encode()
            if state is not None:
                state["added"] = 1
            await send({"type": "http.response.start", "status": 200})
            await asyncio.sleep(self.patience)
            await send({"type": "http.response.body", "body": text})
            return
        while True:
            kind = (await receive())["type"].partition(".")[2]
            self.told.append(kind)
            if self.fail == f"{kind} raises":
                raise LookupError("no database")
            if self.fail == f"{kind} hangs":
                await asyncio.sleep(60)
            scope["state"]["made"] = kind
            end = "failed" if self.fail == kind else "complete"
            await send({"type": f"lifespan.{kind}.{end}", "message": "no database"})
            if kind == "shutdown":
                return


def test_the_lifespan_is_that_of_the_engine(site):
    app = Recorder()
    graft = site.tree.graft_asgi(app, "/api/")
    assert (app.told, loops()) == ([], [])
    seen = []
    site.server.httpserver = None
    cherrypy.engine.subscribe(
        "start", lambda: seen.append((list(app.told), site.server.running)), 73
    )
    try:
        site.start()
        assert seen == [(["startup"], False)], "before anything is served"
        assert site.ask("/api") == (200, "state [('made', 'startup')]")
        assert site.ask("/api") == (200, "state [('made', 'startup')]"), "a copy for each request"
        assert len(loops()) == 1
        cherrypy.engine.graceful()
        cherrypy.engine.stop()
        assert app.told == ["startup", "http", "http", "shutdown"]
        assert loops() == []
        cherrypy.engine.start()
        assert site.ask("/api")[0] == 200
        cherrypy.engine.exit()
        assert app.told[4:] == ["startup", "http", "shutdown"]
    finally:
        cherrypy.engine.listeners["start"] = {
            one for one in cherrypy.engine.listeners["start"] if "lambda" not in repr(one)
        }
    assert isinstance(graft, GraftedASGI)
    assert "rror" not in site.text()


def test_requests_in_flight_come_before_the_shutdown(site):
    app = Recorder(patience=0.4)
    site.tree.graft_asgi(app, "/api")
    site.start()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(site.ask("/api")))
    thread.start()
    until(lambda: "http" in app.told, "the request")
    cherrypy.engine.exit()
    thread.join(10)
    assert answers == [(200, "state [('made', 'startup')]")]
    assert app.told == ["startup", "http", "shutdown"]


def test_applications_share_one_loop(site):
    first, second = Recorder(), Recorder()
    site.tree.graft_asgi(first, "/one")
    site.start()
    site.tree.graft_asgi(second, "/two")  # while the engine runs: it starts now
    assert second.told == ["startup"]
    assert site.ask("/two")[0] == site.ask("/one")[0] == 200
    assert len(loops()) == 1
    cherrypy.engine.exit()
    assert first.told[-1] == second.told[-1] == "shutdown"
    assert loops() == []


def test_a_failing_startup_fails_the_start(site):
    site.tree.graft_asgi(Recorder("startup"), "/api")
    with pytest.raises(Exception, match="ASGI application at '/api' could not start: no database"):
        site.start()
    assert loops() == []
    assert cherrypy.engine.state == cherrypy.engine.states.EXITING


def test_an_endless_startup_fails_the_start(site):
    site.tree.graft_asgi(Recorder("startup hangs"), "/api").start_timeout = 0.2
    with pytest.raises(Exception, match=r"did not start within 0\.2 s"):
        site.start()
    assert loops() == []


def test_who_raises_takes_no_part(site):
    app = Recorder("startup raises")
    site.tree.graft_asgi(app, "/api")
    site.start()
    assert "'/api' takes no part in the lifespan: LookupError('no database')" in site.text()
    assert site.ask("/api") == (200, "state []")
    cherrypy.engine.exit()
    assert app.told == ["startup", "http"]


def test_unless_it_must(site):
    site.tree.graft_asgi(Recorder("startup raises"), "/api", lifespan="on")
    with pytest.raises(Exception, match="could not start: LookupError") as caught:
        site.start()
    failures = getattr(caught.value, "get_instances", lambda: [caught.value])()
    assert [type(failure) for failure in failures] == [LifespanFailed]


def test_or_is_not_asked(site):
    app = Recorder()
    site.tree.graft_asgi(app, "/api", lifespan="off")
    site.start()
    assert site.ask("/api") == (200, "state []")
    cherrypy.engine.exit()
    assert app.told == ["http"]
    with pytest.raises(ValueError, match="lifespan must be one of"):
        site.tree.graft_asgi(app, "/api", lifespan="maybe")
    with pytest.raises(TypeError, match="is a callable"):
        site.tree.graft_asgi("app", "/api")


@pytest.mark.parametrize(
    ("fail", "line"),
    [
        ("shutdown", "could not shut down: no database"),
        ("shutdown raises", "ended its lifespan: LookupError('no database')"),
        ("shutdown hangs", "could not shut down: not done within 0.2 s"),
    ],
)
def test_a_failing_shutdown_is_logged(site, fail, line):
    site.tree.graft_asgi(Recorder(fail), "/api").stop_timeout = 0.2
    site.start()
    cherrypy.engine.exit()
    assert line in site.text()
    assert loops() == []


def test_the_loop_does_not_wait_for_stubborn_tasks(site, monkeypatch):
    monkeypatch.setattr("cherrypy.process.loops.PATIENCE", 0.2)
    cancelled = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"answered"})
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    site.tree.graft_asgi(app, "/api", lifespan="off")
    site.start()
    assert site.ask("/api") == (200, "answered")
    cherrypy.engine.exit()
    assert cancelled == [1]
    assert loops() == []


@pytest.mark.parametrize("kind", ["coroutine", "thread"])
def test_the_application_may_take_the_engine_down(site, kind):
    told = []
    app = fast_api(told)

    @app.get("/exit")
    async def leave():
        if kind == "coroutine":
            cherrypy.engine.exit()
        else:
            await asyncio.get_running_loop().run_in_executor(None, cherrypy.engine.exit)

    site.tree.graft_asgi(app, "/api")
    site.server.shutdown_timeout = 0.3
    site.start()
    with site.connect(b"GET /api/exit HTTP/1.1\r\nHost: x\r\n\r\n") as peer:
        read_all(peer)
    engine = cherrypy.engine
    until(lambda: engine.state == engine.states.EXITING, "the exit", 10)
    until(lambda: told == ["startup", "shutdown"], "the shutdown", 10)
    until(lambda: loops() == [], "the end of the loop", 10)


EXITS = """
import asyncio
import cherrypy
from cherrypy.websocket.client import connect

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await asyncio.sleep(0.2)
            print(kind)
            await send({"type": f"lifespan.{kind}.complete"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    cherrypy.engine.exit()
    print((await receive())["code"])

cherrypy.config.update({"server.socket_port": 0, "log.screen": False})
cherrypy.config.update({"engine.autoreload.on": False})
cherrypy.tree.graft_asgi(app, "/api")
cherrypy.engine.start()
host, port = cherrypy.server.bound_addr
client = connect(f"ws://{host}:{port}/api")
client.send("exit")
client.wait_closed()
cherrypy.engine.block()
"""


def test_the_process_waits_for_a_shutdown_that_a_coroutine_began():
    done = subprocess.run(
        [sys.executable, "-c", EXITS], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["startup", "1001", "shutdown"]


def test_a_coroutine_cannot_start_one(site):
    site.start()
    app = Recorder()

    async def grafts(scope, receive, send):
        try:
            site.tree.graft_asgi(app, "/more")
        except RuntimeError as error:
            app.told.append(str(error))
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"alive"})

    site.tree.graft_asgi(grafts, "/api", lifespan="off")
    assert site.ask("/api") == (200, "alive")
    assert app.told == ["An ASGI application cannot be started by a coroutine."]
    cherrypy.engine.stop()
    cherrypy.engine.start()
    assert len(app.told) == 1, "what could not be grafted follows nobody"


def test_what_was_let_go_follows_no_more(site):
    app = Recorder()
    site.tree.graft_asgi(app, "/api").unsubscribe()
    site.start()
    assert app.told == []


# -- a real framework --------------------------------------------------------------------------


def fast_api(told):
    @contextlib.asynccontextmanager
    async def lifespan(app):
        told.append("startup")
        yield {"pool": "a pool"}
        told.append("shutdown")

    app = FastAPI(lifespan=lifespan)

    @app.get("/items/{number}")
    async def item(number: int, request: Request, q: str = ""):
        return {"number": number, "q": q, "pool": request.state.pool, "url": str(request.url)}

    @app.get("/blocking")
    def blocking():
        return threading.current_thread().name

    @app.post("/upload")
    async def upload(request: Request):
        sizes = [len(chunk) async for chunk in request.stream()]
        return {"type": request.headers["content-type"], "size": sum(sizes)}

    @app.get("/stream")
    async def stream():
        async def numbers():
            for number in range(3):
                yield f"{number}\n"
                await asyncio.sleep(0)

        return StreamingResponse(numbers(), media_type="text/plain")

    @app.get("/idle")
    async def idle():
        async def nothing():
            try:
                yield "begun\n"
                await asyncio.sleep(60)
                yield "never"
            finally:
                told.append("left")

        return StreamingResponse(nothing(), media_type="text/plain")

    @app.get("/later")
    async def later(background: BackgroundTasks):
        background.add_task(told.append, "later")
        return "now"

    @app.get("/broken")
    async def broken():
        raise LookupError("a secret")

    return app


@pytest.fixture
def told(site):
    told = []
    site.tree.graft_asgi(fast_api(told), "/api")
    site.start()
    return told


def test_fastapi_serves_beside_pages(site, told):
    status, text = site.ask("/api/items/7?q=%C3%A9")
    host, port = site.address
    assert (status, json.loads(text)) == (
        200,
        {
            "number": 7,
            "q": "é",
            "pool": "a pool",
            "url": f"http://{host}:{port}/api/items/7?q=%C3%A9",
        },
    )
    assert site.ask("/api/items/x")[0] == 422
    assert site.ask("/api/nothing")[0] == 404
    assert json.loads(site.ask("/api/openapi.json")[1])["servers"] == [{"url": "/api"}]
    assert "event-loop" not in site.ask("/api/blocking")[1]
    assert site.ask("/api/stream") == (200, "0\n1\n2\n")
    assert site.ask("/api/later") == (200, '"now"')
    until(lambda: "later" in told, "the background task")
    cherrypy.engine.exit()
    assert (told[0], told[-1]) == ("startup", "shutdown")


def test_fastapi_takes_uploads(site, told):
    data = b"x" * 3_000_000
    status, text = site.ask("/api/upload", "POST", data, Content_Type="text/x")
    assert (status, json.loads(text)) == (200, {"type": "text/x", "size": len(data)})


def test_a_stream_that_idles_ends_with_its_client(site, told):
    with site.connect(b"GET /api/idle HTTP/1.1\r\nHost: x\r\n\r\n") as peer:
        read_until(peer, b"begun")
    until(lambda: "left" in told, "the end of the stream", 2)
    pool = site.server.httpserver.requests
    until(lambda: pool.idle == pool.size, "the worker to be free again")
    assert "rror" not in site.text()


def test_errors_of_fastapi(site, told):
    assert site.ask("/api/broken") == (500, "Internal Server Error")
    until(lambda: "LookupError: a secret" in site.text(), "the log")


# -- behind others -----------------------------------------------------------------------------


def test_the_tree_takes_it_to_foreign_servers(site):
    """There is no engine, and no socket to watch; all else is the same."""
    told = []
    site.tree.graft_asgi(fast_api(told), "/api")
    site.tree.mount(None, "/pages")

    class Quiet(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *args):
            pass

    server = wsgiref.simple_server.make_server("127.0.0.1", 0, site.tree, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        address = server.server_address
        assert json.loads(ask(address, "/api/items/1")[1])["pool"] == "a pool"
        assert ask(address, "/api/stream") == (200, "0\n1\n2\n")
        for body in (b"x" * 100_000, b""):
            text = ask(address, "/api/upload", "POST", body, Content_Type="text/x")[1]
            assert json.loads(text) == {"type": "text/x", "size": len(body)}
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
        site.tree.apps["/api"].stop()
    assert told == ["startup", "shutdown"]
    assert loops() == []


def test_middleware_in_front_of_the_tree_is_not_gone_around(site):
    seen = []

    def middleware(environ, start_response):
        seen.append(environ["PATH_INFO"])
        return site.tree(environ, start_response)

    async def hello(request):
        return PlainTextResponse("hello")

    app = Starlette(routes=[Route("/hello", hello)])
    site.tree.graft_asgi(app, "/api")
    site.start()
    assert site.ask("/api/hello") == (200, "hello")
    site.server.httpserver.wsgi_app = middleware
    assert site.ask("/api/hello") == (200, "hello")
    assert seen == ["/api/hello"]


def test_asyncio_is_imported_when_it_is_wanted():
    code = (
        "import sys, cherrypy\nassert not {'asyncio', 'cherrypy.hosting.asgi'} & {*sys.modules}\n"
        "async def app(scope, receive, send): pass\n"
        "cherrypy.tree.graft_asgi(app, '/x')\nassert 'asyncio' in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert shared._users == 0
