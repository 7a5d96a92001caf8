"""The words of `kirsch.http` under their historical names."""

from __future__ import annotations

from kirsch.http.dates import HTTPDate, parse_date
from kirsch.http.headers import (
    RE_HEADER_SPLIT,
    AcceptElement,
    CaseInsensitiveDict,
    HeaderElement,
    HeaderMap,
    decode_TEXT,
    decode_TEXT_maybe,
    header_elements,
    header_translate_deletechars,
    header_translate_table,
    q_separator,
)
from kirsch.http.hosts import Host, SanitizedHost, protocol_from_http, urljoin, urljoin_bytes
from kirsch.http.query import _parse_qs, image_map_pattern, parse_query_string, unquote_plus
from kirsch.http.ranges import get_ranges
from kirsch.http.status import REASONS, response_codes, valid_status

__all__ = (
    "REASONS",
    "RE_HEADER_SPLIT",
    "AcceptElement",
    "CaseInsensitiveDict",
    "HTTPDate",
    "HeaderElement",
    "HeaderMap",
    "Host",
    "SanitizedHost",
    "_parse_qs",
    "decode_TEXT",
    "decode_TEXT_maybe",
    "get_ranges",
    "header_elements",
    "header_translate_deletechars",
    "header_translate_table",
    "image_map_pattern",
    "parse_date",
    "parse_query_string",
    "protocol_from_http",
    "q_separator",
    "response_codes",
    "unquote_plus",
    "urljoin",
    "urljoin_bytes",
    "valid_status",
)
