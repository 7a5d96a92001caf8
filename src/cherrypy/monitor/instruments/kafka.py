"""Kafka: kafka-python, whose methods are replaced, and confluent-kafka, whose classes of C are subclassed.

A message counts as sent when a client has taken it, whether or not the broker has it already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..patches import Patches
from .messages import Broker, one
from .subclasses import stand_in

PYTHON = Broker("kafka", "kafka")
CONFLUENT = Broker("kafka", "confluent_kafka")


def instrument(module: Any) -> Callable[[], object]:
    """Have the messages of kafka-python counted: of `kafka`."""
    patches = Patches()
    producer, consumer = module.KafkaProducer, module.KafkaConsumer
    patches.method(producer, "send", PYTHON.timed("send", one))
    patches.method(producer, "flush", PYTHON.waits("flush"))
    # Iterating over a consumer polls.
    patches.method(consumer, "poll", PYTHON.waits("poll", _records))
    patches.method(consumer, "commit", PYTHON.timed("commit"))
    return patches.end


def _records(answer: Any) -> int:
    return sum(len(records) for records in answer.values())


# -- confluent-kafka -------------------------------------------------------------------------------


def _message(answer: Any) -> int:
    """An answer is a message, an error in the place of one, or nothing."""
    return int(answer is not None and answer.error() is None)


def _messages(answer: Any) -> int:
    return sum(map(_message, answer))


def _kombu_has(plain: Any, counted: Any) -> Any:
    """Leave calls of kombu alone, which has an instrument of its own."""

    def method(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__")
        if isinstance(caller, str) and caller.startswith("kombu."):
            return plain(*args, **kwargs)
        return counted(*args, **kwargs)

    return method


#: Methods, and what counts them.
_PRODUCER = {
    "produce": CONFLUENT.timed("send", one),
    "produce_batch": CONFLUENT.timed("send", int),
    "flush": CONFLUENT.waits("flush"),
}
_CONSUMER = {
    "poll": CONFLUENT.waits("poll", _message),
    "consume": CONFLUENT.waits("poll", _messages),
    "commit": CONFLUENT.timed("commit"),
}


def confluent(module: Any) -> Callable[[], object]:
    """Have the messages counted of the clients that are made from now on: of `confluent_kafka`."""
    patches = Patches()
    for name, serial, makers in (
        ("Producer", "SerializingProducer", _PRODUCER),
        ("Consumer", "DeserializingConsumer", _CONSUMER),
    ):
        plain = getattr(module, name)
        methods = {}
        for method, make in makers.items():
            found = getattr(plain, method, None)
            if found is not None:  # in this version
                methods[method] = _kombu_has(found, make(found))
        patches.bound(plain, stand_in(plain, methods))
        # Those that are of Python are subclasses of the plain ones already.
        above = getattr(module, serial, None)
        if isinstance(above, type):
            for method, make in makers.items():
                patches.method(above, method, make)
    return patches.end
