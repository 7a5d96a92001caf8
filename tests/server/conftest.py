"""A bench of real servers, emptied after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server_kit import Bench, server_threads, until


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    with bench.stack:
        yield bench
    assert until(lambda: not server_threads(), 3), server_threads()
