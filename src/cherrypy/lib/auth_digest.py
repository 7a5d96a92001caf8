"""Digest authentication (RFC 7616 with MD5, as browsers of all ages have it)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cherrypy.framework.errors import HTTPError
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site
from kirsch.http.headers import split_unquoted

__author__ = "The Kirsch developers"
__date__ = "2026"

__all__ = (
    "HttpDigestAuthorization",
    "digest_auth",
    "get_ha1_dict",
    "get_ha1_dict_plain",
    "get_ha1_file_htdigest",
    "synthesize_nonce",
    "www_authenticate",
)

qop_auth = "auth"
qop_auth_int = "auth-int"
valid_qops = (qop_auth, qop_auth_int)
valid_algorithms = ("MD5", "MD5-sess")

FALLBACK_CHARSET = "ISO-8859-1"
DEFAULT_CHARSET = "UTF-8"

#: Returns the HA1 of a user of a realm, or None.
GetHA1 = Callable[[str, str], "str | None"]


def md5_hex(s: str | bytes) -> str:
    """Return the MD5 of `s` (texts in UTF-8) in hexadecimal digits."""
    from hashlib import md5

    data = s.encode("utf-8") if isinstance(s, str) else s
    return md5(data, usedforsecurity=False).hexdigest()


#: The name of the hash in RFC 7616.
H = md5_hex


def TRACE(msg: str) -> None:
    """Write to the error log what is being found out."""
    site.log(msg, context="TOOLS.AUTH_DIGEST")


def get_ha1_dict_plain(user_password_dict: dict[str, str]) -> GetHA1:
    """Return a `get_ha1` that knows users and passwords."""

    def get_ha1(realm: str, username: str) -> str | None:
        password = user_password_dict.get(username)
        return md5_hex(f"{username}:{realm}:{password}") if password else None

    return get_ha1


def get_ha1_dict(user_ha1_dict: dict[str, str]) -> GetHA1:
    """Return a `get_ha1` that knows users and their HA1, for a single realm."""

    def get_ha1(realm: str, username: str) -> str | None:
        return user_ha1_dict.get(username)

    return get_ha1


def get_ha1_file_htdigest(filename: str) -> GetHA1:
    """Return a `get_ha1` that looks into a file as Apache's htdigest makes it."""

    def get_ha1(realm: str, username: str) -> str | None:
        with open(filename, encoding="utf-8") as file:
            for line in file:
                user, _, rest = line.rstrip().partition(":")
                place, _, ha1 = rest.partition(":")
                if user == username and place == realm:
                    return ha1
        return None

    return get_ha1


def synthesize_nonce(s: str, key: str, timestamp: int | None = None) -> str:
    """Return a nonce that shows when it was made, and by whom who knows `key`.

    Args:
        s: what it is for: the realm.
        timestamp: seconds since the epoch; now if None.
    """
    if timestamp is None:
        timestamp = int(time.time())
    return f"{timestamp}:{md5_hex(f'{timestamp}:{s}:{key}')}"


def _try_decode_header(header: str, charset: str) -> str:
    """Read a field, which came as Latin-1, in the charset that we asked for, or as it is."""
    raw = header.encode("latin-1", "replace")
    for encoding in (charset, FALLBACK_CHARSET):
        try:
            return raw.decode(encoding)
        except (ValueError, LookupError):
            continue
    raise HTTPError(400, "The Authorization header could not be parsed.")


class HttpDigestAuthorization:
    """An Authorization field of the Digest scheme.

    Args:
        auth_header: the field.
        http_method: of the request.
        accept_charset: what user names are in.

    Raises ValueError for a field that is none, or one that RFC 7616 does not allow.
    """

    scheme = "digest"

    def __init__(
        self,
        auth_header: str,
        http_method: str,
        debug: bool = False,
        accept_charset: str = DEFAULT_CHARSET,
    ) -> None:
        self.http_method = http_method
        self.debug = debug
        if not self.matches(auth_header):
            raise ValueError('Authorization scheme is not "Digest"')
        self.auth_header = _try_decode_header(auth_header, accept_charset)
        params: dict[str, str] = {}
        for item in split_unquoted(self.auth_header.partition(" ")[2], ","):
            name, equals, value = item.partition("=")
            if not equals:
                raise ValueError(self.errmsg("A parameter has no value."))
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            params[name.strip()] = value

        self.realm = params.get("realm")
        self.username = params.get("username")
        self.nonce = params.get("nonce")
        self.uri = params.get("uri")
        self.method = params.get("method")
        self.response = params.get("response")
        self.algorithm = params.get("algorithm", "MD5").upper().replace("-SESS", "-sess")
        self.cnonce = params.get("cnonce")
        self.opaque = params.get("opaque")
        self.qop = params.get("qop")
        self.nc = params.get("nc")

        if self.algorithm not in valid_algorithms:
            raise ValueError(self.errmsg(f"Unsupported value for algorithm: {self.algorithm!r}"))
        if not (self.username and self.realm and self.nonce and self.uri and self.response):
            raise ValueError(self.errmsg("Not all required parameters are present."))
        if self.qop:
            if self.qop not in valid_qops:
                raise ValueError(self.errmsg(f"Unsupported value for qop: {self.qop!r}"))
            if not (self.cnonce and self.nc):
                raise ValueError(self.errmsg("If qop is sent then cnonce and nc MUST be present"))
        elif self.cnonce or self.nc:
            raise ValueError(
                self.errmsg("If qop is not sent, neither cnonce nor nc can be present")
            )

    def errmsg(self, s: str) -> str:
        """Return `s` with what it is about in front."""
        return f"Digest Authorization header: {s}"

    @classmethod
    def matches(cls, header: str) -> bool:
        """Tell whether a field is of this scheme."""
        return header.partition(" ")[0].lower() == cls.scheme

    def __str__(self) -> str:
        return f"authorization : {self.auth_header}"

    def validate_nonce(self, s: str, key: str) -> bool:
        """Tell whether the nonce is one that we made for `s` with `key`."""
        from hmac import compare_digest

        timestamp, colon, _ = (self.nonce or "").partition(":")
        if not colon or not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 15:
            return False
        own = synthesize_nonce(s, key, int(timestamp))
        return compare_digest(own.encode(), (self.nonce or "").encode("utf-8", "replace"))

    def is_nonce_stale(self, max_age_seconds: int = 600) -> bool:
        """Tell whether the nonce is older than `max_age_seconds`, or none at all."""
        try:
            timestamp = int((self.nonce or "").partition(":")[0])
        except ValueError:
            return True
        return timestamp + max_age_seconds <= int(time.time())

    def HA2(self, entity_body: Any = "") -> str:
        """Return the hash over method, URI and, with qop auth-int, the body (RFC 7616, 3.4.3)."""
        a2 = f"{self.http_method}:{self.uri}"
        if self.qop == qop_auth_int:
            if hasattr(entity_body, "read"):
                entity_body = entity_body.read()
            a2 += ":" + md5_hex(entity_body)
        return md5_hex(a2)

    def request_digest(self, ha1: str, entity_body: Any = "") -> str:
        """Return what `response` has to be if the client knows the password (RFC 7616, 3.4.1)."""
        ha2 = self.HA2(entity_body)
        if self.algorithm == "MD5-sess":
            ha1 = md5_hex(f"{ha1}:{self.nonce}:{self.cnonce}")
        if self.qop:
            return md5_hex(f"{ha1}:{self.nonce}:{self.nc}:{self.cnonce}:{self.qop}:{ha2}")
        return md5_hex(f"{ha1}:{self.nonce}:{ha2}")


