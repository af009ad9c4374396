"""The regions as an operator's command reaches them: stores to read, logs to read and to say something in.

A command must be of use while something is broken: what cannot be reached is named, and the rest is shown.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

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
async def reachable(settings: Settings, topology: Topology, *, only: str | None = None) -> AsyncIterator[Reached]:
    """Logs and stores that answer, of all regions or one. Nothing is made where nothing is."""
    reached = Reached({}, {}, {})
    try:
        for region in topology.regions:
            if only not in (None, region.name):
                continue
            store = open_store(region, region.serving_stack, settings, read_only=True)
            reached.stores[region.name] = store
            try:
                await store.identity()
            except EngineError as error:
                reached.away[f"store of {region.name}"] = str(error)
                await reached.stores.pop(region.name).close()
            if why := absent_log(region, settings):
                reached.away[f"log of {region.name}"] = why
                continue
            log = open_log(region, settings)
            reached.logs[region.name] = log
            try:
                await log.cluster()
            except EngineError as error:
                reached.away[f"log of {region.name}"] = str(error)
                await reached.logs.pop(region.name).close()
        yield reached
    finally:
        for log in reached.logs.values():
            await log.close()
        for store in reached.stores.values():
            await store.close()
