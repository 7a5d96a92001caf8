"""When a connection lives on."""

import itertools

import pytest

from kirsch.wire.http1.persistence import allows_keep_alive, connection_tokens, lives_on


@pytest.mark.parametrize(
    ("value", "with_10", "with_11"),
    [
        (None, False, True),
        ("", False, True),
        ("close", False, False),
        ("Close", False, False),
        ("keep-alive", True, True),
        ("KEEP-ALIVE", True, True),
        ("keep-alive, close", False, False),
        ("close, keep-alive", False, False),
        ("Upgrade", False, True),
        (" upgrade ,\tKeep-Alive", True, True),
        (",,close,,", False, False),
        ("closed", False, True),
        ("keep-alive; x", False, True),
    ],
)
def test_what_a_request_allows(value, with_10, with_11):
    assert allows_keep_alive(0, value) is with_10
    assert allows_keep_alive(1, value) is with_11


def test_tokens():
    assert connection_tokens(" A ,, b,\tc ") == ["a", "b", "c"]
    assert connection_tokens("") == []


def test_lives_on():
    cases = itertools.product(
        (True, False), ("none", "length", "chunked", "close"), (True, False), (True, False)
    )
    alive = [
        case
        for case in cases
        if lives_on(
            keep_alive=case[0], framing=case[1], request_done=case[2], response_done=case[3]
        )
    ]
    assert alive == [(True, framing, True, True) for framing in ("none", "length", "chunked")]
    with pytest.raises(KeyError):
        lives_on(keep_alive=True, framing="other", request_done=True, response_done=True)
