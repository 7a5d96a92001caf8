"""TLS: a connection whose handshake is done in the poller, and the channel that encrypts its bytes.

Law: whatever a recv() decrypts it returns. Nothing readable stays behind in OpenSSL's buffers, where
a level-triggered poller cannot see it. What waits for the socket raises BlockingIOError, and what is
broken ConnectionError, as on a plain socket: nobody above meets an ssl.SSLWantReadError.
"""

from __future__ import annotations

import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

from ..wire.errors import ProtocolError
from ..wire.http1.requests import RequestHead, parse_head
from ..wire.http1.responses import CONTINUE
from .connection import Connection
from .counters import BYTES_IN, RESETS, TIMEOUTS_TLS, TLS_ERRORS, TLS_HANDSHAKES
from .input import RECV
from .link import HANDSHAKING, READING
from .poller import IN, OUT
from .sslnames import ssl_names

if TYPE_CHECKING:
    import socket

    from .exchange import Exchange
    from .group import Group
    from .listeners import Listener
    from .workers import Worker

RECORD = 16384  # RFC 8446 5.1: no record holds more, so one read() takes all of it
BLOCK = 65536  # encrypted at once; as much ciphertext may wait for the socket
TURN = 1 << 20  # sent in one call: a quick peer must not keep the holder of the baton for ever
SHARE = 0.004  # seconds of a batch for handshakes; one by RSA takes a quarter of it
FLOOD = 65536  # answers to control messages that a peer may make us keep
NOT_TLS = "This port speaks HTTPS only."


