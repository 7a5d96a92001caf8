"""Any process of a site tells the collector where its threads are; one that does not answer hangs nobody."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import processes_kit
import pytest
from processes_kit import Processes, ask, suspend, until

from cherrypy.monitor.plugin import Monitor
from cherrypy.monitor.processes import answers
from cherrypy.monitor.processes.frames import (
    Frames,
    answer_frame,
    answer_in,
    number_in,
    question_frame,
    question_in,
)
from cherrypy.monitor.processes.questions import MOST_OWED, Question, Questions, Unanswered
from cherrypy.monitor.processes.sender import Sender
from cherrypy.monitor.profiles import Profile
from cherrypy.process.wspbus import Bus

#: Several processes begin and end in each, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Processes]:
    yield from processes_kit.processes(tmp_path)


@contextmanager
def asking(port: int, path: str) -> Iterator[None]:
    """Have a page asked for, in a thread; it is answered, or its process killed, when the block ends."""
    thread = threading.Thread(target=ask, args=(port, path, 60.0), daemon=True)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


def in_flight(site: Processes, pid: int) -> dict[str, Any]:
    """The request that a process answers, once the collector knows of it."""

    def found() -> Any:
        entries = json.loads(site.look("/api/inflight") or "[]")
        return next((one for one in entries if one["worker"] == str(pid)), None)

    entry: dict[str, Any] = until(found)
    return entry


def told(site: Processes, words: str, **form: object) -> str:
    """The stack of a thread, asked for until there are some words in it: a busy process may be late."""

    def asked() -> str:
        time.sleep(0.2)  # it is not to be asked more often than every two seconds for long
        card: str = site.act("/live/stack", **form).get("html", "")
        return card if words in card else ""

    text: str = until(asked)
    return text


def test_the_stack_of_a_request_of_another_process(site: Processes) -> None:
    site.site()
    other, port = site.site()
    with asking(port, "/hold?seconds=60"):
        entry = in_flight(site, other.pid)
        text = told(site, "in hold", ident=entry["ident"], worker=entry["worker"])
        assert "time.sleep" in text and f"of process {other.pid}" in text
        told(site, "The thread has ended.", ident=1, worker=other.pid)
        told(site, "The process 4711x has ended, or is not known.", ident=1, worker="4711x")
        other.kill()


def test_who_is_stopped_answers_nobody_and_nobody_waits_for_long(site: Processes) -> None:
    site.site()
    other, port = site.site()
    until(lambda: "cherrypy_requests_total" in site.metrics())
    with asking(port, "/hold?seconds=1"):
        entry = in_flight(site, other.pid)
    suspend(other)
    began = time.monotonic()
    words = {"ident": entry["ident"], "worker": other.pid}
    card = site.act("/live/stack", **words)["html"]
    assert f"The process {other.pid} has not answered in time" in card
    assert time.monotonic() - began < 60
    # It is not asked more and more: it would have to answer all of them when it goes on.
    threads = [
        threading.Thread(target=site.act, args=("/live/stack",), kwargs=words, daemon=True)
        for _ in range(MOST_OWED - 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert "still owes" in site.act("/live/stack", **words)["html"]
    assert site.count() >= 0  # the others are seen as ever
    other.send_signal(signal.SIGCONT)
    until(lambda: "still owes" not in site.act("/live/stack", **words)["html"])


def test_who_is_killed_while_it_is_asked(site: Processes) -> None:
    site.site()
    other, port = site.site()
    with asking(port, "/hold?seconds=1"):
        entry = in_flight(site, other.pid)
    number = site.act("/profile/begin", seconds=20, rate=50, process=other.pid)["id"]
    other.kill()
    until(lambda: "has died." in site.look(f"/profile?id={number}"))
    told(site, "has ended, or is not known.", ident=entry["ident"], worker=other.pid)


def stacks(site: Processes, number: int) -> str:
    def over() -> str:
        text = site.look(f"/profile/stacks?id={number}")
        return "" if '"status"' in text or "<html" in text else text

    text: str = until(over)
    return text


def test_a_profile_of_all_processes_or_one(site: Processes) -> None:
    first, port = site.site()
    second, other = site.site()
    stopped, _ = site.site()
    until(lambda: str(stopped.pid) in site.look("/profile"))
    assert "no such process" in site.act("/profile/begin", seconds=1, process="4711x")["error"]
    suspend(stopped)
    with busy(port), busy(other):
        for _ in range(6):  # who has no time may tell too late
            number = site.act("/profile/begin", seconds=2, rate=50, process="all")["id"]
            text = stacks(site, number)
            if all(works(text, process.pid) for process in (first, second)):
                break
            time.sleep(2)
        else:
            raise AssertionError(text)
        page = site.look(f"/profile?id={number}")
        assert f"The process {stopped.pid} has not answered in time" in page
        assert "3 processes" in page
        for _ in range(6):
            number = site.act("/profile/begin", seconds=1, rate=50, process=second.pid)["id"]
            text = stacks(site, number)
            if "work_hard" in text:
                break
            time.sleep(2)
    assert "work_hard" in text and not text.startswith("process")
    assert f"process {second.pid}: " in site.look(f"/profile?id={number}")


def works(text: str, pid: int) -> bool:
    """Whether a process was seen at work."""
    lines = [line for line in text.splitlines() if line.startswith(f"process {pid};")]
    return any("work_hard" in line for line in lines)


@contextmanager
def busy(port: int) -> Iterator[None]:
    """Have a process at work until the block ends."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            ask(port, "/busy?seconds=1")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(60)


