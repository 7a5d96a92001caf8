"""Search engines: the method of a client through which a request to its servers goes.

A call is in the layer `db`: the requests over HTTP that it makes are not those of a service besides.
Law: of a request its method and the words of the interface are looked at, not names, ids or bodies.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..patches import Patches
from ..shards import own
from ..table import stores
from ..traces import DB
from .awaits import Wait, covered, uncover
from .databases import DURATION, ERRORS, database
from .guard import guard_of

OPERATION = stores.SEARCH_OPERATION_DURATION

#: A request that is none of those.
OTHER = "_OTHER"

#: Words of searches.
_SEARCHES = (
    *("_search", "_msearch", "_count", "_async_search", "_eql", "_sql", "_query"),
    *("_knn_search", "_mvt", "_rank_eval", "_ppl"),
)
#: What the words of a path say that a request is, by its method; "" stands for any other.
_WORDS: dict[str, dict[str, str]] = {
    "_doc": {"GET": "get", "HEAD": "get", "PUT": "index", "POST": "index", "DELETE": "delete"},
    "_source": {"GET": "get", "HEAD": "get"},
    "_mget": {"": "get"},
    "_create": {"": "create"},
    "_update": {"": "update"},
    "_update_by_query": {"": "update"},
    "_delete_by_query": {"": "delete"},
    "_bulk": {"": "bulk"},
    **{word: {"GET": "search", "POST": "search"} for word in _SEARCHES},
}

#: What is no error but an answer: there is no such document.
_MISSING = "404"


def operation_of(method: Any, target: Any, params: Any = None) -> str:
    """What a request is: get, index, search, ...

    target
        Its path, with or without a query.
    """
    path, _, query = str(target).partition("?")
    parts = [part for part in path.split("/") if part]
    # Names of indices do not begin with an underscore; ids may, but they come later.
    word = next((part for part in parts if part[0] == "_"), "")
    if not word and len(parts) == 3:  # index, type and id, as it was until 7
        word = "_doc"
    named = _WORDS.get(word, {})
    found = named.get(str(method).upper()) or named.get("", OTHER)
    if found == "index" and ("op_type=create" in query or _asked(params) == "create"):
        return "create"
    return found


def _asked(params: Any) -> Any:
    return params.get("op_type") if isinstance(params, dict) else None


class Engine:
    """Counts the requests of one library.

    system
        As OpenTelemetry names it: 'elasticsearch'.
    library
        Whose instrument this is.
    asks
        Returns the operation of a method's arguments.
    answers
        Returns the server that has answered, and what kind of error that was or '', of a client and
        what its method has returned.
    """

    def __init__(
        self,
        system: str,
        library: str,
        asks: Callable[..., str],
        answers: Callable[[Any, Any], tuple[str, str]],
    ) -> None:
        self.system = system
        self.library = library
        self.asks = asks
        self.answers = answers

    def method(self, plain: Any) -> Any:
        """Return a counting method."""

        def perform_request(client: Any, *args: Any, **kwargs: Any) -> Any:
            if covered.get():
                return plain(client, *args, **kwargs)
            asked = self._asked(args, kwargs)
            token = covered.set(True)
            trace = own.trace
            before = trace.enter(DB)
            began = trace.since
            try:
                answer = plain(client, *args, **kwargs)
            except BaseException as error:
                took = trace.leave(before, f"{self.system} {asked}", began) - began
                self.count(took, asked, client, None, error)
                raise
            finally:
                uncover(token)
            took = trace.leave(before, f"{self.system} {asked}", began) - began
            self.count(took, asked, client, answer)
            return answer

        return perform_request

    def coroutine(self, plain: Any) -> Any:
        """The same for an `async` method."""

        async def perform_request(client: Any, *args: Any, **kwargs: Any) -> Any:
            asked = self._asked(args, kwargs)
            token = covered.set(True)
            wait = Wait(DB)
            try:
                answer = await plain(client, *args, **kwargs)
            except BaseException as error:
                self.count(wait.end(f"{self.system} {asked}"), asked, client, None, error)
                raise
            finally:
                uncover(token)
            self.count(wait.end(f"{self.system} {asked}"), asked, client, answer)
            return answer

        return perform_request

    def _asked(self, args: Any, kwargs: Any) -> str:
        try:
            return self.asks(*args, **kwargs)
        except Exception as error:
            guard_of(self.library).failed(error)
            return OTHER

    def count(
        self, took: float, asked: str, client: Any, answer: Any, error: BaseException | None = None
    ) -> None:
        """Count a call."""
        try:
            address, kind = self.answers(client, answer)
            if error is not None:
                kind = _kind(error)
            server = database(self.system, address, self.library).address
            OPERATION.observe(took, (self.system, asked))
            DURATION.observe(took, (self.system, asked, server, kind))
            if kind and kind != _MISSING:
                ERRORS.add(1, (self.system, kind))
        except Exception as more:
            guard_of(self.library).failed(more)


def _kind(error: BaseException) -> str:
    """The status that a server has answered with, or the name of an exception."""
    status = getattr(error, "status_code", None)
    return str(status) if type(status) is int else type(error).__name__


# -- Elasticsearch, OpenSearch ---------------------------------------------------------------------


def _request(method: Any = "", target: Any = "", *args: Any, **kwargs: Any) -> str:
    """The operation of `perform_request`, whose path is called `target` or `url`."""
    params = kwargs.get("params") or (args[0] if args else None)
    return operation_of(method, target or kwargs.get("url", ""), params)


def _answered(transport: Any, answer: Any) -> tuple[str, str]:
    """What `elastic_transport` returns holds the status; it is the client above it that raises."""
    meta = getattr(answer, "meta", None)
    if meta is None:
        return _first(transport.node_pool.all(), "host"), ""
    status = int(meta.status)
    missing = status == 404 and not answer.body  # of HEAD, which asks whether it is there
    return str(meta.node.host), str(status) if status >= 400 and not missing else ""


def _first(nodes: Any, name: str) -> str:
    """The server that a client has been told of first."""
    node = next(iter(nodes), None)
    found = node.get(name) if isinstance(node, dict) else getattr(node, name, None)
    return str(found or "")


def _of_hosts(transport: Any, answer: Any) -> tuple[str, str]:
    return _first(getattr(transport, "hosts", None) or (), "host"), ""


ELASTIC = Engine("elasticsearch", "elasticsearch", _request, _answered)
ELASTIC_7 = Engine("elasticsearch", "elasticsearch", _request, _of_hosts)
OPENSEARCH = Engine("opensearch", "opensearchpy", _request, _of_hosts)


def elastic(module: Any) -> Callable[[], object]:
    """Have the requests of Elasticsearch's clients counted, from version 8 on: of `elastic_transport`."""
    patches = Patches()
    patches.method(module.Transport, "perform_request", ELASTIC.method)
    patches.method(module.AsyncTransport, "perform_request", ELASTIC.coroutine)
    return patches.end


