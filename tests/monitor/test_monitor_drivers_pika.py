"""pika with its instrument on, over a real RabbitMQ."""

from __future__ import annotations

import time

import pytest
from drivers_brokers import SLOWLY, rabbit
from drivers_kit import serving, watching
from session_kit import free_port

from cherrypy.monitor.instruments import messages

pika = pytest.importorskip("pika")

__all__ = ("rabbit",)
pytestmark = SLOWLY

DURATION = "messaging.client.operation.duration"
SENT, CONSUMED = "messaging.client.sent.messages", "messaging.client.consumed.messages"
DEADLINE = 30  # seconds


@pytest.fixture
def channel(rabbit):
    connection = pika.BlockingConnection(rabbit.parameters)
    channel = connection.channel()
    channel.queue_declare("news", exclusive=True)
    yield channel
    if connection.is_open:
        connection.close()


def publish(channel, *bodies, **more):
    for body in bodies:
        channel.basic_publish("", "news", body, **more)


def get(channel, **more):
    """The next message: it may be on its way yet."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        method, _, body = channel.basic_get("news", **more)
        if method is not None:
            return method, body
    raise AssertionError("nothing has come")


def test_messages_are_counted_when_they_go_and_when_they_come(channel):
    with watching("pika") as seen:
        with serving() as request:
            publish(channel, b"hush1", b"hush2", b"hush3", b"hush4")
        assert seen.count(SENT, "rabbitmq") == 4
        assert seen.spread(DURATION, "rabbitmq", "publish")[0] == 4
        assert request.steps == [("external", "rabbitmq publish")] * 4
        assert request.layers["external"] > 0
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6
        method, body = get(channel)
        assert body == b"hush1"
        channel.basic_ack(method.delivery_tag)
        method, body = get(channel)
        channel.basic_nack(method.delivery_tag, requeue=False)
        method, body = get(channel)
        channel.basic_reject(method.delivery_tag, requeue=False)
        get(channel, auto_ack=True)
        assert seen.count(CONSUMED, "rabbitmq") == 4
        gets = seen.spread(DURATION, "rabbitmq", "get")[0]
        assert gets >= 4
        assert channel.basic_get("news") == (None, None, None)
        assert seen.spread(DURATION, "rabbitmq", "get")[0] == gets + 1  # it has been asked
        assert seen.count(CONSUMED, "rabbitmq") == 4
        for operation in ("ack", "nack", "reject"):
            assert seen.spread(DURATION, "rabbitmq", operation)[0] == 1
        assert "hush" not in repr(seen.monitor.taker.take())


def test_messages_that_a_function_or_a_loop_is_told_of_are_counted(channel):
    with watching("pika") as seen:
        publish(channel, b"1", b"2", b"3", b"4")
        got = []

        def told(channel, method, properties, body):
            got.append(body)
            channel.basic_ack(method.delivery_tag)

        tag = channel.basic_consume("news", told)
        deadline = time.monotonic() + DEADLINE
        while len(got) < 4 and time.monotonic() < deadline:
            channel.connection.process_data_events(1)
        channel.basic_cancel(tag)
        assert got == [b"1", b"2", b"3", b"4"]
        assert seen.count(CONSUMED, "rabbitmq") == 4
        assert seen.spread(DURATION, "rabbitmq", "ack")[0] == 4
        publish(channel, b"5", b"6")
        rows = []
        for method, _, body in channel.consume("news", inactivity_timeout=DEADLINE):
            rows.append(body)
            channel.basic_ack(method.delivery_tag)
            if len(rows) == 2:
                break
        channel.cancel()
        assert rows == [b"5", b"6"]
        assert seen.count(CONSUMED, "rabbitmq") == 6
        assert seen.count(SENT, "rabbitmq") == 6


def test_errors_are_pika_s_own_and_nothing_is_sent(channel):
    with watching("pika") as seen:
        channel.confirm_delivery()
        publish(channel, b"confirmed")
        assert seen.count(SENT) == 1
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish("", "nowhere at all", b"x", mandatory=True)
        assert seen.count(SENT) == 1
        assert seen.spread(DURATION, "rabbitmq", "publish")[0] == 2
        with pytest.raises(TypeError):
            channel.basic_consume("news", None)
        other = channel.connection.channel()
        other.basic_ack(99)  # there is no such delivery
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            deadline = time.monotonic() + DEADLINE
            while time.monotonic() < deadline:
                other.basic_get("news")
        with pytest.raises(pika.exceptions.ChannelWrongStateError):
            other.basic_publish("", "news", b"x")
        assert seen.count(SENT) == 1
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", free_port()))


def test_connections_that_do_not_block_are_counted(rabbit):
    got = []

    def opened(connection):
        connection.channel(on_open_callback=declare)

    def declare(channel):
        channel.queue_declare("loop", exclusive=True, callback=lambda frame: begin(channel))

    def begin(channel):
        channel.basic_consume("loop", on_message_callback=told)
        for body in (b"1", b"2"):
            channel.basic_publish("", "loop", body)

    def told(channel, method, properties, body):
        got.append(body)
        channel.basic_ack(method.delivery_tag)
        if len(got) == 2:
            channel.basic_publish("", "loop", b"3")
            channel.basic_cancel(method.consumer_tag, lambda frame: fetch(channel))

    def fetch(channel):
        # The third has come to the consumer that is gone, or waits in the queue.
        channel.add_callback(lambda frame: connection.close(), [pika.spec.Basic.GetEmpty])
        channel.basic_get("loop", lambda c, m, p, body: (got.append(body), connection.close()))

    with watching("pika") as seen:
        connection = pika.SelectConnection(rabbit.parameters, on_open_callback=opened)
        connection.ioloop.call_later(DEADLINE, connection.ioloop.stop)
        connection.add_on_close_callback(lambda *args: connection.ioloop.stop())
        connection.ioloop.start()
        connection.ioloop.close()
        assert got[:2] == [b"1", b"2"]
        assert seen.count(SENT, "rabbitmq") == 3
        assert seen.count(CONSUMED, "rabbitmq") == len(got)
        assert seen.spread(DURATION, "rabbitmq", "publish")[0] == 3
        assert seen.spread(DURATION, "rabbitmq", "ack")[0] == 2


def test_a_failure_of_the_instrument_is_not_the_program_s(channel, monkeypatch):
    with watching("pika") as seen:
        monkeypatch.setattr(messages, "DURATION", None)
        monkeypatch.setattr(messages, "CONSUMED", None)
        publish(channel, b"x", b"y")
        assert get(channel, auto_ack=True)[1] == b"x"
        assert get(channel, auto_ack=True)[1] == b"y"
        assert "switched off" in seen.told[-1]
        seen.told.clear()


def test_at_the_end_pika_is_as_before(channel):
    from pika.adapters.blocking_connection import BlockingChannel
    from pika.channel import Channel

    def methods():
        names = ("basic_publish", "basic_get", "basic_ack", "basic_nack", "basic_reject")
        both = [vars(owner)[name] for owner in (BlockingChannel, Channel) for name in names]
        return [*both, Channel.basic_consume]

    plain = methods()
    with watching("pika"):
        assert all(new.__wrapped__ is old for new, old in zip(methods(), plain, strict=True))
        assert isinstance(channel, BlockingChannel)
    assert methods() == plain
