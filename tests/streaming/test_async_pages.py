"""Pages that are coroutines: what they see, what may go wrong, and that no thread waits for them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from async_site import Pages, thread
from streaming_site import Site, lines_of, until

import cherrypy


@pytest.fixture
def pages(site: Site) -> Iterator[Pages]:
    pages = Pages()
    site.mount(pages, {"/resource": {"request.dispatch": cherrypy.dispatch.MethodDispatcher()}})
    yield pages
    pages.gate.is_open = True


def on_worker(name: str) -> bool:
    return name.startswith("kirsch-worker")


# -- results ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/sleep/0", (200, "slept")),
        ("/arguments/a", (200, "('a', (), 'none')")),
        ("/arguments/a/b/c?key=d", (200, "('a', ('b', 'c'), 'd')")),
        ("/some/where", (200, "default some/where")),
        ("/resource?number=7", (200, "got 7")),
        ("/callable/a?b=c", (200, "called ('a',) {'b': 'c'}")),
        ("/json", (200, '{"a": 1}')),
        ("/seen", (200, "/seen")),
        ("/fails?how=inside", (200, "('a', (), 'b')")),
        ("/fails?how=inside-sync", (200, "hello")),
    ],
)
def test_a_page_answers(site: Site, pages: Pages, path: str, answer: tuple[int, str]) -> None:
    assert site.get(path) == answer
    assert site.counters["parked"] >= 1


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/arguments", 404, "Missing parameters: first"),
        ("/sleep?no=1", 404, "Unexpected query string parameters: no"),
        ("/fails?how=http", 418, "teapot"),
        ("/fails?how=redirect", 303, "/sleep"),
        ("/fails?how=value", 500, "ValueError: of the page"),
        ("/fails?how=type", 500, "TypeError: not the arguments"),
        ("/fails?how=cancels", 503, ""),
    ],
)
def test_or_fails_like_any_other(
    site: Site, pages: Pages, path: str, status: int, text: str
) -> None:
    found, body = site.get(path)
    assert found == status and text in body


def test_a_page_may_end_the_process_as_others_do(site: Site, pages: Pages) -> None:
    ended = threading.Event()
    cherrypy.engine.subscribe("exit", ended.set)
    kirsch = site.kirsch
    client = site.ask("/fails?how=exits")
    try:
        assert not client.more()
        assert until(lambda: isinstance(kirsch.interrupt, SystemExit))
        assert ended.wait(5)
    finally:
        cherrypy.engine.unsubscribe("exit", ended.set)


def test_or_by_the_page_in_a_thread(site: Site) -> None:
    class Reads:
        @cherrypy.expose
        async def index(self) -> str:
            await asyncio.sleep(0.01)
            data = await asyncio.to_thread(cherrypy.request.rfile.read)
            return str(len(data))

    site.mount(Reads(), {"/": {"request.process_request_body": False}})
    client = site.client()
    for _ in range(2):
        client.ask("/", "Content-Length: 300000", method="POST")
        client.sock.sendall(b"x" * 150_000)
        assert until(lambda: site.counters["parked"] > 0)
        client.sock.sendall(b"x" * 150_000)
        assert client.head() == 200 and client.whole() == b"300000"
    assert site.counters["parked"] == 2


def test_routes_lead_to_coroutines(site: Site) -> None:
    pytest.importorskip("routes")

    class Controller:
        async def show(self, number: str) -> str:
            await asyncio.sleep(0)
            return f"number {number}"

    dispatch = cherrypy.dispatch.RoutesDispatcher()
    dispatch.connect("show", "/show/{number}", controller=Controller(), action="show")
    site.mount(None, {"/": {"request.dispatch": dispatch}})
    assert site.get("/show/7") == (200, "number 7") and site.counters["parked"] == 1


def test_bodies_are_read_before(site: Site, pages: Pages) -> None:
    client = site.client()
    kind = "Content-Type: application/x-www-form-urlencoded"
    client.ask("/resource", kind, "Content-Length: 3", method="POST")
    client.sock.sendall(b"a=1")
    assert client.head() == 200 and client.whole() == b"posted 1 {'a': '1'}"
    client.ask("/both", "Content-Type: application/json", "Content-Length: 3", method="POST")
    client.sock.sendall(b"[4]")
    assert client.head() == 200 and client.whole() == b"[4]"


def test_head_and_the_same_connection_again(site: Site, pages: Pages) -> None:
    client = site.client()
    client.ask("/sleep/0", method="HEAD")
    assert client.head() == 200 and client.fields["content-length"] == "5"
    client.ask("/sleep/0").ask("/").ask("/json")  # one behind the other
    for body in (b"slept", b"hello", b'{"a": 1}'):
        assert client.head() == 200 and client.whole() == body


def test_what_streams_is_no_json(site: Site) -> None:
    class Streams:
        _cp_config = {"tools.json_out.on": True}

        @cherrypy.expose
        def events(self) -> Any:
            return cherrypy.lib.sse.stream(timeout=0.1)

        @cherrypy.expose
        async def pieces(self) -> Any:
            yield "a"
            yield b"b"

    site.mount(Streams())
    assert site.get("/events") == (200, ":\n\n")
    assert site.get("/pieces") == (200, "ab")
    assert site.counters["feeds"] == 2


def test_a_websocket_page_is_no_coroutine(site: Site) -> None:
    from cherrypy.websocket.client import connect

    class Talk:
        @cherrypy.expose
        @cherrypy.tools.websocket()
        async def index(self, ws: Any) -> None:
            ws.send("never")

    site.mount(Talk())
    host, port = site.address
    with connect(f"ws://{host}:{port}/") as client:
        assert client.wait_closed() == 1011


@pytest.mark.parametrize(
    "config",
    [
        {"tools.encode.encoding": "utf-8"},
        {"tools.encode.on": False, "response.headers.Content-Type": "text/plain"},
        {"tools.gzip.on": True, "tools.etags.on": True, "tools.etags.autotags": True},
        {"tools.sessions.on": True},
        {"tools.caching.on": True},
    ],
)
def test_tools_do_what_they_do(site: Site, pages: Pages, config: dict[str, Any]) -> None:
    site.mount(pages, {"/": config}, "/tools")
    for _ in range(2):
        answer = site.get("/tools/json" if "tools.encode.on" in config else "/tools/sleep/0")
        assert answer[0] == 200
    assert site.counters["parked"] >= 1
    assert site.get("/tools/sleep/0", "Accept-Charset: utf-8") in [(200, "slept"), (500, "")] or (
        "tools.encode.on" in config
    )


# -- whose request ------------------------------------------------------------------------------


def test_coroutines_on_one_loop_see_their_own_requests(site: Site, pages: Pages) -> None:
    names = [f"name{number}" for number in range(20)]
    clients = [site.ask(f"/wait?name={name}") for name in names]
    assert until(lambda: pages.gate.entered == 20)
    pages.gate.is_open = True
    for name, client in zip(names, clients, strict=True):
        assert client.head() == 200 and client.fields["x-name"] == name
        host, port = site.address
        assert client.whole() == f"{name} {name} http://localhost/wait".encode(), (host, port)


def test_hooks_run_in_workers_and_the_page_on_the_loop(site: Site, pages: Pages) -> None:
    assert site.get("/threads") == (200, "x")
    assert until(lambda: len(pages.notes) == 4)
    assert pages.notes[0] == ("page", "event-loop")
    assert [note[0] for note in pages.notes[1:]] == [
        "before_finalize",
        "on_end_resource",
        "on_end_request",
    ]
    assert all(on_worker(note[1]) and note[2] == "/threads" for note in pages.notes[1:])


def test_hooks_of_the_configuration_run_once(site: Site, pages: Pages) -> None:
    points = ("on_start_resource", "before_handler", "before_finalize", "on_end_resource")
    ran: list[str] = []

    def note(point: str) -> Callable[[], None]:
        return lambda: ran.append(f"{point} {cherrypy.request.stage}")

    site.mount(pages, {"/": {f"hooks.{point}": note(point) for point in points}}, "/h")
    assert site.get("/h/sleep/0") == (200, "slept")
    assert ran == [f"{point} {point}" for point in points]


def test_what_a_wrapper_does_before_comes_before(site: Site, pages: Pages) -> None:
    """Its thread waits, as nobody knows what else it does."""
    order: list[str] = []

    def wrapper(handler: Any, *args: Any, **kwargs: Any) -> Any:
        order.append("before")
        result = handler(*args, **kwargs)
        order.append("after")
        return str(result).upper()

    class Wrapped:
        @cherrypy.expose
        async def index(self) -> str:
            order.append(thread())
            await asyncio.sleep(0.01)
            return cherrypy.request.path_info + "abc"

        @cherrypy.expose
        async def bad(self) -> str:
            raise cherrypy.HTTPError(409)

    tool = cherrypy._cptools.HandlerWrapperTool(wrapper)
    cherrypy.tools.wrapped_test = tool
    try:
        site.mount(Wrapped(), {"/": {"tools.wrapped_test.on": True}}, "/wrapped")
        assert site.get("/wrapped/") == (200, "/ABC")
        assert order == ["before", "event-loop", "after"]
        assert site.get("/wrapped/bad")[0] == 409
    finally:
        del cherrypy.tools.wrapped_test


def test_threads_that_serve_nothing_see_nothing(site: Site, pages: Pages) -> None:
    assert site.get("/seen")[0] == 200
    assert cherrypy.request.app is None
    assert not hasattr(cherrypy.serving, "session")
    with pytest.raises(AttributeError):
        cherrypy.serving.session


# -- sessions -----------------------------------------------------------------------------------


def test_a_session_loses_no_update(site: Site, pages: Pages) -> None:
    site.mount(pages, {"/": {"tools.sessions.on": True}}, "/s")
    first = site.ask("/s/count")
    assert first.head() == 200
    cookie = "Cookie: " + first.fields["set-cookie"].partition(";")[0]
    clients = [site.ask("/s/count", cookie) for _ in range(10)]
    seen = []
    for client in clients:
        assert client.head() == 200
        seen.append(int(client.whole()))
    assert sorted(seen) == list(range(2, 12))


def test_the_loop_does_not_wait_for_a_session(site: Site, pages: Pages) -> None:
    site.mount(pages, {"/": {"tools.sessions.on": True}}, "/s")
    first = site.ask("/s/hasty")
    assert first.head() == 200 and first.whole() == b"1"
    cookie = "Cookie: " + first.fields["set-cookie"].partition(";")[0]
    began = time.monotonic()
    clients = [site.ask("/s/hasty", cookie) for _ in range(2)]
    statuses = sorted(client.head() for client in clients)
    assert statuses == [200, 503] and time.monotonic() - began < 2
    assert site.get("/s/hasty", cookie) == (200, "3")


# -- threads and time ---------------------------------------------------------------------------


def test_no_worker_waits(site: Site, pages: Pages) -> None:
    count = 500
    site.adapter.thread_pool = 10
    began = time.monotonic()
    clients = [site.ask("/sleep?seconds=2") for _ in range(count)]
    slowest = 0.0
    while time.monotonic() < began + 1.6:
        asked = time.monotonic()
        assert site.get("/") == (200, "hello")
        slowest = max(slowest, time.monotonic() - asked)
    for client in clients:
        assert client.head() == 200 and client.whole() == b"slept"
    assert time.monotonic() - began < 15  # 500 times 2 s, by ten, would be 100
    assert site.counters["parked"] == count and slowest < 1


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cherrypy.engine.timeout_monitor, "frequency", 0.02)


def test_the_client_is_answered_at_the_deadline(often: None, site: Site, pages: Pages) -> None:
    app = site.mount(pages, {"/": {"response.timeout": 0.2, "response.timeout_status": 504}}, "/t")
    ended: list[str] = []
    cherrypy.engine.subscribe("after_request", listener := lambda: ended.append("x"))
    try:
        with lines_of(app.log.access_log) as lines, lines_of(app.log.error_log) as errors:
            began = time.monotonic()
            client = site.ask("/t/wait")
            assert client.head() == 504
            assert time.monotonic() - began < 2
            assert b"did not make the response in time" in client.whole()
            assert until(lambda: pages.gate.cancelled == 1) and until(lambda: ended)
            # The log says where the page was waiting.
            assert until(lambda: any("in its place" in line for line in errors))
            (line,) = (line for line in errors if "in its place" in line)
            assert ", in wait\n" in line and "async_site.py" in line
        assert len(lines) == 1 and '" 504 ' in lines[0]
        assert site.counters["timeouts_response"] == 1 and len(ended) == 1
    finally:
        cherrypy.engine.unsubscribe("after_request", listener)


def test_even_if_the_loop_is_stuck(often: None, site: Site) -> None:
    release = threading.Event()

    class Stuck:
        @cherrypy.expose
        async def index(self) -> str:
            release.wait(10)
            return "late"

    site.mount(Stuck(), {"/": {"response.timeout": 0.2}})
    client = site.ask("/")
    try:
        assert client.head() == 503
    finally:
        release.set()
    client.whole()


def test_a_client_that_leaves_cancels_its_page(site: Site, pages: Pages) -> None:
    notes: list[str] = []

    def note() -> None:
        notes.append(cherrypy.request.path_info)

    app = site.mount(pages, {"/": {"hooks.on_end_request": note}}, "/g")
    with lines_of(app.log.access_log) as lines:
        client = site.ask("/g/wait")
        assert until(lambda: pages.gate.entered == 1)
        began = time.monotonic()
        client.close()
        assert until(lambda: pages.gate.cancelled == 1, 5) and until(lambda: notes, 5)
        assert time.monotonic() - began < 5
        assert until(lambda: lines) and '" 499 ' in lines[0]
    assert notes == ["/wait"] and until(lambda: site.counters["open"] == 0) is True


def test_a_client_that_leaves_before_its_page_has_begun(site: Site) -> None:
    entered, release = threading.Event(), threading.Event()
    ended: list[str] = []

    class Stuck:
        @cherrypy.expose
        async def index(self) -> str:
            entered.set()
            release.wait(10)  # the loop with it
            return "late"

        @cherrypy.expose
        async def other(self) -> str:
            await asyncio.sleep(0)
            return "other"

    def note() -> None:
        ended.append(cherrypy.request.path_info)

    site.mount(Stuck(), {"/": {"hooks.on_end_request": note}})
    first = site.ask("/")
    assert entered.wait(5)
    second = site.ask("/other")
    assert until(lambda: site.counters["parked"] == 2)
    second.close()
    assert until(lambda: site.counters["open"] == 1)
    release.set()
    assert first.head() == 200 and first.whole() == b"late"
    assert until(lambda: sorted(ended) == ["/", "/other"])


def test_a_stop_waits_for_pages_as_for_others(site: Site, pages: Pages) -> None:
    client = site.ask("/wait?name=x")
    assert until(lambda: pages.gate.entered == 1)
    threading.Timer(0.2, lambda: setattr(pages.gate, "is_open", True)).start()
    cherrypy.engine.stop()
    assert client.head() == 200 and client.whole().startswith(b"x x ")
    assert "event-loop" not in [one.name for one in threading.enumerate()]
    cherrypy.engine.start()
    assert site.get("/sleep/0") == (200, "slept")


def test_but_not_for_ever(make_site: Callable[..., Site]) -> None:
    site = make_site(shutdown_timeout=0.2)
    pages = Pages()
    site.mount(pages)
    client = site.ask("/wait")
    assert until(lambda: pages.gate.entered == 1)
    began = time.monotonic()
    cherrypy.engine.stop()
    assert time.monotonic() - began < 3
    assert until(lambda: pages.gate.cancelled == 1)
    assert not client.more()
    assert until(lambda: "event-loop" not in [one.name for one in threading.enumerate()])


def test_many_come_and_go_and_nothing_is_left(site: Site, pages: Pages) -> None:
    begun: list[int] = []
    ended: list[int] = []
    cherrypy.engine.subscribe("before_request", first := lambda: begun.append(1))
    cherrypy.engine.subscribe("after_request", last := lambda: ended.append(1))
    try:
        for _ in range(5):
            clients = [site.ask("/sleep?seconds=0.02") for _ in range(40)]
            for client in clients[::2]:
                client.close()
            for client in clients[1::2]:
                assert client.head() == 200
                client.close()
        assert until(lambda: len(ended) == len(begun) >= 190), (len(ended), len(begun))
        assert until(lambda: site.counters["open"] == 0) is True
        assert until(lambda: not asyncio_tasks()) is True
    finally:
        cherrypy.engine.unsubscribe("before_request", first)
        cherrypy.engine.unsubscribe("after_request", last)


def asyncio_tasks() -> list[Any]:
    from cherrypy.process.loops import shared

    loop = shared._loop
    return list(asyncio.all_tasks(loop)) if loop is not None else []
