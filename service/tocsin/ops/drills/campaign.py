"""A campaign: some drills one after the other on one target, each with its report; the target anew after one that did
not hold, for what that left behind must not decide the next.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from tocsin.engines.faults import FaultSwitch
from tocsin.ops.alerts.files import CATALOGUE
from tocsin.ops.drills import report
from tocsin.ops.drills.clock import SystemClock
from tocsin.ops.drills.journal import Journal
from tocsin.ops.drills.model import Drill
from tocsin.ops.drills.run import Moment, Run
from tocsin.ops.drills.runner import Runner
from tocsin.ops.drills.targets.local import LocalTarget
from tocsin.ops.drills.targets.name import Name
from tocsin.ops.drills.targets.opening import FAULTS, WORK, opened
from tocsin.ops.drills.verdict import Verdict
from tocsin.ops.drills.watch import Watch


class Audience(Protocol):
    """Whom a campaign is told to."""

    def say(self, text: str) -> None:
        """A line."""

    def begins(self, drill: Drill) -> None:
        """A drill begins."""

    def moment(self, moment: Moment) -> None:
        """Something happened in it."""

    def ends(self, run: Run, folder: Path) -> None:
        """It ended; its report is in the folder."""


async def run_drills(
    drills: Sequence[Drill], name: Name, out: Path, audience: Audience, catalogue: Path = CATALOGUE
) -> AsyncGenerator[Run, None]:
    """Runs drills, in order; ends early when one was interrupted. `catalogue`: of alerts; without it none is judged.

    Raises ConfigError when the catalogue is wrong, `Owned` while another runner has the place, `Misconfigured` when one
    was killed and left faults behind, and what `opened` does.
    """
    made_of = report.code_version()  # now: what is changed while drills run is not what runs
    watches = [(drill, Watch(drill.alerts, catalogue)) for drill in drills]
    with Journal.held(out / WORK) as journal:
        journal.refuse_if_left()
        while watches:
            async with AsyncExitStack() as stack:
                target = await stack.enter_async_context(opened(name, out, audience.say))
                while watches:
                    run = await _run(*watches.pop(0), target, journal, out, audience, made_of)
                    yield run
                    if run.interrupted:
                        return
                    if run.row.verdict is not Verdict.HELD:
                        break


async def _run(
    drill: Drill, watch: Watch, target: LocalTarget, journal: Journal, out: Path, audience: Audience, made_of: str
) -> Run:
    audience.say("waiting until both regions are calm")
    await target.calm()
    audience.begins(drill)
    place = {"faults_file": str((out / WORK / "data" / FAULTS).resolve())}
    journal.begin(drill.name, target.name, place, datetime.now(UTC).isoformat())
    try:
        run = await Runner(drill, target, journal, SystemClock(), audience.moment, watch).run()
    finally:
        await target.end()
    folder = out / drill.name
    report.write(run, folder, made_of)
    audience.ends(run, folder)
    return run


def heal(out: Path, tell: Callable[[str], None]) -> int:
    """Heals what a killed runner left behind; returns how many faults that were.

    Processes and servers of a local target ended with their runner, so what can be left is in the fault switch's file:
    it is emptied. Raises `Owned` while the runner lives.
    """
    with Journal.held(out / WORK) as journal:
        found = dict(sorted(journal.left.open.items(), reverse=True))
        if not found:
            return 0
        FaultSwitch(Path(journal.left.place["faults_file"])).clear_all()
        for undoing in found.values():
            journal.healed(undoing)
            tell(f"{undoing}: done; its regions ended with their runner")
        journal.end("healed")
        return len(found)
