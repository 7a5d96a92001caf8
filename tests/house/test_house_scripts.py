"""The scripts: what they say when they cannot do what was asked, before they set anything up."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from house import TOP, files


def run(*command: str, **environ: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(TOP / command[0]), *command[1:]],
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_demo_says_so_when_the_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = run("scripts/demo", "--port", str(port))
    assert status == 1
    assert f"Port {port} on 127.0.0.1 is taken" in said
    assert "--port" in said.partition("is taken")[2]


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", ""])
def test_demo_wants_a_port(port: str) -> None:
    status, said = run("scripts/demo", PORT=port or "x")
    assert status == 2
    assert "A port is a number" in said


def test_demo_without_a_python(tmp_path: Path) -> None:
    """Only the shell's own tools on PATH, and no pyenv."""
    for name in ("bash", "env", "dirname", "mkdir", "cat", "id"):
        found = shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(found)
    nowhere = str(tmp_path / "nothing")
    status, said = run("scripts/demo", "--port", "1", PATH=str(tmp_path), PYENV_ROOT=nowhere)
    assert status == 1
    assert "No Python 3.10 or later" in said


def test_bench_knows_its_workloads() -> None:
    """The table of the harness and the page about it speak of the same work."""
    sys.path.insert(0, str(TOP))
    try:
        from benchmarks.workloads import CONTENDERS, WORKLOADS
    finally:
        sys.path.remove(str(TOP))
    page = (TOP / "docs" / "benchmarks.md").read_text("utf-8")
    for workload in WORKLOADS.values():
        assert f"`{workload.name}`" in page
        for contender in workload.contenders:
            assert contender in CONTENDERS


def test_downstream_knows_its_products() -> None:
    """It says which there are, before anything is fetched."""
    status, said = run("scripts/downstream", "--list")
    assert status == 0
    assert "rdiffweb" in said
    status, said = run("scripts/downstream", "no-such-product")
    assert status == 2
    assert "no such product: no-such-product; there are rdiffweb" in said
    status, said = run("scripts/downstream", "--page", "rdiffweb")
    assert status == 2
    assert "a run of all" in said


@pytest.mark.parametrize("path", files("scripts/*", ".ci/*"), ids=lambda path: path.name)
def test_shell_scripts_parse_and_stop_at_the_first_error(path: Path) -> None:
    text = path.read_text("utf-8")
    if not text.startswith("#!/usr/bin/env bash"):
        return
    assert "set -euo pipefail" in text
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
