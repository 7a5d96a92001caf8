"""Subjects: the charts of databases, server, runtime, logs, sessions and streams. A table."""

from __future__ import annotations

from .charts import (
    CLASSES,
    LEVELS,
    Chart,
    hit_ratio,
    latency,
    line,
    lines,
    split,
    stacked,
    within_lives,
    workers,
)

DATA = (
    stacked(
        "calls",
        "Database calls",
        "/s",
        "db.client.operation.duration",
        ("db.system.name", "db.operation.name"),
    ),
    latency("latency", "Database response time", "db.client.operation.duration", overlay=True),
    stacked(
        "errors", "Database errors", "/min", "cherrypy.db.errors", ("db.system.name", "error.type")
    ),
    stacked(
        "pool",
        "Connections",
        "",
        "db.client.connection.count",
        ("db.client.connection.pool.name", "db.client.connection.state"),
        stat="value",
        help="Of pools of connections.",
    ),
    stacked(
        "external",
        "Calls of other services",
        "/s",
        "http.client.request.duration",
        "server.address",
    ),
    latency(
        "external-latency",
        "Response time of other services",
        "http.client.request.duration",
        overlay=True,
    ),
    stacked(
        "external-status",
        "Answers of other services",
        "/s",
        "cherrypy.external.responses",
        "class",
        tones=CLASSES,
    ),
    stacked(
        "kv",
        "Redis and memcached",
        "/s",
        "cherrypy.kv.operation.duration",
        ("db.system.name", "operation"),
    ),
    latency(
        "model", "Model layer", "cherrypy.model.operation.duration", help="Operations of an ORM."
    ),
    Chart(
        "messages",
        "Messages",
        "/s",
        lines(
            split("messaging.client.sent.messages", "messaging.system", prefix="to "),
            split("messaging.client.consumed.messages", "messaging.system", prefix="from "),
        ),
    ),
)

SERVER = (
    Chart(
        "connections",
        "Connections",
        "",
        lines(
            line("open", "cherrypy.server.connections.active", "value", tone="c1"),
            line("idle", "cherrypy.server.connections.idle", "value", tone="quiet"),
            line("upgraded", "cherrypy.server.connections.upgraded", "value", tone="c3"),
        ),
    ),
    stacked(
        "threads",
        "Threads",
        "",
        "cherrypy.server.threads",
        "state",
        "value",
        tones={"busy": "c1", "idle": "quiet", "stuck": "bad"},
        help="Busy threads at the limit mean that requests wait.",
    ),
    latency(
        "queue",
        "Waiting for a thread",
        "cherrypy.time.queue",
        help="How long requests waited before anything was done for them.",
    ),
    Chart(
        "depth",
        "Requests that wait",
        "",
        line("requests", "cherrypy.server.queue.depth", "max"),
    ),
    Chart(
        "accepted",
        "New connections",
        "/s",
        line("accepted", "cherrypy.server.connections.accepted"),
        overlay=True,
    ),
    Chart(
        "io",
        "Traffic",
        "By/s",
        lines(
            line("in", "cherrypy.server.io.received", tone="c2"),
            line("out", "cherrypy.server.io.sent", tone="c1"),
        ),
    ),
    Chart(
        "refused",
        "Refused and timed out",
        "/min",
        lines(
            split("cherrypy.server.parse.errors", "reason", factor=60.0, prefix="malformed: "),
            split("cherrypy.server.timeouts", "phase", factor=60.0, prefix="timeout: "),
            split("cherrypy.server.queue.rejected", "reason", factor=60.0, prefix="busy: "),
            split(
                "cherrypy.server.connections.rejected", "reason", factor=60.0, prefix="refused: "
            ),
        ),
        help="What the server itself said no to.",
    ),
    stacked(
        "tls", "TLS handshakes", "/s", "cherrypy.server.tls.handshakes", "tls.protocol.version"
    ),
    Chart(
        "utilization",
        "Utilization",
        "%",
        workers("", "cherrypy.server.capacity.utilization"),
        top=100.0,
        help="Of the threads there are, by process.",
    ),
    stacked(
        "static", "Static files", "/s", "cherrypy.static.responses", "result", help="By status."
    ),
)

