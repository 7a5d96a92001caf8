"""The statistics that products read as JSON: names and types are those that CherryPy 18.10 answers with.

The tables below are what it answered to the same requests; the monitor beside changes none of it.
"""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from export_kit import get, site

#: A request in the table of requests, and what it is while it is answered.
RECORD = {
    "Bytes Read": {"int", "NoneType"},
    "Bytes Written": {"int", "NoneType"},
    "Client": {"str"},
    "End Time": {"float", "NoneType"},
    "Processing Time": {"float"},
    "Request-Line": {"str"},
    "Response Status": {"str", "NoneType"},
    "Start Time": {"float"},
}
APPLICATIONS: dict[str, Any] = {
    "Bytes Read/Request": {"float"},
    "Bytes Read/Second": {"float"},
    "Bytes Written/Request": {"float"},
    "Bytes Written/Second": {"float"},
    "Current Requests": {"int"},
    "Current Time": {"float"},
    "Enabled": {"bool"},
    "Requests": {"dict"},
    "Requests/Second": {"float"},
    "Server Version": {"str"},
    "Slow Queries": {"list"},
    "Start Time": {"float"},
    "Total Bytes Read": {"int"},
    "Total Bytes Written": {"int"},
    "Total Requests": {"int"},
    "Total Time": {"float"},
    "URI Set Tracking": {"dict"},
    "Uptime": {"float"},
}
URI_SET = {
    "Avg": {"float"},
    "Count": {"int"},
    "Max": {"float"},
    "Min": {"float"},
    "Sum": {"float"},
}

LAST = """
from cherrypy.lib import cpstats

class More(Root):
    stats = cpstats.StatsPage()

    @cherrypy.expose
    def slow(self, **words):
        time.sleep(0.05)
        return "x" * 1000

main({
    "monitor": {"on": MONITOR, "dashboard.listen": False},
    "/": {"tools.cpstats.on": True, "tools.cpstats.uriset": "all",
          "tools.cpstats.slow_queries": 0.03},
}, More())
"""


@pytest.fixture(params=["monitored", "plain"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    last = LAST.replace("MONITOR", str(request.param == "monitored"))
    program, port = site(tmp_path, last)
    with program:
        yield port


def data(port: int) -> Any:
    status, text = get(port, "/stats/data")
    assert status == 200
    return json.loads(text)["CherryPy Applications"]


def check(found: dict[str, Any], known: dict[str, Any]) -> None:
    assert sorted(found) == sorted(known)
    for name, kinds in known.items():
        assert type(found[name]).__name__ in kinds, name


def test_names_types_and_numbers(port: int) -> None:
    for _ in range(3):
        assert get(port)[0] == 200
    assert get(port, "/slow")[0] == 200
    assert get(port, "/nope")[0] == 404
    found, looks = data(port), 1
    deadline = time.monotonic() + 30
    while found["Current Requests"] > 1:  # one whose answer is here may not have ended there
        assert time.monotonic() < deadline
        found, looks = data(port), looks + 1
    check(found, APPLICATIONS)
    assert found["Total Requests"] == 5 + looks  # this one, too
    assert found["Current Requests"] == 1
    assert found["Total Bytes Read"] == 0
    assert found["Enabled"] is True
    for ident, record in found["Requests"].items():
        assert ident.isdecimal()
        check(record, RECORD)
    # On a machine that is busy others may be slow as well.
    (slow,) = [one for one in found["Slow Queries"] if "/slow" in one["Request-Line"]]
    check(slow, RECORD)
    assert (slow["Request-Line"], slow["Bytes Written"]) == ("GET /slow HTTP/1.1", 1000)
    assert slow["Response Status"] == "200 OK"
    assert slow["End Time"] - slow["Start Time"] == pytest.approx(slow["Processing Time"], abs=0.01)
    assert re.fullmatch(r"127\.0\.0\.1:\d+", slow["Client"])
    (tracked,) = found["URI Set Tracking"].values()
    check(tracked, URI_SET)
    assert tracked["Count"] == 4 + looks
    assert tracked["Max"] >= slow["Processing Time"] - 1e-6
    assert tracked["Avg"] == pytest.approx(tracked["Sum"] / (4 + looks))


def test_what_visitors_send_is_no_page(port: int) -> None:
    """CherryPy shows the line of a request as it came: whoever looks at the page runs what is in it."""
    probe = "<script>alert(1)</script>"
    get(port, "/slow?" + probe)
    for part in ("/slow?x=%27%22" + urllib.parse.quote(probe), "/slow?a=<b>"):
        get(port, part)
    status, text = get(port, "/stats/")
    assert status == 200
    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text


def test_a_link_changes_nothing(port: int) -> None:
    """CherryPy pauses by GET, for every crawler and for every page that shows a picture of that address."""
    for action in ("pause", "resume"):
        assert get(port, f"/stats/{action}?namespace=CherryPy+Applications")[0] == 405
    assert data(port)["Enabled"] is True
