"""Intents under way: whose end is said, when, and how; and what is read before, after or instead of it."""

import pytest

from tests.unit.core.paging.words import assigned, person, us
from tocsin.core.paging import flights as under_test
from tocsin.core.paging.agenda import Agenda
from tocsin.core.paging.channel import Channel
from tocsin.core.paging.covers import Flight
from tocsin.core.paging.effects import Alarm, Effect, Item, SayEnd
from tocsin.core.paging.feedback import ChannelKey, End, Intent, IntentId, Outcome, Pulse
from tocsin.core.paging.flights import REFUSED, REMEMBERED_MAX, Flights
from tocsin.core.paging.keeping import Keeping
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.places import Places
from tocsin.core.paging.roster import Roster
from tocsin.core.paging.user import User

LIMITS = PagingLimits(tries_max=2, end_s_max=120, silence_s=5, remember_s=1_000)
PHONE = ChannelKey("ann", "phone", "high")
EPOCH = 7
GONE = "the notifier that decided it is gone"


class Region:
    """The flights of region a, and what there is around them: ann is to be told of incident 1."""

    def __init__(self) -> None:
        self.agenda = Agenda()
        self.keeping = Keeping(LIMITS)
        self.roster = Roster(self.agenda, self.keeping, LIMITS, alone=False)
        self.flights = Flights("a", EPOCH, self.roster, self.agenda, self.keeping, LIMITS)
        ann = self.roster["ann"]
        ann.become(person("ann", ("phone", 0)))
        ann.assign(assigned(1, 0), 0, us(0))
        self.settle()

    @property
    def ann(self) -> User:
        return self.roster.users["ann"]

    @property
    def channel(self) -> Channel:
        channel = self.ann.channel("phone", "high")
        assert channel is not None
        return channel

    def settle(self) -> tuple[int, int]:
        """How many channels were to be looked at and users to be kept since the last time."""
        looked = len(list(self.agenda.take(us(0), 99)))
        keep = self.keeping.keep(0.0, self.roster.users, at_once=True)
        if keep is not None:
            self.keeping.kept(keep.number, 0.0, ok=True)
        return looked, len(keep.rows) if keep is not None else 0

    def intent(self, n: int = 1, *, at_s: float = 0.0, region: str = "a", epoch: int = EPOCH) -> Intent:
        pair = self.ann.concerns[0].pair("rule 0")
        return Intent(IntentId(region, epoch, n), PHONE, pair, us(0), us(at_s), 0, "due")

    def decide(self, n: int = 1, *, at_s: float = 0.0) -> Flight:
        """Ours, as the pager decides it."""
        return self.flights.add(self.channel, self.intent(n, at_s=at_s), us(at_s))

    def hear(self, said: Intent | End, at_s: float = 1.0) -> None:
        self.flights.heard(said, us(at_s))

    def flight(self, intent: Intent) -> Flight:
        return self.channel.covering().flights[intent.id]

    def orphans(self, at_s: float = 2.0) -> list[tuple[int, Outcome, str]]:
        """The ends that are said for what nobody hands over."""
        effects = [one for one in self.flights.end_orphans(us(at_s)) if isinstance(one, SayEnd)]
        return [(one.end.id.sequence, one.end.outcome, one.end.reason) for one in effects]


def end_of(intent: Intent, outcome: Outcome = Outcome.DELIVERED, at_s: float = 1.0) -> End:
    return End(intent.id, PHONE, outcome, us(at_s), "phone", "as told")


@pytest.fixture
def region() -> Region:
    return Region()


def said(effects: list[Effect]) -> list[tuple[End, list[str]]]:
    return [(one.end, [item.assignment.title for item in one.items]) for one in effects if isinstance(one, SayEnd)]


# Ours, from decision to end -----------------------------------------------------------------------------------------


def test_an_intent_covers_from_its_decision_and_has_as_long_to_end_as_there_is(region: Region) -> None:
    flight = region.decide(at_s=3)
    assert (flight.own, flight.logged, flight.said, flight.deadline_us) == (True, False, False, us(123))
    assert region.channel.covering().of(region.ann.concerns[0].pair("rule 0")) == (flight,)
    assert (region.flights.get(flight.intent.id), len(region.flights)) == (flight, 1)
    assert region.flights.get(flight.intent.id._replace(sequence=2)) is None


