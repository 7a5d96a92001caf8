"""The doctor's checks of what pages say and take: errors, sessions, fields, names, forms, logins."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .hits import Hit, mode_of
from .reading import Configuration, NotPython, Unknown
from .servers import servers, tls_somewhere

#: Paths at which secrets are guessed.
_LOGIN = re.compile(
    r"(do_)?(log-?_?in|sign-?_?in|log-?_?on|auth|password|passwd|reset|2fa|otp|token)",
    re.IGNORECASE,
)

_AUTH_TOOLS = ("session_auth", "auth_basic", "auth_digest")

#: Content Security Policy 3, 6: a directive is a name of letters and dashes, then its values.
_DIRECTIVE = re.compile(r"[A-Za-z-]+(\s|$)")


def not_python(configuration: Configuration) -> Iterator[Hit]:
    """Values that are no Python."""
    for section, key, entry in configuration.each(".*"):
        if isinstance(entry.value, NotPython):
            yield Hit(section, f"{key} is no Python: {entry.value.why}.", entry=entry)


def _true_entries(configuration: Configuration, pattern: str) -> Iterator[Hit]:
    for section, key, entry in configuration.each(pattern):
        if entry.value and not isinstance(entry.value, NotPython):
            yield Hit(section, f"{key} is {entry.value!r}.", (f"{key} = False",), entry)


def tracebacks_shown(configuration: Configuration) -> Iterator[Hit]:
    """Tracebacks on error pages."""
    return _true_entries(configuration, r"request\.show_tracebacks")


def errors_thrown(configuration: Configuration) -> Iterator[Hit]:
    """Errors that nobody answers."""
    return _true_entries(configuration, r"request\.throw_errors")


def debug_settings(configuration: Configuration) -> Iterator[Hit]:
    """Aids for programmers."""
    return _true_entries(
        configuration, r"tools\.\w+\.debug|tools\.(log_hooks|log_headers)\.on|checker\.debug"
    )


# ------------------------------------------------------------------------------------ sessions


def session_cookie_insecure(configuration: Configuration) -> Iterator[Hit]:
    """A session cookie that is said not to be Secure, though there is TLS."""
    if tls_somewhere(configuration) or configuration.on("/", "proxy"):
        for section, key, entry in configuration.each(r"tools\.sessions\.secure"):
            if entry.value is False and configuration.on(section, "sessions"):
                yield Hit(section, f"{key} is False on a site with TLS.", (f"{key} = True",), entry)


def session_cookie_follows_scheme(configuration: Configuration) -> Iterator[Hit]:
    """A session cookie that is not Secure because TLS ends somewhere else."""
    if tls_somewhere(configuration):
        return
    for section in configuration.turned_on("sessions"):
        if configuration.get(section, "tools.sessions.secure") is None:
            yield Hit(
                section,
                "The session cookie is not marked Secure, as no server here speaks TLS.",
                ("tools.sessions.secure = True",),
                configuration.sections[section]["tools.sessions.on"],
            )


def session_cookie_for_scripts(configuration: Configuration) -> Iterator[Hit]:
    """A session cookie that scripts can read."""
    for section, key, entry in configuration.each(r"tools\.sessions\.httponly"):
        if not entry.value:
            yield Hit(section, f"{key} is {entry.value!r}.", (f"{key} = True",), entry)


def session_cookie_cross_site(configuration: Configuration) -> Iterator[Hit]:
    """A session cookie that goes along with what other sites do, and no other protection."""
    for section, key, entry in configuration.each(r"tools\.sessions\.samesite"):
        open_to_all = entry.value is None or str(entry.value).lower() == "none"
        if open_to_all and not configuration.on(section, "csrf"):
            yield Hit(section, f"{key} is {entry.value!r}.", (f'{key} = "Lax"',), entry)


def session_files_readable(configuration: Configuration) -> Iterator[Hit]:
    """A folder of session files that others can look into, or put something in."""
    for section, _key, entry in configuration.each(r"tools\.sessions\.storage_path"):
        mode = mode_of(entry.value)
        if mode is not None and mode & 0o077:
            what = "write to" if mode & 0o022 else "read"
            yield Hit(
                section,
                f"Others can {what} the session folder {entry.value} (mode {mode:04o}).",
                entry=entry,
                run=f"chmod 700 {entry.value}",
            )


def secrets_served(configuration: Configuration) -> Iterator[Hit]:
    """Static folders with this very configuration, the key or the sessions in them."""
    kept = [(path, "the configuration") for path in configuration.files]
    kept += [
        (server.get("ssl_private_key"), "the private key") for server in servers(configuration)
    ]
    for _section, _key, entry in configuration.each(r"tools\.sessions\.storage_path"):
        kept.append((entry.value, "the session folder"))
    for section in configuration.turned_on("staticdir"):
        folder = configuration.get(section, "tools.staticdir.dir")
        root = configuration.get(section, "tools.staticdir.root", "")
        if not isinstance(folder, str) or not isinstance(root, str):
            continue
        folder = os.path.realpath(os.path.join(root, folder))
        for path, words in kept:
            if not isinstance(path, str) or not path:
                continue
            if Path(os.path.realpath(path)).is_relative_to(folder):
                yield Hit(
                    section,
                    f"tools.staticdir.dir serves {folder}, with {words} in it.",
                    ('tools.staticdir.dir = "/srv/site/static"',),
                    configuration.entry(section, "tools.staticdir.dir"),
                )


# -------------------------------------------------------------------------- fields and names


def _policies(configuration: Configuration) -> Iterator[tuple[str, str, Any, str]]:
    """Yield section, key, entry and text of every Content-Security-Policy."""
    pattern = r"tools\.secure_headers\.csp|response\.headers\.(?i:content-security-policy)"
    for section, key, entry in configuration.each(pattern):
        if isinstance(entry.value, str):
            yield section, key, entry, entry.value


def no_secure_headers(configuration: Configuration) -> Iterator[Hit]:
    """A site whose root has none of the fields, by our tool or by the page's recipe."""
    own = list(configuration.each(r"response\.headers\.(?i:content-security-policy)"))
    if own or configuration.on("/", "secure_headers") or configuration.on("/", "secureheaders"):
        return
    yield Hit(
        "/",
        "No tool sets the fields that protect pages in browsers.",
        ("tools.secure_headers.on = True",),
        configuration.entry("/", "tools.secure_headers.on"),
    )


