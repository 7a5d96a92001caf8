"""Which lines have run, by `coverage`, shown on pages.

`engine.subscribe('start', covercp.start, priority=0)` begins to collect; `serve()` shows it.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

from cherrypy.framework.errors import HTTPError, NotFound
from cherrypy.framework.helpers import expose
from cherrypy.framework.site import site

__all__ = ("CoverStats", "get_tree", "serve", "start")

#: Where the data are kept between processes.
localFile = os.path.join(os.path.dirname(__file__), "coverage.cache")

#: The collector, an object of `coverage.Coverage`; None until `start`, or without the package.
the_coverage: Any = None


def start() -> None:
    """Begin to collect. Raises ImportError without the package `coverage`."""
    global the_coverage
    if the_coverage is None:
        from coverage import Coverage  # type: ignore[import-not-found,unused-ignore]  # an extra

        the_coverage = Coverage(data_file=localFile)
    the_coverage.start()


start.priority = 20  # type: ignore[attr-defined]  # read by the bus

TEMPLATE_MENU = """<html>
<head>
    <title>CherryPy Coverage Menu</title>
    <style>
        body { font: 9pt sans-serif; }
        #tree { font-family: monospace; white-space: pre; }
        .fail { color: #c00; }
    </style>
</head>
<body>
<h2>CherryPy Coverage</h2>"""

TEMPLATE_FORM = """
<div id="options">
<form action='menu' method='GET'>
    <input type='hidden' name='base' value='%(base)s' />
    Show percentages
    <input type='checkbox' %(showpct)s name='showpct' value='checked' /><br />
    Hide files over <input type='text' name='pct' value='%(pct)s' size='3' />%%<br />
    Exclude files matching<br />
    <input type='text' name='exclude' value='%(exclude)s' size='20' /><br />
    <input type='submit' value='Change view' />
</form>
</div>"""

TEMPLATE_FRAMESET = """<html>
<head><title>CherryPy coverage data</title></head>
<frameset cols='250, 1*'>
    <frame src='menu?base=%s' />
    <frame name='main' src='' />
</frameset>
</html>
"""

TEMPLATE_COVERAGE = """<html>
<head>
    <title>Coverage for %(name)s</title>
    <style>
        td { font-family: monospace; white-space: pre; }
        .covered { background: #efe; }
        .notcovered { background: #fee; }
        .excluded { color: #888; }
        .lineno { text-align: right; color: #888; }
    </style>
</head>
<body>
<h2>%(name)s</h2>
<p>%(fullpath)s</p>
<p>Coverage: %(pc)s%%</p>"""

TEMPLATE_LOC_COVERED = '<tr class="covered"><td class="lineno">%s&nbsp;</td><td>%s</td></tr>\n'
TEMPLATE_LOC_NOT_COVERED = (
    '<tr class="notcovered"><td class="lineno">%s&nbsp;</td><td>%s</td></tr>\n'
)
TEMPLATE_LOC_EXCLUDED = '<tr class="excluded"><td class="lineno">%s&nbsp;</td><td>%s</td></tr>\n'
TEMPLATE_ITEM = "%s%s<a class='file' href='report?name=%s' target='main'>%s</a>\n"


def _percent(statements: Any, missing: Any) -> int:
    """Return how many of the statements have run, in percent."""
    if not statements:
        return 0
    return round(100.0 * (len(statements) - len(missing)) / len(statements))


def _skip_file(path: str, exclude: str) -> bool:
    """Tell whether `path` is to be left out."""
    return bool(exclude and re.search(exclude, path))


def _graft(path: str, tree: dict[str, Any]) -> None:
    """Put the parts of a path into a tree of dicts; a file has no branches."""
    parts = [part for part in path.split(os.sep) if part]
    if path.startswith(os.sep):
        parts.insert(0, os.sep)
    for part in parts:
        tree = tree.setdefault(part, {})


def get_tree(base: str, exclude: str, coverage: Any = None) -> dict[str, Any]:
    """Return the measured files below `base` as a tree of dicts."""
    coverage = the_coverage if coverage is None else coverage
    tree: dict[str, Any] = {}
    for path in coverage.get_data().measured_files():
        if path.startswith(base) and not _skip_file(path, exclude):
            _graft(path, tree)
    return tree


def _show_branch(
    root: dict[str, Any],
    base: str,
    path: str,
    pct: int = 0,
    showpct: Any = False,
    exclude: str = "",
    coverage: Any = None,
) -> Iterator[str]:
    """Yield a tree as HTML: folders that can be opened, files that can be shown."""
    coverage = the_coverage if coverage is None else coverage
    depth = "| " * path.count(os.sep)
    for name, branch in sorted(root.items()):
        here = os.path.join(path, name)
        if branch:
            link = f"menu?base={quote_plus(os.fsencode(here))}&amp;exclude={quote_plus(exclude)}"
            yield f"{depth}<a class='directory' href='{link}'>{html.escape(_sendable(name))}</a>\n"
            if here.startswith(base) or base.startswith(here):
                yield from _show_branch(branch, base, here, pct, showpct, exclude, coverage)
        elif here.startswith(base):
            percent = ""
            if showpct:
                try:
                    _, statements, _, missing, _ = coverage.analysis2(here)
                except Exception:  # the file is gone, or no Python: `coverage` has its own classes
                    continue
                value = _percent(statements, missing)
                if value > pct > 0:
                    continue
                percent = f"{value:3d}% "
            link = quote_plus(os.fsencode(here))
            yield TEMPLATE_ITEM % (depth, percent, link, html.escape(_sendable(name)))


def _checked(exclude: str) -> str:
    """Return a pattern from a peer. Raises HTTPError for one that is none, or could take for ever."""
    repeats = sum(exclude.count(sign) for sign in "*+?{")
    if len(exclude) > 200 or repeats > 2 or "(" in exclude:
        raise HTTPError(400, "The pattern is too long, has a group, or repeats more than twice.")
    try:
        re.compile(exclude)
    except (re.error, OverflowError, RecursionError):
        raise HTTPError(400, "The pattern is no regular expression.") from None
    return exclude


def _sendable(text: str) -> str:
    """Return the name of a file as UTF-8 has it."""
    return os.fsencode(text).decode("utf-8", "replace")


class CoverStats:
    """The pages.

    Args:
        coverage: a `coverage.Coverage`.
        root: the directory to begin with.
    """

    def __init__(self, coverage: Any, root: str | None = None) -> None:
        self.coverage = coverage
        self.root = os.path.dirname(__file__) if root is None else root

    @expose
    def index(self) -> str:
        """Show the tree beside a file."""
        return TEMPLATE_FRAMESET % quote_plus(os.fsencode(self.root))

    @expose
    def menu(
        self,
        base: str = "/",
        pct: str = "50",
        showpct: str = "",
        exclude: str = r"python\d\.\d|test|tut\d|tutorial",
    ) -> Iterator[str]:
        """Show the tree."""
        # What came several times is no single text.
        base, pct, showpct, exclude = (
            value if isinstance(value, str) else "" for value in (base, pct, showpct, exclude)
        )
        return self._menu(base.rstrip(os.sep) or os.sep, pct, showpct, _checked(exclude))

    def _menu(self, base: str, pct: str, showpct: str, exclude: str) -> Iterator[str]:
        yield TEMPLATE_MENU
        yield TEMPLATE_FORM % {
            "base": html.escape(_sendable(base)),
            "pct": html.escape(pct),
            "showpct": "checked" if showpct else "",
            "exclude": html.escape(exclude),
        }
        yield "<div id='tree'>"
        tree = get_tree(base, exclude, self.coverage)
        limit = int(pct) if pct.isdecimal() and len(pct) < 4 else 0
        yield from _show_branch(tree, base, "", limit, showpct, exclude, self.coverage)
        yield "</div></body></html>"

    def annotated_file(
        self, filename: str, statements: Any, excluded: Any, missing: Any
    ) -> Iterator[str]:
        """Yield the lines of a file as rows of a table."""
        with open(filename, encoding="utf-8", errors="replace") as source:
            for number, line in enumerate(source, 1):
                if number in excluded:
                    row = TEMPLATE_LOC_EXCLUDED
                elif number in missing:
                    row = TEMPLATE_LOC_NOT_COVERED
                else:
                    row = TEMPLATE_LOC_COVERED
                yield row % (number, html.escape(line.rstrip("\n")))

    @expose
    def report(self, name: str) -> str:
        """Show one of the measured files; no other file is shown."""
        if not isinstance(name, str) or name not in self.coverage.get_data().measured_files():
            raise NotFound()
        try:
            filename, statements, excluded, missing, _ = self.coverage.analysis2(name)
        except Exception:  # the file is gone, or no Python: `coverage` has its own classes
            raise NotFound() from None
        head = TEMPLATE_COVERAGE % {
            "name": html.escape(os.path.basename(_sendable(name))),
            "fullpath": html.escape(_sendable(name)),
            "pc": _percent(statements, missing),
        }
        rows = "".join(self.annotated_file(filename, statements, excluded, missing))
        return f"{head}<table>\n{rows}</table></body></html>"


def serve(path: str = localFile, port: int = 8080, root: str | None = None) -> None:
    """Show the data in the file `path` on a server of their own."""
    from coverage import Coverage

    coverage = Coverage(data_file=path)
    coverage.load()
    site.config.update(
        {
            "server.socket_port": int(port),
            "server.thread_pool": 10,
            "environment": "production",
        }
    )
    site.quickstart(CoverStats(coverage, root))
