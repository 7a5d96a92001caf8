"""What every test lives under: in CI, a test of a real thing that would be skipped fails instead.

A skip on a developer's machine says "you have no Redis"; in CI it would say "nobody looks at Redis any more".
Only what the platform rules out may be skipped there: reasons that begin with "only on".
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Generator, Iterator
from typing import Any

import pytest

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
ALLOWED = "only on "


def _reason(report: Any) -> str:
    """The words after 'Skipped: ' in a skipped report."""
    longrepr = report.longrepr
    words = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return str(words).removeprefix("Skipped: ")


def _fail_instead_of_skip(report: Any) -> Any:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = _reason(report)
        if not reason.startswith(ALLOWED):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI, where everything must be there: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """A test that skips."""
    return _fail_instead_of_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """A module that skips as a whole (importorskip)."""
    return _fail_instead_of_skip((yield))


@pytest.fixture(autouse=True, scope="module")
def site_as_it_was() -> Iterator[None]:
    """Give each module the site's configuration and tree that the one before found."""
    cherrypy = sys.modules.get("cherrypy")
    site = getattr(getattr(cherrypy, "_cptree", None), "site", None)
    if site is None:
        yield
        return
    config, tree, apps = dict(site.config), site.tree, dict(site.tree.apps)
    yield
    if dict(site.config) != config:
        site.config.clear()
        dict.update(site.config, config)
    site.tree = tree
    tree.apps.clear()
    tree.apps.update(apps)


#: What the tests cannot tell on this system, and what stands in for it.
ELSEWHERE = {
    "win32": "Windows: console events and the service ran against stand-ins for kernel32 and advapi32",
    "kqueue": "the kqueue of macOS and the BSDs: the portable poller ran in its place where a test asks for it",
}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say at the end of each run what was not run, so that nobody takes it for tested."""
    here = {"win32": sys.platform == "win32", "kqueue": hasattr(select, "kqueue")}
    terminalreporter.section("not run on this system")
    for name, what in ELSEWHERE.items():
        if not here[name]:
            terminalreporter.write_line(what)
