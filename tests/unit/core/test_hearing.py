"""Who can be asked: the echo of our own heartbeat, younger than the limit by our own clock, and nothing else."""

import pytest

from tests.unit.core.ledger_words import KEYS
from tocsin.core.book import Book
from tocsin.core.failures import Kind
from tocsin.core.hearing import SENT_MAX, Hearing, Neighbour, answer_of, describe
from tocsin.core.statements import (
    Beat,
    PersonWord,
    Promoted,
    RegionOrder,
    Replica,
    Said,
    Standing,
    Word,
)
from tocsin.core.verdict import Answer, Peer

LIMIT_S = 10.0
LATER_S = 100.0
"""Long after the assignment, when only echoes count."""


def standing(heard: dict[str, Beat], *, n: int = 1, halted: bool = False, ill: bool = False) -> Standing:
    return Standing(Replica("b", "blue"), Beat(1, n), 0, halted, ill, False, 0.0, 1, 1, heard)  # noqa: FBT003


def hearing() -> Hearing:
    return Hearing("a", 0.0, LIMIT_S)


def test_a_heartbeat_alone_proves_nothing() -> None:
    ears = hearing()
    ears.heard(standing({}))
    assert not ears.can_be_asked("b", LATER_S, drained=False)


def test_a_peer_that_echoes_a_young_heartbeat_can_be_asked_until_the_limit() -> None:
    ears = hearing()
    ears.sent(Beat(7, 1), LATER_S)
    ears.heard(standing({"a": Beat(7, 1)}))
    assert ears.can_be_asked("b", LATER_S + LIMIT_S - 0.1, drained=False)
    assert not ears.can_be_asked("b", LATER_S + LIMIT_S, drained=False)


def test_the_age_is_that_of_what_is_echoed_not_of_the_echo() -> None:
    ears = hearing()
    ears.sent(Beat(7, 1), LATER_S)
    ears.sent(Beat(7, 2), LATER_S + 9.0)
    for n in range(5):
        ears.heard(standing({"a": Beat(7, 1)}, n=n))
    assert not ears.can_be_asked("b", LATER_S + LIMIT_S, drained=False), "it repeats what it heard before it went deaf"


def test_an_old_echo_that_arrives_late_takes_nothing_back() -> None:
    ears = hearing()
    ears.sent(Beat(7, 1), LATER_S)
    ears.sent(Beat(7, 2), LATER_S + 5.0)
    ears.heard(standing({"a": Beat(7, 2)}))
    ears.heard(standing({"a": Beat(7, 1)}))
    assert ears.can_be_asked("b", LATER_S + 14.0, drained=False)


@pytest.mark.parametrize("echoed", [Beat(6, 1), Beat(7, 9)])
def test_an_echo_of_another_process_does_not_count(echoed: Beat) -> None:
    ears = hearing()
    ears.sent(Beat(7, 1), LATER_S)
    ears.heard(standing({"a": echoed}))
    assert not ears.can_be_asked("b", LATER_S, drained=False)


def test_the_echo_of_another_region_s_heartbeat_is_not_ours() -> None:
    ears = hearing()
    ears.sent(Beat(7, 1), LATER_S)
    ears.heard(standing({"c": Beat(7, 1)}))
    assert not ears.can_be_asked("b", LATER_S, drained=False)


def test_for_one_limit_after_assignment_every_undrained_peer_counts_as_able_to_be_asked() -> None:
    ears = hearing()
    assert ears.can_be_asked("b", LIMIT_S - 0.1, drained=False)
    assert not ears.can_be_asked("b", LIMIT_S - 0.1, drained=True)
    assert not ears.can_be_asked("b", LIMIT_S, drained=False)


def test_the_limit_after_assignment_begins_when_we_begin_to_be_heard() -> None:
    ears = hearing()
    ears.assigned(LATER_S)
    assert ears.can_be_asked("b", LATER_S + LIMIT_S - 0.1, drained=False)
    assert not ears.can_be_asked("b", LATER_S + LIMIT_S, drained=False)


