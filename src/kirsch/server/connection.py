"""One connection, a state machine; here its parked half, which only the holder of the baton runs."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from ..wire.errors import BODY_TOO_LARGE, ProtocolError
from ..wire.http1.bodies import ChunkedBody, LengthBody
from ..wire.http1.requests import RequestHead, parse_head
from .counters import (
    BYTES_IN,
    BYTES_OUT,
    PARSE_ERRORS,
    RESETS,
    TIMEOUTS_BODY,
    TIMEOUTS_HEAD,
    TIMEOUTS_IDLE,
    TIMEOUTS_WRITE,
)
from .deadlines import patience
from .input import EMPTY, RECV, StreamInput
from .link import (
    BODY,
    CLOSED_STATE,
    DRAINING,
    LINGERING,
    QUEUED,
    READING,
    READY,
    RUNNING,
    WRITING,
)
from .output import Truncated
from .poller import IN, MUTE, OUT
from .replies import Replies

if TYPE_CHECKING:
    from .workers import Worker


class Connection(Replies):
    """A peer, from accept to close."""

    __slots__ = ()

    def on_event(self, mask: int, worker: Worker) -> bool:
        """Go on with an event in any state but READING, whose holder receives by itself."""
        return STEPS[self.state](self, mask, worker)

    def receive(self, worker: Worker) -> bytes:
        """Return what has come; nothing when that was an error or the end, which closes."""
        try:
            data = self.recv(RECV)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
            worker.counts[RESETS] += 1
        if data:
            worker.counts[BYTES_IN] += len(data)
        else:
            self.close(worker)
        return data

    def more_head(self, data: bytes, worker: Worker) -> bool:
        """Add to a head that came in pieces; only a line end or a limit asks for another look."""
        self.buffer = buffer = (
            self.buffer if type(self.buffer) is bytearray else bytearray(self.buffer)
        )
        buffer += data
        limits = self.group.limits
        if b"\n" not in data and len(buffer) <= limits.max_head:
            most = limits.max_request_line
            if len(buffer) <= most or buffer.find(b"\n", 0, most) >= 0:
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
        self.served += 1
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
        self.body_since = worker.now
        settings = self.group.settings
        length = head.length
        if length is not None and settings.max_body and length > settings.max_body:
            self.refuse(413, BODY_TOO_LARGE, worker)
            return True
        if length is not None and len(rest) >= length:
            self.buffer = rest[length:]
            return worker.dispatch(self, head, BytesIO(rest[:length]))
        self.buffer = b""
        self.head = head
        self.decoder = (
            ChunkedBody(self.group.body_limits()) if length is None else LengthBody(length)
        )
        self.expect = head.expect
        self.waiting_since = worker.now
        self.patience = settings.body_timeout
        self.received = 0
        self.gathered = bytearray()
        if not self.gather(rest, worker):
            return True
        if self.decoder.done or head.expect or len(self.gathered) >= settings.body_buffer:
            return self.start(worker)
        self.state = BODY
        self.group.wheel.set(self, worker.now + self.patience)
        self.interest(IN)
        return True

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
        data = self.receive(worker)
        if not data or not self.gather(data, worker):
            return True
        settings, now = self.group.settings, worker.now
        if self.decoder.done or len(self.gathered) >= settings.body_buffer:
            return self.start(worker)
        self.patience = patience(
            self.patience,
            now - self.waiting_since,
            len(data),
            settings.body_timeout,
            settings.body_min_rate,
        )
        self.waiting_since = now
        self.deadline = now + self.patience
        return True

    def start(self, worker: Worker) -> bool:
        """Hand the gathered request to its handler."""
        data, self.gathered = bytes(self.gathered), bytearray()
        self.state = READING
        body: Any
        if self.decoder.done:
            self.buffer = self.decoder.rest
            self.decoder = None
            self.expect = False  # it came unasked (RFC 9110 10.1.1: 100 may be left out)
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
        data = self.receive(worker)
        if not data:
            return True
        try:
            self.received += len(decoder.feed(data))
        except ProtocolError:
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
        self.receive(worker)
        return True

    def on_running(self, mask: int, worker: Worker) -> bool:
        """RUNNING or QUEUED: the peer is gone, or takes more of a stream."""
        stream = self.stream
        if stream is not None:
            if mask & OUT:
                stream.flush()
            elif mask & ~(IN | OUT):
                stream.lost()
        elif mask & ~(IN | OUT) and self.mask == MUTE:
            self.gone = True  # else it is about to be handed back: the poller will say it again
        return True

    def on_nothing(self, mask: int, worker: Worker) -> bool:
        """READY or closed: its turn comes, or never. READING: given back just now, and reported again."""
        return True

    def retire(self, worker: Worker) -> None:
        """The server stops: close what waits for a request; what has one may finish.

        A request that is in the kernel's buffer already is one: closing now would answer a reset.
        """
        if self.state == READING and (self.buffer or not self.arrived()):
            self.close(worker)

    def on_deadline(self, worker: Worker, now: float) -> None:
        """A deadline has passed (the holder sweeps)."""
        counts, state = worker.counts, self.state
        if state not in (RUNNING, LINGERING):
            self.cause = self.cause or "timeout"
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
            counts[TIMEOUTS_WRITE] += stream is not None and stream.late(now)
            return
        elif state != LINGERING:
            return
        self.close(worker)


STEPS = {
    READING: Connection.on_nothing,
    READY: Connection.on_nothing,
    BODY: Connection.on_body,
    QUEUED: Connection.on_running,
    RUNNING: Connection.on_running,
    WRITING: Connection.on_writable,
    DRAINING: Connection.on_drain,
    LINGERING: Connection.on_linger,
    CLOSED_STATE: Connection.on_nothing,
}
