"""One machine driven by hand: region `b`, whose peer `a` says only what the test has it say.

Where `harness.World` asks whether regions end in agreement, this asks what exactly a machine does, and when: every
effect is seen, and answered at once or not at all, as the test wants it.

    alone = Alone()
    alone.run()
    alone.fails[BAD.key] = REFUSED
    effects = alone.take(BAD)
    assert the(effects, Keep).kept.stage is Stage.HELD
"""

from collections.abc import Iterable, Mapping
from typing import Self, TypeVar

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
    Lose,
    LoseDone,
    Mark,
    MarkDone,
    Now,
    Save,
    SaveDone,
    Say,
    SetFetched,
    Tick,
    Write,
    Wrote,
)
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Kept
from tocsin.core.knowledge import Place
from tocsin.core.limits import Limits
from tocsin.core.partition import Partition
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import Record, Request, decode_records, encode_request
from tocsin.core.statements import (
    Beat,
    Payload,
    PersonWord,
    Promoted,
    Replica,
    RequestOrder,
    Said,
    Standing,
    Statement,
    Word,
)

ME, PEER = Replica("b", "blue"), Replica("a", "blue")
BAD = request(0)
NOW = Now(100.0, 1_700_000_100_000_000)
REFUSED = Failure(Kind.REJECTED, "refused by rule")
CRASHED = Failure(Kind.CRASHED, "it killed the child")
OUTAGE = Failure(Kind.UNAVAILABLE, "timed out")
EPOCH = 3

_E = TypeVar("_E")


def every(effects: Iterable[Effect], kind: type[_E]) -> list[_E]:
    """The effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def the(effects: Iterable[Effect], kind: type[_E]) -> _E:
    """The only effect of its kind."""
    (found,) = every(effects, kind)
    return found


def words(effects: Iterable[Effect]) -> list[Said]:
    """The words said."""
    return [word for say in every(effects, Say) for word in say.statements if isinstance(word, Said)]


def rows(effects: Iterable[Effect]) -> list[Kept]:
    """The rows kept."""
    return [keep.kept for keep in every(effects, Keep)]


def order(number: int, word: PersonWord, key: RequestKey = BAD.key) -> RequestOrder:
    """A person's word on a request."""
    return RequestOrder(key, number, word, "eve", NOW.unix_us, "because")


