"""Status codes and dates."""

from __future__ import annotations

import time

import pytest

from kirsch.http.dates import HTTPDate, date_bytes, parse_date
from kirsch.http.status import REASONS, response_codes, valid_status


@pytest.mark.parametrize(
    ("given", "code", "reason"),
    [
        (200, 200, "OK"),
        ("200", 200, "OK"),
        ("404 Gone fishing", 404, "Gone fishing"),
        ("404 ", 404, ""),
        (None, 200, "OK"),
        ("", 200, "OK"),
        (0, 200, "OK"),
        (b"200", 200, "OK"),
        (299, 299, ""),
        ("599 W", 599, "W"),
    ],
)
def test_valid_status(given, code, reason):
    assert valid_status(given)[:2] == (code, reason)
    if code in response_codes:
        assert valid_status(given)[2] == response_codes[code][1]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (781, "Illegal response status from server (781 is out of range)."),
        ("781 x", "Illegal response status from server (781 is out of range)."),
        (99, "Illegal response status from server (99 is out of range)."),
        (600, "Illegal response status from server (600 is out of range)."),
        ("error", "Illegal response status from server ('error' is non-numeric)."),
        ("200OK", "Illegal response status from server ('200OK' is non-numeric)."),
        (object, f"Illegal response status from server ({object!r} is non-numeric)."),
    ],
)
def test_invalid_status(given, text):
    with pytest.raises(ValueError) as info:
        valid_status(given)
    assert str(info.value) == text


def test_the_table_agrees_with_the_standard_library():
    from http import HTTPStatus

    for status in HTTPStatus:
        assert status.value in REASONS
    assert REASONS[503] == "Service Unavailable"
    assert response_codes[405] == (
        "Method Not Allowed",
        "Specified method is invalid for this resource",
    )


EXAMPLE = 784111777  # RFC 9110, 5.6.7


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_three_formats(text):
    assert parse_date(text) == EXAMPLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:61:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +0200",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, ०६ Nov 1994 08:49:37 GMT",
        "x" * 100000,
    ],
)
def test_no_dates(text):
    assert parse_date(text) is None


def test_two_digit_years_are_never_far_ahead():
    year = time.gmtime().tm_year
    ahead = (year + 51) % 100
    parsed = parse_date(f"Sunday, 06-Nov-{ahead:02d} 08:49:37 GMT")
    assert parsed is not None
    assert parsed < time.time()


def test_dates_round_trip():
    for second in range(0, 2**31, 86399 * 997):
        assert parse_date(HTTPDate(second)) == second
    assert HTTPDate(EXAMPLE) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert HTTPDate(0.9) == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_this_second():
    before = int(time.time())
    text, data = HTTPDate(), date_bytes()
    after = int(time.time())
    assert before <= parse_date(text) <= parse_date(data.decode()) <= after