def policy_malformed(configuration: Configuration) -> Iterator[Hit]:
    """A policy that has `default-src='self'` in it, or the like."""
    for section, key, entry, text in _policies(configuration):
        for part in text.split(";"):
            if part.strip() and not _DIRECTIVE.match(part.strip()):
                better = re.sub(r"^([\w-]+)\s*[=:]\s*", r"\1 ", part.strip())
                yield Hit(
                    section,
                    f"{key} has no directive {part.strip()!r}; it is {better!r}.",
                    (f'{key} = "{text.replace(part.strip(), better)}"',),
                    entry,
                )


def policy_lets_scripts_in(configuration: Configuration) -> Iterator[Hit]:
    """A policy with 'unsafe-inline' or 'unsafe-eval' among the sources of scripts."""
    for section, key, entry, text in _policies(configuration):
        directives = {part.split()[0].lower(): part for part in text.split(";") if part.strip()}
        scripts = directives.get("script-src", directives.get("default-src", ""))
        loose = [word for word in ("'unsafe-inline'", "'unsafe-eval'") if word in scripts]
        # Beside a nonce browsers ignore 'unsafe-inline' (CSP 3, 6.7.3.2).
        if "'nonce-" in scripts:
            loose = [word for word in loose if word != "'unsafe-inline'"]
        if loose:
            better = scripts
            for word in loose:
                better = better.replace(word, "'nonce-{nonce}'" if "inline" in word else "")
            yield Hit(
                section,
                f"{key} allows scripts {' and '.join(loose)}.",
                (f'{key} = "{" ".join(text.replace(scripts, better).split())}"',),
                entry,
            )


