"""Rules: the settings `alerts` and `alerts.defaults`, read; what cannot be read is said."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from .grammar import Condition, Unreadable, read

#: Rules that there may be.
MOST = 200

#: What a site in distress shows; they apply unless `alerts.defaults` is False.
DEFAULTS = (
    "server errors: cherrypy.request.server_error.ratio over 1m > 5% for 5m as critical",
    "requests wait: cherrypy.time.queue p95 over 1m > 1s for 1m clear 2m as critical",
    "all threads are busy: "
    "cherrypy.server.capacity.utilization over 10s by worker >= 100% for 30s as critical",
    "open files: process.unix.file_descriptor.count / cherrypy.process.fd.limit by worker > 80%",
)

#: What a rule may be given besides its line of text, and what that must be.
KEYS = ("rule", "name", "text", "webhook", "command", "mail")


class Rule:
    """One rule.

    name
        What it is called; the text of the rule if it has no name.
    source
        The line it was read from.
    text
        What is said of it, in a sentence of somebody's own, or ''.
    condition
        What it watches.
    webhook, command, mail
        Whom it tells besides those who are told of all: a URL, a list of words, an address.
    """

    __slots__ = ("command", "condition", "mail", "name", "source", "text", "webhook")

    def __init__(self, source: str, condition: Condition, more: dict[str, Any]) -> None:
        self.source = source
        self.condition = condition
        self.name = str(more.get("name") or condition.name or source)
        self.text = str(more.get("text") or "")
        self.webhook: str | None = more.get("webhook")
        self.command: list[str] | None = more.get("command")
        self.mail: str | None = more.get("mail")

    def __repr__(self) -> str:
        return f"<Rule {self.name!r}>"

    @property
    def severity(self) -> str:
        """How bad it is: 'info', 'warning' or 'critical'."""
        return self.condition.severity


def read_rules(entries: Any, defaults: bool = True) -> tuple[list[Rule], list[str]]:
    """Read rules. Returns those that can be read, and a sentence for each that cannot.

    A rule of the name of a default one is in its place.
    """
    rules: dict[str, Rule] = {}
    wrong: list[str] = []
    if defaults:
        for text in DEFAULTS:
            rule = _rule(text)
            rules[rule.name] = rule
    if isinstance(entries, (str, dict)):
        entries = [entries]
    if not isinstance(entries, (list, tuple)):
        return list(rules.values()), [f"monitor.alerts is a list of rules, not {entries!r}."]
    for place, entry in enumerate(entries):
        if place >= MOST:
            wrong.append(f"monitor.alerts has more than {MOST} rules: the rest do not apply.")
            break
        try:
            rule = _rule(entry)
        except ValueError as error:
            wrong.append(f"monitor.alerts[{place}]: {_sentence(error)}")
            continue
        name = rule.name
        while name in rules and not _default(rules[name]):
            name += "'"
        rule.name = name
        rules[name] = rule
    return list(rules.values()), wrong


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if text.endswith((".", "?")) else f"{text}."


def _default(rule: Rule) -> bool:
    return rule.source in DEFAULTS


def _rule(entry: Any) -> Rule:
    """Read one entry: text, or a dict with text and more. Raises ValueError."""
    if isinstance(entry, str):
        return Rule(entry, read(entry), {})
    if not isinstance(entry, dict):
        raise ValueError(f"a rule is a text or a dict, not {entry!r}")
    for key in entry:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"a rule has no {key!r}; it may have {', '.join(KEYS)}.{hint}")
    if not isinstance(entry.get("rule"), str):
        raise ValueError("a rule needs its text: {'rule': 'cherrypy.responses rate > 100'}")
    if (why := _wrong(entry)) is not None:
        raise ValueError(why)
    return Rule(entry["rule"], read(entry["rule"]), entry)


def _wrong(entry: dict[str, Any]) -> str | None:
    """What is wrong with what a rule has besides its text."""
    from .actions import wrong_url

    if entry.get("webhook") is not None and (why := wrong_url(entry["webhook"])):
        return f"webhook: {why}"
    command = entry.get("command")
    if command is not None and not (_words(command) and command):
        return "command: a list of words, of which the first is the program: no shell sees it"
    mail = entry.get("mail")
    if mail is not None and not (isinstance(mail, str) and "@" in mail and mail.isprintable()):
        return f"mail: an address, not {mail!r}"
    return None


def _words(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value)


def names(rules: Iterable[Rule]) -> list[str]:
    """What rules are called."""
    return [rule.name for rule in rules]


__all__ = ("DEFAULTS", "Rule", "Unreadable", "names", "read_rules")
