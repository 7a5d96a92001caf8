"""Event streams on our server: no thread waits, and everything has an end."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sse_site import Pages
from streaming_site import Site, lines_of, until

import cherrypy
from cherrypy.lib import sse


@pytest.fixture
def pages(site: Site) -> Pages:
    pages = Pages()
    site.mount(pages)
    return pages


def busy(site: Site) -> int:
    return site.counters["threads_busy"]


# -- heads --------------------------------------------------------------------------------------


def test_the_head(site: Site, pages: Pages) -> None:
    client = site.stream("/news")
    fields = client.fields
    assert fields["content-type"] == "text/event-stream;charset=utf-8"
    assert fields["cache-control"] == "no-cache"
    assert fields["x-accel-buffering"] == "no"
    assert fields["transfer-encoding"] == "chunked"
    assert "content-length" not in fields


def test_tools_see_an_empty_body_and_change_nothing(site: Site, pages: Pages) -> None:
    tools = ("gzip", "etags", "encode", "caching", "expires")
    config = {f"tools.{name}.on": True for name in tools}
    config["tools.etags.autotags"] = True
    config["tools.encode.encoding"] = "latin-1"
    site.mount(pages, {"/": config}, "/tools")
    for _ in range(2):
        client = site.stream("/tools/news", "Accept-Encoding: gzip", "Accept-Charset: latin-1")
        assert "content-encoding" not in client.fields
        assert "etag" not in client.fields
        pages.room.send("grün")
        assert client.event()["data"] == "grün"


def test_head_has_no_body(site: Site, pages: Pages) -> None:
    client = site.client()
    client.ask("/news", method="HEAD")
    assert client.head() == 200
    assert client.fields["content-type"] == "text/event-stream;charset=utf-8"
    assert client.get("/") == (200, "hello")
    assert len(pages.room) == 0 and sse.limits.open == 0
    assert until(lambda: pages.ended) == ["/news"]


def test_http_1_0_gets_the_events_and_the_end_of_the_connection(site: Site, pages: Pages) -> None:
    client = site.stream("/own", version="1.0")
    assert "transfer-encoding" not in client.fields
    assert client.event() == {"data": "early"}
    pages.streams[0].close()
    assert client.read(lambda body: False) == b""


def test_a_refusal_is_no_stream(site: Site, pages: Pages) -> None:
    def refuse(*args: Any) -> bool:
        return False

    config = {
        "tools.auth_basic.on": True,
        "tools.auth_basic.realm": "r",
        "tools.auth_basic.checkpassword": refuse,
    }
    site.mount(pages, {"/": config}, "/closed")
    assert site.get("/closed/news")[0] == 401
    assert len(pages.room) == 0


# -- events -------------------------------------------------------------------------------------


def test_a_room_sends_to_all_and_nobody_waits(site: Site, pages: Pages) -> None:
    clients = [site.stream("/news") for _ in range(30)]
    assert until(lambda: busy(site) == 0)
    assert pages.room.send("one\ntwo", event="tick") == 30
    for client in clients:
        event = client.event()
        assert event["data"] == "one\ntwo" and event["event"] == "tick" and event["id"]
    assert site.counters["feeds"] == 30


def test_a_channel_of_the_bus_is_a_room(site: Site, pages: Pages) -> None:
    client = site.stream("/bus")
    cherrypy.engine.publish("tidings", {"n": 1})
    cherrypy.engine.publish("tidings", "text")
    cherrypy.engine.publish("tidings", None)
    cherrypy.engine.publish("tidings", sse.Event("x", event="e", id="i"))
    assert client.event()["data"] == '{"n":1}'
    assert client.event()["data"] == "text"
    assert client.event() == {"data": "x", "event": "e", "id": "i"}


def test_what_is_published_can_be_given_a_shape(site: Site, pages: Pages) -> None:
    def shape(text: str, level: int) -> str | None:
        return f"{level} {text}" if level > 20 else None

    pages.options = {"format": shape}
    client = site.stream("/bus?channel=shaped")
    cherrypy.engine.publish("shaped", "silent", 20)
    cherrypy.engine.publish("shaped", "loud", 30)
    assert client.event()["data"] == "30 loud"


def test_own_events_the_early_ones_first(site: Site, pages: Pages) -> None:
    client = site.stream("/own")
    stream = pages.streams[0]
    assert stream.send("late", id=5) and stream.comment("nothing\nat all") and stream.open
    assert client.event() == {"data": "early"}
    assert client.event() == {"data": "late", "id": "5"}
    assert next(client.events()) == {"#": "nothing\nat all"}
    stream.close()
    assert client.read(lambda body: False) == b"" and client.ended
    assert not stream.open and not stream.send("too late")
    assert client.get("/") == (200, "hello")  # the connection lives on


def test_an_iterable_is_pulled_in_its_thread(site: Site, pages: Pages) -> None:
    client = site.stream("/made")
    assert [client.event() for _ in range(3)] == [
        {"data": "one"},
        {"data": "two", "id": "2"},
        {"data": '{"three":3}'},
    ]
    assert client.read(lambda body: False) == b""
    assert until(lambda: sse.limits.open == 0) and sse.limits.open == 0


def test_retry_comes_first(site: Site, pages: Pages) -> None:
    pages.options = {"retry": 2}
    client = site.ask("/news")
    client.head()
    assert next(client.events()) == {"retry": "2000"}


def test_events_of_many_threads_arrive_whole_and_in_one_order(site: Site, pages: Pages) -> None:
    pages.options = {"queue": 5000}
    pages.room = sse.Room(history=5000, history_bytes=1 << 22)
    clients = [site.stream("/news") for _ in range(4)]

    def send(who: int) -> None:
        for number in range(200):
            pages.room.send({"who": who, "number": number})

    threads = [threading.Thread(target=send, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    seen = [[client.event() for _ in range(800)] for client in clients]
    for thread in threads:
        thread.join()
    assert all(one == seen[0] for one in seen)
    assert len({event["id"] for event in seen[0]}) == 800


# -- coming back --------------------------------------------------------------------------------


def test_who_comes_back_gets_what_he_has_missed(site: Site, pages: Pages) -> None:
    client = site.stream("/news")
    pages.room.send("one")
    seen = client.event()["id"]
    client.close()
    assert until(lambda: len(pages.room) == 0)
    pages.room.send("two")
    pages.room.send("three")
    again = site.stream("/news", f"Last-Event-ID: {seen}")
    assert [again.event()["data"], again.event()["data"]] == ["two", "three"]
    pages.room.send("four")
    assert again.event()["data"] == "four"


def test_the_past_has_limits(site: Site, pages: Pages) -> None:
    pages.room = sse.Room(history=3)
    for number in range(10):
        pages.room.send(str(number))
    # Of an id that is not known everything there is comes after it.
    client = site.stream("/news", "Last-Event-ID: of-before-a-restart")
    assert [client.event()["data"] for _ in range(3)] == ["7", "8", "9"]
    pages.room = sse.Room(history=100, history_bytes=100)
    for number in range(10):
        pages.room.send("x" * 40 + str(number))
    client = site.stream("/news", "Last-Event-ID: 0")
    assert client.event()["data"][-1] == "9"


def test_newcomers_get_what_is_recent_if_the_page_says_so(site: Site, pages: Pages) -> None:
    for number in range(5):
        pages.room.send(str(number))
    client = site.stream("/news")
    pages.options = {"recent": 2}
    other = site.stream("/news")
    pages.room.send("new")
    assert client.event()["data"] == "new"
    assert [other.event()["data"] for _ in range(3)] == ["3", "4", "new"]


def test_a_channel_is_remembered_while_nobody_is_there(site: Site, pages: Pages) -> None:
    client = site.stream("/bus?channel=remembered")
    cherrypy.engine.publish("remembered", "one")
    seen = client.event()["id"]
    client.close()
    assert until(lambda: sse.limits.open == 0) == 1 or sse.limits.open == 0
    cherrypy.engine.publish("remembered", "two")
    again = site.stream("/bus?channel=remembered", f"Last-Event-ID: {seen}")
    assert again.event()["data"] == "two"


def test_channels_that_nobody_listens_to_are_forgotten(
    site: Site, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cherrypy.lib.sse.rooms.IDLE_ROOMS", 2)
    for number in range(5):
        site.stream(f"/bus?channel=many-{number}").close()
        assert until(lambda: sse.limits.open == 0) or sse.limits.open == 0
    names = [name for name in cherrypy.engine.listeners if name.startswith("many-")]
    assert until(lambda: sum(bool(cherrypy.engine.listeners[name]) for name in names) <= 2), (
        cherrypy.engine.listeners
    )


# -- the end ------------------------------------------------------------------------------------


def test_a_client_that_leaves_frees_its_stream_at_once(site: Site, pages: Pages) -> None:
    clients = [site.stream("/news") for _ in range(5)]
    assert len(pages.room) == sse.limits.open == 5
    began = time.monotonic()
    for client in clients:
        client.close()
    assert until(lambda: sse.limits.open == 0, 1) is True
    assert time.monotonic() - began < 1
    assert len(pages.room) == 0 and pages.ended == ["/news"] * 5


def test_a_reset_frees_it_as_well(site: Site, pages: Pages) -> None:
    client = site.stream("/news")
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    assert until(lambda: sse.limits.open == 0, 1)


def test_the_line_of_the_access_log_comes_at_the_end(site: Site, pages: Pages) -> None:
    with lines_of(cherrypy.tree.apps[""].log.access_log) as lines:
        client = site.stream("/news")
        pages.room.send("x" * 100, id="1")
        assert client.event()["data"] == "x" * 100
        assert lines == []
        client.close()
        assert until(lambda: lines)
    sent = len(b":\n\n") + len(b"id: 1\ndata: \n\n") + 100
    assert f'"GET /news HTTP/1.1" 200 {sent} ' in lines[0]
    assert len(lines) == 1


def test_the_server_stops_in_time_and_the_streams_end_well(site: Site, pages: Pages) -> None:
    clients = [site.stream("/news") for _ in range(20)]
    began = time.monotonic()
    site.adapter.stop()
    assert time.monotonic() - began < 1
    for client in clients:
        client.read(lambda body: False)
        assert client.ended and client.data == b""  # the last chunk has come
    assert sse.limits.open == 0 and pages.ended == ["/news"] * 20


def test_a_stream_may_have_a_timeout_and_response_timeout_is_none(
    site: Site, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.mount(pages, {"/": {"response.timeout": 0.05}}, "/timed")
    monitor = cherrypy.engine.timeout_monitor
    client = site.stream("/timed/news")
    time.sleep(0.1)
    monitor.run()
    pages.room.send("still here")
    assert client.event()["data"] == "still here"
    pages.options = {"timeout": 0.2}
    client = site.stream("/news")
    began = time.monotonic()
    assert client.read(lambda body: False) == b"" and client.ended
    assert time.monotonic() - began < 1


# -- what surrounds it --------------------------------------------------------------------------


def test_the_session_is_given_back_before_the_first_event(site: Site) -> None:
    class WithSession:
        @cherrypy.expose
        def news(self) -> Any:
            cherrypy.session["seen"] = True
            return sse.stream()

        @cherrypy.expose
        def look(self) -> str:
            return str(cherrypy.session.get("seen"))

    config = {"tools.sessions.on": True, "tools.sessions.lock_timeout": 0.2}
    site.mount(WithSession(), {"/": config})
    client = site.stream("/news")
    cookie = client.fields["set-cookie"].partition(";")[0]
    assert site.get("/look", f"Cookie: {cookie}") == (200, "True")


def test_threads_forget_the_request_when_it_goes_on_without_them(site: Site) -> None:
    kept: list[Any] = []

    class Watched:
        @cherrypy.expose
        def news(self) -> Any:
            kept.append(cherrypy.serving.__dict__)
            return sse.stream(heartbeat=0)

    site.mount(Watched())
    client = site.stream("/news")
    assert until(lambda: kept[0] == {}) and kept[0] == {}
    client.close()
    assert until(lambda: sse.limits.open == 0) or sse.limits.open == 0
    assert cherrypy._cprequest.Request is not None and kept[0] == {}


def test_a_stream_answers_one_request(site: Site) -> None:
    class Keeper:
        kept: Any = None

        @cherrypy.expose
        def index(self) -> Any:
            self.kept = self.kept or sse.stream(heartbeat=0)
            return self.kept

    site.mount(Keeper())
    site.stream("/")
    status, text = site.get("/")
    assert status == 500 and "one request" in text


def test_a_coroutine_may_return_a_stream(site: Site, pages: Pages) -> None:
    class Later:
        @cherrypy.expose
        async def index(self) -> Any:
            await asyncio.sleep(0)
            return sse.stream(pages.room)

    app = site.mount(Later(), path="/later")
    with lines_of(app.log.access_log) as lines:
        client = site.stream("/later/")
        pages.room.send("one", id=1)
        assert client.event() == {"data": "one", "id": "1"}
        client.close()
        assert until(lambda: lines) and f" 200 {3 + len('id: 1data: one') + 3} " in lines[0]
    assert until(lambda: len(pages.room) == 0) is True


def test_settings_that_make_no_sense(site: Site) -> None:
    with pytest.raises(RuntimeError, match="answers a request"):
        sse.stream()
    caught: list[BaseException] = []

    class Wrong:
        @cherrypy.expose
        def index(self, **options: Any) -> Any:
            for wrong in ({"overflow": "x"}, {"queue": 0}, {"source": sse.Room(), "channel": "c"}):
                with pytest.raises(ValueError) as info:
                    sse.stream(**wrong)
                caught.append(info.value)
            return "done"

    site.mount(Wrong())
    assert site.get("/") == (200, "done") and len(caught) == 3


def test_the_native_server(make_site: Callable[..., Site]) -> None:
    site = make_site(instance="cherrypy._cpnative_server.CPHTTPServer")
    pages = Pages()
    site.mount(pages)
    client = site.stream("/news")
    assert until(lambda: busy(site) == 0) or busy(site) == 0
    pages.room.send("one")
    assert client.event()["data"] == "one"
    client.close()
    assert until(lambda: len(pages.room) == 0, 1)
