"""Records are one line, name an action and hold no secret; metrics show what was counted."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tocsin.engines.errors import Unavailable
from tocsin.telemetry import (
    CAUSES_MAX,
    TEXT_MAX,
    Bound,
    Counter,
    Gauge,
    Identity,
    Meters,
    Reading,
    bound,
    configure_logging,
    explain,
    redacted,
)

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
def meters() -> Iterator[Meters]:
    meters = Meters(WHO)
    yield meters
    meters.close()


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


def values(meters: Meters, name: str) -> list[tuple[dict[str, str], float]]:
    (metric,) = (metric for metric in meters.snapshot() if metric["name"] == name)
    return [(value["labels"], value["value"]) for value in metric["values"]]


def test_counts_add_up_by_label(meters: Meters) -> None:
    meters.add(Counter.FAILED, kind="rejected")
    meters.add(Counter.FAILED, 2, kind="rejected")
    meters.add(Counter.FAILED, kind="crashed")

    (metric,) = meters.snapshot()
    assert (metric["name"], metric["unit"]) == ("tocsin.creator.failed", "{request}")
    assert sorted((v["labels"]["kind"], v["value"]) for v in metric["values"]) == [("crashed", 1), ("rejected", 3)]


def test_reading_the_metrics_changes_nothing(meters: Meters) -> None:
    meters.add(Counter.ACCEPTED)
    meters.watch(lambda: [Reading(Gauge.LAG_S, 1.5, {"partition": "0", "source": "a"})])

    assert meters.snapshot() == meters.snapshot()
    assert [metric["name"] for metric in meters.snapshot()] == ["tocsin.creator.lag_time", "tocsin.intake.accepted"]


def test_a_gauge_shows_what_is_so_when_somebody_asks(meters: Meters) -> None:
    kept = {"0": 5, "1": 7}
    meters.watch(lambda: [Reading(Gauge.KEPT, number, {"partition": at}) for at, number in kept.items()])
    assert values(meters, "tocsin.creator.kept") == [({"partition": "0"}, 5), ({"partition": "1"}, 7)]

    kept["0"] = 0
    del kept["1"]  # it went to another owner

    assert values(meters, "tocsin.creator.kept") == [({"partition": "0"}, 0)]


def test_a_gauge_takes_readings_of_several(meters: Meters) -> None:
    meters.watch(lambda: bound(Bound.HELD, 3, 16, partition="0"))
    meters.watch(lambda: [*bound(Bound.TRIALS, 1, 1), *bound(Bound.STATEMENTS, 2, None)])

    held, trials, statements = {"bound": "held", "partition": "0"}, {"bound": "trials"}, {"bound": "statements"}
    assert values(meters, "tocsin.bound.used") == [(held, 3), (trials, 1), (statements, 2)]
    assert values(meters, "tocsin.bound.max") == [(held, 16), (trials, 1)]


def test_no_two_metrics_have_one_name() -> None:
    names = [instrument.value.name for table in (Counter, Gauge) for instrument in table]

    assert len(names) == len(set(names))
