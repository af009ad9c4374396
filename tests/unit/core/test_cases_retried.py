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


def pauses(alone: Alone, key: RequestKey, count: int) -> list[float]:
    """The pauses after so many failures, the first included."""
    found = []
    for _ in range(count):
        pause_s = alone.machine.cases.open[key].next_try_s - alone.now.mono_s
        found.append(pause_s)
        assert not every(alone.wait(pause_s - 0.001), Write)
        assert len(every(alone.wait(0.001 + 1e-6), Write)) == 1
    return found


@pytest.mark.parametrize(("byte", "share"), [(0, 0.75), (255, 1.25)])
def test_pauses_between_tries_double_up_to_the_longest_with_a_quarter_of_jitter_by_the_digest(
    byte: int, share: float
) -> None:
    limits = replace(LIMITS, retry_first_s=0.4, retry_max_s=2.0, answer_deadline_s=60.0, ask_limit_s=60.0)
    alone = Alone.running(limits=limits)
    one = digested(byte)
    alone.refused(one)
    assert pauses(alone, one.key, 5) == pytest.approx([share * pause_s for pause_s in (0.4, 0.8, 1.6, 2.0, 2.0)])


def test_jitter_differs_from_try_to_try() -> None:
    alone = Alone.running(limits=replace(LIMITS, retry_first_s=1.0, retry_max_s=1.0))
    one = digested(0)
    one = one._replace(key=RequestKey(one.key.parent, one.key.id, bytes([0, 255, 51] + [0] * 13)))
    alone.refused(one)
    assert pauses(alone, one.key, 3) == pytest.approx([0.75, 1.25, 0.85])


def test_no_pause_doubles_more_than_sixteen_times() -> None:
    limits = replace(LIMITS, retry_first_s=0.01, retry_max_s=1e9, answer_deadline_s=1e9, ask_limit_s=1e9)
    alone = Alone.running(limits=limits)
    one = digested(255)
    alone.refused(one)
    found = pauses(alone, one.key, 19)
    assert found[15] == pytest.approx(1.25 * 0.01 * 2**15)
    assert found[16:] == pytest.approx([1.25 * 0.01 * 2**16] * 3)


def test_what_is_set_aside_is_tried_again_at_a_pace_of_its_own() -> None:
    limits = replace(LIMITS, retry_first_s=0.4, aside_retry_first_s=1.0, aside_retry_max_s=3.0)
    alone = Alone.running(limits=limits)
    alone.hear(alone.standing(2, ill=True))
    one = digested(255)
    alone.refused(one)
    assert alone.machine.cases.open[one.key].stage is Stage.ASIDE
    found = pauses(alone, one.key, 4)
    assert found == pytest.approx([0.5, 1.25, 2.5, 3.75]), "a try that is due soon is not put off"


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
    lengths = [len(decisions) for decisions in written]
    assert lengths[DECISIONS_MAX:] == [DECISIONS_MAX] * (len(lengths) - DECISIONS_MAX)
    first = written[0][0]
    assert all(decisions[0] == first for decisions in written)
    assert written[-1][-1].row == "dropped"
    assert not any(decision.row == "redrive-2" for decision in written[-1]), "what is left out is the oldest but one"