class Alone:
    """A machine, the clock, and what answers it."""

    def __init__(
        self,
        *,
        kept: Iterable[Kept] = (),
        saved: Iterable[ProgressRow] = (),
        limits: Limits = LIMITS,
        peers: tuple[str, ...] = ("a",),
        ends: Mapping[str, int] | None = None,
    ) -> None:
        self.now = NOW
        self.peers = peers
        self.fails: dict[RequestKey, Failure] = {}
        """What the store does not take."""
        self.stored: set[RequestKey] = set()
        self.answers = True
        """Whether the store answers anything."""
        self.unanswered: set[type[Effect]] = set()
        """Kinds of effects that are left open."""
        self.open: list[Effect] = []
        """What was left open."""
        self.log = 0
        self.machine = Partition(
            Place(ME, 7, EPOCH, "db", peers, frozenset({ME.region, *peers})),
            limits,
            NOW,
            sources={"requests": SourceProgress(Coordinates("b", "requests", "1", 0), Runs())},
            rows=list(saved),
            kept=list(kept),
            ends=ends,
        )

    def run(self, *statements: Statement) -> list[Effect]:
        """Reads a ledger that holds these, says the opening words and takes up work; returns all effects."""
        promoted = [Promoted(peer, 1, "blue") for peer in self.peers]
        return self.quiet(LedgerRead([*promoted, *statements], at_end=True))

    @classmethod
    def running(cls, limits: Limits = LIMITS, kept: Iterable[Kept] = ()) -> Self:
        """One that has taken up work and heard a healthy peer."""
        alone = cls(limits=limits, kept=kept)
        alone.run()
        alone.wait(0.0)
        alone.hear(alone.standing())
        return alone

    def step(self, event: Input) -> list[Effect]:
        """One step, without answers."""
        return self.machine.step(event, self.now)

    def quiet(self, *events: Input) -> list[Effect]:
        """Steps, and what follows from the answers, until all is answered; returns all effects in order."""
        found, waiting = [], list(events)
        while waiting:
            for effect in self.step(waiting.pop(0)):
                found.append(effect)
                if type(effect) in self.unanswered:
                    self.open.append(effect)
                else:
                    waiting += self.answer(effect)
        return found

    def answer(self, effect: Effect) -> list[Input]:
        """What the shell would answer."""
        known = self.machine.known
        match effect:
            case Say(statements=statements):
                return [Acknowledged(statements)]
            case Look(key=key):
                return [Looked(key, stored=key in self.stored if self.answers else None)]
            case Count(service=service):
                return [BudgetIs(known.counted | {service}, spent=known.spent)]
            case Keep(kept=kept):
                return [KeptDone(kept.key, kept.version, ok=self.answers)]
            case Mark(key=key, number=number):
                return [MarkDone(key, number, ok=self.answers)]
            case Save():
                return [SaveDone(ok=self.answers)]
            case Lose(source=source, start=start, end=end):
                return [LoseDone(source, start, end)]
            case Write(write=write, requests=requests):
                outage = dict.fromkeys((one.key for one in requests), OUTAGE) if not self.answers else self.fails
                failures = {i: outage[one.key] for i, one in enumerate(requests) if one.key in outage}
                self.stored |= {one.key for i, one in enumerate(requests) if i not in failures}
                return [Wrote(write, failures, answers=self.answers)]
            case _:
                return []

    def wait(self, seconds: float) -> list[Effect]:
        """Time passes, and the machine is told."""
        self.now = Now(self.now.mono_s + seconds, self.now.unix_us + round(seconds * 1e6))
        return self.quiet(Tick())

    def fetched(self, *records: Record | Request) -> SetFetched:
        """The next set of our own log."""
        taken = [encode_request(one) if isinstance(one, Request) else one for one in records]
        start, self.log = self.log, self.log + len(taken)
        return SetFetched("requests", start, range(start, self.log), taken, decode_records(taken), self.log, 0)

    def take(self, *records: Record | Request) -> list[Effect]:
        """The next set of our own log arrives, and is answered."""
        return self.quiet(self.fetched(*records))

    def hear(self, *statements: Statement) -> list[Effect]:
        """Statements arrive in a ledger."""
        return self.quiet(LedgerRead(statements))

    def refused(self, one: Request = BAD) -> list[Effect]:
        """Our log delivers a request that our store refuses."""
        self.fails[one.key] = REFUSED
        return self.take(one)

    def peer_refuses(self, one: Request = BAD) -> list[Effect]:
        """The peer says that it refused it too."""
        return self.hear(self.word(one.key, Word.FAILED, Kind.REJECTED))

    def word(self, key: RequestKey, word: Word, kind: Kind | None = None, *, attempt: int = 1) -> Said:
        """A word of the peer's."""
        return Said(key, PEER, word, 1, attempt, NOW.unix_us, kind)

    def asks(self, one: Request, kind: Kind = Kind.REJECTED) -> list[Statement]:
        """The peer could not store a request: its question, with the delivery."""
        return [Payload(one.key, encode_request(one).encode()), self.word(one.key, Word.FAILED, kind)]

    def standing(self, number: int = 1, *, halted: bool = False, ill: bool = False, hears: bool = True) -> Standing:
        """A heartbeat of the peer's; `hears` says whether it echoes our latest."""
        mine = self.machine.known.book.region_standing(ME.region)
        heard = {ME.region: mine.beat} if mine is not None and hears else {}
        return Standing(
            replica=PEER,
            beat=Beat(1, number),
            at_us=self.now.unix_us,
            halted=halted,
            ill=ill,
            draining=False,
            lag_s=0.0,
            schema=1,
            incarnation=1,
            heard=heard,
        )
