"""Faults under load on the real engines: nothing lost, no difference after quiet, the verdicts of the failure table.

One set of servers and roles goes through all cells (`cells.py`). First it is measured what this machine sustains now;
each cell then plays half of it into both regions, breaks one part after a third of the time, mends it, and waits for
quiet. Then:

- `verify` finds no difference between the regions, row by row, field by field;
- the history of what clients were told and could read is *valid*. Unknown is inconclusive, and a failed test;
- while the fault lasted, what the failure table says has shown;
- an outage was no evidence: nothing was called rejected or crashed, and nothing quarantined or dropped;
- nothing is left broken.

`make test` runs four of the twelve cells, `make test-faults-long` all. What came of each is in `build/faults`.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.faults.cells import CELLS, LASTS_S, A, B, Cell, Fault, Scene
from tests.faults.load import PER_S_MAX, Load, company, sustained_per_s
from tests.faults.rig import Rig, now_us, running_rig
from tests.servers import require_servers
from tocsin.core.kept import Stage
from tocsin.engines.cassandra.session import REQUEST_S
from tocsin.ops.history import Recorder, Verdict, check_file, scan
from tocsin.ops.verify import Outcome, verify

RESULTS: Final = Path(__file__).parents[2] / "build" / "faults"
BEFORE_S: Final = 8.0
AFTER_S: Final = 5.0
CELL_S_MAX: Final = 600
LONG: Final = bool(os.environ.get("LONG"))
"""`make test-faults-long` sets it: all cells, not only those of a pull request."""
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(CELL_S_MAX)]


@pytest.fixture(scope="module")
def _servers() -> None:
    require_servers()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(_servers: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with running_rig(tmp_path_factory.mktemp("faults")) as rig:
        yield rig


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def capacity_per_s(rig: Rig) -> float:
    """Events a second that this machine sustains in this run."""
    with Recorder.open(RESULTS / "sustained.jsonl", rig.topology.names, "what is sustained") as recorder:
        async with company(rig, recorder) as (player, _):
            return await sustained_per_s(rig, player)


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.name) for cell in CELLS if cell.ci or LONG])
async def test_nothing_is_lost_and_both_regions_agree_after(cell: Cell, rig: Rig, capacity_per_s: float) -> None:
    told: dict[str, Any] = {"cell": cell.name, "sustained_per_s": round(capacity_per_s, 1), "result": "failed"}
    history = RESULTS / f"{cell.name}.jsonl"
    try:
        with Recorder.open(history, rig.topology.names, cell.name) as recorder:
            async with company(rig, recorder) as (player, client):
                load = Load(rig, player, f"{cell.name}-{now_us()}")
                scene = Scene(rig, player, client, recorder, load, evidence=told)
                await _play(cell, scene, capacity_per_s)
            await _agrees(rig, recorder)
        report = check_file(history)
        assert report.verdict is Verdict.VALID, report.describe()
        await _outage_was_no_evidence(scene)
        _held_what_the_cell_promises(cell, told, rig.topology.regions[0].limits.flush_every_s)
        await rig.healed()
        told["result"] = "held"
    finally:
        (RESULTS / f"{cell.name}.json").write_text(json.dumps(told, indent=2) + "\n")
        await rig.mend()


async def _play(cell: Cell, scene: Scene, capacity_per_s: float) -> None:
    """Load, fault, heal, load, quiet; fills in the evidence."""
    rig, told = scene.rig, scene.evidence
    per_s = min(capacity_per_s / 2, PER_S_MAX)
    told["per_s"] = round(per_s, 1)
    ends = {name: await rig.ends(name) for name in rig.topology.names}
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.load.at_rate(per_s))
        try:
            await asyncio.sleep(BEFORE_S)
            healed_us = await _break_and_heal(cell, scene)
            await rig.applied(healed_us)
            told["recovered_s"] = round((now_us() - healed_us) / 1e6, 1)
            await asyncio.sleep(AFTER_S)
        finally:
            scene.load.ended.set()
    await rig.quiet(now_us())
    told["accepted"], told["refused"] = len(scene.player.accepted), len(scene.player.refused)
    sent = await rig.requests(A, A, ends[A][A])
    copied = await rig.requests(B, A, ends[B][A])
    told["duplicates"] = sum((copied - sent).values())


async def _break_and_heal(cell: Cell, scene: Scene) -> int:
    """Returns when it was mended, in Unix microseconds."""
    scene.injected_us = now_us()
    began_s = time.monotonic()
    await cell.inject(scene)
    await cell.sign(scene)
    scene.evidence["shown_s"] = round(time.monotonic() - began_s, 1)
    await asyncio.sleep(max(0.0, began_s + LASTS_S[cell.fault] - time.monotonic()))
    for region in cell.incomplete:
        await scene.says_incomplete(region)
    await cell.heal(scene)
    scene.evidence["broken_s"] = round(time.monotonic() - began_s, 1)
    return now_us()


async def _agrees(rig: Rig, recorder: Recorder) -> None:
    report = await verify(rig.stores, partitions=rig.partitions, everything=True)
    assert report.outcome is Outcome.EQUAL, (report.differing, report.differences[:5], report.unread)
    for name, store in rig.stores.items():
        await scan(recorder, "auditor", name, store, partitions=rig.partitions, regions=rig.topology.names, final=True)


async def _outage_was_no_evidence(scene: Scene) -> None:
    """What was held or set aside meanwhile is counted; none of it was called bad, or passed for ever."""
    verdicts: dict[str, list[str]] = {}
    for region in scene.rig.topology.names:
        kept = await scene.rig.kept_since(region, scene.injected_us)
        verdicts[region] = sorted({decision.verdict for row in kept for decision in row.decisions})
        called = {str(row.kind) for row in kept if row.kind.is_evidence}
        assert not called, f"region {region} called requests {called}: {kept[0].reason}"
        assert {row.stage for row in kept} <= {Stage.DONE}, [(row.key.printed, row.stage) for row in kept]
        assert "QUARANTINE" not in verdicts[region]
    scene.evidence["verdicts"] = verdicts
    assert not scene.player.refused, scene.player.refused[:3]


def _held_what_the_cell_promises(cell: Cell, told: dict[str, Any], flush_every_s: float) -> None:
    if cell.part == "mirror" and cell.fault is Fault.KILL:
        assert told["duplicates"] > 0, "inconclusive: the mirror copied nothing twice, so duplicates were not tried"
    if cell.is_creator and cell.fault is Fault.KILL:
        bound = told["per_s"] * (flush_every_s + REQUEST_S)  # an interval, and the longest that a save is on its way
        assert told["written_again"] <= bound, f"{told['written_again']} written again, above {bound:.0f}"
