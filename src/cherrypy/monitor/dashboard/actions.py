"""Actions: what the dashboard does to the processes of the site. Each has been let through by the guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .. import held, loggers
from ..processes import answers
from ..processes.asking import PATIENCE, each, others
from . import units
from .asked import Refusal, number_of

if TYPE_CHECKING:
    from .front import Front

#: Seconds that other processes have to collect their garbage.
LONG = 10.0

#: Processes of which a sentence tells one by one.
MOST_NAMED = 10


class Done(NamedTuple):
    """What came of an action.

    words
        That in a sentence or more.
    processes
        What came of it in each: its name under 'process', and figures, or 'error'.
    """

    words: str
    processes: list[dict[str, Any]] = []


def _of_site(words: str, rows: list[dict[str, Any]]) -> Done:
    """Return what came of an action in a site: in how many processes, and in which not."""
    failed = [str(row["error"]) for row in rows if "error" in row]
    if len(rows) > 1:
        many = f"All {len(rows)}" if not failed else f"{len(rows) - len(failed)} of {len(rows)}"
        words = f"{many} processes: {words}"
    if len(failed) > MOST_NAMED:
        failed[MOST_NAMED:] = [f"And {len(failed) - MOST_NAMED} more have not answered."]
    return Done(" ".join((words, *failed)), rows)


# -- garbage ---------------------------------------------------------------------------------------


def collect(front: Front, form: dict[str, str]) -> Done:
    """Run the garbage collector of all processes, or of one, and say what came of it."""
    monitor, which = front.monitor, form.get("process", "")
    mine, known = str(monitor.taker.worker), others(monitor)
    if which not in ("", "all", mine, *known):
        raise Refusal("404 Not Found", "There is no such process, or it is asked for elsewhere.")
    rows: list[dict[str, Any]] = []
    if which in ("", "all", mine):
        found, took = answers.collect()
        rows.append({"process": mine, "collected": found, "seconds": took})
    names = known if which in ("", "all") else [one for one in known if one == which]
    told, silent = each(monitor, {"ask": "collect"}, LONG, names)
    for name, answer in told.items():
        row = {"process": name, "collected": 0, "seconds": 0.0}
        try:
            row.update(collected=int(answer["collected"]), seconds=float(answer["seconds"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            row = {"process": name, "error": f"The process {name} has answered nonsense."}
        rows.append(row)
    rows += [{"process": name, "error": words} for name, words in silent.items()]
    did = [row for row in rows if "error" not in row]
    words = f"{units.whole(sum(row['collected'] for row in did))} objects were collected"
    if len(rows) == 1 and did:
        return _of_site(f"{words} in {units.seconds(did[0]['seconds'])}.", rows)
    parts = [
        f"{row['process']}: {units.whole(row['collected'])} in {units.seconds(row['seconds'])}"
        for row in did[:MOST_NAMED]
    ]
    more = f" and {len(did) - MOST_NAMED} more" if len(did) > MOST_NAMED else ""
    return _of_site(f"{words} ({'; '.join(parts)}{more}).", rows)


# -- what holds for a while ------------------------------------------------------------------------


def _hold(front: Front, state: held.State, words: str) -> Done:
    """Have all other processes hold what this one does, and say so."""
    monitor = front.monitor
    told, silent = each(monitor, {"ask": "hold", "state": list(state)}, PATIENCE)
    rows = [{"process": one} for one in (str(monitor.taker.worker), *told)]
    rows += [
        {"process": one, "error": f"{why} It does it when it goes on."}
        for one, why in silent.items()
    ]
    return _of_site(words, rows)


def set_level(front: Front, form: dict[str, str]) -> Done:
    """Set the level of a logger for a while. Raises Refusal for a logger that no process has."""
    minutes = number_of(form, "minutes", 10.0, 0.1, held.LONGEST / 60)
    name, level = form.get("logger", ""), form.get("level", "")
    if level not in loggers.LEVELS:
        words = f"level must be one of {', '.join(loggers.LEVELS)}."
        raise Refusal("400 Bad Request", words)
    if len(name) > loggers.LONGEST_NAME or not (
        loggers.is_known(name)
        or any(
            answer.get("known") is True
            for answer in each(front.monitor, {"ask": "loggers", "name": name}, PATIENCE)[
                0
            ].values()
        )
    ):
        raise Refusal("400 Bad Request", "There is no logger of this name.")
    try:
        state = front.monitor.held.level(name, level, minutes * 60)
    except ValueError as error:
        raise Refusal("400 Bad Request", str(error)) from None
    words = f"{name or 'The root logger'} logs {level} for {units.seconds(minutes * 60)}."
    return _hold(front, state, words)


def pause(front: Front, form: dict[str, str]) -> Done:
    """Record nothing for a while, or again."""
    if form.get("do") == "resume":
        return _hold(front, front.monitor.held.pause(0.0), "Requests are recorded.")
    minutes = number_of(form, "minutes", 5.0, 0.1, held.LONGEST / 60)
    words = f"Requests are not recorded for {units.seconds(minutes * 60)}."
    return _hold(front, front.monitor.held.pause(minutes * 60), words)


# -- what is recorded ------------------------------------------------------------------------------


def choose(front: Front, form: dict[str, str]) -> Done:
    """Have all processes of the site record more, or less. Raises Refusal for what cannot be."""
    from ..sources import value_of

    settings = front.monitor.settings
    try:
        values = {
            name: value_of(name, form[name])
            for name in ("level", "metrics.include", "metrics.exclude")
            if name in form
        }
        front.monitor.order(values)
    except ValueError as error:
        raise Refusal("400 Bad Request", str(error)) from None
    return Done(
        f"All processes record level {settings['level']}: "
        f"{', '.join(settings['metrics.include']) or 'nothing'} without "
        f"{', '.join(settings['metrics.exclude']) or 'exception'}."
    )


def profile(front: Front, form: dict[str, str]) -> Any:
    """Begin a profile. Raises Refusal while another one runs, for a process that there is not, and without a GIL."""
    from ..books.flights import UNREADABLE, is_readable
    from ..processes.asking import profile_of
    from ..profiles import LONGEST as longest

    seconds = number_of(form, "seconds", 10.0, 0.5, longest)
    rate = number_of(form, "rate", 100.0, 1.0, 200.0)
    make = profile_of(front.monitor, form.get("process", ""))
    if make is None:
        raise Refusal("404 Not Found", "There is no such process, or it is asked for elsewhere.")
    if not is_readable():
        raise Refusal("501 Not Implemented", UNREADABLE)
    begun = front.profiles.begin(seconds, rate, form.get("idle") == "on", make=make)
    if begun is None:
        raise Refusal("409 Conflict", "Another profile is running: wait until it is over.")
    return begun
