"""The rows of bad input: forms, charsets, credentials, cookies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import input_checks
import naive_input
from asking_kit import Site
from input_checks import Pages
from promises import Row


def pages(folder: Path) -> Any:
    return Site(Pages(), {})


def _row(
    clauses: str,
    promise: str,
    check: Callable[[Any], None],
    naive: Callable[[Path], Any],
    says: str,
) -> Row:
    return Row(tuple(clauses.split(", ")), promise, check, pages, naive, says)


INPUT = [
    _row(
        "multipart: 4xx",
        "A form that is none is a 4xx",
        input_checks.bad_multipart_is_a_4xx,
        naive_input.split_at_boundaries,
        "500 for a form with",
    ),
    _row(
        "multipart: time",
        "A file of four times the size takes four times the time, whatever is in it",
        input_checks.multipart_takes_linear_time,
        naive_input.looks_for_it_each_time,
        "times the time",
    ),
    _row(
        "multipart: time",
        "So does a form of four times as many fields",
        input_checks.many_parts_take_linear_time,
        naive_input.cuts_off_each_part,
        "times the time",
    ),
    _row(
        "multipart: memory",
        "A large file is not held in memory",
        input_checks.multipart_takes_bounded_memory,
        naive_input.split_at_boundaries,
        "bytes of memory for a file of 8 MB",
    ),
    _row(
        "multipart: descriptors",
        "Small files take no descriptors",
        input_checks.parts_take_no_descriptors,
        naive_input.a_file_for_each_part,
        "300 small files take 30. descriptors",
    ),
    _row(
        "charset: 4xx",
        "A charset that is none, or is not that of the text, is a 4xx",
        input_checks.bad_charsets_are_a_4xx,
        naive_input.decodes_anything,
        "500 for a form in the charset",
    ),
    _row(
        "charset: time",
        "No charset takes more than linear time",
        input_checks.charsets_take_linear_time,
        naive_input.decodes_with_any_codec,
        "times the time",
    ),
    _row(
        "charset: memory",
        "A body is not unpacked because its charset says so",
        input_checks.charsets_take_bounded_memory,
        naive_input.decodes_with_any_codec,
        "bytes of memory for a body",
    ),
    _row(
        "charset: memory",
        "Names of charsets that there are not are forgotten",
        input_checks.names_of_charsets_are_forgotten,
        naive_input.decodes_with_any_codec,
        "100 names of charsets",
    ),
    _row(
        "digest: 4xx",
        "Credentials that are none are a 4xx",
        input_checks.bad_digests_are_a_4xx,
        naive_input.splits_credentials,
        "500 for the credentials",
    ),
    _row(
        "digest: time",
        "Credentials take linear time",
        input_checks.digests_take_linear_time,
        naive_input.looks_ahead,
        "times the time",
    ),
    _row(
        "digest: memory",
        "Nothing is kept of credentials that are refused",
        input_checks.digests_take_bounded_memory,
        naive_input.remembers_each_nonce,
        "bytes are kept of 300 logins",
    ),
    _row(
        "cookie: 4xx",
        "Cookies that are none are left out, and no 500",
        input_checks.bad_cookies_are_no_500,
        naive_input.each_cookie_by_itself,
        "500 for the cookie",
    ),
    _row(
        "cookie: time",
        "Cookies take linear time",
        input_checks.cookies_take_linear_time,
        naive_input.unquotes_one_by_one,
        "times the time",
    ),
    _row(
        "cookie: memory",
        "A field of many cookies does not make an object of each",
        input_checks.cookies_take_bounded_memory,
        naive_input.the_librarys_cookies,
        "bytes of memory for",
    ),
    _row(
        "multipart: descriptors",
        "A form that breaks off leaves no descriptor behind",
        input_checks.leaves_no_descriptors("multipart"),
        naive_input.keeps_what_was_refused,
        "descriptors are left by bad multipart",
    ),
    *(
        _row(
            f"{kind}: descriptors",
            f"{what} that are refused leave none behind",
            input_checks.leaves_no_descriptors(kind),
            naive,
            f"descriptors are left by bad {kind}",
        )
        for kind, what, naive in (
            ("charset", "Charsets", naive_input.traces_requests),
            ("digest", "Credentials", naive_input.traces_requests),
            ("cookie", "Cookies", naive_input.traces_cookies),
        )
    ),
]
