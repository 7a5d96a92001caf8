"""Messages of OpenTelemetry's protocol, as protobuf and as JSON.

A message is a dict whose keys are the protocol's names in JSON; one table says how each field is written.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from typing import Any

#: opentelemetry-proto 1.x: message -> field in JSON -> its number and type.
MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "ExportMetricsServiceRequest": {"resourceMetrics": (1, "ResourceMetrics")},
    "ResourceMetrics": {"resource": (1, "Resource"), "scopeMetrics": (2, "ScopeMetrics")},
    "Resource": {"attributes": (1, "KeyValue")},
    "KeyValue": {"key": (1, "string"), "value": (2, "AnyValue")},
    "AnyValue": {"stringValue": (1, "string"), "intValue": (3, "int64")},
    "ScopeMetrics": {"scope": (1, "InstrumentationScope"), "metrics": (2, "Metric")},
    "InstrumentationScope": {"name": (1, "string"), "version": (2, "string")},
    "Metric": {
        "name": (1, "string"),
        "description": (2, "string"),
        "unit": (3, "string"),
        "gauge": (5, "Gauge"),
        "sum": (7, "Sum"),
        "histogram": (9, "Histogram"),
    },
    "Gauge": {"dataPoints": (1, "NumberDataPoint")},
    "Sum": {
        "dataPoints": (1, "NumberDataPoint"),
        "aggregationTemporality": (2, "enum"),
        "isMonotonic": (3, "bool"),
    },
    "Histogram": {
        "dataPoints": (1, "HistogramDataPoint"),
        "aggregationTemporality": (2, "enum"),
    },
    "NumberDataPoint": {
        "startTimeUnixNano": (2, "fixed64"),
        "timeUnixNano": (3, "fixed64"),
        "asDouble": (4, "double"),
        "asInt": (6, "sfixed64"),
        "attributes": (7, "KeyValue"),
    },
    "HistogramDataPoint": {
        "startTimeUnixNano": (2, "fixed64"),
        "timeUnixNano": (3, "fixed64"),
        "count": (4, "fixed64"),
        "sum": (5, "double"),
        "bucketCounts": (6, "fixed64"),
        "explicitBounds": (7, "double"),
        "attributes": (9, "KeyValue"),
        "max": (12, "double"),
    },
}
_FIXED = {"double": "<d", "fixed64": "<Q", "sfixed64": "<q"}
_IN_QUOTES = ("int64", "fixed64", "sfixed64")  # JSON's numbers are doubles


def as_protobuf(name: str, message: dict[str, Any]) -> bytes:
    """Return a message in protobuf."""
    fields = MESSAGES[name]
    out = bytearray()
    for key, value in message.items():
        number, kind = fields[key]
        if isinstance(value, list) and kind in _FIXED:  # packed
            data = struct.pack(f"<{len(value)}{_FIXED[kind][1]}", *value)
            out += _varint(number << 3 | 2) + _varint(len(data)) + data
            continue
        for one in value if isinstance(value, list) else (value,):
            _field(out, number, kind, one)
    return bytes(out)


def _field(out: bytearray, number: int, kind: str, value: Any) -> None:
    if kind in _FIXED:
        out += _varint(number << 3 | 1) + struct.pack(_FIXED[kind], value)
    elif kind in ("int64", "enum", "bool"):
        out += _varint(number << 3) + _varint(int(value))
    else:
        if kind == "string":
            data = value.encode("utf-8", "replace")
        else:
            data = as_protobuf(kind, value)
        out += _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # as two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def as_json(name: str, message: dict[str, Any]) -> bytes:
    """Return a message in JSON, as the protocol has it: integers of 64 bits are texts."""
    return json.dumps(_plain(name, message), separators=(",", ":")).encode()


def _plain(kind: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(kind, one) for one in value]
    if isinstance(value, dict):
        fields = MESSAGES[kind]
        return {key: _plain(fields[key][1], one) for key, one in value.items()}
    if kind in _IN_QUOTES:
        return str(value)
    if kind == "double" and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value.encode("utf-8", "replace").decode() if kind == "string" else value


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the numbers and values of a message's fields: integers, or bytes.

    Raises ValueError for what is no message.
    """
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        wire = tag & 7
        value: Any
        if wire == 0:
            value, at = _read_varint(data, at)
        else:
            size, at = _read_varint(data, at) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), at)
            if size < 0 or at + size > len(data):
                raise ValueError("not a message of protobuf")
            value, at = data[at : at + size], at + size
        yield tag >> 3, value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64 and at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
    raise ValueError("not a message of protobuf")
