"""Records are one line, name an action and hold no secret; metrics show what was counted."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tocsin.engines.errors import Unavailable
from tocsin.telemetry import (
    CAUSES_MAX,
    TEXT_MAX,
    Bound,
    Counter,
    Gauge,
    Histogram,
    Identity,
    Meters,
    Reading,
    bound,
    configure_logging,
    explain,
    prometheus_name,
    redacted,
)
from tocsin.telemetry.meters import Labels, Spread
from tocsin.telemetry.prometheus import exposition

WHO = Identity("a", "blue", "creator")
log = logging.getLogger("tocsin.test")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_logging(WHO, stream=stream)
    return stream


@pytest.fixture
def terminal() -> io.StringIO:
    stream = io.StringIO()
    configure_logging(WHO, stream=stream, as_json=False)
    return stream


@pytest.fixture
def meters() -> Meters:
    return Meters(WHO)


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def caused() -> Exception:
    try:
        try:
            raise OSError("disk is full")
        except OSError as error:
            raise Unavailable("the log did not answer") from error
    except Unavailable as error:
        return error


def test_a_record_is_one_line_of_json_that_says_who_speaks(stream: io.StringIO) -> None:
    log.info("stored %d\nentries", 3, extra={"action": "set_stored", "partition": 2})

    (record,) = records(stream)
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "info",
        "action": "set_stored",
        "message": "stored 3\nentries",
        "region": "a",
        "stack": "blue",
        "role": "creator",
        "logger": "tocsin.test",
        "partition": 2,
    }


def test_a_record_of_foreign_code_has_an_action_too(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("no more sockets")

    assert records(stream)[0]["action"] == "log"


def test_an_added_field_does_not_hide_who_speaks(stream: io.StringIO) -> None:
    log.info("heard", extra={"action": "heard", "region": "b"})

    assert (records(stream)[0]["region"], records(stream)[0]["region_"]) == ("a", "b")


def test_records_below_the_level_are_not_shown(stream: io.StringIO) -> None:
    configure_logging(WHO, level="WARNING", stream=stream)

    log.info("chatter")
    log.warning("trouble")

    assert [record["message"] for record in records(stream)] == ["trouble"]


@pytest.mark.parametrize("name", ["httpx2", "urllib3.connectionpool"])
def test_libraries_do_not_tell_which_urls_they_call(stream: io.StringIO, name: str) -> None:
    configure_logging(WHO, level="DEBUG", stream=stream)
    logging.getLogger(name).debug("POST /hooks/3ccdd113474722377935511fc85d3dd4")
    logging.getLogger(name).info("POST /hooks/3ccdd113474722377935511fc85d3dd4")
    assert stream.getvalue() == ""


def test_what_json_cannot_hold_is_shown_as_text(stream: io.StringIO) -> None:
    log.info("odd \ud800", extra={"action": "odd", "ratio": float("nan"), "raw": b"\x00", "many": {1}, "who": WHO})

    (record,) = records(stream)
    assert record["message"] == "odd \ud800"
    assert (record["ratio"], record["raw"], record["many"], record["who"]) == (
        "nan",
        "b'\\x00'",
        [1],
        ["a", "blue", "creator"],
    )


@pytest.mark.parametrize(
    "text",
    [
        "routing_key=s3cret",
        "got {'routing_key': 's3cret', 'n': 1}",
        'got {"Routing-Key": "s3cret"}',
        "Authorization: Token token=s3cret",
        "authorization: Bearer s3cret",
        "X-Api-Key: s3cret",
        "admin_token = s3cret, n=1",
        "password=s3cret&x=1",
        'cookie="a b s3cret"',
    ],
)
def test_a_secret_in_a_text_is_taken_out(stream: io.StringIO, text: str) -> None:
    log.info("%s", text, extra={"action": "seen"})

    assert "s3cret" not in stream.getvalue()
    assert "[redacted]" in records(stream)[0]["message"]


@pytest.mark.parametrize(
    "name", ["token", "routing_key", "admin_token", "Authorization", "x-routing-key", "Set-Cookie"]
)
def test_a_secret_in_a_field_is_taken_out_at_any_depth(stream: io.StringIO, name: str) -> None:
    log.info("seen", extra={"action": "seen", name: "s3cret", "inner": [{name: "s3cret", "n": 1}]})

    (record,) = records(stream)
    assert "s3cret" not in stream.getvalue()
    assert record["inner"] == [{name: "[redacted]", "n": 1}]


def test_words_that_only_speak_of_secrets_stay() -> None:
    text = "the token was revoked; tokens: 3; partition_key=4"

    assert redacted(text) == text


def test_a_secret_in_an_exception_is_taken_out(stream: io.StringIO) -> None:
    try:
        raise ValueError("no service with routing_key=s3cret")
    except ValueError:
        log.exception("refused", extra={"action": "refused"})

    assert "s3cret" not in stream.getvalue()


def test_a_long_text_is_cut() -> None:
    assert redacted("x" * (TEXT_MAX + 1)) == "x" * TEXT_MAX + f"... (cut, {TEXT_MAX + 1} characters)"


def test_fields_nested_too_deep_are_shown_as_text() -> None:
    deep: list[Any] = []
    for _ in range(50):
        deep = [deep]

    assert len(json.dumps(redacted(deep))) < 200


def test_an_exception_is_told_with_its_causes(stream: io.StringIO) -> None:
    log.error("not stored", exc_info=caused(), extra={"action": "not_stored"})

    (record,) = records(stream)
    assert record["error"] == "the log did not answer\nbecause: OSError: disk is full"
    assert "Traceback" in record["traceback"]


def test_members_of_a_group_are_told() -> None:
    assert explain(ExceptionGroup("unhandled", [caused()])) == explain(caused())
    assert explain(ExceptionGroup("two", [ValueError("x"), OSError("y")])) == (
        "ExceptionGroup: two (2 sub-exceptions): ValueError: x; OSError: y"
    )


def test_a_chain_that_bites_its_tail_is_told_to_an_end() -> None:
    error = ValueError("round")
    error.__cause__ = error

    lines = explain(error).splitlines()

    assert len(lines) == CAUSES_MAX + 1
    assert lines[-1] == "because: (more causes, not told)"


def test_on_a_terminal_a_record_is_laid_out_for_reading(terminal: io.StringIO) -> None:
    log.warning("halts", extra={"action": "halted", "partition": 3, "token": "s3cret"})

    _, _, rest = terminal.getvalue().partition(" ")
    assert rest == "WARNING creator a/blue halted: halts partition=3 token=[redacted]\n"


def test_on_a_terminal_nothing_in_a_record_moves_the_cursor(terminal: io.StringIO) -> None:
    log.info("title \x1b[2J\nforged", extra={"action": "seen"})

    assert terminal.getvalue().endswith("seen: title \\x1b[2J\\nforged\n")


def test_a_stream_that_is_no_terminal_gets_json(stream: io.StringIO) -> None:
    log.info("x")

    assert records(stream)


def test_setting_up_again_does_not_double_the_records(stream: io.StringIO) -> None:
    configure_logging(WHO, stream=stream)

    log.info("once")

    assert len(records(stream)) == 1


def values(meters: Meters, metric: Gauge) -> dict[Labels, float | Spread]:
    (found,) = (series for known, series in meters.collect() if known is metric)
    return dict(found)


def scraped(meters: Meters) -> str:
    return exposition(meters.collect(), meters.identity).decode()


def test_counts_add_up_by_label(meters: Meters) -> None:
    meters.add(Counter.FAILED, kind="rejected")
    meters.add(Counter.FAILED, 2, kind="rejected")
    meters.add(Counter.FAILED, kind="crashed")

    (family,) = meters.collect()
    assert family == (Counter.FAILED, {(("kind", "rejected"),): 3, (("kind", "crashed"),): 1})


def test_what_began_at_nothing_shows_before_there_is_any(meters: Meters) -> None:
    meters.add(Counter.DISPUTED, 0)
    meters.observe(Histogram.STORED_S, (), origin="own")

    found = scraped(meters).splitlines()
    assert 'tocsin_creator_disputed_total{region="a",role="creator",stack="blue"} 0.0' in found
    assert 'tocsin_creator_stored_time_seconds_count{origin="own",region="a",role="creator",stack="blue"} 0.0' in found


def test_labels_are_one_series_in_any_order(meters: Meters) -> None:
    meters.add(Counter.CALLS, kind="email", outcome="failed")
    meters.add(Counter.CALLS, outcome="failed", kind="email")

    assert meters.collect()[0].series == {(("kind", "email"), ("outcome", "failed")): 2}


def test_reading_the_metrics_changes_nothing(meters: Meters) -> None:
    meters.add(Counter.ACCEPTED)
    meters.observe(Histogram.ANSWER_S, [0.1], status="2xx")
    meters.watch(lambda: [Reading(Gauge.LAG_S, 1.5, {"partition": "0", "source": "a"})])

    assert meters.collect() == meters.collect()
    assert [metric for metric, _ in meters.collect()] == [Gauge.LAG_S, Counter.ACCEPTED, Histogram.ANSWER_S]


def test_what_was_collected_stays_as_it_was(meters: Meters) -> None:
    meters.add(Counter.ACCEPTED)
    meters.observe(Histogram.ANSWER_S, [0.1])
    before = meters.collect()

    meters.add(Counter.ACCEPTED)
    meters.observe(Histogram.ANSWER_S, [0.1])

    assert before == [(Counter.ACCEPTED, {(): 1}), (Histogram.ANSWER_S, before[1].series)]
    assert [spread.total for spread in before[1].series.values() if isinstance(spread, Spread)] == [1]


def test_a_gauge_shows_what_is_so_when_somebody_asks(meters: Meters) -> None:
    kept = {"0": 5, "1": 7}
    meters.watch(lambda: [Reading(Gauge.KEPT, number, {"partition": at}) for at, number in kept.items()])
    assert values(meters, Gauge.KEPT) == {(("partition", "0"),): 5, (("partition", "1"),): 7}

    kept["0"] = 0
    del kept["1"]  # it went to another owner

    assert values(meters, Gauge.KEPT) == {(("partition", "0"),): 0}


def test_a_gauge_takes_readings_of_several(meters: Meters) -> None:
    meters.watch(lambda: bound(Bound.HELD, 3, 16, partition="0"))
    meters.watch(lambda: [*bound(Bound.TRIALS, 1, 1), *bound(Bound.STATEMENTS, 2, None)])

    held = (("bound", "held"), ("partition", "0"))
    trials, statements = (("bound", "trials"),), (("bound", "statements"),)
    assert values(meters, Gauge.USED) == {held: 3, trials: 1, statements: 2}
    assert values(meters, Gauge.MAX) == {held: 16, trials: 1}


def test_times_are_counted_by_the_first_edge_that_they_are_not_above(meters: Meters) -> None:
    edges = Histogram.STORED_S.value.edges
    meters.observe(Histogram.STORED_S, [edges[0], edges[0] + 0.001, edges[-1] + 1, -3.0], origin="own")

    (family,) = meters.collect()
    (spread,) = family.series.values()
    assert isinstance(spread, Spread)
    assert (spread.counts[0], spread.counts[1], spread.counts[-1], spread.total) == (2, 1, 1, 4)
    assert spread.sum_s == pytest.approx(2 * edges[0] + 0.001 + edges[-1] + 1)


def test_a_scrape_gets_what_is_counted_so_and_timed(meters: Meters) -> None:
    meters.add(Counter.REFUSED, 2, status="400")
    meters.watch(lambda: [Reading(Gauge.LAG_S, 1.5, {"partition": "0", "source": "b"})])
    meters.observe(Histogram.ANSWER_S, [0.002, 0.002, 7.0], status="2xx")

    who = 'region="a",role="creator",stack="blue"'
    found = scraped(meters).splitlines()
    assert f'tocsin_intake_refused_total{{{who},status="400"}} 2.0' in found
    lag = 'tocsin_creator_lag_time_seconds{partition="0",region="a",role="creator",source="b",stack="blue"} 1.5'
    assert lag in found
    assert f'tocsin_intake_answer_time_seconds_bucket{{le="0.0025",{who},status="2xx"}} 2.0' in found
    assert f'tocsin_intake_answer_time_seconds_bucket{{le="+Inf",{who},status="2xx"}} 3.0' in found
    assert f'tocsin_intake_answer_time_seconds_count{{{who},status="2xx"}} 3.0' in found


def test_a_scrape_is_read_by_prometheus_own_parser(meters: Meters) -> None:
    for counter in Counter:
        meters.add(counter)
    for histogram in Histogram:
        meters.observe(histogram, [1.0])
    meters.watch(lambda: [Reading(gauge, 1.0, {}) for gauge in Gauge])

    read = {family.name: family for family in text_string_to_metric_families(scraped(meters))}

    metrics = [*Counter, *Gauge, *Histogram]
    assert set(read) == {prometheus_name(metric).removesuffix("_total") for metric in metrics}
    assert {family.type for family in read.values()} == {"counter", "gauge", "histogram"}
    for metric in metrics:
        assert read[prometheus_name(metric).removesuffix("_total")].documentation == metric.value.description


def test_no_two_metrics_have_one_name() -> None:
    metrics = [*Counter, *Gauge, *Histogram]

    assert len({metric.value.name for metric in metrics}) == len(metrics)
    assert len({prometheus_name(metric) for metric in metrics}) == len(metrics)


def test_edges_of_buckets_ascend() -> None:
    for histogram in Histogram:
        assert list(histogram.value.edges) == sorted(set(histogram.value.edges))
