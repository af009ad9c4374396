"""The scenarios of the demo: what is broken, what is sent, and what each region must decide.

A scenario's expectation is written per region as the verdicts on its request in order, repeats merged; a `?` marks
one that may be skipped, because it depends on who hears whom first, or, in an outage, on whether the request was taken
in hand before the store was found silent. No verdict (`-`) means that the region simply stored it. Faults of stores go
through the fault switch; mirrors are cut where they read, and processes that are to be killed are killed.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tocsin.engines.faults import Fault, Rule
from tocsin.ops.demo.stage import Stage

A: Final = "a"
B: Final = "b"
Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that happens, and what must come of it."""

    name: str
    title: str
    expected: Mapping[str, str]
    play: Play


SCENARIOS: list[Scenario] = []


def scenario(name: str, **expected: str) -> Callable[[Play], Play]:
    """Adds the function to the table, in order of definition; its docstring is the title."""

    def add(play: Play) -> Play:
        SCENARIOS.append(Scenario(name, play.__doc__ or name, expected, play))
        return play

    return add


@scenario("refused-everywhere", a="WAIT? QUARANTINE", b="WAIT? QUARANTINE")
async def refused_everywhere(stage: Stage) -> None:
    """A request that no region can store."""
    for region in (A, B):
        stage.refuse(region)
    await stage.send(A)
    await stage.until(a="QUARANTINE", b="QUARANTINE")
    await stage.neighbours_stored()


@scenario("refused-here-stored-there", a="-", b="WAIT? HALT DONE")
async def refused_here_stored_there(stage: Stage) -> None:
    """A request that region b refuses and its peer took."""
    stage.refuse(B)
    await stage.send(A)
    await stage.until(b="HALT")
    await stage.ready(A, "querier")
    await stage.not_ready(B, "querier")
    await stage.ready(B, "intake")
    await stage.heal()
    await stage.until(b="DONE")
    await stage.ready(B, "querier")


@scenario("store-outage-one", a="-", b="RETRY? DONE?")
async def store_outage_one(stage: Stage) -> None:
    """The store of region b answers nothing."""
    stage.fault(Rule(id="outage", region=B, port="store", kind=Fault.UNAVAILABLE))
    await stage.send(A, first=True)
    await stage.not_ready(B, "querier")
    await stage.pause_past_grace()
    await stage.heal()
    await stage.stored()
    await stage.ready(B, "querier")


@scenario("store-outage-both", a="RETRY? DONE?", b="RETRY? DONE?")
async def store_outage_both(stage: Stage) -> None:
    """The stores of both regions answer nothing."""
    for region in (A, B):
        stage.fault(Rule(id=f"outage-{region}", region=region, port="store", kind=Fault.UNAVAILABLE))
    await stage.send(B, first=True)
    await stage.pause_past_grace()
    await stage.ready(A, "intake")
    await stage.heal()
    await stage.stored()


@scenario("some-keys-time-out-here", a="-", b="RETRY HALT DONE")
async def some_keys_time_out_here(stage: Stage) -> None:
    """Some keys of region b's store time out."""
    stage.time_out(B)
    await stage.send(A)
    await stage.until(b="HALT")
    await stage.heal()
    await stage.until(b="DONE")


@scenario("some-keys-time-out-everywhere", a="RETRY SET_ASIDE HALT? DONE", b="RETRY SET_ASIDE HALT? DONE")
async def some_keys_time_out_everywhere(stage: Stage) -> None:
    """Some keys of both stores time out."""
    for region in (A, B):
        stage.time_out(region)
    await stage.send(A)
    await stage.until(a="SET_ASIDE", b="SET_ASIDE")
    await stage.neighbours_stored()
    await stage.heal()
    await stage.until(a="DONE", b="DONE")


