"""A search engine's interface over HTTP, as far as clients need it: what Elasticsearch, OpenSearch and
Solr document as requests and answers, with documents in a dictionary.

There is no package of Debian's of any of them. The clients are the real ones.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

import pytest
from drivers_kit import Service


class Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    documents: dict[str, dict[str, Any]]  # by index, by id

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = path.strip("/").split("/")
        if parts[0] == "solr":
            self.answer(*self.solr(parts[2], parse_qs(query), body), "application/json")
            return
        status, told = self.elastic(parts, query, body)
        asked = self.headers.get("Accept") or ""
        kind = asked if "vnd.elasticsearch+json" in asked else "application/json"
        self.answer(status, told, kind)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def answer(self, status: int, told: Any, kind: str) -> None:
        said = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    def elastic(self, parts: list[str], query: str, body: bytes) -> tuple[int, Any]:
        if parts == [""]:
            about = {"number": "9.1.0", "build_flavor": "default", "build_snapshot": False}
            return 200, {"name": "n", "version": about, "tagline": "You Know, for Search"}
        index = self.documents.setdefault(parts[0], {})
        word, id = (*parts[1:], "", "")[:2]
        if parts[0] == "broken":
            return 500, {"error": {"type": "broken", "reason": "it is"}, "status": 500}
        if word == "_search":
            hits = [{"_index": parts[0], "_id": id, "_source": doc} for id, doc in index.items()]
            total = {"value": len(hits), "relation": "eq"}
            return 200, {"took": 1, "timed_out": False, "hits": {"total": total, "hits": hits}}
        if parts[-1] == "_bulk":
            return 200, {"took": 1, "errors": False, "items": []}
        return self.document(index, parts[0], word, id or "made", query, body)

    def document(
        self, index: dict[str, Any], name: str, word: str, id: str, query: str, body: bytes
    ) -> tuple[int, Any]:
        about = {"_index": name, "_id": id, "_version": 1}
        there = id in index
        if self.command in ("GET", "HEAD"):
            found = {**about, "found": there, "_source": index.get(id)}
            return (200 if there else 404), found
        if self.command == "DELETE":
            index.pop(id, None)
            return (200 if there else 404), {**about, "result": "deleted" if there else "not_found"}
        if there and (word == "_create" or "op_type=create" in query):
            return 409, {"error": {"type": "version_conflict_engine_exception"}, "status": 409}
        told = json.loads(body)
        index[id] = {**index.get(id, {}), **told["doc"]} if word == "_update" else told
        return (200 if there else 201), {**about, "result": "updated" if there else "created"}

    def solr(self, handler: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        index = self.documents.setdefault("solr", {})
        head = {"status": 0, "QTime": 1}
        if handler == "select":
            if query["q"] == ["broken("]:
                return 400, {"responseHeader": head, "error": {"msg": "broken", "code": 400}}
            docs = list(index.values())
            found = {"numFound": len(docs), "start": 0, "docs": docs}
            return 200, {"responseHeader": head, "response": found}
        if body.startswith(b"<delete>"):
            for id in re.findall(rb"<id>(\w+)</id>", body):
                index.pop(id.decode(), None)
        elif b"<doc>" in body:
            for id in re.findall(rb'<field name="id">(\w+)</field>', body):
                index[id.decode()] = {"id": id.decode()}
        elif body.startswith(b"["):
            index.update({doc["id"]: doc for doc in json.loads(body)})
        return 200, {"responseHeader": head}

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def engine() -> Iterator[int]:
    """The port of a search engine."""
    server = Service(("127.0.0.1", 0), type("One", (Engine,), {"documents": {}}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join(10)
    server.server_close()
