"""The checker: each anomaly planted in an otherwise good history is named; what nobody can know is never held against
the system; what was not looked at is never called valid.
"""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ops.history.made import BEGAN_US, REGIONS, SECOND_US, Made, name, row
from tocsin.core.kept import Stage
from tocsin.ops.history import Call, Kind, Verdict
from tocsin.ops.history.format import Ok

R1, R2, R3 = map(name, (1, 2, 3))


def sent() -> Made:
    """Three requests, all acknowledged."""
    made = Made()
    for request in (R1, R2, R3):
        made.send(request)
    return made


def found(made: Made) -> list[tuple[Kind, str, str]]:
    report = made.judge()
    assert report.verdict is (Verdict.INVALID if report.anomalies else Verdict.VALID)
    assert sum(report.counts.values()) == len(report.anomalies)
    return [(anomaly.kind, anomaly.request, anomaly.region) for anomaly in report.anomalies]


def test_what_was_acknowledged_and_is_in_all_regions_is_valid() -> None:
    made = sent().end(R1, R2, R3)
    assert found(made) == []
    assert made.judge().acknowledged == 3


# Each anomaly, planted ---------------------------------------------------------------------------------------------


def test_what_was_acknowledged_and_is_nowhere_is_lost() -> None:
    made = sent().end(R1, R3)
    assert found(made) == [(Kind.LOST, R2, "a"), (Kind.LOST, R2, "b")]
    told = made.judge().anomalies[0].text
    assert "acknowledged by a (op 1 at 2023-11-14T22:13:23.000Z)" in told
    assert "the final read of a has no trace of it (op 3 at " in told


def test_what_was_read_in_a_region_and_is_gone_is_lost_there() -> None:
    made = sent()
    made.get(R2, "b", found=True)
    made.scan("a", map(row, (R1, R2, R3)), final=True)
    made.scan("b", map(row, (R1, R3)), final=True)
    assert found(made) == [(Kind.LOST, R2, "b")]


def test_what_one_region_has_and_the_other_has_no_trace_of_is_skipped() -> None:
    made = sent()
    made.scan("a", map(row, (R1, R2, R3)), final=True)
    made.scan("b", map(row, (R1, R3)), final=True)
    assert found(made) == [(Kind.SKIPPED, R2, "b")]
    assert "a had it (op 3 at " in made.judge().anomalies[0].text


def test_what_is_quarantined_in_one_region_and_not_known_in_the_other_is_skipped() -> None:
    made = sent()
    made.scan("a", map(row, (R1, R3)), kept=[(R2, Stage.QUARANTINED)], final=True)
    made.scan("b", map(row, (R1, R3)), final=True)
    assert found(made) == [(Kind.SKIPPED, R2, "b")]


def test_a_request_whose_end_nobody_knew_must_be_everywhere_once_it_is_anywhere() -> None:
    made = sent()
    made.send_and_never_know()
    made.scan("a", map(row, (R1, R2, R3, name(4))), final=True)
    made.scan("b", map(row, (R1, R2, R3)), final=True)
    assert found(made) == [(Kind.SKIPPED, name(4), "b")]


@pytest.mark.parametrize("stage", [Stage.HELD, Stage.ASIDE, Stage.QUARANTINED])
def test_what_is_stored_in_one_region_and_kept_in_the_other_has_diverged(stage: Stage) -> None:
    made = sent()
    made.scan("a", map(row, (R1, R2, R3)), final=True)
    made.scan("b", map(row, (R1, R3)), kept=[(R2, stage)], final=True)
    assert found(made) == [(Kind.DIVERGED, R2, "a,b")]
    assert f"a: stored (op 3 at 2023-11-14T22:13:29.000Z); b: {stage} (op 4" in made.judge().anomalies[0].text


def test_what_is_dropped_in_one_region_alone_has_diverged() -> None:
    made = sent()
    made.scan("a", map(row, (R1, R2, R3)), dropped=[R2], final=True)
    made.scan("b", map(row, (R1, R2, R3)), final=True)
    assert found(made) == [(Kind.DIVERGED, R2, "a,b")]


@pytest.mark.parametrize("field", ["received_us", "region", "schema", "action"])
def test_rows_that_differ_in_any_field_have_diverged(field: str) -> None:
    other = {"received_us": BEGAN_US + 1, "region": "b", "schema": 2, "action": "resolve"}[field]
    made = sent()
    made.scan("a", map(row, (R1, R2, R3)), final=True)
    made.scan("b", [row(R1), row(R2, **{field: other}), row(R3)], final=True)  # type: ignore[arg-type]
    assert found(made) == [(Kind.DIVERGED, R2, "a,b")]


def test_a_row_whose_body_is_not_that_of_its_key_is_rewritten() -> None:
    made = sent()
    for region in REGIONS:
        made.scan(region, [row(R1), row(R2, body="f" * 12), row(R3)], final=True)
    assert found(made) == [(Kind.REWRITTEN, R2, "a"), (Kind.REWRITTEN, R2, "b")]


