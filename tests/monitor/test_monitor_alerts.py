"""Alerts: when rules fire, when they stop, and that whoever is told cannot do harm."""

from __future__ import annotations

import http.server
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from history_kit import START, Clockwork

from cherrypy.monitor.alerts import actions
from cherrypy.monitor.alerts.watching import Alerts
from cherrypy.monitor.history.history import History
from cherrypy.monitor.metrics import METRICS
from cherrypy.monitor.plugin import Monitor
from cherrypy.process.wspbus import Bus

RESPONSES = METRICS["cherrypy.responses"]
DURATION = METRICS["http.server.request.duration"]
QUEUE = METRICS["cherrypy.time.queue"]
THREADS = METRICS["cherrypy.server.threads"]
FILES, MOST = METRICS["process.unix.file_descriptor.count"], METRICS["cherrypy.process.fd.limit"]
EXPIRY = METRICS["cherrypy.server.tls.certificate.expiry"]
LOG = METRICS["cherrypy.log.records"]
DAY = 86400.0


class Scene(Clockwork):
    """A site with rules."""

    def __init__(self, *rules: Any, defaults: bool = False, **settings: Any) -> None:
        bus = Bus()
        self.said: list[tuple[int, str]] = []
        self.heard: list[dict[str, Any]] = []
        bus.subscribe("log", lambda text, level: self.said.append((level, text)))
        bus.subscribe("monitor-alert", self.heard.append)
        self.monitor: Any = Monitor(bus)
        self.monitor.history = History()
        self.alerts: Any = None
        super().__init__(self.monitor.history)
        self.monitor.settings["alerts"] = list(rules)
        self.monitor.settings["alerts.defaults"] = defaults
        for name, value in settings.items():
            self.monitor.settings["alerts." + name] = value
        self.alerts = Alerts(self.monitor)

    def push(self, seconds: float = 1.0) -> None:
        super().push(seconds)
        if self.alerts is not None:
            self.alerts.beat(self.history.latest())

    def run(self, seconds: int, each: Callable[[], object] = lambda: None) -> float | None:
        """Let time pass; returns after how many seconds the first alert fired, None if none did."""
        first = None
        for second in range(seconds):
            each()
            self.push()
            if first is None and self.alerts.firing():
                first = float(second + 1)
        return first

    def names(self) -> list[str]:
        return [alert.rule.name for alert in self.alerts.firing()]


@pytest.fixture
def scenes() -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(*rules: Any, **settings: Any) -> Scene:
        made.append(Scene(*rules, **settings))
        return made[-1]

    yield make
    for scene in made:
        scene.alerts.end()


Make = Callable[..., Scene]


