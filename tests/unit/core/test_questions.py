"""Questions: whoever waits for our word gets it, in whatever order our look and our write end."""

from tests.unit.core.alone import BAD, ME, NOW, PEER, REFUSED, Alone, every, rows, the, words
from tests.unit.core.harness import request
from tocsin.core.effects import Look, Looked, StoreAnswers, Write, Wrote
from tocsin.core.failures import Kind
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import encode_request
from tocsin.core.statements import Opened, Payload, Said, Word

STORED = Said(BAD.key, ME, Word.STORED, 1, 1, NOW.unix_us)
UNCLEAN = ProgressRow(
    7, 1, clean=False, sources={"requests": SourceProgress(Coordinates("b", "requests", "1", 0), Runs())}
)


def asked(*, delivered: bool = True) -> Alone:
    """A machine that was asked, and looks."""
    alone = Alone.running()
    alone.unanswered = {Look, Write}
    statements = alone.asks(BAD)
    assert every(alone.hear(*(statements if delivered else statements[1:])), Look) == [Look(BAD.key)]
    return alone


def test_what_our_store_has_is_answered_at_once_and_tried_by_nobody() -> None:
    alone = asked()
    effects = alone.quiet(Looked(BAD.key, stored=True))
    assert words(effects) == [STORED]
    assert not every(effects, Write)


def test_what_our_store_has_not_is_tried_from_the_payload() -> None:
    alone = asked()
    write = the(alone.quiet(Looked(BAD.key, stored=False)), Write)
    assert (write.requests, write.alone) == ([BAD], False)
    assert words(alone.quiet(Wrote(write.write, {}, answers=True))) == [STORED]


def test_a_question_without_its_payload_waits_for_the_log_to_deliver_it() -> None:
    alone = asked(delivered=False)
    assert not alone.quiet(Looked(BAD.key, stored=False))
    write = the(alone.take(BAD), Write)
    assert words(alone.quiet(Wrote(write.write, {}, answers=True))) == [STORED]


def test_a_payload_alone_asks_nothing() -> None:
    alone = Alone.running()
    assert not alone.hear(alone.asks(BAD)[0])


def test_a_payload_that_comes_after_its_question_has_us_look_again() -> None:
    alone = asked(delivered=False)
    alone.quiet(Looked(BAD.key, stored=False))
    assert every(alone.hear(alone.asks(BAD)[0]), Look) == [Look(BAD.key)]
    assert the(alone.quiet(Looked(BAD.key, stored=False)), Write).requests == [BAD]


def test_a_write_that_ends_while_we_look_answers_and_the_look_adds_nothing() -> None:
    alone = Alone.running()
    alone.unanswered = {Look, Write}
    write = the(alone.take(BAD), Write)
    alone.hear(*alone.asks(BAD))
    assert words(alone.quiet(Wrote(write.write, {}, answers=True))) == [STORED]
    assert not alone.quiet(Looked(BAD.key, stored=False))
    assert not alone.machine.cases.open


def test_a_write_that_fails_while_we_look_says_so_and_the_look_adds_nothing() -> None:
    alone = Alone.running()
    alone.unanswered = {Look, Write}
    write = the(alone.take(BAD), Write)
    alone.hear(*alone.asks(BAD))
    effects = alone.quiet(Wrote(write.write, {0: REFUSED}, answers=True))
    assert [word.kind for word in words(effects)] == [Kind.REJECTED]
    assert not words(alone.quiet(Looked(BAD.key, stored=False)))
    assert len(alone.machine.cases.open) == 1


def test_while_a_look_is_under_way_the_same_question_looks_no_second_time() -> None:
    alone = asked()
    assert not every(alone.hear(alone.word(BAD.key, Word.FAILED, Kind.CRASHED, attempt=2)), Look)


def test_a_store_that_does_not_say_is_asked_again_at_each_tick_until_it_does() -> None:
    alone = asked()
    assert not alone.quiet(Looked(BAD.key, stored=None))
    assert every(alone.wait(0.1), Look) == [Look(BAD.key)]
    assert not every(alone.wait(0.1), Look), "one look at a time"
    alone.quiet(Looked(BAD.key, stored=None))
    assert every(alone.wait(0.1), Look) == [Look(BAD.key)]
    assert [word.word for word in words(alone.quiet(Looked(BAD.key, stored=True)))] == [Word.STORED]
    assert not every(alone.wait(0.1), Look)


