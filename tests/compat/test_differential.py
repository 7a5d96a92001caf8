"""The same apps and the same requests as were recorded with CherryPy 18.10, answered by ours."""

from __future__ import annotations

import copy
import functools
import json
import re
import tempfile
from dataclasses import fields
from fnmatch import fnmatchcase
from typing import Any

import pytest
from compat_kit import EXPECTED, R, Served, Talk
from differences import DIFFERENCES, RULES, TOLERATED, Wanted

RECORDED: dict[str, Any] = json.loads(EXPECTED.read_text())
CASES = [
    (app, number, item["name"])
    for app, told in RECORDED.items()
    for number, item in enumerate(told["requests"])
]


def request_of(item: dict[str, Any]) -> R:
    values = {f.name: item[f.name] for f in fields(R)}
    for key in ("body", "raw"):
        if values[key] is not None:
            values[key] = values[key].encode("utf-8", "surrogateescape")
    if values["digest"]:
        values["digest"] = tuple(values["digest"])
    return R(**values)


@functools.cache
def answers(app: str) -> list[dict[str, Any]]:
    """Everything one app answers, in the order recorded: later requests build on earlier ones."""
    told = RECORDED[app]
    with tempfile.TemporaryDirectory(prefix="compat-") as folder:
        try:
            served = Served(app, folder=folder)
        except RuntimeError as error:
            return [{"failed": str(error)}] * len(told["requests"])
        try:
            assert served.digest == told["digest"], f"{app} has changed: run record.py"
            talk = Talk(served.address)
            found: list[dict[str, Any]] = []
            silent = 0
            for item in told["requests"]:
                if silent >= 3:  # a server that hangs must not hang the whole run
                    found.append({"failed": "not asked: the server had stopped answering"})
                    continue
                found.append(talk.ask(request_of(item)))
                expected_end = item["expected"]["end"]
                if found[-1]["end"] in ("timeout", "refused") and expected_end == "closed":
                    silent += 1
            return found
        finally:
            served.close()


def difference(app: str, name: str) -> Wanted | None:
    key = f"{app}/{name}"
    if key in DIFFERENCES:
        return DIFFERENCES[key]
    return next((v for k, v in DIFFERENCES.items() if "*" in k and fnmatchcase(key, k)), None)


def check_part(key: str, got: Any, wanted: Any) -> None:
    if isinstance(wanted, re.Pattern):
        assert wanted.search(got), f"{key}: {got!r} does not match {wanted.pattern!r}"
    elif key == "headers":
        for name, value in wanted.items():
            assert got.get(name) == value, f"header {name}: {got.get(name)} is not {value}"
    else:
        assert got == wanted, f"{key}: {got!r} is not {wanted!r}"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("app", "number", "name"), CASES, ids=[f"{a}/{n}" for a, _, n in CASES])
def test_same_answer(app: str, number: int, name: str) -> None:
    got = answers(app)[number]
    assert "failed" not in got, got["failed"]
    expected = copy.deepcopy(RECORDED[app]["requests"][number]["expected"])
    wanted = difference(app, name)
    if wanted:
        assert len(got["answers"]) == len(wanted.answers), got
        for answer, parts in zip(got["answers"], wanted.answers, strict=True):
            for key, value in parts.items():
                check_part(key, answer.get(key), value)
        return
    for answer in expected["answers"]:
        if "malformed" not in answer:
            for rule in RULES:
                rule(f"{app}/{name}", answer)
    got = copy.deepcopy(got)
    for mine, theirs in zip(got["answers"], expected["answers"], strict=False):
        if "malformed" not in mine and "malformed" not in theirs:
            for tolerate in TOLERATED:
                tolerate(theirs, mine)
            if not mine["traceback"]:
                mine["body"], theirs["body"] = mine["body"].rstrip(), theirs["body"].rstrip()
    assert got == expected


def test_every_difference_is_about_a_recorded_request() -> None:
    names = {f"{app}/{name}" for app, _, name in CASES}
    for key in DIFFERENCES:
        assert any(fnmatchcase(n, key) if "*" in key else n == key for n in names), key
