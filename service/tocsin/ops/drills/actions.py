"""Actions: what a drill can do to a target. One that breaks something names the action that mends it.

A drill's file repeats the mending under `rollbacks`, so that whoever reads it sees how it ends; the loader refuses a
file in which one is missing. Mending what is whole does nothing, so it may be done twice.
"""

from typing import Final

from tocsin.ops.drills.registry import Registry
from tocsin.ops.drills.target import Role, Spoiling, Target

ACTIONS: Final = Registry()
action = ACTIONS.add


# Processes -----------------------------------------------------------------------------------------------------------


@action()
async def kill_role(target: Target, region: str, role: Role) -> None:
    """Kill -9 of a role's process; its supervisor starts it again."""
    await target.kill_role(region, role, hold=False)


@action(undo="start_role")
async def hold_role_down(target: Target, region: str, role: Role) -> None:
    """Kill -9 of a role's process, and keep it down."""
    await target.kill_role(region, role, hold=True)


@action()
async def start_role(target: Target, region: str, role: Role) -> None:
    """Start a role that was held down."""
    await target.start_role(region, role)


@action(undo="start_region")
async def kill_region(target: Target, region: str) -> None:
    """Kill -9 of every process and server of a region, and keep them down."""
    await target.kill_region(region)


@action()
async def start_region(target: Target, region: str) -> None:
    """Start all of a region again."""
    await target.start_region(region)


# Stores --------------------------------------------------------------------------------------------------------------


@action(undo="start_store")
async def stop_store(target: Target, region: str) -> None:
    """The region's outcome store answers nothing: the server is stopped, or the fault switch says so."""
    await target.stop_store(region)


@action()
async def start_store(target: Target, region: str) -> None:
    """The region's outcome store answers again."""
    await target.start_store(region)


@action(undo="mend_store")
async def spoil_store(target: Target, region: str, how: Spoiling) -> None:
    """The store refuses one service's entries (refuse) or all (refuse-all), kills who writes one (crash), or takes no
    write (full).
    """
    await target.spoil(region, how)


@action()
async def mend_store(target: Target, region: str, how: Spoiling) -> None:
    """The store takes everything again."""
    await target.mend(region, how)


# Mirrors -------------------------------------------------------------------------------------------------------------


@action(undo="heal_mirror")
async def cut_mirror(target: Target, source: str, to: str) -> None:
    """Nothing that enters at one region reaches the other."""
    await target.cut_mirror(source, to)


@action(undo="heal_mirror")
async def slow_mirror(target: Target, source: str, to: str, delay_s: float) -> None:
    """What enters at one region reaches the other so much later."""
    await target.slow_mirror(source, to, delay_s)


@action()
async def heal_mirror(target: Target, source: str, to: str) -> None:
    """What enters at one region reaches the other again."""
    await target.heal_mirror(source, to)


# Providers -----------------------------------------------------------------------------------------------------------


@action(undo="mend_provider")
async def fail_provider(target: Target, region: str) -> None:
    """Whom a region pages through answers 503 to everything."""
    await target.refuse_pages(region)


@action()
async def mend_provider(target: Target, region: str) -> None:
    """Whom a region pages through takes pages again."""
    await target.take_pages(region)


# Requests ------------------------------------------------------------------------------------------------------------


@action()
async def send_events(target: Target, region: str, count: int) -> None:
    """Sends so many good events to one region, as fast as it takes them."""
    await target.send(region, spoilt=False, count=count)


@action()
async def send_spoilt_event(target: Target, region: str) -> None:
    """Sends an event of the service that a spoilt store is about."""
    await target.send(region, spoilt=True, count=1)


@action()
async def append_rubbish(target: Target, region: str) -> None:
    """Appends a record that nobody can decode to a region's log, as a foreign producer might."""
    await target.append_rubbish(region)


@action(undo="drop_newer_requests")
async def append_newer_request(target: Target, region: str) -> None:
    """Appends a request to a region's log whose schema version no region reads, as a release ahead of all might."""
    await target.append_newer(region)


@action()
async def drop_newer_requests(target: Target) -> None:
    """A person gives those requests up: tocsin quarantine drop."""
    await target.drop_newer()


@action(undo="refill_log")
async def forget_unread(target: Target, region: str) -> None:
    """Retention takes all requests from all logs, also what one region has not read of them."""
    await target.forget_unread(region)


@action()
async def refill_log(target: Target, region: str) -> None:
    """What retention took is put into the region's log again, from what its peers have: a backfill."""
    await target.refill_log(region)


# People --------------------------------------------------------------------------------------------------------------


@action(undo="give_responder_a_rule")
async def put_responder_without_a_rule(target: Target) -> None:
    """Somebody puts a responder into the directory whom no rule leads to."""
    await target.put_responder(reachable=False)


@action()
async def give_responder_a_rule(target: Target) -> None:
    """A person gives that responder a rule."""
    await target.put_responder(reachable=True)


# Clocks, and what is typed -------------------------------------------------------------------------------------------


@action(undo="set_clock")
async def skew_clock(target: Target, region: str, ahead_s: float) -> None:
    """A region's ticks lie so far in the future, as those of an intake whose clock is ahead do."""
    await target.skew_clock(region, ahead_s)


@action()
async def set_clock(target: Target, region: str) -> None:
    """A region's ticks are right again."""
    await target.set_clock(region)


@action()
async def by_hand(target: Target, command: str) -> None:
    """What a person types: one of our own commands, without the word tocsin."""
    await target.by_hand(command)
