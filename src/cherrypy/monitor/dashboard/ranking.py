"""The ranking: every route of a span with its figures, in any order."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..traces import LAYERS
from .boards import DURATION
from .data import Span


class Standing(NamedTuple):
    """One route over a span.

    rate
        Requests a second.
    errors, failures
        Shares of 4xx and 5xx together, and of 5xx, in percent.
    p50, p95, p99
        Seconds.
    total
        Seconds that all its requests took together.
    share
        Of the time of all routes, in percent.
    layers
        Seconds in each layer, of `total`; what is in none is the framework's.
    """

    route: str
    requests: float
    rate: float
    errors: float
    failures: float
    p50: float | None
    p95: float | None
    p99: float | None
    total: float
    share: float
    layers: dict[str, float]

    def facts(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return self._asdict()


#: What can be sorted by.
ORDERS = ("route", "requests", "errors", "p50", "p95", "p99", "share")

_LAYERS = tuple(name for name in LAYERS if name not in ("frontend", "queue", "wsgi"))
#: Seconds for which a ranking is kept.
KEPT = 10.0
_ROUTE = ("http.route",)


def standings(span: Span, order: str = "share", falling: bool = True) -> list[Standing]:
    """Return all routes of a span, sorted."""
    found = sorted(
        span.data.kept(("standings", span.name), span, min(span.step / 2, KEPT), _standings),
        key=_by_route,
    )
    found.sort(key=lambda one: _rank(getattr(one, order)), reverse=falling)
    return found


def _by_route(standing: Standing) -> str:
    return standing.route


def _standings(span: Span) -> list[Standing]:
    counts = span.totals(DURATION, "delta", ("http.route", "http.response.status_code"))
    sums = span.totals(DURATION, "sum", _ROUTE)
    quantiles = [span.totals(DURATION, stat, _ROUTE) for stat in ("p50", "p95", "p99")]
    layers = {name: span.totals(f"cherrypy.time.{name}", "sum", _ROUTE) for name in _LAYERS}
    routes: dict[str, list[float]] = {}
    for (route, code), count in counts.items():
        known = routes.setdefault(route, [0.0, 0.0, 0.0])
        known[0] += count
        known[1] += count if code[:1] in ("4", "5") else 0.0
        known[2] += count if code[:1] == "5" else 0.0
    every = sum(sums.values())
    seconds = _known(span)
    found = []
    for route, (count, errors, failures) in routes.items():
        if count <= 0:
            continue
        key = (route,)
        took = sums.get(key, 0.0)
        p50, p95, p99 = (one.get(key) for one in quantiles)
        parts = {name: one[key] * seconds for name, one in layers.items() if one.get(key)}
        found.append(
            Standing(
                route,
                count,
                count / seconds,
                100 * errors / count,
                100 * failures / count,
                p50,
                p95,
                p99,
                took * seconds,
                100 * took / every if every else 0.0,
                parts,
            )
        )
    return found


def _known(span: Span) -> float:
    """Of how many seconds of a span something is known."""
    count, rate = span.total(DURATION, "delta"), span.total(DURATION, "rate")
    return count / rate if count and rate else span.length


def _rank(value: Any) -> Any:
    return -1.0 if value is None else value


def parts_of(standing: Standing) -> list[tuple[str, float, str]]:
    """Return what a bar of a route's time is made of: (label, seconds, tone)."""
    from .units import seconds

    count = standing.requests or 1.0
    rest = max(0.0, standing.total - sum(standing.layers.values()))
    parts = [
        (f"{name} {seconds(took / count)}", took, f"l-{name}")
        for name, took in standing.layers.items()
    ]
    return [*parts, (f"framework {seconds(rest / count)}", rest, "l-wsgi")]
