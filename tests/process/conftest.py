"""A bus for each test."""

import pytest
from bus_kit import LoggedBus


@pytest.fixture
def bus():
    made = LoggedBus()
    yield made
    if made.state is not made.states.EXITING:
        made.exit()
