"""What single tools and the parsing of bodies say: logins, entity tags, files, forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...framework import body as bodies
from ...framework.errors import HTTPError, HTTPRedirect
from ...framework.serving import serving
from ...framework.tools import default_toolbox
from ...lib import auth_basic, auth_digest, cptools, jsontools, static
from ...lib.sessionauth import SessionAuth
from ..table import servers as s
from ..table import toolbox as b
from .house import House

Told = Callable[[Any, BaseException | None], None]


def begin(house: House) -> None:
    """Listen to them."""
    observe(house, auth_basic, "basic_auth", "auth_basic", lambda _, error: _login("basic", error))
    observe(
        house, auth_digest, "digest_auth", "auth_digest", lambda _, error: _login("digest", error)
    )
    observe(house, cptools, "validate_etags", "etags", _validated)
    observe(house, static, "staticdir", "staticdir", _served)
    observe(house, static, "staticfile", "staticfile", _served)
    observe(house, SessionAuth, "do_login", "", _form)
    observe(house, SessionAuth, "do_check", "", _checked)
    parts(house)


def observe(house: House, owner: Any, name: str, tool: str, told: Told) -> None:
    """Have `told(result, error)` called after a function of a module, and of the tool made of it."""
    broken = house.monitor.broken

    def watched(*args: Any, **kwargs: Any) -> Any:
        result, failure = None, None
        try:
            result = plain(*args, **kwargs)
            return result
        except BaseException as error:
            failure = error
            raise
        finally:
            try:
                told(result, failure)
            except Exception as error:
                broken(f"house.{name}", error)

    plain = house.patches.replace(owner, name, watched)
    made = default_toolbox.__dict__.get(tool)
    if made is not None and made.callable is plain:
        house.patches.put(made, "callable", watched)


# -- logins -------------------------------------------------------------------------------------------


def _login(scheme: str, error: BaseException | None) -> None:
    if error is None:
        result = "ok"
    elif not isinstance(error, HTTPError):
        return
    elif 'stale="true"' in str(serving.response.headers.get("WWW-Authenticate", "")):
        result = "stale_nonce"
    elif not serving.request.headers.get("Authorization"):
        result = "none"  # asked for a password, and has not given one yet
    else:
        result = "bad"
    b.AUTH_ATTEMPTS.add(1, (scheme, result))


def _form(result: Any, error: BaseException | None) -> None:
    if error is None or isinstance(error, HTTPRedirect):
        b.AUTH_ATTEMPTS.add(1, ("form", "ok" if error is not None else "bad"))


def _checked(result: Any, error: BaseException | None) -> None:
    if error is None:
        b.AUTH_ATTEMPTS.add(1, ("session", "none" if result else "ok"))


# -- entity tags, files -------------------------------------------------------------------------------


def _validated(result: Any, error: BaseException | None) -> None:
    response = serving.response
    if response.__dict__.get("_monitor_validated"):
        return  # the hook runs again for the answer that it has made
    response._monitor_validated = True
    fields = serving.request.headers
    if "If-None-Match" not in fields and "If-Match" not in fields:
        outcome = "none"
    elif isinstance(error, HTTPRedirect):
        outcome = "match"
    elif isinstance(error, HTTPError):
        outcome = "failed"
    elif error is None:
        outcome = "no_match" if "If-None-Match" in fields else "match"
    else:
        return
    b.ETAG_VALIDATIONS.add(1, (outcome,))


def _served(result: Any, error: BaseException | None) -> None:
    if isinstance(error, (HTTPRedirect, HTTPError)):
        outcome = str(getattr(error, "status", "") or "500")[:3]
    elif error is not None:
        return
    elif result:
        outcome = str(serving.response.status or 200)[:3]
    else:
        outcome = "missing"
    s.STATIC_RESPONSES.add(1, (outcome,))


# -- bodies -------------------------------------------------------------------------------------------


def parts(house: House) -> None:
    """Count bodies, and the parts of those that have several."""

    def urlencoded(entity: Any) -> None:
        form(entity)
        b.BODY_PARTS.add(1, ("urlencoded",))

    def processed(part: Any) -> None:
        process(part)
        kind = "multipart_field" if part.filename is None else "multipart_file"
        b.BODY_PARTS.add(1, (kind,))

    def json(text: str, *args: Any) -> Any:
        value = decode(text, *args)
        b.BODY_PARTS.add(1, ("json",))
        return value

    form = bodies.process_urlencoded
    house.patches.item(bodies.Entity.processors, "application/x-www-form-urlencoded", urlencoded)
    process = house.patches.replace(bodies.Part, "process", processed)
    decode = house.patches.replace(jsontools, "decode", json)