def test_an_intent_that_is_read_late_has_the_silence_limit_for_its_end_to_be_read(region: Region) -> None:
    intent = region.intent(region="b")
    region.hear(intent, at_s=117)
    assert region.flight(intent).deadline_us == us(122)
    early = region.intent(2, region="b", at_s=115)
    region.hear(early, at_s=115)
    assert region.flight(early).deadline_us == us(235)


def test_an_intent_of_the_future_counts_as_of_now(region: Region) -> None:
    intent = region.intent(region="b", at_s=1_000)
    region.hear(intent, at_s=4)
    assert (region.flight(intent).intent.at_us, region.flight(intent).deadline_us) == (us(4), us(124))


def test_an_end_of_ours_is_said_until_it_is_read_and_then_the_intent_has_landed(region: Region) -> None:
    flight = region.decide()
    region.settle()
    effects = list(region.flights.finish(flight, Outcome.DELIVERED, us(1), "as told", "phone"))
    end = End(flight.intent.id, PHONE, Outcome.DELIVERED, us(1), "phone", "as told")
    assert said(effects) == [(end, ["#1"])]
    assert [one.items for one in effects if isinstance(one, SayEnd)] == [[Item(assigned(1, 0), is_new=True)]]
    assert region.settle() == (1, 1)
    assert (flight.said, len(region.flights)) == (False, 1)
    region.hear(end)
    assert (flight.said, len(region.flights), region.flights.get(flight.intent.id)) == (True, 0, None)
    assert region.settle()[1] == 1
    region.hear(end)
    assert list(region.flights.finish(flight, Outcome.UNKNOWN, us(2), "late")) == []


def test_an_end_that_is_better_than_the_one_on_the_log_is_said_too(region: Region) -> None:
    flight = region.decide()
    list(region.flights.finish(flight, Outcome.UNKNOWN, us(1), "no end in time"))
    region.hear(end_of(flight.intent, Outcome.UNKNOWN))
    assert flight.said
    [say] = list(region.flights.finish(flight, Outcome.DELIVERED, us(2), "as told"))
    assert isinstance(say, SayEnd)
    assert (say.end.outcome, flight.said) == (Outcome.DELIVERED, False)
    region.hear(end_of(flight.intent, Outcome.UNKNOWN))  # a repeat of the worse one
    assert not flight.said


def test_once_our_last_end_is_read_what_ended_is_let_go(region: Region) -> None:
    flight = region.decide()
    region.ann.assign(assigned(1, 0, version=2, status="resolved"), 0, us(1))
    list(region.flights.finish(flight, Outcome.DELIVERED, us(1), ""))
    assert region.ann.concerns[0].packed
    region.hear(end_of(flight.intent))
    assert not region.ann.concerns[0].packed


# What the log refused -----------------------------------------------------------------------------------------------


def test_an_intent_that_the_log_refused_never_was(region: Region) -> None:
    flight = region.decide()
    region.settle()
    assert list(region.flights.refused(flight.intent.id, us(1))) == []
    assert (len(region.flights), region.channel.covering().flights, region.channel.refused_us) == (0, {}, us(1))
    assert region.settle() == (1, 1)


def test_an_intent_that_is_on_the_log_though_it_was_refused_failed(region: Region) -> None:
    flight = region.decide()
    region.hear(flight.intent)
    assert flight.logged
    [(end, _)] = said(list(region.flights.refused(flight.intent.id, us(1))))
    assert end == End(flight.intent.id, PHONE, Outcome.FAILED, us(1), "", REFUSED)
    assert REFUSED == "the log had refused it: it was not handed over"
    assert region.channel.refused_us == us(1)


def test_a_refusal_of_what_ended_or_is_not_known_changes_nothing(region: Region) -> None:
    flight = region.decide()
    list(region.flights.finish(flight, Outcome.DELIVERED, us(1), ""))
    for id in (flight.intent.id, IntentId("a", EPOCH, 99)):
        assert list(region.flights.refused(id, us(2))) == []
    assert (flight.is_delivered, region.channel.refused_us) == (True, 0)


