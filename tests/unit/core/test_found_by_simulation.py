"""Defects of the core that the simulation (tests/simulation) found, each by its trace."""

from collections.abc import Callable, Sequence

import msgspec

from tests.unit.core.harness import LIMITS, request
from tocsin.core.effects import (
    Acknowledged,
    BudgetIs,
    Count,
    Effect,
    Input,
    Keep,
    KeptDone,
    LedgerRead,
    Look,
    Looked,
    Now,
    Save,
    SaveDone,
    Say,
    SetFetched,
    Stop,
    StoreAnswers,
    Tick,
    Write,
    Wrote,
)
from tocsin.core.failures import Failure, Kind
from tocsin.core.kept import Kept, Stage
from tocsin.core.knowledge import Place
from tocsin.core.partition import Partition
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import SCHEMA, Arrival, Record, Request, Unreadable, decode_record, encode_request
from tocsin.core.statements import Beat, Opened, Payload, Promoted, Replica, Said, Standing, Statement, Word
from tocsin.core.verdict import INCOMPLETE

ME, PEER = Replica("b", "blue"), Replica("a", "blue")
LATER = request(0)
EARLIER = LATER._replace(received_us=LATER.received_us - 1, region="a")
REFUSED = Failure(Kind.REJECTED, "the store refuses this row")
OUTAGE = Failure(Kind.UNAVAILABLE, "no answer")
TOO_NEW = Failure(Kind.TOO_NEW, "schema version 2 is above ours, 1")
NOTHING: Callable[[Request], Failure | None] = lambda _: None  # noqa: E731 - what ails a store that is well


class Bench:
    """A machine on a ledger, a store and a budget that answer at once. Writes are answered when a test says so."""

    def __init__(self, kept: Sequence[Kept] = (), said: Sequence[Statement] = (), *, unclean: bool = False) -> None:
        self.now = Now(100.0, 1_700_000_100_000_000)
        self.rows: dict[object, Kept] = {row.key: row for row in kept}
        self.entries: dict[object, Arrival] = {}
        self.said: list[Statement] = []
        self.saved: list[ProgressRow] = []
        self.counted: set[str] = set()
        self.writes: list[Write] = []
        source = SourceProgress(Coordinates("b", "requests", "1", 0), Runs(), reach=2 if unclean else 0)
        self.machine = Partition(
            Place(ME, 0, 2, "db", ("a",), frozenset({"a", "b"})),
            LIMITS,
            self.now,
            sources={"requests": SourceProgress(source.coordinates, Runs())},
            rows=[ProgressRow(0, 1, clean=False, sources={"requests": source})] if unclean else [],
            kept=list(kept),
            ends={"requests": 9},
        )
        self.step(LedgerRead([Promoted("a", 1, "blue"), *said], at_end=True))

    def step(self, event: Input) -> None:
        """One input, and all that follows of it."""
        waiting = [event]
        while waiting:
            for effect in self.machine.step(waiting.pop(0), self.now):
                waiting += self._answers(effect)

    def _answers(self, effect: Effect) -> list[Input]:
        match effect:
            case Say(statements=statements):
                self.said += statements
                return [Acknowledged(statements)]
            case Keep(kept=kept):
                self.rows[kept.key] = kept
                return [KeptDone(kept.key, kept.version, ok=True)]
            case Look(key=key):
                return [Looked(key, stored=key in self.entries)]
            case Count(service=service):
                self.counted.add(service)
                return [BudgetIs(frozenset(self.counted), spent=False)]
            case Save(row=row):
                self.saved.append(row)
                return [SaveDone(ok=True)]
            case Write():
                self.writes.append(effect)
        return []

    def fetch(self, *requests: Request) -> None:
        """The log delivers a set."""
        self.fetch_records([encode_request(one) for one in requests], requests)

    def fetch_records(self, records: Sequence[Record], contents: Sequence[Request | Unreadable]) -> None:
        """The log delivers a set, as this release reads it."""
        start = self.machine.sources.position("requests")
        end = start + len(records)
        self.step(SetFetched("requests", start, range(start, end), records, contents, end, 0))

    def write(self, failure: Callable[[Request], Failure | None] = NOTHING) -> None:
        """The store answers the oldest write."""
        write = self.writes.pop(0)
        failures = {i: bad for i, one in enumerate(write.requests) if (bad := failure(one)) is not None}
        for index, one in enumerate(write.requests):
            if index not in failures:
                self.entries[one.key] = min(one.arrival, self.entries.get(one.key, one.arrival))
        self.step(Wrote(write.write, failures, answers=True))

    def wait(self, seconds: float) -> None:
        """Time passes, and the peer is heard."""
        self.now = Now(self.now.mono_s + seconds, self.now.unix_us + round(seconds * 1e6))
        beats = [one.beat for one in self.said if isinstance(one, Standing)]
        heard = {"b": beats[-1]} if beats else {}
        beat = Beat(1, round(self.now.mono_s * 1000))
        standing = Standing(
            PEER, beat, 0, halted=False, ill=False, draining=False, lag_s=0, schema=2, incarnation=1, heard=heard
        )
        self.step(Tick())
        self.step(LedgerRead([standing]))

    def peer_says(self, word: Word, kind: Kind | None = None) -> None:
        """The peer's word on the request, with its payload."""
        payload = Payload(LATER.key, encode_request(LATER).encode())
        self.step(LedgerRead([payload, Said(LATER.key, PEER, word, 1, 1, 0, kind)]))

    @property
    def row(self) -> Kept:
        """What is kept of the request."""
        return self.rows[LATER.key]

    @property
    def stage(self) -> Stage:
        """Where the request is."""
        return self.row.stage

    @property
    def low(self) -> int:
        """How far all is done."""
        return self.machine.sources.runs("requests").low

    def words(self) -> list[Word]:
        """What was said of the request, in order."""
        return [one.word for one in self.said if isinstance(one, Said)]


