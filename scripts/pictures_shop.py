"""The shop of the pictures: pages that are quick, slow and broken. pictures_shop.py PORT DASHBOARD FOLDER

Several of them with one folder are one site."""

from __future__ import annotations

import logging
import random
import sqlite3
import sys
import time
from pathlib import Path

import cherrypy

PORT, DASHBOARD, FOLDER = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
BASE = str(FOLDER / "shop.sqlite3")
LOG = logging.getLogger("shop.stock")


def rows(statement: str, *values: object) -> list[tuple[object, ...]]:
    """What a database says."""
    with sqlite3.connect(BASE, timeout=30) as base:
        base.create_function("wait", 1, lambda seconds: time.sleep(seconds) or 0)
        found = base.execute(statement, values).fetchall()
    base.close()
    return found


class OutOfStock(Exception):
    """Somebody else was quicker."""


class API:
    """What the shop's own pages ask for."""

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def stock(self, number: str = "1") -> dict[str, object]:
        return {"number": number, "left": rows("SELECT left FROM items WHERE number = ?", number)}


class Shop:
    """The shop."""

    api = API()

    @cherrypy.expose
    def index(self) -> str:
        rows("SELECT number, name FROM items ORDER BY number LIMIT ?", 20)
        return "<h1>Cherries</h1>"

    @cherrypy.expose
    def items(self, number: str = "1") -> str:
        time.sleep(random.uniform(0.001, 0.006))
        return str(rows("SELECT name, price, left FROM items WHERE number = ?", number))

    @cherrypy.expose
    def search(self, q: str = "") -> str:
        found = rows("SELECT name FROM items WHERE name LIKE ? AND wait(0.0004) = 0", f"%{q}%")
        return str(found)

    @cherrypy.expose
    def cart(self, number: str = "1") -> str:
        cherrypy.session["cart"] = [*cherrypy.session.get("cart", []), number][-20:]
        return "in the cart"

    @cherrypy.expose
    def checkout(self, number: str = "1") -> str:
        rows("SELECT price FROM items WHERE number = ?", number)
        rows("SELECT wait(0.02)")
        self.total(4000)
        if random.random() < 0.12:
            LOG.warning("item %s is out of stock", number)
            raise OutOfStock(f"item {number}")
        rows("UPDATE items SET left = left - 1 WHERE number = ?", number)
        return "thank you"

    @cherrypy.expose
    def report(self, year: str = "2026") -> str:
        rows("SELECT number, wait(0.03) FROM items WHERE price > ? ORDER BY price LIMIT 12", 3)
        self.total(60000)
        rows("SELECT count(*), sum(price * left) + wait(0.25) FROM items")
        time.sleep(0.2)
        rows("SELECT wait(0.4)")
        return "rising"

    @staticmethod
    def total(count: int) -> int:
        return sum(number * number % 7 for number in range(count))


with sqlite3.connect(BASE, timeout=30) as base:
    base.execute("CREATE TABLE IF NOT EXISTS items (number INTEGER PRIMARY KEY, name, price, left)")
    base.executemany(
        "INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?)",
        [(number, f"cherry {number}", number % 9 + 1, 100) for number in range(60)],
    )
base.close()
cherrypy.config.update(
    {
        "server.socket_host": "127.0.0.1",
        "server.socket_port": PORT,
        "engine.autoreload.on": False,
        "log.screen": False,
        "monitor.service": "cherry-shop",
        "monitor.app_version": "2.4.1",
        "monitor.socket": str(FOLDER / "monitor.sock"),
        "monitor.store.path": str(FOLDER / "monitor.sqlite3"),
        "monitor.dashboard.listen": DASHBOARD,
        "monitor.on": True,
    }
)
cherrypy.quickstart(Shop(), "/", {"/cart": {"tools.sessions.on": True}})
