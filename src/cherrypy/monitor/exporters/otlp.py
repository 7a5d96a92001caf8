"""OpenTelemetry's protocol over HTTP: everything, cumulative, is posted to a collector every few seconds.

As all numbers are cumulative, a push that fails costs freshness and nothing else: there is no queue.
"""

from __future__ import annotations

import gzip
import http.client
import random
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .. import shards
from ..histograms import Spread
from ..metrics import COUNTER, HISTOGRAM, Metric
from .periodic import PATIENCE, Periodic
from .protobuf import as_json, as_protobuf, fields
from .series import Family, families, resource

if TYPE_CHECKING:
    from ..plugin import Monitor

_CUMULATIVE = 2
_INTEGERS = frozenset(("http.response.status_code",))
#: Units that UCUM does not know.
_UNITS = {"score 0-1": "1", "ratio": "1"}

#: What is tried again, as the protocol has it.
RETRIED = (429, 502, 503, 504)
MOST_ATTEMPTS = 5
MOST_ANSWER = 64 * 1024  # bytes of an answer that are read

_CODINGS = {
    "protobuf": ("application/x-protobuf", as_protobuf),
    "json": ("application/json", as_json),
}


# -- what is said ----------------------------------------------------------------------------------


def request(monitor: Monitor, now: float | None = None) -> dict[str, Any]:
    """Return an `ExportMetricsServiceRequest` of all there is."""
    from kirsch import __version__

    times = {
        "startTimeUnixNano": int(min(shards.born, monitor.site.since) * 1e9),
        "timeUnixNano": int((time.time() if now is None else now) * 1e9),
    }
    metrics = [_metric(family, times) for family in families(monitor)]
    attributes = [_attribute(name, value) for name, value in resource(monitor).items()]
    return {
        "resourceMetrics": [
            {
                "resource": {"attributes": attributes},
                "scopeMetrics": [
                    {
                        "scope": {"name": "cherrypy.monitor", "version": __version__},
                        "metrics": metrics,
                    }
                ],
            }
        ]
    }


def _metric(family: Family, times: dict[str, int]) -> dict[str, Any]:
    metric = family.metric
    told: dict[str, Any] = {
        "name": metric.name,
        "description": metric.help,
        "unit": _UNITS.get(metric.unit, metric.unit),
    }
    points = []
    for values, value in family.rows:
        point: dict[str, Any] = {
            "attributes": [
                _attribute(name, text)
                for name, text in zip(family.labels, values, strict=True)
                if text
            ],
            **times,
        }
        point.update(_value(metric, value))
        points.append(point)
    if metric.kind == COUNTER:
        cumulative = {"aggregationTemporality": _CUMULATIVE, "isMonotonic": True}
        told["sum"] = {"dataPoints": points, **cumulative}
    elif metric.kind == HISTOGRAM:
        told["histogram"] = {"dataPoints": points, "aggregationTemporality": _CUMULATIVE}
    elif _is_sum(metric):
        told["sum"] = {"dataPoints": points, "aggregationTemporality": _CUMULATIVE}
    else:
        told["gauge"] = {"dataPoints": points}
    return told


def _is_sum(metric: Metric) -> bool:
    """Whether a gauge counts what there is, and adds up: an UpDownCounter, as the protocol's users say."""
    counts = metric.unit == "By" or (metric.unit[:1] == "{" and metric.unit[-1:] == "}")
    return counts and metric.merge in ("sum", "each") and not metric.derived


def _value(metric: Metric, value: Any) -> dict[str, Any]:
    if isinstance(value, Spread):
        within = value.cumulative()
        count = value.count
        counts = [each - before for each, before in zip(within, [0, *within], strict=False)]
        return {
            "count": count,
            "sum": float(value.total),
            "bucketCounts": [*counts, count - within[-1]],
            "explicitBounds": list(value.scale.bounds),
            "max": float(value.most),
        }
    if metric.kind == COUNTER and metric.unit != "s":
        return {"asInt": int(value)}
    return {"asDouble": float(value)}


def _attribute(name: str, text: str) -> dict[str, Any]:
    if name in _INTEGERS and text.isdecimal():
        return {"key": name, "value": {"intValue": int(text)}}
    return {"key": name, "value": {"stringValue": text}}


# -- and to whom -----------------------------------------------------------------------------------


class Otlp(Periodic):
    """Posts to the collector at `otlp.endpoint`."""

    name = "otlp"
    where = "otlp.endpoint"
    interval = "otlp.interval"

    def tell(self, last: bool) -> None:
        settings = self.monitor.settings
        endpoint = settings["otlp.endpoint"]
        kind, write = _CODINGS[settings["otlp.encoding"]]
        body = gzip.compress(write("ExportMetricsServiceRequest", request(self.monitor)), 5)
        headers = {
            "Content-Type": kind,
            "Content-Encoding": "gzip",
            "User-Agent": "kirsch",
            **settings["otlp.headers"],
        }
        limit = float(settings["otlp.timeout"])
        deadline = time.monotonic() + (min(limit, PATIENCE) if last else limit)
        for attempt in range(1, MOST_ATTEMPTS + 1):
            pause = min(10.0, 0.5 * 2**attempt) * random.uniform(0.5, 1.0)
            try:
                status, after, answer = post(endpoint, body, headers, deadline)
            except (OSError, http.client.HTTPException) as error:
                problem: Exception = error
            else:
                if 200 <= status < 300:
                    self.partly(kind, answer)
                    return
                problem = RefusedError(f"{endpoint} answers {status}")
                if status not in RETRIED:
                    raise problem
                pause = max(pause, after)
            if attempt == MOST_ATTEMPTS or time.monotonic() + pause > deadline:
                raise problem
            if self.ending.wait(pause) and not last:
                return  # what is told last comes at once

    def partly(self, kind: str, answer: bytes) -> None:
        """Raise RefusedError for an answer that says that points were rejected."""
        rejected, why = 0, ""
        try:
            if kind == "application/json":
                import json

                part = (json.loads(answer or b"{}") or {}).get("partialSuccess") or {}
                rejected, why = int(part.get("rejectedDataPoints", 0)), part.get("errorMessage", "")
            else:
                for number, value in fields(dict(fields(answer)).get(1, b"")):
                    if number == 1:
                        rejected = value
                    elif number == 2:
                        why = value.decode("utf-8", "replace")
        except (ValueError, TypeError, AttributeError, RecursionError):
            return  # it took them; what else it says is nothing that we know
        if rejected:
            raise RefusedError(f"{rejected} points were rejected: {str(why)[:200]}")


class RefusedError(Exception):
    """The collector does not take what it was sent."""


def post(
    url: str, body: bytes, headers: dict[str, str], deadline: float
) -> tuple[int, float, bytes]:
    """Post once. Returns the status, the seconds after which to come again, and the answer.

    deadline
        By the monotonic clock; what takes longer is an OSError.
    """
    parts = urlsplit(url)
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left")
    if parts.scheme == "https":
        import ssl

        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.netloc.rpartition("@")[2], timeout=left, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(parts.netloc.rpartition("@")[2], timeout=left)
    try:
        target = parts.path if parts.path not in ("", "/") else "/v1/metrics"
        connection.request(
            "POST", target + ("?" + parts.query if parts.query else ""), body, headers
        )
        answer = connection.getresponse()
        after = answer.getheader("Retry-After", "")
        return (
            answer.status,
            float(after) if after.isdecimal() else 0.0,
            answer.read(MOST_ANSWER),
        )
    finally:
        connection.close()


def begin(monitor: Monitor) -> Otlp:
    """A part of the monitor."""
    return Otlp(monitor)
