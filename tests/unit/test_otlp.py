"""What is sent to a collector, and that one which fails costs nobody anything."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Iterator

import pytest

from tests.collector import Collector, collecting
from tocsin.telemetry import Counter, Gauge, Histogram, Identity, Meters, Reading, otlp
from tocsin.telemetry.otlp import Export

ASKED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


@pytest.fixture
def meters() -> Meters:
    return Meters(Identity("a", "blue", "creator"))


async def nothing() -> None:
    """Nothing is to be looked at before the metrics are read."""


async def test_what_waits_is_sent_at_the_end(collector: Collector, meters: Meters) -> None:
    export = Export(collector.url + "/", {"x-tenant": "incidents"}, 0.0, meters)
    meters.add(Counter.STORED, 3, partition="0")
    meters.observe(Histogram.STORED_S, [0.2, 7.0], origin="own")
    meters.watch(lambda: [Reading(Gauge.LAG_S, 1.5, {"partition": "0", "source": "b"})])
    export.traces.at_door("POST /v2/enqueue", ASKED).end()

    await export.close()

    (span,) = collector.spans
    assert (span.name, span.region, span.role, span.parent) == ("POST /v2/enqueue", "a", "creator", "00f067aa0ba902b7")
    assert set(collector.metrics) == {metric.value.name for metric in (Counter.STORED, Histogram.STORED_S, Gauge.LAG_S)}
    (lag,) = collector.metrics["tocsin.creator.lag_time"]
    assert (lag["service.name"], lag["tocsin.region"], lag["partition"], lag["source"]) == ("tocsin", "a", "0", "b")
    assert {headers["x-tenant"] for headers in collector.headers} == {"incidents"}


async def test_metrics_are_sent_again_and_again_each_after_a_look(
    collector: Collector, meters: Meters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "METRICS_EVERY_S", 0.01)
    export = Export(collector.url, {}, 0.0, meters)

    async def look() -> None:
        meters.add(Counter.ACCEPTED)

    running = asyncio.create_task(export.run(look))
    async with asyncio.timeout(20):
        while collector.calls < 2:  # noqa: ASYNC110 - another thread sets no event
            await asyncio.sleep(0.01)
    running.cancel()
    await export.close()

    assert len(collector.metrics["tocsin.intake.accepted"]) >= 2


async def test_a_collector_that_refuses_is_told_of_once_and_nobody_is_hurt(
    collector: Collector, meters: Meters, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "METRICS_EVERY_S", 0.01)
    collector.status = 400
    export = Export(collector.url, {}, 0.0, meters)
    meters.add(Counter.ACCEPTED)
    running = asyncio.create_task(export.run(nothing))
    async with asyncio.timeout(20):
        while collector.calls < 3:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    running.cancel()
    await export.close()

    (told,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert vars(told)["action"] == "export_failed"
    assert collector.url in told.getMessage()


async def test_an_end_does_not_wait_for_a_collector_that_hangs(meters: Meters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "CLOSE_S_MAX", 0.3)
    monkeypatch.setattr(otlp, "CALL_S_MAX", 1.0)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        export = Export(f"http://127.0.0.1:{deaf.getsockname()[1]}", {}, 0.0, meters)
        meters.add(Counter.ACCEPTED)
        export.traces.at_door("POST /", ASKED).end()
        began_s = time.monotonic()

        await export.close()

        assert time.monotonic() - began_s < 5 * otlp.CALL_S_MAX
