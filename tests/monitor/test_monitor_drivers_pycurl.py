"""pycurl with its instrument on, against a server."""

from __future__ import annotations

import gc
import io
import time

import pytest
from drivers_kit import service, serving, watching
from session_kit import free_port

pycurl = pytest.importorskip("pycurl")

__all__ = ("service",)

DURATION, CALLS = "http.client.request.duration", "cherrypy.external.calls"
RESPONSES, ERRORS = "cherrypy.external.responses", "cherrypy.external.errors"
ACTIVE = "http.client.active_requests"
HERE = "127.0.0.1"
#: In a tuple: the names of modules get another class while the instrument is on.
PLAIN = (pycurl.Curl, pycurl.CurlMulti)
DEADLINE = 30  # seconds


def handle(url, into=None, **options):
    made = pycurl.Curl()
    made.setopt(pycurl.URL, url)
    made.setopt(pycurl.TIMEOUT, DEADLINE)
    made.setopt(pycurl.NOPROXY, "*")
    made.setopt(pycurl.WRITEDATA, io.BytesIO() if into is None else into)
    for name, value in options.items():
        made.setopt(getattr(pycurl, name), value)
    return made


def test_transfers_are_counted_and_work(service):
    with watching("pycurl") as seen:
        into = io.BytesIO()
        with serving() as request:
            one = handle(f"{service}/200/0.05?secret=hush", into)
            one.perform()
            one.setopt(pycurl.URL, f"{service}/404")  # the connection is used again
            one.setopt(pycurl.POSTFIELDS, "hush")
            one.perform()
            assert one.getinfo(pycurl.RESPONSE_CODE) == 404
            time.sleep(0.02)
        assert into.getvalue() == b"x" * 10
        assert one.getinfo(pycurl.EFFECTIVE_URL) == f"{service}/404"
        one.close()
        assert seen.spread(DURATION, "GET", HERE, "200", "")[0] == 1
        assert seen.spread(DURATION, "GET", HERE, "200", "")[1] >= 0.05
        assert seen.spread(DURATION, "POST", HERE, "404", "404")[0] == 1
        assert seen.count(CALLS, "http", HERE) == 2
        assert seen.count(RESPONSES, "http", "2xx") == 1
        assert seen.count(RESPONSES, "http", "4xx") == 1
        assert seen.count(ERRORS) == 0
        assert seen.gauge(ACTIVE) == {(HERE,): 0}
        assert request.layers["external"] >= 0.05
        assert request.layers["wsgi"] >= 0.02
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6
        assert [step[0] for step in request.steps] == ["external"] * 2
        assert request.calls == {"external": 2}
        assert "hush" not in repr(seen.monitor.taker.take())


def test_the_body_is_in_the_layer_and_not_in_the_duration(service):
    with watching("pycurl") as seen:
        with serving() as request:
            one = handle(f"{service}/200/0/10/0.2")  # the second half of the body comes late
            one.perform()
        one.close()
        assert request.layers["external"] >= 0.2
        count, took = seen.spread(DURATION, "GET", HERE, "200", "")
        assert count == 1
        assert took <= request.layers["external"] - 0.1


def test_what_is_asked_is_active_meanwhile(service):
    with watching("pycurl") as seen:
        during = []

        def write(data):
            during.append(seen.gauge(ACTIVE))

        one = handle(f"{service}/200", WRITEFUNCTION=write)
        one.perform()
        one.close()
        assert during[0] == {(HERE,): 1}
        assert seen.gauge(ACTIVE) == {(HERE,): 0}


def test_redirects_other_methods_and_short_forms(service):
    with watching("pycurl") as seen:
        one = handle(f"{service}/302", FOLLOWLOCATION=True, CUSTOMREQUEST="PURGE")
        one.perform()
        one.close()
        assert seen.spread(DURATION, "_OTHER", HERE, "200", "")[0] == 1
        two = handle(service.removeprefix("http://") + "/200")
        assert two.perform_rb() == b"xxxxx"
        two.setopt(pycurl.URL, f"{service}/200/0/0")
        assert two.perform_rs() == ""
        two.close()
        assert seen.spread(DURATION, "GET", HERE, "200", "")[0] == 2
        assert seen.count(CALLS, "http", HERE) == 3


