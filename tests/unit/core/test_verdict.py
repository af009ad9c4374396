"""The verdict against a second statement of design 3.3, written as sentences; and the reductions over all that a peer
can be.
"""

from itertools import product

import pytest

from tocsin.core.failures import Kind
from tocsin.core.verdict import (
    TABLE,
    Answer,
    Own,
    OwnMatter,
    Peer,
    Peers,
    Verdict,
    as_markdown,
    decide,
    own_word,
    peers_word,
)

CASES = list(product([True, False], Own, Peers))
PEER_STATES = list(product(Answer, [False, True], [False, True], [False, True], [False, True]))


def prose(*, dropped: bool, own: Own, peers: Peers) -> Verdict:
    """Design 3.3, sentence by sentence."""
    verdict = Verdict.SET_ASIDE
    if own is Own.REFUSED and peers is Peers.AWAITED:
        verdict = Verdict.WAIT  # a peer that can be asked has not answered: wait within the deadline
    if own is Own.REFUSED and peers is Peers.ALL_REFUSED:
        verdict = Verdict.QUARANTINE  # every undrained peer, at least one, rejected too
    if own in (Own.REFUSED, Own.LASTING) and peers is Peers.BETTER:
        verdict = Verdict.HALT  # proof that the fault is our own, while a better region serves
    if own in (Own.SILENT, Own.GRACE):
        verdict = Verdict.RETRY  # an outage is no evidence
    if own is Own.TOO_NEW:
        verdict = Verdict.SET_ASIDE  # a rolling release of one region must not halt the other
    if dropped or own is Own.STORED:
        verdict = Verdict.DONE
    return verdict


@pytest.mark.parametrize(("dropped", "own", "peers"), CASES)
def test_the_table_says_what_the_design_says(dropped: bool, own: Own, peers: Peers) -> None:  # noqa: FBT001  (a case)
    assert decide(dropped=dropped, own=own, peers=peers).verdict is prose(dropped=dropped, own=own, peers=peers)


def test_there_are_seventy_cases_and_each_row_decides_one() -> None:
    assert len(CASES) == 2 * 7 * 5
    assert {decide(dropped=dropped, own=own, peers=peers) for dropped, own, peers in CASES} == set(TABLE)


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)


def test_nothing_is_quarantined_but_what_we_refused_or_crashed_on() -> None:
    quarantines = {own for dropped, own, peers in CASES if verdict(dropped, own, peers) is Verdict.QUARANTINE}
    assert quarantines == {Own.REFUSED}


def test_an_outage_never_leads_to_a_quarantine_ours_or_theirs() -> None:
    for one, other in product(PEER_STATES, repeat=2):
        peers = [peer("a", one), peer("c", other)]
        word = peers_word("b", peers, within_deadline=True)
        if decide(dropped=False, own=Own.REFUSED, peers=word).verdict is Verdict.QUARANTINE:
            assert all(p.answer is Answer.REFUSED for p in peers if not p.drained)


def verdict(dropped: bool, own: Own, peers: Peers) -> Verdict:  # noqa: FBT001  (a case)
    return decide(dropped=dropped, own=own, peers=peers).verdict


def peer(region: str, state: tuple[Answer, bool, bool, bool, bool]) -> Peer:
    answer, can_be_asked, drained, halted, ill = state
    return Peer(region, answer, can_be_asked=can_be_asked, drained=drained, halted=halted, ill=ill)


def prose_of_peers(me: str, peers: list[Peer], *, within_deadline: bool) -> Peers:
    """What the second column of the table says of each peer, then of all."""
    better = elsewhere = awaited = refused_by_all = False
    undrained = 0
    for one in peers:
        serving = one.can_be_asked and not one.drained and not one.halted and not one.ill
        # An ill region is no better one than ours, whatever its name: its store answers nothing.
        breaks_the_tie = one.can_be_asked and not one.drained and one.halted and not one.ill and one.region < me
        if one.answer is Answer.STORED:
            elsewhere = True
            better = better or serving or breaks_the_tie
        if one.answer is Answer.NONE and one.can_be_asked and not one.ill and within_deadline:
            awaited = True
        if not one.drained:
            undrained += 1
    if undrained:
        refused_by_all = all(one.drained or one.answer is Answer.REFUSED for one in peers)
    for holds, word in (
        (better, Peers.BETTER),
        (elsewhere, Peers.ELSEWHERE),
        (refused_by_all, Peers.ALL_REFUSED),
        (awaited, Peers.AWAITED),
    ):
        if holds:
            return word
    return Peers.REST


