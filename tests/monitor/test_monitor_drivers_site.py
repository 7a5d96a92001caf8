"""A site whose pages use a model layer, a database, a service and a template: its layers add up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

for name in ("sqlalchemy", "requests", "jinja2"):
    pytest.importorskip(name)

PROGRAM = """
import json, logging, sys, threading, time, urllib.request
sys.path.append(KIT)
import cherrypy
import jinja2, requests, sqlalchemy
from sqlalchemy import orm
from drivers_kit import Handler, Service

service = Service(("127.0.0.1", 0), Handler)
threading.Thread(target=service.serve_forever, args=(0.02,), daemon=True).start()
there = f"http://127.0.0.1:{service.server_port}"

class Base(orm.DeclarativeBase):
    pass

class Item(Base):
    __tablename__ = "items"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]

engine = sqlalchemy.create_engine(f"sqlite:///{FOLDER}/site.sqlite")

@sqlalchemy.event.listens_for(engine, "connect")
def connected(connection, record):
    # The database asks a service: from the model's call to the driver's to an HTTP client.
    connection.create_function("ask", 0, lambda: requests.get(there + "/200/0.06", timeout=10).text)
    connection.create_function("nap", 0, lambda: time.sleep(0.05))

Base.metadata.create_all(engine)
with orm.Session(engine) as session:
    session.add_all([Item(name=f"n{n}") for n in range(20)])
    session.commit()
engine.dispose()
page = jinja2.Environment(loader=jinja2.DictLoader(
    {"page.html": "{{ nap() or '' }}{% for item in items %}{{ item.name }} {% endfor %}"}
)).get_template("page.html")

class Root:
    @cherrypy.expose
    def index(self):
        time.sleep(0.03)
        with orm.Session(engine) as session:
            answer = session.execute(sqlalchemy.text("SELECT ask(), nap()")).all()
            items = session.scalars(sqlalchemy.select(Item)).all()
            logging.getLogger("shop").warning("seen")
            return page.render(items=items, nap=lambda: time.sleep(0.04))

    @cherrypy.expose
    def stream(self):
        def parts():
            for _ in range(3):
                time.sleep(0.01)
                with orm.Session(engine) as session:
                    yield str(session.execute(sqlalchemy.text("SELECT nap()")).all())
        return parts()
    stream._cp_config = {"response.stream": True}

    @cherrypy.expose
    async def later(self):
        import asyncio, httpx
        async with httpx.AsyncClient(timeout=10) as client:
            await asyncio.gather(*(client.get(there + "/200/0.05") for _ in range(3)))
            await asyncio.sleep(0.02)
        return "later"

cherrypy.config.update({"environment": "production", "server.socket_port": 0, "server.socket_host": "127.0.0.1",
    "log.screen": False, "engine.monitor.on": True, "engine.monitor.libraries": LIBRARIES})
cherrypy.tree.mount(Root())
cherrypy.engine.start()
port = cherrypy.server.bound_addr[1] if cherrypy.server.bound_addr else cherrypy.server.socket_port
told = []
cherrypy.engine.monitor.recorder.consider = lambda trace, route, status, took: told.append(
    (route.name, took, list(trace.seconds), list(trace.steps), dict(trace.calls)))
