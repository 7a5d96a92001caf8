"""kafka-python and confluent-kafka with their instruments on.

The broker is the one inside librdkafka, which speaks Kafka's protocol on a socket of this machine: Debian
has no package of a Kafka.
"""

from __future__ import annotations

import abc
import asyncio
import time
import warnings

import pytest
from drivers_kit import serving, watching

from cherrypy.monitor.instruments import messages

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own, on Python 3.11
    kafka = pytest.importorskip("kafka")
confluent_kafka = pytest.importorskip("confluent_kafka")

KINDS = ["kafka", "confluent_kafka"]
DURATION = "messaging.client.operation.duration"
SENT, CONSUMED = "messaging.client.sent.messages", "messaging.client.consumed.messages"
#: In a tuple: the names of modules get other classes while the instrument is on.
PLAIN = (confluent_kafka.Producer, confluent_kafka.Consumer)
DEADLINE = 30  # seconds


@pytest.fixture(scope="module")
def broker():
    """The address of a broker."""
    settings = {"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0}
    holder = PLAIN[0](settings)
    (one,) = holder.list_topics(timeout=DEADLINE).brokers.values()
    yield f"{one.host}:{one.port}"
    holder.flush(DEADLINE)


def producer(kind, broker):
    if kind == "kafka":
        # The broker's answers to the versions before this one are not those of Kafka.
        return kafka.KafkaProducer(bootstrap_servers=broker, api_version=(2, 1))
    return confluent_kafka.Producer({"bootstrap.servers": broker})


def send(producer, topic, value, **more):
    if hasattr(producer, "send"):
        producer.send(topic, value, partition=0)
    else:
        producer.produce(topic, value, partition=0, **more)


def consumer(kind, broker, topic):
    if kind == "kafka":
        how = {"auto_offset_reset": "earliest", "consumer_timeout_ms": DEADLINE * 1000}
        made = kafka.KafkaConsumer(
            bootstrap_servers=broker, group_id=topic, api_version=(2, 1), **how
        )
        made.assign([kafka.TopicPartition(topic, 0)])
        return made
    made = confluent_kafka.Consumer({"bootstrap.servers": broker, "group.id": topic})
    where = confluent_kafka.TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)
    made.assign([where])
    return made


