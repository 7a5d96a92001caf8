"""As much of MongoDB's wire protocol as its client needs: OP_MSG, and a few commands on lists.

There is no package of Debian's of the server. The client is the real one.
"""

from __future__ import annotations

import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

OP_MSG = 2013


class Session(socketserver.BaseRequestHandler):
    collections: dict[str, list[Any]]

    def handle(self) -> None:
        while (head := self.read(16)) is not None:
            length, request, _, code = struct.unpack("<iiii", head)
            body = self.read(length - 16)
            if body is None or code != OP_MSG:
                return
            self.answer(request, self.told(body))

    def read(self, length: int) -> bytes | None:
        got = b""
        while len(got) < length:
            try:
                more = self.request.recv(length - len(got))
            except OSError:
                return None
            if not more:
                return None
            got += more
        return got

    def told(self, body: bytes) -> dict[str, Any]:
        """The command of a message: a document, and lists of documents beside it."""
        import bson

        command: dict[str, Any] = {}
        at = 4
        while at < len(body):
            kind, size = body[at], struct.unpack_from("<i", body, at + 1)[0]
            part = body[at + 1 : at + 1 + size]
            if kind == 0:
                command = {**bson.decode(part), **command}
            else:
                end = part.index(0, 4)
                command[part[4:end].decode()] = bson.decode_all(part[end + 1 :])
            at += 1 + size
        return command

    def answer(self, request: int, command: dict[str, Any]) -> None:
        import bson

        name = next(word for word in command if word != "documents")
        said = bson.encode({**self.run(name, command), "ok": 1.0} if name != "broken" else WRONG)
        body = struct.pack("<IB", 0, 0) + said
        self.request.sendall(struct.pack("<iiii", 16 + len(body), 1, request, OP_MSG) + body)

    def run(self, name: str, command: dict[str, Any]) -> dict[str, Any]:
        if name == "hello":
            sizes = {"maxBsonObjectSize": 1 << 24, "maxMessageSizeBytes": 48_000_000}
            wire = {"minWireVersion": 0, "maxWireVersion": 25, "maxWriteBatchSize": 100_000}
            return {"helloOk": True, "isWritablePrimary": True, "readOnly": False, **sizes, **wire}
        if name == "insert":
            rows = self.collections.setdefault(command["insert"], [])
            rows += command["documents"]
            return {"n": len(command["documents"])}
        if name == "find":
            time.sleep(command.get("filter", {}).get("nap", 0))
            rows = self.collections.get(command["find"], [])
            ns = f"{command['$db']}.{command['find']}"
            return {"cursor": {"id": 0, "ns": ns, "firstBatch": rows}}
        return {}


WRONG = {"ok": 0.0, "errmsg": "no such command: broken", "code": 59, "codeName": "CommandNotFound"}


class Mongo(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture(scope="module")
def mongo() -> Iterator[int]:
    """The port of a server."""
    server = Mongo(("127.0.0.1", 0), type("One", (Session,), {"collections": {}}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join(10)
    server.server_close()