def refuse_the_earlier(one: Request) -> Failure | None:
    return REFUSED if one.arrival == EARLIER.arrival else None


def assert_incomplete(bench: Bench) -> None:
    """The request is not in question, and its row is still to come."""
    assert bench.stage is Stage.ASIDE
    assert bench.row.decisions[-1].row == INCOMPLETE
    assert arrival_of(bench.row) == EARLIER.arrival
    assert not bench.machine.halted
    assert bench.words()[-1] is Word.STORED


def arrival_of(kept: Kept) -> Arrival:
    content = decode_record(Record.decode(kept.record))
    assert isinstance(content, Request)
    return content.arrival


def test_an_earlier_copy_that_is_refused_after_a_later_one_was_stored_is_tried_until_it_is_the_entry() -> None:
    """Like seed 209: it was given up, and regions kept rows that differ in when and where they were received."""
    bench = Bench()
    bench.peer_says(Word.FAILED, Kind.UNAVAILABLE)
    bench.fetch(LATER)
    while bench.writes:
        bench.write()
    assert bench.words() == [Word.STORED]
    bench.fetch(EARLIER)
    bench.write(refuse_the_earlier)
    bench.peer_says(Word.STORED)
    assert_incomplete(bench)
    assert not bench.counted, "nothing of it is skipped"
    assert bench.low == 2, "kept whole, so nobody waits for it"
    bench.wait(LIMITS.aside_retry_max_s * 2)
    bench.write()
    assert bench.stage is Stage.DONE
    assert bench.entries[LATER.key] == EARLIER.arrival


def test_an_outage_gives_an_earlier_copy_its_grace_and_never_gives_it_up() -> None:
    bench = Bench()
    bench.peer_says(Word.FAILED, Kind.UNAVAILABLE)
    bench.fetch(LATER)
    while bench.writes:
        bench.write()
    bench.fetch(EARLIER)
    bench.write(lambda _: OUTAGE)
    assert bench.stage is Stage.HELD
    bench.wait(LIMITS.grace_s * 2)
    assert_incomplete(bench)


def test_a_later_copy_that_is_stored_does_not_end_the_case_of_an_earlier_one() -> None:
    """Two sets are being written, each with a copy. The earlier one failed, the later one was stored, and its
    acknowledgement closed the case.
    """
    bench = Bench()
    bench.fetch(EARLIER)
    bench.fetch(LATER)
    bench.write(refuse_the_earlier)
    bench.write()
    assert_incomplete(bench)
    bench.wait(LIMITS.aside_retry_max_s * 2)
    bench.write()
    assert bench.stage is Stage.DONE


