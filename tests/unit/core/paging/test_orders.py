"""Order, repeats and restarts change nothing: what is known is what was said, however it came."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.paging.words import assigned, now, person, us
from tocsin.core.paging.assignments import pair_of
from tocsin.core.paging.effects import Assigned, CaughtUp, FeedbackRead, Keep, Kept, PersonIs, SayIntents, Tick, UserRow
from tocsin.core.paging.feedback import ChannelKey, End, Feedback, Intent, IntentId, Outcome, Pulse
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.pager import Pager

KEY = ChannelKey("ann", "phone", "high")
LIMITS = PagingLimits()


def intent(n: int, *incidents: int, at_s: float = 0.0, region: str = "b") -> Intent:
    covers = b"".join(pair_of(assigned(one, 0).incident, "rule 0") for one in incidents)
    return Intent(IntentId(region, 1, n), KEY, covers, us(at_s), us(at_s), 0, "due")


def end(n: int, outcome: Outcome, at_s: float = 1.0, region: str = "b") -> End:
    return End(IntentId(region, 1, n), KEY, outcome, us(at_s))


def machine(*rows: UserRow, at_s: float = 5.0) -> Pager:
    return Pager("a", 0, 7, ("a", "b"), LIMITS, rows, now(at_s))


def decided(pager: Pager, at_s: float) -> list[tuple[float, list[bytes]]]:
    """What it decides in the next minutes, in which second: the other region is silent."""
    found = []
    pager.step(CaughtUp(), now(at_s))
    for step in range(150):
        time_s = at_s + step
        for effect in pager.step(Tick(fit=True), now(time_s)):
            if isinstance(effect, SayIntents):
                found += [(time_s, sorted(one.pairs)) for one in effect.intents]
            elif isinstance(effect, Keep):
                pager.step(Kept(effect.number, ok=True), now(time_s))
    return found


SAID: list[Feedback] = [
    intent(1, 1),
    end(1, Outcome.FAILED),
    intent(2, 2),
    end(2, Outcome.UNKNOWN, 2.0),
    end(2, Outcome.DELIVERED, 3.0),
    intent(3, 3),
    intent(4, 1, 4, at_s=2.0),
    end(4, Outcome.UNKNOWN, 4.0),
    end(9, Outcome.DELIVERED),
]
WORDS = [
    assigned(1, 0),
    assigned(2, 0),
    assigned(3, 0),
    assigned(4, 0),
    assigned(4, 0, version=3, status="acknowledged"),
    assigned(4, 0, version=2),
    assigned(5, 0, parent="five"),
    assigned(6, 0, parent="five", version=2, aliases=(5,)),
]


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_what_is_sent_does_not_depend_on_the_order_or_number_of_what_was_read(data: st.DataObject) -> None:
    def sent(said: list[Feedback], assignments: list[int]) -> list[tuple[float, list[bytes]]]:
        pager = machine()
        pager.step(PersonIs("ann", person("ann", ("phone", 0))), now(5))
        for one in said:
            pager.step(FeedbackRead([one]), now(5))
        for n in assignments:
            pager.step(Assigned([WORDS[n]]), now(5))
        return decided(pager, 6)

    indices = range(len(WORDS))
    said = data.draw(st.permutations([*SAID, *data.draw(st.lists(st.sampled_from(SAID), max_size=4))]))
    order = data.draw(st.permutations([*indices, *data.draw(st.lists(st.sampled_from(indices), max_size=4))]))
    straight = sent(SAID, list(indices))
    assert straight
    assert sent(said, order) == straight


@settings(max_examples=15, deadline=None)
@given(st.integers(0, len(SAID)), st.integers(0, len(WORDS)))
def test_a_restart_after_any_input_sends_the_same(said: int, words: int) -> None:
    def sent(*, restart: bool) -> list[tuple[float, list[bytes]]]:
        pager = machine()
        pager.step(PersonIs("ann", person("ann", ("phone", 0))), now(5))
        pager.step(FeedbackRead(SAID[:said]), now(5))
        pager.step(Assigned(WORDS[:words]), now(5))
        if restart:
            [keep] = [one for one in pager.step(Tick(fit=True), now(5)) if isinstance(one, Keep)]
            pager = machine(*keep.rows)
        pager.step(FeedbackRead(SAID), now(5))  # the positions may be older than the rows
        pager.step(Assigned(WORDS), now(5))
        return decided(pager, 6)

    assert sent(restart=True) == sent(restart=False)


def test_feedback_that_is_forged_stops_nothing_and_costs_a_bounded_place() -> None:
    pager = machine()
    pager.step(PersonIs("ann", person("ann", ("phone", 0))), now(5))
    far = 2**62
    strange: list[Feedback] = [
        Pulse("a", 99, 1, 0, fit=False),
        Pulse("nowhere", 1, 1, far, fit=True),
        Intent(IntentId("nowhere", 1, 1), KEY, b"12345678", far, far, -3, ""),
        Intent(IntentId("a", 7, 5), KEY, b"12345678", -far, -far, 0, ""),
        Intent(IntentId("a", 99, 5), KEY, b"", 0, 0, 0, ""),
        *(end(n, Outcome.DELIVERED) for n in range(5_000)),
        *(
            Intent(IntentId("b", 2, n), ChannelKey("ann", f"made up {n}", "high"), b"12345678", 0, 0, 0, "")
            for n in range(5_000)
        ),
    ]
    pager.step(FeedbackRead(strange), now(5))
    pager.step(Assigned([assigned(1, 5)]), now(5))
    assert any(pair_of(assigned(1, 5).incident, "rule 0") in pairs for _, pairs in decided(pager, 6))
    assert pager.readings().channels <= 200
