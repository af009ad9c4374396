"""The runner: the sequence of a drill, over a target and a clock that are passed in.

    baseline      all probes of the steady state, and of the aborts; the evidence, which must not be there yet
    method        each fault is journalled, then injected; between, aborts and evidence are looked at
    heal          every rollback, whatever happened, each tried though another failed
    recovery      rounds of the same probes until all hold
    agreement     the load ends; until the regions agree and everybody was told
    account       what users saw

What ends a drill early ends in `heal` too: an abort, an exception, and the cancellation that Ctrl-C and SIGTERM become.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

import httpx2

from tocsin.engines.errors import EngineError
from tocsin.ops.drills import watch
from tocsin.ops.drills.actions import ACTIONS
from tocsin.ops.drills.clock import Clock
from tocsin.ops.drills.journal import Journal, Undoing
from tocsin.ops.drills.model import Activity, Drill
from tocsin.ops.drills.probes import PROBES
from tocsin.ops.drills.run import Kind, Moment, Reading, Round, Run, Times
from tocsin.ops.drills.target import DrillError, Target
from tocsin.ops.drills.tolerance import within
from tocsin.ops.drills.watch import Watch

LOOK_EVERY_S: Final = 0.5
"""How often aborts and evidence are looked at while time passes."""
PATIENCE: Final = 2.0
"""So many times its limit a thing is waited for: how late it was is worth knowing."""
TROUBLE: Final = (EngineError, DrillError, OSError, httpx2.HTTPError)
"""What a target raises that cannot do what is asked of it, or does not answer."""


class _Aborted(Exception):
    """A probe of the aborts did not hold."""


class Runner:
    """Runs one drill, once."""

    def __init__(
        self,
        drill: Drill,
        target: Target,
        journal: Journal,
        clock: Clock,
        tell: Callable[[Moment], None],
        watch: Watch,
    ) -> None:
        """`tell` hears of each moment as it comes; `watch` looks at the drill's alerts."""
        self._drill = drill
        self._target = target
        self._journal = journal
        self._clock = clock
        self._tell = tell
        self._watch_of_alerts = watch
        self._run = Run(drill, target.name, target.identity, Times(clock.now_s()), watch.seen)

    async def run(self) -> Run:
        """The whole drill; the journal is begun. Never leaves a fault behind that can be healed."""
        run = self._run
        try:
            await self._target.begin(self._drill.name, self._drill.events_per_s)
            if await self._baseline():
                await self._broken()
                await self._recover()
                await self._agree()
        except asyncio.CancelledError:
            _take_back_cancellation()
            run.interrupted = True
            self._note(Kind.TROUBLE, "interrupted", "runner")
        except TROUBLE as error:
            run.not_injected = run.not_injected or f"{type(error).__name__}: {error}"
            self._note(Kind.TROUBLE, run.not_injected, "runner")
        finally:
            await self._target.settle()
        run.times.ended_s = self._clock.now_s()
        if not self._journal.left.open:
            self._journal.end(run.row.verdict)
        return run

    # Before ------------------------------------------------------------------------------------------------------

    async def _baseline(self) -> bool:
        first = await self._round("before", [*self._drill.steady_state, *self._drill.aborts])
        evidence = await self._read(self._drill.evidence)
        self._run.evidence_before = [str(reading) for reading in evidence if reading.held]
        await self._look_at_alerts()
        return first.held and not self._run.evidence_before

    # While it is broken ------------------------------------------------------------------------------------------

    async def _broken(self) -> None:
        """The method, and at its end the healing, however it ends."""
        watching = asyncio.create_task(self._watch_alerts(), name="alerts")
        try:
            for activity in self._drill.method:
                await self._pass(activity.before_s)
                await (self._look(activity) if activity.is_probe else self._act(activity))
                await self._pass(activity.after_s)
            await self._evidence()
            await self._look_at_alerts()
        except _Aborted:
            pass
        except TROUBLE as error:
            self._run.not_injected = f"{type(error).__name__}: {error}"
            self._note(Kind.TROUBLE, self._run.not_injected, "runner")
        finally:
            watching.cancel()
            await self._heal()
            await asyncio.gather(watching, return_exceptions=True)

    async def _act(self, activity: Activity) -> None:
        """One action; what undoes it is on the disk before it is begun."""
        times = self._run.times
        times.complete_s = self._clock.now_s()
        times.injected_s = times.injected_s or times.complete_s
        undoing = ACTIONS[activity.func].undoing(activity.arguments, ACTIONS)
        if undoing is not None:
            self._journal.inject(activity.func, Undoing(*undoing))
        self._note(Kind.INJECT, activity.name, activity.func)
        await self._watched(ACTIONS.call(activity.func, self._target, activity.arguments))
        times.acted_s = self._clock.now_s()

    async def _watched(self, deed: Coroutine[Any, Any, None]) -> None:
        """Does it, with an eye on aborts and evidence for as long as it takes."""
        doing = asyncio.create_task(deed)
        try:
            while not doing.done():
                pause = asyncio.create_task(self._clock.sleep(LOOK_EVERY_S))
                await asyncio.wait({doing, pause}, return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
                await self._watch()
            await doing
        finally:
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)

    async def _look(self, probe: Activity) -> None:
        (reading,) = await self._read([probe])
        self._run.during.append(reading)
        self._note(Kind.PROBE, f"{'held' if reading.held else 'FAILED'}: {reading}", probe.func)

    async def _evidence(self) -> None:
        """Waits for what has not been seen of the evidence."""
        complete_s = self._run.times.complete_s or self._clock.now_s()
        deadline_s = complete_s + PATIENCE * self._drill.limits.detect_s
        while self._unseen() and self._clock.now_s() < deadline_s:
            await self._pass(LOOK_EVERY_S)

    async def _pass(self, seconds: float) -> None:
        """Lets time pass, with an eye on aborts and evidence."""
        end_s = self._clock.now_s() + seconds
        while (left_s := end_s - self._clock.now_s()) > 0:
            await self._clock.sleep(min(LOOK_EVERY_S, left_s))
            await self._watch()

    async def _watch(self) -> None:
        if self._run.times.injected_s is None:
            return
        for reading in await self._read(self._unseen()):
            self._run.evidence[reading.name] = reading
            if reading.held:
                self._run.times.evident_s = self._clock.now_s()
                self._note(Kind.EVIDENCE, str(reading), reading.func)
        failed = [str(reading) for reading in await self._read(self._drill.aborts) if not reading.held]
        if failed:
            self._run.aborted_by = failed
            self._note(Kind.ABORT, "; ".join(failed), "aborts")
            raise _Aborted

    async def _watch_alerts(self) -> None:
        while True:
            await self._clock.sleep(watch.LOOK_EVERY_S)
            await self._look_at_alerts()

    async def _look_at_alerts(self) -> None:
        alerts = self._watch_of_alerts
        alerts.look(await self._target.scrape(alerts.names), self._clock.now_s())

    def _unseen(self) -> list[Activity]:
        seen = {name for name, reading in self._run.evidence.items() if reading.held}
        return [probe for probe in self._drill.evidence if probe.name not in seen]

    async def _heal(self) -> None:
        """Every rollback, and whatever the journal still has open."""
        undoings = [Undoing(one.func, dict(one.arguments)) for one in self._drill.rollbacks]
        self._run.not_healed = await heal(self._target, self._journal, undoings, self._healing)
        self._run.times.healed_s = self._clock.now_s()

    def _healing(self, text: str) -> None:
        self._note(Kind.HEAL, text, "rollbacks")

    # Afterwards --------------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Rounds of the probes of before, until all hold."""
        deadline_s = self._clock.now_s() + PATIENCE * self._drill.limits.recover_s
        while True:
            found = await self._round("after", self._drill.steady_state)
            if found.held:
                self._run.times.steady_s = self._clock.now_s()
                return
            if self._clock.now_s() >= deadline_s:
                return
            await self._clock.sleep(LOOK_EVERY_S)

    async def _agree(self) -> None:
        await self._target.settle()
        deadline_s = self._clock.now_s() + PATIENCE * self._drill.limits.converge_s
        while missing := await self._missing():
            if self._clock.now_s() >= deadline_s:
                self._run.unfinished = missing
                self._note(Kind.TROUBLE, missing, "agreement")
                break
            await self._clock.sleep(LOOK_EVERY_S)
        else:
            self._run.times.agreed_s = self._clock.now_s()
            self._note(Kind.AGREED, "the regions agree, and everybody was told", "agreement")
        self._run.account = await self._target.account(page_s=self._drill.limits.page_s)

    async def _missing(self) -> str:
        try:
            return await self._target.unfinished()
        except TROUBLE as error:
            return f"the target does not answer: {error}"

    # Probes ------------------------------------------------------------------------------------------------------

    async def _round(self, name: str, probes: Iterable[Activity]) -> Round:
        found = Round(name, self._clock.now_s(), await self._read(probes))
        self._run.rounds.append(found)
        kind = Kind.BASELINE if name == "before" else Kind.STEADY
        self._note(
            kind, "steady" if found.held else f"not steady: {'; '.join(found.failed)}", "steady-state-hypothesis"
        )
        return found

    async def _read(self, probes: Iterable[Activity]) -> list[Reading]:
        """All of them side by side, each whatever befalls the others."""
        readings: list[Awaitable[Reading]] = [self._reading(probe) for probe in probes]
        return list(await asyncio.gather(*readings))

    async def _reading(self, probe: Activity) -> Reading:
        try:
            value = await PROBES.call(probe.func, self._target, probe.arguments)
        except TROUBLE as error:
            return Reading.of(probe, self._clock.now_s(), None, held=False, error=f"{type(error).__name__}: {error}")
        return Reading.of(probe, self._clock.now_s(), value, held=within(probe.tolerance, value))

    def _note(self, kind: Kind, text: str, source: str) -> None:
        moment = Moment(self._clock.now_s(), kind, text, source)
        self._run.moments.append(moment)
        self._tell(moment)


async def heal(target: Target, journal: Journal, undoings: Iterable[Undoing], tell: Callable[[str], None]) -> list[str]:
    """Does these, then whatever the journal has open yet, latest first; returns what could not be done, and why."""
    failed = []
    told = list(undoings)
    rest = [undoing for _, undoing in sorted(journal.left.open.items(), reverse=True) if undoing not in told]
    for undoing in [*told, *rest]:
        try:
            await ACTIONS.call(undoing.func, target, undoing.arguments)
        except TROUBLE as error:
            failed.append(f"{undoing}: {error}")
            tell(f"FAILED {undoing}: {error}")
        else:
            journal.healed(undoing)
            tell(str(undoing))
    return failed


def _take_back_cancellation() -> None:
    """The cancellation was meant for the experiment, not for the report of it."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
