"""The fixtures that the tests of the monitor share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from dashboard_kit import BROWSER
from monitored import Monitored, monitored

sys.path.append(BROWSER)

import chromium


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitored]:
    """A site that is monitored once it is started."""
    with monitored(monkeypatch) as it:
        yield it


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Browser]:
    """Chromium, one for all tests of a file."""
    if chromium.command() is None:
        pytest.skip("Chromium is not installed")
    with chromium.browser() as one:
        yield one
