"""Subjects: the charts of databases, server, runtime, logs, sessions and streams. A table."""

from __future__ import annotations

from .charts import CLASSES, LEVELS, Chart, hit_ratio, line, lines, quantiles, split, workers

DATA = (
    Chart(
        "calls",
        "Database calls",
        "/s",
        split("db.client.operation.duration", ("db.system.name", "db.operation.name")),
        kind="stack",
    ),
    Chart(
        "latency",
        "Database response time",
        "s",
        quantiles("db.client.operation.duration"),
        kind="band",
        overlay=True,
    ),
    Chart(
        "errors",
        "Database errors",
        "/min",
        split("cherrypy.db.errors", ("db.system.name", "error.type"), factor=60.0),
        kind="stack",
    ),
    Chart(
        "pool",
        "Connections",
        "",
        split(
            "db.client.connection.count",
            ("db.client.connection.pool.name", "db.client.connection.state"),
            stat="value",
        ),
        kind="stack",
        help="Of pools of connections.",
    ),
    Chart(
        "external",
        "Calls of other services",
        "/s",
        split("http.client.request.duration", "server.address"),
        kind="stack",
    ),
    Chart(
        "external-latency",
        "Response time of other services",
        "s",
        quantiles("http.client.request.duration"),
        kind="band",
        overlay=True,
    ),
    Chart(
        "external-status",
        "Answers of other services",
        "/s",
        split("cherrypy.external.responses", "class", tones=CLASSES),
        kind="stack",
    ),
    Chart(
        "kv",
        "Redis and memcached",
        "/s",
        split("cherrypy.kv.operation.duration", ("db.system.name", "operation")),
        kind="stack",
    ),
    Chart(
        "model",
        "Model layer",
        "s",
        quantiles("cherrypy.model.operation.duration"),
        kind="band",
        help="Operations of an ORM.",
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
    Chart(
        "threads",
        "Threads",
        "",
        split(
            "cherrypy.server.threads",
            "state",
            "value",
            tones={"busy": "c1", "idle": "quiet", "stuck": "bad"},
        ),
        kind="stack",
        help="Busy threads at the limit mean that requests wait.",
    ),
    Chart(
        "queue",
        "Waiting for a thread",
        "s",
        quantiles("cherrypy.time.queue"),
        kind="band",
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
    Chart(
        "tls",
        "TLS handshakes",
        "/s",
        split("cherrypy.server.tls.handshakes", "tls.protocol.version"),
        kind="stack",
    ),
    Chart(
        "utilization",
        "Utilization",
        "%",
        workers("", "cherrypy.server.capacity.utilization"),
        top=100.0,
        help="Of the threads there are, by process.",
    ),
    Chart(
        "static",
        "Static files",
        "/s",
        split("cherrypy.static.responses", "result"),
        kind="stack",
        help="By status.",
    ),
)

RUNTIME = (
    Chart(
        "cpu",
        "Processor",
        "%",
        split(
            "process.cpu.time",
            ("worker",),
            "rate",
            factor=100.0,
            added=False,
        ),
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
        split("system.cpu.load_average", "window", "value", added=False),
    ),
    Chart("lag", "Lag of the event loop", "s", quantiles("cherrypy.runtime.loop_lag"), kind="band"),
)

LOGS = (
    Chart(
        "levels",
        "Records by level",
        "/min",
        split("cherrypy.log.records", "level", tones=LEVELS, factor=60.0),
        kind="stack",
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
    Chart(
        "loggers",
        "The noisiest loggers",
        "/min",
        split("cherrypy.log.records.logger", "logger", factor=60.0),
        kind="stack",
    ),
    Chart(
        "exceptions",
        "Records with a traceback",
        "/min",
        split("cherrypy.log.exceptions", "level", tones=LEVELS, factor=60.0),
        kind="stack",
    ),
    Chart("bytes", "Written", "By/s", split("cherrypy.log.bytes", "log"), kind="stack"),
    Chart(
        "warnings",
        "Warnings of Python",
        "/min",
        split("cherrypy.warnings", "category", factor=60.0),
        kind="stack",
    ),
)

SESSIONS = (
    Chart(
        "active",
        "Sessions",
        "",
        split("cherrypy.sessions.active", "storage", "value"),
        kind="stack",
    ),
    Chart(
        "turnover",
        "Sessions that came and went",
        "/min",
        lines(
            line("created", "cherrypy.sessions.created", factor=60.0, tone="good"),
            split("cherrypy.sessions.ended", "reason", factor=60.0),
        ),
    ),
    Chart(
        "lock",
        "Waiting for a session's lock",
        "s",
        quantiles("cherrypy.session.lock.wait"),
        kind="band",
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
    Chart(
        "cache",
        "Cache",
        "/s",
        split(
            "cherrypy.cache.requests",
            "result",
            tones={
                "hit": "good",
                "not_modified": "info",
                "miss": "warn",
                "stale": "c4",
                "bypass": "quiet",
            },
        ),
        kind="stack",
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
    Chart(
        "auth",
        "Logins",
        "/min",
        split("cherrypy.auth.attempts", ("scheme", "result"), factor=60.0),
        kind="stack",
    ),
    Chart(
        "gzip",
        "Compression",
        "By/s",
        split("cherrypy.gzip.bytes", "direction", tones={"in": "quiet", "out": "c1"}),
    ),
)

STREAMS = (
    Chart(
        "open",
        "Open WebSockets",
        "",
        split("cherrypy.websocket.connections", "http.route", "value"),
        kind="stack",
    ),
    Chart(
        "streams",
        "Open event streams",
        "",
        split("cherrypy.sse.streams", "http.route", "value"),
        kind="stack",
    ),
    Chart(
        "messages",
        "Messages",
        "/s",
        split("cherrypy.websocket.messages", ("direction", "opcode")),
        kind="stack",
    ),
    Chart("bytes", "Traffic", "By/s", split("cherrypy.websocket.bytes", "direction")),
    Chart(
        "handler",
        "Time to handle a message",
        "s",
        quantiles("cherrypy.websocket.message.duration"),
        kind="band",
    ),
    Chart(
        "rtt",
        "Round trip of a ping",
        "s",
        quantiles("cherrypy.websocket.ping.rtt"),
        kind="band",
    ),
    Chart(
        "closes",
        "Closed",
        "/min",
        split("cherrypy.websocket.closes", ("code", "by"), factor=60.0),
        kind="stack",
    ),
    Chart(
        "queue",
        "Unsent",
        "By",
        split("cherrypy.websocket.send.queue", "stat", "value", added=False),
        help="What waits for peers that do not read.",
    ),
)
