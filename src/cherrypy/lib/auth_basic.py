"""Basic authentication (RFC 7617)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site

__author__ = "The Kirsch developers"
__date__ = "2026"

__all__ = ("basic_auth", "checkpassword_dict")


#: Longer credentials (characters, in base64) are refused: the time that normalisation takes can
#: grow with the square of their length.
MAX_TOKEN = 8192


def checkpassword_dict(user_password_dict: dict[str, str]) -> Callable[[str, str, str], bool]:
    """Return a `checkpassword` that knows the users and passwords of a dict."""
    from hmac import compare_digest

    def checkpassword(realm: str, user: str, password: str) -> bool:
        known = user_password_dict.get(user)
        # Compared also for a user who does not exist: the time tells nothing.
        same = compare_digest((known or "").encode("utf-8"), password.encode("utf-8"))
        return bool(known) and same

    return checkpassword


def _try_decode(subject: bytes, charsets: Iterable[str]) -> tuple[str, str]:
    """Return `subject` as text, and the first of `charsets` in which it is one.

    Raises ValueError when it is in none of them.
    """
    for charset in charsets:
        try:
            return subject.decode(charset), charset
        except ValueError:
            continue
    raise ValueError("The credentials are in none of the charsets.")


def basic_auth(
    realm: str,
    checkpassword: Callable[[str, str, str], Any],
    debug: bool = False,
    accept_charset: str = "utf-8",
) -> None:
    """Let in who can give a user name and its password (tool `auth_basic`).

    Args:
        realm: what the client shows to its user; without double quotes.
        checkpassword: called with realm, user name and password; true lets the request in.
        accept_charset: what user names and passwords are in; ISO-8859-1 is tried as well.

    Sets `request.login`. Raises HTTPError 401 with a challenge, 400 for a malformed header.
    """
    if '"' in realm:
        raise ValueError('Realm cannot contain the " (quote) character.')
    request = serving.request
    fallback = "ISO-8859-1"
    header = dict.get(request.headers, "Authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "basic":
            # RFC 7617, 2: what cannot be read is a bad request.
            try:
                if len(token) > MAX_TOKEN:
                    raise ValueError("too long")
                import binascii

                raw = binascii.a2b_base64(token.strip().encode("ascii"))
                text, charset = _try_decode(raw, (accept_charset, fallback))
                username, colon, password = text.partition(":")
                if not colon:
                    raise ValueError("no colon")
            except ValueError:
                raise HTTPError(400, "Bad Request") from None
            if charset.lower() != fallback.lower():
                import unicodedata

                # RFC 7617, 2.1 asks for NFC, whatever the client's keyboard makes.
                username = unicodedata.normalize("NFC", username)
                password = unicodedata.normalize("NFC", password)
            if checkpassword(realm, username, password):
                request.login = username
                if debug:
                    site.log("Auth succeeded", "TOOLS.AUTH_BASIC")
                return
    charset = accept_charset.upper()
    declaration = f', charset="{charset}"' if charset != fallback else ""
    serving.response.headers["www-authenticate"] = f'Basic realm="{realm}"{declaration}'
    raise HTTPError(401, "You are not authorized to access that resource")
