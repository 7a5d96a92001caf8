"""The clients of Elasticsearch, OpenSearch and Solr with their instruments on.

The clients are the real ones; what they ask is a stand-in of ours, see `drivers_search`.
"""

from __future__ import annotations

import asyncio
import types

import pytest
from drivers_kit import serving, watching
from drivers_search import engine
from session_kit import free_port

from cherrypy.monitor.instruments import search

elasticsearch = pytest.importorskip("elasticsearch")
opensearchpy = pytest.importorskip("opensearchpy")
pysolr = pytest.importorskip("pysolr")

__all__ = ("engine",)

OPERATION, DURATION = "cherrypy.search.operation.duration", "db.client.operation.duration"
KINDS = ["elasticsearch", "opensearch"]


def opened(kind, port):
    where = f"http://127.0.0.1:{port}"
    if kind == "elasticsearch":
        return elasticsearch.Elasticsearch(where, max_retries=0, request_timeout=20)
    return opensearchpy.OpenSearch(where, max_retries=0, timeout=20)


def library(kind):
    return "opensearchpy" if kind == "opensearch" else kind


def document(kind, text):
    return {"document" if kind == "elasticsearch" else "body": {"text": text}}


def found(kind, answer):
    return [hit["_source"]["text"] for hit in answer["hits"]["hits"]]


@pytest.mark.parametrize("kind", KINDS)
def test_requests_are_counted_by_operation_and_work(kind, engine):
    index = f"{kind}-one"
    with watching(library(kind), "http.client", "urllib3", "requests") as seen:
        client = opened(kind, engine)
        with serving() as request:
            client.index(index=index, id="hush1", **document(kind, "one"))
            client.create(index=index, id="hush2", **document(kind, "two"))
            assert client.get(index=index, id="hush1")["_source"] == {"text": "one"}
            assert client.exists(index=index, id="hush1")
            assert not client.exists(index=index, id="none")
            client.update(index=index, id="hush2", body={"doc": {"text": "hush"}})
            query = {"query": {"match": {"text": "hush"}}}
            assert found(kind, client.search(index=index, body=query)) == ["one", "hush"]
            client.bulk(body=[{"index": {"_index": index}}, {"text": "three"}])
            client.delete(index=index, id="hush1")
        client.close()
        counted = {
            operation: seen.spread(OPERATION, kind, operation)[0]
            for _, operation in seen.series(OPERATION)
        }
        assert counted == {
            "index": 1,
            "create": 1,
            "get": 3,
            "update": 1,
            "search": 1,
            "bulk": 1,
            "delete": 1,
        }
        assert seen.spread(DURATION, kind, "get", "127.0.0.1", "")[0] == 3
        assert request.steps[0] == ("db", f"{kind} index")
        assert request.calls == {"db": 9}
        assert request.layers["db"] > 0
        assert request.layers["external"] == 0  # the requests over HTTP are the same calls
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6
        assert seen.count("cherrypy.external.calls") == 0
        assert seen.count("cherrypy.db.errors") == 0
        assert "hush" not in repr(seen.monitor.taker.take())


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_the_client_s_own_and_counted(kind, engine):
    with watching(library(kind)) as seen:
        client = opened(kind, engine)
        raised = elasticsearch.ApiError if kind == "elasticsearch" else opensearchpy.TransportError
        with pytest.raises(raised) as caught:
            client.search(index="broken", body={})
        assert caught.value.status_code == 500
        with pytest.raises(raised) as caught:
            client.get(index="any", id="none")
        assert caught.value.status_code == 404
        client.create(index="twice", id="x", **document(kind, "x"))
        with pytest.raises(raised):
            client.create(index="twice", id="x", **document(kind, "x"))
        client.delete(index="twice", id="x")
        client.close()
        assert seen.spread(DURATION, kind, "search", "127.0.0.1", "500")[0] == 1
        assert seen.spread(DURATION, kind, "get", "127.0.0.1", "404")[0] == 1
        assert seen.count("cherrypy.db.errors", kind, "500") == 1
        assert seen.count("cherrypy.db.errors", kind, "409") == 1
        assert seen.count("cherrypy.db.errors", kind, "404") == 0  # there is no such document
        gone = opened(kind, free_port())
        with pytest.raises((elasticsearch.ConnectionError, opensearchpy.ConnectionError)):
            gone.search(index="x", body={})
        gone.close()
        assert seen.spread(DURATION, kind, "search", "127.0.0.1", "ConnectionError")[0] == 1
        assert seen.count("cherrypy.db.errors", kind, "ConnectionError") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_clients_of_a_loop_are_counted(kind, engine):
    where = f"http://127.0.0.1:{engine}"

    async def main():
        if kind == "elasticsearch":
            client = elasticsearch.AsyncElasticsearch(where, max_retries=0, request_timeout=20)
        else:
            client = opensearchpy.AsyncOpenSearch(where, max_retries=0, timeout=20)
        await client.index(index="loop", id="1", **document(kind, "one"))
        answers = await asyncio.gather(*(client.search(index="loop", body={}) for _ in range(3)))
        assert [found(kind, answer) for answer in answers] == [["one"]] * 3
        with pytest.raises((elasticsearch.ApiError, opensearchpy.TransportError)):
            await client.search(index="broken", body={})
        await client.close()

    with watching(library(kind), "aiohttp", "httpx") as seen:
        with serving() as request:
            asyncio.run(main())
        assert seen.spread(OPERATION, kind, "index")[0] == 1
        assert seen.spread(OPERATION, kind, "search")[0] == 4
        assert seen.spread(DURATION, kind, "search", "127.0.0.1", "")[0] == 3
        assert seen.count("cherrypy.db.errors", kind, "500") == 1
        assert seen.count("cherrypy.external.calls") == 0
        assert request.calls == {"db": 5}
        assert request.layers["external"] == 0


