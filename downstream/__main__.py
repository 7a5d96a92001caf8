"""Installs each product with ours in place of CherryPy and Cheroot, runs it, and prints a table.

    scripts/downstream [PRODUCT ...] [--real] [--list] [--page]

``--real`` installs the real CherryPy instead, to see what fails there as well. The exit status is the
number of products that failed. Everything that is made is below ``.cache/downstream``.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from .products import PRODUCTS, Product

HERE = Path(__file__).resolve().parent
TOP = HERE.parent
CACHE = TOP / ".cache" / "downstream"
PAGE = TOP / "docs" / "compatibility.md"
MARKS = re.compile(r"(<!-- downstream:[^\n]*-->\n).*?(<!-- end of downstream -->)", re.DOTALL)
PORT = 54583  # the default of cherrypy.test.helper.CPWebCase
DEADLINE = 900  # seconds for the run of one product
COMPANION = """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
[project]
name = "CherryPy"
version = "18.10.0+kirsch"
dependencies = ["kirsch"]
[tool.setuptools]
packages = []
py-modules = []
"""
# Run in the environment of a product: nothing of the real ones may have come in.
WHOSE = """
import cherrypy, importlib.metadata as m
names = {d.metadata['Name'].lower() for d in m.distributions()}
print(m.version('cherrypy'), 'cheroot' in names, hasattr(cherrypy, 'hosting'))
"""


class Failed(Exception):
    """What could not be done before any test ran."""


@dataclass
class Result:
    product: Product
    passed: int
    failed: int
    skipped: int
    seconds: float
    said: str = ""

    @property
    def good(self) -> bool:
        return self.passed > 0 and not self.failed and not self.said


def run(command: list[str | Path], log: Path, deadline: float = 600, **more: object) -> int:
    """Run a command with its words in a log; give its exit status. The whole group ends at the deadline."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **more,  # type: ignore[call-overload]  # cwd and env
        )
        try:
            return child.wait(deadline)
        except subprocess.TimeoutExpired:
            out.write(b"\nstopped at the deadline\n")
            return 124
        finally:
            try:  # what it left behind in its group
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()


def pip(python: Path | str, log: Path, *words: str | Path) -> None:
    if run([python, "-m", "pip", *words, "-q", "--disable-pip-version-check"], log):
        raise Failed(f"pip {words[0]}: see {log}")


def wheels(folder: Path, log: Path) -> Path:
    """Ours, and the companion of the name CherryPy, built from this checkout."""
    companion = TOP / "packaging" / "cherrypy"
    if not companion.exists():
        companion = CACHE / "companion"
        companion.mkdir(parents=True, exist_ok=True)
        (companion / "pyproject.toml").write_text(COMPANION)
    pip(sys.executable, log, "wheel", "--no-deps", "-w", folder, TOP, companion)
    return folder


def install(product: Product, folder: Path, ours: Path | None, log: Path) -> Path:
    """An environment for the product alone; gives its Python."""
    python = folder / "venv" / "bin" / "python"
    shutil.rmtree(folder / "venv", ignore_errors=True)
    if run([sys.executable, "-m", "venv", folder / "venv"], log):
        raise Failed(f"no environment: see {log}")
    limits = folder / "constraints.txt"
    limits.write_text("CherryPy==18.10.0+kirsch\n" if ours else "CherryPy==18.10.0\n")
    where: list[str | Path] = ["-c", limits]
    base: list[str | Path] = ["CherryPy"]
    if ours:
        where += ["--find-links", ours]
        base = [*ours.glob("*.whl")]
    pip(python, log, "install", *where, *base, "setuptools<81", *product.needs)
    alone = ["--no-deps"] if product.no_deps else []
    pip(python, log, "install", *where, *alone, product.requirement)
    told = subprocess.run(
        [python, "-c", WHOSE], capture_output=True, text=True, check=False, timeout=60
    )
    if ours and told.stdout.split() != ["18.10.0+kirsch", "False", "True"]:
        raise Failed(f"not on ours: {told.stdout}{told.stderr}")
    return python