def test_a_store_that_answers_nothing_is_not_asked_until_it_does() -> None:
    alone = asked()
    alone.quiet(Looked(BAD.key, stored=None))
    alone.quiet(StoreAnswers(answers=False))
    assert not every(alone.wait(0.1), Look)
    alone.quiet(StoreAnswers(answers=True))
    assert every(alone.wait(0.1), Look) == [Look(BAD.key)]


def test_a_look_that_ended_without_an_answer_is_not_repeated_once_the_question_is_answered() -> None:
    alone = Alone.running()
    alone.unanswered = {Look, Write}
    write = the(alone.take(BAD), Write)
    alone.hear(*alone.asks(BAD))
    alone.quiet(Wrote(write.write, {}, answers=True))
    alone.quiet(Looked(BAD.key, stored=None))
    assert not every(alone.wait(0.1), Look)


def test_what_we_have_answered_is_not_looked_for_again() -> None:
    alone = asked()
    alone.quiet(Looked(BAD.key, stored=True))
    assert not alone.hear(alone.word(BAD.key, Word.FAILED, Kind.CRASHED, attempt=2))


def test_a_peer_that_stored_asks_nothing() -> None:
    alone = Alone.running()
    assert not alone.hear(alone.word(BAD.key, Word.STORED))


def test_of_many_written_at_once_those_that_were_asked_for_are_answered() -> None:
    alone = Alone.running()
    alone.unanswered = {Look, Write}
    others = [request(n) for n in range(1, 4)]
    alone.hear(*alone.asks(others[0], Kind.UNAVAILABLE), *alone.asks(others[2], Kind.TOO_NEW))
    write = the(alone.take(*others), Write)
    effects = alone.quiet(Wrote(write.write, {}, answers=True))
    assert [word.key for word in words(effects)] == [others[0].key, others[2].key]


def test_our_own_failed_without_a_stored_after_it_is_a_question_that_a_restart_goes_through() -> None:
    alone = Alone()
    alone.unanswered = {Look}
    failed = Said(BAD.key, ME, Word.FAILED, 1, 4, NOW.unix_us - 9, Kind.REJECTED, "before")
    effects = alone.run(Opened(ME, 1, "db"), Payload(BAD.key, encode_request(BAD).encode()), failed)
    assert every(effects, Look) == [Look(BAD.key)]
    effects = alone.quiet(Looked(BAD.key, stored=False))
    assert words(effects) == [Said(BAD.key, ME, Word.STORED, 1, 5, NOW.unix_us - 9)], "the numbers go on"
    assert not rows(effects)


def test_our_own_stored_is_no_question_whatever_a_peer_says() -> None:
    alone = Alone()
    stored = Said(BAD.key, ME, Word.STORED, 1, 4, NOW.unix_us)
    assert not every(alone.run(Opened(ME, 1, "db"), stored, *alone.asks(BAD)), Look)


def test_after_an_unclean_stop_what_is_asked_for_is_tried_in_a_child() -> None:
    alone = Alone(saved=[UNCLEAN])
    alone.unanswered = {Write}
    write = the(alone.run(*alone.asks(BAD)), Write)
    assert (write.requests, write.alone) == ([BAD], True)
    assert words(alone.quiet(Wrote(write.write, {}, answers=True))) == [STORED]


def test_a_question_on_what_is_a_case_already_is_answered_by_the_word_that_stands() -> None:
    alone = Alone.running()
    alone.refused()
    effects = alone.hear(*alone.asks(BAD))
    assert not words(effects)
    assert not every(effects, Write)


def test_a_question_on_what_was_stored_after_a_failure_is_answered_while_its_row_is_being_kept() -> None:
    alone = Alone.running()
    alone.refused()
    alone.fails.clear()
    alone.answers = True
    alone.wait(1.0)
    assert not alone.machine.cases.open
    assert not alone.hear(Said(BAD.key, PEER, Word.FAILED, 1, 1, 0, Kind.REJECTED)), "our word is in the ledger"
