"""The machine of one user partition, input by input: what it says, hands over and leaves."""

from collections.abc import Iterable
from typing import TypeVar

import pytest

from tests.unit.core.paging.words import assigned, now, person, us
from tocsin.core.paging import pager as under_test
from tocsin.core.paging.assignments import pair_of
from tocsin.core.paging.effects import (
    Alarm,
    Assigned,
    Bundle,
    CaughtUp,
    Effect,
    Ended,
    FeedbackRead,
    HandOver,
    Input,
    IntentRefused,
    IntentSaid,
    Keep,
    Kept,
    PersonIs,
    SayEnd,
    SayIntents,
    SayPulse,
    Stop,
    Tick,
    UserRow,
)
from tocsin.core.paging.feedback import ChannelKey, Intent, IntentId, Outcome, Pulse
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.pager import SLEPT_S, Pager, Readings
from tocsin.core.paging.people import Person

LIMITS = PagingLimits()
EPOCH = 3
ANN = person("ann", ("phone", 0))
E = TypeVar("E")


def every(effects: Iterable[Effect], kind: type[E]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


class Machine:
    """A pager that is alone unless said, knows ann, and is told the time in seconds."""

    def __init__(
        self, *regions: str, person: Person | None = ANN, rows: Iterable[UserRow] = (), at_s: float = 0.0
    ) -> None:
        self.pager = Pager("a", 0, EPOCH, regions or ("a",), LIMITS, rows, now(at_s))
        self.effects: list[Effect] = []
        self.do(PersonIs("ann", person), at_s)

    @classmethod
    def sending(cls, person: Person | None = ANN) -> "Machine":
        made = cls(person=person)
        made.do(CaughtUp(), 0)
        return made

    def do(self, event: Input, at_s: float) -> list[Effect]:
        effects = self.pager.step(event, now(at_s))
        self.effects += effects
        return effects

    def tick(self, at_s: float, *, fit: bool = True, lag_s: float = 0.0) -> list[Effect]:
        return self.do(Tick(fit, lag_s), at_s)

    def decided(self, at_s: float, *numbers: int) -> Intent:
        """The intent that follows from these incidents, assigned now."""
        self.tick(at_s)
        [say] = every(self.do(Assigned([assigned(n, at_s) for n in numbers]), at_s), SayIntents)
        [intent] = say.intents
        return intent

    def handed_over(self, intent: Intent, at_s: float) -> Bundle:
        [effect] = self.do(IntentSaid(intent.id), at_s)
        assert isinstance(effect, HandOver)
        return effect.bundle


def ends(effects: Iterable[Effect]) -> list[tuple[Outcome, str]]:
    return [(one.end.outcome, one.end.reason) for one in every(effects, SayEnd)]


# From the moment to the end -----------------------------------------------------------------------------------------


def test_an_intent_says_all_of_its_decision_and_the_next_has_the_next_number() -> None:
    machine = Machine.sending()
    pair = pair_of(assigned(1, 0).incident, "rule 0")
    intent = machine.decided(5, 1)
    assert intent == Intent(IntentId("a", EPOCH, 0), ChannelKey("ann", "phone", "high"), pair, us(5), us(5), 0, "due")
    assert machine.handed_over(intent, 5) == Bundle(
        intent, ANN, ANN.methods[0], (), machine.handed_over(intent, 5).items
    )
    machine.do(Ended(intent.id, Outcome.DELIVERED, "phone", "taken"), 6)
    machine.tick(64)
    machine.do(Assigned([assigned(2, 10)]), 64)
    assert every(machine.do(Tick(fit=True), 64.9), SayIntents) == []
    [say] = every(machine.tick(65), SayIntents)
    assert [(one.id.sequence, one.due_us, one.at_us, one.why) for one in say.intents] == [(1, us(65), us(65), "paced")]


def test_the_end_of_a_hand_over_is_said_as_stage_two_told_it() -> None:
    machine = Machine.sending()
    intent = machine.decided(5, 1)
    machine.handed_over(intent, 5)
    [say] = every(machine.do(Ended(intent.id, Outcome.DELIVERED, "mail", "phone was busy"), 7), SayEnd)
    assert (say.end.outcome, say.end.method, say.end.reason, say.end.at_us) == (
        Outcome.DELIVERED,
        "mail",
        "phone was busy",
        us(7),
    )
    assert say.intent == intent
    assert machine.do(Ended(intent.id._replace(sequence=9), Outcome.FAILED, "", ""), 7) == []


def test_a_bundle_names_what_is_new_and_then_what_is_open_from_before_each_the_oldest_first() -> None:
    ann = person("ann", ("phone", 0), methods=("mail", "phone", "pager"))
    machine = Machine.sending(ann)
    machine.tick(10)
    [say] = every(machine.do(Assigned([assigned(1, 10), assigned(5, 3)]), 10), SayIntents)
    machine.do(Ended(say.intents[0].id, Outcome.DELIVERED, "phone", ""), 10)
    for n, since_s in ((2, 50), (3, 40), (4, 45)):
        machine.tick(50)
        machine.do(Assigned([assigned(n, since_s)]), 50)
    machine.tick(69)
    [say] = every(machine.tick(70), SayIntents)
    machine.do(Assigned([assigned(4, 45, status="resolved", version=2)]), 70)
    bundle = machine.handed_over(say.intents[0], 70)
    new, old = [assigned(3, 40), assigned(2, 50)], [assigned(5, 3), assigned(1, 10)]
    assert [item.assignment for item in bundle.items] == new + old
    assert [item.is_new for item in bundle.items] == [True, True, False, False]
    others = [other.id for other in bundle.fallbacks]
    assert (bundle.person, bundle.method.id, others) == (ann, "phone", ["mail", "pager"])


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        (Assigned([assigned(1, 5, status="resolved", version=2)]), "nothing of it is to be told any more"),
        (PersonIs("ann", None), "nothing of it is to be told any more"),
        (PersonIs("ann", person("ann", methods=("mail",))), "nothing of it is to be told any more"),
        (PersonIs("ann", person("ann", ("phone", 0), kind="pigeon")), "nothing of it is to be told any more"),
        (Stop(), "the notifier stops: not handed over"),
    ],
)
def test_what_is_not_to_be_told_any_more_is_not_handed_over(meanwhile: Input, reason: str) -> None:
    machine = Machine.sending()
    intent = machine.decided(5, 1)
    machine.do(meanwhile, 5)
    effects = machine.do(IntentSaid(intent.id), 6)
    assert ends(effects)[:1] == [(Outcome.FAILED, reason)]
    assert every(effects, HandOver) == []
    assert every(machine.do(IntentSaid(intent.id), 6), SayEnd) == []  # it ended


