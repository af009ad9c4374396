"""Probes: questions to a target, each with a value that a tolerance is held against.

They ask what a person could ask: health of a role, an event that is sent and read back, an alert and the pages for it,
rows of a store, a count at the receiver. None looks at what was injected: a fault is believed when it shows.
"""

from typing import Final

from tocsin.ops.drills.registry import Registry
from tocsin.ops.drills.target import Role, StageName, Target

PROBES: Final = Registry()
probe = PROBES.add
LOOK_S: Final = 2.0


@probe()
async def unready_roles(target: Target, region: str) -> int:
    """How many roles of a region are not ready, or do not answer."""
    return len(await target.unready(region))


@probe()
async def role_ready(target: Target, region: str, role: Role) -> bool:
    """Whether a role of a region says that it is ready."""
    return role not in await target.unready(region)


@probe()
async def why_unready(target: Target, region: str, role: Role) -> str:
    """Why a role of a region is not ready, in its own words; empty when it is."""
    return "; ".join((await target.unready(region)).get(role, ()))


@probe()
async def metric(target: Target, region: str, role: Role, name: str) -> float | None:
    """The highest value that a role shows of a metric, by its name in Prometheus."""
    return await target.metric(region, role, name)


@probe()
async def role_starts(target: Target, region: str, role: Role) -> int:
    """How often a role's process has been started again since the drill began."""
    return await target.starts(region, role)


@probe()
async def intake_status(target: Target, region: str) -> int:
    """What a region's intake answers to an event: its status, 0 when it does not answer."""
    return await target.status_of_intake(region) or 0


@probe()
async def stored_after_s(target: Target, at: str, read: str, within_s: float = 30.0) -> float | None:
    """Seconds until an event that enters at one region can be read in another."""
    return await target.stored_after_s(at, read, within_s)


@probe()
async def paged_after_s(target: Target, at: str, within_s: float = 30.0) -> float | None:
    """Seconds until everybody is paged for an alert that enters at a region."""
    return await target.paged_after_s(at, within_s)


@probe()
async def requests_open(target: Target) -> int:
    """How many requests are held or set aside, in all regions together."""
    return sum([await target.open_requests(region) for region in target.regions])


@probe()
async def requests_kept(target: Target, region: str, stage: StageName) -> int:
    """How many requests have come to this stage in a region since the drill began."""
    return await target.kept(region, stage)


@probe()
async def requests_decided(target: Target, region: str, verdict: str) -> int:
    """On how many requests a region has given a verdict (HALT, QUARANTINE, ...) since the drill began."""
    return await target.decided(region, verdict)


@probe()
async def budget_spent(target: Target, region: str) -> bool:
    """Whether a region has spent the budget of services whose requests it may skip."""
    return await target.budget_spent(region)


@probe()
async def records_behind(target: Target, region: str) -> int:
    """How many records a region has not worked off."""
    return await target.records_behind(region)


@probe()
async def removed_unread(target: Target, region: str) -> int:
    """How many records retention took that a region had not read, and has not named as lost yet."""
    return await target.removed_unread(region)


@probe()
async def lost_unnamed(target: Target, region: str) -> int:
    """Of the records that retention took unread since the drill began, how many the region does not name as lost."""
    return await target.lost_unnamed(region)


@probe()
async def mirror_carries(target: Target, source: str, to: str) -> bool:
    """Whether anything that enters at one region reaches the other: ticks alone are several records a second."""
    before = await target.copied(source, to)
    await target.pause(LOOK_S)
    return await target.copied(source, to) > before


@probe()
async def pages_sent(target: Target, region: str) -> int:
    """How many pages of a region have come since the drill began."""
    return await target.pages_sent(region)


@probe()
async def pages_refused(target: Target, region: str) -> int:
    """How many pages of a region were answered 503 since the drill began."""
    return await target.pages_refused(region)


@probe()
async def pages_overdue(target: Target, after_s: float) -> int:
    """How many people have not been told of an alert so long after it was accepted."""
    return await target.pages_overdue(after_s)