def source(product: Product, folder: Path, log: Path) -> Path:
    """The unpacked source distribution, fetched once for each version."""
    place = folder / "source" / product.version
    if not place.exists():
        words = ("download", "--no-deps", "--no-binary", product.name, "-d", folder)
        pip(sys.executable, log, *words, f"{product.name}=={product.version}")
        archive = max(folder.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")
    return next(path for path in place.iterdir() if path.is_dir())


def count(report: Path) -> tuple[int, int, int]:
    """What a JUnit report says: passed, failed, skipped."""
    if not report.exists():
        return 0, 0, 0
    suites = [*ElementTree.parse(report).getroot().iter("testsuite")]

    def total(name: str) -> int:
        return sum(int(suite.get(name, 0)) for suite in suites)

    failed, skipped = total("failures") + total("errors"), total("skipped")
    return total("tests") - failed - skipped, failed, skipped


def environ(folder: Path) -> dict[str, str]:
    """Nothing of our own settings, and a home that may be written to."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST", "COV"))}
    home = folder / "home"
    homes = {"HOME": home, "XDG_DATA_HOME": home / "data", "XDG_CONFIG_HOME": home / "config"}
    for place in homes.values():
        place.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join((str(folder / "venv" / "bin"), kept.get("PATH", os.defpath)))
    return kept | {k: str(v) for k, v in homes.items()} | {"PATH": path}


def own_tests(product: Product, python: Path, folder: Path, log: Path) -> tuple[int, int, int, str]:
    try:
        socket.create_server(("127.0.0.1", PORT)).close()
    except OSError:
        raise Failed(f"port {PORT}, where the tests of such products listen, is taken") from None
    top, report = source(product, folder, log), folder / "report.xml"
    report.unlink(missing_ok=True)
    left = [word for name in product.left_out for word in ("--deselect", name)]
    # A configuration of its own: pytest would look upward for one, and find ours.
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\n")
    flags = ["-q", "-ra", "-p", "no:cacheprovider", "-c", settings, f"--rootdir={top}"]
    flags += ["--continue-on-collection-errors", "-W", "default"]
    command = [python, "-m", "pytest", *flags, f"--junitxml={report}", *left, *product.tests]
    status = run(command, log, DEADLINE, cwd=top, env=environ(folder))
    said = "" if status in (0, 1) else f"pytest ended with {status}"
    return *count(report), said


def smoke(product: Product, python: Path, folder: Path, log: Path) -> tuple[int, int, int, str]:
    """A program of ours prints `ok WHAT` or `not ok WHAT` for each thing it looks at."""
    source(product, folder, log)
    mark = log.stat().st_size
    status = run([python, HERE / product.smoke], log, 120, cwd=folder, env=environ(folder))
    lines = log.read_bytes()[mark:].decode("utf-8", "replace").splitlines()
    passed = sum(line.startswith("ok ") for line in lines)
    failed = sum(line.startswith("not ok ") for line in lines)
    said = f"ended with {status}" if status and not failed else ""
    return passed, failed, 0, said


def examine(product: Product, ours: Path | None) -> Result:
    folder = CACHE / (product.name if ours else f"{product.name}-real")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    log.write_bytes(b"")
    begun = time.monotonic()
    try:
        python = install(product, folder, ours, log)
        begun = time.monotonic()
        runner = own_tests if product.tests else smoke
        passed, failed, skipped, said = runner(product, python, folder, log)
    except Failed as error:
        passed, failed, skipped, said = 0, 0, 0, str(error)
    return Result(product, passed, failed, skipped, time.monotonic() - begun, said)


def table(results: list[Result]) -> str:
    rows = [("product", "version", "what was run", "passed", "failed", "skipped", "seconds")]
    for one in results:
        numbers = (one.passed, one.failed, one.skipped, round(one.seconds))
        rows.append(
            (one.product.name, one.product.version, one.product.what, *(str(n) for n in numbers))
        )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    for one in results:
        if not one.good:
            reason = one.said or f"see log.txt in its folder of {CACHE.relative_to(TOP)}"
            lines.append(f"\n{one.product.name}: {reason}")
        for reason in dict.fromkeys(one.product.left_out.values()):
            count = [*one.product.left_out.values()].count(reason)
            lines.append(f"\n{one.product.name}: {count} tests left out: {reason}")
    return "\n".join(lines)


def write_page(results: list[Result]) -> None:
    """Put the table, and when it was made, into the documentation."""
    today = datetime.datetime.now(datetime.timezone.utc).date()
    major, minor = sys.version_info[:2]
    text = f"Run on {today:%Y-%m-%d}, Python {major}.{minor}:\n\n{table(results)}\n"
    page = PAGE.read_text("utf-8")
    PAGE.write_text(MARKS.sub(lambda found: f"{found[1]}{text}{found[2]}", page), "utf-8")


def main() -> int:
    names = [product.name for product in PRODUCTS]
    parser = argparse.ArgumentParser(prog="scripts/downstream", description=__doc__)
    parser.add_argument("products", nargs="*", metavar="PRODUCT", help=", ".join(names))
    parser.add_argument("--real", action="store_true", help="with the real CherryPy, to compare")
    parser.add_argument("--list", action="store_true", help="say what would be run")
    parser.add_argument("--page", action="store_true", help="write docs/compatibility.md's table")
    told = parser.parse_args()
    if told.page and (told.products or told.real):
        parser.error("--page is for a run of all products")
    if unknown := set(told.products) - set(names):
        parser.error(f"no such product: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = [p for p in PRODUCTS if not told.products or p.name in told.products]
    if told.list:
        print("\n".join(f"{p.name} {p.version}: {p.what}" for p in chosen))
        return 0
    CACHE.mkdir(parents=True, exist_ok=True)
    results = []
    with tempfile.TemporaryDirectory(dir=CACHE) as built:
        ours = None if told.real else wheels(Path(built), CACHE / "build.log")
        for product in chosen:
            print(f"{product.name} {product.version} ...", file=sys.stderr, flush=True)
            results.append(examine(product, ours))
    print(table(results))
    if told.page:
        write_page(results)
    return sum(not one.good for one in results)


if __name__ == "__main__":
    sys.exit(main())
