"""The ground of a connection: its socket, state, deadline and end, for whichever thread owns it.

A connection is always owned by exactly one thread. Parked (READING, READY, BODY, WRITING, DRAINING,
LINGERING, HANDSHAKING) it belongs to the holder of its group's baton; RUNNING, to the worker that runs its
handler; QUEUED, to whoever takes it from the queue. A running worker gives it back by storing the
parked state, which is therefore always the last thing it does: deadline and interest come before,
and events of a RUNNING connection that come too soon are ignored, as the poller will repeat them.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ..wire.http1.requests import RequestHead
from ..wire.http1.responses import CONTINUE, error_response
from .counters import BYTES_OUT, CLASS, CLOSED, RESETS, RESPONSES
from .deadlines import NEVER
from .gateway import close_body
from .output import Pending, Stream
from .poller import IN, OUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .group import Group
    from .listeners import Listener
    from .workers import Worker

READING, READY, BODY, QUEUED, RUNNING, WRITING, DRAINING, LINGERING, CLOSED_STATE = range(9)
SWITCHED = 9  # it speaks WebSocket now
HANDSHAKING = 10  # of TLS: parked as well
HARD_RESET = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}: close() sends RST


class Link:
    """A peer's socket, how far its present exchange has come, and what any owner may do with it."""

    __slots__ = (
        "__weakref__",
        "body_since",
        "born",
        "buffer",
        "cause",
        "channel",
        "closing",
        "deadline",
        "decoder",
        "due",
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
        "patience",
        "pending",
        "plain",
        "received",
        "recv",
        "remote",
        "scheme",
        "send",
        "served",
        "sock",
        "state",
        "stream",
        "template",
        "template_head",
        "upgraded",
        "waiting_since",
        "worker",
    )

    hands_over = True  # as `Exchange` has it
    worker: Worker
    head: RequestHead
    upgraded: Any  # what it speaks after a 101; set by that

    def __init__(self, group: Group, sock: socket.socket, remote: Any, listener: Listener) -> None:
        self.group = group
        self.sock = sock
        self.fd = sock.fileno()
        self.recv: Callable[[int], bytes] = sock.recv
        self.send: Callable[[Any], int] = sock.send
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
        self.template: dict[str, Any] | None = None  # the WSGI environ, as of template_head
        self.template_head: RequestHead | None = None
        # For who watches: when it was accepted, how many heads have come, and why it ends, if that is
        # neither the peer's wish nor that of a response: 'timeout', 'error', 'busy'.
        self.born = time.monotonic()
        self.served = 0
        self.cause = ""
        self.body_since = 0.0  # when the head of a request with a body was here; for who watches
        self.decoder: Any = None  # of a request body that is not read to its end
        self.expect = False  # 100 Continue is awaited
        self.keep_alive = True
        self.gone = False
        self.pending: Pending | None = None
        self.stream: Stream | None = None
        self.channel: Any = None  # that of TLS, made when TLS begins
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

    def ssl_environ(self) -> dict[str, str]:
        """What the WSGI environ says of TLS."""
        return {}

    def refuse(
        self,
        status: int,
        text: str,
        worker: Worker,
        *headers: tuple[str, str],
        method: str = "GET",
    ) -> None:
        """Answer with plain text (its head only for HEAD), then close so that it can be read."""
        self.keep_alive = False
        self.cause = self.cause or "error"
        counts = worker.counts
        counts[RESPONSES] += 1
        counts[CLASS[str(status)[0]]] += 1
        suffix, body = self.group.suffix_close, method != "HEAD"
        data = error_response(status, text, suffix=suffix, headers=list(headers), body=body)
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
        self.set_deadline(pending.deadline(self.group.settings))
        self.interest(OUT)
        self.state = WRITING

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
            self.set_deadline(time.monotonic() + self.group.settings.body_timeout)
            self.interest(IN)
            self.state = DRAINING

    def next_request(self, worker: Worker) -> None:
        """Wait for the next head, or take the one that is here already."""
        group = self.group
        self.decoder = None
        if not group.persistent:
            self.close_gently(worker)
        elif self.buffer:
            self.state = READY
            group.ready.append(self)  # type: ignore[arg-type]  # every link is a connection
            if not worker.holding:
                group.poller.wake()
        else:
            self.set_deadline(time.monotonic() + group.idle_timeout)
            self.interest(IN)
            self.state = READING
            if not group.persistent:
                group.poller.wake()  # a stop began meanwhile, and may have looked here too early

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
        self.set_deadline(time.monotonic() + self.group.settings.linger_timeout)
        self.interest(IN)
        self.state = LINGERING

    def arrived(self) -> bool:
        """Whether bytes of the peer wait to be read."""
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

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

    def forsake(self) -> None:
        """The server has stopped: wake whoever waits for this peer."""
        self.gone = True
        self.shutdown()

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
        self.fd = -1  # the number may be somebody else's at once: nobody shall arm it by mistake
        worker.counts[CLOSED] += 1
        self.pending = None
        if self.closing is not None:
            body, self.closing = self.closing, None
            close_body(body, group.server.log)
