"""A bench of real servers, emptied after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server_kit import Bench, server_threads, until
from tls_kit import Pki


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    with bench.stack:
        yield bench
    assert until(lambda: not server_threads(), 3), server_threads()


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """An authority; `pki.local` is a certificate for localhost, with its key."""
    return Pki(tmp_path_factory.mktemp("pki"))