@pytest.mark.parametrize("within_deadline", [True, False])
@pytest.mark.parametrize("me", ["a", "b", "c"])
def test_the_peers_word_over_everything_that_one_or_two_peers_can_be(me: str, *, within_deadline: bool) -> None:
    others = [name for name in "abc" if name != me]
    for state in PEER_STATES:
        for other in others:
            alone = [peer(other, state)]
            expected = prose_of_peers(me, alone, within_deadline=within_deadline)
            assert peers_word(me, alone, within_deadline=within_deadline) is expected
    for one, two in product(PEER_STATES, repeat=2):
        both = [peer(others[0], one), peer(others[1], two)]
        expected = prose_of_peers(me, both, within_deadline=within_deadline)
        assert peers_word(me, both, within_deadline=within_deadline) is expected, both
        assert peers_word(me, both[::-1], within_deadline=within_deadline) is expected, "the order is no input"


@pytest.mark.parametrize("within_deadline", [True, False])
def test_without_peers_there_is_nobody_to_wait_for(*, within_deadline: bool) -> None:
    assert peers_word("a", [], within_deadline=within_deadline) is Peers.REST


@pytest.mark.parametrize("halted", list(product([True, False], repeat=2)))
def test_two_regions_that_see_each_other_truly_never_both_halt_because_of_each_other(halted: tuple[bool, bool]) -> None:
    # Each refuses what the other stored, each knows how the other stands. Two that halt do not both go on halting, and
    # from every state, one change after the other, they come to rest where exactly one does.
    states = {"a": halted[0], "b": halted[1]}

    def halts(me: str, other: str) -> bool:
        seen = Peer(other, Answer.STORED, can_be_asked=True, drained=False, halted=states[other], ill=False)
        word = peers_word(me, [seen], within_deadline=True)
        return decide(dropped=False, own=Own.REFUSED, peers=word).verdict is Verdict.HALT

    after = {"a": halts("a", "b"), "b": halts("b", "a")}
    if all(halted):
        assert not all(after.values())
    for turn in ("b", "a", "b", "a", "b"):
        states[turn] = halts(turn, "b" if turn == "a" else "a")
    assert states == {"a": False, "b": True}
    settled = dict(states)
    for turn in ("a", "b"):
        states[turn] = halts(turn, "b" if turn == "a" else "a")
    assert states == settled, "and they rest there"


@pytest.mark.parametrize(("kind", "answers", "past", "here"), list(product([None, *Kind], *[[True, False]] * 3)))
def test_our_own_word_over_everything_that_it_is_made_of(
    kind: Kind | None,
    answers: bool,  # noqa: FBT001  (a case)
    past: bool,  # noqa: FBT001  (a case)
    here: bool,  # noqa: FBT001  (a case)
) -> None:
    word = own_word(OwnMatter(kind, store_answers=answers, past_grace=past, here=here))
    if kind is Kind.UNAVAILABLE:
        lasting = Own.HERE if here else Own.LASTING
        expected = Own.SILENT if not answers else lasting if past else Own.GRACE
    elif kind in (Kind.REJECTED, Kind.CRASHED):
        expected = Own.HERE if here else Own.REFUSED
    else:
        expected = Own.TOO_NEW if kind else Own.STORED
    assert word is expected


def test_the_table_for_people_has_every_row() -> None:
    lines = as_markdown().splitlines()
    assert len(lines) == 2 + len(TABLE)
    for row, line in zip(TABLE, lines[2:], strict=True):
        assert line.startswith(f"| `{row.name}` |")
        assert row.verdict.replace("_", " ") in line


def test_a_row_is_written_as_architecture_shows_it() -> None:
    lines = as_markdown().splitlines()
    assert lines[:2] == ["| row | own word | peers | verdict | why |", "|---|---|---|---|---|"]
    assert (
        lines[2] == "| `dropped` | any, and a person said `dropped` | any | **DONE** | a person said so; it is marked |"
    )
    assert lines[7] == (
        "| `better-peer-stored` | rejected or crashed; unavailable past its grace, neighbours are stored | stored by a "
        "peer that serves, or by a halted one that comes before us | **HALT** | proof that the fault is ours, while a "
        "better region serves |"
    )
