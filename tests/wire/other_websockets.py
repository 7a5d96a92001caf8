"""websockets and wsproto behind one face: what a server makes of the bytes of a client."""

from __future__ import annotations

from codecs import utf_8_decode
from typing import Any, NamedTuple

import wsproto.events as w
from websockets.exceptions import PayloadTooBig
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Opcode
from websockets.protocol import OPEN, Protocol, Side
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate

from kirsch.wire.websocket import deflate, events, protocol


class Reading(NamedTuple):
    """Messages as str and bytes, control frames as pairs; and the code of the end: that of the
    peer's Close frame, or the one we fail with, or None."""

    events: list[Any]
    end: int | None


def ours(data: bytes, deflated: bool = False, client: bool = False) -> Reading:
    agreement = deflate.Agreement(deflate.Settings()) if deflated else None
    one = protocol.Protocol(client=client, agreement=agreement, max_message=1 << 22)
    found: list[Any] = []
    for event in one.feed(data):
        if isinstance(event, (events.Ping, events.Pong)):
            found.append((type(event).__name__.lower(), event.data))
        elif isinstance(event, (str, bytes)):
            found.append(event)
    return Reading(found, one.ending.code if one.ending else None)


def with_websockets(data: bytes, deflated: bool = False, client: bool = False) -> Reading:
    one = Protocol(Side.CLIENT if client else Side.SERVER, state=OPEN, max_size=1 << 22)
    if deflated:
        one.extensions = [PerMessageDeflate(False, False, 15, 15)]
    one.receive_data(data)
    found: list[Any] = []
    message, kind = b"", None
    for frame in one.events_received():
        if frame.opcode in (Opcode.PING, Opcode.PONG):
            found.append((frame.opcode.name.lower(), bytes(frame.data)))
        elif frame.opcode is not Opcode.CLOSE:
            kind = kind if frame.opcode is Opcode.CONT else frame.opcode
            message += bytes(frame.data)
            try:  # its core leaves the decoding to the application
                text, _ = (
                    utf_8_decode(message, "strict", frame.fin) if kind is Opcode.TEXT else ("", 0)
                )
            except UnicodeDecodeError:
                return Reading(found, 1007)
            if frame.fin:
                found.append(text if kind is Opcode.TEXT else message)
                message = b""
    if one.close_rcvd is not None:
        return Reading(found, one.close_rcvd.code)
    if isinstance(one.parser_exc, PayloadTooBig):
        return Reading(found, 1009)
    return Reading(found, one.close_sent.code if one.close_sent else None)


def with_wsproto(data: bytes, deflated: bool = False, client: bool = False) -> Reading:
    extension = WsprotoDeflate()
    if deflated:
        extension.accept("permessage-deflate")
    kind = ConnectionType.CLIENT if client else ConnectionType.SERVER
    one = Connection(kind, [extension] if deflated else [])
    one.receive_data(data)
    found: list[Any] = []
    message: list[Any] = []
    for event in one.events():
        if isinstance(event, (w.Ping, w.Pong)):
            found.append((type(event).__name__.lower(), bytes(event.payload)))
        elif isinstance(event, w.Message):
            message.append(event.data if isinstance(event.data, str) else bytes(event.data))
            if event.message_finished:
                found.append(type(message[0])().join(message))
                message = []
        else:
            assert isinstance(event, w.CloseConnection)
            return Reading(found, int(event.code))
    return Reading(found, None)
