"""The show: starts both regions, plays events in, goes through the scenarios, heals, verifies, and tells."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from tocsin.core.kept import Stage as KeptStage
from tocsin.core.notices import NOTIFY
from tocsin.core.verdict import TABLE
from tocsin.engines.errors import EngineError
from tocsin.engines.faults import FaultSwitch
from tocsin.engines.opening import open_log, open_store
from tocsin.engines.store import Store
from tocsin.ops.demo.engine import Engine
from tocsin.ops.demo.ground import Ground, prepare
from tocsin.ops.demo.pages import Account, Pages, hire, read_feedback
from tocsin.ops.demo.player import Player, built_in_events, open_client, read_events
from tocsin.ops.demo.receiver import Receiver, receiving
from tocsin.ops.demo.scenarios import SCENARIOS, Scenario
from tocsin.ops.demo.stage import Deviation, Stage, matches
from tocsin.ops.demo.witness import witness
from tocsin.ops.history import Recorder, Verdict, check_file, scan
from tocsin.ops.supervisor import LocalSet
from tocsin.ops.verify import Report, verify
from tocsin.settings import Settings

HISTORY: Final = "history.jsonl"
RECEIVER: Final = Path("../demo-receiver")
"""Beside the data directory, which is cleared."""
WHY: Final = {row.name: row.why for row in TABLE}
DEMO_SERVICE: Final = "demo"

OVERRIDES: Final = {
    "GRACE_S": 2.0,
    "ANSWER_DEADLINE_S": 6.0,
    "ASK_LIMIT_S": 3.0,
    "STANDING_EVERY_S": 0.5,
    "RETRY_MAX_S": 1.0,
    "ASIDE_RETRY_FIRST_S": 0.5,
    "ASIDE_RETRY_MAX_S": 1.0,
}
"""The demo's limits: shorter than a deployment's, for nobody learns more by waiting longer."""


class Audience(Protocol):
    """Whom the show is told to."""

    def say(self, text: str) -> None:
        """A line."""

    def playing(self, total: int) -> None:
        """Events are about to be played in."""

    def played(self) -> None:
        """One event was."""

    def scene(self, scenario: Scenario) -> None:
        """A scenario begins."""

    def scene_ended(self, outcome: "Outcome") -> None:
        """A scenario ended."""


@dataclass(slots=True)
class Outcome:
    """How a scenario ended. `decisions`: region to (verdict, row of the table, why)."""

    name: str
    expected: dict[str, str]
    verdicts: dict[str, list[str]]
    ok: bool
    seconds: float
    requests: list[str] = field(default_factory=list)
    decisions: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    deviation: str = ""


@dataclass(slots=True)
class Result:
    """What build/demo.json says."""

    engine: str
    store: str
    seconds: float
    played: int
    """Events of the file (or our own) that were accepted; `accepted` counts the scenarios' too."""
    accepted: int
    refused: int
    differences: int
    regions: dict[str, dict[str, int]]
    scenarios: list[Outcome]
    pages: Account
    history: dict[str, Any]
    """The verdict on what clients were told and could read, its anomalies by kind, and the file."""

    @property
    def ok(self) -> bool:
        """Whether everything came as it should."""
        told = self.refused == 0 and self.history["verdict"] == Verdict.VALID
        return told and self.pages.ok and self.differences == 0 and all(outcome.ok for outcome in self.scenarios)

    def write(self, path: Path) -> None:
        """Writes the result as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


async def run(settings: Settings, engine: Engine, audience: Audience, events: Path | None) -> tuple[Result, Report]:
    """Gives the whole show; raises ConfigError for a file of events that cannot be used, and what `prepare` does."""
    if settings.faults_file is None:
        raise AssertionError  # the command sets it
    began_s = time.monotonic()
    switch = FaultSwitch(settings.path(settings.faults_file))
    with receiving(settings.path(RECEIVER)) as receiver:
        async with prepare(engine, settings, switch, audience.say) as ground:
            return await _give(ground, switch, audience, events, receiver, began_s)


async def _give(
    ground: Ground,
    switch: FaultSwitch,
    audience: Audience,
    events: Path | None,
    receiver: Receiver,
    began_s: float,
) -> tuple[Result, Report]:
    settings = ground.settings
    local = LocalSet(settings, fresh=True)
    topology = settings.topology()
    audience.say("starting both regions")
    await local.start()
    past_the_switch = settings.model_copy(update={"faults_file": None})
    stores = {
        region.name: open_store(region, region.serving_stack, past_the_switch, read_only=True)
        for region in topology.regions
    }
    history = settings.path(Path(HISTORY))
    try:
        ca_file = settings.ca_file(topology.regions[0])  # both have the authority of this data directory
        with Recorder.open(history, topology.names, "tocsin demo") as recorder:
            async with _company(local, recorder, topology.names, ca_file) as player:
                await _play_in(local, player, audience, events, topology.names)
                played = len(player.accepted)
                pages = await hire(past_the_switch, topology, receiver)
                outcomes = []
                for scenario in SCENARIOS:
                    audience.scene(scenario)
                    limits = topology.regions[0].limits
                    stage = Stage(scenario.name, local, player, stores, switch, ground, limits, pages)
                    outcomes.append(await _act(scenario, stage))
                    await stage.heal()
                    audience.scene_ended(outcomes[-1])
                audience.say("healed; waiting for quiet")
                await _quiet(stores, len(player.accepted), ground.wait_s_max)
                account = await _account(pages, past_the_switch)
            audience.say("verifying: every row of both regions, field by field; and what clients were told")
            partitions = topology.regions[0].partitions
            report = await verify(stores, partitions=partitions, everything=True)
            for name, store in stores.items():
                await scan(recorder, "auditor", name, store, partitions=partitions, regions=topology.names, final=True)
        result = Result(
            engine=ground.engine,
            store=ground.store,
            seconds=round(time.monotonic() - began_s, 1),
            played=played,
            accepted=len(player.accepted),
            refused=len(player.refused),
            differences=len(report.differences),
            regions={name: await _counts(store) for name, store in stores.items()},
            scenarios=outcomes,
            pages=account,
            history=_judged(history),
        )
        return result, report
    finally:
        await local.stop()
        for store in stores.values():
            await store.close()


@asynccontextmanager
async def _company(
    local: LocalSet, recorder: Recorder, regions: Iterable[str], ca_file: Path | None
) -> AsyncIterator[Player]:
    """Who plays, and a witness of each region for as long as it lasts."""
    async with open_client(ca_file) as client:
        player = Player(client, {region: local.intake_url(region) for region in regions}, recorder)
        witnesses = [asyncio.create_task(witness(local, player, client, recorder, region)) for region in regions]
        try:
            yield player
        finally:
            for task in witnesses:
                task.cancel()
            for ended in await asyncio.gather(*witnesses, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended


async def _account(pages: Pages, settings: Settings) -> Account:
    regions = settings.topology().regions
    logs = {region.name: open_log(region, settings) for region in regions}
    try:
        return pages.account(await read_feedback(logs, regions))
    finally:
        for log in logs.values():
            await log.close()


def _judged(path: Path) -> dict[str, Any]:
    report = check_file(path)
    return {
        "verdict": report.verdict,
        "anomalies": {kind: count for kind, count in report.counts.items() if count},
        "unknown_because": report.unknown_because,
        "calls": report.calls,
        "file": str(path),
    }


async def _play_in(
    local: LocalSet, player: Player, audience: Audience, events: Path | None, regions: tuple[str, ...]
) -> None:
    keys = local.routing_keys
    played = read_events(events, keys[DEMO_SERVICE]) if events else built_in_events(list(keys.values()))
    audience.playing(len(played))
    await player.play(played, regions, audience.played)


async def _act(scenario: Scenario, stage: Stage) -> Outcome:
    began_s = time.monotonic()
    deviation = ""
    try:
        await scenario.play(stage)
        await stage.neighbours_stored()
    except (Deviation, TimeoutError) as error:
        deviation = str(error)
    verdicts = {region: await stage.verdicts(region) for region in scenario.expected}
    ok = not deviation and all(matches(expected, verdicts[region]) for region, expected in scenario.expected.items())
    return Outcome(
        name=scenario.name,
        expected=dict(scenario.expected),
        verdicts=verdicts,
        ok=ok,
        seconds=round(time.monotonic() - began_s, 1),
        requests=list(stage.requests.values()),
        decisions={region: await _decisions(stage, region) for region in scenario.expected},
        deviation=deviation,
    )


async def _decisions(stage: Stage, region: str) -> list[tuple[str, str, str]]:
    decided: list[tuple[str, str, str]] = []
    for request in stage.requests.values():
        kept = await stage.kept(region, request)
        for decision in kept.decisions if kept else ():
            step = (decision.verdict, decision.row, WHY.get(decision.row, ""))
            if not decided or decided[-1] != step:
                decided.append(step)
    return decided


async def _quiet(stores: Mapping[str, Store], accepted: int, wait_s_max: float) -> None:
    """Waits until every region has an outcome for everything that was accepted, and nothing is held or set aside."""
    deadline = time.monotonic() + wait_s_max
    while time.monotonic() < deadline:
        try:
            counts = [await _counts(store) for store in stores.values()]
        except EngineError:
            counts = []
        if counts and all(
            count["stored"] + count["quarantined"] >= accepted and not count["set_aside"] and not count["held"]
            for count in counts
        ):
            return
        await asyncio.sleep(0.25)


async def _counts(store: Store) -> dict[str, int]:
    stored, after = 0, None
    while entries := await store.scan_entries(after, 1000):
        stored += sum(entry.action != NOTIFY for entry in entries)  # notices are our own
        after = entries[-1].key
    rows = await store.kept_rows()
    stages = [row.stage for row in rows]
    return {
        "stored": stored,
        "quarantined": stages.count(KeptStage.QUARANTINED),
        "set_aside": stages.count(KeptStage.ASIDE),
        "held": stages.count(KeptStage.HELD),
        "halts": sum(any(decision.verdict == "HALT" for decision in row.decisions) for row in rows),
    }
