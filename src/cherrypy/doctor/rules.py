"""What the doctor looks for: one table of rules, from the entries to what to write in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from . import pages, transport
from .hits import Hit
from .reading import Configuration

__all__ = ("RULES", "SEVERITIES", "Finding", "Rule", "examine")

#: From the worst.
SEVERITIES = ("high", "medium", "low")


class Rule(NamedTuple):
    """A rule: `check` yields a `Hit` for each place that breaks it; `why` is what it is good for."""

    name: str
    severity: str
    why: str
    check: Callable[[Configuration], Iterator[Hit]]


class Finding(NamedTuple):
    """A rule that is broken, where, and what mends it."""

    rule: Rule
    hit: Hit

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as it stands in JSON."""
        hit = self.hit
        return {
            "rule": self.rule.name,
            "severity": self.rule.severity,
            "section": hit.section,
            "file": hit.entry.file if hit.entry else None,
            "line": (hit.entry.line if hit.entry else 0) or None,
            "message": hit.message,
            "why": self.rule.why,
            "add": list(hit.add),
            "run": hit.run or None,
        }


RULES = (
    # What anybody on the network can have for the asking.
    Rule(
        "not-python",
        "high",
        "The site does not start with a value that is no Python.",
        pages.not_python,
    ),
    Rule(
        "tracebacks-shown",
        "high",
        "A traceback tells strangers the paths, the versions and the source of what runs here.",
        pages.tracebacks_shown,
    ),
    Rule(
        "public-without-tls",
        "high",
        "Whoever is on the way reads and changes everything: passwords, sessions, pages.",
        transport.public_without_tls,
    ),
    Rule(
        "basic-auth-without-tls",
        "high",
        "Basic authentication sends the password, readable, with every request (RFC 7617, 4).",
        transport.basic_auth_without_tls,
    ),
    Rule(
        "private-key-readable",
        "high",
        "Whoever reads the key can be this server.",
        transport.private_key_readable,
    ),
    Rule(
        "session-files-readable",
        "high",
        "A session file holds what its user may do; its name is the id that logs one in. In a "
        "folder that others write to, a planted file is code that runs when it is loaded.",
        pages.session_files_readable,
    ),
    Rule(
        "secrets-served",
        "high",
        "What lies in a folder of static files can be had by anyone who guesses its name.",
        pages.secrets_served,
    ),
    Rule(
        "session-cookie-not-secure",
        "high",
        "A browser sends a cookie that is not Secure by http, too, where it can be read.",
        pages.session_cookie_insecure,
    ),
    Rule(
        "session-cookie-for-scripts",
        "high",
        "A script that gets into a page can send a cookie that is not HttpOnly elsewhere.",
        pages.session_cookie_for_scripts,
    ),
    Rule(
        "errors-thrown",
        "high",
        "Errors go past the error pages to whatever is around the application, traceback and all.",
        pages.errors_thrown,
    ),
    # What makes another mistake worse, or an attack cheap.
    Rule(
        "session-cookie-follows-scheme",
        "medium",
        "The cookie is Secure only if this server itself speaks TLS; a proxy that does so in "
        "front of it does not count.",
        pages.session_cookie_follows_scheme,
    ),
    Rule(
        "session-cookie-cross-site",
        "medium",
        "Without SameSite, requests that other sites make carry the session.",
        pages.session_cookie_cross_site,
    ),
    Rule(
        "no-secure-headers",
        "medium",
        "Without them browsers let other sites frame the pages, guess at types, and run whatever "
        "script gets into a page.",
        pages.no_secure_headers,
    ),
    Rule(
        "policy-malformed",
        "medium",
        "Browsers ignore a directive they do not know, and what it was to forbid is allowed.",
        pages.policy_malformed,
    ),
    Rule(
        "policy-lets-scripts-in",
        "medium",
        "A Content-Security-Policy that allows inline scripts does not stop injected ones.",
        pages.policy_lets_scripts_in,
    ),
    Rule(
        "no-allowed-hosts",
        "medium",
        "Links, redirects and cached pages are made with whatever name a client sends.",
        pages.no_allowed_hosts,
    ),
    Rule(
        "any-host-allowed",
        "medium",
        "A list that has '*' on it lets in every name.",
        pages.any_host_allowed,
    ),
    Rule(
        "no-csrf",
        "medium",
        "Pages of other sites can have a visitor's browser post forms here, with its session.",
        pages.no_csrf,
    ),
    Rule(
        "anybody-reads",
        "medium",
        "Every site could read what a visitor who is logged in sees; with '*' the tool refuses to work.",
        pages.anybody_reads,
    ),
    Rule(
        "no-rate-limit",
        "medium",
        "Passwords can be tried as quickly as the server answers.",
        pages.no_rate_limit,
    ),
    Rule(
        "proxy-believes-anyone",
        "medium",
        "The tool is set to believe the X-Forwarded fields of whoever sends them, and the server "
        "can be reached past the proxy.",
        transport.proxy_believes_anyone,
    ),
    Rule(
        "autoreload-on",
        "medium",
        "A changed file restarts the site, in the middle of an upgrade as well; whoever can "
        "write one module decides what runs.",
        transport.autoreload_on,
    ),
    Rule(
        "timeouts-disabled",
        "medium",
        "A peer that sends nothing, or a byte now and then, keeps its place for ever.",
        transport.timeouts_disabled,
    ),
    Rule(
        "body-limit-huge",
        "medium",
        "A few requests fill the memory or the disk.",
        transport.body_limit_huge,
    ),
    Rule(
        "head-limit-huge",
        "low",
        "The head of a request is kept in memory before anything is known of it.",
        transport.head_limit_huge,
    ),
    Rule(
        "socket-open-to-all",
        "medium",
        "Every account on this machine can talk to the site past its proxy.",
        transport.socket_open_to_all,
    ),
    Rule(
        "config-readable",
        "medium",
        "The file has secrets in it that every account on this machine can read.",
        transport.config_readable,
    ),
    # What a careful site has, too.
    Rule(
        "no-hsts",
        "low",
        "The first request by http can be led elsewhere; browsers that have been told come by "
        "https at once (RFC 6797).",
        pages.no_hsts,
    ),
    Rule(
        "debug-settings",
        "low",
        "Debugging aids write more into logs than a site in use should keep.",
        pages.debug_settings,
    ),
    Rule(
        "digest-auth-without-tls",
        "low",
        "The password stays hidden, everything else does not; and the exchange can be guessed at.",
        transport.digest_auth_without_tls,
    ),
)


def examine(configuration: Configuration) -> list[Finding]:
    """Return what is wrong, the worst first."""
    found = [Finding(rule, hit) for rule in RULES for hit in rule.check(configuration)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.rule.severity))
