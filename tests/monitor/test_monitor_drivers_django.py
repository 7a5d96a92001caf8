"""Django's models with their instrument on, in a process of their own: its settings are for ever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys
sys.path.append(KIT)
import django
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER + "/django.sqlite"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField", USE_TZ=True,
)
from drivers_kit import serving, watching
with watching("django", "sqlite3") as seen:
    django.setup()
    from django.db import connection, models

    class Item(models.Model):
        name = models.CharField(max_length=20)
        class Meta:
            app_label = "shop"

    assert models.QuerySet.delete.queryset_only and models.QuerySet.delete.alters_data
    with connection.schema_editor() as editor:
        editor.create_model(Item)
    with serving() as request:
        one = Item.objects.create(name="hush")
        Item(name="b").save()
        one.name = "c"
        one.save()
        Item.objects.bulk_create([Item(name="d"), Item(name="e")])
        items = Item.objects.order_by("id")
        assert [item.name for item in items] == ["c", "b", "d", "e"]
        assert len(items) == 4 and items[0].name == "c"
        assert Item.objects.get(name="b").pk == 2
        assert Item.objects.filter(name="d").first().name == "d"
        assert Item.objects.count() == 4
        assert Item.objects.filter(name="x").exists() is False
        assert sum(1 for _ in Item.objects.iterator()) == 4
        assert Item.objects.filter(name="e").update(name="f") == 1
        one.delete()
        assert Item.objects.all().delete()[0] == 3
        try:
            Item.objects.get(name="nobody")
        except Item.DoesNotExist:
            pass
    counts = {name: seen.count("cherrypy.model.calls", "django", name) for name in
        ("create", "update", "query", "get", "count", "exists", "delete")}
    print(json.dumps({"counts": counts, "layers": request.layers, "wall": request.wall,
        "statements": list(seen.statements()), "details": repr(seen.monitor.taker.take().details)}))
connection.close()
plain = models.QuerySet.get
assert not hasattr(plain, "__wrapped__")
"""


def test_operations_of_django_s_models_are_counted_once_and_work(tmp_path):
    here = str(Path(__file__).resolve().parent)
    head = f"KIT, FOLDER = {here!r}, {str(tmp_path)!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", head + PROGRAM],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["counts"] == {
        "create": 3,  # two, and two at once
        "update": 2,
        "query": 2,
        "get": 3,
        "count": 1,
        "exists": 1,
        "delete": 2,
    }
    layers = told["layers"]
    assert layers["model"] > 0
    assert layers["db"] > 0
    assert abs(sum(layers.values()) - told["wall"]) < 1e-6
    assert any(row.startswith('INSERT INTO "shop_item" (') for row in told["statements"])
    assert "hush" not in told["details"]
