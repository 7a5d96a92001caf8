"""The samples of docs/process.md run as they stand."""

from __future__ import annotations

import pytest

from docs_kit import samples

SAMPLES = samples("process")


def test_the_samples_were_found():
    assert len(SAMPLES) == 8


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_sample(number):
    sample = SAMPLES[number]
    assert "assert " in sample
    namespace = {"__name__": f"sample_{number}"}
    try:
        exec(compile(sample, f"process.md[{number}]", "exec"), namespace)
    finally:
        bus = namespace["bus"]
        if bus.state is not bus.states.EXITING:
            bus.exit()