def test_what_the_log_took_too_late_is_not_handed_over() -> None:
    machine = Machine.sending()
    intent = machine.decided(5, 1)
    assert machine.do(IntentSaid(IntentId("a", EPOCH, 9)), 5) == []
    effects = machine.do(IntentSaid(intent.id), 5 + LIMITS.end_s_max)
    assert ends(effects) == [(Outcome.FAILED, "the log took it too late: not handed over")]


def test_just_before_that_it_still_is() -> None:
    machine = Machine.sending()
    intent = machine.decided(5, 1)
    assert machine.handed_over(intent, 5 + LIMITS.end_s_max - 0.001).intent == intent


def test_a_page_is_wanted_while_it_covers_and_something_of_it_is_open() -> None:
    machine = Machine.sending()
    intent = machine.decided(5, 1, 2)
    wanted = [machine.pager.wanted(intent.id)]
    for n in (1, 2):
        machine.do(Assigned([assigned(n, 5, status="resolved", version=2)]), 5)
        wanted.append(machine.pager.wanted(intent.id))
    assert wanted == [True, True, False]
    again = Machine.sending()
    other = again.decided(5, 1)
    again.do(Ended(other.id, Outcome.UNKNOWN, "", ""), 5)
    assert not again.pager.wanted(other.id)


def test_what_the_log_refused_is_decided_anew_after_a_pause() -> None:
    machine = Machine.sending()
    intent = machine.decided(5, 1)
    assert every(machine.do(IntentRefused(intent.id), 5.5), SayIntents) == []
    assert machine.pager.wakes_us() == us(5.5 + LIMITS.refused_s)
    assert every(machine.tick(6.4), SayIntents) == []
    [say] = every(machine.tick(6.5), SayIntents)
    assert [(one.id.sequence, one.due_us) for one in say.intents] == [(1, us(5))]
    effects = machine.do(Ended(say.intents[0].id, Outcome.FAILED, "", ""), 6.5)
    assert every(effects, SayIntents)  # the pause is over


# Places -------------------------------------------------------------------------------------------------------------


def test_a_region_that_stands_behind_another_waits_its_backstop_out_and_says_so() -> None:
    machine = Machine("a", "b")
    machine.do(CaughtUp(), 0)
    for at_s in range(20):
        machine.do(FeedbackRead([Pulse("b", 1, at_s, 0, fit=True)]), at_s)
        machine.tick(at_s, fit=False)
        if at_s == 4:
            machine.do(Assigned([assigned(1, 4)]), 4)
            assert machine.pager.readings().waiting == 1
    [say] = every(machine.effects, SayIntents)
    [intent] = say.intents
    assert (intent.at_us, intent.due_us, intent.place, intent.why) == (us(14), us(4), 1, "backstop")
    assert machine.pager.readings().waiting == 0


