"""Charsets that a peer may name: what they are called, and that decoding them takes linear time.

Law: a name from a peer is looked up in a table. `codecs.lookup` would import a module of that name,
remember each name there is not for ever, and find codecs that take quadratic time (punycode, idna)
or that are no charsets at all.
"""

from __future__ import annotations

from encodings.aliases import aliases

__all__ = ("known_charset",)

#: Names are shorter than this in every registry.
_MAX_NAME = 40

#: Charsets that have no aliases and so are not in the table of `encodings`.
_WITHOUT_ALIAS = [
    "cp1006",
    "cp720",
    "cp737",
    "cp856",
    "cp874",
    "cp875",
    "koi8_t",
    "koi8_u",
    "mac_arabic",
    "mac_croatian",
    "mac_farsi",
    "mac_romanian",
    "palmos",
    "utf_8_sig",
]

#: Transformations, and UTF-7, which HTML forbids: its text passes through filters of markup, and
#: may be no text (lone surrogates).
_NO_CHARSETS = frozenset(
    [
        "base64_codec",
        "bz2_codec",
        "hex_codec",
        "quopri_codec",
        "rot_13",
        "uu_codec",
        "zlib_codec",
        "tactis",
        "mbcs",
        "utf_7",
    ]
)

_CHARSETS = frozenset([*aliases.values(), *_WITHOUT_ALIAS]) - _NO_CHARSETS


#: Few, so that the spellings of a name, which `codecs` remembers one by one, are few as well.
_SEPARATORS = str.maketrans("-:", "__")


def known_charset(name: str) -> bool:
    """Return whether `name` (of a Content-Type, say) is that of a charset that may be decoded."""
    if len(name) > _MAX_NAME or not name.isascii():
        return False
    name = name.lower().translate(_SEPARATORS)
    return aliases.get(name, name) in _CHARSETS
