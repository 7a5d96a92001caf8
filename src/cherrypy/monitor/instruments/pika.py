"""pika: messages that are published and that come, of connections that block and of those that do not."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..patches import Patches
from .messages import Broker, one

BROKER = Broker("rabbitmq", "pika")

#: Methods of channels of both kinds, and what they are; those that block use the others.
_METHODS = {
    "basic_publish": "publish",
    "basic_ack": "ack",
    "basic_nack": "nack",
    "basic_reject": "reject",
}


def instrument(module: Any) -> Callable[[], object]:
    """Have the messages of all channels counted: of `pika`."""
    patches = Patches()
    channel = import_module("pika.channel").Channel
    blocking = import_module("pika.adapters.blocking_connection").BlockingChannel
    for owner in (blocking, channel):
        for name, operation in _METHODS.items():
            sent = one if operation == "publish" else None
            patches.method(owner, name, BROKER.timed(operation, sent))
    patches.method(blocking, "basic_get", BROKER.timed("get"))
    # What comes is told to a function, which a channel that blocks has as well.
    patches.method(channel, "basic_get", _told(1, "callback"))
    patches.method(channel, "basic_consume", _told(1, "on_message_callback"))
    return patches.end


def _told(place: int, name: str) -> Callable[[Any], Any]:
    """Have the messages counted of which a function is told, an argument of the method."""

    def make(plain: Any) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            if name in kwargs:
                kwargs[name] = BROKER.told(kwargs[name])
            elif len(args) > place:
                args = (*args[:place], BROKER.told(args[place]), *args[place + 1 :])
            return plain(self, *args, **kwargs)

        return method

    return make
