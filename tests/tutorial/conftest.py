"""Each tutorial in a process of its own, started when a test first asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tutorial_kit import Tutorial


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[str], Tutorial]]:
    """`serve(module)`: the tutorial, as `python -m` starts it; the same one for all who ask."""
    running: dict[str, Tutorial] = {}

    def one(module: str) -> Tutorial:
        if module not in running:
            running[module] = Tutorial(module)
        return running[module]

    yield one
    statuses = {module: tutorial.end() for module, tutorial in running.items()}
    assert set(statuses.values()) <= {0}, statuses
