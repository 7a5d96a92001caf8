"""kombu and Celery with their instrument on, over a real Redis."""

from __future__ import annotations

import pickle
import socket
import threading

import celery
import kombu
import pytest
from drivers_kit import serving, watching
from session_kit import running, server

DURATION = "messaging.client.operation.duration"
SENT, CONSUMED = "messaging.client.sent.messages", "messaging.client.consumed.messages"


@pytest.fixture(scope="module")
def url():
    had = "redis" in running
    found = server("redis")
    yield f"redis+socket://{found.path}"
    if not had:
        running.pop("redis").close()


def test_messages_are_counted_when_they_go_and_when_they_come(url):
    queue = kombu.Queue("news", kombu.Exchange("news", "direct"), routing_key="news")
    got = []
    with watching("kombu") as seen, kombu.Connection(url) as connection:
        with serving() as request, connection.Producer() as producer:
            for number in range(3):
                producer.publish(
                    {"secret": number},
                    exchange=queue.exchange,
                    routing_key="news",
                    declare=[queue],
                    serializer="json",
                )
        with connection.Consumer(queue, callbacks=[lambda body, m: (got.append(body), m.ack())]):
            for _ in range(3):
                connection.drain_events(timeout=10)
        assert got == [{"secret": number} for number in range(3)]
        assert seen.count(SENT, "redis") == 3
        assert seen.count(CONSUMED, "redis") == 3
        assert seen.spread(DURATION, "redis", "publish")[0] == 3
        assert request.layers["external"] > 0
        assert request.steps == [("external", "publish")] * 3
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6
        with pytest.raises(kombu.exceptions.EncodeError):
            connection.Producer().publish(lambda: None, routing_key="news", serializer="json")
        assert seen.count(SENT) == 3
        simple = connection.SimpleQueue("simple")
        simple.put({"x": 1})
        assert simple.get(timeout=10).payload == {"x": 1}
        with pytest.raises(simple.Empty):
            simple.get(timeout=0.05)
        simple.close()
        assert seen.count(CONSUMED) == 4
        assert isinstance(producer, kombu.Producer)
        pickle.loads(pickle.dumps(queue))


def test_tasks_of_celery_are_messages(url):
    app = celery.Celery("driven", broker=url)
    app.conf.task_ignore_result = True
    got = []
    with watching("celery") as seen:
        app.send_task("some.task", args=("hush",))
        assert seen.count(SENT, "redis") == 1
        with app.connection() as connection:
            consumer = app.amqp.TaskConsumer(connection.default_channel)
            consumer.on_message = lambda message: (got.append(message), message.ack())
            with consumer:
                connection.drain_events(timeout=10)
        assert got[0].headers["task"] == "some.task"
        assert seen.count(CONSUMED, "redis") == 1
        assert "hush" not in repr(seen.monitor.taker.take().counts)
    app.close()


@pytest.fixture
def logs_left_alone():
    """A worker sets logging up unless somebody else does."""

    def leave(**words):
        """It is the tests'."""

    celery.signals.setup_logging.connect(leave)
    yield
    celery.signals.setup_logging.disconnect(leave)


@pytest.mark.usefixtures("logs_left_alone")
def test_a_task_that_a_worker_runs_is_counted_once_each_way(url):
    from celery.contrib.testing.worker import start_worker

    app = celery.Celery("worked", broker=url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_default_queue="worked",
        worker_enable_remote_control=False,  # its messages count as well
        broker_connection_retry_on_startup=True,
    )
    got, done = [], threading.Event()

    @app.task(name="worked.add")
    def add(one, other):
        got.append(one + other)
        if len(got) == 2:
            done.set()

    with watching("celery") as seen:
        # A real worker, in a thread.
        how = {"pool": "solo", "perform_ping_check": False, "shutdown_timeout": 30}
        with start_worker(app, **how):
            assert add.delay(1, 2).id
            add.apply_async((3, 4), countdown=0)
            assert done.wait(30)
        assert got == [3, 7]
        assert seen.count(SENT, "redis") == 2
        assert seen.spread(DURATION, "redis", "publish")[0] == 2
        assert seen.count(CONSUMED, "redis") == 2
    app.close()


def test_a_broker_that_is_not_there_is_an_error_as_before():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with watching("kombu") as seen:
            connection = kombu.Connection(f"redis://127.0.0.1:{taken.getsockname()[1]}")
            with pytest.raises((OSError, kombu.exceptions.OperationalError)):
                connection.Producer().publish({}, routing_key="x")
            assert seen.count(SENT) == 0
            connection.release()


def test_at_the_end_kombu_is_as_before():
    plain = kombu.Producer.publish
    with watching("kombu"):
        assert kombu.Producer.publish is not plain
    assert kombu.Producer.publish is plain
