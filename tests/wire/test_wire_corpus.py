"""The corpus, whole, byte by byte and at random splits: what is read never depends on the splits."""

import random

import pytest
from corpus_loader import ACCEPTED, INVALID, PAGE, REFUSED, VALID, pieces, replay, with_tables


def splits(case):
    data = case["data"]
    yield "whole", [data]
    yield "byte by byte", [data[i : i + 1] for i in range(len(data))]
    yield "line by line", data.splitlines(keepends=True)
    rng = random.Random(case["name"])
    for _ in range(12):
        cuts = [rng.randrange(len(data)) for _ in range(rng.randrange(1, 9))]
        yield f"cut at {sorted(cuts)}", list(pieces(data, cuts))


def expected_end(case):
    if case["exchanges"][-1]["keep_alive"]:
        return "open", case["rest"]
    return "closed", case["rest"]


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["name"])
def test_valid(case):
    for how, stream in splits(case):
        exchanges, end = replay(stream)
        assert exchanges == case["exchanges"], how
        assert end == expected_end(case), how


@pytest.mark.parametrize("case", INVALID, ids=lambda case: f"{case['rule']}: {case['name']}")
def test_invalid(case):
    for how, stream in splits(case):
        exchanges, end = replay(stream)
        assert end == ("refused", case["status"], case["text"]), how
        assert len(exchanges) == case["before"], how


def test_size_of_the_corpus():
    assert len(VALID) >= 60
    assert len(INVALID) >= 120


@pytest.mark.parametrize("corpus", [VALID, INVALID], ids=["valid", "invalid"])
def test_every_case_has_a_name_of_its_own_and_a_source(corpus):
    names = [(case["rule"], case["name"]) for case in corpus]
    assert len(names) == len(set(names))
    assert all(case["rfc"] == "none" or case["rfc"].startswith("RFC ") for case in corpus)


def test_every_rule_has_a_case():
    assert {case["rule"] for case in INVALID} == set(REFUSED)
    assert {case["rule"] for case in VALID} - {None} == set(ACCEPTED)


#: After these another request may follow on the connection.
FOLLOWED = [case for case in VALID if case["exchanges"][-1]["keep_alive"] and not case["rest"]]


@pytest.mark.parametrize("first", FOLLOWED, ids=lambda case: case["name"])
def test_what_was_read_before_changes_nothing(first):
    """`last` is only a shortcut: after any exchange, each next request reads as it does alone."""
    for case in VALID:
        exchanges, end = replay([first["data"] + case["data"]])
        assert exchanges == first["exchanges"] + case["exchanges"], case["name"]
        assert end == expected_end(case), case["name"]
    for case in INVALID:
        _, end = replay([first["data"], case["data"]])
        assert end == ("refused", case["status"], case["text"]), case["name"]


def test_the_page_says_what_the_corpus_says():
    page = PAGE.read_text("utf-8")
    assert page == with_tables(page), "run: python tests/wire/corpus_loader.py"