def test_a_copy_that_comes_while_a_later_one_is_tried_is_tried_too() -> None:
    bench = Bench()
    bench.fetch(LATER)
    bench.write(lambda _: OUTAGE)
    bench.wait(LIMITS.retry_max_s * 2)
    bench.fetch(EARLIER)
    assert [one.requests for one in bench.writes] == [[LATER]]
    bench.write()
    bench.wait(LIMITS.retry_max_s)
    assert [one.requests for one in bench.writes] == [[EARLIER]]
    bench.write()
    assert bench.entries[LATER.key] == EARLIER.arrival
    assert bench.low == 2


def test_a_row_that_is_found_before_a_quarantine_answers_the_peer_and_does_not_end_the_case() -> None:
    """Seeds 166 and 309: the entry was written and its incident refused; the case ended with the entry that was found,
    and the incident was missing for ever.
    """
    bench = Bench()
    bench.entries[LATER.key] = LATER.arrival
    bench.fetch(EARLIER)
    bench.write(refuse_the_earlier)
    bench.peer_says(Word.FAILED, Kind.REJECTED)
    assert bench.words() == [Word.FAILED, Word.STORED]
    assert_incomplete(bench)


def test_a_row_that_is_found_is_said_once_the_case_is_kept() -> None:
    """In between the process may die, and once `stored` is said nobody delivers the request again."""
    bench = Bench()
    bench.entries[LATER.key] = LATER.arrival
    bench.fetch(LATER)
    bench.write(lambda _: REFUSED)
    order: list[str] = []
    real = bench._answers

    def noting(effect: Effect) -> list[Input]:
        match effect:
            case Keep():
                order.append("kept")
            case Say(statements=[Said(word=Word.STORED)]):
                order.append("stored")
        return real(effect)

    bench._answers = noting  # type: ignore[method-assign]
    bench.peer_says(Word.FAILED, Kind.REJECTED)
    assert order.index("kept") < order.index("stored")


def test_what_is_incomplete_stays_so_over_a_restart() -> None:
    before = Bench()
    before.fetch(EARLIER)
    before.fetch(LATER)
    before.write(refuse_the_earlier)
    before.write()
    opened = Opened(ME, 1, "db")
    bench = Bench([before.row], [opened, *(one for one in before.said if isinstance(one, Said))])
    bench.peer_says(Word.STORED)
    assert bench.row.decisions[-1].row == INCOMPLETE
    assert not bench.machine.halted
    assert bench.words() == [], "what stands in the ledger is the answer"
    bench.wait(LIMITS.aside_retry_max_s)
    bench.write()
    assert bench.stage is Stage.DONE


def test_of_copies_that_are_too_new_the_earliest_is_kept() -> None:
    """Seed 209: an older release could not tell which copy came first, kept the one that it met first, and called the
    other one done.
    """
    bench = Bench()
    for one in (LATER, EARLIER):
        bench.fetch_records(
            [encode_request(one)], [Unreadable(one.key, TOO_NEW.reason, too_new=True, arrival=one.arrival)]
        )
    assert bench.stage is Stage.ASIDE
    assert bench.row.kind is Kind.TOO_NEW
    assert arrival_of(bench.row) == EARLIER.arrival
    upgraded = Bench([bench.row], [Opened(ME, 1, "db")])
    upgraded.wait(LIMITS.aside_retry_max_s)
    upgraded.write()
    assert upgraded.entries[LATER.key] == EARLIER.arrival


def test_what_can_be_read_is_not_given_up_for_an_earlier_copy_that_cannot() -> None:
    bench = Bench()
    bench.fetch(LATER)
    bench.write(lambda _: REFUSED)
    unread = Unreadable(EARLIER.key, TOO_NEW.reason, too_new=True, arrival=EARLIER.arrival)
    bench.fetch_records([encode_request(EARLIER)], [unread])
    bench.wait(LIMITS.retry_max_s)
    assert [one.requests for one in bench.writes] == [[LATER]]