def no_hsts(configuration: Configuration) -> Iterator[Hit]:
    """TLS that browsers are not told to insist on."""
    told = configuration.get("/", "tools.secure_headers.hsts")
    if tls_somewhere(configuration) and configuration.on("/", "secure_headers") and not told:
        yield Hit(
            "/",
            "Browsers are not told to come by https only.",
            ("tools.secure_headers.hsts = 31536000",),
            configuration.entry("/", "tools.secure_headers.hsts"),
        )


def no_allowed_hosts(configuration: Configuration) -> Iterator[Hit]:
    """A site that answers to every name."""
    if not configuration.on("/", "allowed_hosts"):
        yield Hit(
            "/",
            "The site answers to every name.",
            (
                "tools.allowed_hosts.on = True",
                'tools.allowed_hosts.hosts = ["www.example.com"]',
            ),
            configuration.entry("/", "tools.allowed_hosts.on"),
        )


def any_host_allowed(configuration: Configuration) -> Iterator[Hit]:
    """A list of names with '*' on it."""
    for section, key, entry in configuration.each(r"tools\.allowed_hosts\.hosts"):
        hosts = entry.value
        if hosts == "*" or (isinstance(hosts, (list, tuple)) and "*" in hosts):
            yield Hit(section, f"{key} has '*' on it.", (f'{key} = ["www.example.com"]',), entry)


# --------------------------------------------------------------------------- forms and logins


def no_csrf(configuration: Configuration) -> Iterator[Hit]:
    """Sessions or logins, and nothing that tells our forms from those of others."""
    for section in dict.fromkeys(
        section for tool in ("sessions", *_AUTH_TOOLS) for section in configuration.turned_on(tool)
    ):
        if not configuration.on(section, "csrf"):
            yield Hit(
                section,
                "Users are recognised here, and forms of other sites are not.",
                ("tools.csrf.on = True",),
                configuration.entry(section, "tools.csrf.on"),
            )


def anybody_reads(configuration: Configuration) -> Iterator[Hit]:
    """Responses with credentials for the pages of everybody: any site can have the origin 'null'."""
    for section in configuration.turned_on("cors"):
        if configuration.get(section, "tools.cors.credentials", False) is not True:
            continue
        origins = configuration.get(section, "tools.cors.origins", ())
        listed = [origins] if isinstance(origins, str) else origins
        if not isinstance(listed, (list, tuple)):
            continue
        for word in ("*", "null"):
            if word in listed:
                yield Hit(
                    section,
                    f"tools.cors.origins has {word!r} on it, with tools.cors.credentials.",
                    ('tools.cors.origins = ["https://app.example.com"]',),
                    configuration.entry(section, "tools.cors.origins"),
                )


def no_rate_limit(configuration: Configuration) -> Iterator[Hit]:
    """Places where passwords are tried, without a limit."""
    places = {
        section: f"tools.{tool} takes passwords here"
        for tool in _AUTH_TOOLS
        for section in configuration.turned_on(tool)
    }
    for path in configuration.paths:
        if any(_LOGIN.fullmatch(part) for part in path.split("/")):
            places.setdefault(path, f"{path} looks like a login")
    for section, words in places.items():
        on = configuration.get(section, "tools.rate_limit.on", False)
        if not on and not isinstance(on, Unknown):
            yield Hit(
                section,
                f"{words}, as often as somebody likes.",
                (
                    "tools.rate_limit.on = True",
                    "tools.rate_limit.limit = 10",
                    "tools.rate_limit.window = 60",
                ),
                configuration.entry(section, "tools.rate_limit.on"),
            )
