"""Header fields: maps that ignore case, fields of elements, and words in foreign alphabets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from .charsets import known_charset

# The historical splitter of lists, for programs that use it. It looks ahead to the end of the
# field at every comma, so header_elements() does without.
RE_HEADER_SPLIT = re.compile(',(?=(?:[^"]*"[^"]*")*[^"]*$)')
q_separator = re.compile(r"; *q *=")

_MISSING = object()
_ENCODED_WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([^?\s]*)\?=")
_LINE_ENDS = {0: None, 10: None, 13: None}
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?)")

#: Elements of one field; with more it is an attack. Browsers send some thirty languages at most,
#: caches some hundred tags (`If-None-Match`).
MAX_ELEMENTS = 1000

#: Parameters of one element; what follows is ignored. Each takes some fifty times the memory of its text.
MAX_PARAMETERS = 100

#: Control characters, which no field may carry (RFC 9110, 5.5); the tab may stay.
header_translate_table = None
header_translate_deletechars = bytes(i for i in range(32) if i != 9) + b"\x7f"


class CaseInsensitiveDict(dict[Any, Any]):
    """A dict whose keys are title-cased on entry, so that lookups ignore case.

    Keys that are given in title case are found by the C code of dict itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs:
            self.update(*args, **kwargs)

    @staticmethod
    def transform_key(key: Any) -> Any:
        """Return `key` in title case; None, as in the original, is the text 'None'."""
        try:
            return key.title()
        except AttributeError:
            return str(key).title()

    # dict.__getitem__ calls this only for keys that are not there as given.
    def __missing__(self, key: Any) -> Any:
        key = self.transform_key(key)
        value = dict.get(self, key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __setitem__(
        self, key: Any, value: Any, _set: Callable[..., None] = dict.__setitem__
    ) -> None:
        try:
            _set(self, key.title(), value)
        except AttributeError:
            _set(self, self.transform_key(key), value)

    def __delitem__(self, key: Any) -> None:
        dict.__delitem__(self, self.transform_key(key))

    def __contains__(self, key: object, _has: Callable[..., bool] = dict.__contains__) -> bool:
        return _has(self, key) or _has(self, self.transform_key(key))

    def get(self, key: Any, default: Any = None, _get: Callable[..., Any] = dict.get) -> Any:
        try:
            return _get(self, key.title(), default)
        except AttributeError:
            return _get(self, self.transform_key(key), default)

    def pop(self, key: Any, *default: Any) -> Any:
        return dict.pop(self, self.transform_key(key), *default)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        return dict.setdefault(self, self.transform_key(key), default)

    def update(self, *args: Any, **kwargs: Any) -> None:
        for source in (*args, kwargs):
            if isinstance(source, Mapping) or hasattr(source, "keys"):
                for key in source.keys():  # noqa: SIM118 - all that is asked of it are keys()
                    self[key] = source[key]
            else:
                for key, value in source:
                    self[key] = value

    def copy(self) -> CaseInsensitiveDict:
        new = type(self)()
        dict.update(new, self)
        return new

    def __or__(self, other: Any) -> Any:
        new = self.copy()
        new.update(other)
        return new

    def __ror__(self, other: Any) -> Any:
        new = type(self)(other)
        new.update(self)
        return new

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    @classmethod
    def fromkeys(cls, iterable: Iterable[Any], value: Any = None) -> CaseInsensitiveDict:
        return cls((key, value) for key in iterable)

    def matching_key_for(self, key: Any) -> Any:
        """Return the key as it is stored. Raises KeyError."""
        key = self.transform_key(key)
        if key not in self:
            raise KeyError(key)
        return key


class HeaderMap(CaseInsensitiveDict):
    """The header fields of a request or a response.

    `encodings` are tried in turn when a field is written; under HTTP/1.1 what none of them can
    say becomes an encoded word in UTF-8 (RFC 2047) if `use_rfc_2047` is true.
    """

    protocol: tuple[int, int] = (1, 1)
    encodings: ClassVar[list[str]] = ["ISO-8859-1"]
    use_rfc_2047: bool = True

    def elements(self, key: str) -> list[HeaderElement]:
        """Return the elements of a field, the most wanted first; an absent field has none.

        Raises what `HeaderElement.malformed` makes when there are more than `MAX_ELEMENTS`.
        """
        return header_elements(self.transform_key(key), self.get(key))

    def values(self, key: str | None = None) -> Any:
        """Return the values (without parameters) of the elements of field `key`.

        Without a key: the fields themselves, as of any dict.
        """
        if key is None:
            return dict.values(self)
        return [element.value for element in self.elements(key)]

    def output(self) -> list[tuple[bytes, bytes]]:
        """Return the fields as a list of pairs of bytes."""
        return list(self.encode_header_items(self.items()))

    @classmethod
    def encode_header_items(
        cls, header_items: Iterable[tuple[Any, Any]]
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs as bytes; other values than str and bytes are written as text."""
        for name, value in header_items:
            if not isinstance(value, (str, bytes)):
                value = str(value)
            yield cls.encode_header_item(name), cls.encode_header_item(value)

    @classmethod
    def encode_header_item(cls, item: str | bytes) -> bytes:
        """Return one name or value as bytes, without control characters."""
        if isinstance(item, str):
            if item.isascii() and item.isprintable():
                return item.encode("ascii")
            item = cls.encode(item)
        return item.translate(header_translate_table, header_translate_deletechars)

    @classmethod
    def encode(cls, v: str) -> bytes:
        """Return `v` in the first of the encodings that can say it, or as an encoded word.

        Raises ValueError when there is none.
        """
        for encoding in cls.encodings:
            try:
                return v.encode(encoding)
            except UnicodeEncodeError:
                continue
        if cls.protocol == (1, 1) and cls.use_rfc_2047:
            from binascii import b2a_base64

            # Half a surrogate pair, as in names of files that are no text, is no character.
            return b"=?utf-8?b?" + b2a_base64(v.encode("utf-8", "replace")).strip(b"\n") + b"?="
        raise ValueError(
            f"Could not encode header part {v!r} using any of the encodings {cls.encodings!r}."
        )


class MalformedHeader(ValueError):
    """A field of the request cannot be understood: the peer's fault, so `status` is 400."""

    status = 400


class HeaderElement:
    """One element, with parameters, of a field that is a list."""

    #: Makes the exception for what cannot be understood; the framework puts its HTTPError here.
    malformed: ClassVar[Callable[[str], Exception]] = MalformedHeader

    def __init__(self, value: str, params: dict[str, Any] | None = None) -> None:
        self.value = value
        self.params: dict[str, Any] = {} if params is None else params

    def rank(self) -> Any:
        """Return what elements are ordered by: the value."""
        return self.value

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < other.value)

    def __cmp__(self, other: Any) -> int:
        return int(self.value > other.value) - int(self.value < other.value)

    def __str__(self) -> str:
        return self.value + "".join(f";{name}={value}" for name, value in self.params.items())

    def __bytes__(self) -> bytes:
        return str(self).encode("ISO-8859-1")

    def __unicode__(self) -> str:
        return str(self)

    @staticmethod
    def parse(elementstr: str) -> tuple[str, dict[str, Any]]:
        """Split ``'text/html; level="1"'`` into ``('text/html', {'level': '1'})``."""
        if ";" not in elementstr:
            return elementstr.strip(), {}
        value, *rest = split_unquoted(elementstr, ";")
        params: dict[str, Any] = {}
        for item in rest:
            name, equals, text = item.partition("=")
            if not equals:
                continue
            text = text.strip()
            if len(text) > 1 and text[0] == text[-1] == '"':
                text = text[1:-1].replace("\\\\", "\\").replace('\\"', '"')
            params[name.strip().lower()] = text
            if len(params) >= MAX_PARAMETERS:
                break
        return value.strip(), params

    @classmethod
    def from_str(cls, elementstr: str) -> HeaderElement:
        """Make an element of its text."""
        return cls(*cls.parse(elementstr))


class AcceptElement(HeaderElement):
    """One element of an ``Accept*`` or ``TE`` field, with the weight `qvalue` (0.0 to 1.0).

    Elements are ordered by weight, then by text; the best one is the greatest.
    """

    @classmethod
    def from_str(cls, elementstr: str) -> HeaderElement:
        """Make an element of its text; what follows the weight is kept in ``params['q']``."""
        media, *weight = q_separator.split(elementstr, maxsplit=1)
        value, params = cls.parse(media)
        if weight:
            params["q"] = HeaderElement.from_str(weight[0])
        return cls(value, params)

    @property
    def qvalue(self) -> float:
        """The weight, 1.0 unless given."""
        value = self.params.get("q", "1")
        if isinstance(value, HeaderElement):
            value = value.value
        try:
            return float(value)
        except ValueError:
            raise type(self).malformed(f"Malformed HTTP header: `{self}`") from None

    def rank(self) -> tuple[float, str]:
        """Return what elements are ordered by: weight and text."""
        return self.qvalue, str(self)

    def __lt__(self, other: Any) -> bool:
        return bool(self.rank() < other.rank())

    def __cmp__(self, other: Any) -> int:
        mine, others = self.rank(), other.rank()
        return int(mine > others) - int(mine < others)


def split_unquoted(text: str, separator: str) -> list[str]:
    """Split `text` at every `separator` outside double quotes, in linear time."""
    if '"' not in text:
        return text.split(separator)
    out: list[str] = []
    part: list[str] = []
    inside = False
    for index, piece in enumerate(text.split('"')):
        if index:
            part.append('"')
            previous = part[-2] if len(part) > 1 else ""
            escaped = inside and (len(previous) - len(previous.rstrip("\\"))) % 2
            if not escaped:
                inside = not inside
        if inside:
            part.append(piece)
        else:
            first, *rest = piece.split(separator)
            part.append(first)
            for new in rest:
                out.append("".join(part))
                part = [new]
    out.append("".join(part))
    return out


def header_elements(fieldname: str, fieldvalue: str | None) -> list[HeaderElement]:
    """Return the elements of a field, the greatest (of ``Accept*``: the most wanted) first.

    Raises what `HeaderElement.malformed` makes (in the framework, HTTPError 400) when there are
    more than `MAX_ELEMENTS`, and when a weight is no number.
    """
    if not fieldvalue:
        return []
    texts = split_unquoted(fieldvalue, ",")
    if len(texts) > MAX_ELEMENTS:
        raise HeaderElement.malformed(
            f"The {fieldname} header has more than {MAX_ELEMENTS} elements."
        )
    lowered = fieldname.lower()
    kind: Any = AcceptElement if lowered.startswith("accept") or lowered == "te" else HeaderElement
    elements: list[HeaderElement] = [kind.from_str(text) for text in texts]
    if len(elements) > 1:
        elements.sort(key=kind.rank)
        elements.reverse()
    return elements


def _decode_word(match: re.Match[str]) -> str:
    charset, kind, text = match.groups()
    if not known_charset(charset):
        return match[0]
    import binascii

    try:
        if kind in "bB":
            data = binascii.a2b_base64(text + "==="[: -len(text) % 4])
        else:
            data = binascii.a2b_qp(text, header=True)
        # A word may hold what no field may.
        return data.decode(charset).translate(_LINE_ENDS)
    except (ValueError, LookupError):
        return match[0]


def decode_TEXT(value: str) -> str:
    """Decode the encoded words (RFC 2047) of `value`; what cannot be decoded stays as sent."""
    if "=?" not in value:
        return value
    return _ENCODED_WORD.sub(_decode_word, _BETWEEN_WORDS.sub(r"\1", value))


def decode_TEXT_maybe(value: str) -> str:
    """Decode the encoded words of `value`, if there are any."""
    return decode_TEXT(value) if "=?" in value else value
