"""Questions: what the collector asks other processes. Law: who does not answer is waited for no longer
than was said, and is not asked again and again.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from typing import Any

from .frames import answer_in, question_frame

#: Questions that a process may owe an answer to: a stopped one would get any number of them at once,
#: when it goes on.
MOST_OWED = 8


class Unanswered(Exception):
    """A process that has not answered: a sentence says which, and why."""


class Question:
    """One question to one process.

    worker
        The name of the process.
    """

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._over = threading.Event()
        self._packed = b""
        self._failure = ""

    def answer(self, deadline: float) -> dict[str, Any]:
        """Wait for the answer.

        deadline
            By the monotonic clock.

        Raises Unanswered, which says why.
        """
        patience = max(0.0, deadline - time.monotonic())
        if not self._over.wait(patience):
            self.fail(
                "has not answered in time: it was stopped, or has no time for anything but its work."
            )
        if self._failure:
            raise Unanswered(f"The process {self.worker} {self._failure}")
        try:
            answer = answer_in(self._packed)
        except ValueError as error:
            raise Unanswered(f"The process {self.worker} has answered nonsense: {error}") from error
        if "refused" in answer:
            words = str(answer["refused"])[:500]
            raise Unanswered(f"The process {self.worker} did not answer. {words}")
        return answer

    def over(self, packed: bytes) -> None:
        """This is the answer."""
        self._packed = packed
        self._over.set()

    def fail(self, words: str) -> None:
        """There will be none, for this reason."""
        self._failure = words
        self._over.set()


class Questions:
    """The questions that one process has been asked and has not answered."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, Question] = {}

    def put(self, sock: socket.socket, question: Question, words: dict[str, Any]) -> bool:
        """Ask, and say whether that could be done; what cannot be asked has failed."""
        if len(self._open) >= MOST_OWED:
            question.fail("still owes the answers to earlier questions: it was stopped.")
            return False
        number = next(self._numbers) & 0xFFFFFFFF
        try:
            data = question_frame(number, words)
            # So few and so small that all of one fits, unless nothing does.
            self._open[number] = question
            if sock.send(data) != len(data):
                sock.shutdown(socket.SHUT_RDWR)  # half a question: nothing can follow it
        except (OSError, ValueError) as error:
            self._open.pop(number, None)
            question.fail(f"could not be asked: {error}")
            return False
        return True

    def answered(self, number: int, packed: bytes) -> None:
        """An answer has come; one that nobody waits for is thrown away unread."""
        question = self._open.pop(number, None)
        if question is not None:
            question.over(packed)

    def fail(self, words: str) -> None:
        """It will answer none of them."""
        for number in list(self._open):
            question = self._open.pop(number, None)
            if question is not None:
                question.fail(words)
