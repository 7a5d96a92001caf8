"""Where time goes that the framework and the server know of: bodies that are awaited, encodings, the
proxy in front; and at level 2 processor time, stages and single tools."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import MethodType
from typing import Any

from kirsch.server import input as inputs
from kirsch.server.gateway import FileWrapper, Handover

from ...framework.hooks import Hook, HookMap
from ...framework.request import _ENDS, Request
from ...framework.response import late, look_at_time
from ...framework.serving import serving
from ...framework.tools import Tool, default_toolbox, revision
from ...lib import encoding, jsontools
from ..shards import own
from ..table import requests as r
from ..table import times as t
from ..table.toolbox import GZIP_BYTES
from ..traces import DB, ENCODE, EXTERNAL, FRONTEND, READ, WRITE, clock
from .house import House, Option

#: Fields in which a proxy says when it has got the request.
FIELDS = ("HTTP_X_REQUEST_START", "HTTP_X_QUEUE_START", "HTTP_X_REQUESTTIME")

#: Content codings that are told apart.
CODINGS = ("gzip", "br", "zstd")

#: Seconds that are nobody's business.
NEGLIGIBLE = 20e-6

#: Seconds that a request may have been under way; what is more is a clock that goes wrong.
LONGEST = 60.0


def layered(plain: Callable[..., Any], layer: int) -> Callable[..., Any]:
    """Return a function that does what `plain` does, in a layer of its own."""

    def timed(*args: Any, **kwargs: Any) -> Any:
        trace = own.trace
        if trace.live is None or trace.layer == layer:
            return plain(*args, **kwargs)
        before = trace.enter(layer)
        try:
            return plain(*args, **kwargs)
        finally:
            trace.leave(before)

    return timed


def noted(plain: Callable[..., Any], layer: int) -> Callable[..., Any]:
    """The same for what mostly takes no time to speak of: that stays where it is called."""

    def timed(*args: Any, **kwargs: Any) -> Any:
        trace = own.trace
        began = clock()
        try:
            return plain(*args, **kwargs)
        finally:
            took = clock() - began
            # Who has been in another layer meanwhile has had that counted, and stays.
            if took > NEGLIGIBLE and trace.live is not None and trace.since <= began:
                trace.seconds[layer] += took
                trace.since += took
                trace.more = True

    return timed


def begin(house: House) -> None:
    """Time them."""
    bodies(house)
    encodings(house)
    peers = frozenset(house.monitor.settings["frontend.peers"])
    if peers:
        house.option((t.TIME_FRONTEND,), lambda on: on.wrap(lambda inner: behind(inner, peers)))
    house.option((t.REQUEST_CPU_TIME, t.REQUEST_OFFCPU_TIME), processor)
    house.ending(house.monitor.gateways.clear)
    house.option((t.REQUEST_STAGE_DURATION,), lambda on: on.patches.put(Request, "stage", Staged()))
    house.option((t.TOOL_DURATION,), tools)


# -- bodies and encodings -----------------------------------------------------------------------------


def bodies(house: House) -> None:
    """Waiting for the rest of a body is reading; a peer that goes away meanwhile is counted."""

    def receive(conn: Any, counts: Any, body: Any, wait: bool = True) -> Any:
        trace = own.trace
        if trace.live is None:
            return plain(conn, counts, body, wait)
        before = trace.enter(READ)
        try:
            return plain(conn, counts, body, wait)
        except inputs.BodyCut:
            r.REQUEST_ABORTED.add(1, ("read",))
            raise
        finally:
            trace.leave(before)

    plain = house.patches.replace(inputs, "receive_body", receive)


def encodings(house: House) -> None:
    """Texts to bytes, values to JSON, bytes to fewer bytes."""
    for owner, name in (
        (encoding.ResponseEncoder, "encode_string"),
        (encoding, "decompress"),
    ):
        house.patches.replace(owner, name, layered(getattr(owner, name), ENCODE))
    for name in ("encode", "decode"):
        house.patches.replace(jsontools, name, noted(getattr(jsontools, name), ENCODE))

    def made(body: Any, source: Any, squeeze: Any, flush: Any, finish: Any) -> None:
        coding = serving.response.headers.get("Content-Encoding", "")
        coding = coding if coding in CODINGS else "other"
        make(body, source, *counted(coding, squeeze, flush, finish))

    make = house.patches.replace(encoding.Compressed, "__init__", made)


def counted(coding: str, squeeze: Any, flush: Any, finish: Any) -> tuple[Any, Any, Any]:
    """Return the three functions that compress a body, with their bytes and their time counted."""
    into, out = ("in", coding), ("out", coding)

    def squeezed(chunk: Any) -> Any:
        GZIP_BYTES.add(len(chunk), into)
        data = squeeze(chunk)
        GZIP_BYTES.add(len(data), out)
        return data

    def flushed() -> Any:
        data = flush()
        GZIP_BYTES.add(len(data), out)
        return data

    def finished() -> Any:
        data = finish()
        GZIP_BYTES.add(len(data), out)
        return data

    return (
        layered(squeezed, ENCODE),
        None if flush is None else layered(flushed, ENCODE),
        layered(finished, ENCODE),
    )


# -- the proxy in front -------------------------------------------------------------------------------


def sent_at(text: str) -> float:
    """Read when a proxy has got a request: seconds since the epoch; 0.0 for what says nothing.

    't=1700000000.123' (Apache's microseconds, nginx's seconds) and the milliseconds of others.
    """
    text = text.strip()[:40]
    if text[:2] == "t=":
        text = text[2:]
    try:
        value = float(text)
    except ValueError:
        return 0.0
    for _ in range(2):
        if value > 1e11:  # no seconds: milli- or microseconds
            value /= 1000.0
    return value if 0.0 < value < 1e11 else 0.0


def behind(gateway: Any, peers: frozenset[str]) -> Any:
    """Return a gateway that counts how long requests of these peers were under way to us."""

    def asked(exchange: Any) -> Any:
        if exchange.connection.remote[0] in peers:
            fields = exchange.head.fields
            for name in FIELDS:
                text = fields.get(name)
                if text is not None:
                    trace = own.trace
                    # By the wall clock, as the proxy has no other; ours until we took it up.
                    took = time.time() - sent_at(text) - (time.monotonic() - trace.began)
                    if 0.0 <= took <= LONGEST:
                        trace.seconds[FRONTEND] = took
                        trace.more = True
                    break
        return gateway(exchange)

    return asked


# -- level 2 ------------------------------------------------------------------------------------------


def processor(on: Option) -> None:
    """The processor time of each request, and the time in which it neither worked nor waited for
    something that is known."""
    recorder = on.recorder
    clock, ident = time.thread_time, threading.get_ident

    def timed(gateway: Any) -> Any:
        def asked(exchange: Any) -> Any:
            trace = own.trace
            trace.more = True  # the recorder shall not take its short way
            trace.cpu = (ident(), clock())
            answer = gateway(exchange)
            kind = type(answer[2])
            if kind is FileWrapper or kind is Handover:
                # What is left is done by others, between requests of others.
                trace.cpu = (0, clock() - trace.cpu[1])
            return answer

        return asked

    def more(block: Any, trace: Any) -> None:
        plain(block, trace)
        if trace.cpu is None:
            return
        thread, spent = trace.cpu
        if thread:
            if thread != ident():
                return
            spent = clock() - spent
        seconds = trace.seconds
        route = (block.route.name,)
        t.REQUEST_CPU_TIME.observe(spent, route)
        waited = sum(seconds[layer] for layer in (FRONTEND, READ, DB, EXTERNAL, WRITE))
        t.REQUEST_OFFCPU_TIME.observe(max(0.0, sum(seconds) - waited - spent), route)

    plain = recorder.more
    recorder.more = more
    on.ending(lambda: recorder.__dict__.pop("more", None))
    on.wrap(timed)


class Staged:
    """In the place of `Request.stage`: times how long each stage was the present one."""

    def __get__(self, request: Any, cls: Any = None) -> Any:
        return None if request is None else request.__dict__.get("stage")

    def __set__(self, request: Any, stage: Any) -> None:
        now = time.monotonic()
        values = request.__dict__
        since = values.get("_stage_since")
        before = values.get("stage")
        if since is not None and before is not None:
            t.REQUEST_STAGE_DURATION.observe(now - since, (before,))
        values["_stage_since"] = now
        values["stage"] = stage


class _Point(threading.local):
    name = "before_handler"


def tools(on: Option) -> None:
    """The time of each tool, by the point where it hooks in."""
    point = _Point()
    names = Names()

    def run(request: Any, name: str) -> None:
        before = point.name
        point.name = name
        try:
            if request._hooks is not None:
                run_hooks(request, name)
                return
            if late and name not in _ENDS:
                look_at_time(request)
            # Each by its own call, and not inline.
            HookMap.run_hooks(iter(request._points.get(name, ())))
        finally:
            point.name = before

    def timed(hook: Any) -> Any:
        began = time.monotonic()
        try:
            return call(hook)
        finally:
            took = time.monotonic() - began
            t.TOOL_DURATION.observe(took, (names.of(hook.callback), point.name))

    run_hooks = on.patches.replace(Request, "_run_hooks", run)
    call = on.patches.replace(Hook, "__call__", timed)


class Names:
    """The names of tools by what they hook in."""

    def __init__(self) -> None:
        self._revision: Any = None
        self._known: dict[int, str] = {}

    def of(self, callback: Any) -> str:
        """The name of the tool whose callback that is; that of the function for what is no tool's."""
        if type(callback) is MethodType:
            if isinstance(callback.__self__, Tool):
                return str(callback.__self__._name)
            callback = callback.__func__
        if self._revision is not revision.now:
            self._revision = revision.now
            self._known = {
                id(tool.callable): name
                for name, tool in list(default_toolbox.__dict__.items())
                if isinstance(tool, Tool) and hasattr(tool, "callable")
            }
        name = self._known.get(id(callback))
        if name is not None:
            return name
        module = str(getattr(callback, "__module__", "")).rpartition(".")[2]
        return f"{module}.{getattr(callback, '__qualname__', type(callback).__name__)}"[:100]
