"""The agenda: what is looked at now, in which order and how much of it, and what wakes it later."""

import pytest

from tests.unit.core.paging.words import us
from tocsin.core.paging.agenda import Agenda
from tocsin.core.paging.channel import Channel

NOW_US = us(0)
LATER_US = us(10)
EVERYTHING = 1_000


def channels(*urgencies: str) -> list[Channel]:
    return [Channel("ann", f"method {n}", urgency) for n, urgency in enumerate(urgencies)]


def test_the_urgent_come_first_each_in_the_order_in_which_they_came_and_the_rest_stays() -> None:
    agenda = Agenda()
    low, high, low_too, high_too = channels("low", "high", "low", "high")
    for channel in (low, high, low_too, high_too, low):  # to say it again changes no order
        agenda.look_at(channel)
    assert agenda.ready == 4
    assert agenda.take(NOW_US, 3) == [high, high_too, low]
    assert (agenda.ready, agenda.wakes_us()) == (1, 0)
    assert agenda.take(NOW_US, 3) == [low_too]
    assert (agenda.ready, agenda.wakes_us()) == (0, None)


def test_what_waits_is_looked_at_when_its_time_comes_and_once() -> None:
    agenda = Agenda()
    [channel] = channels("high")
    agenda.by(channel, LATER_US, NOW_US)
    assert (agenda.ready, agenda.timers, agenda.wakes_us()) == (0, 1, LATER_US)
    assert agenda.take(LATER_US - 1, EVERYTHING) == []
    assert agenda.take(LATER_US, EVERYTHING) == [channel]
    assert (agenda.timers, agenda.take(LATER_US, EVERYTHING)) == (0, [])


@pytest.mark.parametrize("at_us", [NOW_US - 1, NOW_US])
def test_what_is_due_by_now_is_looked_at_in_this_step(at_us: int) -> None:
    agenda = Agenda()
    [channel] = channels("high")
    agenda.by(channel, at_us, NOW_US)
    assert (agenda.ready, agenda.timers) == (1, 0)


def test_by_only_hastens_and_at_is_the_last_word() -> None:
    agenda = Agenda()
    [channel] = channels("high")
    agenda.by(channel, LATER_US, NOW_US)
    agenda.by(channel, us(20), NOW_US)
    assert agenda.wakes_us() == LATER_US
    agenda.at(channel, us(20), NOW_US)
    assert agenda.take(LATER_US, EVERYTHING) == []
    assert agenda.wakes_us() == us(20)
    agenda.at(channel, None, NOW_US)
    assert agenda.timers == 0
    assert agenda.take(us(20), EVERYTHING) == []


def test_those_that_leave_their_moment_to_others_are_looked_at_when_the_order_changes() -> None:
    agenda = Agenda()
    waits, waited, never = channels("high", "low", "high")
    agenda.at(waits, LATER_US, NOW_US, waiting=True)
    agenda.at(waited, LATER_US, NOW_US, waiting=True)
    agenda.at(waited, LATER_US, NOW_US)
    agenda.at(never, LATER_US, NOW_US)
    assert agenda.waiting == 1
    agenda.stir()
    assert agenda.take(NOW_US, EVERYTHING) == [waits]
