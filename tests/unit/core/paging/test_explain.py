"""Why a channel would page and when, or why it does not: from the machine, and from a kept row alone."""

from tests.unit.core.paging.regions import Regions
from tests.unit.core.paging.words import assigned, person, us
from tocsin.core.paging.effects import UserRow
from tocsin.core.paging.explain import NO_WAY, NOT_KNOWN, NOTHING_OPEN, UserView, explain
from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method, Person
from tocsin.core.paging.state import decode_user


def looked_at(regions: Regions, user: str = "ann") -> UserView:
    """As the machine sees it; and the kept row tells the same."""
    pager = regions["a"].pager
    assert pager is not None
    known = pager.user(user)
    assert known is not None
    view = explain(known, regions.limits, us(regions.at_s))
    regions.run(2)  # so that it is kept
    kept = decode_user(UserRow(user, regions["a"].kept[user]))
    assert kept is not None
    assert explain(kept, regions.limits, us(regions.at_s - 2)).obstacle == view.obstacle
    return view


def test_a_channel_tells_what_it_waits_for_and_why_not_sooner() -> None:
    regions = Regions(["a"])
    regions.person(person("ann", ("phone", 0), ("phone", 300)))
    regions.assign(assigned(1, 0))
    regions.run(5)
    regions.assign(assigned(2, 5))
    regions.run(5)
    [channel] = looked_at(regions).channels
    assert channel.next_us == us(60)
    assert channel.because == "the last page was less than 60 s before"
    assert [(one.title, one.rule, one.due_us) for one in channel.waiting] == [
        ("#2", "rule 0", us(5)),
        ("#1", "rule 1", us(300)),
        ("#2", "rule 1", us(305)),
    ]
    assert [(one.region, one.place, one.why, one.outcome) for one in channel.sent] == [("a", 0, "due", "delivered")]


def test_a_rule_that_waits_says_when_it_is_due() -> None:
    regions = Regions(["a"])
    regions.person(person("ann", ("phone", 300)))
    regions.assign(assigned(1, 0))
    regions.run(5)
    [channel] = looked_at(regions).channels
    assert (channel.next_us, channel.because) == (us(300), "the rule is due then")


def test_a_page_in_progress_and_one_that_failed_are_told_apart() -> None:
    regions = Regions(["a"])
    regions.person(person("ann", ("phone", 0)))
    regions.call_s = 10
    regions.answer = lambda _: Outcome.FAILED
    regions.assign(assigned(1, 0))
    regions.run(5)
    assert [one.outcome for one in looked_at(regions).channels[0].sent] == ["in progress"]
    regions.run(25)  # the first try and the one after it failed: the third is paced
    [channel] = looked_at(regions).channels
    assert [one.outcome for one in channel.sent] == ["failed", "failed"]
    assert "did not arrive" in channel.because


def test_what_keeps_a_user_from_being_told_is_said() -> None:
    regions = Regions(["a"])
    regions.assign(assigned(1, 0))
    regions.run(3)
    assert looked_at(regions).obstacle == NOT_KNOWN
    regions.person(Person("ann", methods=(Method("mail", "email", "ann@example.org", verified=False),)))
    regions.run(3)
    assert looked_at(regions).obstacle == NO_WAY
    regions.person(person("ann", ("phone", 0)))
    regions.run(3)
    view = looked_at(regions)
    assert (view.obstacle, view.open, view.channels[0].next_us) == ("", 1, None)
    regions.assign(assigned(1, 0, status="resolved", version=2))
    regions.run(3)
    assert looked_at(regions).obstacle == NOTHING_OPEN
