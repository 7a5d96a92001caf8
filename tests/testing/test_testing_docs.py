"""The samples of docs/testing.md run as they stand."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from docs_kit import check_program, samples

SAMPLES = samples("testing")
PORT = "54583"


def free_port() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return str(sock.getsockname()[1])


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_sample(number: int, tmp_path: Path) -> None:
    sample = SAMPLES[number]
    if "@pytest.fixture" not in sample:
        # Others may be testing on the default port.
        check_program(sample.replace(PORT, free_port()))
        return
    (tmp_path / "test_sample.py").write_text(sample, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    done = subprocess.run(
        [*command, "test_sample.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_default_port_is_the_historical_one() -> None:
    from cherrypy.test.helper import CPWebCase

    assert str(CPWebCase.PORT) == PORT
    assert PORT in "".join(SAMPLES)
