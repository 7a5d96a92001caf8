"""The pages on exports and on the command: their samples run, and what they name is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cherrypy.monitor.command import parser
from cherrypy.monitor.histograms import SECONDS
from cherrypy.monitor.settings import SETTINGS
from cherrypy.monitor.sources import read_file
from docs_kit import check_program, page, programs, samples

PAGES = ("monitoring/export", "monitoring/command")


@pytest.mark.parametrize("source", programs(*PAGES))
def test_samples(source: str) -> None:
    check_program(source)


@pytest.mark.parametrize("number", range(2))
def test_configurations_are_read(tmp_path: Path, number: int) -> None:
    path = tmp_path / "site.conf"
    path.write_text(samples("monitoring/export", "ini")[number])
    assert read_file(str(path))[0]["on"] is True


@pytest.mark.parametrize("name", PAGES)
def test_commands_are_understood(name: str) -> None:
    lines = [line for sample in samples(name, "sh") for line in sample.splitlines()]
    lines += re.findall(r"`(python -m cherrypy monitor [^`]+)`", page(name))
    assert lines
    for line in lines:
        words = shlex.split(line.partition("  #")[0].partition(" > ")[0])
        assert words[:4] == ["python", "-m", "cherrypy", "monitor"]
        parser().parse_args(words[4:])


def test_options_and_commands_are_those_of_the_parser() -> None:
    text = page("monitoring/command")
    words = parser()
    (commands,) = (one for one in words._actions if one.choices)
    assert commands.choices is not None
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(commands.choices)
    run = commands.choices["run"]  # type: ignore[call-overload]  # a dict, whatever its type says
    options = {name for one in run._actions for name in one.option_strings if name[:2] == "--"}
    assert set(re.findall(r"^\| `(--\w+)", text, re.MULTILINE)) == options - {"--help"}


def test_settings_that_are_named_are_there() -> None:
    text = page("monitoring/export")
    named = set(re.findall(r"`((?:otlp|statsd|health|monitor)\.[a-z_.]+)`", text))
    assert {name.removeprefix("monitor.") for name in named} <= set(SETTINGS)


def test_bounds_of_histograms() -> None:
    text = page("monitoring/export").replace("\n", " ")
    found = re.search(r"seconds up to ([\d., and]+)\. Counts", text)
    assert found
    assert [float(one) for one in re.findall(r"[\d.]+\d|\d", found[1])] == list(SECONDS)