cherrypy.engine.monitor.slow_threshold = 0.0
for path in ("/", "/", "/stream", "/later"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        assert answer.status == 200
        answer.read()
time.sleep(0.1)
snapshot = cherrypy.engine.monitor.taker.take()
cherrypy.engine.exit()
from cherrypy.monitor.traces import LAYERS
sums = {}
for (metric, labels), spread in snapshot.spreads.items():
    sums.setdefault(metric.name, []).append([list(labels), spread.count, spread.total])
counts = {}
for (metric, labels), value in snapshot.counts.items():
    counts.setdefault(metric.name, []).append([list(labels), value])
print(json.dumps({"told": told, "layers": LAYERS, "sums": sums, "counts": counts,
    "statements": snapshot.details.get("statements")}))
"""


def run(folder, libraries=("*",)):
    here = Path(__file__).resolve().parent
    head = f"KIT, FOLDER, LIBRARIES = {str(here)!r}, {str(folder)!r}, {list(libraries)!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", head + PROGRAM],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return run(tmp_path_factory.mktemp("site"))


def layers_of(site, route, number=-1):
    found = [row for row in site["told"] if row[0] == route][number]
    return found[1], dict(zip(site["layers"], found[2], strict=True)), found[3], found[4]


def total(site, metric, *labels):
    rows = site["sums"].get(metric, [])
    return sum(row[2] for row in rows if tuple(row[0][-len(labels) :]) == labels or not labels)


def test_layers_add_up_to_the_wall_time(site):
    took, layers, steps, calls = layers_of(site, "/")
    assert abs(sum(layers.values()) - took) < 0.01 * took
    assert layers["app"] >= 0.03
    assert layers["db"] >= 0.05
    assert layers["external"] >= 0.06
    assert layers["template"] >= 0.04
    assert layers["model"] > 0
    names = [(site["layers"][layer], label) for layer, label, _, _ in steps]
    # What was called ends before its caller.
    assert names[:6] == [
        ("external", "GET http://127.0.0.1"),
        ("db", "sqlite SELECT"),
        ("model", "sqlalchemy query"),
        ("db", "sqlite SELECT items"),
        ("model", "sqlalchemy query"),
        ("template", "jinja2 page.html"),
    ]
    assert set(names[6:]) == {("db", "sqlite ROLLBACK")}
    by_name = {site["layers"][int(layer)]: count for layer, count in calls.items()}
    assert by_name == {"external": 1, "db": 2, "model": 2, "template": 1}


def test_steps_lie_in_each_other(site):
    _, _, steps, _ = layers_of(site, "/")
    external, driver, model = steps[:3]
    assert model[2] <= driver[2] <= external[2] < external[3] <= driver[3] <= model[3]


def test_metrics_of_layers_add_up_to_the_duration(site):
    names = [f"cherrypy.time.{name}" for name in site["layers"]]
    added = sum(total(site, name) for name in names)
    duration = total(site, "http.server.request.duration")
    assert abs(added - duration) < 0.01 * duration


def test_calls_of_a_request_are_counted(site):
    rows = {row[0][0]: row[1:] for row in site["sums"]["cherrypy.db.calls_per_request"]}
    assert rows["/"] == [2, 4.0]
    rows = {row[0][0]: row[1:] for row in site["sums"]["cherrypy.external.calls_per_request"]}
    assert rows["/"] == [2, 2.0]


def test_streams_use_the_layers_as_well(site):
    took, layers, _, _ = layers_of(site, "/stream")
    assert abs(sum(layers.values()) - took) < 0.01 * took
    assert layers["db"] >= 0.15


def test_calls_of_async_pages_are_counted(site):
    rows = site["sums"]["http.client.request.duration"]
    assert sum(row[1] for row in rows) == 4 + 2 + 3  # four are the test's own
    took, layers, steps, calls = layers_of(site, "/later")
    assert abs(sum(layers.values()) - took) < 0.01 * took
    # Three at once are the time from the first's beginning to the last's end, not thrice theirs.
    span = max(step[3] for step in steps) - min(step[2] for step in steps)
    assert 0.05 <= layers["external"] <= span + 0.02
    assert sum(step[3] - step[2] for step in steps) > layers["external"]
    assert layers["app"] >= 0.02
    assert [label for _, label, _, _ in steps] == ["GET http://127.0.0.1"] * 3
    assert list(calls.values()) == [3]


def test_statements_and_logs_are_there(site):
    rows = {row["statement"]: row for row in site["statements"]}
    assert rows["SELECT ask(), nap()"]["count"] == 2
    assert [["shop", "warning"], 2.0] in site["counts"]["cherrypy.log.records.logger"]


def test_a_library_that_is_switched_off_is_time_of_its_caller(tmp_path):
    site = run(tmp_path, ["sqlite3", "sqlalchemy"])
    took, layers, _, _ = layers_of(site, "/")
    assert layers["external"] == layers["template"] == 0
    assert layers["db"] >= 0.1
    assert abs(sum(layers.values()) - took) < 0.01 * took
    assert "http.client.request.duration" not in site["sums"]
