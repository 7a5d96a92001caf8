"""`python -m cherrypy monitor`: run a program watched, look at it, write what other systems need to know.

`main` takes the words behind it, and returns the status that the process should end with.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from . import table
from .metrics import METRICS, Metric
from .settings import SETTINGS
from .sources import TOKEN, read_file, value_of, variable

assert table.__all__  # importing it has declared the metrics

PROG = "python -m cherrypy monitor"


def main(argv: list[str]) -> int:
    """Do what a command line says. Returns the status for the process to end with."""
    options = parser().parse_args(argv)
    do: Callable[[argparse.Namespace], int] = options.do
    try:
        return do(options)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    """Return the grammar of the command line."""
    words = argparse.ArgumentParser(
        prog=PROG,
        description="Watch a CherryPy site: what it does, how long it takes, and where the time goes.",
        epilog=f"'{PROG} COMMAND --help' tells more of each.",
        allow_abbrev=False,
    )
    commands = words.add_subparsers(metavar="COMMAND", required=True)
    for name, help_, build in (
        ("run", "run a program, unchanged, with the monitor on", _run_words),
        ("show", "show the routes of a running site, live, in this terminal", _show_words),
        ("metrics", "list what is measured", _metrics_words),
        ("export", "write files for Grafana, Prometheus or a StatsD server", _export_words),
        ("serve", "collect for several processes, and show them as one site", _serve_words),
    ):
        build(
            commands.add_parser(
                name,
                help=help_,
                allow_abbrev=False,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    return words


# -- run -------------------------------------------------------------------------------------------


def _run_words(words: argparse.ArgumentParser) -> None:
    words.usage = f"{PROG} run [options] app.py [arguments]\n       {PROG} run [options] -m module [arguments]"
    words.description = """\
Run a program as Python would, in this process, with the monitor on. Nothing in the program needs to
know: its arguments, its exit status, its signals and its __main__ are its own. What is set here goes over
the program's configuration file, and its child processes inherit it."""
    words.epilog = """\
examples:
  python -m cherrypy monitor run app.py
  python -m cherrypy monitor run --set level=2 --store history.sqlite3 -m shop.site --port 80
  python -m cherrypy monitor run --config monitor.toml app.py

Then look at http://127.0.0.1:9191/, or say: python -m cherrypy monitor show"""
    add = words.add_argument
    add(
        "-c",
        "--config",
        metavar="FILE",
        help="settings: TOML, an INI file with [monitor], agent-conf.json",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting, such as level=2 or libraries=sqlite3,redis (may be repeated)",
    )
    add(
        "--listen",
        metavar="ADDRESS",
        help="where the dashboard listens: host:port, unix:/path or False",
    )
    add("--store", metavar="FILE", help="keep the history in this SQLite file")
    add("-m", dest="module", action="store_true", help="run a module, as python -m does")
    add(
        "program", help="the program: a script, a folder or archive with a __main__.py, or a module"
    )
    add("arguments", nargs=argparse.REMAINDER, help="what the program is given")
    words.set_defaults(do=_run)


def _run(options: argparse.Namespace) -> int:
    from .running import NotRunnableError, run

    try:
        wanted = _wanted(options)
    except ValueError as error:
        return _complain(str(error))
    try:
        _begin(wanted)
    except ValueError as error:
        return _complain(str(error))
    _instruments()
    try:
        run(options.program, options.arguments, options.module)
    except NotRunnableError as error:
        print(f"{sys.executable}: {error}", file=sys.stderr)
        return error.status
    return 0


def _wanted(options: argparse.Namespace) -> dict[str, str]:
    """What the options mean, as the environment. Raises ValueError."""
    wanted = {variable("on"): "1"}
    said = list(options.set)
    if options.listen is not None:
        said.append(f"dashboard.listen={options.listen}")
    if options.store is not None:
        said.append(f"store.path={options.store}")
    for one in said:
        name, equals, text = one.partition("=")
        if not equals:
            raise ValueError(f"--set {one}: say NAME=VALUE, such as level=2")
        name = name.strip().removeprefix("monitor.")
        value_of(name, text)
        wanted[variable(name)] = text
    if options.config is not None:
        path = os.path.abspath(options.config)
        read_file(path)
        wanted[variable("config")] = path
    return wanted


def _begin(wanted: dict[str, str]) -> None:
    """Have the engine's monitor obey the environment, and `wanted` in it. Raises ValueError."""
    os.environ.update(wanted)
    front: Any = sys.modules["cherrypy"]
    before = vars(front.engine).pop("monitor", None)
    if before is not None:  # of an environment that had less to say
        before.unsubscribe()
    front._wanted_by_environment()
    front.engine.monitor.sources.check()


def _instruments() -> None:
    """Have libraries watched before the program imports them."""
    from .instruments import early

    early()


def _complain(words: str) -> int:
    print(f"{PROG}: {words}", file=sys.stderr)
    return 2


# -- show ------------------------------------------------------------------------------------------


def _show_words(words: argparse.ArgumentParser) -> None:
    words.description = """\
Ask the dashboard's listener of a running site every few seconds, and show its routes: requests a minute,
errors, and the times within which 50, 95 and 99 of 100 were answered. Ctrl-C ends it."""
    words.epilog = """\
examples:
  python -m cherrypy monitor show
  python -m cherrypy monitor show --at unix:/run/shop/monitor.sock --sort p95
  python -m cherrypy monitor show --once > routes.txt"""
    add = words.add_argument
    add(
        "--at",
        default=SETTINGS["dashboard.listen"].default,
        metavar="ADDRESS",
        help="where it listens: host:port, unix:/path, or a URL (default: %(default)s)",
    )
    add(
        "--token",
        default=os.environ.get(TOKEN),
        help=f"for a dashboard that wants one (default: {TOKEN} in the environment)",
    )
    add("--interval", type=_seconds, default=2.0, metavar="SECONDS", help="(default: %(default)s)")
    add("--once", action="store_true", help="show the first interval, and end")
    add(
        "--sort",
        choices=("rpm", "errors", "p50", "p95", "p99", "route"),
        default="rpm",
        help="what the order is by (default: %(default)s)",
    )
    add("--route", metavar="PATTERN", help="only routes like this, with * and ?")
    words.set_defaults(do=_show)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise ValueError(text)
    return value