def test_after_an_unclean_stop_what_the_ledger_delivered_is_written_again_though_its_row_is_here() -> None:
    """Who wrote the row may have died before the incident was folded, and no offset of a log would bring it again."""
    payload = Payload(LATER.key, encode_request(LATER).encode())
    question = Said(LATER.key, PEER, Word.FAILED, 1, 1, 0, Kind.REJECTED)
    for unclean in (True, False):
        bench = Bench(said=[Opened(ME, 1, "db")], unclean=unclean)
        bench.entries[LATER.key] = LATER.arrival
        bench.machine.known.suspects.update([LATER.key] if unclean else [])
        bench.step(LedgerRead([payload, question]))
        assert [one.requests for one in bench.writes] == ([[LATER]] if unclean else [])
        if unclean:
            bench.write()
        assert bench.words() == [Word.STORED]


def test_copies_of_what_is_on_trial_are_tried_in_the_child_too() -> None:
    """Seed 368: a request that hangs was on trial; a copy of it came in a later set, and hung the creator."""
    bench = Bench(unclean=True)
    bench.fetch(LATER, request(1))
    assert [one.alone for one in bench.writes] == [True]
    bench.fetch(EARLIER)
    assert [one.alone for one in bench.writes] == [True, True]
    bench.write()
    bench.write()
    bench.fetch(request(0))
    assert [one.alone for one in bench.writes] == [False], "the trial found nothing"


def test_what_waits_on_trial_for_a_silent_store_is_still_suspect_after_a_stop() -> None:
    bench = Bench(unclean=True)
    bench.fetch(LATER, request(1))
    write = bench.writes.pop(0)
    bench.step(Wrote(write.write, {0: OUTAGE, 1: OUTAGE}, answers=False))
    bench.step(StoreAnswers(answers=False))
    bench.step(Stop())
    assert bench.saved
    assert not bench.saved[-1].clean


def test_what_cannot_be_read_is_said_when_a_silent_store_answers_again() -> None:
    """Seed 634: a peer's question came while the store answered nothing. The request cannot be decoded, so there was
    nothing to be tried when it answered again, and nothing was ever said.
    """
    bench = Bench()
    bench.peer_says(Word.FAILED, Kind.UNAVAILABLE)
    bench.step(Wrote(bench.writes.pop(0).write, {0: OUTAGE}, answers=False))
    garbage = Record(b"no parent", b"no body")
    content = decode_record(garbage)
    assert isinstance(content, Unreadable)
    question = Said(content.key, PEER, Word.FAILED, 1, 1, 0, Kind.REJECTED)
    bench.step(LedgerRead([Payload(content.key, garbage.encode()), question]))
    assert len(bench.words()) == 1, "an outage says its head"
    bench.step(StoreAnswers(answers=True))
    assert len(bench.words()) == 2
    assert bench.rows[content.key].stage is Stage.QUARANTINED


def test_a_quarantine_that_an_older_release_cannot_read_is_tried_again_by_the_next() -> None:
    """Seed 652: the older release said `too new` of what was quarantined; under the next the case was not retried,
    nor reopened when a peer stored the request.
    """
    refusing = Bench()
    refusing.fetch(LATER)
    refusing.write(lambda _: REFUSED)
    refusing.peer_says(Word.FAILED, Kind.REJECTED)
    assert refusing.stage is Stage.QUARANTINED
    words = [one for one in refusing.said if isinstance(one, Said)]
    newer = encode_request(LATER._replace(schema=SCHEMA + 1)).encode()
    older = Bench([msgspec.structs.replace(refusing.row, record=newer)], [Opened(ME, 1, "db"), *words])
    assert older.words() == [Word.FAILED]
    assert older.stage is Stage.ASIDE
    words += [one for one in older.said if isinstance(one, Said)]
    record = encode_request(LATER).encode()
    upgraded = Bench([msgspec.structs.replace(older.row, record=record)], [Opened(ME, 1, "db"), *words])
    upgraded.wait(LIMITS.aside_retry_max_s)
    upgraded.write()
    assert upgraded.stage is Stage.DONE
