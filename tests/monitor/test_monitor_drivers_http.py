"""HTTP clients with their instruments on, against a real server: counted once, whoever uses whom."""

from __future__ import annotations

import asyncio
import gc
import http.client
import pickle
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from drivers_kit import service, serving, watching

from cherrypy.monitor.instruments import external

requests = pytest.importorskip("requests")
urllib3 = pytest.importorskip("urllib3")
httpx = pytest.importorskip("httpx")
aiohttp = pytest.importorskip("aiohttp")

assert service

DURATION, CALLS = "http.client.request.duration", "cherrypy.external.calls"
RESPONSES, ERRORS = "cherrypy.external.responses", "cherrypy.external.errors"
HERE = "127.0.0.1"


def by_http_client(url):
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=10)
    connection.request("GET", "/" + url.split("/", 3)[3])
    response = connection.getresponse()
    try:
        return response.status, response.read()
    finally:
        connection.close()


def by_urllib(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.status, response.read()


def by_urllib3(url):
    with urllib3.PoolManager() as pool:
        response = pool.request("GET", url, retries=False, timeout=10)
        return response.status, response.data


def by_requests(url):
    response = requests.get(url, timeout=10, allow_redirects=False)
    return response.status_code, response.content


def by_httpx(url):
    response = httpx.get(url, timeout=10)
    return response.status_code, response.content


def by_httpx_async(url):
    async def ask():
        async with httpx.AsyncClient(timeout=10) as client:
            return await client.get(url)

    response = asyncio.run(ask())
    return response.status_code, response.content


def by_aiohttp(url):
    async def ask():
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as response:
                return response.status, await response.read()

    return asyncio.run(ask())


WAYS = [by_http_client, by_urllib, by_urllib3, by_requests, by_httpx, by_httpx_async, by_aiohttp]
SYNC = WAYS[:5]


@pytest.mark.parametrize("ask", WAYS)
def test_a_request_is_counted_once(ask, service):
    with watching() as seen:
        assert ask(f"{service}/200/0.05/7?user=hush") == (200, b"x" * 7)
        count, total = seen.spread(DURATION, "GET", HERE, "200", "")
        assert count == 1
        assert total >= 0.05
        assert seen.spread(DURATION)[0] == 1
        assert seen.series(CALLS) == {("http", HERE)}
        assert seen.count(CALLS) == 1
        assert seen.count(RESPONSES, "http", "2xx") == seen.count(RESPONSES) == 1
        assert seen.count(ERRORS) == 0
        assert seen.gauge("http.client.active_requests") == {(HERE,): 0}
        snapshot = seen.monitor.taker.take()
        assert "hush" not in repr((snapshot.counts, snapshot.spreads, snapshot.details))


@pytest.mark.parametrize("ask", [way for way in WAYS if way is not by_urllib])
@pytest.mark.parametrize("status", [404, 503])
def test_errors_of_the_other_side_are_responses(ask, status, service):
    with watching() as seen:
        assert ask(f"{service}/{status}")[0] == status
        assert seen.spread(DURATION, "GET", HERE, str(status), str(status))[0] == 1
        assert seen.count(RESPONSES, "http", f"{status // 100}xx") == 1
        assert seen.count(ERRORS) == 0


@pytest.mark.parametrize("ask", WAYS)
def test_errors_of_the_way_are_counted_once_and_raised(ask):
    with socket.socket() as taken:
        taken.bind((HERE, 0))  # and nobody listens
        with watching() as seen:
            with pytest.raises(Exception) as caught:
                ask(f"http://{HERE}:{taken.getsockname()[1]}/200")
            assert not isinstance(caught.value, AttributeError)
            assert seen.count(ERRORS, "http", HERE) == 1
            assert seen.count(CALLS) == 1
            assert seen.spread(DURATION, "GET", HERE, "")[0] == 1
            assert seen.count(RESPONSES) == 0
            assert seen.gauge("http.client.active_requests")[HERE,] == 0


@pytest.mark.parametrize("ask", SYNC)
def test_time_is_that_of_the_layer_and_bodies_are_in_it(ask, service):
    with watching():
        ask(f"{service}/200")
        with serving() as request:
            time.sleep(0.02)
            ask(f"{service}/200/0.05/100000/0.05")
        assert request.layers["external"] >= 0.1
        assert request.layers["wsgi"] >= 0.02
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6
        assert request.steps == [("external", f"GET http://{HERE}")]
        assert request.calls == {"external": 1}
        assert request.spans[0][1] - request.spans[0][0] >= 0.05


@pytest.mark.parametrize("ask", WAYS[5:])
def test_what_a_loop_of_the_thread_waits_for_is_in_the_layer(ask, service):
    with watching():
        with serving() as request:
            ask(f"{service}/200/0.1")
        assert request.layers["external"] >= 0.1
        assert request.steps == [("external", f"GET http://{HERE}")]
        assert request.calls == {"external": 1}
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6


@pytest.mark.parametrize("library", ["http.client", "urllib3", "requests"])
def test_any_of_those_that_use_each_other_may_be_seen_alone(library, service):
    with watching(library) as seen, serving() as request:
        assert by_requests(f"{service}/200/0/100000/0.05")[0] == 200
        assert seen.count(CALLS) == 1
    assert request.layers["external"] >= 0.05


def test_each_request_of_a_chain_of_redirects_is_one(service):
    with watching() as seen:
        assert requests.get(f"{service}/302", timeout=10).status_code == 200
        assert httpx.get(f"{service}/302", follow_redirects=True, timeout=10).status_code == 200
        assert seen.count(CALLS) == 4
        assert seen.count(RESPONSES, "http", "3xx") == 2


def test_methods_that_nobody_knows_are_one(service):
    with watching() as seen:
        connection = http.client.HTTPConnection(service[7:], timeout=10)
        for method in ("PURGE", "hush1", "POST"):
            connection.request(method, "/200", body=b"abc")
            connection.getresponse().read()
        connection.close()
        assert seen.spread(DURATION, "_OTHER")[0] == 2
        assert seen.spread(DURATION, "POST")[0] == 1


def test_the_parts_of_http_client_are_what_they_were(service):
    with watching() as seen:
        connection = http.client.HTTPConnection(service[7:], timeout=10)
        connection.putrequest("POST", "/200", skip_accept_encoding=True)
        connection.putheader("Content-Length", "6")
        connection.endheaders()
        connection.send(b"abc")
        connection.send(b"def")
        assert external.active() == {(HERE,): 1}
        response = connection.getresponse()
        assert response.fp is not None
        first = bytearray(2)
        assert response.readinto(first) == 2
        assert response.read(1) + response.read1(1) + response.readline() == b"xxx"
        assert list(response) == []
        with pytest.raises(http.client.ResponseNotReady):
            connection.getresponse()
        with pytest.raises(http.client.InvalidURL):
            connection.request("GET", "/a b\x00")
        connection.close()
        connection.request("POST", "/200", body=iter([b"a", b"b"]), headers={"Content-Length": "2"})
        connection.close()  # and nobody asks for the response
        assert seen.count(CALLS) == 1
        assert external.active() == {(HERE,): 0}


def test_connections_that_are_dropped_leave_nothing(service):
    with watching():
        for _ in range(20):
            connection = http.client.HTTPConnection(service[7:], timeout=10)
            connection.request("GET", "/200")
            connection.sock.close()
            assert external.active() == {(HERE,): 1}
            del connection
            gc.collect()
            assert external.active() == {(HERE,): 0}


def test_hosts_beyond_those_told_apart_are_one(monkeypatch):
    monkeypatch.setattr(external, "MOST_HOSTS", 3)
    with watching() as seen:
        for number in range(6):
            with pytest.raises(OSError):
                http.client.HTTPConnection(f"127.0.0.{number + 2}", 9, timeout=5).request(
                    "GET", "/"
                )
        hosts = {labels[1] for labels in seen.series(CALLS)}
        assert hosts == {"127.0.0.2", "127.0.0.3", "127.0.0.4", "otel.metric.overflow"}
        assert seen.count(CALLS) == 6


def test_calls_under_way_are_told(service):
    with watching() as seen:
        threads = [
            threading.Thread(target=by_requests, args=(f"{service}/200/0.3",)) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 5
        while seen.gauge("http.client.active_requests").get((HERE,)) != 3:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        for thread in threads:
            thread.join(10)
        assert seen.gauge("http.client.active_requests") == {(HERE,): 0}


def test_what_the_monitor_itself_asks_is_not_counted(service):
    with watching() as seen:
        thread = threading.Thread(target=by_requests, args=(f"{service}/200",), name="monitor-otlp")
        thread.start()
        thread.join(10)
        assert seen.count(CALLS) == 0


class Own(requests.adapters.HTTPAdapter):
    def send(self, request, *args, **kwargs):
        request.headers["X-Own"] = "1"
        return super().send(request, *args, **kwargs)


def test_responses_of_requests_are_pickled_and_streamed_and_sessions_subclassed(service):
    with watching() as seen:
        with requests.Session() as session:
            session.mount("http://", Own())
            response = session.get(f"{service}/200/0/100000", stream=True, timeout=10)
            assert response.request.headers["X-Own"] == "1"
            assert sum(len(part) for part in response.iter_content(1000)) == 100000
        again = pickle.loads(pickle.dumps(requests.get(f"{service}/200", timeout=10)))
        assert again.text == "xxxxx"
        pickle.loads(pickle.dumps(session))
        assert seen.count(CALLS) == 2


def test_own_transports_of_httpx_work(service):
    with watching() as seen:
        mock = httpx.MockTransport(lambda request: httpx.Response(201, text="made up"))
        assert httpx.Client(transport=mock).get("http://example.com/").text == "made up"
        assert seen.count(CALLS) == 0
        with serving() as request:
            with httpx.stream("GET", f"{service}/200/0/100000/0.05", timeout=10) as response:
                assert sum(len(part) for part in response.iter_bytes()) == 100000
        assert request.layers["external"] >= 0.05
        assert seen.count(CALLS) == 1


def test_many_of_a_loop_at_once_are_counted(service):
    async def main():
        async with httpx.AsyncClient(timeout=10) as client, aiohttp.ClientSession() as session:
            await asyncio.gather(
                *(client.get(f"{service}/200/0.05") for _ in range(5)),
                *(session.get(f"{service}/404/0.05") for _ in range(5)),
            )

    with watching() as seen:
        asyncio.run(main())
        assert seen.spread(DURATION, "GET", HERE, "200", "")[0] == 5
        assert seen.spread(DURATION, "GET", HERE, "404", "404")[0] == 5


def test_at_the_end_the_clients_are_as_before():
    names = [
        (http.client.HTTPConnection, "putrequest"),
        (http.client.HTTPResponse, "read"),
        (urllib3.HTTPConnectionPool, "urlopen"),
        (requests.adapters.HTTPAdapter, "send"),
        (httpx.HTTPTransport, "handle_request"),
        (aiohttp.ClientSession, "_request"),
    ]
    before = [getattr(owner, name) for owner, name in names]
    with watching():
        assert all(
            getattr(owner, name) is not plain
            for (owner, name), plain in zip(names, before, strict=True)
        )
    assert [getattr(owner, name) for owner, name in names] == before
