"""What does the state machine of a partition cost for each good message?

The same records, in sets of 500, twice: a bare loop that only decodes them, and the partition machine, which is given
the decoded set, hands out the write and takes its acknowledgement in, while one request is held, so that nothing can be
taken lightly: the watermark stands still and every offset above it is remembered. Writes, ledger and saves are answered
at once; what is left is our own work at zero work of others. Time goes in as an argument, and stands so that progress
is saved as often as it would be at 10,000 records a second.

The limit is our own bare loop in the same run. (A rival's figures for the best-known library at zero work are 5.3 times
a bare consumer.)
"""

from collections.abc import Sequence
from typing import Final

from benchmarks.measure import SET_RECORDS, Answer, Options, batches, make_requests, median_seconds, publish
from tocsin.core.effects import Acknowledged, Effect, LedgerRead, Now, Save, SaveDone, Say, SetFetched, Write, Wrote
from tocsin.core.failures import Failure, Kind
from tocsin.core.knowledge import Place
from tocsin.core.limits import Limits
from tocsin.core.partition import Partition
from tocsin.core.progress import Coordinates, Runs, SourceProgress
from tocsin.core.requests import Record, decode_records, encode_request
from tocsin.core.statements import Replica

RECORDS: Final = 100_000
ROUNDS: Final = 7
SET_S: Final = SET_RECORDS / 10_000
SOURCE: Final = "a"
UNIX_US: Final = 1_760_000_000_000_000


class Driver:
    """Answers what the machine asks for, at once and well; but request number 0 is refused."""

    def __init__(self) -> None:
        place = Place(Replica("a", "blue"), 0, 1, "database", ("b",), frozenset({"a", "b"}))
        account = SourceProgress(Coordinates("cluster", "requests", "incarnation", 0), Runs())
        self._mono_s = 0.0
        self.machine = Partition(place, Limits(), self._now(), sources={SOURCE: account}, rows=[], kept=[])
        self._carry_out(self.machine.step(LedgerRead((), at_end=True), self._now()))

    def _now(self) -> Now:
        # The wall clock stands still: the request that is held waits for its peer's answer within its deadline.
        return Now(self._mono_s, UNIX_US)

    def take(self, offset: int, records: Sequence[Record]) -> None:
        """One message set, from its decoding to its acknowledgement."""
        self._mono_s += SET_S
        end = offset + len(records)
        fetched = SetFetched(SOURCE, offset, range(offset, end), records, decode_records(records), end, 0)
        self._carry_out(self.machine.step(fetched, self._now()))
        self.machine.fetches()

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Write(write=write, requests=requests):
                    refused = {0: Failure(Kind.REJECTED, "made up")} if requests[0].received_us == UNIX_US else {}
                    self._carry_out(self.machine.step(Wrote(write, refused, answers=True), self._now()))
                case Say(statements=statements):
                    self._carry_out(self.machine.step(Acknowledged(statements), self._now()))
                case Save():
                    self._carry_out(self.machine.step(SaveDone(ok=True), self._now()))
                case _:
                    pass


def bare_loop(sets: Sequence[Sequence[Record]]) -> None:
    for records in sets:
        decode_records(records)


def machine_loop(sets: Sequence[Sequence[Record]]) -> Partition:
    driver = Driver()
    offset = 0
    for records in sets:
        driver.take(offset, records)
        offset += len(records)
    return driver.machine


def main() -> None:
    options = Options.read()
    quick = options.quick
    count = RECORDS // 10 if quick else RECORDS
    sets = list(batches([encode_request(request) for request in make_requests(count, parents=2_000)]))
    machine = machine_loop(sets)
    assert list(machine.sources.runs(SOURCE)) == [(1, count)], "everything but the first request is done, as one run"
    assert machine.cases.held == 1
    times = median_seconds(
        {"bare": lambda: bare_loop(sets), "machine": lambda: machine_loop(sets)}, 3 if quick else ROUNDS
    )
    publish(
        "bookkeeping",
        Answer(
            question="What does the state machine of a partition cost for each good message?",
            ours={"us_per_record": 1e6 * times["machine"] / count, "records_per_s": count / times["machine"]},
            peers={
                "bare loop that only decodes": {
                    "us_per_record": 1e6 * times["bare"] / count,
                    "records_per_s": count / times["bare"],
                }
            },
            ratio=times["machine"] / times["bare"],
            ratio_of="time with the machine to that of the bare loop",
            better="lower",
            floor=1.5,
            aim=1.25,
            sizes={"records": count, "set_records": SET_RECORDS, "rounds": 3 if quick else ROUNDS},
        ),
        options,
    )


if __name__ == "__main__":
    main()
