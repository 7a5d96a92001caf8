"""From a complete request to its response: the half of a connection that runs in a worker."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any

from ..wire.errors import RESPONSE_TOO_LONG, ProtocolError
from ..wire.http1.requests import RequestHead
from ..wire.http1.responses import ResponseHead, around_value, response_head, with_value
from .counters import BYTES_OUT, CLASS, HANDLER_ERRORS, REQUESTS, RESETS, RESPONSES
from .deadlines import GRAIN
from .exchange import Exchange
from .gateway import Closing, FileWrapper, Handover, Upgrade, close_body, single
from .input import StreamInput
from .link import RUNNING, Link
from .output import Pending, Truncated, as_bytes, open_stream
from .poller import IN

if TYPE_CHECKING:
    from .workers import Worker

JOIN = 65536  # below this, copying head and body together is cheaper than sendmsg
MEMOS = 512  # paths whose last response head is remembered


def alike_but_last(memo: Any, facts: tuple[Any, ...]) -> ResponseHead | None:
    """The head of a reply that differs in the value of its last field, as cookies do; None for another one."""
    known, head, around = memo
    headers, before = facts[5], known[5]
    if (
        around is None
        or type(headers) is not list
        or len(headers) != len(before)
        or known[:5] != facts[:5]
        or headers[:-1] != before[:-1]
    ):
        return None
    name, value = headers[-1]
    return with_value(head, around, value) if name == before[-1][0] else None


class Replies(Link):
    """What the worker that runs a handler does with the connection."""

    __slots__ = ()

    def serve(self, worker: Worker, exchange: Exchange) -> None:
        """Call the gateway and send what it returns."""
        self.worker = worker
        worker.counts[REQUESTS] += 1
        try:
            status, headers, body = worker.gateway(exchange)
        except BaseException as error:
            self.failed(worker, exchange, error)
            return
        if type(body) is bytes and exchange.stream is None:
            if worker.back():
                self.respond(worker, exchange, status, headers, body, None)
            return
        self.reply(worker, exchange, status, headers, body)

    def reply(
        self, worker: Worker, exchange: Exchange, status: str, headers: Any, body: Any
    ) -> None:
        """Send what a gateway has returned, whatever kind of body it is."""
        kind = type(body)
        if exchange.stream is None:
            if kind is bytes:
                if worker.back():
                    self.respond(worker, exchange, status, headers, body, None)
                return
            if kind is list or kind is tuple:
                if not worker.back():
                    return
                if len(body) == 1 and type(body[0]) is bytes:
                    self.respond(worker, exchange, status, headers, body[0], None)
                else:
                    self.respond_list(worker, exchange, status, headers, body)
                return
            if kind is FileWrapper:
                span = body.span()
                if span is not None and hasattr(os, "sendfile"):
                    if worker.back():
                        self.respond_file(worker, exchange, status, headers, body, span)
                    else:
                        close_body(body, self.group.server.log)
                    return
            elif kind is Closing:
                self.respond_closing(worker, exchange, status, headers, body)
                return
            elif kind is Upgrade:
                if worker.back():  # else somebody has answered in our place
                    self.switch(worker, body)
                return
            elif kind is Handover:
                if worker.back():
                    body.begin(self, worker, exchange, status, headers)
                else:
                    body.lost(self)
                return
            elif hasattr(kind, "__len__"):
                try:
                    whole = single(body)
                except BaseException as error:
                    close_body(body, self.group.server.log)
                    self.failed(worker, exchange, error)
                    return
                if whole is not None:
                    self.respond_closing(worker, exchange, status, headers, whole)
                    return
        self.pull(worker, exchange, status, headers, body)

    def switch(self, worker: Worker, upgrade: Upgrade) -> None:
        """Let the connection go on as something else, which sends the 101 itself."""
        counts = worker.counts
        counts[RESPONSES] += 1
        counts[CLASS["1"]] += 1
        rest, self.buffer = bytes(self.buffer), b""
        upgrade.begin(self, worker, rest)

    def make_head(
        self, exchange: Exchange, status: str, headers: Any, length: int | None
    ) -> ResponseHead:
        """The response head; decides whether the connection lives on. ValueError: not sendable."""
        request, group = exchange.head, self.group
        keep = request.keep_alive and group.persistent
        if self.decoder is not None:
            if length is not None:
                self.end_input(exchange)
            keep = keep and self.may_drain(request)
        suffix = group.suffix if keep else group.suffix_close
        # A head is a function of what is compared here, in C: the same reply, within the second its
        # Date is good for, is not written twice. Stored once a second and path, so that replies
        # that always differ do not pay.
        facts = (suffix, request.minor, request.method, status, length, headers)
        path = self.worker.key
        memo = group.memo.get(path)
        if memo is not None and memo[0] == facts:
            head: ResponseHead = memo[1]
        else:
            alike = None if memo is None else alike_but_last(memo, facts)
            head = alike or self.write_head(request, status, headers, keep, length, suffix)
            if (memo is None or memo[0][0] is not suffix) and type(headers) is list:
                self.remember(path, facts, head)
        self.keep_alive = head.keep_alive
        if self.expect and head.keep_alive:
            self.send_continue()
        return head

    def remember(self, path: str, facts: tuple[Any, ...], head: ResponseHead) -> None:
        """Keep a response head, for paths that books are kept of."""
        group = self.group
        if path in group.means:
            if len(group.memo) >= MEMOS:
                group.memo.clear()
            copy = [tuple(pair) for pair in facts[5]]  # theirs may change
            around = around_value(head, *copy[-1]) if copy else None
            group.memo[path] = ((*facts[:5], copy), head, around)

    def write_head(
        self,
        request: RequestHead,
        status: str,
        headers: Any,
        keep: bool,
        length: int | None,
        suffix: bytes,
    ) -> ResponseHead:
        """Have the response head written."""
        return response_head(
            status,
            headers,
            request=request,
            keep_alive=keep,
            body_length=length,
            suffix=suffix,
            protocol=self.group.settings.protocol,
        )

    def end_input(self, exchange: Exchange) -> None:
        """The response is all there: what is left of the request body is the connection's."""
        body = exchange.body
        if type(body) is StreamInput:
            body.close()

    def may_drain(self, request: RequestHead) -> bool:
        """Whether the unread rest of the body is worth reading for another request."""
        decoder = self.decoder
        if decoder.done or request.length is None:
            return True
        return request.length - self.received <= self.group.settings.drain_limit

    def respond(
        self, worker: Worker, exchange: Exchange, status: str, headers: Any, data: Any, parts: Any
    ) -> None:
        """Send a response whose whole body is here: `data`, or `parts` of a big one."""
        try:
            length = len(data) if parts is None else sum(map(len, parts))
            head = self.make_head(exchange, status, headers, length)
        except Exception as error:
            self.failed(worker, exchange, error)
            return
        counts = worker.counts
        if head.length != length:  # None unless the framing is by length
            if head.framing == "none":
                data, parts = b"", None
            elif head.framing == "length":
                if length > (head.length or 0):
                    self.group.server.log(RESPONSE_TOO_LONG, 40)
                    self.refuse(500, RESPONSE_TOO_LONG, worker)
                    return
                self.keep_alive = False
        counts[RESPONSES] += 1
        if status[0] != "2":
            counts[CLASS[status[0]]] += 1
        try:
            if parts is None and len(data) <= JOIN:
                data = head.data + data
                if self.join_batch(worker, data):
                    return
                sent = self.send(data)
                if sent == len(data):
                    counts[BYTES_OUT] += sent
                    self.response_done(worker)
                    return
                rest: deque[Any] = deque((memoryview(data)[sent:],))
            else:
                views = [head.data, *(parts if parts is not None else (data,))]
                sent, rest = self.send_views(views)
        except BlockingIOError:
            sent, rest = 0, deque((data,)) if parts is None else deque((head.data, *parts))
        except OSError:
            counts[RESETS] += 1
            self.close(worker)
            return
        counts[BYTES_OUT] += sent
        if rest:
            self.write_later(Pending(rest), worker)
        else:
            self.response_done(worker)

    def join_batch(self, worker: Worker, data: bytes) -> bool:
        """Let `data`, the whole response, leave with those of its batch; False when it may not.

        Then the connection is as good as idle again: nothing but its deadline changes. One wake-up
        of the peer's process for many responses is what makes this worth while.
        """
        if (
            worker.holding
            and self.keep_alive
            and not self.buffer
            and self.mask == IN
            and self.decoder is None
        ):
            group = self.group
            deadline = worker.now + group.idle_timeout
            due = self.due
            if due is not None and deadline >= due * GRAIN:
                self.deadline = deadline  # the wheel finds out when the entry is due
                group.outbox.append((self, data))  # type: ignore[arg-type]  # every link is a connection
                return True
        return False

    def left_batch(self, worker: Worker) -> None:
        """The baton went while close() ran, and whoever took it has sent our response (`flush`)."""
        if self.gone:
            self.close(worker)
        elif self.pending is not None:
            self.write_later(self.pending, worker)
        else:
            self.response_done(worker)

    def send_views(self, views: list[Any]) -> tuple[int, deque[Any]]:
        """Send many pieces in one call; (bytes taken, what remains)."""
        try:
            if self.plain and hasattr(self.sock, "sendmsg"):
                sent = total = self.sock.sendmsg(views[:512])
            else:
                sent = total = self.send(views[0])
        except BlockingIOError:
            sent = total = 0
        rest: deque[Any] = deque()
        for view in views:
            size = len(view)
            if sent >= size:
                sent -= size
            elif sent:
                rest.append(memoryview(view)[sent:])
                sent = 0
            else:
                rest.append(view)
        return total, rest

    def respond_closing(
        self, worker: Worker, exchange: Exchange, status: str, headers: Any, body: Closing
    ) -> None:
        """Send a whole body whose owner wants to be told of the end of the request.

        close() is application code as the handler is: it runs in the same thread and under the
        same watch, when the peer or the poller has everything and before the next request.
        """
        data = body.data
        log = self.group.server.log
        if not worker.settle(self):
            close_body(body, log)
            return
        try:
            if type(data) is not bytes:
                data = as_bytes(data, self)
            length = len(data)
            head = self.make_head(exchange, status, headers, length)
        except Exception as error:
            close_body(body, log)
            self.failed(worker, exchange, error)
            return
        counts = worker.counts
        if head.framing == "none":
            data = b""
        elif head.length != length:
            if length > (head.length or 0):
                close_body(body, log)
                self.failed(worker, exchange, ValueError(RESPONSE_TOO_LONG))
                return
            self.keep_alive = False
        counts[RESPONSES] += 1
        if status[0] != "2":
            counts[CLASS[status[0]]] += 1
        try:
            if len(data) <= JOIN:
                data = head.data + data
                if self.join_batch(worker, data):
                    close_body(body, log)
                    worker.back()
                    if not worker.holding:
                        self.left_batch(worker)
                    return
                sent = self.send(data)
                rest: deque[Any] = deque()
                if sent < len(data):
                    rest.append(memoryview(data)[sent:])
            else:
                sent, rest = self.send_views([head.data, data])
        except BlockingIOError:
            sent, rest = 0, deque((data,))
        except OSError:
            counts[RESETS] += 1
            close_body(body, log)
            worker.back()
            self.close(worker)
            return
        counts[BYTES_OUT] += sent
        close_body(body, log)
        worker.back()
        if rest:
            self.write_later(Pending(rest), worker)
        else:
            self.response_done(worker)

    def respond_list(
        self, worker: Worker, exchange: Exchange, status: str, headers: Any, body: Any
    ) -> None:
        """Send a list of bytes: joined when small, gathered by the kernel when big."""
        try:
            parts = [item if type(item) is bytes else as_bytes(item, self) for item in body]
        except Exception as error:
            self.failed(worker, exchange, error)
            return
        if sum(map(len, parts)) <= JOIN:
            self.respond(worker, exchange, status, headers, b"".join(parts), None)
        else:
            self.respond(worker, exchange, status, headers, None, [p for p in parts if p])

    def respond_file(
        self, worker: Worker, exchange: Exchange, status: str, headers: Any, body: Any, span: Any
    ) -> None:
        """Send a file: the head now, the rest by the poller as the peer takes it."""
        fd, offset, count = span
        try:
            head = self.make_head(exchange, status, headers, count)
        except Exception as error:
            close_body(body, self.group.server.log)
            self.failed(worker, exchange, error)
            return
        if head.framing == "none":
            count = 0
        elif head.framing == "length":
            promised: int = head.length or 0
            if promised > count:
                self.keep_alive = False
            count = min(count, promised)
        counts = worker.counts
        counts[RESPONSES] += 1
        if status[0] != "2":
            counts[CLASS[status[0]]] += 1
        self.closing = body
        self.state = RUNNING
        pending = self.pending = Pending(deque((head.data,)), fd, offset, count)
        try:
            done = pending.flush(self)
        except (OSError, Truncated):
            counts[RESETS] += 1
            self.close(worker)
            return
        counts[BYTES_OUT] += pending.sent
        if done:
            self.response_done(worker)
        else:
            self.write_later(pending, worker)

    def pull(
        self, worker: Worker, exchange: Exchange, status: str, headers: Any, body: Any
    ) -> None:
        """Send a body that is made while it is sent. It stays in the thread that began it."""
        stream = exchange.stream
        log = self.group.server.log
        try:
            if stream is None:
                stream = open_stream(exchange, status, headers)
            if stream.framing != "none":
                for chunk in (body,) if type(body) is bytes else body:
                    stream.write(chunk)
            whole = stream.finish()
        except BaseException as error:
            close_body(body, log)
            self.failed(worker, exchange, error)
            return
        close_body(body, log)
        worker.back()
        if self.decoder is not None:
            self.end_input(exchange)
        stream.detach()
        if not whole:
            self.keep_alive = False
        if self.gone:
            worker.counts[RESETS] += 1
            self.close(worker)
        elif stream.pending.parts:
            self.write_later(stream.pending, worker)
        else:
            self.response_done(worker)

    def failed(self, worker: Worker, exchange: Exchange, error: BaseException) -> None:
        """A gateway or its body raised: answer if nothing was sent, else leave it incomplete."""
        server = self.group.server
        stream = exchange.stream
        if not worker.back():
            self.dropped(worker, stream, error)
            return
        if stream is not None:
            if stream.pending.sent and not self.gone:
                stream.flush()
            stream.detach()
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.reset_on_close()
            self.close(worker)
            server.interrupt = error
            return
        began = stream is not None and (stream.pending.sent > 0 or self.gone)
        status, text = 500, "The server encountered an unexpected condition."
        if isinstance(error, ProtocolError):
            status, text = error.status, error.text
        elif isinstance(error, ConnectionError) and self.gone:
            pass
        elif isinstance(error, ValueError) and error.args == (RESPONSE_TOO_LONG,):
            text = RESPONSE_TOO_LONG
            server.log(RESPONSE_TOO_LONG, 40)
        else:
            worker.counts[HANDLER_ERRORS] += 1
            server.log_error("error in the application", error)
        if began or self.gone:
            worker.counts[RESETS] += self.gone
            if stream is not None and stream.framing != "length":
                self.close(worker)
            else:
                self.keep_alive = False
                self.close_gently(worker)
            return
        if stream is not None:  # counted when it began, but nobody has seen anything of it
            worker.counts[RESPONSES] -= 1
            if stream.kind is not None:
                worker.counts[stream.kind] -= 1
        self.refuse(status, text, worker, method=exchange.head.method)

    def dropped(self, worker: Worker, stream: Any, error: BaseException) -> None:
        """A gateway raised after somebody else had answered: nothing of the connection is ours."""
        server = self.group.server
        if stream is not None:  # counted when it began, but nobody has seen anything of it
            worker.counts[RESPONSES] -= 1
            if stream.kind is not None:
                worker.counts[stream.kind] -= 1
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            server.interrupt = error
        elif not isinstance(error, ConnectionError):
            worker.counts[HANDLER_ERRORS] += 1
            server.log_error("error in the application", error)
