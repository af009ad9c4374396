"""The ledger as a person reads it and speaks in it: the books of all reachable ledgers, and a person's words.

Theory
------
Each region's log holds its own ledger and a mirrored copy of every peer's, so one reachable region is enough to read
what all have said; merging what several hold changes nothing but adds what a mirror has not brought yet. A person's
word is said in *one* region's ledger, the first that takes it, and is mirrored to all. It is a numbered register, so
saying it twice, or in two regions after an unclear answer, does no harm.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from tocsin.core.book import Book
from tocsin.core.ids import RequestKey
from tocsin.core.requests import Record
from tocsin.core.statements import PersonWord, RegionOrder, RequestOrder, Word, decode_statement, encode_statement
from tocsin.engines.errors import EngineError, Unavailable
from tocsin.engines.log import Log
from tocsin.topology import Topology

RECORDS_MAX: Final = 1_000
BYTES_MAX: Final = 4 * 1024 * 1024


class Speaker(NamedTuple):
    """Who says something, when (Unix microseconds), and why."""

    by: str
    at_us: int
    why: str


class Ledgers:
    """All statements of the reachable ledgers, as a book a partition."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.books: dict[int, Book] = {}
        self.read: list[str] = []
        """The topics that were read to their end, as `region: topic`."""
        self.unread: dict[str, str] = {}
        """The others, and why they were not."""

    @classmethod
    async def read_from(
        cls, logs: Mapping[str, Log], topology: Topology, partitions: Iterable[int] | None = None
    ) -> "Ledgers":
        """Reads what these logs (by region) have in their ledgers now, of some partitions or all.

        What cannot be read is named in `unread`; raises nothing for it.
        """
        ledgers = cls(topology.regions[0].partitions)
        numbers = range(ledgers.partitions) if partitions is None else tuple(partitions)
        for region, log in logs.items():
            for topic in topology.region(region).ledger_topics.values():
                place = f"{region}: {topic}"
                try:
                    if await log.topic(topic) is None:
                        ledgers.unread[place] = "there is no such topic: no creator of this region has ever run"
                        continue
                    for partition in numbers:
                        await _read(log, topic, partition, ledgers.books.setdefault(partition, Book()))
                except EngineError as error:
                    ledgers.unread[place] = str(error)
                else:
                    ledgers.read.append(place)
        return ledgers

    def keys(self) -> dict[RequestKey, int]:
        """The requests of which anyone said anything, with the partition where it was said."""
        return {
            key: partition
            for partition, book in self.books.items()
            for key in (*book.words, *book.orders, *book.payloads)
        }

    def book(self, partition: int) -> Book:
        """The book of a partition, an empty one where nothing was said."""
        return self.books.get(partition) or Book()

    def disputed(self, region: str, since_us: int) -> dict[RequestKey, int]:
        """The requests of which this region has said `stored` since then, and another one `failed`; with partitions."""
        return {
            key: partition
            for partition, book in self.books.items()
            for key, words in book.words.items()
            if (said := book.region_word(key, region)) is not None
            and said.word is Word.STORED
            and said.since_us >= since_us
            and any(
                (other := book.region_word(key, replica.region)) is not None and other.word is Word.FAILED
                for replica in words
                if replica.region != region
            )
        }

    def request_order(self, key: RequestKey, partition: int, word: PersonWord, speaker: Speaker) -> RequestOrder:
        """The next word on a request: its number is above all that are known."""
        last = self.book(partition).orders.get(key)
        return RequestOrder(key, last.number + 1 if last else 1, word, *speaker)

    def region_order(self, region: str, word: PersonWord, speaker: Speaker) -> RegionOrder:
        """The next word on a region: its number is above all that are known in any partition."""
        known = [book.region_orders[region].number for book in self.books.values() if region in book.region_orders]
        return RegionOrder(region, max(known, default=0) + 1, word, *speaker)

    def latest_region_order(self, region: str) -> RegionOrder | None:
        """The highest word on a region in any partition, None when nobody said any."""
        said = [book.region_orders[region] for book in self.books.values() if region in book.region_orders]
        return max(said, key=lambda order: order.order, default=None)

    def is_said_everywhere(self, order: RegionOrder) -> bool:
        """Whether a word on a region stands in every partition: one that was said in part must be said again."""
        return all(self.book(number).region_orders.get(order.region) == order for number in range(self.partitions))

    def is_drained(self, region: str, *, founding: bool) -> bool:
        """Whether a region counts as drained or removed, or waits for its first `joined`."""
        order = self.latest_region_order(region)
        return order.word is not PersonWord.JOINED if order else not founding


async def _read(log: Log, topic: str, partition: int, book: Book) -> None:
    """Merges a ledger partition, as it is now, into the book."""
    offset, end = await log.bounds(topic, partition)
    while offset < end:
        fetched = await log.fetch(topic, partition, offset, records_max=RECORDS_MAX, bytes_max=BYTES_MAX, wait_s=0.0)
        book.merge_all(decode_statement(record.key, record.value) for _, record in fetched.records)
        offset = fetched.next_offset


async def say(
    logs: Mapping[str, Log], topology: Topology, orders: Mapping[int, Sequence[RequestOrder | RegionOrder]]
) -> str:
    """Says a person's words, by partition, in the ledger of the first region that takes them all; returns its name.

    Raises `Unavailable` when none does: then what was said in part is named nowhere else, and may be said again.
    """
    failures = []
    for region, log in logs.items():
        topic = topology.region(region).ledger
        try:
            for partition, some in orders.items():
                records = [Record(*encode_statement(order)) for order in some]
                for start in range(0, len(records), RECORDS_MAX):
                    await log.append(topic, partition, records[start : start + RECORDS_MAX])
        except EngineError as error:
            failures.append(f"{region}: {error}")
        else:
            return region
    why = "; ".join(failures) or "no region's log can be reached"
    raise Unavailable(f"no ledger took the words, so nothing can be counted on to have changed ({why}). Say them again")