def poll(consumer):
    """The values of the next messages, however many there are."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if isinstance(consumer, kafka.KafkaConsumer):
            found = [m.value for rows in consumer.poll(1000).values() for m in rows]
        else:
            message = consumer.poll(1)
            assert message is None or message.error() is None
            found = [] if message is None else [message.value()]
        if found:
            return found
    raise AssertionError("nothing has come")


@pytest.mark.parametrize("kind", KINDS)
def test_messages_are_counted_when_they_go_and_when_they_come(kind, broker):
    topic = f"counted-{kind}"
    with watching(kind) as seen:
        with serving() as request:
            one = producer(kind, broker)
            for value in (b"hush1", b"hush2", b"hush3"):
                send(one, topic, value)
            one.flush(DEADLINE)
        assert seen.count(SENT, "kafka") == 3
        assert seen.spread(DURATION, "kafka", "send")[0] == 3
        assert seen.spread(DURATION, "kafka", "flush")[0] == 1
        assert request.steps == [*[("external", "kafka send")] * 3, ("external", "kafka flush")]
        assert request.layers["external"] > 0
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6
        other = consumer(kind, broker, topic)
        got = []
        while len(got) < 3:
            got += poll(other)
        assert got == [b"hush1", b"hush2", b"hush3"]
        assert seen.count(CONSUMED, "kafka") == 3
        polls = seen.spread(DURATION, "kafka", "poll")[0]
        assert 1 <= polls <= 3
        assert not other.poll(0)
        assert seen.spread(DURATION, "kafka", "poll")[0] == polls  # nothing came
        other.commit()
        assert seen.spread(DURATION, "kafka", "commit")[0] == 1
        other.close()
        assert "hush" not in repr(seen.monitor.taker.take())
        if kind == "kafka":
            one.close()


def test_a_consumer_that_is_iterated_over_is_counted(broker):
    with watching("kafka") as seen:
        one = producer("kafka", broker)
        for value in (b"a", b"b"):
            send(one, "iterated", value)
        one.flush(DEADLINE)
        other = consumer("kafka", broker, "iterated")
        assert [next(other).value, next(other).value] == [b"a", b"b"]
        assert seen.count(CONSUMED, "kafka") == 2
        other.close()
        one.close()


def test_several_at_once_and_subclasses_of_confluent_are_counted(broker):
    class Mine(PLAIN[0]):
        """Made before the instrument was on: of the plain class."""

    with watching("confluent_kafka") as seen:
        made = confluent_kafka.Producer({"bootstrap.servers": broker})
        before = PLAIN[0]({"bootstrap.servers": broker})
        assert isinstance(made, PLAIN[0])
        assert isinstance(made, confluent_kafka.Producer)
        assert isinstance(before, confluent_kafka.Producer)
        assert isinstance(Mine({"bootstrap.servers": broker}), confluent_kafka.Producer)
        assert issubclass(Mine, confluent_kafka.Producer)
        assert not isinstance(object(), confluent_kafka.Producer)
        assert type(made).__name__ == "Producer"
        assert type(made).produce.__doc__ == PLAIN[0].produce.__doc__

        class Later(confluent_kafka.Producer, abc.ABC):
            def produce(self, topic, *args, **kwargs):
                return super().produce("several", *args, **kwargs)

        later = Later({"bootstrap.servers": broker})
        assert not isinstance(made, Later)
        told = []
        send(later, "ignored", b"1", on_delivery=lambda error, message: told.append(message))
        send(made, "several", b"2")
        assert later.flush(DEADLINE) == 0
        assert made.flush(DEADLINE) == 0
        assert [message.topic() for message in told] == ["several"]
        assert seen.count(SENT, "kafka") == 2
        other = consumer("confluent_kafka", broker, "several")
        got = []
        deadline = time.monotonic() + DEADLINE
        while len(got) < 2 and time.monotonic() < deadline:
            got += [message.value() for message in other.consume(2, 1)]
        assert sorted(got) == [b"1", b"2"]
        assert seen.count(CONSUMED, "kafka") == 2
        other.close()


def test_what_is_sent_while_another_is_told_of_counts_as_well(broker):
    with watching("confluent_kafka") as seen:
        one = confluent_kafka.Producer({"bootstrap.servers": broker})
        again = []

        def told(error, message):
            again.append(message.value())
            if len(again) < 3:
                send(one, "again", b"x", on_delivery=told)

        send(one, "again", b"x", on_delivery=told)
        while len(again) < 3:
            one.flush(DEADLINE)
        assert seen.count(SENT, "kafka") == 3


def test_serializers_of_confluent_are_counted_once(broker):
    from confluent_kafka.serialization import StringDeserializer, StringSerializer

    with watching("confluent_kafka") as seen:
        one = confluent_kafka.SerializingProducer(
            {"bootstrap.servers": broker, "value.serializer": StringSerializer()}
        )
        one.produce("serial", value="text", partition=0)
        one.flush(DEADLINE)
        assert seen.count(SENT, "kafka") == 1
        assert seen.spread(DURATION, "kafka", "send")[0] == 1
        settings = {"bootstrap.servers": broker, "group.id": "s"}
        other = confluent_kafka.DeserializingConsumer(
            {**settings, "value.deserializer": StringDeserializer()}
        )
        start = confluent_kafka.OFFSET_BEGINNING
        other.assign([confluent_kafka.TopicPartition("serial", 0, start)])
        assert poll(other) == ["text"]
        assert seen.count(CONSUMED, "kafka") == 1
        other.close()


def test_producers_and_consumers_of_a_loop_are_counted(broker):
    aio = pytest.importorskip("confluent_kafka.aio")

    async def main():
        one = aio.AIOProducer({"bootstrap.servers": broker})
        sent = [await one.produce("later", value, partition=0) for value in (b"1", b"2")]
        await one.flush()
        assert [(await each).value() for each in sent] == [b"1", b"2"]
        other = aio.AIOConsumer({"bootstrap.servers": broker, "group.id": "later"})
        where = confluent_kafka.TopicPartition("later", 0, confluent_kafka.OFFSET_BEGINNING)
        await other.assign([where])
        got = []
        deadline = time.monotonic() + DEADLINE
        while len(got) < 2 and time.monotonic() < deadline:
            message = await other.poll(1)
            got += [] if message is None else [message.value()]
        assert got == [b"1", b"2"]
        await other.close()
        await one.close()

    with watching("confluent_kafka") as seen:
        asyncio.run(main())
        assert seen.count(SENT, "kafka") == 2
        assert seen.count(CONSUMED, "kafka") == 2


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_the_client_s_own_and_nothing_is_sent(kind, broker):
    with watching(kind) as seen:
        one = producer(kind, broker)
        with pytest.raises(TypeError):
            send(one, "errors", object())
        assert seen.count(SENT) == 0
        assert seen.spread(DURATION, "kafka", "send")[0] == 1
        one.flush(DEADLINE)
        if kind == "kafka":
            one.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_of_the_instrument_is_not_the_program_s(kind, broker, monkeypatch):
    with watching(kind) as seen:
        one = producer(kind, broker)
        monkeypatch.setattr(messages, "DURATION", None)
        for _ in range(4):
            send(one, "failing", b"x")
        one.flush(DEADLINE)
        assert "switched off" in seen.told[-1]
        seen.told.clear()
        if kind == "kafka":
            one.close()


def test_at_the_end_the_clients_are_as_before():
    send_, poll_ = kafka.KafkaProducer.send, kafka.KafkaConsumer.poll
    produce = confluent_kafka.SerializingProducer.produce
    with watching(*KINDS):
        assert kafka.KafkaProducer.send.__wrapped__ is send_
        assert confluent_kafka.Producer is not PLAIN[0]
        assert confluent_kafka.Consumer is not PLAIN[1]
    assert (kafka.KafkaProducer.send, kafka.KafkaConsumer.poll) == (send_, poll_)
    assert confluent_kafka.Producer is PLAIN[0]
    assert confluent_kafka.Consumer is PLAIN[1]
    assert confluent_kafka.SerializingProducer.produce is produce
