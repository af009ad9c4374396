"""Alerts while a fault lasts: by the catalogue's own thresholds, and never more said than can be known."""

from pathlib import Path

import pytest

from tests.unit.ops.alerts.made import PATH
from tocsin.ops.alerts.evaluation import Series, parsed
from tocsin.ops.drills.watch import Seen, Watch

SHOWN = """\
# HELP tocsin_creator_halted_partitions 1 while a partition halts
# TYPE tocsin_creator_halted gauge
tocsin_creator_halted{region="b",partition="0"} 1.0
tocsin_creator_halted_else{region="b"} 7.0
tocsin_creator_lag{region="b"} 5.0
"""


def seen(alert: str, *looks: list[Series], catalogue: Path = PATH) -> Seen:
    watch = Watch([alert], catalogue)
    for number, look in enumerate(looks):
        watch.look(look, 100.0 + number)
    (one,) = watch.seen
    return one


def halted(partition: int, value: float) -> Series:
    return Series("tocsin_creator_halted", {"region": "b", "partition": str(partition)}, value)


def quarantined(value: float) -> Series:
    return Series("tocsin_creator_decided_total", {"region": "b", "verdict": "QUARANTINE", "partition": "0"}, value)


def used(bound: str, value: float) -> list[Series]:
    labels = {"region": "a", "role": "intake", "bound": bound}
    return [Series("tocsin_bound_used", labels, value), Series("tocsin_bound_max", labels, 10.0)]


def test_series_of_the_names_that_are_asked_for_are_read_and_no_others() -> None:
    assert [*parsed(SHOWN, {"tocsin_creator_halted"})] == [halted(0, 1.0)]


def test_an_alert_whose_condition_comes_true_says_when_and_by_how_much() -> None:
    one = seen("TocsinRegionHalted", [halted(0, 0), halted(1, 0)], [halted(0, 1)], [halted(0, 1), halted(1, 1)])
    assert (one.in_words, one.true_after_s) == ("true while it lasted", 1.0)
    assert (one.metric, one.worst, one.limit) == ("tocsin.creator.halted", 2.0, "above 0")


def test_an_alert_stays_seen_when_its_condition_ends_before_the_fault() -> None:
    one = seen("TocsinRegionHalted", [halted(0, 0)], [halted(0, 1)], [halted(0, 0)])
    assert (one.true_after_s, one.worst) == (1.0, 1.0)


def test_a_condition_that_is_never_true_tells_how_near_it_came() -> None:
    silence = [Series("tocsin_region_peer_silence_seconds", {"region": "a", "peer": "b"}, value) for value in (1, 9)]
    one = seen("TocsinPeerSilent", *([each] for each in silence))
    assert (one.in_words, one.worst, one.limit) == ("never true while it lasted", 9.0, "above 60")


def test_a_condition_that_was_true_before_the_fault_says_nothing_of_it() -> None:
    one = seen("TocsinRegionHalted", [halted(0, 1)], [halted(0, 1)])
    assert one.in_words == "true before the fault already"


@pytest.mark.parametrize(("counts", "is_true"), [((4, 4), False), ((4, 5), True), ((4, 0), False), ((4, 3), True)])
def test_an_increase_is_since_the_first_look_and_a_process_that_began_anew_counts_from_nothing(
    counts: tuple[int, int],
    is_true: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    one = seen("TocsinRequestsQuarantined", *([quarantined(count)] for count in counts))
    assert (one.true_after_s is not None) is is_true


def test_a_share_is_of_the_series_with_the_same_labels_and_only_of_the_labels_that_count() -> None:
    assert seen("TocsinBoundNearlyFull", used("events_in_flight", 1), used("events_in_flight", 9)).worst == 0.9
    assert seen("TocsinBoundNearlyFull", used("foldings", 1), used("foldings", 9)).worst is None


def test_a_role_that_does_not_answer_is_down() -> None:
    up = [Series("up", {"region": "b", "role": "creator", "job": "tocsin"}, value) for value in (1.0, 0.0)]
    assert seen("TocsinRoleDown", *([each] for each in up)).metric == "up"


@pytest.mark.parametrize(
    ("alert", "why"),
    [
        ("TocsinPagesLate", "it is about a service level"),
        ("TocsinSyntheticPageMissing", "it is watched from outside"),
        ("TocsinNothing", "has no alert of this name"),
    ],
)
def test_what_cannot_be_judged_in_seconds_is_said_to_be_unjudged(alert: str, why: str) -> None:
    one = seen(alert, [], [])
    assert one.in_words.startswith("not judged: ")
    assert why in one.why


def test_without_a_catalogue_nothing_is_judged(tmp_path: Path) -> None:
    assert "there is no" in seen("TocsinRegionHalted", [], catalogue=tmp_path / "catalogue.yaml").why
