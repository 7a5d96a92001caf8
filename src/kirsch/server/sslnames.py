"""The SSL_* names of a WSGI environ, after Apache's mod_ssl: made once a connection, when one is asked for."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

# Names of attributes as OpenSSL spells them out -> as RFC 4514 3 and mod_ssl abbreviate them.
SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "emailAddress": "Email",
    "givenName": "G",
    "initials": "I",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "surname": "S",
    "title": "T",
    "userId": "UID",
}
ALTERNATIVES = {"DNS": "DNS", "email": "Email"}
SPECIAL = str.maketrans({char: "\\" + char for char in ',+"\\<>;='})


def ssl_names(obj: Any) -> dict[str, str]:
    """What is to be said of one TLS connection and of its peer's certificate (ssl.SSLObject)."""
    cipher = obj.cipher() or ("", "", 0)
    names = {
        "HTTPS": "on",
        "SSL_PROTOCOL": obj.version() or "",
        "SSL_CIPHER": cipher[0],
        "SSL_CIPHER_USEKEYSIZE": str(cipher[2]),
        "SSL_CLIENT_VERIFY": "NONE",
    }
    host = getattr(obj, "asked", None)
    if host:
        names["SSL_TLS_SNI"] = host
    if obj.context.verify_mode != ssl.CERT_NONE:
        certificate = obj.getpeercert(True)
        if certificate:
            names["SSL_CLIENT_VERIFY"] = "SUCCESS"  # or the handshake would have failed
            names["SSL_CLIENT_CERT"] = ssl.DER_cert_to_PEM_cert(certificate)
            names.update(certificate_names("SSL_CLIENT_", obj.getpeercert()))
    return names


def certificate_names(prefix: str, facts: Mapping[str, Any]) -> dict[str, str]:
    """A certificate, as ssl.SSLSocket.getpeercert() tells it, under names that begin with `prefix`."""
    names = {
        prefix + "M_VERSION": str(facts.get("version", "")),
        prefix + "M_SERIAL": str(facts.get("serialNumber", "")),
        prefix + "V_START": str(facts.get("notBefore", "")),
        prefix + "V_END": str(facts.get("notAfter", "")),
    }
    for part, key in (("S_DN", "subject"), ("I_DN", "issuer")):
        rdns = facts.get(key, ())
        names[prefix + part] = latin(distinguished_name(rdns))
        for rdn in rdns:
            for attribute, value in rdn:
                number(names, f"{prefix}{part}_{SHORT.get(attribute, attribute)}", latin(value))
    seen: dict[str, int] = {}
    for kind, value in facts.get("subjectAltName", ()):
        kind = ALTERNATIVES.get(kind)
        if kind is not None:
            seen[kind] = count = seen.get(kind, -1) + 1
            names[f"{prefix}SAN_{kind}_{count}"] = latin(value)
    return names


def number(names: dict[str, str], name: str, value: str) -> None:
    """Add a name that may be there several times: NAME, NAME_1, NAME_2."""
    unique, count = name, 0
    while unique in names:
        count += 1
        unique = f"{name}_{count}"
    names[unique] = value


def distinguished_name(rdns: Any) -> str:
    """A name as text, the most specific part first (RFC 4514 2.1)."""
    return ",".join(
        "+".join(f"{SHORT.get(attribute, attribute)}={escaped(value)}" for attribute, value in rdn)
        for rdn in reversed(rdns)
    )


def escaped(value: str) -> str:
    """A value within a name (RFC 4514 2.4): nobody puts a second attribute into his own."""
    text = value.translate(SPECIAL).replace("\0", "\\00")
    if text[:1] in ("#", " "):
        text = "\\" + text
    if len(value) > 1 and value[-1] == " ":
        text = text[:-1] + "\\ "
    return text


def latin(value: str) -> str:
    """Text as PEP 3333 wants it in an environ: UTF-8 bytes as latin-1 characters."""
    return value.encode("utf-8", "replace").decode("latin-1")