def test_what_becomes_of_an_intent_whose_user_is_forgotten_is_told_to_nobody(region: Region) -> None:
    flight = region.decide()
    list(region.flights.end_overdue(region.channel, us(120)))
    region.roster.users.clear()
    assert list(region.flights.refused(flight.intent.id, us(121))) == []
    assert list(region.flights.finish(flight, Outcome.DELIVERED, us(122), "")) == []
    assert flight.is_delivered


# Orphans ------------------------------------------------------------------------------------------------------------


def test_of_what_an_owner_before_us_decided_the_end_is_unknown_and_is_said_once(region: Region) -> None:
    region.hear(region.intent(3, epoch=EPOCH - 1))
    assert region.orphans() == [(3, Outcome.UNKNOWN, GONE)]
    assert region.orphans() == []
    assert region.flights.next == 0


def test_of_what_the_log_took_though_it_had_refused_the_end_is_a_failure_and_its_number_is_used(region: Region) -> None:
    region.hear(region.intent(3))
    region.hear(region.intent(1))
    assert region.flights.next == 4
    assert region.orphans() == [(3, Outcome.FAILED, REFUSED), (1, Outcome.FAILED, REFUSED)]


@pytest.mark.parametrize(("other", "epoch"), [("b", EPOCH), ("a", EPOCH + 1)])
def test_of_another_region_s_or_a_later_owner_s_intent_we_say_no_end(region: Region, other: str, epoch: int) -> None:
    intent = region.intent(region=other, epoch=epoch)
    region.hear(intent)
    assert (region.flight(intent).own, region.flight(intent).logged) == (False, True)
    assert (region.orphans(), region.flights.next) == ([], 0)


def test_an_orphan_whose_end_is_read_is_none(region: Region) -> None:
    intent = region.intent(epoch=EPOCH - 1)
    region.hear(intent)
    region.hear(end_of(intent))
    assert region.orphans() == []


def test_a_kept_intent_of_ours_whose_end_is_not_on_the_log_is_an_orphan(region: Region) -> None:
    ended, under_way, over, of_b = (region.decide(n) for n in range(1, 5))
    of_b.intent = region.intent(4, region="b")
    region.channel.covering().flights = {one.intent.id: one for one in (ended, under_way, over, of_b)}
    ended.finish(end_of(ended.intent, Outcome.FAILED), us(1))
    over.finish(end_of(over.intent), us(1))
    over.said = True
    again = Region()
    region.ann.channels = (Channel("ann", "never used", "high"), *region.ann.channels)
    again.roster.users["ann"] = region.ann
    again.flights.restore(region.ann)
    assert again.settle()[0] == 1
    assert (of_b.own, len(again.flights)) == (False, 2)
    assert [again.flights.get(one.intent.id) for one in (ended, under_way, over, of_b)] == [None, under_way, None, of_b]
    assert again.orphans() == [(1, Outcome.FAILED, "as told"), (2, Outcome.FAILED, REFUSED)]


# What comes before its time or too late -----------------------------------------------------------------------------


def test_an_end_that_is_read_before_its_intent_counts_when_that_is_read_and_the_best_of_them(region: Region) -> None:
    intent = region.intent(region="b")
    for outcome in (Outcome.UNKNOWN, Outcome.DELIVERED, Outcome.FAILED):
        region.hear(end_of(intent, outcome))
    region.hear(intent)
    assert (region.flight(intent).end, len(region.flights)) == (end_of(intent), 0)


def test_so_many_early_ends_are_remembered_and_no_more(region: Region) -> None:
    intents = [region.intent(n, region="b") for n in range(REMEMBERED_MAX + 1)]
    for intent in intents:
        region.hear(end_of(intent))
    region.hear(intents[1])
    region.hear(intents[0])
    assert [region.flight(intents[n]).is_delivered for n in (0, 1)] == [False, True]


