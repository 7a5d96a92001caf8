"""docs/websockets.md: its samples run, and its tables of settings are those of the code."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_kit import RedisServer
from websocket_site import until

from cherrypy.websocket import Relay
from cherrypy.websocket.client import Client, connect
from cherrypy.websocket.tool import open_websocket
from docs_kit import check_program, page, samples

REDIS = "redis://localhost:6379/0"
CHAT = [source for source in samples("websockets") if source.startswith("# chat.py")]
PROGRAMS = [source for source in samples("websockets") if source not in CHAT]


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A Redis of our own, for the one that the page speaks of."""
    server = RedisServer()
    yield server.url
    server.close()


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_sample_prints_what_its_comments_say(number: int, request: pytest.FixtureRequest) -> None:
    source = PROGRAMS[number]
    if REDIS in source:
        source = source.replace(REDIS, request.getfixturevalue("redis_url"))
    assert "Traceback" not in check_program(source)


def test_the_chat_of_two_processes(redis_url: str, tmp_path: Path) -> None:
    [source] = CHAT
    program = tmp_path / "chat.py"
    program.write_text(source.replace(REDIS, redis_url), "utf-8")
    logs = [tmp_path / "1.log", tmp_path / "2.log"]
    processes = []
    try:
        for log in logs:
            with open(log, "wb") as file:
                command = [sys.executable, "-W", "error", str(program), "0"]
                processes.append(subprocess.Popen(command, stdout=file, stderr=file))
        texts = [text_of(log) for log in logs]
        first, second = (re.search(r"http://(127\.0\.0\.1:\d+)", text) for text in texts)
        assert first and second
        with connect(f"ws://{first[1]}/chat/Ann") as ann:
            assert ann.recv() == "Ann comes in"
            with connect(f"ws://{second[1]}/chat/Bob") as bob:
                assert ann.recv() == "Bob comes in"
                bob.send("good morning")
                assert ann.recv() == "Bob: good morning"
                # Processes have no common order: Ann's coming may arrive when Bob is there.
                assert [text for text in take(bob, 3) if "Bob" in text][:2] == [
                    "Bob comes in",
                    "Bob: good morning",
                ]
            assert ann.recv() == "Bob leaves"
    finally:
        for process in processes:
            process.terminate()
        codes = [process.wait(20) for process in processes]
    assert codes == [0, 0]
    assert "Traceback" not in "".join(log.read_text("utf-8") for log in logs)


def take(client: Client, most: int) -> list[str]:
    """What comes, until Bob has said something."""
    texts: list[str] = []
    while len(texts) < most and "Bob: good morning" not in texts:
        texts.append(str(client.recv()))
    return texts


def text_of(log: Path) -> str:
    """What a process has logged when it serves and its Redis does."""

    def told() -> str:
        text = log.read_text("utf-8")
        return text if "serves WebSocket broadcasts" in text and "Serving on" in text else ""

    text = until(told, 15)
    assert text, log.read_text("utf-8")
    return str(text)


def test_the_table_has_every_setting_and_its_default() -> None:
    block = page("websockets").partition("<!-- settings -->")[2]
    block = block.partition("<!-- end of settings -->")[0]
    shown = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", block, re.MULTILINE))
    parameters = inspect.signature(open_websocket).parameters.values()
    assert shown == {one.name: repr(one.default) for one in parameters}


def test_the_table_of_the_client_has_every_argument() -> None:
    block = page("websockets").partition("| argument of `connect`")[2].partition("\n\n")[0]
    shown = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", block, re.MULTILINE))
    _, *parameters = inspect.signature(connect).parameters.values()
    assert shown == {one.name: repr(one.default) for one in parameters}


def test_the_table_of_redis_has_every_setting_and_its_default() -> None:
    block = page("websockets").partition("| `engine.websocket.<name>` |")[2].partition("\n\n")[0]
    shown = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", block, re.MULTILINE))
    names = [name for name in vars(Relay) if name.startswith("redis")]
    assert shown == {name: repr(getattr(Relay, name)) for name in names}