# -- what goes between them ------------------------------------------------------------------------


def profile_with(stacks: dict[tuple[str, ...], int]) -> Profile:
    profile = Profile(1, 1.0, 100.0, False)
    profile.stacks.update(stacks)
    profile.samples, profile.missed = 100, 3
    return profile


def test_a_profile_comes_as_it_was() -> None:
    stacks = {
        ("worker", "a (x.py:1)", "b (x.py:2)"): 7,
        ("worker", "a (x.py:1)"): 1,
        ("other",): 92,
    }
    data = answer_frame(3, answers.told(profile_with(stacks)))
    (packed,) = Frames().feed(data)
    assert number_in(packed) == 3
    into = profile_with({})
    answers.read(answer_in(packed), into, ("process 5",))
    assert into.stacks == {("process 5", *stack): count for stack, count in stacks.items()}
    assert (into.samples, into.missed) == (100, 6)


def test_of_a_profile_that_is_too_big_the_most_frequent_is_told(monkeypatch: Any) -> None:
    monkeypatch.setattr(answers, "MOST_NAMES", 1000)
    stacks = {(f"function {number:03} (x.py:1)",): 1 + number for number in range(500)}
    into = profile_with({})
    answers.read(answers.told(profile_with(stacks)), into, ())
    assert 20 < len(into.stacks) < 80
    assert into.stacks["function 499 (x.py:1)",] == 500
    assert sum(into.stacks.values()) == sum(stacks.values())


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"names": 5, "stacks": [], "samples": 1, "missed": 0},
        {"names": ["a"], "stacks": [[1, 5]], "samples": 1, "missed": 0},
        {"names": ["a"], "stacks": [[1, -1]], "samples": 1, "missed": 0},
        {"names": ["a"], "stacks": [[-1, 0]], "samples": 1, "missed": 0},
        {"names": ["a"], "stacks": [[]], "samples": 1, "missed": 0},
        {"names": ["a"], "stacks": [["1", 0]], "samples": 1, "missed": 0},
        {"names": ["a"], "stacks": [[1, 0]], "samples": "many", "missed": 0},
    ],
)
def test_what_is_no_profile_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        answers.read(answer, profile_with({}), ())


def test_an_answer_that_unpacks_to_very_much_is_refused(monkeypatch: Any) -> None:
    from cherrypy.monitor.processes import frames

    monkeypatch.setattr(frames, "MOST_UNPACKED", 10_000)
    (packed,) = Frames().feed(answer_frame(1, {"stack": "x" * 20_000}))
    with pytest.raises(ValueError, match="too big"):
        answer_in(packed)


