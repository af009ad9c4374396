"""The words of a status, from fixed facts. `GOLDEN=write` in the environment writes the golden texts anew."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.unit.ops.status.facts_made import (
    NOW_US,
    ROLES,
    S,
    busy,
    facts,
    incident,
    nothing_answers,
    page,
    region,
    store_down,
)
from tocsin.ops.status.facts import Condition, Facts, Figure, Health, Kept, Next, Paging, Peer, Role, State
from tocsin.ops.status.questions import Verdict, status_of
from tocsin.ops.status.signs import SIGNS
from tocsin.ops.status.text import lines_of

GOLDEN = Path(__file__).parent / "golden"
CATALOGUE = Path(__file__).parents[4] / "deploy" / "alerts" / "catalogue.yaml"
DAY_S = 86_400


@pytest.mark.parametrize("made", [busy, store_down, nothing_answers])
def test_the_text_is_that_of_the_golden_file(made: Callable[[], Facts]) -> None:
    text = "\n".join(lines_of(status_of(made()))) + "\n"
    path = GOLDEN / f"{made.__name__}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_open_incidents_alone_need_nobody() -> None:
    assert status_of(busy()).verdict is Verdict.WELL


def test_what_could_not_be_read_is_never_taken_for_well() -> None:
    assert status_of(nothing_answers()).verdict is Verdict.UNKNOWN
    cut_off = facts(b=region("b", away={"log": "no answer within 4 s"}))
    assert status_of(cut_off).verdict is Verdict.UNKNOWN
    assert status_of(cut_off).unknown == ("log of region b: no answer within 4 s",)


def test_what_is_known_to_be_wrong_counts_although_not_all_could_be_read() -> None:
    assert status_of(store_down()).verdict is Verdict.PERSON


# Signs ---------------------------------------------------------------------------------------------------------------


def state(word: State, *why: str) -> Condition:
    return Condition(state=word, at_us=NOW_US - S, since_us=NOW_US - 60 * S, why=why)


def unready(role: str, reason: str) -> list[Role]:
    others = [Role(name, Health.READY) for name in ROLES if name != role]
    return [*others, Role(role, Health.NOT_READY, (reason,))]


OVERDUE = incident(next=(Next(user="lee", method="mail", at_us=NOW_US - 90 * S, because="the rule is due then"),))
MADE = {
    "TocsinSyntheticPageMissing": facts(a=region("a", roles=unready("synthetic", "no page came for 250 s"))),
    "TocsinRegionIll": facts(a=region("a", condition=state(State.ILL))),
    "TocsinBudgetSpent": facts(a=region("a", condition=state(State.HALTED, "k: budget-spent"), budget_spent=True)),
    "TocsinClockOff": facts(a=region("a", roles=unready("intake", "the clock is off: a tick of region b lies ..."))),
    "TocsinRoleDown": facts(a=region("a", roles=unready("notifier", "it owns no partition yet"))),
    "TocsinPagesFailing": facts(paging=Paging(region="a", pages=[page(outcome="failed", reason="550 no such user")])),
    "TocsinPagesLate": facts(paging=Paging(region="a", incidents=[OVERDUE])),
    "TocsinRegionHalted": facts(a=region("a", condition=state(State.HALTED, "0x01.02: better-peer-stored"))),
    "TocsinMirrorBehind": facts(a=region("a", peers=[Peer("b", NOW_US - 45 * S, 44.0)])),
    "TocsinPeerSilent": facts(a=region("a", peers=[Peer("b", NOW_US - 45 * S, None)])),
    "TocsinRetentionHeadroomLow": facts(a=region("a", headroom_s=Figure(7_200, NOW_US))),
    "TocsinRecordsLost": facts(a=region("a", lost_us=(NOW_US - 60 * S,))),
    "TocsinRequestsTooNew": facts(a=region("a", kept=Kept(set_aside=2, set_aside_since_us=NOW_US - S, too_new=2))),
    "TocsinBacklog": facts(a=region("a", lag_s=Figure(400.0, NOW_US))),
    "TocsinRequestCrashes": facts(a=region("a", kept=Kept(held=1, held_since_us=NOW_US, crashed=1))),
    "TocsinRequestsSetAside": facts(a=region("a", kept=Kept(set_aside=3, set_aside_since_us=NOW_US - 400 * S))),
    "TocsinRequestsQuarantined": facts(a=region("a", kept=Kept(quarantined=1, quarantined_latest_us=NOW_US - 60 * S))),
    "TocsinResponderUnreachable": facts(
        paging=Paging(region="a", unreachable=["responder kim of service x is nobody"])
    ),
}


def test_there_is_a_case_of_every_sign() -> None:
    assert list(MADE) == [sign.alert for sign in SIGNS]


@pytest.mark.parametrize("alert", MADE)
def test_each_sign_is_seen_alone_and_leads_to_its_runbook(alert: str) -> None:
    found = status_of(MADE[alert])
    assert [(one.alert, one.region) for one in found.troubles] == [(alert, "a")]
    assert found.verdict is Verdict.PERSON
    assert found.answers[5].lines[0].startswith(f"Read runbooks/{alert}.md; look first, which changes nothing: tocsin ")
    assert "{" not in found.answers[5].lines[0]


def test_every_sign_is_an_alert_of_the_catalogue_and_as_grave() -> None:
    severities = {one["name"]: one["severity"] for one in yaml.safe_load(CATALOGUE.read_text("utf-8"))["alerts"]}
    assert {sign.alert: sign.severity for sign in SIGNS}.items() <= severities.items()


def test_a_halt_is_looked_at_by_the_request_that_caused_it() -> None:
    assert status_of(MADE["TocsinRegionHalted"]).troubles[0].look == "tocsin ledger explain 0x01.02"
    only_heard = facts(a=region("a", condition=state(State.HALTED)))
    assert status_of(only_heard).troubles[0].look == "tocsin region ls"


@pytest.mark.parametrize(
    "quiet",
    [
        facts(a=region("a", lost_us=(NOW_US - 2 * DAY_S * S,))),
        facts(a=region("a", kept=Kept(quarantined=1, quarantined_latest_us=NOW_US - 2 * DAY_S * S))),
        facts(a=region("a", kept=Kept(set_aside=1, set_aside_since_us=NOW_US - 30 * S))),
        facts(b=region("b", condition=state(State.DRAINED), roles=[Role("creator", Health.NO_ANSWER)])),
        facts(
            a=region("a", peers=[Peer("b", NOW_US - 45 * S, None)]),
            b=region("b", condition=state(State.DRAINED)),
        ),
        facts(paging=Paging(region="a", pages=[page(why="paced", due_us=NOW_US - 900 * S)])),
    ],
    ids=["lost long ago", "quarantined long ago", "just set aside", "drained", "drained peer silent", "paced"],
)
def test_what_is_old_or_young_or_meant_asks_for_nobody(quiet: Facts) -> None:
    assert status_of(quiet).troubles == ()


def test_the_troubles_of_an_ill_region_are_told_once() -> None:
    assert [one.alert for one in status_of(store_down()).troubles] == ["TocsinRegionIll"]


def test_when_every_region_is_gone_each_is_said_to_be_down() -> None:
    gone = [Role(role, Health.NO_ANSWER) for role in ROLES]
    made = facts(a=region("a", roles=gone, peers=[]), b=region("b", roles=gone, peers=[]))
    assert [(one.alert, one.region) for one in status_of(made).troubles] == [
        ("TocsinRoleDown", "a"),
        ("TocsinRoleDown", "b"),
    ]


def test_of_a_region_that_is_gone_its_peer_tells() -> None:
    gone = region("b", condition=state(State.SILENT), roles=[Role(role, Health.NO_ANSWER) for role in ROLES], peers=[])
    found = status_of(facts(a=region("a", peers=[Peer("b", NOW_US - 45 * S, 0.0)]), b=gone))
    assert [(one.alert, one.region) for one in found.troubles] == [("TocsinPeerSilent", "a")]
    assert "region a hears nothing of region b" in found.troubles[0].words


def test_the_first_row_of_the_table_that_holds_is_the_next_thing_to_do() -> None:
    both = facts(
        a=region("a", kept=Kept(quarantined=1, quarantined_latest_us=NOW_US)), b=region("b", condition=state(State.ILL))
    )
    lines = status_of(both).answers[5].lines
    assert lines[0].startswith("Read runbooks/TocsinRegionIll.md")
    assert lines[1] == "Then runbooks/TocsinRequestsQuarantined.md"