@pytest.mark.parametrize("change", [{"received_us": BEGAN_US + 1}, {"region": "b"}, {"schema": 2}, {"action": "x"}])
def test_a_row_that_changes_but_to_an_earlier_arrival_is_rewritten(change: dict[str, object]) -> None:
    made = sent()
    made.scan("a", map(row, (R1, R2, R3)))
    rows = [row(R1), row(R2, **change), row(R3)]  # type: ignore[arg-type]
    for region in REGIONS:
        made.scan(region, rows, final=True)
    assert found(made) == [(Kind.REWRITTEN, R2, "a")]


def test_a_row_that_changes_to_an_earlier_arrival_is_right() -> None:
    made = sent()
    made.scan("a", [row(R1, region="b"), row(R2, BEGAN_US + 1), row(R3)])
    assert found(made.end(R1, R2, R3)) == []


LACKS: list[Callable[[Made, int], None]] = [
    lambda made, until: made.get(R2, "b", complete_until_us=until),
    lambda made, until: made.scan("b", map(row, (R1, R3)), complete_until_us=until),
]


@pytest.mark.parametrize("lack", LACKS, ids=["get", "scan"])
def test_a_read_that_claims_to_be_complete_and_lacks_what_came_before_is_late(
    lack: Callable[[Made, int], None],
) -> None:
    made = sent()
    lack(made, made.now_us)
    assert found(made.end(R1, R2, R3)) == [(Kind.LATE, R2, "b")]
    assert "lacked it (op 3 at " in made.judge().anomalies[0].text


@pytest.mark.parametrize("lack", LACKS, ids=["get", "scan"])
def test_a_read_that_claims_less_may_lack_what_came_later(lack: Callable[[Made, int], None]) -> None:
    made = sent()
    lack(made, BEGAN_US + SECOND_US)
    assert found(made.end(R1, R2, R3)) == []
    assert made.judge().stable_latency_ms_max == {"a": 0.0, "b": 3000.0}


def test_a_read_that_began_before_the_acknowledgement_may_lack_it() -> None:
    made = Made()
    op = made.begin(Call.SCAN, "b")
    made.send(R1)
    made.lines.append(Ok(op, made.now_us, complete_until_us=made.now_us + SECOND_US))
    assert found(made.end(R1)) == []


def test_what_became_a_case_is_not_late() -> None:
    made = sent()
    made.get(R2, "b", complete_until_us=made.now_us)
    made.scan("a", map(row, (R1, R2, R3)), final=True)
    made.scan("b", map(row, (R1, R2, R3)), kept=[(R2, Stage.DONE)], final=True)
    assert found(made) == []


def test_a_drained_region_is_not_vouched_for() -> None:
    made = Made()
    made.send(R1, "a")
    made.get(R1, "b", complete_until_us=made.now_us + SECOND_US, drained=("a",))
    assert found(made.end(R1)) == []


# What nobody can know ----------------------------------------------------------------------------------------------


def test_a_pending_answer_claims_nothing() -> None:
    made = sent()
    made.get(R2, "b", pending=True, complete_until_us=made.now_us + SECOND_US)
    assert found(made.end(R1, R2, R3)) == []
    assert made.judge().stable_latency_ms_max == {"a": 0.0, "b": 3000.0}


def test_what_is_pending_for_ever_is_no_latency() -> None:
    made = sent()
    made.get(R2, "b", pending=True)
    for region in REGIONS:
        made.scan(region, map(row, (R1, R3)), final=True)
    assert made.judge().stable_latency_ms_max == {"a": 0.0, "b": 0.0}


def test_what_was_refused_or_has_an_unknown_end_is_not_lost() -> None:
    made = sent()
    made.refuse()
    made.send_and_never_know()
    made.begin(Call.SEND)
    report = made.end(R1, R2, R3).judge()
    assert report.verdict is Verdict.VALID
    assert report.calls["send"] == {"ok": 3, "fail": 1, "info": 2}


def test_what_was_recorded_after_an_unknown_end_is_recovered() -> None:
    made = sent()
    made.send_and_never_know()
    report = made.end(R1, R2, R3, name(4)).judge()
    assert (report.verdict, report.recovered) == (Verdict.VALID, 1)


@pytest.mark.parametrize("stage", [Stage.QUARANTINED, Stage.DROPPED])
def test_what_all_regions_decided_alike_is_right(stage: Stage) -> None:
    made = sent()
    for region in REGIONS:
        made.scan(region, map(row, (R1, R3)), kept=[(R2, stage)], final=True)
    assert found(made) == []


# What was not looked at ---------------------------------------------------------------------------------------------


def test_a_region_without_a_final_read_leaves_the_question_open() -> None:
    made = sent()
    made.scan("a", map(row, (R1, R2, R3)), final=True)
    made.scan("b", map(row, (R1, R2, R3)))
    report = made.judge()
    assert report.verdict is Verdict.UNKNOWN
    assert report.unknown_because == ["there is no final read of region b"]


