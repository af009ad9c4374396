"""When what failed is tried again, and how much of what happened to it is kept."""

from dataclasses import replace

import pytest

from tests.unit.core.alone import OUTAGE, REFUSED, Alone, every, order, rows
from tests.unit.core.harness import LIMITS, request
from tocsin.core.effects import (
    StoreAnswers,
    Write,
    Wrote,
)
from tocsin.core.ids import RequestKey
from tocsin.core.kept import DECISIONS_MAX, Stage
from tocsin.core.requests import Request
from tocsin.core.statements import PersonWord


def digested(byte: int, n: int = 0) -> Request:
    """A request whose digest is one byte repeated: jitter comes from there."""
    one = request(n)
    return one._replace(key=RequestKey(one.key.parent, one.key.id, bytes([byte]) * 16))


def pauses(alone: Alone, count: int) -> list[float]:
    """How long it takes, to 10 ms, until each of the next writes."""
    found = []
    for _ in range(count):
        waited_s = 0.0
        while True:
            waited_s += 0.01
            if every(alone.wait(0.01), Write):
                break
        found.append(round(waited_s, 2))
    return found


@pytest.mark.parametrize(("byte", "share"), [(0, 0.75), (255, 1.25)])
def test_pauses_between_tries_double_up_to_the_longest_with_a_quarter_of_jitter_by_the_digest(
    byte: int, share: float
) -> None:
    alone = Alone.running(
        limits=replace(LIMITS, retry_first_s=0.4, retry_max_s=2.0, answer_deadline_s=60.0, ask_limit_s=60.0)
    )
    alone.refused(digested(byte))
    expected = [0.4 * share, 0.8 * share, 1.6 * share, 2.0 * share, 2.0 * share]
    assert pauses(alone, 5) == pytest.approx(expected, abs=0.011)


def test_what_is_set_aside_is_tried_again_at_a_pace_of_its_own() -> None:
    limits = replace(LIMITS, aside_retry_first_s=1.0, aside_retry_max_s=3.0)
    alone = Alone.running(limits=limits)
    alone.hear(alone.standing(2, ill=True))
    one = digested(255)
    alone.refused(one)
    assert alone.machine.cases.open[one.key].stage is Stage.ASIDE
    found = pauses(alone, 4)
    assert found[0] <= 1.25
    assert found[1:] == pytest.approx([1.25, 2.5, 3.75], abs=0.011)


def test_only_a_few_of_what_is_set_aside_are_tried_at_one_time() -> None:
    alone = Alone.running(limits=replace(LIMITS, aside_tries_max=2))
    alone.hear(alone.standing(2, ill=True))
    for n in range(5):
        alone.refused(request(n))
    assert all(case.stage is Stage.ASIDE for case in alone.machine.cases.open.values())
    alone.unanswered = {Write}
    writes = every(alone.wait(10.0), Write)
    assert len(writes) == 2
    assert not every(alone.wait(10.0), Write), "those two are still being tried"
    alone.step(Wrote(writes[0].write, {0: REFUSED}, answers=True))
    assert len(every(alone.wait(10.0), Write)) == 1


def test_what_is_held_is_tried_however_many_are_set_aside() -> None:
    alone = Alone.running(limits=replace(LIMITS, aside_tries_max=1))
    alone.hear(alone.standing(2, ill=True))
    for n in range(3):
        alone.refused(request(n))
    held = request(9)
    alone.fails[held.key] = OUTAGE
    alone.take(held)
    alone.unanswered = {Write}
    tried = [write.requests[0] for write in every(alone.wait(2.5), Write)]
    assert held in tried
    assert len(tried) == 2


def test_when_the_store_answers_again_what_is_held_is_tried_at_once_and_what_is_set_aside_in_its_time() -> None:
    alone = Alone.running(limits=replace(LIMITS, retry_first_s=50.0, retry_max_s=50.0, aside_retry_first_s=50.0))
    alone.hear(alone.standing(2, ill=True))
    alone.refused(request(3))
    alone.hear(alone.standing(3))
    alone.refused(request(4))
    alone.answers = False
    alone.quiet(StoreAnswers(answers=False))
    assert not every(alone.wait(1.0), Write)
    alone.answers = True
    assert [write.requests for write in every(alone.quiet(StoreAnswers(answers=True)), Write)] == [[request(4)]]


def test_decisions_are_bounded_and_the_first_and_the_latest_remain() -> None:
    alone = Alone.running()
    alone.refused()
    written = []
    for number in range(1, 2 * DECISIONS_MAX):
        word = PersonWord.DROPPED if number % 2 else PersonWord.REDRIVE
        written += [row.decisions for row in rows(alone.hear(order(number, word)))]
    assert max(map(len, written)) == DECISIONS_MAX
    first = written[0][0]
    assert all(decisions[0] == first for decisions in written)
    assert written[-1][-1].row == "dropped"
    assert not any(decision.row == "redrive-2" for decision in written[-1]), "what is left out is the oldest but one"
