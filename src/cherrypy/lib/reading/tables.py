"""Names of what code may do without a session being changed by it, and of what changes what it is done to."""

from __future__ import annotations

import builtins
from typing import Any

__all__ = (
    "CHANGES",
    "FRAMEWORK",
    "FRESH",
    "LOOKS",
    "REQUEST_OWN",
    "SAYS",
    "SESSION_DATA",
    "SESSION_METHODS",
    "SESSION_WRITERS",
    "VALUES",
    "VALUE_METHODS",
    "looks",
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Of a session.
SESSION_DATA = _words("id loaded locked missing originalid timeout regenerated")
SESSION_WRITERS = _words("pop setdefault update clear regenerate delete __setitem__ __delitem__")
SESSION_METHODS = _words("get items keys values __contains__ __getitem__ __iter__ __len__")

#: Of the package: what may be called, and passed on.
FRAMEWORK = _words("HTTPError HTTPRedirect NotFound TimeoutError CherryPyException url log config")

#: Of a request, what programs must not put something of theirs in.
REQUEST_OWN = _words(
    "app hooks handler dispatch namespaces toolmaps error_response error_page prev body run respond close throws"
)

#: Methods of built-in values that change nothing.
VALUE_METHODS = _words(
    """
    get items keys values copy index count
    capitalize casefold center decode encode endswith expandtabs find format format_map hex isalnum isalpha isascii
    isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip partition
    removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip
    swapcase title translate upper zfill
    difference intersection isdisjoint issubset issuperset symmetric_difference union
    astimezone ctime date isocalendar isoformat isoweekday strftime time timestamp timetuple total_seconds toordinal
    weekday bit_length is_integer conjugate to_bytes
    """
)
#: Those that change what they are methods of.
CHANGES = _words(
    """
    append appendleft add clear discard extend extendleft insert move_to_end pop popitem popleft remove reverse rotate
    setdefault sort subtract update
    """
)


def _named(names: str) -> frozenset[Any]:
    return frozenset(id(getattr(builtins, name)) for name in names.split())


#: Built-in functions that look at what they are given, and give nothing of it back.
LOOKS = _named(
    """
    abs all any ascii bin bool bytes callable chr complex divmod float format hasattr hash hex id int isinstance
    issubclass len oct ord pow range repr round slice str object
    """
)
#: Those that give it back: one of what lies in it, or a container that has it.
FRESH = _named(
    "dict enumerate filter frozenset iter list map max min next reversed set sorted sum tuple zip bytearray"
)

#: Modules of the standard library that give nothing of the program's back, unless they are handed it.
VALUES = _words(
    """
    _datetime _io _json _sqlite3 _struct base64 binascii calendar colorsys configparser csv datetime decimal difflib email
    fnmatch fractions glob gzip hashlib _hashlib hmac html http io json locale math mimetypes os pathlib posix posixpath
    random re secrets shutil sqlite3 stat statistics string struct tempfile textwrap time unicodedata urllib uuid xml zlib
    zoneinfo
    """
)

#: Functions of the standard library that only look at what they are given.
SAYS = _words(
    """
    json.dumps json.dump copy.deepcopy pickle.dumps marshal.dumps pprint.pformat pprint.pprint
    html.escape urllib.parse.quote urllib.parse.quote_plus urllib.parse.urlencode urllib.parse.urljoin
    textwrap.dedent hashlib.sha256 hashlib.md5 hashlib.sha1 base64.b64encode hmac.compare_digest
    _operator.length_hint statistics.mean math.fsum datetime.datetime.fromisoformat
    """
)


def looks(function: Any) -> bool:
    """Tell whether a function of the standard library only looks at what it is given."""
    name = getattr(function, "__qualname__", "")
    module = getattr(function, "__module__", "") or ""
    return f"{module}.{name}" in SAYS or (module == "json" and name in ("dumps", "dump"))