def _show(options: argparse.Namespace) -> int:
    from .show import show

    return show(
        options.at,
        token=options.token,
        interval=options.interval,
        once=options.once,
        sort=options.sort,
        pattern=options.route,
    )


# -- metrics ---------------------------------------------------------------------------------------


def _metrics_words(words: argparse.ArgumentParser) -> None:
    words.description = "List what is measured: name, kind, unit, labels, and what it is."
    words.epilog = """\
examples:
  python -m cherrypy monitor metrics
  python -m cherrypy monitor metrics 'cherrypy.time.*'
  python -m cherrypy monitor metrics session --names prometheus"""
    add = words.add_argument
    add("filter", nargs="*", help="a pattern of names, or words that the name or the help has")
    add(
        "--names",
        choices=("otel", "prometheus"),
        default="otel",
        help="whose names (default: %(default)s)",
    )
    add("--level", type=int, choices=(1, 2), help="only those of this monitor.level")
    add("--json", action="store_true", help="as JSON")
    words.set_defaults(do=_metrics)


def _metrics(options: argparse.Namespace) -> int:
    from .exporters.words import sample_name

    found = [
        metric
        for metric in METRICS.values()
        if _is_meant(metric, options.filter) and options.level in (None, metric.level)
    ]
    facts: list[dict[str, Any]] = [
        {
            "name": sample_name(metric) if options.names == "prometheus" else metric.name,
            "kind": metric.kind,
            "unit": metric.unit,
            "labels": [*metric.labels, *(["worker"] if metric.merge == "each" else [])],
            "level": metric.level,
            "derived": metric.derived,
            "help": metric.help,
        }
        for metric in found
    ]
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        for fact in facts:
            labels = ", ".join(fact["labels"])
            level = "" if fact["level"] == 1 else f", level {fact['level']}"
            print(f"{fact['name']}  [{fact['kind']}, {fact['unit']}{level}]")
            print(f"    {fact['help']}" + (f" By {labels}." if labels else ""))
        print(f"{len(facts)} of {len(METRICS)} metrics", file=sys.stderr)
    return 0 if facts else 1


def _is_meant(metric: Metric, filters: list[str]) -> bool:
    text = f"{metric.name} {metric.help}".lower()
    return all(fnmatchcase(metric.name, one) or one.lower() in text for one in filters)


# -- export ----------------------------------------------------------------------------------------


def _export_words(words: argparse.ArgumentParser) -> None:
    words.description = """\
Write what another system needs to show or watch a site:

  grafana           a dashboard of Grafana, on a data source of Prometheus: import it there
  prometheus-rules  recording and alerting rules of Prometheus
  statsd-names      the names under which a StatsD server is told what is measured"""
    words.epilog = """\
examples:
  python -m cherrypy monitor export grafana --title Shop > dashboard.json
  python -m cherrypy monitor export prometheus-rules -o cherrypy.rules.yml
  python -m cherrypy monitor export statsd-names --names librato"""
    add = words.add_argument
    add("what", choices=("grafana", "prometheus-rules", "statsd-names"))
    add("-o", "--output", metavar="FILE", help="write to this file")
    add("--title", default="CherryPy", help="of the dashboard (default: %(default)s)")
    add(
        "--names",
        choices=("otel", "librato"),
        default="otel",
        help="of StatsD (default: %(default)s)",
    )
    words.set_defaults(do=_export)


def _export(options: argparse.Namespace) -> int:
    from .exporters import grafana, librato, rules

    if options.what == "grafana":
        text = json.dumps(grafana.dashboard(options.title), indent=2)
    elif options.what == "prometheus-rules":
        text = rules.as_yaml(rules.groups())
    elif options.names == "librato":
        text = "\n".join(librato.all_names())
    else:
        text = "\n".join(_statsd_name(metric) for metric in METRICS.values())
    if options.output is None:
        print(text)
        return 0
    try:
        with open(options.output, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
    except OSError as error:
        return _complain(f"{options.output}: {error.strerror}")
    return 0


def _statsd_name(metric: Metric) -> str:
    labels = [*metric.labels, *(["worker"] if metric.merge == "each" else [])]
    return ".".join([metric.name, *(f"<{label}>" for label in labels)])


# -- serve -----------------------------------------------------------------------------------------


def _serve_words(words: argparse.ArgumentParser) -> None:
    words.description = """\
Collect what the processes of one site count, keep its history and show its dashboard. The processes find
it by the path of a socket: give them the same setting monitor.socket."""
    words.epilog = """\
examples:
  python -m cherrypy monitor serve --set socket=/run/shop/collect.sock --store history.sqlite3"""
    add = words.add_argument
    add("-c", "--config", metavar="FILE", help="settings: TOML, an INI file with [monitor]")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting (may be repeated)",
    )
    add("--listen", metavar="ADDRESS", help="where the dashboard listens: host:port or unix:/path")
    add("--store", metavar="FILE", help="keep the history in this SQLite file")
    words.set_defaults(do=_serve)


def _serve(options: argparse.Namespace) -> int:
    from . import processes

    try:
        _begin(_wanted(options))
    except ValueError as error:
        return _complain(str(error))
    return processes.serve(options)