def _get_charset_declaration(charset: str) -> str:
    """Return the charset parameter of a challenge; Latin-1 goes without saying."""
    charset = charset.upper()
    return f', charset="{charset}"' if charset != FALLBACK_CHARSET else ""


def www_authenticate(
    realm: str,
    key: str,
    algorithm: str = "MD5",
    nonce: str | None = None,
    qop: str = qop_auth,
    stale: bool = False,
    accept_charset: str = DEFAULT_CHARSET,
) -> str:
    """Return a challenge, the value of a WWW-Authenticate field.

    Raises ValueError for an algorithm or a qop that is none.
    """
    if qop not in valid_qops:
        raise ValueError(f"Unsupported value for qop: '{qop}'")
    if algorithm not in valid_algorithms:
        raise ValueError(f"Unsupported value for algorithm: '{algorithm}'")
    if nonce is None:
        nonce = synthesize_nonce(realm, key)
    staleness = ', stale="true"' if stale else ""
    return (
        f'Digest realm="{realm}", nonce="{nonce}", algorithm="{algorithm}", qop="{qop}"'
        f"{staleness}{_get_charset_declaration(accept_charset)}"
    )


def digest_auth(
    realm: str, get_ha1: GetHA1, key: str, debug: bool = False, accept_charset: str = "utf-8"
) -> None:
    """Let in who can prove to know a password without sending it (tool `auth_digest`).

    Args:
        realm: what the client shows to its user; part of every HA1.
        get_ha1: called with realm and user name; returns the HA1 or None.
        key: a secret of this server, which nonces are made with.
        accept_charset: what user names are in.

    Sets `request.login`. Raises HTTPError 401 with a challenge, 400 for a malformed header.
    """
    from hmac import compare_digest

    request = serving.request
    header = dict.get(request.headers, "Authorization")
    if not header or not HttpDigestAuthorization.matches(header):
        raise _challenge(realm, key, accept_charset, debug)
    try:
        auth = HttpDigestAuthorization(
            header, request.method, debug=debug, accept_charset=accept_charset
        )
    except ValueError:
        raise HTTPError(400, "The Authorization header could not be parsed.") from None
    if not auth.validate_nonce(realm, key):
        raise _challenge(realm, key, accept_charset, debug)
    ha1 = get_ha1(realm, auth.username or "")
    if ha1 is None:
        raise _challenge(realm, key, accept_charset, debug)
    # Only what is still to be read can be hashed (qop auth-int); a GET has none.
    entity = request.body if request.process_request_body else b""
    digest = auth.request_digest(str(ha1), entity_body=entity)
    if not compare_digest(digest.encode(), (auth.response or "").encode("utf-8", "replace")):
        raise _challenge(realm, key, accept_charset, debug)
    # Only now, so that "stale" tells only those who know the password.
    if auth.is_nonce_stale(max_age_seconds=600):
        raise _challenge(realm, key, accept_charset, debug, stale=True)
    request.login = auth.username
    if debug:
        TRACE(f"authentication of {auth.username} successful")


def _challenge(realm: str, key: str, accept_charset: str, debug: bool, **kwargs: Any) -> HTTPError:
    """Return HTTPError 401; the challenge is in the response."""
    header = www_authenticate(realm, key, accept_charset=accept_charset, **kwargs)
    if debug:
        TRACE(header)
    serving.response.headers["WWW-Authenticate"] = header
    return HTTPError(401, "You are not authorized to access that resource")


def _respond_401(realm: str, key: str, accept_charset: str, debug: bool, **kwargs: Any) -> None:
    """Raise HTTPError 401 with a challenge."""
    raise _challenge(realm, key, accept_charset, debug, **kwargs)
