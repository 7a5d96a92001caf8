"""One connection, a state machine that is always owned by exactly one thread.

Parked (READING, READY, BODY, WRITING, DRAINING, LINGERING) it belongs to the holder of its group's
baton; RUNNING, to the worker that runs its handler; QUEUED, to whoever takes it from the queue.
The owner gives it back by arming the poller, which is therefore always the last thing it does.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ..wire.errors import BODY_TOO_LARGE as TOO_LARGE
from ..wire.errors import RESPONSE_TOO_LONG, ProtocolError
from ..wire.http1.bodies import BodyLimits, ChunkedBody, LengthBody
from ..wire.http1.requests import RequestHead, parse_head
from ..wire.http1.responses import CONTINUE, ResponseHead, error_response, response_head
from .counters import (
    BYTES_IN,
    BYTES_OUT,
    CLASS,
    CLOSED,
    HANDLER_ERRORS,
    PARSE_ERRORS,
    REQUESTS,
    RESETS,
    RESPONSES,
    TIMEOUTS_BODY,
    TIMEOUTS_HEAD,
    TIMEOUTS_IDLE,
    TIMEOUTS_WRITE,
)
from .deadlines import GRAIN, NEVER
from .exchange import Exchange
from .gateway import FileWrapper, close_body
from .input import EMPTY, RECV, StreamInput
from .output import Pending, Stream, Truncated, as_bytes, open_stream
from .poller import IN, MUTE, OUT

if TYPE_CHECKING:
    from .group import Group
    from .listeners import Listener
    from .workers import Worker

READING, READY, BODY, QUEUED, RUNNING, WRITING, DRAINING, LINGERING, CLOSED_STATE = range(9)
GRACE = 1.0  # a client that honours Keep-Alive: timeout=N must never meet a reset
JOIN = 65536  # below this, copying head and body together is cheaper than sendmsg
HARD_RESET = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}: close() sends RST


class Connection:
    """A peer's socket and how far its present exchange has come."""

    __slots__ = (
        "__weakref__",
        "body_since",
        "buffer",
        "closing",
        "deadline",
        "decoder",
        "due",
        "environ",
        "expect",
        "fd",
        "gathered",
        "gone",
        "group",
        "head",
        "keep_alive",
        "last",
        "listener",
        "mask",
        "pending",
        "plain",
        "received",
        "recv",
        "remote",
        "scheme",
        "send",
        "sock",
        "state",
        "stream",
        "worker",
    )

    worker: Worker
    head: RequestHead

    def __init__(self, group: Group, sock: socket.socket, remote: Any, listener: Listener) -> None:
        self.group = group
        self.sock = sock
        self.fd = sock.fileno()
        self.recv = sock.recv
        self.send = sock.send
        self.plain = True  # the descriptor itself carries the bytes: sendfile and sendmsg serve
        self.scheme = "http"
        self.remote: tuple[str, int] = remote[:2] if type(remote) is tuple else ("", 0)
        self.listener = listener
        self.state = READING
        self.mask = IN
        self.deadline = NEVER
        self.due: int | None = None
        self.buffer: bytes | bytearray = b""  # received, not yet understood
        self.last: RequestHead | None = None
        self.environ: dict[str, Any] | None = None
        self.decoder: Any = None  # of a request body that is not read to its end
        self.expect = False  # 100 Continue is awaited
        self.keep_alive = True
        self.gone = False
        self.pending: Pending | None = None
        self.stream: Stream | None = None
        self.closing: Any = None  # the body to close when it has gone out

    @property
    def local(self) -> tuple[str, int]:
        """Our end's (address, port); (path, 0) on a unix socket."""
        address = self.listener.address
        if not isinstance(address, tuple):
            return (os.fsdecode(address), 0)
        try:
            name = self.sock.getsockname()
        except OSError:
            name = address
        return (name[0], name[1])

    # -- parked: the holder of the baton ------------------------------------------------------

    def on_event(self, mask: int, worker: Worker) -> bool:
        """Go on with what arrived; False when the baton has left this worker meanwhile."""
        if self.state != READING:
            return STEPS[self.state](self, mask, worker)
        try:
            data = self.recv(RECV)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
            worker.counts[RESETS] += 1
        if not data:
            self.close(worker)
            return True
        worker.counts[BYTES_IN] += len(data)
        if self.buffer:
            return self.more_head(data, worker)
        return self.parse(data, worker)

    def more_head(self, data: bytes, worker: Worker) -> bool:
        """Add to a head that came in pieces; only a line end can complete it."""
        self.buffer = buffer = (
            self.buffer if type(self.buffer) is bytearray else bytearray(self.buffer)
        )
        buffer += data
        if b"\n" not in data and len(buffer) <= self.group.settings.max_request_line:
            return True
        return self.parse(bytes(buffer), worker)

    def parse(self, data: bytes, worker: Worker) -> bool:
        """Read a head at the front of `data` and go on with its request when it is complete."""
        group = self.group
        try:
            head = parse_head(data, group.limits, self.last)
        except ProtocolError as error:
            worker.counts[PARSE_ERRORS] += 1
            self.buffer = b""
            self.refuse(error.status, error.text, worker)
            return True
        if head is None:
            if not self.buffer or self.state == READY:
                group.wheel.set(self, worker.now + group.settings.head_timeout)
            self.state = READING
            if len(data) != len(self.buffer):
                self.buffer = data
            self.interest(IN)
            return True
        self.state = READING
        self.last = head
        size = head.size
        if head.length or head.chunked:
            return self.begin_body(head, data[size:], worker)
        self.buffer = data[size:] if size < len(data) else b""
        return worker.dispatch(self, head, EMPTY)

    def go_on(self, worker: Worker) -> bool:
        """READY: its turn to have the next request of its buffer read."""
        if self.state != READY:
            return True
        return self.parse(bytes(self.buffer), worker)

    def begin_body(self, head: RequestHead, rest: bytes, worker: Worker) -> bool:
        """Start the handler when the body is here, else gather it without a thread."""
        settings = self.group.settings
        length = head.length
        if length is not None and settings.max_body and length > settings.max_body:
            self.buffer = b"\n"  # something is unread: linger
            self.refuse(413, TOO_LARGE, worker)
            return True
        if length is not None and len(rest) >= length:
            self.buffer = rest[length:]
            return worker.dispatch(self, head, BytesIO(rest[:length]))
        self.buffer = b""
        self.head = head
        self.decoder = (
            ChunkedBody(BodyLimits(settings.max_body)) if length is None else LengthBody(length)
        )
        self.expect = head.expect
        self.body_since = worker.now
        self.received = 0
        self.gathered = bytearray()
        if not self.gather(rest, worker):
            return True
        if self.decoder.done or head.expect or len(self.gathered) >= settings.body_buffer:
            return self.start(worker)
        self.state = BODY
        self.group.wheel.set(self, self.body_deadline())
        self.interest(IN)
        return True

    def body_deadline(self) -> float:
        """When a body that comes slower than body_min_rate is given up."""
        settings = self.group.settings
        return self.body_since + settings.body_timeout + self.received / settings.body_min_rate

    def gather(self, data: bytes, worker: Worker) -> bool:
        """Decode body bytes; False when they were refused."""
        try:
            data = self.decoder.feed(data) if data else b""
        except ProtocolError as error:
            worker.counts[PARSE_ERRORS] += 1
            self.refuse(error.status, error.text, worker)
            return False
        self.gathered += data
        self.received += len(data)
        return True

    def on_body(self, mask: int, worker: Worker) -> bool:
        """BODY: gather until the body is whole or the buffer full."""
        try:
            data = self.recv(RECV)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
            worker.counts[RESETS] += 1
        if not data:
            self.close(worker)
            return True
        worker.counts[BYTES_IN] += len(data)
        if not self.gather(data, worker):
            return True
        if self.decoder.done or len(self.gathered) >= self.group.settings.body_buffer:
            return self.start(worker)
        self.deadline = self.body_deadline()
        return True

    def start(self, worker: Worker) -> bool:
        """Hand the gathered request to its handler."""
        data, self.gathered = bytes(self.gathered), bytearray()
        self.state = READING
        body: Any
        if self.decoder.done:
            self.buffer = self.decoder.rest
            self.decoder = None
            body = BytesIO(data) if data else EMPTY
        else:
            body = StreamInput(self, data)
        head = self.head
        del self.head
        return worker.dispatch(self, head, body)

    def on_writable(self, mask: int, worker: Worker) -> bool:
        """WRITING: send more of the response."""
        pending = self.pending
        assert pending is not None
        before = pending.sent
        try:
            done = pending.flush(self)
        except (OSError, Truncated):
            worker.counts[RESETS] += 1
            self.close(worker)
            return True
        worker.counts[BYTES_OUT] += pending.sent - before
        if done:
            self.pending = None
            self.response_done(worker)
        else:
            self.deadline = pending.deadline(self.group.settings)
        return True

    def on_drain(self, mask: int, worker: Worker) -> bool:
        """DRAINING: throw away the rest of a request body, so that the connection lives on."""
        decoder = self.decoder
        try:
            data = self.recv(RECV)
            if not data:
                raise ConnectionResetError
            worker.counts[BYTES_IN] += len(data)
            self.received += len(decoder.feed(data))
        except BlockingIOError:
            return True
        except (OSError, ProtocolError):
            self.close(worker)
            return True
        if decoder.done:
            self.buffer = decoder.rest
            self.next_request(worker)
        elif self.received > self.group.settings.drain_limit:
            self.keep_alive = False
            self.close_gently(worker)
        return True

    def on_linger(self, mask: int, worker: Worker) -> bool:
        """LINGERING: what we sent must be read before a reset could destroy it."""
        try:
            data = self.recv(RECV)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.close(worker)
        return True

    def on_running(self, mask: int, worker: Worker) -> bool:
        """RUNNING or QUEUED: the peer is gone, or takes more of a stream."""
        if mask & OUT and self.stream is not None:
            self.stream.flush()
        elif mask & ~(IN | OUT):
            self.gone = True
            if self.mask != MUTE:
                self.mask = MUTE
                self.group.poller.arm(self.fd, MUTE)
        return True

    def on_nothing(self, mask: int, worker: Worker) -> bool:
        """READY or closed: its turn comes, or never."""
        return True

    def on_deadline(self, worker: Worker, now: float) -> None:
        """A deadline has passed (the holder sweeps)."""
        counts, state = worker.counts, self.state
        if state == READING:
            if self.buffer:
                counts[TIMEOUTS_HEAD] += 1
                self.refuse(408, "The request head came too slowly.", worker)
                return
            counts[TIMEOUTS_IDLE] += 1
        elif state == BODY:
            counts[TIMEOUTS_BODY] += 1
            self.refuse(408, "The request body came too slowly.", worker)
            return
        elif state == WRITING:
            counts[TIMEOUTS_WRITE] += 1
            self.reset_on_close()
        elif state == DRAINING:
            counts[TIMEOUTS_BODY] += 1
        elif state == RUNNING:
            stream = self.stream
            if stream is None:
                return
            late = stream.pending.deadline(self.group.settings)
            if late > now:
                self.group.wheel.set(self, late)
                return
            counts[TIMEOUTS_WRITE] += 1
            self.gone = True
            self.shutdown()
            return
        elif state != LINGERING:
            return
        self.close(worker)

    # -- running: the worker that has the handler ----------------------------------------------

    def serve(self, worker: Worker, exchange: Exchange) -> None:
        """Call the gateway and send what it returns."""
        self.worker = worker
        worker.counts[REQUESTS] += 1
        try:
            status, headers, body = worker.gateway(exchange)
        except BaseException as error:
            worker.back()
            self.failed(worker, exchange, error)
            return
        kind = type(body)
        if exchange.stream is None:
            if kind is bytes:
                worker.back()
                self.respond(worker, exchange, status, headers, body, None)
                return
            if kind is list or kind is tuple:
                worker.back()
                if len(body) == 1 and type(body[0]) is bytes:
                    self.respond(worker, exchange, status, headers, body[0], None)
                else:
                    self.respond_list(worker, exchange, status, headers, body)
                return
            if kind is FileWrapper:
                span = body.span()
                if span is not None and hasattr(os, "sendfile"):
                    worker.back()
                    self.respond_file(worker, exchange, status, headers, body, span)
                    return
        self.pull(worker, exchange, status, headers, body)

    def make_head(
        self, exchange: Exchange, status: str, headers: Any, length: int | None
    ) -> ResponseHead:
        """The response head; decides whether the connection lives on. ValueError: not sendable."""
        request, group = exchange.head, self.group
        keep = request.keep_alive and group.persistent
        if self.decoder is not None and keep:
            keep = self.may_drain(request)
        head = response_head(
            status,
            headers,
            request=request,
            keep_alive=keep,
            body_length=length,
            suffix=group.suffix if keep else group.suffix_close,
            protocol=group.settings.protocol,
        )
        self.keep_alive = head.keep_alive
        if self.expect and head.keep_alive:
            self.send_continue()
        return head

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
        if head.framing == "none":
            data, parts = b"", None
        elif head.framing == "length" and head.length != length:
            promised: int = head.length or 0
            if length > promised:
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
                sent = self.send(data)
                if sent == len(data):
                    counts[BYTES_OUT] += sent
                    if self.keep_alive and not self.buffer and self.mask == IN:
                        if self.decoder is None and worker.holding:
                            deadline = worker.now + self.group.idle_timeout
                            if self.due is not None and deadline >= self.due * GRAIN:
                                self.deadline = deadline
                                return
                    self.response_done(worker)
                    return
                rest = deque((memoryview(data)[sent:],))
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
            worker.back()
            self.failed(worker, exchange, error)
            return
        close_body(body, log)
        worker.back()
        self.stream = None
        if not whole:
            self.keep_alive = False
        with stream.lock:
            pending = stream.pending
            left = bool(pending.parts)
        if self.gone:
            worker.counts[RESETS] += 1
            self.close(worker)
        elif left:
            self.write_later(pending, worker)
        else:
            self.response_done(worker)

    def failed(self, worker: Worker, exchange: Exchange, error: BaseException) -> None:
        """A gateway or its body raised: answer if nothing was sent, else leave it incomplete."""
        server = self.group.server
        stream = exchange.stream
        self.stream = None
        if not isinstance(error, Exception):
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
            if stream is not None and stream.pending.parts and not self.gone:
                stream.flush()
            worker.counts[RESETS] += self.gone
            if stream is not None and stream.framing != "length":
                self.close(worker)
            else:
                self.keep_alive = False
                self.close_gently(worker)
            return
        self.refuse(status, text, worker)

    # -- either owner ------------------------------------------------------------------------

    def refuse(self, status: int, text: str, worker: Worker, *headers: tuple[str, str]) -> None:
        """Answer with plain text, then close so that the answer can be read."""
        self.keep_alive = False
        counts = worker.counts
        counts[RESPONSES] += 1
        counts[CLASS[str(status)[0]]] += 1
        data = error_response(status, text, suffix=self.group.suffix_close, headers=list(headers))
        try:
            sent = self.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            counts[RESETS] += 1
            self.close(worker)
            return
        counts[BYTES_OUT] += sent
        if sent < len(data):
            self.write_later(Pending(deque((memoryview(data)[sent:],))), worker)
        else:
            self.close_gently(worker, True)

    def send_continue(self) -> None:
        """Tell the peer once that its body is wanted (RFC 9110 10.1.1)."""
        if self.expect:
            self.expect = False
            try:
                self.send(CONTINUE)
            except OSError:
                pass  # a peer that is gone or floods us: the next read or write will tell

    def write_later(self, pending: Pending, worker: Worker) -> None:
        """Leave the rest of a response to the poller."""
        self.pending = pending
        self.state = WRITING
        self.set_deadline(pending.deadline(self.group.settings))
        self.interest(OUT)

    def response_done(self, worker: Worker) -> None:
        """The whole response is in the kernel's hands."""
        if self.closing is not None:
            body, self.closing = self.closing, None
            close_body(body, self.group.server.log)
        self.pending = None
        decoder = self.decoder
        if not self.keep_alive:
            self.close_gently(worker, decoder is not None)
        elif decoder is None:
            self.next_request(worker)
        elif decoder.done:
            self.buffer = decoder.rest
            self.next_request(worker)
        else:
            self.received = 0
            self.state = DRAINING
            self.set_deadline(time.monotonic() + self.group.settings.body_timeout)
            self.interest(IN)

    def next_request(self, worker: Worker) -> None:
        """Wait for the next head, or take the one that is here already."""
        group = self.group
        self.decoder = None
        if not group.persistent:
            self.close_gently(worker)
        elif self.buffer:
            self.state = READY
            group.ready.append(self)
            if not worker.holding:
                group.poller.wake()
        else:
            self.state = READING
            self.set_deadline(time.monotonic() + group.idle_timeout)
            self.interest(IN)

    def set_deadline(self, deadline: float) -> None:
        """Move the deadline, from any owner; a sleeping holder is woken for a sooner one."""
        group = self.group
        group.wheel.set(self, deadline)
        if deadline < group.wake_at:
            group.poller.wake()

    def interest(self, mask: int) -> None:
        """Say what to wait for. From a running worker this gives the connection back."""
        if mask != self.mask:
            self.mask = mask
            try:
                self.group.poller.arm(self.fd, mask)
            except (OSError, ValueError):
                pass  # closed meanwhile, by a stop that lost patience

    def close_gently(self, worker: Worker, unread: bool = False) -> None:
        """Close; when the peer still sends, read on a little, lest a reset eat our answer."""
        if not unread and not self.buffer:
            self.close(worker)
            return
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(worker)
            return
        self.buffer = b""
        self.state = LINGERING
        self.set_deadline(time.monotonic() + self.group.settings.linger_timeout)
        self.interest(IN)

    def reset_on_close(self) -> None:
        """Make close() send RST: nothing more of this response shall be believed."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD_RESET)
        except OSError:
            pass

    def shutdown(self) -> None:
        """Wake whoever waits on this socket; its owner will close it."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self, worker: Worker) -> None:
        """End the connection, once."""
        if self.state == CLOSED_STATE:
            return
        self.state = CLOSED_STATE
        group = self.group
        group.wheel.drop(self)
        if group.conns.get(self.fd) is self:
            del group.conns[self.fd]
        group.poller.remove(self.fd)
        self.sock.close()
        worker.counts[CLOSED] += 1
        self.pending = None
        if self.closing is not None:
            body, self.closing = self.closing, None
            close_body(body, group.server.log)



STEPS = {
    READY: Connection.on_nothing,
    BODY: Connection.on_body,
    QUEUED: Connection.on_running,
    RUNNING: Connection.on_running,
    WRITING: Connection.on_writable,
    DRAINING: Connection.on_drain,
    LINGERING: Connection.on_linger,
    CLOSED_STATE: Connection.on_nothing,
}