RUNTIME = (
    Chart(
        "cpu",
        "Processor",
        "%",
        within_lives(split("process.cpu.time", "worker", factor=100.0, added=False)),
        help="By process; 100 % is one core.",
    ),
    Chart("memory", "Memory", "By", workers("", "process.memory.usage"), help="Resident."),
    Chart(
        "wakeup",
        "Wake-up delay",
        "s",
        split("cherrypy.runtime.wakeup_delay", "worker", "p95", added=False),
        help="How much later than it wanted a thread got to run: the GIL, or a busy machine.",
    ),
    Chart(
        "gc",
        "Pauses of the garbage collector",
        "s",
        split("cherrypy.gc.pause.duration", "worker", "max", added=False),
        help="The longest.",
    ),
    Chart(
        "collections",
        "Collections",
        "/min",
        split("cpython.gc.collections", "cpython.gc.generation", factor=60.0, prefix="generation "),
    ),
    Chart("fds", "Open files", "", workers("", "process.unix.file_descriptor.count")),
    Chart("threads", "Threads", "", workers("", "process.thread.count"), help="Of any kind."),
    Chart(
        "switches",
        "Context switches",
        "/s",
        split("process.context_switches", "process.context_switch.type"),
        help="Involuntary ones: another thread took the processor.",
    ),
    Chart(
        "load",
        "Load of the machine",
        "",
        split(
            "system.cpu.load_average",
            "window",
            "value",
            added=False,
            tones={"1m": "c1", "5m": "c2", "15m": "c3"},
        ),
    ),
    latency("lag", "Lag of the event loop", "cherrypy.runtime.loop_lag"),
)

LOGS = (
    stacked(
        "levels",
        "Records by level",
        "/min",
        "cherrypy.log.records",
        "level",
        tones=LEVELS,
        overlay=True,
        wide=True,
        help="With all of the day and of the week before.",
    ),
    Chart(
        "trouble",
        "Warnings and worse",
        "/min",
        lines(
            line(
                "warning",
                "cherrypy.log.records",
                where={"level": "warning"},
                tone="warn",
                factor=60,
            ),
            line("error", "cherrypy.log.records", where={"level": "error"}, tone="bad", factor=60),
            line(
                "critical",
                "cherrypy.log.records",
                where={"level": "critical"},
                tone="dire",
                factor=60,
            ),
        ),
    ),
    stacked("loggers", "The noisiest loggers", "/min", "cherrypy.log.records.logger", "logger"),
    stacked(
        "exceptions",
        "Records with a traceback",
        "/min",
        "cherrypy.log.exceptions",
        "level",
        tones=LEVELS,
    ),
    stacked("bytes", "Written", "By/s", "cherrypy.log.bytes", "log"),
    stacked("warnings", "Warnings of Python", "/min", "cherrypy.warnings", "category"),
)

SESSIONS = (
    stacked("active", "Sessions", "", "cherrypy.sessions.active", "storage", "value"),
    Chart(
        "turnover",
        "Sessions that came and went",
        "/min",
        lines(
            line("created", "cherrypy.sessions.created", factor=60.0, tone="good"),
            split("cherrypy.sessions.ended", "reason", factor=60.0),
        ),
    ),
    latency(
        "lock",
        "Waiting for a session's lock",
        "cherrypy.session.lock.wait",
        help="Requests of one visitor wait for each other.",
    ),
    Chart(
        "store",
        "Loading and saving sessions",
        "s",
        lines(
            line("load, p95", "cherrypy.session.load.duration", "p95", tone="c1"),
            line("save, p95", "cherrypy.session.save.duration", "p95", tone="c2"),
        ),
    ),
    stacked(
        "cache",
        "Cache",
        "/s",
        "cherrypy.cache.requests",
        "result",
        tones={
            "hit": "good",
            "not_modified": "info",
            "miss": "warn",
            "stale": "c4",
            "bypass": "quiet",
        },
        help="Of tools.caching.",
    ),
    Chart(
        "hits",
        "Cache hits",
        "%",
        hit_ratio("cherrypy.cache.requests", "result", "hit", ("miss", "stale")),
        top=100.0,
        overlay=True,
    ),
    Chart("size", "Size of the cache", "By", line("cache", "cherrypy.cache.bytes", "value")),
    stacked("auth", "Logins", "/min", "cherrypy.auth.attempts", ("scheme", "result")),
    Chart(
        "gzip",
        "Compression",
        "By/s",
        split("cherrypy.gzip.bytes", "direction", tones={"in": "quiet", "out": "c1"}),
    ),
)

STREAMS = (
    stacked("open", "Open WebSockets", "", "cherrypy.websocket.connections", "http.route", "value"),
    stacked("streams", "Open event streams", "", "cherrypy.sse.streams", "http.route", "value"),
    stacked("messages", "Messages", "/s", "cherrypy.websocket.messages", ("direction", "opcode")),
    Chart("bytes", "Traffic", "By/s", split("cherrypy.websocket.bytes", "direction")),
    latency("handler", "Time to handle a message", "cherrypy.websocket.message.duration"),
    latency("rtt", "Round trip of a ping", "cherrypy.websocket.ping.rtt"),
    stacked("closes", "Closed", "/min", "cherrypy.websocket.closes", ("code", "by")),
    Chart(
        "queue",
        "Unsent",
        "By",
        split("cherrypy.websocket.send.queue", "stat", "value", added=False),
        help="What waits for peers that do not read.",
    ),
)
