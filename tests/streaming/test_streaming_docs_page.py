"""docs/streaming.md: its samples run, and its table of settings is that of `sse.stream`."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cherrypy.lib import sse

PAGE = Path(__file__).resolve().parents[2] / "docs" / "streaming.md"
TEXT = PAGE.read_text("utf-8")
SAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_a_sample_prints_what_its_comments_say(number: int) -> None:
    source = SAMPLES[number]
    promised = re.findall(r"print\(.*\)+ +# (.*)", source)
    assert promised
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == promised, done.stderr


def test_the_table_has_every_setting_and_its_default() -> None:
    block = TEXT.partition("<!-- settings -->")[2].partition("<!-- end of settings -->")[0]
    shown = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", block, re.MULTILINE))
    parameters = inspect.signature(sse.stream).parameters.values()
    assert shown == {one.name: repr(one.default) for one in parameters}
