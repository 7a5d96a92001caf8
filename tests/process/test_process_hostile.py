"""What the command line says when nothing comes of it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def cherryd(*args: str, cwd: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "cherrypy", *args],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=cwd,
        check=False,
    )


@pytest.mark.parametrize("environment", [(), ("-e", "production")])
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("server.socket_port = 99999", "server.socket_port must be a number"),
        ("server.ssl_certificate = 'cert.pem'", "certificate: cannot read cert.pem"),
        ("server.thread_pool = 0", "threads must be at least 1"),
        ("server.instance = 'no.such.thing'", "no"),
    ],
)
def test_a_start_that_fails_is_said_even_without_a_log(tmp_path, environment, setting, words):
    conf = tmp_path / "site.conf"
    conf.write_text(f"[global]\n{setting}\nengine.autoreload.on = False\n")
    done = cherryd("-c", str(conf), *environment, cwd=str(tmp_path))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("The engine did not start: ")
    assert words in last


def test_a_pid_file_without_its_folder(tmp_path):
    name = str(tmp_path / "missing" / "x.pid")
    conf = tmp_path / "site.conf"
    conf.write_text("[global]\nserver.socket_port = 0\n")
    done = cherryd("-c", str(conf), "-e", "production", "-p", name, cwd=str(tmp_path))
    assert done.returncode == 1
    assert name in done.stderr.strip().splitlines()[-1]


def test_a_module_that_cannot_be_imported(tmp_path):
    (tmp_path / "broken.py").write_text("def (")
    done = cherryd("-i", "broken", cwd=str(tmp_path))
    assert done.returncode == 1
    assert "SyntaxError" in done.stderr
    assert "broken.py" in done.stderr
    assert "nosuch" in cherryd("-i", "nosuch", cwd=str(tmp_path)).stderr
