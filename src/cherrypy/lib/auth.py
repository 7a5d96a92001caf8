"""The tools `basic_auth` and `digest_auth` of CherryPy before 16.0, by way of those that came after them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from hashlib import md5
from typing import Any

from . import auth_basic, auth_digest

__all__ = ("basic_auth", "digest_auth")

warnings.warn(
    "The tools basic_auth and digest_auth are of CherryPy before 16: use auth_basic and "
    "auth_digest (cherrypy.lib.auth_basic, cherrypy.lib.auth_digest).",
    DeprecationWarning,
    stacklevel=2,
)

_keys: list[str] = []


def _stored(users: Any, username: str) -> Any:
    """Return what `users` knows of one: a dict, a callable that returns one, or one that takes a name."""
    if callable(users):
        try:
            users = users()
        except TypeError:
            return users(username)
        if not isinstance(users, dict):
            raise ValueError("Authentication users must be a dictionary")
    return users.get(username)


def _md5(password: str) -> str:
    return md5(password.encode("utf-8"), usedforsecurity=False).hexdigest()


def basic_auth(
    realm: str, users: Any, encrypt: Callable[..., Any] | None = None, debug: bool = False
) -> None:
    """Let in who gives a user name and its password.

    users
        `{name: encrypted password}`; a callable that returns such a dict, or one that takes a name
        and returns the encrypted password.
    encrypt
        Makes the encrypted password of the one given, or of that and the user name. None: MD5, in
        hexadecimal digits.
    """
    from hmac import compare_digest

    def check(realm: str, username: str, password: str) -> bool:
        stored = _stored(users, username)
        if encrypt is None:
            given: Any = _md5(password)
        else:
            try:
                given = encrypt(password, username)
            except TypeError:
                given = encrypt(password)
        if not isinstance(stored, (str, bytes)) or not isinstance(given, (str, bytes)):
            return False
        known, got = (x.encode() if isinstance(x, str) else x for x in (stored, given))
        return compare_digest(known, got)

    auth_basic.basic_auth(realm, check, debug)


def digest_auth(realm: str, users: Any, debug: bool = False) -> None:
    """Let in who proves to know a password without sending it.

    users
        `{name: password}`, or a callable as with `basic_auth`: the passwords in the clear.
    """
    if not _keys:
        from os import urandom

        _keys.append(urandom(16).hex())  # a race makes another that nobody uses

    def get_ha1(realm: str, username: str) -> str | None:
        password = _stored(users, username)
        return None if password is None else _md5(f"{username}:{realm}:{password}")

    auth_digest.digest_auth(realm, get_ha1, _keys[0], debug)
