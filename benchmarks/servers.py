"""One server process: started on a free port, awaited, looked at through /proc, and ended by its id."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .workloads import CONTENDERS

TOP = Path(__file__).resolve().parent.parent
CACHE = TOP / ".cache" / "bench"
APPS = TOP / "benchmarks" / "apps"
FILES = CACHE / "files"
CERTIFICATE, KEY = CACHE / "tls" / "cert.pem", CACHE / "tls" / "key.pem"
START_TIMEOUT = 20.0  # seconds


class Unavailable(Exception):
    """A contender that cannot take part, and why."""


def environment_python(name: str) -> Path:
    return CACHE / name / "bin" / "python"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(core: int) -> list[str]:
    """The prefix that keeps a command on one core, where there is more than one."""
    if (os.cpu_count() or 1) > 1 and shutil.which("taskset"):
        return ["taskset", "-c", str(core)]
    return []


def make_certificate() -> None:
    """A certificate of our own for 127.0.0.1, once. Raises Unavailable without openssl."""
    if CERTIFICATE.exists() and KEY.exists():
        return
    CERTIFICATE.parent.mkdir(parents=True, exist_ok=True)
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650"
    command = [*words.split(), "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*command, "-keyout", KEY, "-out", CERTIFICATE],
            check=True,
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"no certificate could be made: {error}") from None


def fetch(port: int, path: str, tls: bool = False) -> tuple[int, str, str]:
    """GET once: (status, the first 100 characters, the Set-Cookie pair)."""
    if tls:
        context = ssl.create_default_context(cafile=str(CERTIFICATE))
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=5, context=context
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()[:100].decode("latin-1")
        return response.status, body, (response.getheader("Set-Cookie") or "").partition(";")[0]
    finally:
        connection.close()


@contextlib.contextmanager
def running(name: str, path: str, answer: str, tls: bool = False) -> Iterator[tuple[int, int]]:
    """Start contender `name` on core 0; gives (port, pid) once `path` is answered with `answer`.

    Raises Unavailable when it does not start, or says something else.
    """
    room, arguments = CONTENDERS[name]
    python = environment_python(room)
    if not python.exists():
        raise Unavailable("its environment could not be made")
    if tls:
        make_certificate()
    port = free_port()
    words = [word.format(port=port, cert=CERTIFICATE, key=KEY) for word in arguments.split()]
    command = [*pinned(0), str(python), *words]
    environ = {
        **os.environ,
        "BENCH_FILES": str(FILES),
        "BENCH_CERTIFICATE": str(CERTIFICATE),
        "BENCH_KEY": str(KEY),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            cwd=APPS,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            _await(process, port, path, answer, said, tls)
            yield port, process.pid
        finally:
            _end(process)


def _await(
    process: subprocess.Popen[bytes], port: int, path: str, answer: str, said: object, tls: bool
) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    why = "it did not listen"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            why = f"it ended with status {process.returncode}"
            break
        try:
            status, body, _ = fetch(port, path, tls)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            continue
        if status == 200 and body.startswith(answer):
            return
        why = f"it answered {status} {body[:40]!r}"
        break
    said.seek(0)  # type: ignore[attr-defined]  # a TemporaryFile has no type of its own
    words = said.read().decode("utf-8", "replace").strip().splitlines()  # type: ignore[attr-defined]  # the same
    raise Unavailable(why + (f" ({words[-1][:160]})" if words else ""))


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the server's own process group, SIGKILL five seconds later."""
    for kind, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # workers that outlived their master


def processes(pid: int) -> list[int]:
    """`pid` and all that descend from it."""
    found, look = [], [pid]
    while look:
        one = look.pop()
        found.append(one)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                look += [int(child) for child in (task / "children").read_text().split()]
    return found


def memory(pid: int) -> int:
    """Resident bytes of a server, its workers' included; shared pages counted once (PSS) when it has workers."""
    everyone = processes(pid)
    key, file = ("VmRSS:", "status") if len(everyone) == 1 else ("Pss:", "smaps_rollup")
    total = 0
    for one in everyone:
        for line in Path(f"/proc/{one}/{file}").read_text().splitlines():
            if line.startswith(key):
                total += int(line.split()[1]) * 1024
    return total


def threads(pid: int) -> int:
    return sum(len(list(Path(f"/proc/{one}/task").iterdir())) for one in processes(pid))


def cpu_seconds(pid: int) -> float:
    ticks = 0
    for one in processes(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
