"""The regions as an operator's command reaches them: stores to read, logs to read and to say something in.

A command must be of use while something is broken: what cannot be reached is named, and the rest is shown.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tocsin.engines.errors import EngineError
from tocsin.engines.log import Log
from tocsin.engines.opening import absent_log, open_log, open_store
from tocsin.engines.store import Store
from tocsin.settings import Settings
from tocsin.topology import Topology


class Reached(NamedTuple):
    """The regions' logs, or their serving stacks' stores, by name; and why some could not be reached."""

    logs: dict[str, Log]
    stores: dict[str, Store]
    away: dict[str, str]


@asynccontextmanager
async def serving_stores(settings: Settings, topology: Topology) -> AsyncIterator[dict[str, Store]]:
    """The stores of all regions' serving stacks, to be read; each is opened at its first use."""
    stores = {
        region.name: open_store(region, region.serving_stack, settings, read_only=True) for region in topology.regions
    }
    try:
        yield stores
    finally:
        for store in stores.values():
            await store.close()


@asynccontextmanager
async def reachable(
    settings: Settings, topology: Topology, *, only: str | None = None, within_s: float | None = None
) -> AsyncIterator[Reached]:
    """Logs and stores that answer, of all regions or one; with `within_s`, those that answer within that time. All are
    asked at once. Nothing is made where nothing is.
    """
    reached = Reached({}, {}, {})
    try:
        for region in topology.regions:
            if only not in {None, region.name}:
                continue
            reached.stores[region.name] = open_store(region, region.serving_stack, settings, read_only=True)
            if why := absent_log(region, settings):
                reached.away[f"log of {region.name}"] = why
            else:
                reached.logs[region.name] = open_log(region, settings)
        stores = {f"store of {name}": store.identity() for name, store in reached.stores.items()}
        logs = {f"log of {name}": log.cluster() for name, log in reached.logs.items()}
        asked = stores | logs
        whys = await asyncio.gather(*(_why_away(answer, within_s) for answer in asked.values()))
        reached.away.update((what, why) for what, why in zip(asked, whys, strict=True) if why)
        await _leave_out(reached.stores, "store", reached.away)
        await _leave_out(reached.logs, "log", reached.away)
        yield reached
    finally:
        for log in reached.logs.values():
            await log.close()
        for store in reached.stores.values():
            await store.close()


async def _why_away(answer: Awaitable[Any], within_s: float | None) -> str:
    try:
        async with asyncio.timeout(within_s):
            await answer
    except EngineError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {within_s:g} s"
    return ""


async def _leave_out(engines: dict[str, Any], kind: str, away: dict[str, str]) -> None:
    for name in [name for name in engines if f"{kind} of {name}" in away]:
        await engines.pop(name).close()
