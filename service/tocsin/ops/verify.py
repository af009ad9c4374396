"""Verify: do all regions hold the same? Every row, field by field through digests; each difference by its name.

Theory
------
The stores are walked side by side in key order: memory is bounded by a page a region, the rows of one parent, the marks
and a few words for each kept row. While requests are on their way, two right stores differ. So what is compared
strictly is only what every region must have by now: what was received before the lowest *complete-until* of the stores.
What is younger and missing somewhere is *not yet there*; what some region holds or has set aside is *not yet agreed*:
neither is a difference. After a quiet time everything counts (`everything=True`), and then agreement (promise 2) means
that each request is stored in all regions, quarantined in all, or dropped in all.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final, TypeVar

from tocsin.core.completeness import complete_until
from tocsin.core.entries import Entry
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.incidents import Incident
from tocsin.core.kept import Stage
from tocsin.engines.errors import EngineError
from tocsin.engines.store import Lost, Store
from tocsin.ops.comparison import (
    Difference,
    KeptFacts,
    compare_entry,
    compare_incidents,
    compare_marks,
    compare_records,
    missing_entry,
)
from tocsin.ops.documents import drained_regions
from tocsin.ops.scan import Damaged, EntryScan, IncidentScan

DIFFERENCES_MAX: Final = 1_000
"""So many differences are kept whole; all are counted."""
EVERYTHING_US: Final = 2**63
OPEN: Final = (Stage.HELD, Stage.ASIDE)
KEPT: Final = (*OPEN, Stage.QUARANTINED, Stage.DROPPED)
T = TypeVar("T")


class Outcome(StrEnum):
    """What a comparison found."""

    EQUAL = "equal"
    DIFFERENT = "different"
    INCONCLUSIVE = "inconclusive"
    """A store could not be read, or there was nothing to compare (strictly)."""


@dataclass(slots=True)
class Counts:
    """What one region's store holds. `dropped` counts keys with a person's word, `lost` records, `collisions` entries
    whose id an earlier one of their parent has with another digest: both are kept.
    """

    entries: int = 0
    incidents: int = 0
    quarantined: int = 0
    set_aside: int = 0
    held: int = 0
    dropped: int = 0
    lost: int = 0
    collisions: int = 0


@dataclass(slots=True)
class Report:
    """The result of a comparison."""

    complete_until_us: int
    """What was received before this (Unix microseconds) was compared strictly."""
    everything: bool
    regions: dict[str, Counts] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    """The first of them, in key order."""
    differing: int = 0
    """How many there are."""
    pending: int = 0
    """Rows not yet there, or whose incident is still moving."""
    not_agreed: list[Difference] = field(default_factory=list)
    """What is held or set aside somewhere; `region` has it, `field` is its stage."""
    lost: dict[str, list[Lost]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    """Stores that could not be read to their end, and why."""

    @property
    def outcome(self) -> Outcome:
        """What was found; a difference counts even when another store could not be read."""
        if self.differing:
            return Outcome.DIFFERENT
        rows = sum(counts.entries + counts.quarantined + counts.dropped for counts in self.regions.values())
        strictly = self.everything or self.complete_until_us > 0
        compared = rows and strictly and len(self.regions) > 1 and not self.unread
        return Outcome.EQUAL if compared else Outcome.INCONCLUSIVE


async def verify(
    stores: Mapping[str, Store],
    *,
    partitions: int,
    everything: bool = False,
    differences_max: int = DIFFERENCES_MAX,
    told: Callable[[int], None] | None = None,
) -> Report:
    """Compares the stores of all regions (name to store; reads only). `told` hears how many rows were read.

    A store that does not answer is named in `unread`, and the others are compared; raises nothing for it.
    """
    unread: dict[str, str] = {}
    drained = {name for words in (await _each(stores, drained_regions, unread)).values() for name in words}
    progress = await _each(_readable(stores, unread), lambda store: store.progress(), unread)
    until_us = [complete_until(rows, partitions, stores, drained) or 0 for rows in progress.values()]
    report = Report(max(0, min(until_us, default=0)), everything, unread=unread)
    await _Verification(_readable(stores, unread), report, differences_max, told or _nobody).run(partitions)
    return report


async def _each(
    stores: Mapping[str, Store], ask: Callable[[Store], Awaitable[T]], unread: dict[str, str]
) -> dict[str, T]:
    """What each store answers; who does not is written into `unread`."""
    answers = {}
    for region, store in stores.items():
        try:
            answers[region] = await ask(store)
        except (EngineError, ValueError, LookupError) as error:
            unread[region] = str(error)
    return answers


def _readable(stores: Mapping[str, Store], unread: Mapping[str, str]) -> dict[str, Store]:
    return {region: store for region, store in stores.items() if region not in unread}


def _nobody(_rows: int) -> None:
    """Nobody wants to know how far it is."""


class _Verification:
    """One comparison under way."""

    def __init__(
        self, stores: dict[str, Store], report: Report, differences_max: int, told: Callable[[int], None]
    ) -> None:
        self._stores = stores
        self._report = report
        self._bound_us = EVERYTHING_US if report.everything else report.complete_until_us
        self._differences_max = differences_max
        self._told = told
        self._rows = 0
        self._marks: dict[str, dict[RequestKey, tuple[int, bool]]] = {}
        self._kept: dict[str, dict[RequestKey, KeptFacts]] = {}
        self._keys_kept: set[RequestKey] = set()
        self._parents_open: set[Parent] = set()
        self._stored: set[tuple[str, RequestKey]] = set()

    async def run(self, partitions: int) -> None:
        """Fills the report: what is kept and marked is read first, so that what moves on meanwhile is expected."""
        report = self._report
        marks = await _each(self._stores, lambda store: store.scan_marks(), report.unread)
        lost = await _each(self._stores, lambda store: store.lost(), report.unread)
        for region, store in self._stores.items():
            if region in marks and region in lost:
                report.regions[region] = Counts(
                    dropped=sum(dropped for _, _, dropped in marks[region]),
                    lost=sum(some.end - some.start for some in lost[region]),
                )
                report.lost[region] = lost[region]
                self._marks[region] = {key: (number, dropped) for key, number, dropped in marks[region]}
                await self._read_kept(region, store, partitions)
        self._stores = _readable(self._stores, report.unread)
        await self._walk()
        self._compare_kept()
        self._compare_marks()

    async def _read_kept(self, region: str, store: Store, partitions: int) -> None:
        found = self._kept[region] = {}
        counts = self._report.regions[region]
        for partition in range(partitions):
            try:
                rows = await store.kept_rows(partition=partition, stages=KEPT)
                found |= {row.key: KeptFacts.of(row) for row in rows}
            except EngineError as error:
                self._report.unread[region] = str(error)
                return
            except ValueError as error:
                text = f"a row of partition {partition} cannot be read: {error}"
                self._add([Difference(region, "kept", f"partition {partition}", "row", text)])
        stages = [facts.stage for facts in found.values()]
        counts.held, counts.set_aside = stages.count(Stage.HELD), stages.count(Stage.ASIDE)
        counts.quarantined = stages.count(Stage.QUARANTINED)
        self._keys_kept |= found.keys()
        self._parents_open |= {key.parent for key, facts in found.items() if facts.stage in OPEN}

    def _add(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self._report.differing += 1
            if len(self._report.differences) < self._differences_max:
                self._report.differences.append(difference)

    # Entries and incidents, parent by parent --------------------------------------------------------------------

    async def _walk(self) -> None:
        scans = {region: (EntryScan(store), IncidentScan(store)) for region, store in self._stores.items()}
        while True:
            heads = []
            for region in list(scans):
                try:
                    heads += [await scan.head() for scan in scans[region]]
                except EngineError as error:
                    self._report.unread[region] = str(error)
                    del scans[region]
            parents = [parent for parent in heads if parent is not None]
            if not parents:
                break
            await self._step(min(parents, key=lambda parent: parent.place), scans)
        for region, (entries, incidents) in scans.items():
            if entries.damage is not None:
                self._report.unread[region] = entries.damage
            if incidents.hidden is not None:
                text = f"an incident of no parent that has entries cannot be read: {incidents.hidden}"
                self._add([Difference(region, "incident", "", "row", text)])

    async def _step(self, parent: Parent, scans: dict[str, tuple[EntryScan, IncidentScan]]) -> None:
        entries: dict[str, list[Entry]] = {}
        incidents: dict[str, list[Incident]] = {}
        for region in list(scans):
            try:
                entries[region] = await scans[region][0].take(parent)
                incidents[region] = await scans[region][1].take(parent)
            except Damaged as error:
                text = f"the incidents of {parent} cannot be read: {error}"
                self._add([Difference(region, "incident", _opening(entries[region]), "row", text)])
            except EngineError as error:
                self._report.unread[region] = str(error)
                entries.pop(region, None)
                del scans[region]
        for region, some in entries.items():
            self._report.regions[region].entries += len(some)
            self._report.regions[region].collisions += sum(
                one.key.id == next_one.key.id for one, next_one in pairwise(some)
            )
            self._report.regions[region].incidents += len(incidents.get(region, ()))
        self._rows += sum(map(len, entries.values()))
        self._told(self._rows)
        self._compare_entries(entries)
        self._compare_incidents(parent, entries, incidents)

    def _compare_entries(self, entries: Mapping[str, Sequence[Entry]]) -> None:
        rows: dict[RequestKey, dict[str, Entry]] = {}
        for region, some in entries.items():
            for entry in some:
                rows.setdefault(entry.key, {})[region] = entry
        for key in sorted(rows):
            there = rows[key]
            young = min(entry.received_us for entry in there.values()) >= self._bound_us
            found = list(compare_entry(there))
            strict = [difference for difference in found if not young or difference.field == "body"]
            self._add(strict)
            missing = [region for region in entries if region not in there]
            self._stored |= {(region, key) for region in there if key in self._keys_kept}
            if missing and key not in self._keys_kept and not self._is_dropped_by(entries, key):
                if young:
                    found.append(missing_entry(key, there, missing))
                else:
                    self._add([missing_entry(key, there, missing)])
            self._report.pending += len(found) > len(strict)

    def _is_dropped_by(self, regions: Iterable[str], key: RequestKey) -> bool:
        """Whether each of these regions has it marked: then the row itself need not be there."""
        return all(self._marks[region].get(key, (0, False))[1] for region in regions)

    def _compare_incidents(
        self, parent: Parent, entries: Mapping[str, Sequence[Entry]], incidents: Mapping[str, Sequence[Incident]]
    ) -> None:
        folded_from = {
            region: [entry for entry in entries[region] if not self._is_dropped_by([region], entry.key)]
            for region in incidents
        }
        differences = list(compare_incidents(folded_from, incidents))
        if not differences:
            return
        times_us = [entry.received_us for some in entries.values() for entry in some]
        times_us += [incident.updated_us for some in incidents.values() for incident in some]
        moving = max(times_us, default=0) >= self._bound_us or parent in self._parents_open
        if moving and not self._report.everything:
            self._report.pending += 1
        else:
            self._add(differences)

    # What is kept, and marks ------------------------------------------------------------------------------------

    def _compare_kept(self) -> None:
        regions = _readable(self._stores, self._report.unread)
        for key in sorted(self._keys_kept):
            rows = {region: self._kept[region][key] for region in regions if key in self._kept[region]}
            if not rows:
                continue
            states = {region: self._state(region, key) for region in regions}
            undecided = [region for region in regions if states[region] in OPEN]
            for region in undecided:
                self._not_agreed(region, key, states)
            if not undecided and len(set(states.values())) > 1:
                self._disagree(key, rows, states)
            self._add(compare_records(key, {r: facts for r, facts in rows.items() if facts.stage not in OPEN}))

    def _state(self, region: str, key: RequestKey) -> str:
        facts = self._kept[region].get(key)
        if self._is_dropped_by([region], key):
            return Stage.DROPPED
        if facts is None:
            return "stored" if (region, key) in self._stored else "unknown here"
        if facts.stage is Stage.QUARANTINED and (region, key) in self._stored:
            return "quarantined, and stored"
        return facts.stage

    def _not_agreed(self, region: str, key: RequestKey, states: Mapping[str, str]) -> None:
        elsewhere = "; ".join(f"{other}: {state}" for other, state in states.items() if other != region)
        text = f"{self._kept[region][key].reason} ({elsewhere or 'no other region was read'})"
        difference = Difference(region, "kept", key.printed, states[region], text)
        if len(self._report.not_agreed) < self._differences_max:
            self._report.not_agreed.append(difference)
        if self._report.everything:
            self._add([difference])

    def _disagree(self, key: RequestKey, rows: Mapping[str, KeptFacts], states: Mapping[str, str]) -> None:
        if max(max(facts.arrived_us, facts.since_us) for facts in rows.values()) >= self._bound_us:
            self._report.pending += 1
            return
        text = "; ".join(f"{region}: {state}" for region, state in states.items())
        self._add([Difference(",".join(states), "kept", key.printed, "stage", text)])

    def _compare_marks(self) -> None:
        """A person's word carries no time here: one that is missing somewhere may be on its way."""
        regions = _readable(self._stores, self._report.unread)
        for key in sorted({key for region in regions for key in self._marks[region]}):
            marks = {region: self._marks[region].get(key) for region in regions}
            numbers = {mark[0] if mark else 0 for mark in marks.values()}
            if len(numbers) > 1 and not self._report.everything:
                self._report.pending += 1
            else:
                self._add(compare_marks(key, marks))


def _opening(entries: Sequence[Entry]) -> str:
    """The printed key of a parent's first entry, to name what cannot name itself."""
    return min(entries, key=lambda entry: entry.order).key.printed if entries else ""