class Channel:
    """TLS between a non-blocking socket and a connection: `recv` and `send` with a socket's manners.

    OpenSSL works in memory, so that a batch of records costs one recv(2) and one send(2).
    """

    __slots__ = (
        "cut",
        "ended",
        "failed",
        "guard",
        "incoming",
        "obj",
        "out",
        "outgoing",
        "owed",
        "pull",
        "push",
    )

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        # A body may be read by its worker while the holder of the baton flushes its response: an
        # SSL object takes one call at a time.
        self.guard = threading.Lock()
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.obj = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.pull = sock.recv
        self.push = sock.send
        self.out: bytes | memoryview = b""  # ciphertext that the socket has not taken
        self.owed = 0  # bytes that are encrypted and not yet called sent: the next of send()'s data
        self.ended = False  # close_notify has come: the peer sends nothing more
        self.cut = False  # our last response was left incomplete
        self.failed = ""  # why this is no TLS any more

    def handshake(self, data: bytes) -> bool:
        """Go on with the handshake; True when it is done. Raises ConnectionError."""
        self.incoming.write(data)
        done = True
        try:
            self.obj.do_handshake()
        except ssl.SSLWantReadError:
            done = False
        except (ssl.SSLError, ValueError) as error:
            raise self.broken(error) from None
        self.flush()
        return done

    def recv(self, size: int) -> bytes:
        """What has come, all of it decrypted; b'' at the end. Raises BlockingIOError, OSError."""
        with self.guard:
            data = self.pull(size)
            if not data or self.ended:
                # An end without close_notify: HTTP's own framing says whether something is missing.
                return b""
            self.incoming.write(data)
            data = self.decrypt()
        if not data and not self.ended:
            raise BlockingIOError
        return data

    def decrypt(self) -> bytes:
        """Everything that can be read by now; b'' when it was but half a record or a control message."""
        incoming, obj = self.incoming, self.obj
        parts = []
        try:
            while incoming.pending or obj.pending():
                data = obj.read(RECORD)
                if not data:
                    self.ended = True
                    break
                parts.append(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except (ssl.SSLError, ValueError) as error:
            raise self.broken(error) from None
        if self.outgoing.pending > FLOOD:
            # Each KeyUpdate asks for one of ours (RFC 8446 4.6.3); a flood of them is an attack.
            raise self.broken("a flood of control messages")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def send(self, data: Any) -> int:
        """Send of `data` what the socket takes; how much. Raises BlockingIOError, OSError.

        A record that has been begun must be ended: as long as its last byte has not gone, neither
        has, for the caller, the last byte of its text. So he comes again with the same data.
        """
        with self.guard:
            total, size = 0, min(len(data), TURN)
            while total < size:
                fresh = 0
                if not self.owed:
                    if self.out and self.flush():
                        break
                    self.encrypt(data, total)
                    fresh = 1  # it counts as begun, even if the socket is full
                before = len(self.out) + self.outgoing.pending
                left = self.flush()
                if not left:
                    total += self.owed
                    self.owed = 0
                    continue
                taken = min(max(before - left, fresh), self.owed - 1)
                self.owed -= taken
                total += taken
                break
            if not total and size:
                raise BlockingIOError
            return total

    def encrypt(self, data: Any, start: int) -> None:
        """Encrypt the next block of `data`."""
        if start or len(data) > BLOCK:
            data = memoryview(data)[start : start + BLOCK]
        try:
            self.owed = self.obj.write(data)
        except (ssl.SSLError, ValueError) as error:
            raise self.broken(error) from None

    def tell(self, data: bytes) -> None:
        """Send a few bytes that nobody will offer again; the socket may take them later."""
        with self.guard:
            try:
                self.obj.write(data)
                self.flush()
            except (OSError, ValueError):
                pass  # the next read or write will tell

    def flush(self) -> int:
        """Give the socket the ciphertext there is; how much it did not take. Raises OSError."""
        outgoing = self.outgoing
        while True:
            out = self.out
            if not out:
                if not outgoing.pending:
                    return 0
                out = self.out = outgoing.read()
            try:
                sent = self.push(out)
            except BlockingIOError:
                return len(out) + outgoing.pending
            if sent < len(out):
                self.out = memoryview(out)[sent:]
                return len(out) - sent + outgoing.pending
            self.out = b""

    def broken(self, error: Any) -> ConnectionError:
        """Send the alert that OpenSSL has prepared; the error to raise."""
        self.failed = getattr(error, "reason", None) or str(error) or type(error).__name__
        try:
            self.flush()
        except OSError:
            pass
        return ConnectionResetError(f"TLS: {self.failed}")

    def end(self) -> None:
        """Say that nothing more follows (close_notify, RFC 8446 6.1), without waiting for theirs."""
        with self.guard:
            try:
                self.obj.unwrap()
            except (OSError, ValueError):  # ssl.SSLWantReadError: theirs has not come
                pass
            try:
                self.flush()
            except OSError:
                pass


class TLSConnection(Connection):
    """A peer on a TLS port: until its handshake is done it costs a descriptor and a deadline."""

    __slots__ = ()

    channel: Channel | None

    def __init__(self, group: Group, sock: socket.socket, remote: Any, listener: Listener) -> None:
        super().__init__(group, sock, remote, listener)
        self.plain = False
        self.scheme = "https"
        self.state = HANDSHAKING

    def on_event(self, mask: int, worker: Worker) -> bool:
        if self.state == HANDSHAKING:
            return self.on_handshake(mask, worker)
        return super().on_event(mask, worker)

    def on_handshake(self, mask: int, worker: Worker) -> bool:
        """HANDSHAKING: take the next step (the holder). The deadline was set by accept()."""
        channel = self.channel
        done = False
        if time.monotonic() > worker.now + SHARE:
            return True  # the poller will say it again, when the others of this batch are served
        try:
            if channel is not None and channel.out and channel.flush():
                return True
            data = self.sock.recv(RECV)
            if not data:
                if channel is not None:
                    channel.failed = "the peer went away"
                self.close(worker)
                return True
            if channel is None:
                if self.buffer or looks_like_text(data):
                    return self.on_plain(data, worker)
                certificates: Any = self.group.server.tls
                channel = Channel(self.sock, certificates.context(worker.now))
                self.channel = channel
            done = channel.handshake(data)
        except BlockingIOError:
            pass
        except OSError as error:
            if channel is None:
                worker.counts[RESETS] += 1
            else:
                channel.failed = channel.failed or error.strerror or "a reset"
            self.close(worker)
            return True
        if not done or channel is None:
            self.interest(OUT if channel is not None and channel.out else IN)
            return True
        return self.secured(channel, worker)

    def secured(self, channel: Channel, worker: Worker) -> bool:
        """The handshake is done; a first request may have come with its end."""
        worker.counts[TLS_HANDSHAKES] += 1
        self.recv, self.send = channel.recv, channel.send
        self.state = READING
        self.interest(IN)
        group = self.group
        group.wheel.set(self, worker.now + group.settings.head_timeout)
        try:
            data = channel.decrypt()
        except OSError:
            self.close(worker)
            return True
        if data:
            worker.counts[BYTES_IN] += len(data)
            group.inbox.append((self, data))
        elif channel.ended:
            self.close(worker)
        return True

    def on_plain(self, data: bytes, worker: Worker) -> bool:
        """Somebody speaks HTTP to the TLS port: say where to go, in words he understands."""
        group = self.group
        data = bytes(self.buffer) + data
        try:
            head = parse_head(data, group.limits)
        except ProtocolError:
            head = None
        else:
            if head is None:
                self.buffer = data
                return True
        self.buffer = b""
        self.state = READING
        worker.counts[TLS_ERRORS] += 1
        url = https_url(head) if head is not None else ""
        method = head.method if head is not None else "GET"
        if not url:
            self.refuse(400, NOT_TLS, worker, method=method)
        elif group.settings.plain_http == "redirect":
            # RFC 9110 15.4.9: 308 keeps the method, 301 would let clients turn POST into GET.
            status = 301 if method in ("GET", "HEAD") else 308
            self.refuse(status, f"{NOT_TLS} {url}", worker, ("Location", url), method=method)
        else:
            self.refuse(400, f"{NOT_TLS} Try {url}", worker, method=method)
        return True

    def on_deadline(self, worker: Worker, now: float) -> None:
        if self.state == HANDSHAKING:
            worker.counts[TIMEOUTS_TLS] += 1
            self.cause = "timeout"
            self.close(worker)
        else:
            super().on_deadline(worker, now)

    def retire(self, worker: Worker) -> None:
        if self.state == HANDSHAKING:
            self.close(worker)
        else:
            super().retire(worker)

    def send_continue(self) -> None:
        if self.expect and self.channel is not None:
            self.expect = False
            self.channel.tell(CONTINUE)

    def next_request(self, worker: Worker) -> None:
        channel = self.channel
        if channel is not None and channel.ended and not self.buffer:
            self.decoder = None
            self.close_gently(worker)
        else:
            super().next_request(worker)

    def failed(self, worker: Worker, exchange: Exchange, error: BaseException) -> None:
        if self.channel is not None:
            self.channel.cut = True  # a quick handler runs in READING: close() shall not say "done"
        super().failed(worker, exchange, error)

    def close_gently(self, worker: Worker, unread: bool = False) -> None:
        if self.channel is not None:
            self.channel.end()  # or the peer takes the end for a truncation
        super().close_gently(worker, unread)

    def close(self, worker: Worker) -> None:
        channel = self.channel
        if channel is not None:
            if channel.failed:
                worker.counts[TLS_ERRORS] += 1
                log = self.group.server.log
                log(f"TLS with {self.remote[0] or 'a peer'} failed: {channel.failed}", 10)
                channel.failed = ""
            elif self.state == READING and not channel.cut:
                channel.end()
        super().close(worker)

    def ssl_environ(self) -> dict[str, str]:
        """HTTPS and the SSL_* names, for the WSGI environ of this connection."""
        certificates = self.group.server.tls
        if self.channel is None or certificates is None:
            return {}
        return {**certificates.names(), **ssl_names(self.channel.obj)}


def looks_like_text(data: bytes) -> bool:
    """Whether a connection begins with the letters of an HTTP method, or an empty line before it.

    A TLS record begins with its type, 22 for a handshake (RFC 8446 5.1).
    """
    start = data[:1]
    return start.isalpha() or start in b"\r\n"


def https_url(head: RequestHead) -> str:
    """Where the request `head` wanted to go, by https; '' when it does not say."""
    host = head.fields.get("HTTP_HOST", "")
    target = head.target
    if target.startswith("/"):
        return f"https://{host}{target}" if host else ""
    scheme, sep, rest = target.partition("://")
    return f"https://{rest}" if sep and scheme.lower() == "http" else ""
