"""The watch: promises that are checked while a run is under way, at the moment at which they would be broken.

It looks at every step of every real partition machine, and at every change that a store applies. What a machine decided
is judged by what its own book says and by what really is in the stores, in words of its own: not by the table.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

from tests.simulation.loop import PROCESS
from tests.simulation.site import Site
from tests.simulation.world import World
from tocsin.core.budget import Budget
from tocsin.core.case import Case
from tocsin.core.cases import BUDGET_ROW
from tocsin.core.documents import BUDGET
from tocsin.core.effects import Effect, Input, Keep, Now
from tocsin.core.entries import Entry
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Kept, Stage
from tocsin.core.knowledge import Knowledge
from tocsin.core.partition import Partition, Phase
from tocsin.core.progress import ProgressRow, Runs
from tocsin.core.requests import Tick, decode_record
from tocsin.core.statements import Word
from tocsin.core.verdict import Verdict

ALL_HALTED_S_MAX: Final = 14.0
"""Regions that halt on each other find out within the limits of asking and answering; longer is a breach."""
ILL_AFTER_S: Final = 12.0
"""An outage that ended so long ago can still be the reason why a machine is ill."""


def states_of(machine: Partition, now: Now) -> frozenset[str]:
    """Where a machine is, in the words of the coverage table."""
    if machine.phase is not Phase.RUNNING:
        return frozenset({_PHASES[machine.phase]})
    states = {_state_of(case) for case in machine.cases.open.values()} if machine.cases.open else set()
    if not machine.known.answers:
        states.add("ill" if machine.known.is_ill(now) else "silent")
    if machine._stopping:
        states.add("stopping")
    return frozenset(states - {""}) or (_WRITING if machine._hands else _QUIET)


_PHASES: Final = {Phase.READING: "reading", Phase.ANNOUNCING: "announcing", Phase.STOPPED: "stopping"}
_WRITING: Final = frozenset({"writing"})
_QUIET: Final = frozenset({"quiet"})
_STAGES: Final = {Stage.ASIDE: "SET_ASIDE", Stage.QUARANTINED: "QUARANTINE", Stage.DROPPED: "DROPPED", Stage.DONE: ""}


def _state_of(case: Case) -> str:
    if case.stage is not Stage.HELD:
        return _STAGES[case.stage]
    if case.row == BUDGET_ROW:
        return "SPENT"
    return str(case.verdict) if case.verdict else "undecided"


class Watch:
    """Watches one world. `seen` hears the states of a machine whenever they change: region, states."""

    def __init__(self, world: World, seen: Callable[[str, frozenset[str]], None]) -> None:
        self.states: dict[tuple[str, int], frozenset[str]] = {}
        self.truncated: dict[str, set[RequestKey]] = defaultdict(set)
        """What retention took of a region's log, read or not."""
        self.trouble_until_s: dict[str, float] = {}
        """When the store of a region, or what talks to it, was last in trouble."""
        self._world = world
        self._seen = seen
        self._stored: dict[str, set[RequestKey]] = defaultdict(set)
        """What a region's store has ever held."""
        self._checked: dict[tuple[str, int, str], Runs] = {}
        self._all_halted_since_s: float | None = None
        for site in world.sites.values():
            site.database.told.append(self._applied(site))

    def present(self, region: str) -> frozenset[str]:
        """The states of the machines that live in a region now."""
        creators = self._world.sites[region].creators.values()
        owned = {partition for creator in creators for partition in creator._owners}
        return frozenset().union(*(self.states.get((region, number), frozenset()) for number in owned))

    def restored(self, region: str) -> None:
        """The data of a region are those of a backup: what its progress says is checked again, from the start."""
        for place in [place for place in self._checked if place[0] == region]:
            del self._checked[place]
        for row in self._world.sites[region].rows.progress():
            self._progress_saved(self._world.sites[region], row)

    # Machines -----------------------------------------------------------------------------------------------------

    @contextmanager
    def over_machines(self) -> Iterator[None]:
        """Within it every step of every machine is looked at."""
        real = Partition.step

        def step(machine: Partition, event: Input, now: Now) -> list[Effect]:
            effects = real(machine, event, now)
            self._stepped(machine, effects, now)
            return effects

        with mock.patch.object(Partition, "step", step):
            yield

    def _stepped(self, machine: Partition, effects: list[Effect], now: Now) -> None:
        place = machine.known.place
        where = place.me.region, place.partition
        states = states_of(machine, now)
        if states != self.states.get(where):
            self.states[where] = states
            self._seen(place.me.region, states)
            if "ill" in states:
                self._is_rightly_ill(place.me.region)
        for effect in effects:
            if isinstance(effect, Keep) and effect.kept.decisions and effect.kept.decisions[-1].at_us == now.unix_us:
                self._decided(machine.known, effect.kept, now)

    def _decided(self, known: Knowledge, kept: Kept, now: Now) -> None:
        key, decision, me = kept.key, kept.decisions[-1], known.place.me.region
        who = f"{me} {decision.verdict} {key} by {decision.row} ({decision.evidence})"
        process = PROCESS.get()
        self._world.tell(process.name if process else me, f"[{known.place.partition}] {who}")
        match decision.verdict:
            case Verdict.QUARANTINE:
                self._is_rightly_quarantined(known, kept, who)
            case Verdict.HALT if decision.row != BUDGET_ROW:
                if not any(key in self._stored[peer] for peer in known.place.peers):
                    self._world.breach("3, no needless halt", f"{who}: no peer ever stored it")
            case Verdict.SET_ASIDE:
                self._is_rightly_set_aside(known, kept, now, who)
            case _:
                pass

    def _is_rightly_quarantined(self, known: Knowledge, kept: Kept, who: str) -> None:
        said = {peer: known.book.region_word(kept.key, peer) for peer in known.place.peers}
        voters = [peer for peer in said if not _is_drained(known, peer)]
        if any(word and word.word is Word.STORED for word in said.values()):
            self._world.breach("4, no silent skip", f"{who}: a peer said that it stored it")
        evidence = [
            word is not None and word.kind is not None and word.kind.is_evidence for word in map(said.get, voters)
        ]
        if not (kept.kind.is_evidence and voters and all(evidence)):
            self._world.breach("8, an outage is no evidence", f"{who}: not everybody refused it: {said}")

    def _is_rightly_set_aside(self, known: Knowledge, kept: Kept, now: Now, who: str) -> None:
        if not kept.kind.is_evidence or kept.key in self._world.sites[known.place.me.region].rows.entries:
            return  # what our own store has is not skipped: another copy of it failed, or its fold
        for peer in known.place.peers:
            word, standing = known.book.region_word(kept.key, peer), known.book.region_standing(peer)
            drained = _is_drained(known, peer)
            asked = known.hearing.can_be_asked(peer, now.mono_s, drained=drained)
            serves = asked and not drained and not (standing and (standing.halted or standing.ill))
            if word and word.word is Word.STORED and serves:
                self._world.breach("4, no silent skip", f"{who}: {peer} serves, and said that it stored it")

    def _is_rightly_ill(self, region: str) -> None:
        since_s = self._world.now_s - self.trouble_until_s.get(region, float("-inf"))
        if since_s > ILL_AFTER_S:
            self._world.breach(
                "3, no needless halt", f"{region} is ill, and nothing ailed its store for {since_s:.1f} s"
            )

    def look_around(self) -> None:
        """To be called about once a second: do all halt on each other?"""
        halting = []
        for site in self._world.sites.values():
            machines = [owner.machine for creator in site.creators.values() for owner in creator._owners.values()]
            hung = any(process.hung for process, _ in site.running.values())
            halting.append(
                bool(machines)
                and not hung
                and any(case.row != BUDGET_ROW for machine in machines for case in machine.cases.halting)
            )
        if not all(halting):
            self._all_halted_since_s = None
        elif self._all_halted_since_s is None:
            self._all_halted_since_s = self._world.now_s
        elif self._world.now_s - self._all_halted_since_s > ALL_HALTED_S_MAX:
            self._world.breach("3, no needless halt", f"all regions halt, for over {ALL_HALTED_S_MAX:.0f} s")
            self._all_halted_since_s = self._world.now_s

    # Stores -------------------------------------------------------------------------------------------------------

    def _applied(self, site: Site) -> Callable[[str, object], None]:
        def applied(what: str, subject: Any) -> None:
            match what:
                case "write":
                    self._written(site, subject)
                case "put_kept":
                    self._kept(site, subject)
                case "save_progress":
                    self._progress_saved(site, subject)

        return applied

    def _written(self, site: Site, entries: list[Entry]) -> None:
        self._stored[site.name].update(entry.key for entry in entries)

    def _kept(self, site: Site, kept: Kept) -> None:
        """What leaves the log without being stored is within what the budget admits."""
        if kept.stage not in (Stage.ASIDE, Stage.QUARANTINED) or not kept.kind.is_evidence:
            return
        if site.rows.kept[kept.key] != kept:
            return  # a late write by a former owner, to no effect
        document = site.rows.documents.get(BUDGET)
        budget = Budget.decode(document.value) if document else Budget()
        limit = site.region.limits.budget_services
        if len(budget.counted) > limit:
            self._world.breach("9, the budget", f"{site.name} has counted {budget.counted}, more than {limit} services")

    def _progress_saved(self, site: Site, row: ProgressRow) -> None:
        """Everything below it is a tick, stored, kept whole or dropped; what retention took is for the end."""
        for source, progress in row.sources.items():
            place = site.name, row.partition, source
            checked = self._checked.setdefault(place, Runs())
            part = site.records.part(site.region.requests_topics[source], row.partition)
            for start, end in [(checked.low, progress.runs.low), *progress.runs]:
                for offset in range(max(start, part.start), end):
                    if offset not in checked:
                        self._is_done(site, place, offset)
            checked.update(progress.runs)

    def _is_done(self, site: Site, place: tuple[str, int, str], offset: int) -> None:
        topic = site.region.requests_topics[place[2]]
        record = site.records.part(topic, place[1]).records[offset]
        content = decode_record(record) if record is not None else None
        if content is None or isinstance(content, Tick):
            return
        rows, key = site.rows, content.key
        # A row that was set aside and then reopened is held again; done is for ever, and the row has its payload.
        if rows.outcome(key) == "absent":
            where = f"{site.name} {topic}/{place[1]} offset {offset}"
            self._world.breach("6, progress never runs ahead", f"{where} is saved as done, and {key} is nowhere")

    # Readers ------------------------------------------------------------------------------------------------------

    async def read(self, site: Site) -> None:
        """Asks the querier's own code how far the region is complete, and holds it to that."""
        process = site.process("querier")
        if process is None or site.freshness is None:
            return
        freshness = await site.freshness.read()
        if freshness.until_us is None or self._world.clocks_off:
            return
        for key, (region, received_us) in self._world.accepted.items():
            vouched = received_us < freshness.until_us and region not in freshness.drained
            if vouched and site.rows.outcome(key) == "absent" and key not in self.truncated[site.name]:
                what = f"{site.name} says that it is complete until {freshness.until_us}, and {key} is not there"
                self._world.breach("1, nothing lost", f"{what}: received {received_us} in {region}")


def _is_drained(known: Knowledge, peer: str) -> bool:
    return known.book.is_drained(peer, founding=peer in known.place.founding)