def test_what_should_have_ended_by_now_covers_no_longer_and_of_ours_that_is_said(region: Region) -> None:
    ours, theirs = region.decide(), region.intent(2, region="b")
    region.hear(theirs, at_s=0)
    region.settle()
    assert list(region.flights.end_overdue(region.channel, us(119.999999))) == []
    assert len(list(region.channel.covering().in_progress())) == 2
    [(end, _)] = said(list(region.flights.end_overdue(region.channel, us(120))))
    assert (end.id, end.outcome, end.reason, end.at_us) == (ours.intent.id, Outcome.UNKNOWN, "no end in time", us(120))
    assert (region.flight(theirs).lapsed_us, region.flights.get(theirs.id)) == (us(120), None)
    assert region.settle()[1] == 1
    assert list(region.flights.end_overdue(region.channel, us(121))) == []


def test_an_intent_of_another_that_is_overdue_is_kept_so(region: Region) -> None:
    region.hear(region.intent(region="b"), at_s=0)
    region.settle()
    assert list(region.flights.end_overdue(region.channel, us(130))) == []
    assert (region.settle()[1], len(region.flights)) == (1, 0)


def test_an_overdue_intent_of_ours_may_still_end_well(region: Region) -> None:
    flight = region.decide()
    list(region.flights.end_overdue(region.channel, us(120)))
    region.hear(end_of(flight.intent, Outcome.UNKNOWN, 120))
    assert region.flights.get(flight.intent.id) is flight
    [say] = list(region.flights.finish(flight, Outcome.DELIVERED, us(125), "as told"))
    assert isinstance(say, SayEnd)
    assert say.end.outcome is Outcome.DELIVERED


def test_so_many_overdue_intents_are_remembered_and_no_more(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "REMEMBERED_MAX", 2)
    flights = [region.decide(n) for n in range(3)]
    list(region.flights.end_overdue(region.channel, us(120)))
    for flight in flights:
        region.hear(end_of(flight.intent, Outcome.UNKNOWN, 120))
    assert [region.flights.get(flight.intent.id) for flight in flights] == [None, *flights[1:]]


def test_the_intents_of_a_silent_region_lapse_and_of_no_other_and_never_ours(region: Region) -> None:
    places = Places("a", 0, ("a", "b", "c"), LIMITS)
    places.start()
    ours, of_b, of_c = region.decide(), region.intent(2, region="b"), region.intent(3, region="c")
    for intent in (of_b, of_c):
        region.hear(intent)
    region.settle()
    for at_s in range(10):
        places.hear(Pulse("c", 1, at_s, 0, fit=True))
        places.listen(at_s, fit=True, lag_s=0)
    region.flights.lapse_silent(places, us(9))
    assert [one.in_progress for one in (ours, region.flight(of_b), region.flight(of_c))] == [True, False, True]
    assert (region.flight(of_b).lapsed_us, len(region.flights), region.settle()) == (us(9), 2, (1, 1))


# Given up -----------------------------------------------------------------------------------------------------------


def test_when_a_pair_was_tried_as_often_as_it_may_a_person_is_told_and_not_before(region: Region) -> None:
    first = list(region.flights.finish(region.decide(1), Outcome.FAILED, us(1), "nobody is there"))
    assert [type(one) for one in first] == [SayEnd]
    *_, alarm = region.flights.finish(region.decide(2), Outcome.FAILED, us(2), "nobody is there")
    assert alarm == Alarm(
        "page_given_up",
        "ann",
        "1 of the pages to ann by phone were tried 2 times and none is known to have arrived: nobody is there. They "
        "are not tried again by this method: reach the user by another way and look at the method's provider.",
    )


def test_a_page_that_arrives_at_the_last_try_is_not_given_up(region: Region) -> None:
    list(region.flights.finish(region.decide(1), Outcome.FAILED, us(1), ""))
    last = list(region.flights.finish(region.decide(2), Outcome.DELIVERED, us(2), ""))
    assert [type(one) for one in last] == [SayEnd]


def test_an_intent_is_forgotten_in_time(region: Region) -> None:
    flight = region.decide()
    list(region.flights.finish(flight, Outcome.DELIVERED, us(1), ""))
    region.ann.assign(assigned(1, 0, version=2, status="resolved"), 0, us(1))
    region.roster.sweep(us(LIMITS.remember_s - 30))
    assert region.channel.covers is not None
    region.roster.sweep(us(LIMITS.remember_s + 30))
    assert region.channel.covers is None
