"""kombu, on which Celery stands: messages that are published, and those that come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patches import Patches
from ..shards import own
from ..traces import EXTERNAL
from .awaits import covered, uncover
from .guard import failed
from .messages import CONSUMED, DURATION, SENT

#: What OpenTelemetry calls systems that kombu calls by their protocol.
_SYSTEMS = {"amqp": "rabbitmq", "pyamqp": "rabbitmq", "sqs": "aws_sqs"}


def instrument(module: Any) -> Callable[[], object]:
    """Have messages counted: of `kombu.messaging`."""
    patches = Patches()
    patches.method(module.Producer, "publish", _publish)
    # What comes goes through this whether there are callbacks or one function for all, as Celery's.
    patches.method(module.Consumer, "_receive_callback", _receive)
    return patches.end


def _system(channel: Any) -> str:
    """The system of a channel."""
    connection = getattr(channel, "connection", None)
    client = getattr(connection, "client", connection)
    name = getattr(getattr(client, "transport", None), "driver_type", None)
    name = name or getattr(client, "driver_type", None)
    return _SYSTEMS.get(str(name), str(name)) if name else "unknown"


def _publish(plain: Any) -> Any:
    def publish(self: Any, *args: Any, **kwargs: Any) -> Any:
        trace = own.trace
        token = covered.set(True)
        before = trace.enter(EXTERNAL)
        began = trace.since
        done = False
        try:
            answer = plain(self, *args, **kwargs)
            done = True
            return answer
        finally:
            uncover(token)
            took = trace.leave(before, "publish", began) - began
            try:
                system = _system(self.channel) if done else "unknown"
                DURATION.observe(took, (system, "publish"))
                if done:
                    SENT.add(1, (system,))
            except Exception as error:
                failed("kombu", error)

    return publish


def _receive(plain: Any) -> Any:
    def _receive_callback(self: Any, message: Any) -> Any:
        try:
            CONSUMED.add(1, (_system(self.channel),))
        except Exception as error:
            failed("kombu", error)
        return plain(self, message)

    return _receive_callback
