"""The fixture that the tests of the monitor share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from monitored import Monitored, monitored


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitored]:
    """A site that is monitored once it is started."""
    with monitored(monkeypatch) as it:
        yield it
