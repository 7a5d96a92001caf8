"""The rows of static files and of proxies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import naive_proxies
import naive_static
import proxy_checks
import static_checks
from asking_kit import Site
from naive_static import site
from promises import Row
from proxy_checks import Looking, Pages

from cherrypy.framework.helpers import expose
from cherrypy.lib import static


class Handlers:
    """Pages that serve files themselves."""

    def __init__(self, base: Path) -> None:
        self.base = base

    @expose
    def download(self) -> Any:
        path = str(self.base / "a.txt")
        return static.serve_file(path, "text/plain", "attachment", static_checks.NAME)

    @expose
    def trickle(self) -> Any:
        return static.serve_fileobj(static_checks.Trickle(), "text/plain")


def folder_served(folder: Path) -> Any:
    base = static_checks.filled(folder)
    conf = {
        "tools.staticdir.on": True,
        "tools.staticdir.dir": str(base),
        "tools.staticdir.precompressed": True,
    }
    asked = Site(Handlers(base), conf)
    asked.base = base
    return asked


def proxied(folder: Path) -> Any:
    conf = {
        "tools.proxy.on": True,
        "tools.proxy.trusted": "loopback, 10.0.0.0/8",
        "tools.proxy.forwarded": "Forwarded",
        "request.dispatch": Looking(),
    }
    return Site(Pages(), conf)


def _in_folder(check: Callable[[Any, Path], None], below: str = "") -> Callable[[Any], None]:
    """A check that is told the folder."""
    return lambda asked: check(asked, asked.folder / below)


def _keeping(build: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """A builder whose site knows its folder."""

    def kept(folder: Path) -> Any:
        asked = build(folder)
        asked.folder = folder
        return asked

    kept.__doc__ = build.__doc__
    return kept


def _static(
    clauses: str,
    promise: str,
    check: Callable[[Any], None],
    naive: type[naive_static.Files],
    says: str,
) -> Row:
    made = tuple(clauses.split(", "))
    return Row(made, promise, check, _keeping(folder_served), _keeping(site(naive)), says)


STATIC = [
    _static(
        "containment",
        "`..` in a path does not lead out of the directory",
        static_checks.dots_lead_nowhere,
        naive_static.Joined,
        "leads out of the directory",
    ),
    _static(
        "containment",
        "An absolute path in a URL is one below the directory",
        _in_folder(static_checks.absolute_paths_are_below),
        naive_static.Joined,
        "leads out of the directory",
    ),
    _static(
        "sibling",
        "A directory beside it, whose name begins alike, is outside",
        static_checks.siblings_are_outside,
        naive_static.StartsWith,
        "www-private/s.txt leads out",
    ),
    _static(
        "ETag, Last-Modified",
        "A file has an ETag and a Last-Modified",
        static_checks.files_have_validators,
        naive_static.Bare,
        "has no ETag",
    ),
    _static(
        "ETag, Last-Modified",
        "What a client has, by tag or by date, is not sent again",
        static_checks.what_is_known_is_not_sent_again,
        naive_static.OneTag,
        "200 for",
    ),
    _static(
        "ETag",
        "A file that has changed within a second has another ETag",
        _in_folder(static_checks.a_change_within_a_second_is_another_etag, "www"),
        naive_static.Seconds,
        "has the same ETag",
    ),
    _static(
        "If-Range",
        "A part is not continued with one of another file",
        static_checks.a_part_is_continued_only_of_the_same_file,
        naive_static.Unconditional,
        "a part of another file",
    ),
    _static(
        "If-Range",
        "A weak tag in If-Range is not good enough for a part",
        static_checks.if_range_compares_strongly,
        naive_static.WeakTags,
        "a weak tag was good enough",
    ),
    _static(
        "If-Range",
        "A date in If-Range is that of the file, not a later one",
        static_checks.if_range_wants_the_very_date,
        naive_static.NotNewer,
        "a later date was good enough",
    ),
    _static(
        "ranges",
        "Several ranges are sent as `multipart/byteranges`",
        static_checks.several_ranges_are_sent_as_parts,
        naive_static.FirstRange,
        "for two ranges",
    ),
    _static(
        "limit of ranges",
        "No number of ranges makes a response much larger than the file",
        static_checks.ranges_do_not_multiply_a_file,
        naive_static.AllRanges,
        "bytes for a file of",
    ),
    _static(
        "suffixes",
        "`bytes=-3` are the last three bytes, `bytes=-0` none",
        static_checks.suffixes_are_the_end,
        naive_static.NoSuffix,
        "for the range -3",
    ),
    _static(
        "variants",
        "A compressed variant is for clients that take it, `q=0` is no",
        static_checks.variants_are_for_who_takes_them,
        naive_static.AnyGzip,
        "b'zipped' for Accept-Encoding: gzip;q=0",
    ),
    _static(
        "variants",
        "Caches are told that there are variants, each with its own ETag",
        static_checks.variants_are_told_to_caches,
        naive_static.SilentGzip,
        "caches are not told",
    ),
    _static(
        "variants",
        "A variant that is older than its file is not sent",
        static_checks.variants_are_not_older,
        naive_static.AnyGzip,
        "what the file was once",
    ),
    _static(
        "names",
        "A name in UTF-8 is found",
        static_checks.names_are_utf_8,
        naive_static.Latin,
        "404 for a name in UTF-8",
    ),
    _static(
        "names",
        "The name of a download may be any text, and ends no field",
        static_checks.download_names_are_utf_8,
        naive_static.RawNames,
        "is raw",
    ),
    _static(
        "non-seekable",
        "What cannot be sought in is sent to its end",
        static_checks.what_cannot_be_sought_in_is_sent,
        naive_static.Measuring,
        "500 for what cannot be sought in",
    ),
]

PROXIES = [
    Row(
        ("peers",),
        "The fields of a peer that is no proxy of ours count for nothing",
        proxy_checks.only_trusted_peers_are_believed,
        proxied,
        naive_proxies.believes_anybody,
        "8.8.8.8, a stranger, is believed",
    ),
    Row(
        ("peers",),
        "Peers are judged as addresses, not as texts",
        proxy_checks.only_trusted_peers_are_believed,
        proxied,
        naive_proxies.by_prefix,
        "104.16.0.1, a stranger, is believed",
    ),
    Row(
        ("right-most",),
        "An address that the client made up is left of what counts",
        proxy_checks.what_the_client_said_itself_does_not_count,
        proxied,
        naive_proxies.left_most,
        "that a client made up counts",
    ),
    Row(
        ("right-most",),
        "Proxies of ours are not taken for the client",
        proxy_checks.proxies_are_not_taken_for_clients,
        proxied,
        naive_proxies.last,
        "is taken for the client",
    ),
    Row(
        ("Forwarded",),
        "`Forwarded` is read with its quotes, elements and ports; a malformed one says nothing",
        proxy_checks.the_standard_field_is_understood,
        proxied,
        naive_proxies.splits_forwarded,
        "is understood as",
    ),
    Row(
        ("dispatch",),
        "Dispatchers see the outer address already",
        proxy_checks.dispatchers_see_the_outer_address,
        proxied,
        naive_proxies.too_late,
        "the dispatcher saw http://127.0.0.1",
    ),
]