def test_a_channel_whose_moment_is_yet_to_come_leaves_it_to_nobody() -> None:
    machine = Machine("a", "b", person=person("ann", ("phone", 15)))
    machine.do(CaughtUp(), 0)
    machine.do(FeedbackRead([Pulse("b", 1, 1, 0, fit=True)]), 0)
    machine.tick(1, fit=False)
    machine.do(Assigned([assigned(1, 1)]), 1)
    machine.do(PersonIs("ann", person("ann", ("phone", 14))), 1)  # its channels are looked at
    readings = machine.pager.readings()
    assert (readings.waiting, readings.pending, machine.pager.wakes_us()) == (0, 1, us(15))


def test_a_region_whose_turn_it_becomes_pages_at_once() -> None:
    machine = Machine("a", "b")
    machine.do(CaughtUp(), 0)
    for at_s in range(6):
        machine.do(FeedbackRead([Pulse("b", 1, at_s, 0, fit=at_s < 5)]), at_s)
        machine.tick(at_s, fit=at_s > 1)
        if at_s == 1:
            machine.do(Assigned([assigned(1, 1)]), 1)
    assert [one.at_us for say in every(machine.effects, SayIntents) for one in say.intents] == [us(5)]


# Pulses and time ----------------------------------------------------------------------------------------------------


def test_a_pulse_a_second_is_said_once_it_sends_and_none_after_the_stop() -> None:
    machine = Machine()
    machine.tick(0)
    machine.do(CaughtUp(), 0)
    for at_s in (0.5, 1.0, 1.4, 1.5, 3.0):
        machine.tick(at_s, fit=at_s != 1.5)
    machine.do(Stop(), 3.5)
    machine.tick(9)
    assert [one.pulse for one in every(machine.effects, SayPulse)] == [
        Pulse("a", EPOCH, 0, us(0.5), fit=True),
        Pulse("a", EPOCH, 1, us(1.5), fit=False),
        Pulse("a", EPOCH, 2, us(3.0), fit=True),
    ]


def test_nothing_is_sent_while_it_reads_or_once_it_stopped() -> None:
    machine = Machine()
    machine.do(Assigned([assigned(1, 0)]), 0)
    machine.tick(1)
    assert (every(machine.effects, SayIntents), machine.pager.wakes_us()) == ([], None)
    machine.do(Stop(), 1)
    machine.do(CaughtUp(), 1)
    machine.tick(2)
    assert (every(machine.effects, SayIntents), machine.pager.wakes_us()) == ([], None)


@pytest.mark.parametrize(("slept_s", "sends"), [(SLEPT_S, True), (SLEPT_S + 0.01, False)])
def test_who_slept_sends_nothing_before_the_next_tick(slept_s: float, *, sends: bool) -> None:
    machine = Machine.sending()
    machine.tick(10)
    effects = machine.do(Assigned([assigned(1, 10)]), 10 + slept_s)
    assert bool(every(effects, SayIntents)) is sends
    assert bool(every(machine.tick(10 + slept_s), SayIntents)) is not sends


def test_who_lags_by_the_backstop_reads_first_but_not_for_ever() -> None:
    machine = Machine.sending()
    machine.tick(10, lag_s=LIMITS.backstop_s)
    assert machine.pager.wakes_us() is None
    machine.do(Assigned([assigned(1, 10)]), 10)
    for at_s in range(11, 40):
        machine.tick(at_s, lag_s=LIMITS.backstop_s)
    assert every(machine.effects, SayIntents) == []
    assert every(machine.tick(40, lag_s=LIMITS.backstop_s), SayIntents)
    lately = Machine.sending()
    lately.tick(10, lag_s=LIMITS.backstop_s)
    lately.do(Assigned([assigned(1, 10)]), 10)
    assert every(lately.tick(11, lag_s=LIMITS.backstop_s - 0.01), SayIntents)


def test_a_step_looks_at_so_many_channels_and_the_rest_is_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "LOOKS_A_STEP_MAX", 1)
    machine = Machine.sending(person("ann", ("phone", 0), ("mail", 0), methods=("phone", "mail")))
    machine.tick(1)
    steps = [machine.do(Assigned([assigned(1, 1)]), 1), machine.tick(1), machine.tick(1)]
    decided = [[one.channel.method for say in every(step, SayIntents) for one in say.intents] for step in steps]
    assert sorted(method for methods in decided for method in methods) == ["mail", "phone"]
    assert [len(methods) for methods in decided] == [1, 1, 0]


