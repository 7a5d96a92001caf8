"""SQLAlchemy and peewee with their instruments on: the model layer, pools, and the driver below."""

from __future__ import annotations

import asyncio
import pickle
import time

import peewee
import pytest
import sqlalchemy
from drivers_kit import serving, watching
from sqlalchemy import orm

MODEL, CALLS = "cherrypy.model.operation.duration", "cherrypy.model.calls"


class Base(orm.DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]
    posts: orm.Mapped[list[Post]] = orm.relationship(back_populates="user")


class Post(Base):
    __tablename__ = "posts"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    text: orm.Mapped[str]
    user_id: orm.Mapped[int] = orm.mapped_column(sqlalchemy.ForeignKey("users.id"))
    user: orm.Mapped[User] = orm.relationship(back_populates="posts")


@pytest.fixture
def engine(tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/models.sqlite")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def fill(engine, users=2, posts=3):
    with orm.Session(engine) as session:
        for number in range(users):
            texts = [Post(text=f"hush {n}") for n in range(posts)]
            session.add(User(name=f"user {number}", posts=texts))
        session.commit()


def test_operations_of_sessions_are_counted_once(engine):
    with watching("sqlalchemy", "sqlite3") as seen:
        fill(engine)
        assert seen.count(CALLS, "sqlalchemy", "flush") == 1
        assert seen.count(CALLS, "sqlalchemy", "create") == 8
        with orm.Session(engine) as session:
            assert session.get(User, 1).name == "user 0"
            assert seen.count(CALLS, "sqlalchemy", "get") == 1
            users = session.scalars(sqlalchemy.select(User).order_by(User.id)).all()
            assert [user.name for user in users] == ["user 0", "user 1"]
            assert session.execute(sqlalchemy.select(User.name)).first() == ("user 0",)
            assert session.scalar(sqlalchemy.select(sqlalchemy.func.count(User.id))) == 2
            assert seen.count(CALLS, "sqlalchemy", "query") == 3
            assert len(users[0].posts) == 3  # loaded when it is asked for
            assert seen.count(CALLS, "sqlalchemy", "query") == 4
            assert session.query(User).filter_by(name="user 1").one() is users[1]
            assert session.query(User).count() == 2
            assert seen.count(CALLS, "sqlalchemy", "count") == 1
            users[0].name = "other"
            session.delete(users[0].posts[0])
            session.commit()
            assert seen.count(CALLS, "sqlalchemy", "update") == 1
            assert seen.count(CALLS, "sqlalchemy", "delete") == 1
            session.execute(sqlalchemy.insert(User), [{"name": "a"}, {"name": "b"}])
            session.execute(sqlalchemy.update(User).values(name="c"))
            session.execute(sqlalchemy.delete(Post))
            session.rollback()
        assert seen.spread(MODEL, "sqlalchemy", "create")[0] == 1
        assert seen.spread(MODEL, "sqlalchemy", "update")[0] == 1
        assert seen.spread(MODEL, "sqlalchemy", "delete")[0] == 1
        assert seen.spread(MODEL, "sqlalchemy", "query")[0] >= 5
        assert "hush" not in repr(seen.monitor.taker.take().details)


def test_statements_are_counted_by_the_driver_and_once(engine):
    with watching("sqlalchemy", "sqlite3") as seen, engine.connect() as connection:
        before = seen.spread("db.client.operation.duration", "sqlite")[0]
        connection.execute(sqlalchemy.text("SELECT :a"), {"a": "hush"})
        connection.exec_driver_sql("SELECT 1")
        assert seen.spread("db.client.operation.duration", "sqlite")[0] - before == 2


def test_statements_of_drivers_without_an_instrument_are_counted_here(engine):
    with watching("sqlalchemy") as seen:
        with engine.begin() as connection:
            connection.execute(
                sqlalchemy.text("INSERT INTO users (name) VALUES (:a)"), {"a": "hush"}
            )
            connection.execute(sqlalchemy.insert(User.__table__), [{"name": "a"}, {"name": "b"}])
            with serving() as request:
                connection.execute(sqlalchemy.text("SELECT * FROM users")).all()
            assert request.steps == [("db", "sqlite SELECT users")]
            with serving() as request, pytest.raises(sqlalchemy.exc.OperationalError):
                connection.execute(sqlalchemy.text("SELECT * FROM nowhere"))
            assert request.layers["db"] > 0
            assert abs(sum(request.layers.values()) - request.wall) < 1e-6
            with serving() as request:
                time.sleep(0.01)
            assert request.layers["db"] == 0  # nobody was left in it
        duration = "db.client.operation.duration"
        assert seen.spread(duration, "sqlite", "INSERT", "", "")[0] == 2
        assert seen.spread(duration, "sqlite", "SELECT", "", "")[0] == 1
        assert seen.spread(duration, "sqlite", "SELECT", "", "OperationalError")[0] == 1
        assert seen.count("cherrypy.db.errors", "sqlite", "OperationalError") == 1


def test_time_of_models_is_without_that_of_the_driver(engine):
    fill(engine, 50, 5)
    with watching("sqlalchemy", "sqlite3"), orm.Session(engine) as session:
        raw = session.connection().connection.driver_connection
        raw.create_function("nap", 0, lambda: time.sleep(0.05))
        session.scalars(sqlalchemy.select(User)).all()
        session.expunge_all()
        with serving() as request:
            session.execute(sqlalchemy.text("SELECT nap()")).all()
            for user in session.scalars(sqlalchemy.select(User)):
                assert user.name
                time.sleep(0.001)
            time.sleep(0.02)
        layers = request.layers
        assert layers["db"] >= 0.05
        assert layers["model"] > 0
        assert layers["wsgi"] >= 0.07
        assert abs(sum(layers.values()) - request.wall) < 1e-6
        # Those that are in another one follow it: whoever began first ends last.
        assert [step for step in request.steps if step[0] == "model"] == [
            ("model", "sqlalchemy query")
        ] * 2


def test_pools_tell_what_they_have_and_who_waits(tmp_path):
    engine = sqlalchemy.create_engine(
        f"sqlite:///{tmp_path}/pooled.sqlite", pool_size=1, max_overflow=0, pool_timeout=0.05
    )
    name = "sqlite pooled.sqlite"
    with watching("sqlalchemy") as seen:
        connection = engine.connect()
        gauge = seen.gauge("db.client.connection.count")
        assert (gauge["used", name], gauge["idle", name]) == (1, 0)
        with pytest.raises(sqlalchemy.exc.TimeoutError):
            engine.connect()
        connection.close()
        gauge = seen.gauge("db.client.connection.count")
        assert (gauge["used", name], gauge["idle", name]) == (0, 1)
        assert seen.count("db.client.connection.timeouts", name) == 1
        count, total = seen.spread("db.client.connection.wait_time", name)
        assert count == 2
        assert total >= 0.05
    engine.dispose()


def test_what_is_pickled_and_subclassed_works(engine):
    fill(engine)
    with watching("sqlalchemy", "sqlite3") as seen:

        class Own(orm.Session):
            def execute(self, *args, **kwargs):
                return super().execute(*args, **kwargs)

        with Own(engine) as session:
            user = session.execute(sqlalchemy.select(User)).scalars().first()
            session.expunge_all()
            assert pickle.loads(pickle.dumps(user)).name == "user 0"
            rows = session.execute(sqlalchemy.select(User.id, User.name)).partitions(1)
            assert [len(rows) for rows in rows] == [1, 1]
            assert session.execute(sqlalchemy.select(User)).unique().scalars().fetchmany(1)
            with pytest.raises(sqlalchemy.exc.NoResultFound):
                session.query(User).filter_by(name="nobody").one()
        assert seen.count(CALLS, "sqlalchemy", "query") == 4
        factory = orm.scoped_session(orm.sessionmaker(engine))
        assert factory.get(User, 1) is factory().get(User, 1)
        factory.remove()


def test_sessions_of_a_loop_are_counted_and_leave_no_layer(tmp_path):
    pytest.importorskip("greenlet")
    from session_kit import running, server
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    had = "postgresql" in running
    postgres = server("postgresql")

    async def one(engine):
        async with AsyncSession(engine) as session:
            await session.execute(sqlalchemy.text("SELECT pg_sleep(0.05)"))

    async def main():
        engine = create_async_engine(
            f"postgresql+psycopg://tester@/postgres?host={postgres.folder}"
        )
        await asyncio.gather(*(one(engine) for _ in range(3)))
        await engine.dispose()

    with watching("sqlalchemy", "psycopg") as seen:
        asyncio.run(main())
        count, total = seen.spread(MODEL, "sqlalchemy", "query")
        assert count == 3
        assert total >= 0.15
        assert seen.statements()["SELECT pg_sleep(?)"]["count"] == 3
        with serving() as request:
            pass
        assert request.layers["model"] == request.layers["db"] == 0
    if not had:
        running.pop("postgresql").close()


def test_at_the_end_sqlalchemy_is_as_before(engine):
    plain = orm.Session.execute
    with watching("sqlalchemy"):
        assert orm.Session.execute is not plain
    assert orm.Session.execute is plain
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))


