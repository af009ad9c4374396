"""What people are told of a user's channels, word for word, in each state that a channel can be in."""

import pytest

from tests.unit.core.paging.words import assigned, person, us
from tocsin.core.paging.covers import Flight
from tocsin.core.paging.explain import (
    NO_WAY,
    NOT_KNOWN,
    NOTHING_OPEN,
    ChannelView,
    Sent,
    UserView,
    Waiting,
    explain,
)
from tocsin.core.paging.feedback import ChannelKey, End, Intent, IntentId, Outcome
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.user import User

LIMITS = PagingLimits(pace_s=90)
PHONE = ChannelKey("ann", "phone", "high")
ENDED_S = 3.0
"""When the page of a test ended."""


def ann(*titles: int) -> User:
    """Ann, who is to be told at once of these incidents, with a channel."""
    user = User("ann")
    user.become(person("ann", ("phone", 0)))
    for n in titles:
        user.assign(assigned(n, 0), 0, us(0))
    user.channel("phone", "high")
    return user


def told(user: User, n: int, outcome: Outcome | None, *, at_s: float = 2.0) -> Flight:
    """Region b told of the first incident, or tried to; None: it is under way."""
    pair = user.concerns[0].pair("rule 0")
    flight = Flight(Intent(IntentId("b", 3, n), PHONE, pair, us(1), us(at_s), 1, "backstop"), us(122), own=False)
    if outcome is not None:
        flight.finish(End(flight.intent.id, PHONE, outcome, us(ENDED_S), "mail", "as said"), us(ENDED_S))
    user.channels[0].covering().add(flight)
    return flight


def sent(outcome: str, n: int = 1, *, at_s: float = 2.0) -> Sent:
    is_over = not outcome.startswith(("in", "lapsed"))
    return Sent(f"b-3-{n}-ann", "b", 1, "backstop", us(1), us(at_s), 1, outcome, "mail" * is_over, "as said" * is_over)


def waiting(user: User, n: int, due_s: float, tried: str = "") -> Waiting:
    assignment = user.concerns[n].assignment("ann")
    return Waiting(str(assignment.incident), assignment.title, "rule 0", us(due_s), tried)


def view(user: User, at_s: float = 5.0) -> ChannelView:
    [channel] = explain(user, LIMITS, us(at_s)).channels
    return channel


def test_a_channel_that_waits_for_its_rule_says_so() -> None:
    user = ann(1)
    expected = ChannelView("phone", "high", us(0), "the rule is due then", (waiting(user, 0, 0),), ())
    assert explain(user, LIMITS, us(5)) == UserView("ann", 1, "", (expected,))


def test_a_page_in_progress_is_named_before_all_else() -> None:
    user = ann(1, 2)
    told(user, 1, None)
    because = "a page is in progress: after its end, or when it is overdue"
    expected = ChannelView("phone", "high", us(122), because, (waiting(user, 1, 0),), (sent("in progress"),))
    assert view(user) == expected


def test_a_channel_that_is_paced_says_how_long() -> None:
    user = ann(1, 2)
    told(user, 1, Outcome.DELIVERED)
    because = "the last page was less than 90 s before"
    assert view(user) == ChannelView("phone", "high", us(92), because, (waiting(user, 1, 0),), (sent("delivered"),))


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNKNOWN])
def test_a_page_that_did_not_arrive_is_made_again_by_another(outcome: Outcome) -> None:
    user = ann(1)
    told(user, 1, outcome)
    because = "a page by b did not arrive, as far as is known: once more, by b only if no other does"
    expected = ChannelView("phone", "high", us(3), because, (waiting(user, 0, 3, "b"),), (sent(outcome.value),))
    assert view(user) == expected


def test_a_page_without_an_end_lapsed_and_what_was_sent_is_told_in_order_of_time() -> None:
    user = ann(1)
    told(user, 2, Outcome.FAILED, at_s=2.5)
    told(user, 1, None).lapse(us(4))
    assert view(user).sent == (sent("lapsed without an end"), sent("failed", 2, at_s=2.5))


def test_what_was_told_or_tried_often_enough_waits_no_more() -> None:
    user = ann(1)
    told(user, 1, Outcome.DELIVERED)
    because = "all that is open was told, or was tried often enough"
    assert view(user) == ChannelView("phone", "high", None, because, (), (sent("delivered"),))
    assert view(ann()) == ChannelView("phone", "high", None, NOTHING_OPEN, (), ())


def test_what_waits_is_told_in_the_order_in_which_it_is_due() -> None:
    user = ann()
    for n, since_s in ((1, 30), (2, 20), (3, 40), (4, 20)):
        user.assign(assigned(n, since_s), 0, us(0))
    assert [one.title for one in view(user).waiting] == ["#2", "#4", "#1", "#3"]
    assert view(user).next_us == us(20)


def test_what_keeps_a_user_from_being_told_at_all_is_told_first() -> None:
    nobody, no_way, quiet = ann(1, 2), ann(1), ann(1)
    nobody.become(None)
    no_way.become(person("ann", ("phone", 0), kind="pigeon"))
    quiet.assign(assigned(1, 0, version=2, status="resolved"), 0, us(0))
    views = [explain(user, LIMITS, us(5)) for user in (nobody, no_way, quiet, ann(1))]
    assert [(one.obstacle, one.open) for one in views] == [(NOT_KNOWN, 2), (NO_WAY, 1), (NOTHING_OPEN, 0), ("", 1)]
    assert NOT_KNOWN == "the directory has no such user"
    assert NO_WAY == "no method that could be used: none is verified, or all are blocked"
    assert NOTHING_OPEN == "nothing is open"
    assert [one.channels[0].next_us for one in views] == [None, None, None, us(0)]