@scenario("mirror-cut-one-way", a="WAIT? SET_ASIDE HALT DONE", b="-")
async def mirror_cut_one_way(stage: Stage) -> None:
    """Region b hears nothing of a, and a refuses a request; after the heal b stores it."""
    await stage.cut_mirror(A, B)
    await stage.pause_past_hearing()
    stage.refuse(A)
    await stage.send(A)
    await stage.until(a="SET_ASIDE")
    await stage.heal_mirror(A, B)
    await stage.until(a="HALT")
    await stage.heal()
    await stage.until(a="DONE")


@scenario("kills-its-process", a="WAIT? SET_ASIDE? QUARANTINE", b="WAIT? SET_ASIDE? QUARANTINE")
async def kills_its_process(stage: Stage) -> None:
    """A request that kills the process which stores it."""
    for region in (A, B):
        stage.crash(region)
    await stage.send(A)
    await stage.until(a="QUARANTINE", b="QUARANTINE")
    await stage.neighbours_stored()


@scenario("would-halt-on-each-other", a="WAIT? HALT? SET_ASIDE HALT? DONE", b="WAIT? HALT DONE")
async def would_halt_on_each_other(stage: Stage) -> None:
    """Each region stored what the other refuses: the order by name lets one go on."""
    for region in (A, B):
        stage.refuse(region, of=region)
        await stage.send(region, of=region)
    await stage.until(a="SET_ASIDE", b="HALT")
    await stage.ready(A, "querier")
    await stage.heal()
    await stage.until(a="DONE", b="DONE")


@scenario("region-lost", a="WAIT? SET_ASIDE QUARANTINE", b="WAIT? SET_ASIDE? QUARANTINE")
async def region_lost(stage: Stage) -> None:
    """Region b is lost while a bad request is in hand, and comes back."""
    for region in (A, B):
        stage.refuse(region)
    await stage.cut_mirror(B, A)
    await stage.kill_region(B)
    await stage.send(A)
    await stage.until(a="SET_ASIDE")
    await stage.heal_mirror(B, A)
    await stage.start_region(B)
    await stage.until(a="QUARANTINE", b="QUARANTINE")


@scenario("creator-killed-mid-set", a="-", b="-")
async def creator_killed_mid_set(stage: Stage) -> None:
    """Kill -9 of a creator in the middle of a burst."""
    await stage.burst_and_kill(A, "creator")


@scenario("pages-shared", a="-", b="-")
async def pages_shared(stage: Stage) -> None:
    """People are paged once, by both regions alike."""
    await stage.pause_past_unfit()
    for _ in range(3):
        for region in (A, B):
            await stage.alert(region, 4, scene=stage.pages.calm)
        await stage.paged()


@scenario("pages-region-killed-in-burst", a="-", b="-")
async def pages_region_killed_in_burst(stage: Stage) -> None:
    """Region a is killed in the middle of a burst; b pages what a would have."""
    await stage.alert(A, 15)
    await stage.kill_region(A)
    await stage.alert(B, 15)
    await stage.paged()
    await stage.start_region(A)
    await stage.neighbours_stored()


@scenario("pages-region-halts", a="-", b="WAIT? HALT DONE")
async def pages_region_halts(stage: Stage) -> None:
    """Region b holds a trigger that its peer took: a pages."""
    stage.refuse(B)
    await stage.notice()
    await stage.alert(B, 1, of="")
    await stage.until(b="HALT")
    await stage.paged()
    await stage.heal()
    await stage.until(b="DONE")


@scenario("pages-mirrors-cut", a="-", b="-")
async def pages_mirrors_cut(stage: Stage) -> None:
    """The regions hear nothing of each other: each pages what it has, and nobody is left out."""
    await stage.cut_mirror(A, B)
    await stage.cut_mirror(B, A)
    await stage.notice()
    for region in (A, B):
        await stage.alert(region, 6, scene=stage.pages.cut)
    await stage.paged()
    await stage.heal_mirror(A, B)
    await stage.heal_mirror(B, A)
