"""`cherrypy.testing.Client`, and what `TestClient` shares with it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import cherrypy
from cherrypy.testing import Answer, Client, TestClient
from cherrypy.testing.answers import TooLong
from cherrypy.websocket import EchoWebSocket


class Broken(Exception):
    pass


class Root:
    def __init__(self) -> None:
        self.closed = 0
        self.client: Any = None

    @cherrypy.expose
    def index(self, **params: Any) -> str:
        return repr(sorted(params.items()))

    @cherrypy.expose
    def echo(self, *path: str, **params: Any) -> str:
        request = cherrypy.request
        return f"{request.method} {request.path_info} {request.query_string} {sorted(params)}"

    @cherrypy.expose
    @cherrypy.config(**{"request.body.processors": {}})
    def raw(self) -> str:
        request = cherrypy.request
        body = request.body.read().decode() if request.process_request_body else ""
        return f"{request.method} {request.headers.get('Content-Type')} {body}"

    @cherrypy.expose
    @cherrypy.tools.json_in()
    @cherrypy.tools.json_out()
    def double(self) -> Any:
        return {"twice": cherrypy.request.json * 2}

    @cherrypy.expose
    def upload(self, note: str, file: Any) -> str:
        files = file if isinstance(file, list) else [file]
        told = [(f.filename, str(f.content_type), f.file.read()) for f in files]
        return f"{note} {told}"

    @cherrypy.expose
    def breaks(self) -> None:
        raise Broken("at home")

    @cherrypy.expose
    def forbidden(self) -> None:
        raise cherrypy.HTTPError(403)

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def pieces(self, fail: str = "") -> Iterator[str]:
        try:
            if fail == "first":
                raise Broken("first")
            yield "one"
            if fail:
                raise Broken("midst")
            yield "two"
            yield cherrypy.request.path_info
        finally:
            self.closed += 1

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def endless(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 1000

    @cherrypy.expose
    def count(self) -> str:
        session = cherrypy.session  # type: ignore[attr-defined]  # there with the tool
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @cherrypy.expose
    def cookies(self, **values: str) -> str:
        for name, value in values.items():
            cherrypy.response.cookie[name] = value
            if not value:
                cherrypy.response.cookie[name]["max-age"] = 0
        return repr(sorted((k, m.value) for k, m in cherrypy.request.cookie.items()))

    @cherrypy.expose
    def away(self, to: str, status: str = "303") -> None:
        raise cherrypy.HTTPRedirect(to, int(status))

    @cherrypy.expose
    def round(self) -> None:
        raise cherrypy.HTTPRedirect("/round")

    @cherrypy.expose
    def inner(self) -> None:
        raise cherrypy.InternalRedirect("/echo/inside")

    @cherrypy.expose
    def nested(self) -> str:
        mine = cherrypy.request.unique_id
        told = self.client.get("/echo/deeper").text
        assert cherrypy.request.unique_id == mine
        return f"{cherrypy.request.path_info} {told}"

    @cherrypy.expose
    async def later(self, fail: str = "") -> str:
        if fail:
            raise Broken("later")
        return "later"

    @cherrypy.expose
    def where(self) -> str:
        local, remote = cherrypy.request.local, cherrypy.request.remote
        return f"{cherrypy.url('/x')} {local.name}:{local.port} {remote.ip}:{remote.port}"

    @cherrypy.expose
    @cherrypy.tools.websocket(handler_cls=EchoWebSocket)
    def talk(self) -> None:
        pass


CONFIG = {"/count": {"tools.sessions.on": True}}
KINDS = [Client, TestClient]


@pytest.fixture(params=KINDS)
def client(request: Any) -> Iterator[Any]:
    """Each kind of client: whatever holds for both is shared."""
    with request.param(Root(), CONFIG) as made:
        yield made


def test_methods_queries_and_bodies(client: Any) -> None:
    assert client.get("/?a=1", {"b": [2, 3]}).text == "[('a', '1'), ('b', ['2', '3'])]"
    assert client.get("/", params=[("a", "ü&")]).text == "[('a', 'ü&')]"
    assert client.get("/echo/ü ö/%2Fx").text.startswith("GET /echo/ü ö/%2Fx")
    assert client.post("/", {"a": "1", "b": ["2", "3"]}).text == "[('a', '1'), ('b', ['2', '3'])]"
    assert client.post("/", [("c", "ä")], params={"d": 4}).text == "[('c', 'ä'), ('d', '4')]"
    for method in ("put", "patch", "post"):
        answer = getattr(client, method)("/raw", b"bytes", headers={"content-type": "text/x"})
        assert answer.text == f"{method.upper()} text/x bytes"
    assert client.put("/raw", "tüxt", headers={"Content-Type": "text/x"}).text.endswith("tüxt")
    assert client.put("/raw", io.BytesIO(b"file"), {"Content-Type": "a/b"}).text == "PUT a/b file"
    pieces = client.put("/raw", iter([b"a", b"b"]), {"Content-Type": "a/b"})
    assert pieces.text == "PUT a/b ab"
    assert client.delete("/echo/1").text.startswith("DELETE /echo/1")
    assert client.options("/echo").text.startswith("OPTIONS /echo")
    head = client.head("/echo")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) > 10
    assert client.request("REPORT", "/echo").text.startswith("REPORT /echo")
    assert client.post("/double", json=[1, "ü"]).json() == {"twice": [1, "ü", 1, "ü"]}
    assert client.post("/double", json=None).status == 500  # null is a value, though no number


def test_uploads(client: Any, tmp_path: Any) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"<p>")
    with path.open("rb") as file:
        answer = client.post("/upload", {"note": "näh"}, files={"file": file})
    assert answer.text == "näh [('page.html', 'text/html', b'<p>')]"
    two = {"file": [('a"b.bin', b"\r\n--x"), ("c", "text", "x/y")]}
    assert client.post("/upload", {"note": 1}, files=two).text == (
        "1 [('a%22b.bin', 'application/octet-stream', b'\\r\\n--x'), ('c', 'x/y', b'text')]"
    )
    assert client.post("/upload", {"note": 2}, files={"file": b"raw"}).text.startswith(
        "2 [('file',"
    )
    for wrong in ({"json": 1, "files": {"a": b""}}, {"files": {"a": 7}}, {"files": b"x"}):
        with pytest.raises(TypeError):
            client.post("/upload", **wrong)
    with pytest.raises(TypeError, match="json goes with neither"):
        client.post("/double", b"x", json=1)


def test_answers(client: Any) -> None:
    answer = client.get("/nothing")
    assert isinstance(answer, Answer)
    assert (answer.status, answer.reason, answer.status_line) == (404, "Not Found", "404 Not Found")
    assert answer.headers["content-TYPE"].startswith("text/html")
    assert "Not Found" in answer.text
    assert repr(answer).startswith("<Answer 404 Not Found b'<!DOCTYPE")
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()
    with pytest.raises(ValueError, match="one line"):
        client.get("/", headers={"X": "a\r\nB: c"})
    with pytest.raises(TypeError, match="unknown arguments: colour"):
        client.get("/", colour="red")


def test_cookies_are_kept_by_name(client: Any) -> None:
    assert [client.get("/count").text for _ in range(3)] == ["1", "2", "3"]
    assert set(client.cookies) == {"session_id"}
    client.cookies.clear()
    assert client.get("/count").text == "1"
    client.cookies.clear()
    client.get("/cookies", {"a": "1", "b": 'x y;"z"'})
    assert client.cookies == {"a": "1", "b": 'x y;"z"'}
    assert client.get("/cookies").text == repr([("a", "1"), ("b", 'x y;"z"')])
    assert client.get("/cookies", headers={"Cookie": "c=2"}).text == "[('c', '2')]"
    client.get("/cookies", {"a": ""})
    assert set(client.cookies) == {"b"}


def test_redirects_are_followed_on_demand(client: Any) -> None:
    first = client.get("/away", {"to": "/echo/there?x=1"})
    assert (first.status, first.headers["Location"]) == (303, "http://localhost/echo/there?x=1")
    answer = client.get("/away", {"to": "/echo/there?x=1"}, follow=True)
    assert answer.text.startswith("GET /echo/there x=1 ")
    assert [one.status for one in answer.history] == [303]
    # 303 makes a GET without a body of anything, 307 leaves all as it is (RFC 9110, 15.4).
    assert client.post("/away", {"to": "/raw"}, follow=True).text.startswith("GET None")
    kept = client.put("/away?to=/raw&status=307", b"b", {"Content-Type": "a/b"}, follow=True)
    assert kept.text == "PUT a/b b"
    elsewhere = client.get("/away", {"to": "http://example.com/"}, follow=True)
    assert (elsewhere.status, elsewhere.history) == (303, [])
    with pytest.raises(RuntimeError, match="more than 20 redirects"):
        client.get("/round", follow=True)
    client.follow = True
    assert client.get("/away", {"to": "/echo"}).status == 200
    assert client.get("/away", {"to": "/echo"}, follow=False).status == 303


def test_bodies_that_stream(client: Any) -> None:
    with client.get("/pieces", stream=True) as answer:
        assert answer.status == 200
        assert b"".join(answer) == b"onetwo/pieces"
    with client.get("/pieces", stream=True) as answer:
        assert answer.text == "onetwo/pieces"
        assert list(answer) == [b"onetwo/pieces"]
    client.max_body = 5000
    with pytest.raises(TooLong, match="longer than 5000 bytes"):
        client.get("/endless")
    with client.get("/endless", stream=True) as answer:
        assert len(next(iter(answer))) >= 1000


def test_a_stream_is_pulled_as_the_test_reads() -> None:
    root = Root()
    client = Client(root)
    answer = client.get("/pieces", stream=True)
    assert next(iter(answer)) == b"one"
    assert client.get("/echo").status == 200  # another request in between
    assert root.closed == 0
    answer.close()
    assert root.closed == 1
    answer.close()
    assert list(answer) == []
    assert cherrypy.serving.request.app is None  # nothing is left of either


def test_exceptions_are_raised_on_demand() -> None:
    seen: list[int] = []
    config = {"/": {"error_page.500": lambda **kw: seen.append(1) or "our page"}}
    client = Client(Root(), config)
    answer = client.get("/breaks")
    assert (answer.status, answer.text.strip()) == (500, "our page")
    with pytest.raises(Broken, match="at home") as raised:
        client.get("/breaks", raise_errors=True)
    assert raised.traceback[-1].name == "breaks"
    assert seen == [1, 1]  # the page has run as it does for visitors
    eager = Client(Root(), raise_errors=True)
    assert eager.get("/forbidden").status == 403
    assert eager.get("/nothing").status == 404
    assert eager.get("/away?to=/x").status == 303
    assert eager.get("/breaks", raise_errors=False).status == 500
    with pytest.raises(Broken, match="later"):
        eager.get("/later?fail=1")
    assert eager.get("/later").text == "later"
    for fail in ("first", "midst"):
        with pytest.raises(Broken, match=fail):
            eager.get(f"/pieces?fail={fail}")
    assert cherrypy.serving.request.app is None
    with pytest.raises(Broken):  # what has begun cannot become a 500
        client.get("/pieces?fail=midst")
    assert client.get("/pieces?fail=first").status == 500


def test_a_hook_that_breaks_is_raised_as_well() -> None:
    def hook() -> None:
        raise Broken("hook")

    client = Client(Root(), {"/echo": {"hooks.before_finalize": hook}}, raise_errors=True)
    with pytest.raises(Broken, match="hook"):
        client.get("/echo")
    assert client.get("/echo", raise_errors=False).status == 500


def test_what_ends_a_process_is_never_answered() -> None:
    class Ends:
        @cherrypy.expose
        def index(self, how: str) -> None:
            raise {"exit": SystemExit, "interrupt": KeyboardInterrupt}[how]

    client = Client(Ends())
    with pytest.raises(SystemExit):
        client.get("/?how=exit")
    with pytest.raises(KeyboardInterrupt):
        client.get("/?how=interrupt")


def test_no_socket_and_no_other_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def none(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket.socket, "__init__", none)
    before = set(threading.enumerate())
    ident: list[int] = []

    class Here:
        @cherrypy.expose
        def index(self) -> str:
            ident.append(threading.get_ident())
            return "x"

    assert Client(Here()).get("/").text == "x"
    assert ident == [threading.get_ident()]
    assert set(threading.enumerate()) <= before


def test_an_application_asks_itself() -> None:
    root = Root()
    root.client = client = Client(root)
    assert client.get("/nested").text.startswith("/nested GET /echo/deeper")
    assert client.get("/inner").text.startswith("GET /echo/inside")


def test_where_it_believes_to_be() -> None:
    client = Client(Root(), base_url="https://shop.example:8443/", remote=("192.0.2.7", 99))
    assert client.get("/where").text == "https://shop.example:8443/x shop.example:8443 192.0.2.7:99"
    answer = client.get("/away", {"to": "/where"}, follow=True)
    assert answer.text.startswith("https://shop.example:8443/x")
    assert client.get("/where", headers={"Host": "other"}).text.startswith("https://other/x")


def test_the_whole_tree_and_an_application_of_it() -> None:
    old, cherrypy.tree = cherrypy.tree, cherrypy._cptree.Tree()
    try:
        client = Client()
        assert client.get("/app/").status == 404
        cherrypy.tree.mount(Root(), "/app")
        assert client.get("/app/").text == "[]"

        def foreign(environ: Any, start_response: Callable[..., Any]) -> list[bytes]:
            if environ["PATH_INFO"] == "/bad":
                raise Broken("foreign")
            start_response("200 Fine", [("X-A", "1"), ("X-A", "2")])(b"written ")
            return [environ["SCRIPT_NAME"].encode(), environ["PATH_INFO"].encode("latin-1")]

        cherrypy.tree.graft(foreign, "/foreign")
        answer = client.get("/foreign/ü")
        assert (answer.reason, answer.headers.get_all("x-a")) == ("Fine", ["1", "2"])
        assert answer.text == "written /foreign/ü"
        assert client.head("/foreign/x").body == b""
        assert client.get("/foreign/bad").status == 500
        with pytest.raises(Broken, match="foreign"):
            client.get("/foreign/bad", raise_errors=True)
        cherrypy.tree = cherrypy._cptree.Tree()  # tests rebind it
        assert client.get("/app/").status == 404
    finally:
        cherrypy.tree = old
    application = cherrypy.Application(Root(), "/other")
    assert Client(application).get("/other/").text == "[]"
    tree = cherrypy._cptree.Tree()
    tree.mount(Root(), "/t")
    assert Client(tree).get("/t/").text == "[]"


def test_the_engine_runs_within_the_block_and_not_outside() -> None:
    engine = cherrypy.engine
    heard: list[str] = []
    listeners = {
        name: (lambda *args, name=name: heard.append(name))
        for name in ("start", "stop", "exit", "start_thread", "stop_thread")
    }
    for name, listener in listeners.items():
        engine.subscribe(name, listener)
    server = cherrypy.server
    server.subscribe()
    engine.autoreload.subscribe()
    engine.publish("release_thread")  # as if nothing had been served here
    heard.clear()
    try:
        before = {name: set(found) for name, found in engine.listeners.items()}
        assert Client(Root()).get("/").status == 200
        assert heard == ["start_thread"]
        engine.publish("release_thread")
        heard.clear()
        client = Client(Root())
        with client:
            assert engine.state is engine.states.STARTED
            assert server.httpserver is None or not server.running
            with client:  # within itself: the engine is started once
                client.get("/")
            assert engine.state is engine.states.STARTED
            with Client(Root()) as other:  # this one finds it running
                other.get("/")
            assert engine.state is engine.states.STARTED
        assert engine.state is engine.states.EXITING
        assert heard[:2] == ["start", "start_thread"]
        assert heard.count("start") == heard.count("stop") == heard.count("exit") == 1
        assert heard.count("start_thread") == heard.count("stop_thread")
        assert {name: set(found) for name, found in engine.listeners.items()} == before
    finally:
        for name, listener in listeners.items():
            engine.unsubscribe(name, listener)


def test_an_engine_that_does_not_start_says_so_and_is_as_before() -> None:
    engine = cherrypy.engine

    def refuse() -> None:
        raise Broken("no database")

    before = set(engine.listeners["start"])
    engine.subscribe("start", refuse)
    try:
        client = Client(Root())
        with pytest.raises(Exception, match="no database"):
            client.__enter__()
    finally:
        engine.unsubscribe("start", refuse)
    assert set(engine.listeners["start"]) == before
    with client:
        assert client.get("/").status == 200


def test_websockets_share_the_cookies() -> None:
    with Client(Root(), CONFIG) as client:
        client.get("/count")
        with client.websocket_connect("/talk") as ws:
            ws.send("hello")
            assert ws.recv() == "hello"
        assert client.get("/count").text == "2"


def test_threads_may_share_a_client() -> None:
    client = Client(Root(), raise_errors=True)
    wrong: list[Any] = []

    def ask(number: int) -> None:
        for turn in range(30):
            answer = client.get("/", {"n": f"{number}.{turn}"})
            if answer.text != f"[('n', '{number}.{turn}')]":
                wrong.append(answer)
            try:
                client.get("/breaks")
                wrong.append("no error")
            except Broken:
                pass

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
