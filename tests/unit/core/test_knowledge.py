"""What a replica knows of the peers' words on what it stored itself."""

import pytest

from tests.unit.core.alone import BAD, Alone
from tocsin.core.failures import Kind
from tocsin.core.statements import PersonWord, RegionOrder, Replica, Said, Word


def disputed(*words: Said, peers: tuple[str, ...] = ("a", "c"), drained: str = "") -> bool:
    """Whether it is, when these are said of it."""
    alone = Alone(peers=peers)
    alone.run()
    alone.hear(*words)
    if drained:
        alone.hear(RegionOrder(drained, 1, PersonWord.DRAINED, "ann", 0))
    return alone.machine.known.is_disputed(BAD.key, alone.now)


def said(region: str, word: Word = Word.FAILED, kind: Kind | None = Kind.REJECTED) -> Said:
    return Said(BAD.key, Replica(region, "blue"), word, 1, 1, 0, kind)


def test_what_every_peer_refused_is_disputed_and_what_one_has_not_answered_is_not() -> None:
    assert disputed(said("a"), said("c", kind=Kind.CRASHED))
    assert not disputed(said("a"))
    assert not disputed()


@pytest.mark.parametrize(
    "other", [said("c", Word.STORED, None), said("c", kind=Kind.UNAVAILABLE), said("c", kind=Kind.TOO_NEW)]
)
def test_who_stored_it_or_could_not_tell_disputes_nothing(other: Said) -> None:
    assert not disputed(said("a"), other)


def test_a_drained_peer_is_not_asked_and_without_a_peer_there_is_no_dispute() -> None:
    assert disputed(said("a"), drained="c")
    assert not disputed(said("a"), drained="a")
    assert not disputed(peers=())
