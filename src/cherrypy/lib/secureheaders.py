"""Response fields by which a site tells browsers what others may not do with its pages.

Law: what the page handler has set itself stays, unless `overwrite` says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from cherrypy.framework.serving import serving
from cherrypy.framework.tools import HookSpec, Tool

from . import by_https, give_requests

__all__ = ("SecureHeadersTool", "csp_nonce", "secure_headers")

#: Everything from this site, nothing inline but styles (the error pages have some), no plug-ins,
#: no frames around us, no forms that send elsewhere.
CSP = (
    "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; "
    "img-src 'self' data:; object-src 'none'; style-src 'self' 'unsafe-inline'"
)

#: Devices and payments are for the sites that ask for them.
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"

_NONCE = "{nonce}"


def csp_nonce(request: Any) -> str:
    """Return the nonce of a request, for `<script nonce="...">`; made when first asked for."""
    # Content Security Policy 3, 7.1: at least 128 bits, by a secure generator, for each response.
    return "" if request.app is None else os.urandom(16).hex()


give_requests("csp_nonce", csp_nonce)


def _allowing_scripts(policy: str, nonce: str) -> str:
    """Return `policy` with the nonce among the sources of scripts.

    Not among those of styles: there it would put 'unsafe-inline' out of force (CSP 3, 6.7.3.2).
    """
    directives = [part.split() for part in policy.split(";") if part.strip()]
    named = {words[0].lower(): words for words in directives}
    scripts = named.get("script-src")
    if scripts is None:
        fallback = named.get("default-src")
        if fallback is None:
            return policy  # which allows every script
        scripts = ["script-src", *fallback[1:]]
        directives.append(scripts)
    # 'none' beside another source means nothing (CSP 3, 6.7.2.3).
    scripts[1:] = [word for word in scripts[1:] if word.lower() != "'none'"]
    scripts.append(f"'nonce-{nonce}'")
    return "; ".join(" ".join(words) for words in directives)


def _policy_for(request: Any, policy: str) -> tuple[str, bool]:
    """Return the policy to send for `request`, and whether the nonce is in it."""
    if _NONCE in policy:
        return policy.replace(_NONCE, request.csp_nonce), True
    if request._csp_nonce:
        return _allowing_scripts(policy, request._csp_nonce), True
    return policy, False


def _transport(seconds: int, subdomains: bool, preload: bool) -> str:
    """Return the value of Strict-Transport-Security (RFC 6797, 6.1)."""
    value = f"max-age={int(seconds)}"
    # The preload lists take no site without its subdomains.
    if subdomains or preload:
        value += "; includeSubDomains"
    return value + "; preload" if preload else value


def secure_headers(
    csp: str | None = CSP,
    report_only: bool = False,
    frame_options: str | None = "DENY",
    content_type_options: str | None = "nosniff",
    referrer_policy: str | None = "same-origin",
    permissions_policy: str | None = PERMISSIONS,
    opener_policy: str | None = "same-origin",
    resource_policy: str | None = "same-origin",
    hsts: int | None = None,
    hsts_subdomains: bool = False,
    hsts_preload: bool = False,
    overwrite: bool = False,
) -> None:
    """Set the fields that protect a page in browsers (tool `secure_headers`).

    Args:
        csp: the Content-Security-Policy; ``{nonce}`` in it stands for `request.csp_nonce`.
        report_only: only report what the policy would forbid.
        frame_options, content_type_options, referrer_policy, permissions_policy: the fields
            X-Frame-Options, X-Content-Type-Options, Referrer-Policy and Permissions-Policy.
        opener_policy, resource_policy: Cross-Origin-Opener-Policy, Cross-Origin-Resource-Policy.
        hsts: seconds for which browsers shall come by https only; sent by https only. 0 has them
            forget it; None, the default, sends nothing, because it cannot be taken back quickly.
        hsts_subdomains, hsts_preload: also for subdomains; also for the lists in browsers.
        overwrite: replace what the handler has set.

    None or '' leaves a field out.
    """
    request, response = serving.request, serving.response
    headers = response.headers
    put = headers.__setitem__ if overwrite else headers.setdefault
    for name, value in (
        ("X-Frame-Options", frame_options),
        ("X-Content-Type-Options", content_type_options),
        ("Referrer-Policy", referrer_policy),
        ("Permissions-Policy", permissions_policy),
        ("Cross-Origin-Opener-Policy", opener_policy),
        ("Cross-Origin-Resource-Policy", resource_policy),
    ):
        if value:
            put(name, value)
    if csp:
        name = "Content-Security-Policy" + ("-Report-Only" if report_only else "")
        policy, personal = _policy_for(request, csp)
        if not personal or str(response.status)[:3] != "304":
            put(name, policy)
        elif headers.get(name) == policy:
            # A cache puts the fields of a 304 in place of those it has (RFC 9111, 3.2), but the
            # page it keeps has the nonce of before.
            del headers[name]
    # RFC 6797, 7.2: never over a transport that is not secure.
    if hsts is not None and by_https(request):
        put("Strict-Transport-Security", _transport(hsts, hsts_subdomains, hsts_preload))


# Whatever else goes wrong while the response is finished.
secure_headers.failsafe = True  # type: ignore[attr-defined]  # read by hooks


class SecureHeadersTool(Tool):
    """Sets the fields on responses, and on the pages of errors that nobody anticipated."""

    def __init__(self) -> None:
        Tool.__init__(self, "before_finalize", secure_headers, "secure_headers", 60)

    def hooks(self, conf: dict[str, Any]) -> Iterator[HookSpec]:
        """Yield the hook at both ends that a response can come to."""
        priority = self._priority_of(conf)
        yield self._point, self.callable, priority, conf
        yield "after_error_response", self.callable, priority, conf
