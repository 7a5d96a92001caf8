"""The dashboard of a site of several processes: all are seen, and what one has counted stays when it is killed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from dashboard_kit import served, until

#: Several processes begin and end in each, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)


def test_two_processes_of_which_one_is_killed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        shared = {"engine.monitor.socket": str(Path(folder) / "monitor.sock")}
        with served(shared) as one:
            one.counts()
            with served(shared, beside=one) as two:

                def workers() -> int:
                    return int(one.look("/api/now").json.get("workers") or 0)

                def counted() -> dict[str, float]:
                    found = one.look("/api/routes").json
                    return {entry["route"]: entry["requests"] for entry in found}

                until(lambda: workers() == 2)
                for _ in range(4):
                    one.ask("/")
                    two.ask("/item/1")
                one.ask("/item/2")
                two.ask("/broken")
                wanted = {"/": 4, "/item/{number}": 5, "/broken": 1}
                until(lambda: counted() == wanted)
                # One statement of two processes is one.
                found = {e["statement"]: e["count"] for e in one.look("/api/statements").json}
                assert found["SELECT name FROM items WHERE number = ?"] == 5
                assert one.look("/data").text.count("SELECT name FROM items WHERE") == 1
                pids = [str(each.process.pid) for each in (one, two)]
                page = one.look("/runtime").text
                assert all(f">{pid}</th>" in page for pid in pids)
                errors = until(lambda: one.look("/api/errors").json)
                assert [(e["type"], e["worker"]) for e in errors] == [("ValueError", pids[1])]
                # A thread of another process can be looked at from here; this one there is not.
                token = page.partition('kirsch-token" content="')[2].partition('"')[0]
                headers = {"X-Kirsch-Token": token, "Accept": "application/json"}
                form = f"ident=1&worker={pids[1]}"
                told = one.look("/live/stack", "POST", form, headers=headers).json
                assert f"of process {pids[1]}" in told["html"] and "has ended" in told["html"]
                two.process.kill()
                until(lambda: workers() == 1)
                assert counted() == wanted
                # What its books held is kept, and says whose it was.
                gone = f"{pids[1]} (gone)"
                errors = until(
                    lambda: [e for e in one.look("/api/errors").json if e["worker"] == gone]
                )
                assert [(e["type"], e["count"]) for e in errors] == [("ValueError", 1)]
                assert "in broken" in errors[0]["traceback"]
                kept = one.look("/api/slow").json
                assert any(e["route"] == "/broken" and e["worker"] == gone for e in kept)
                assert gone in one.look("/errors").text
                # Charts of the last minutes show it still; the table of those that live does not.
                table = one.look("/runtime").text.partition(">Processes</h2>")[2]
                table = table.partition("</table>")[0]
                assert f">{pids[0]}</th>" in table and f">{pids[1]}</th>" not in table
                said = one.look("/runtime").text.partition("Processes that ended")[2]
                assert f"The process {pids[1]} has died." in said.partition("</ul>")[0]
                # What it had spent in its life was not spent when it ended.
                words = "metric=process.cpu.time&by=worker&stat=delta&step=10&range=5m"
                spent = one.look(f"/api/series?{words}").json["rows"]
                assert "ended" not in {row["labels"][0] for row in spent}