@pytest.mark.parametrize(
    ("delay_s", "is_deleted"),
    [(19, False), (0, True)],
    ids=["before its rule was due", "with its page under way"],
)
def test_a_channel_that_was_forgotten_before_it_woke_is_looked_at_no_more(delay_s: float, *, is_deleted: bool) -> None:
    pager = Pager("a", 0, EPOCH, ("a",), PagingLimits(remember_s=5), [], now(0))
    pager.step(CaughtUp(), now(0))
    pager.step(PersonIs("ann", person("ann", ("phone", delay_s))), now(0))
    pager.step(Assigned([assigned(1, 0)]), now(0))
    pager.step(Assigned([assigned(1, 0, version=2, status="resolved")]), now(0))
    if is_deleted:
        pager.step(PersonIs("ann", None), now(0))
    for at_s in range(1, 19):
        pager.step(Tick(fit=True), now(at_s))
    assert (pager.readings().channels, pager.readings().pending) == (0, 1)
    for at_s in range(19, 130):
        assert every(pager.step(Tick(fit=True), now(at_s)), SayIntents) == []
    assert (pager.readings().pending, pager.wakes_us()) == (0, None)


# What may be asked --------------------------------------------------------------------------------------------------


def test_the_readings_tell_how_full_and_how_late_it_is() -> None:
    machine = Machine.sending(person("ann", ("phone", 0), ("mail", 15), methods=("phone", "mail")))
    machine.do(PersonIs("bob", person("bob")), 0)
    assert machine.pager.readings() == Readings(2, 0, 0, 0, 0, 0, 2, 0.0)
    machine.tick(9.9)
    machine.tick(10)
    machine.do(Assigned([assigned(1, 9.5)]), 10)
    readings = machine.pager.readings()
    assert (readings.users, readings.channels, readings.pending, readings.ready) == (2, 2, 2, 0)
    assert (readings.waiting, readings.in_progress, readings.late_s) == (0, 1, 0.5)
    assert machine.pager.readings().late_s == 0.0  # since it was last read


def test_a_user_is_shown_as_held_and_a_stranger_is_none() -> None:
    machine = Machine()
    ann = machine.pager.user("ann")
    assert ann is not None
    assert (ann.person, machine.pager.user("stranger"), machine.pager.partition) == (ANN, None, 0)


def test_who_was_damaged_is_told_of_in_words_to_act_on_once_all_is_read() -> None:
    machine = Machine(rows=[UserRow("bob", b"damaged")])
    assert machine.pager.damaged == ["bob"]
    assert machine.do(CaughtUp(), 0) == [
        Alarm(
            "user_row_damaged",
            "bob",
            "what was kept of user bob cannot be read: they start from nothing, and may be paged twice for what they "
            "were told before. What is assigned to them is known again when it changes: look at their open incidents.",
        )
    ]


# Restarts -----------------------------------------------------------------------------------------------------------


def test_an_intent_in_hand_at_a_restart_ends_as_unknown_and_its_page_is_made_again() -> None:
    machine = Machine.sending()
    intent = machine.decided(1, 1)
    [keep] = every(machine.do(Kept(1, ok=True), 2), Keep)
    pager = Pager("a", 0, EPOCH + 1, ("a",), LIMITS, keep.rows, now(4))
    effects = pager.step(CaughtUp(), now(4))
    assert ends(effects) == [(Outcome.UNKNOWN, "the notifier that decided it is gone")]
    [say] = every(effects, SayIntents)
    assert [(one.id, one.pairs, one.why) for one in say.intents] == [
        (IntentId("a", EPOCH + 1, 0), intent.pairs, "again")
    ]


def test_an_intent_of_an_owner_before_us_that_is_read_late_is_ended_at_the_next_tick() -> None:
    machine = Machine.sending()
    orphan = Intent(IntentId("a", EPOCH - 1, 4), ChannelKey("ann", "phone", "high"), b"", us(4), us(4), 0, "due")
    assert every(machine.do(FeedbackRead([orphan]), 5), SayEnd) == []
    [say] = every(machine.tick(6), SayEnd)
    assert (say.end.id, say.end.outcome, say.end.at_us) == (orphan.id, Outcome.UNKNOWN, us(6))


def test_what_is_kept_is_said_at_a_tick_or_after_a_keep_and_at_the_stop_at_once() -> None:
    machine = Machine()
    assert every(machine.effects, Keep) == []
    [first] = every(machine.tick(0), Keep)
    assert [row.user for row in first.rows] == ["ann"]
    machine.do(PersonIs("bob", person("bob")), 0.1)
    assert machine.do(Kept(first.number, ok=True), 0.1) == []
    [last] = machine.do(Stop(), 0.2)
    assert isinstance(last, Keep)
    assert [row.user for row in last.rows] == ["bob"]