def until(what: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found
    return found


# -- when they fire --------------------------------------------------------------------------------


def test_a_rule_fires_when_it_has_held_and_passes_when_it_has_not(scenes: Make) -> None:
    scene = scenes("fails: cherrypy.responses{class=5xx} rate over 20s > 1 for 60s clear 40s")

    def fail() -> None:
        scene.count(RESPONSES, 2, "5xx")

    fired = scene.run(120, fail)
    assert fired is not None
    assert 60 <= fired <= 90
    (alert,) = scene.alerts.firing()
    assert (alert.value, alert.limit) == (2.0, 1.0)
    assert alert.text == "cherrypy.responses is 2, limit 1"
    seconds = 0
    while scene.alerts.firing() and seconds < 200:
        scene.push()
        seconds += 1
    assert 50 <= seconds <= 80  # 10 s until the rate is below, 40 s more, looked at every 10 s
    heard = until(lambda: len(scene.heard) == 2 and scene.heard)
    assert [alert["status"] for alert in heard] == ["firing", "resolved"]
    assert json.loads(json.dumps(heard)) == heard
    marks = scene.history.marks(START, scene.at + 1)
    assert [mark.kind for mark in marks] == ["alert", "alert"]
    assert [level for level, text in scene.said if text.startswith("Alert")] == [30, 20]


def test_what_does_not_hold_long_enough_is_no_alert(scenes: Make) -> None:
    scene = scenes("cherrypy.responses{class=5xx} rate over 10s > 1 for 60s")
    for _ in range(5):
        assert scene.run(30, lambda: scene.count(RESPONSES, 5, "5xx")) is None
        assert scene.run(30) is None


def test_what_swings_around_the_limit_is_one_alert(scenes: Make) -> None:
    scene = scenes("cherrypy.server.threads{state=busy} > 5 until < 3 clear 30s")
    for value in (6.0, 4.0) * 20:
        scene.gauge(THREADS, value, "busy", "1")
        scene.run(10)
    scene.run(60)  # it is below the limit, and not yet on the way back
    assert len(scene.alerts.firing()) == 1
    assert not scene.alerts.past
    scene.gauge(THREADS, 2.0, "busy", "1")
    scene.run(60)
    assert not scene.alerts.firing()
    assert len(scene.alerts.past) == 1


def test_each_row_is_an_alert_of_its_own(scenes: Make) -> None:
    scene = scenes("cherrypy.server.threads{state=busy} by worker > 5 as info")
    for worker, busy in (("1", 9.0), ("2", 1.0), ("3", 7.0)):
        scene.gauge(THREADS, busy, "busy", worker)
    scene.run(20)
    assert {alert.labels["worker"] for alert in scene.alerts.firing()} == {"1", "3"}
    assert scene.alerts.counts() == {("info",): 2.0, ("warning",): 0.0, ("critical",): 0.0}
    assert any("(worker=1)" in str(alert) for alert in scene.alerts.firing())
    # A worker that is gone breaks no rule.
    del scene.whole.gauges[THREADS, ("busy", "3")]
    scene.run(60)
    assert {alert.labels["worker"] for alert in scene.alerts.firing()} == {"1"}


def test_alerts_of_one_rule_are_bounded(scenes: Make) -> None:
    scene = scenes("cherrypy.server.threads{state=busy} by worker > 5")
    for worker in range(400):
        scene.gauge(THREADS, 9.0, "busy", str(worker))
    scene.run(20)
    assert len(scene.alerts.firing()) == 100


def test_absence(scenes: Make) -> None:
    scene = scenes("cherrypy.requests absent over 60s for 20s")
    requests = METRICS["cherrypy.requests"]
    assert scene.run(120, lambda: scene.count(requests, 1, "")) is None
    fired = scene.run(120)
    assert fired is not None
    assert 80 <= fired <= 100
    scene.run(60, lambda: scene.count(requests, 1, ""))
    assert not scene.alerts.firing()


def test_absence_of_a_gauge_and_not_at_once_after_the_start(scenes: Make) -> None:
    scene = scenes("cherrypy.sessions.active absent over 60s")
    fired = scene.run(100)
    assert fired is not None
    assert 60 <= fired <= 70


@pytest.mark.parametrize(("ago", "word"), [(DAY, "24h"), (7 * DAY, "7d")])
def test_comparison_with_another_day(scenes: Make, ago: float, word: str) -> None:
    rule = f"cherrypy.log.records{{level=error}} delta over 10m > 3 x {word} ago at least 20"
    scene = scenes(rule)

    def log(number: int, minutes: int) -> None:
        for _ in range(minutes):
            scene.count(LOG, number, "error")
            scene.push(60.0)

    log(4, 60)
    scene.at = START + ago
    scene.push(60.0)
    log(6, 40)
    assert not scene.alerts.firing()
    log(14, 15)
    (alert,) = scene.alerts.firing()
    assert alert.limit == pytest.approx(120.0, rel=0.15)
    assert alert.value == pytest.approx(140.0, rel=0.15)


def test_comparison_with_what_is_not_known_is_no_alert(scenes: Make) -> None:
    scene = scenes("cherrypy.log.records delta over 1m > 3 x 24h ago")
    assert scene.run(60, lambda: scene.count(LOG, 100, "error")) is None


def test_a_budget_burns_in_both_windows(scenes: Make) -> None:
    """A peak of a minute is over before the hour has noticed; an hour of errors is not."""
    scene = scenes("slo: cherrypy.request.server_error.ratio budget 99% over 1h and 5m > 10")

    def minutes(number: int, failing: int) -> None:
        for _ in range(number):
            for place in range(100):
                status = "500" if place < failing else "200"
                labels = ("GET", "/", status, "http", "1.1", status if failing else "", "")
                scene.observe(DURATION, 0.01, *labels)
            scene.push(60.0)

    minutes(60, 0)
    minutes(5, 20)
    assert not scene.alerts.firing()  # 20 times too fast now, twice in the hour
    minutes(40, 20)
    assert scene.names() == ["slo"]
    minutes(12, 0)
    assert not scene.alerts.firing()  # the hour is still bad, but it is over


def test_certificates(scenes: Make) -> None:
    scene = scenes("cherrypy.server.tls.certificate.expiry by listener < 14d as critical")
    scene.gauge(EXPIRY, 13.5, "main")
    scene.gauge(EXPIRY, 80.0, "admin")
    scene.run(15)
    assert [alert.labels for alert in scene.alerts.firing()] == [{"listener": "main"}]


# -- the emergencies -------------------------------------------------------------------------------


def test_errors_of_the_server_are_an_emergency(scenes: Make) -> None:
    scene = scenes(defaults=True)

    def serve() -> None:
        for status in ["200"] * 9 + ["500"]:
            labels = ("GET", "/", status, "http", "1.1", "", "")
            scene.observe(DURATION, 0.01, *labels)

    fired = scene.run(400, serve)
    assert fired is not None
    assert 300 <= fired <= 320
    assert scene.names() == ["server errors"]
    assert scene.alerts.firing()[0].severity == "critical"


def test_requests_that_wait_are_an_emergency(scenes: Make) -> None:
    scene = scenes(defaults=True)
    assert scene.run(120, lambda: scene.observe(QUEUE, 1.2, "")) is not None
    assert scene.names() == ["requests wait"]


def test_busy_threads_are_an_emergency(scenes: Make) -> None:
    scene = scenes(defaults=True)
    scene.gauge(THREADS, 10.0, "busy", "1")
    scene.gauge(THREADS, 0.0, "idle", "1")
    scene.gauge(THREADS, 10.0, "busy", "2")
    scene.gauge(THREADS, 1.0, "idle", "2")
    fired = scene.run(60)
    assert fired is not None
    assert 30 <= fired <= 50
    assert [alert.labels for alert in scene.alerts.firing()] == [{"worker": "1"}]


def test_open_files_are_an_emergency(scenes: Make) -> None:
    scene = scenes(defaults=True)
    for worker, files in (("1", 850.0), ("2", 790.0)):
        scene.gauge(FILES, files, worker)
        scene.gauge(MOST, 1000.0, worker)
    scene.run(20)
    assert [alert.labels for alert in scene.alerts.firing()] == [{"worker": "1"}]


def test_a_quiet_site_has_no_emergency(scenes: Make) -> None:
    scene = scenes(defaults=True)
    assert scene.run(400) is None
    assert not scene.heard


# -- settings and failures -------------------------------------------------------------------------


def test_wrong_rules_are_said_and_the_others_apply(scenes: Make) -> None:
    scene = scenes("cherrypy.respnses > 1", "cherrypy.responses > 1")
    assert scene.said == [
        (
            40,
            "monitor.alerts[0]: 'cherrypy.respnses > 1', column 1: There is no metric "
            "'cherrypy.respnses'. Did you mean 'cherrypy.responses'?",
        )
    ]
    assert scene.alerts.wrong == [scene.said[0][1]]
    assert len(scene.alerts.rules) == 1


def test_rules_can_be_changed_while_it_runs(scenes: Make) -> None:
    scene = scenes("old: cherrypy.responses > 1", "stays: cherrypy.responses > 2")
    scene.run(20, lambda: scene.count(RESPONSES, 5, "2xx"))
    assert sorted(scene.names()) == ["old", "stays"]
    before = {alert.rule.name: alert.fired for alert in scene.alerts.firing()}
    scene.monitor.settings["alerts"] = [
        "new: cherrypy.responses > 3",
        "stays: cherrypy.responses > 2",
    ]
    scene.run(20, lambda: scene.count(RESPONSES, 5, "2xx"))
    assert sorted(scene.names()) == ["new", "stays"]
    (stayed,) = [alert for alert in scene.alerts.firing() if alert.rule.name == "stays"]
    assert stayed.fired == before["stays"]


def test_the_clock_may_be_set_back(scenes: Make) -> None:
    scene = scenes("cherrypy.server.threads{state=busy} > 5 for 30s clear 30s")
    scene.gauge(THREADS, 9.0, "busy", "1")
    scene.run(20)
    scene.at -= 3600.0
    assert scene.run(60) is not None
    scene.at -= 3600.0
    scene.gauge(THREADS, 0.0, "busy", "1")
    scene.run(60)
    assert not scene.alerts.firing()


# -- whoever is told -------------------------------------------------------------------------------


class Hook:
    """A real HTTP server that is told of alerts."""

    def __init__(self, *statuses: int) -> None:
        hook = self
        self.got: list[dict[str, Any]] = []
        self.statuses = list(statuses)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append({"type": self.headers["Content-Type"], **json.loads(body)})
                status = hook.statuses.pop(0) if hook.statuses else 204
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?key=secret"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def hooks() -> Iterator[Callable[..., Hook]]:
    made: list[Hook] = []

    def make(*statuses: int) -> Hook:
        made.append(Hook(*statuses))
        return made[-1]

    yield make
    for hook in made:
        hook.close()


BUSY = "busy: cherrypy.server.threads{state=busy} > 5"


def busy(scene: Scene) -> None:
    scene.gauge(THREADS, 9.0, "busy", "1")
    scene.run(15)


def test_a_webhook_gets_json(scenes: Make, hooks: Callable[..., Hook]) -> None:
    everyones, own = hooks(), hooks()
    scene = scenes(
        {"rule": BUSY, "text": "Too much to do", "webhook": own.url}, webhook=everyones.url
    )
    scene.monitor.settings["service"] = "shop"
    busy(scene)
    for hook in (everyones, own):
        (got,) = until(lambda hook=hook: hook.got)
        assert got["type"] == "application/json"
        assert (got["name"], got["status"], got["severity"]) == ("busy", "firing", "warning")
        assert (got["service"], got["text"], got["value"]) == ("shop", "Too much to do", 9.0)


def test_a_hook_that_fails_is_tried_again_and_no_more_than_that(
    scenes: Make, hooks: Callable[..., Hook]
) -> None:
    hook = hooks(500, 503)
    scene = scenes(BUSY, webhook=hook.url)
    courier = scene.alerts.couriers["webhook"]
    courier.pauses = (0.01, 0.01)
    busy(scene)
    until(lambda: courier.told)
    assert (len(hook.got), courier.failed) == (3, 0)
    hook.statuses[:] = [500] * 10
    scene.gauge(THREADS, 0.0, "busy", "1")
    scene.run(60)
    until(lambda: courier.failed)
    assert len(hook.got) == 6


@pytest.mark.parametrize("status", [302, 400, 404])
def test_a_hook_that_refuses_is_not_tried_again(
    scenes: Make, hooks: Callable[..., Hook], status: int
) -> None:
    hook = hooks(*[status] * 10)
    scene = scenes(BUSY, webhook=hook.url)
    courier = scene.alerts.couriers["webhook"]
    busy(scene)
    until(lambda: courier.failed)
    assert len(hook.got) == 1
    (failure,) = [text for _, text in scene.said if "could not tell" in text]
    assert f"answered {status}" in failure
    assert "secret" not in failure


def test_a_hook_that_hangs_harms_nothing(scenes: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections and sends a byte now and then, forever."""
    monkeypatch.setattr(actions, "LIMIT", 2.5)
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        listener.settimeout(0.05)
        taken: list[socket.socket] = []
        while not stop.wait(0.05):
            try:
                taken.append(listener.accept()[0])
            except OSError:
                pass
            for connection in taken:
                try:
                    connection.send(b"H")
                except OSError:
                    pass
        for connection in taken:
            connection.close()

    thread = threading.Thread(target=drip)
    thread.start()
    scene = scenes(BUSY, webhook=f"http://127.0.0.1:{listener.getsockname()[1]}/")
    courier = scene.alerts.couriers["webhook"]
    courier.pauses = ()
    began = time.monotonic()
    busy(scene)
    assert time.monotonic() - began < 2  # whoever looks does not wait
    until(lambda: scene.heard)  # nor does the bus
    until(lambda: courier.failed, 15)
    stop.set()
    thread.join()
    listener.close()


def test_a_dead_hook_fills_a_bounded_queue_and_is_said(scenes: Make) -> None:
    wait = threading.Event()
    said: list[str] = []
    courier = actions.Courier(
        "webhook", lambda alert, whom: wait.wait(10) and None, lambda text, level: said.append(text)
    )
    began = time.monotonic()
    for number in range(1000):
        courier.send({"name": str(number)}, None)
    assert time.monotonic() - began < 2
    assert courier.dropped >= 1000 - actions.WAITING - 1
    assert len(said) == 1
    assert "too slow" in said[0]
    wait.set()
    courier.end()


def test_a_listener_that_fails_harms_nothing(scenes: Make) -> None:
    scene = scenes(BUSY)

    def fail(alert: dict[str, Any]) -> None:
        raise RuntimeError("no")

    scene.monitor.bus.subscribe("monitor-alert", fail)
    busy(scene)
    until(lambda: scene.alerts.couriers["bus"].failed)
    assert scene.names() == ["busy"]
    assert scene.heard


def test_a_command_reads_the_alert_and_no_shell_sees_it(scenes: Make, tmp_path: Path) -> None:
    target = tmp_path / "told; touch owned"
    program = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    scene = scenes(
        {"rule": BUSY, "name": "$(touch owned)"},
        command=[sys.executable, "-c", program, str(target)],
    )
    busy(scene)
    until(lambda: target.exists() and target.read_text().endswith("\n"))
    assert json.loads(target.read_text())["name"] == "$(touch owned)"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_command_that_hangs_is_ended(scenes: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "COMMAND_LIMIT", 0.3)
    scene = scenes(BUSY, command=[sys.executable, "-c", "import time; time.sleep(60)"])
    began = time.monotonic()
    busy(scene)
    until(lambda: scene.alerts.couriers["command"].failed)
    assert time.monotonic() - began < 10
    assert any("took more than 0.3 s" in text for _, text in scene.said)


class Postbox:
    """As much of a mail server as SMTP needs, over a real socket."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.text = b""
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rwb") as lines:
            lines.write(b"220 here\r\n")
            lines.flush()
            for line in lines:
                word = line.split()[0].upper() if line.split() else b""
                if word == b"DATA":
                    lines.write(b"354 go\r\n")
                    lines.flush()
                    for part in lines:
                        if part == b".\r\n":
                            break
                        self.text += part
                lines.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                lines.flush()
                if word == b"QUIT":
                    return

    def close(self) -> None:
        self.thread.join(10)
        self.listener.close()


def test_mail(scenes: Make) -> None:
    box = Postbox()
    port = box.listener.getsockname()[1]
    scene = scenes(
        {"rule": BUSY, "name": "busy\r\nBcc: everybody@example.org"},
        mail={"to": "ops@example.org", "from": "shop@example.org", "server": f"127.0.0.1:{port}"},
    )
    scene.monitor.settings["service"] = "shop"
    busy(scene)
    box.close()
    head = box.text.decode().partition("\r\n\r\n")[0]
    assert "To: ops@example.org" in head
    assert "Subject: [shop] firing: busy" in head
    assert "\nBcc" not in head
    assert '"status": "firing"' in box.text.decode()