def test_errors_are_pycurl_s_own_and_counted(service, tmp_path):
    with watching("pycurl") as seen:
        one = handle(f"http://{HERE}:{free_port()}/hush")
        with pytest.raises(pycurl.error) as caught:
            one.perform()
        assert caught.value.args[0] == pycurl.E_COULDNT_CONNECT
        one.close()
        late = handle(f"{service}/200/5", TIMEOUT_MS=50)
        with pytest.raises(pycurl.error):
            late.perform()
        late.close()
        mine = handle(f"{service}/200", WRITEFUNCTION=lambda data: 1 / 0)
        with pytest.raises(pycurl.error):
            mine.perform()
        mine.close()
        kinds = {kind for *_, kind in seen.series(ERRORS)}
        assert kinds == {"COULDNT_CONNECT", "OPERATION_TIMEDOUT", "WRITE_ERROR"}
        assert seen.count(ERRORS, "http", HERE) == 3
        assert seen.count(CALLS, "http", HERE) == 3
        assert seen.count(RESPONSES) == 0
        # What is no request to a service: a file.
        (tmp_path / "file").write_bytes(b"here")
        file = handle(f"file://{tmp_path}/file")
        assert file.perform_rb() == b"here"
        file.close()
        assert seen.count(CALLS) == 3
        with pytest.raises(pycurl.error):
            pycurl.Curl().perform()  # no URL
        assert not any(seen.gauge(ACTIVE).values())


def finish(many, wanted):
    """Have handles transfer until so many are over: those that went well, and those that did not."""
    good, bad = [], []
    deadline = time.monotonic() + DEADLINE
    while len(good) + len(bad) < wanted and time.monotonic() < deadline:
        many.select(0.1)
        many.perform()
        _, more, wrong = many.info_read()
        good += more
        bad += wrong
    return good, bad


def test_many_transfers_at_once_are_counted(service):
    with watching("pycurl") as seen:
        many = pycurl.CurlMulti()
        handles = [handle(f"{service}/{status}/0.05") for status in (200, 200, 500)]
        handles.append(handle(f"http://{HERE}:{free_port()}/"))
        with serving() as request:
            for one in handles:
                many.add_handle(one)
            assert seen.gauge(ACTIVE) == {(HERE,): 4}
            good, bad = finish(many, 4)
        assert len(good) == 3
        assert [row[1] for row in bad] == [pycurl.E_COULDNT_CONNECT]
        for one in handles:
            many.remove_handle(one)
        assert seen.count(RESPONSES, "http", "2xx") == 2
        assert seen.count(RESPONSES, "http", "5xx") == 1
        assert seen.count(ERRORS, "http", HERE, "COULDNT_CONNECT") == 1
        assert seen.count(CALLS, "http", HERE) == 4
        assert seen.spread(DURATION, "GET", HERE, "200", "")[1] >= 0.1
        assert request.calls == {"external": 4}
        assert request.layers["external"] > 0
        assert abs(sum(request.layers.values()) - request.wall) < 1e-6
        dropped = handle(f"{service}/200/0.05")
        many.add_handle(dropped)
        assert seen.gauge(ACTIVE) == {(HERE,): 1}
        many.remove_handle(dropped)  # nobody waits for it
        assert seen.gauge(ACTIVE) == {(HERE,): 0}
        assert seen.count(CALLS, "http", HERE) == 4
        many.close()
        del many, handles, one, dropped, good, bad
        gc.collect()


def test_classes_stay_what_they_are(service):
    before = PLAIN[0]()
    with watching("pycurl") as seen:
        made = handle(f"{service}/200")
        assert isinstance(made, PLAIN[0])
        assert isinstance(made, pycurl.Curl)
        assert isinstance(before, pycurl.Curl)
        assert type(made).__name__ == "Curl"
        assert made.perform.__doc__ == before.perform.__doc__
        made.anything = 1

        class Mine(pycurl.Curl):
            def perform(self):
                super().perform()
                return self.getinfo(pycurl.RESPONSE_CODE)

        mine = Mine()
        assert not isinstance(made, Mine)
        mine.setopt(pycurl.URL, f"{service}/200")
        mine.setopt(pycurl.WRITEDATA, io.BytesIO())
        assert mine.perform() == 200
        assert seen.count(CALLS) == 1
        other = made.duphandle()
        other.perform()
        assert seen.count(CALLS) == 2
        for one in (made, mine, other):
            one.close()
    before.close()
    assert (pycurl.Curl, pycurl.CurlMulti) == PLAIN


def test_a_failure_of_the_instrument_is_not_the_program_s(service, monkeypatch):
    from cherrypy.monitor.instruments import pycurl as ours

    with watching("pycurl") as seen:

        def broken(*args):
            raise RuntimeError("the monitor's own fault")

        monkeypatch.setattr(ours, "Call", broken)
        one = handle(f"{service}/200")
        for _ in range(4):
            assert one.perform_rb() == b"xxxxx"
        one.close()
        assert "switched off" in seen.told[-1]
        seen.told.clear()