# -- peewee ----------------------------------------------------------------------------------------


def test_queries_of_peewee_are_counted_once_and_work(tmp_path):
    database = peewee.SqliteDatabase(str(tmp_path / "peewee.sqlite"))

    class Person(peewee.Model):
        name = peewee.CharField()

        class Meta:
            pass

    Person.bind(database)
    with watching("peewee", "sqlite3") as seen:
        database.create_tables([Person])
        with serving() as request:
            Person.create(name="hush")
            Person.insert_many([{"name": "b"}, {"name": "c"}]).execute()
            assert [person.name for person in Person.select()] == ["hush", "b", "c"]
            assert Person.get(Person.name == "b").id == 2
            assert Person.select().count() == 3
            assert Person.select().exists()
            assert Person.update(name="d").where(Person.name == "c").execute() == 1
            assert Person.delete().execute() == 3
            with pytest.raises(Person.DoesNotExist):
                Person.get(Person.name == "b")
        counts = {
            name: seen.count(CALLS, "peewee", name)
            for name in ("create", "query", "get", "count", "exists", "update", "delete")
        }
        assert counts == {
            "create": 2,
            "query": 1,
            "get": 2,
            "count": 1,
            "exists": 1,
            "update": 1,
            "delete": 1,
        }
        assert request.layers["model"] > 0
        assert request.layers["db"] > 0
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6
        assert "hush" not in repr(seen.monitor.taker.take().details)

        class Slow(Person):
            def __init__(self, *args, **kwargs):
                time.sleep(0.01)  # objects are made of rows
                super().__init__(*args, **kwargs)

            class Meta:
                table_name = "person"

        Person.insert_many([{"name": "b"}, {"name": "c"}]).execute()
        with serving() as request:
            assert len(list(Slow.select(Slow.id, Slow.name))) == 2
        assert request.layers["model"] >= 0.02
    database.close()
