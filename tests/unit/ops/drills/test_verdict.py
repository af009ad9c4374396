"""The verdict table: every combination of facts has one row, and what the rows are for holds over all of them."""

import itertools
from collections.abc import Iterator
from dataclasses import fields, replace

from tocsin.ops.drills.verdict import TABLE, Facts, Verdict, judge

NAMES = [field.name for field in fields(Facts)]
GOOD = Facts(
    steady_before=True,
    evidence_before=False,
    injected=True,
    evidence_seen=True,
    interrupted=False,
    aborted=False,
    healed=True,
    harmed=False,
    served=True,
    steady_after=True,
    agreed=True,
    in_time=True,
    judged=True,
)


def everything() -> Iterator[Facts]:
    for values in itertools.product((False, True), repeat=len(NAMES)):
        yield Facts(**dict(zip(NAMES, values, strict=True)))


def test_every_combination_of_facts_is_decided_and_every_row_is_needed() -> None:
    deciding = {judge(facts).name for facts in everything()}
    assert deciding == {row.name for row in TABLE}
    assert len(deciding) == len(TABLE)


def test_it_holds_in_one_case_alone() -> None:
    held = [facts for facts in everything() if judge(facts).verdict is Verdict.HELD]
    assert held == [GOOD]


def test_any_one_thing_wrong_is_told_by_a_row_of_its_own() -> None:
    rows = {name: judge(replace(GOOD, **{name: not getattr(GOOD, name)})) for name in NAMES}
    assert len({row.name for row in rows.values()}) == len(NAMES)
    deviated = {name for name, row in rows.items() if row.verdict is Verdict.DEVIATED}
    assert deviated == {"aborted", "harmed", "served", "steady_after", "agreed", "in_time"}


def test_nothing_is_concluded_without_a_steady_state_beforehand() -> None:
    for facts in everything():
        if not facts.steady_before or facts.evidence_before:
            assert judge(facts).verdict is Verdict.INCONCLUSIVE


def test_a_fault_that_did_not_bite_never_holds_and_deviates_only_by_harm_or_abort() -> None:
    for facts in everything():
        if not facts.evidence_seen:
            row = judge(facts)
            assert row.verdict is not Verdict.HELD
            assert row.verdict is Verdict.INCONCLUSIVE or facts.harmed or facts.aborted


def test_harm_to_users_deviates_whatever_else_was_wrong_once_the_state_was_steady() -> None:
    for facts in everything():
        if facts.steady_before and not facts.evidence_before and facts.harmed:
            assert judge(facts).verdict is Verdict.DEVIATED