def test_questions_have_an_end_too() -> None:
    with pytest.raises(ValueError, match="question"):
        question_frame(1, {"ask": "x" * 100_000})
    for nonsense in (
        b"",
        b"5",
        b"[]",
        b'{"number": "x"}',
        b'{"number": -1}',
        b"\xff",
        b"[" * 100_000,
    ):
        with pytest.raises(ValueError, match=r"."):
            question_in(nonsense)
    near, far = socket.socketpair()
    near.setblocking(False)
    questions = Questions()
    asked = [Question("7") for _ in range(MOST_OWED + 1)]
    for question in asked:
        questions.put(near, question, {"ask": "stack", "ident": 1})
    with pytest.raises(Unanswered, match="still owes"):
        asked[-1].answer(time.monotonic() + 5)
    with pytest.raises(Unanswered, match="not answered in time"):
        asked[0].answer(time.monotonic())
    (packed,) = Frames().feed(answer_frame(2, {"stack": "here"}))
    questions.answered(2, packed)
    questions.answered(2, packed)  # nobody waits for it any more
    questions.answered(999, packed)
    assert asked[1].answer(time.monotonic() + 5) == {"stack": "here"}
    questions.fail("has died.")
    with pytest.raises(Unanswered, match=r"The process 7 has died\."):
        asked[2].answer(time.monotonic() + 5)
    far.close()
    late = Question("7")
    questions.put(near, late, {"ask": "stack"})
    with pytest.raises(Unanswered, match="could not be asked"):
        late.answer(time.monotonic() + 5)
    near.close()


# -- a collector that is none ----------------------------------------------------------------------


@contextmanager
def sender() -> Iterator[tuple[Monitor, Sender, socket.socket]]:
    """A sender, and the other end of its connection."""
    monitor = Monitor(Bus())
    near, far = socket.socketpair()
    far.settimeout(60)
    made = Sender(monitor, "nowhere", near)
    try:
        yield monitor, made, far
    finally:
        far.close()
        made.abandon()
        assert not made._thread.is_alive()


def answer_from(far: socket.socket) -> tuple[int, dict[str, Any]]:
    frames = Frames()
    while True:
        for packed in frames.feed(far.recv(1 << 16)):
            if number_in(packed) >= 0:
                return number_in(packed), answer_in(packed)


def test_a_sender_answers() -> None:
    with sender() as (_, _made, far):
        ident = threading.get_ident()
        far.sendall(question_frame(41, {"ask": "stack", "ident": ident}))
        number, answer = answer_from(far)
        assert number == 41 and "test_a_sender_answers" in answer["stack"]
        far.sendall(question_frame(42, {"ask": "the way"}))
        assert "does not know how" in answer_from(far)[1]["refused"]
        far.sendall(question_frame(43, {"ask": "profile", "seconds": 60, "rate": 1, "idle": True}))
        far.sendall(question_frame(44, {"ask": "profile", "seconds": 1, "rate": 1, "idle": True}))
        number, answer = answer_from(far)
        assert number == 44 and "Another profile" in answer["refused"]


def test_a_question_that_cannot_be_answered_is_said_to_be_none() -> None:
    with sender() as (monitor, _made, far):
        monitor.broken = lambda what, error=None: None  # type: ignore[method-assign]  # the log of this bus
        far.sendall(question_frame(1, {"ask": "stack", "ident": "x"}))
        assert answer_from(far)[1]["refused"] == "It failed: ValueError."


@pytest.mark.parametrize("rubbish", [b"\xff" * 64, b"\0\0\0\2{}", b"\0\0\0\1[", b"\0\1\0\0" * 9])
def test_a_collector_of_rubbish_is_left(rubbish: bytes) -> None:
    with sender() as (monitor, made, far):
        monitor.broken = lambda what, error=None: None  # type: ignore[method-assign]  # the log of this bus
        far.sendall(rubbish)
        if rubbish == b"\0\1\0\0" * 9:
            far.close()
        until(lambda: not made.beat())


def test_a_collector_that_takes_nothing_is_not_waited_for() -> None:
    with sender() as (monitor, made, far):
        monitor.taker.details["much"] = lambda: os.urandom(500_000).hex()
        began = time.monotonic()
        for _ in range(5):
            assert made.beat()
        for number in range(20):
            made._reply(number, {"stack": os.urandom(600_000).hex()})
        assert time.monotonic() - began < 60
        assert len(made._rest) <= 2 * 8 * 1024 * 1024
        # And when it takes what there is, all of it comes whole.
        frames, known = Frames(), []
        while len(known) < 5:
            known += frames.feed(far.recv(1 << 20))
        assert [number_in(packed) for packed in known] == [-1, 0, 1, 2, 3]


def test_a_child_leaves_the_connection_of_its_parent_alone() -> None:
    with sender() as (_, made, far):
        child = os.fork()
        if not child:
            made.abandon()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert made.beat()
        far.sendall(question_frame(1, {"ask": "stack", "ident": threading.get_ident()}))
        assert "test_a_child" in answer_from(far)[1]["stack"]
