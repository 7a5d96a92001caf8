"""The command `python -m cherrypy doctor`: its arguments, and its words to the terminal."""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import Any

from .reading import Configuration, UnreadableError
from .rules import RULES, SEVERITIES, Finding, examine

__all__ = ("main", "parser")

_DESCRIPTION = """\
Read configuration files as `cherrypy.config.update` and applications do, and say what is unsafe in
them: why, and the exact line to add. Nothing in the files is executed; what only your program
could tell (a function, a dotted name) counts as set. Tools that are turned on by decorators or by
_cp_config are not seen.
"""

_EPILOG = """\
examples:
  python -m cherrypy doctor site.conf
  python -m cherrypy doctor -e production site.conf local.conf
  python -m cherrypy doctor --json site.conf | jq '.findings[].rule'
  python -m cherrypy doctor --ignore no-hsts --min medium site.conf
  python -m cherrypy doctor --rules

exit status: 0 when nothing was found, 1 when something was, 2 when a file cannot be read.
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    words = argparse.ArgumentParser(
        prog="python -m cherrypy doctor",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = words.add_argument
    add("files", nargs="*", metavar="FILE", help="configuration files; later ones add to earlier")
    add("-e", "--environment", help="the environment the site is started with (production, ...)")
    add("--json", action="store_true", help="write the findings as JSON")
    add("--ignore", action="append", default=[], metavar="RULE", help="leave out a rule (repeat)")
    add(
        "--min",
        choices=SEVERITIES,
        default="low",
        dest="least",
        help="leave out what is less severe (default: low, which shows everything)",
    )
    add("--rules", action="store_true", help="list the rules and exit")
    return words


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, 96, initial_indent=indent, subsequent_indent=indent)


def _place(finding: Finding) -> str:
    entry = finding.hit.entry
    if entry is None:
        return f"[{finding.hit.section}]"
    return f"[{finding.hit.section}] {entry.file}" + (f":{entry.line}" if entry.line else "")


def _told(finding: Finding) -> str:
    """Return a finding as a person reads it."""
    rule, hit = finding
    lines = [f"{rule.severity.upper():7}{rule.name}  {_place(finding)}"]
    lines += [_wrapped(hit.message, "    "), _wrapped(rule.why, "    ")]
    if hit.add:
        lines.append(f"    In [{hit.section}] write:")
        lines += [f"        {line}" for line in hit.add]
    if hit.run:
        lines += ["    Run:", f"        {hit.run}"]
    return "\n".join(lines)


def _summary(files: list[str], found: list[Finding]) -> str:
    counts = [
        f"{count} {severity}"
        for severity in SEVERITIES
        if (count := sum(one.rule.severity == severity for one in found))
    ]
    names = ", ".join(files)
    return f"{names}: {', '.join(counts)}." if counts else f"{names}: nothing found."


def _as_json(files: list[str], found: list[Finding]) -> str:
    import json

    report: dict[str, Any] = {
        "files": files,
        "counts": {
            severity: sum(one.rule.severity == severity for one in found) for severity in SEVERITIES
        },
        "findings": [finding.as_dict() for finding in found],
    }
    return json.dumps(report, indent=2)


def _list_rules() -> None:
    for severity in SEVERITIES:
        for rule in RULES:
            if rule.severity == severity:
                print(f"{severity:7}{rule.name}")
                print(_wrapped(rule.why, "       "))


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    words = parser()
    options = words.parse_args(argv)
    if options.rules:
        _list_rules()
        return 0
    if not options.files:
        words.error("say which configuration file to look at")
    unknown = set(options.ignore) - {rule.name for rule in RULES}
    if unknown:
        words.error(f"there is no rule {', '.join(sorted(unknown))} (see --rules)")
    try:
        found = examine(Configuration(options.files, options.environment))
    except UnreadableError as exc:
        print(f"python -m cherrypy doctor: {exc}", file=sys.stderr)
        return 2
    shown = SEVERITIES[: SEVERITIES.index(options.least) + 1]
    found = [
        one for one in found if one.rule.severity in shown and one.rule.name not in options.ignore
    ]
    if options.json:
        print(_as_json(options.files, found))
    else:
        for finding in found:
            print(_told(finding), end="\n\n")
        print(_summary(options.files, found))
    return 1 if found else 0
