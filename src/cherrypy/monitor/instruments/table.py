"""The table of instruments: which libraries are seen, by what, and what that gives."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from operator import attrgetter
from types import ModuleType
from typing import NamedTuple


class Instrument(NamedTuple):
    """A row.

    libraries
        Names for the setting `libraries`, any of which selects it.
    module
        The module of the library upon whose import it is put on.
    place
        The module here, and its function or a method of an object: `instrument(module) -> undo`.
    gives
        What it counts, in a few words.
    """

    libraries: tuple[str, ...]
    module: str
    place: str
    gives: str

    def selected(self, globs: list[str]) -> bool:
        """Whether one of the patterns names it."""
        return any(fnmatchcase(name, glob) for name in self.libraries for glob in globs)

    @property
    def name(self) -> str:
        """The name of its guard: the first library's."""
        return self.libraries[0]

    def function(self) -> Callable[[ModuleType], Callable[[], object]]:
        """Its function."""
        module, _, name = self.place.partition(":")
        find = attrgetter(name or "instrument")
        found: Callable[[ModuleType], Callable[[], object]] = find(
            import_module(f"{__package__}.{module}")
        )
        return found


_SQL = "statements, transactions, rows, connections"
_KEYS = "commands, hits and misses"
_SEARCH = "requests by operation, errors"
_MESSAGES = "messages sent and consumed"
_HTTP = "requests, responses, errors, by host"

INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument(("sqlite3",), "sqlite3", "sqlite", _SQL),
    Instrument(("aiosqlite", "sqlite3"), "aiosqlite.core", "aiosqlite", "waits for sqlite3"),
    Instrument(("psycopg",), "psycopg", "psycopg", _SQL),
    Instrument(("psycopg_pool", "psycopg"), "psycopg_pool", "pools:psycopg_pool", "waits, sizes"),
    Instrument(("psycopg2",), "psycopg2", "psycopg2", _SQL),
    Instrument(("asyncpg",), "asyncpg", "asyncpg", f"{_SQL}, pools"),
    Instrument(("pymysql",), "pymysql.connections", "mysql:pymysql", _SQL),
    Instrument(("MySQLdb",), "MySQLdb.connections", "mysql:mysqldb", _SQL),
    Instrument(("pymongo",), "pymongo.monitoring", "pymongo", "commands, connections, waits"),
    Instrument(("sqlalchemy",), "sqlalchemy", "sqlalchemy", "pools; statements of other drivers"),
    Instrument(("sqlalchemy",), "sqlalchemy.orm", "sqlalchemy:models", "sessions and queries"),
    Instrument(("peewee",), "peewee", "peewee", "queries of models"),
    Instrument(("django",), "django.db.models", "django", "querysets and saved objects"),
    Instrument(("redis",), "redis.client", "redis:REDIS.instrument", _KEYS),
    Instrument(("redis",), "redis.asyncio.client", "redis:REDIS.instrument_async", _KEYS),
    Instrument(("redis",), "redis.cluster", "redis:REDIS.instrument_cluster", _KEYS),
    Instrument(("redis",), "redis.asyncio.cluster", "redis:REDIS.instrument_async_cluster", _KEYS),
    Instrument(("valkey",), "valkey.client", "redis:VALKEY.instrument", _KEYS),
    Instrument(("valkey",), "valkey.asyncio.client", "redis:VALKEY.instrument_async", _KEYS),
    Instrument(("valkey",), "valkey.cluster", "redis:VALKEY.instrument_cluster", _KEYS),
    Instrument(
        ("valkey",), "valkey.asyncio.cluster", "redis:VALKEY.instrument_async_cluster", _KEYS
    ),
    Instrument(("pymemcache",), "pymemcache.client.base", "memcached", _KEYS),
    Instrument(("pylibmc",), "pylibmc", "memcached:pylibmc", _KEYS),
    Instrument(("elasticsearch",), "elastic_transport", "search:elastic", _SEARCH),
    Instrument(("elasticsearch",), "elasticsearch.transport", "search:elastic_7", _SEARCH),
    Instrument(("elasticsearch",), "elasticsearch._async.transport", "search:elastic_7", _SEARCH),
    Instrument(("opensearchpy",), "opensearchpy.transport", "search:opensearch", _SEARCH),
    Instrument(("opensearchpy",), "opensearchpy._async.transport", "search:opensearch", _SEARCH),
    Instrument(("pysolr",), "pysolr", "search:solr", _SEARCH),
    Instrument(("kombu", "celery"), "kombu.messaging", "kombu", _MESSAGES),
    Instrument(("pika",), "pika", "pika", _MESSAGES),
    Instrument(("kafka",), "kafka", "kafka", _MESSAGES),
    Instrument(("confluent_kafka",), "confluent_kafka", "kafka:confluent", _MESSAGES),
    Instrument(("http.client",), "http.client", "httpclient", _HTTP),
    Instrument(
        ("http.client", "urllib3", "requests"), "http.client", "httpclient:bodies", "bodies"
    ),
    Instrument(("urllib3",), "urllib3.connectionpool", "clients:urllib3", _HTTP),
    Instrument(("requests",), "requests.adapters", "clients:requests", _HTTP),
    Instrument(("httpx",), "httpx", "clients:httpx", _HTTP),
    Instrument(("aiohttp",), "aiohttp.client", "clients:aiohttp", _HTTP),
    Instrument(("pycurl",), "pycurl", "pycurl", _HTTP),
    Instrument(("jinja2",), "jinja2", "templates:jinja2", "rendering"),
    Instrument(("mako",), "mako.template", "templates:mako", "rendering"),
    Instrument(("genshi",), "genshi.core", "templates:genshi", "rendering"),
    Instrument(("logging",), "logging", "logs", "records by level and logger, bytes"),
    Instrument(("warnings",), "warnings", "logs:warned", "warnings by category"),
)
