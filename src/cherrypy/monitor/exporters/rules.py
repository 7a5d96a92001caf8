"""Rules of Prometheus: what it works out in advance, and what it rings the bell for."""

from __future__ import annotations

import json
from typing import Any

from .grafana import name_of

_SECONDS = name_of("http.server.request.duration")

Rule = dict[str, Any]


def groups() -> list[dict[str, Any]]:
    """Return the groups of rules, as they stand in a file of rules."""
    return [
        {"name": "cherrypy", "interval": "30s", "rules": _recorded()},
        {"name": "cherrypy-alerts", "rules": _alerts()},
    ]


def _recorded() -> list[Rule]:
    number = f"{_SECONDS}_count"
    errors = f'{number}{{http_response_status_code=~"5.."}}'
    routes = f"sum by (job, http_route) (rate({number}[5m]))"
    return [
        {"record": "job_route:cherrypy_requests:rate5m", "expr": routes},
        {
            "record": "job:cherrypy_server_errors:ratio5m",
            "expr": f"(sum by (job) (rate({errors}[5m])) or 0 * sum by (job) (rate({number}[5m])))"
            f" / sum by (job) (rate({number}[5m]))",
        },
        {
            "record": "job_route:cherrypy_request_duration_seconds:p95_5m",
            "expr": "histogram_quantile(0.95, "
            f"sum by (job, http_route, le) (rate({_SECONDS}_bucket[5m])))",
        },
    ]


def _alerts() -> list[Rule]:
    queue = name_of("cherrypy.time.queue")
    threads = name_of("cherrypy.server.threads")
    files = name_of("process.unix.file_descriptor.count")
    return [
        _alert(
            "CherryPyServerErrors",
            "job:cherrypy_server_errors:ratio5m > 0.05",
            "5m",
            "critical",
            "More than 5 % of the answers of {{ $labels.job }} are errors of the server.",
        ),
        _alert(
            "CherryPyRequestsQueue",
            f"histogram_quantile(0.95, sum by (job, le) (rate({queue}_bucket[5m]))) > 1",
            "2m",
            "critical",
            "Requests to {{ $labels.job }} wait for more than a second before a thread takes them.",
        ),
        _alert(
            "CherryPyThreadsBusy",
            f'sum by (job, instance, worker) ({threads}{{state="idle"}}) == 0',
            "30s",
            "critical",
            "All threads of {{ $labels.instance }} are busy.",
        ),
        _alert(
            "CherryPyFileDescriptors",
            f"{files} / {name_of('cherrypy.process.fd.limit')} > 0.8",
            "1m",
            "critical",
            "{{ $labels.instance }} has opened more than 80 % of the files that it may.",
        ),
        _alert(
            "CherryPyCertificateExpires",
            f"{name_of('cherrypy.server.tls.certificate.expiry')} < 14 * 86400",
            "1h",
            "warning",
            "The certificate of {{ $labels.instance }} expires in {{ $value | humanizeDuration }}.",
        ),
        _alert(
            "CherryPyWorkersDie",
            f"increase({name_of('cherrypy.server.worker.restarts')}"
            '{reason=~"crash|timeout|memory"}[10m]) > 3',
            "0s",
            "warning",
            "Processes of {{ $labels.job }} are started again and again: {{ $labels.reason }}.",
        ),
        _alert(
            "CherryPySessionLocksTimeOut",
            f"increase({name_of('cherrypy.session.lock.timeouts')}[10m]) > 0",
            "0s",
            "warning",
            "Requests to {{ $labels.job }} gave up waiting for the lock of a session.",
        ),
        _alert(
            "CherryPyCriticalLogRecords",
            f'increase({name_of("cherrypy.log.records")}{{level="critical"}}[10m]) > 0',
            "0s",
            "warning",
            "{{ $labels.job }} has logged something critical.",
        ),
    ]


def _alert(name: str, expr: str, wait: str, severity: str, summary: str) -> Rule:
    return {
        "alert": name,
        "expr": expr,
        "for": wait,
        "labels": {"severity": severity},
        "annotations": {"summary": summary},
    }


def as_yaml(found: list[dict[str, Any]]) -> str:
    """Return groups as a file of rules."""
    lines = ["# Made by: python -m cherrypy monitor export prometheus-rules", "groups:"]
    for group in found:
        lines.append(f"- name: {group['name']}")
        if "interval" in group:
            lines.append(f"  interval: {group['interval']}")
        lines.append("  rules:")
        for rule in group["rules"]:
            before = "  - "
            for key, value in rule.items():
                if isinstance(value, dict):
                    lines.append(f"{before}{key}:")
                    # A text in JSON is one in YAML.
                    lines += [f"      {name}: {json.dumps(text)}" for name, text in value.items()]
                else:
                    lines.append(f"{before}{key}: {json.dumps(value)}")
                before = "    "
    return "\n".join(lines)