def test_solr_is_counted_by_operation_and_works(engine):
    with watching("pysolr", "requests", "urllib3", "http.client") as seen:
        client = pysolr.Solr(f"http://127.0.0.1:{engine}/solr/core", timeout=20)
        assert isinstance(client, pysolr.Solr)
        with serving() as request:
            client.add([{"id": "hush1"}, {"id": "hush2"}], commit=True)
            assert [row["id"] for row in client.search("text:hush")] == ["hush1", "hush2"]
            client.delete(id="hush1")
            client.commit()
            assert client.search("*:*").hits == 1
            with pytest.raises(pysolr.SolrError):
                client.search("broken(")
        assert {
            operation: seen.spread(OPERATION, "solr", operation)[0]
            for _, operation in seen.series(OPERATION)
        } == {"index": 1, "search": 3, "delete": 1, "_OTHER": 1}
        assert seen.spread(DURATION, "solr", "search", "127.0.0.1", "SolrError")[0] == 1
        assert seen.count("cherrypy.db.errors", "solr", "SolrError") == 1
        assert seen.count("cherrypy.external.calls") == 0
        assert request.calls == {"db": 6}
        assert "hush" not in repr(seen.monitor.taker.take())


@pytest.mark.parametrize(
    ("method", "target", "operation"),
    [
        ("GET", "/i/_doc/_create", "get"),
        ("PUT", "/i/_doc/1?refresh=true", "index"),
        ("PUT", "/i/_doc/1?op_type=create", "create"),
        ("POST", "/i/_create/1", "create"),
        ("HEAD", "/i/_source/1", "get"),
        ("POST", "/_mget", "get"),
        ("GET", "/i,j/_search", "search"),
        ("POST", "/_search/scroll", "search"),
        ("DELETE", "/_search/scroll", "_OTHER"),
        ("POST", "/i/_msearch", "search"),
        ("GET", "/i/_count", "search"),
        ("POST", "/i/_delete_by_query", "delete"),
        ("POST", "/_bulk", "bulk"),
        ("POST", "/i/_update/1", "update"),
        ("PUT", "/i/type/1", "index"),  # of version 6
        ("DELETE", "/i", "_OTHER"),
        ("GET", "/_cluster/health", "_OTHER"),
        ("GET", "/", "_OTHER"),
    ],
)
def test_an_operation_is_told_by_method_and_path(method, target, operation):
    assert search.operation_of(method, target) == operation


def test_the_transport_of_version_7_is_counted():
    """That version cannot be installed beside the other: its method's arguments and errors are here."""
    module = types.ModuleType("elasticsearch.transport")

    class TransportError(Exception):
        status_code = 429

    class Transport:
        hosts = [{"host": "es.example", "port": 9200}]

        def perform_request(self, method, url, headers=None, params=None, body=None):
            if "busy" in url:
                raise TransportError
            return {"url": url}

    Transport.__module__ = module.__name__
    module.Transport = Transport
    with watching("nothing") as seen:
        undo = search.elastic_7(module)
        assert Transport().perform_request("GET", "/i/_doc/1", params={})["url"] == "/i/_doc/1"
        Transport().perform_request("PUT", url="/i/_doc/1", params={"op_type": "create"})
        with pytest.raises(TransportError):
            Transport().perform_request("POST", "/busy/_search")
        undo()
        Transport().perform_request("GET", "/i/_doc/1")
        name = "elasticsearch"
        assert seen.spread(DURATION, name, "get", "es.example", "")[0] == 1
        assert seen.spread(DURATION, name, "create", "es.example", "")[0] == 1
        assert seen.spread(DURATION, name, "search", "es.example", "429")[0] == 1
        borrowed = types.ModuleType("elsewhere.transport")
        borrowed.Transport = Transport
        search.elastic_7(borrowed)  # counted where it is made
        Transport().perform_request("GET", "/i/_doc/1")
        assert seen.spread(DURATION, name, "get")[0] == 1


def test_a_failure_of_the_instrument_is_not_the_client_s(engine, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("the monitor's own fault")

    with watching("elasticsearch") as seen:
        plain = search.ELASTIC.asks
        monkeypatch.setattr(search.ELASTIC, "asks", broken)
        monkeypatch.setattr(search.ELASTIC, "answers", broken)
        client = opened("elasticsearch", engine)
        for _ in range(3):
            assert client.info()["name"] == "n"
        assert "switched off" in seen.told[-1]
        seen.told.clear()
        monkeypatch.setattr(search.ELASTIC, "asks", plain)
        client.close()


def test_at_the_end_the_clients_are_as_before():
    import elastic_transport
    import opensearchpy.transport

    def methods():
        return [
            elastic_transport.Transport.perform_request,
            elastic_transport.AsyncTransport.perform_request,
            opensearchpy.transport.Transport.perform_request,
            opensearchpy.AsyncTransport.perform_request,
            *(vars(pysolr.Solr)[name] for name in ("search", "add", "_send_request")),
        ]

    plain = methods()
    with watching("elasticsearch", "opensearchpy", "pysolr"):
        assert all(new is not old for new, old in zip(methods(), plain, strict=True))
    assert methods() == plain