def elastic_7(module: Any) -> Callable[[], object]:
    """The same of version 7, of `elasticsearch.transport` or `elasticsearch._async.transport`."""
    return _transports(module, ELASTIC_7, "elasticsearch")


def opensearch(module: Any) -> Callable[[], object]:
    """The same of OpenSearch, of `opensearchpy.transport` or `opensearchpy._async.transport`."""
    return _transports(module, OPENSEARCH, "opensearchpy")


def _transports(module: Any, engine: Engine, library: str) -> Callable[[], object]:
    patches = Patches()
    for name, make in (("Transport", engine.method), ("AsyncTransport", engine.coroutine)):
        found = vars(module).get(name)
        if found is not None and found.__module__ == module.__name__:  # it may be borrowed
            patches.method(found, "perform_request", make)
    return patches.end


# -- Solr ------------------------------------------------------------------------------------------

#: Methods of pysolr, and what they are.
_SOLR = {
    "search": "search",
    "more_like_this": "search",
    "suggest_terms": "search",
    "add": "index",
    "extract": "index",
    "delete": "delete",
    "commit": OTHER,
    "optimize": OTHER,
    "_send_request": OTHER,  # whatever else there is
}


def _solr_server(client: Any, answer: Any) -> tuple[str, str]:
    split = import_module("urllib.parse").urlsplit
    return str(split(str(getattr(client, "url", ""))).hostname or ""), ""


def solr(module: Any) -> Callable[[], object]:
    """Have the requests of Solr's client counted: of `pysolr`."""
    patches = Patches()
    for name, operation in _SOLR.items():
        engine = Engine("solr", "pysolr", _always(operation), _solr_server)
        patches.method(module.Solr, name, engine.method)
    return patches.end


def _always(operation: str) -> Callable[..., str]:
    return lambda *args, **kwargs: operation