def test_what_is_sent_after_the_final_reads_leaves_the_question_open() -> None:
    made = sent().end(R1, R2, R3)
    made.send(name(4))
    report = made.judge()
    assert report.verdict is Verdict.UNKNOWN
    assert len(report.unknown_because) == 2


def test_what_is_recorded_between_two_final_reads_is_not_skipped() -> None:
    made = sent()
    made.scan("a", map(row, (R1, R2, R3)), final=True)
    made.send_and_never_know()
    made.scan("b", map(row, (R1, R2, R3, name(4))), final=True)
    assert made.judge().verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("stage", [Stage.HELD, Stage.ASIDE])
def test_what_no_region_has_decided_leaves_the_question_open(stage: Stage) -> None:
    made = sent()
    for region in REGIONS:
        made.scan(region, map(row, (R1, R3)), kept=[(R2, stage)], final=True)
    assert made.judge().verdict is Verdict.UNKNOWN


def test_a_history_without_an_acknowledgement_proves_nothing() -> None:
    assert Made().end().judge().verdict is Verdict.UNKNOWN


def test_an_anomaly_counts_although_other_questions_are_open() -> None:
    made = sent()
    made.scan("a", map(row, (R1, R2)), final=True)
    assert made.judge().verdict is Verdict.INVALID


def test_anomalies_beyond_the_bound_are_counted() -> None:
    made = Made()
    for number in range(700):
        made.send(name(number))
    report = made.end().judge()
    assert report.counts[Kind.LOST] == 1_400
    assert len(report.anomalies) == 1_000


# Any right run ------------------------------------------------------------------------------------------------------


class Right:
    """A right system: it applies what it recorded in any order, claims no more than it has, and ends complete."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.made = Made()
        self.recorded: list[str] = []
        self.accepted_us: dict[str, int] = {}
        self.applied: dict[str, set[str]] = {region: set() for region in REGIONS}

    def send(self) -> None:
        request, region = name(len(self.made.lines)), self.draw(st.sampled_from(REGIONS))
        match self.draw(st.sampled_from(["ok", "fail", "info", "info and recorded", "never ends"])):
            case "ok":
                self.record(request)
                self.made.send(request, region)
            case "fail":
                self.made.refuse(region)
            case "info":
                self.made.send_and_never_know(region)
            case "info and recorded":
                self.record(request)
                self.made.send_and_never_know(region)
            case _:
                self.made.begin(Call.SEND, region)
                if self.draw(st.booleans()):
                    self.record(request)

    def record(self, request: str) -> None:
        self.recorded.append(request)
        self.accepted_us[request] = self.made.now_us

    def apply(self) -> None:
        region = self.draw(st.sampled_from(REGIONS))
        if left := [request for request in self.recorded if request not in self.applied[region]]:
            self.applied[region].add(self.draw(st.sampled_from(left)))

    def complete_until_us(self, region: str) -> int:
        missing = [self.accepted_us[request] for request in self.recorded if request not in self.applied[region]]
        return min(missing, default=self.made.now_us)

    def get(self) -> None:
        region = self.draw(st.sampled_from(REGIONS))
        if not self.recorded:
            return
        request = self.draw(st.sampled_from(self.recorded))
        until_us = self.complete_until_us(region)
        found = request in self.applied[region]
        pending = not found and self.draw(st.booleans())
        self.made.get(request, region, found=found, pending=pending, complete_until_us=until_us)

    def scan(self, *, final: bool = False) -> None:
        for region in REGIONS:
            until_us = self.complete_until_us(region)
            rows = [row(each, self.accepted_us[each]) for each in sorted(self.applied[region])]
            self.made.scan(region, rows, final=final, complete_until_us=until_us)


@given(st.data())
def test_a_right_run_is_never_called_invalid_whatever_ends_are_unknown(data: st.DataObject) -> None:
    right = Right(data.draw)  # type: ignore[arg-type]
    for step in data.draw(st.lists(st.sampled_from(["send", "send", "apply", "get", "scan"]), max_size=40)):
        getattr(right, step)()
    for region in REGIONS:
        right.applied[region] = set(right.recorded)
    right.scan(final=True)
    report = right.made.judge()
    assert report.anomalies == []
    assert report.verdict is (Verdict.VALID if report.acknowledged else Verdict.UNKNOWN)


@given(st.data())
def test_a_run_that_loses_one_request_is_always_called_invalid(data: st.DataObject) -> None:
    right = Right(data.draw)  # type: ignore[arg-type]
    right.record(R1)
    right.made.send(R1)
    for step in data.draw(st.lists(st.sampled_from(["send", "apply", "get", "scan"]), max_size=20)):
        getattr(right, step)()
    region = data.draw(st.sampled_from(REGIONS))
    for other in REGIONS:
        right.applied[other] = set(right.recorded)
    right.applied[region].discard(R1)
    right.scan(final=True)
    report = right.made.judge()
    assert (report.verdict, {each.request for each in report.anomalies}) == (Verdict.INVALID, {R1})
