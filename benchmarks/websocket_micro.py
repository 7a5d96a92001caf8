"""The WebSocket core beside those of websockets and wsproto, in microseconds an echo, in one process.

    python benchmarks/websocket_micro.py [seconds]

An echo is: take the bytes of one masked message, give the message back, build the frame that returns
it. No socket takes part, all are servers, nothing is compressed. Each figure is the median of several
short runs in processor time; contenders take turns. 'plain' is without the masking function in C
that the websockets package brings along: for ours, mask_plainly, for websockets its own Python one.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from statistics import median

import websockets.frames
import wsproto
import wsproto.connection
import wsproto.events
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.utils import apply_mask as websockets_plain

from kirsch.wire.websocket import frames, receiver
from kirsch.wire.websocket.protocol import Protocol

SIZES = (125, 1024, 16384, 65536)
TURNS = 9
Echo = Callable[[bytes], bytes]


def ours(text: bool) -> Echo:
    """Echo with `Protocol`."""
    protocol = Protocol()
    feed = protocol.feed
    if text:
        return lambda data: protocol.text(feed(data)[0])  # type: ignore[arg-type]  # a str by the script
    return lambda data: protocol.binary(feed(data)[0])  # type: ignore[arg-type]  # bytes by the script


def theirs(text: bool) -> Echo:
    """Echo with the sans-I/O core of websockets."""
    protocol = ServerProtocol(state=OPEN, max_size=None)
    send = protocol.send_text if text else protocol.send_binary

    def echo(data: bytes) -> bytes:
        protocol.receive_data(data)
        frame = protocol.events_received()[0]
        if text:  # an application gets a str and gives one
            send(str(frame.data, "utf-8").encode())  # type: ignore[union-attr]  # a Frame by the script
        else:
            send(frame.data)  # type: ignore[union-attr]  # the same
        return b"".join(protocol.data_to_send())

    return echo


def wsprotos(text: bool) -> Echo:
    """Echo with wsproto."""
    connection = wsproto.connection.Connection(wsproto.ConnectionType.SERVER)

    def echo(data: bytes) -> bytes:
        connection.receive_data(data)
        for event in connection.events():
            assert isinstance(event, wsproto.events.Message)
            return connection.send(type(event)(data=event.data))
        raise AssertionError

    return echo


CONTENDERS: dict[str, tuple[Callable[[bool], Echo], bool]] = {
    "kirsch": (ours, False),
    "websockets": (theirs, False),
    "wsproto": (wsprotos, False),
    "kirsch, plain": (ours, True),
    "websockets, plain": (theirs, True),
}


def use_masker(plain: bool, fast: Callable[[bytes, bytes], bytes]) -> None:
    """Set the masking functions of ours and of websockets."""
    ours_now = frames.mask_plainly if plain else fast
    frames.mask = receiver.mask = ours_now  # type: ignore[misc]  # Final, but this is a measurement
    websockets.frames.apply_mask = websockets_plain if plain else fast


def once(echo: Echo, data: bytes, count: int) -> float:
    """Return the microseconds of one echo."""
    began = time.process_time()
    for _ in range(count):
        echo(data)
    return (time.process_time() - began) / count * 1e6


def measure(size: int, text: bool, seconds: float) -> dict[str, float]:
    """Return the microseconds of each contender."""
    fast = frames.mask
    payload = b"a" * size if text else os.urandom(size)
    data = frames.build(
        frames.FIN | (frames.TEXT if text else frames.BINARY), payload, os.urandom(4)
    )
    answer = frames.build(frames.FIN | (frames.TEXT if text else frames.BINARY), payload)
    took: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(TURNS):
        for name, (make, plain) in CONTENDERS.items():
            if plain is False and fast is frames.mask_plainly:
                continue
            use_masker(plain, fast)
            echo = make(text)
            assert echo(data) == answer, name
            count = max(5, int(seconds / TURNS / (once(echo, data, 5) / 1e6 + 1e-9)))
            took[name].append(once(echo, data, min(count, 20000)))
    use_masker(False, fast)
    return {name: median(all_of_it) for name, all_of_it in took.items() if all_of_it}


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.3
    if frames.mask is frames.mask_plainly:
        print("websockets has no masking function in C here: only 'plain' is measured")
    print(f"{'us an echo':14}" + "".join(f"{name:>19}" for name in CONTENDERS))
    for size in SIZES:
        for text in (True, False):
            took = measure(size, text, seconds)
            row = "".join(f"{took.get(name, float('nan')):19.2f}" for name in CONTENDERS)
            print(f"{size:>7} {'text' if text else 'binary':6}" + row)


if __name__ == "__main__":
    main()