def test_only_so_many_heartbeats_are_remembered() -> None:
    ears = hearing()
    for n in range(SENT_MAX + 1):
        ears.sent(Beat(7, n), LATER_S)
    ears.heard(standing({"a": Beat(7, 0)}))
    assert not ears.can_be_asked("b", LATER_S, drained=False)
    ears.heard(standing({"a": Beat(7, 1)}))
    assert ears.can_be_asked("b", LATER_S, drained=False)


def test_a_neighbour_is_the_standing_of_its_promoted_stack_and_a_person_s_word() -> None:
    book, ears = Book(), hearing()
    book.merge(standing({}, halted=True, ill=True))
    before = Neighbour("b", book, ears, 0.0, founding=True)
    assert not before.halted, "nothing is promoted there"
    book.merge(Promoted("b", 1, "blue"))
    after = Neighbour("b", book, ears, 0.0, founding=True)
    assert (after.halted, after.ill, after.drained, after.can_be_asked) == (True, True, False, True)
    book.merge(RegionOrder("b", 1, PersonWord.DRAINED, "eve", 0))
    drained = Neighbour("b", book, ears, 0.0, founding=True)
    assert (drained.drained, drained.can_be_asked) == (True, False)
    assert before.facts != after.facts != drained.facts


def test_a_peer_is_its_neighbour_with_its_word() -> None:
    book, ears = Book(), hearing()
    book.merge_all([standing({}), Promoted("b", 1, "blue"), said(None)])
    peer = Neighbour("b", book, ears, 0.0, founding=True).on(KEYS[0], book)
    assert peer.answer is Answer.STORED
    assert peer.serves
    assert describe([peer]) == "b: stored (serves)"
    assert describe([peer._replace(can_be_asked=False, drained=True)]) == "b: stored (drained, cannot be asked)"
    assert describe([]) == "no peer"


def test_the_evidence_names_every_peer_and_whatever_keeps_it_from_serving() -> None:
    peers = [
        Peer("b", Answer.NONE, can_be_asked=True, drained=False, halted=True, ill=True),
        Peer("c", Answer.REFUSED, can_be_asked=True, drained=True, halted=False, ill=False),
    ]
    assert describe(peers) == "b: not answered (halted, ill); c: refused (drained)"


def test_everything_that_a_verdict_reads_of_a_neighbour_is_among_its_facts() -> None:
    book, ears = Book(), hearing()
    book.merge(Promoted("b", 1, "blue"))
    quiet = Neighbour("b", book, ears, LATER_S, founding=True)
    assert quiet.facts == ("b", False, False, False, False)
    ears.sent(Beat(7, 1), LATER_S)
    heartbeat = standing({"a": Beat(7, 1)}, halted=True, ill=True)
    ears.heard(heartbeat)
    book.merge(heartbeat)
    assert Neighbour("b", book, ears, LATER_S, founding=True).facts == ("b", False, True, True, True)
    assert Neighbour("b", book, ears, LATER_S, founding=False).facts == ("b", True, True, True, True)


def said(kind: Kind | None) -> Said:
    word = Word.FAILED if kind else Word.STORED
    return Said(KEYS[0], Replica("b", "blue"), word, 0, 1, 0, kind)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (None, Answer.STORED),
        (Kind.REJECTED, Answer.REFUSED),
        (Kind.CRASHED, Answer.REFUSED),
        (Kind.UNAVAILABLE, Answer.NO_EVIDENCE),
        (Kind.TOO_NEW, Answer.NO_EVIDENCE),
    ],
)
def test_what_a_word_amounts_to(kind: Kind | None, answer: Answer) -> None:
    assert answer_of(said(kind)) is answer


def test_no_word_is_no_answer() -> None:
    assert answer_of(None) is Answer.NONE
