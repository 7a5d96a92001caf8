"""Makes the pictures of the dashboard anew: `scripts/pictures`, or with names of some of them."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pictures_past import Past

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests" / "showcase"))

import chromium  # noqa: E402  the browser of the tests

#: Bytes that a picture has at most.
MOST = 160_000

#: Processes that serve the shop; the last is killed after a while.
PROCESSES = 3


class Picture(NamedTuple):
    """What is shown, and how large."""

    name: str
    path: str
    width: int
    height: int
    dark: bool = False
    before: str = ""


PICTURES = (
    Picture("dashboard", "/?range=24h", 1200, 820),
    Picture("dashboard-dark", "/?range=24h", 1200, 820, True),
    Picture("dashboard-phone", "/?range=24h", 390, 800, True),
    Picture("dashboard-transactions", "/transactions?range=1h", 1280, 560),
    Picture(
        "dashboard-route",
        "/route?range=6h&route=/search",
        1280,
        700,
        before="document.querySelector('[data-live=heat]').scrollIntoView({block: 'end'}); null",
    ),
    Picture("dashboard-errors", "/errors?range=6h", 1280, 720),
    Picture("dashboard-slow", "(slow)", 1200, 715),
    Picture(
        "dashboard-explore",
        "/explore?metric=http.server.request.duration&stat=p95&by=http.route&before=1&range=24h",
        1160,
        790,
    ),
    Picture("dashboard-runtime", "/runtime?range=15m", 1200, 790),
    Picture("dashboard-profile", "(profile)", 1200, 760),
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, path: str, method: str = "GET", body: str = "", **headers: str) -> Any:
    """Ask, and return the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        return connection.getresponse().read()
    finally:
        connection.close()


@contextlib.contextmanager
def shop(folder: Path) -> Iterator[tuple[dict[int, subprocess.Popen[bytes]], int]]:
    """The shop, with its past: its processes by their ports, and the port of its dashboard."""
    Past(folder / "monitor.sqlite3", time.time()).write()
    dashboard = free_port()
    processes: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for _ in range(PROCESSES):
            port = free_port()
            processes[port] = process = subprocess.Popen(
                [sys.executable, TOP / "scripts" / "pictures_shop.py"]
                + [str(port), f"127.0.0.1:{dashboard}", folder],
            )
            until = time.monotonic() + 30
            while True:  # the first collects
                with contextlib.suppress(OSError):
                    ask(dashboard, "/api/now")
                    ask(port, "/")
                    break
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit("The shop did not start.")
                time.sleep(0.1)
        yield processes, dashboard
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(10)


class Visitors:
    """People in the shop, until `end`."""

    PATHS = (
        ("/", 16),
        ("/items/{}", 22),
        ("/search?q=1", 6),
        ("/cart/{}", 3),
        ("/checkout/{}", 3),
        ("/api/stock/{}", 9),
        ("/items/none/{}", 0.4),
        ("/report/2026", 0.12),
    )

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.visit, daemon=True) for _ in range(8)]
        for thread in self.threads:
            thread.start()

    def visit(self) -> None:
        chance = random.Random(threading.get_ident())
        paths, weights = zip(*self.PATHS, strict=True)
        while not self.over.wait(chance.expovariate(6.5)):
            path = chance.choices(paths, weights)[0].format(chance.randrange(60))
            with contextlib.suppress(OSError, http.client.HTTPException):
                ask(chance.choice(self.ports), path)

    def end(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(20)


def special(dashboard: int, path: str) -> str:
    """The address of what is there only once it has happened."""
    if path == "(slow)":
        page = ask(dashboard, "/slow?route=/report/%7Byear%7D").decode()
        return "/slow/one?id=" + page.partition("/slow/one?id=")[2].partition('"')[0]
    if path == "(profile)":
        token = ask(dashboard, "/profile").decode().partition('kirsch-token" content="')[2][:64]
        fields = {"X-Kirsch-Token": token, "Accept": "application/json"}
        begun = json.loads(ask(dashboard, "/profile/begin", "POST", "seconds=8&rate=100", **fields))
        time.sleep(9)
        return f"/profile?id={begun['id']}"
    return path


def take(browser: chromium.Browser, dashboard: int, picture: Picture, into: Path) -> None:
    """Take one picture."""
    path = special(dashboard, picture.path)
    file = into / f"{picture.name}.png"
    browser.picture(file, picture.width, picture.height, picture.dark)  # the size, before the page
    browser.complaints.clear()
    browser.open(f"http://127.0.0.1:{dashboard}{path}")
    browser.until("Number(document.body.dataset.beats) > 0")
    browser.until(
        "[...document.querySelectorAll('figure.chart .plot')].every((one) => one.dataset.drawn)"
    )
    if picture.before:
        browser.run(picture.before)
    browser.picture(file, picture.width, picture.height, picture.dark)
    size = file.stat().st_size
    print(f"{file.relative_to(TOP)}: {size:,} bytes", flush=True)
    if browser.complaints or size > MOST:
        raise SystemExit(f"{picture.name}: {browser.complaints or 'it is too big'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of pictures; all by default")
    parser.add_argument("--wait", type=float, default=75.0, help="seconds of visits (%(default)s)")
    chosen = parser.parse_args()
    wanted = [one for one in PICTURES if not chosen.names or one.name in chosen.names]
    with tempfile.TemporaryDirectory() as folder, shop(Path(folder)) as (processes, dashboard):
        print(f"The dashboard is at http://127.0.0.1:{dashboard}/")
        ports = list(processes)
        visitors = Visitors(ports)
        try:
            time.sleep(chosen.wait * 0.6)
            processes[ports.pop()].kill()
            time.sleep(chosen.wait * 0.4)
            with chromium.browser() as browser:
                browser.call("Emulation.setScrollbarsHidden", hidden=True)
                for picture in wanted:
                    take(browser, dashboard, picture, TOP / "docs" / "pictures")
        finally:
            visitors.end()


if __name__ == "__main__":
    main()
