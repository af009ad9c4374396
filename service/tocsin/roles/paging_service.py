"""The notifier as a process, as `services.py` has the others.

Apart from those because stage two's clients take longer to load than all else that a creator needs.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tocsin.engines.directory import FileDirectory
from tocsin.engines.opening import open_log, open_store
from tocsin.engines.topics import make_topics
from tocsin.roles.delivery.opening import open_deliveries
from tocsin.roles.notifier import Notifier
from tocsin.roles.process import Frame, Service, closing
from tocsin.roles.services import beside, topics_made, usable


@asynccontextmanager
async def notifier(frame: Frame) -> AsyncIterator[Service]:
    """Tells people of incidents. Raises ConfigError, `Misconfigured`."""
    region, settings = frame.region, frame.settings
    directory = FileDirectory(settings.path(region.directory))
    log, store = open_log(region, settings), open_store(region, frame.stack, settings)
    deliveries = open_deliveries(region, settings.path, frame.meters, frame.traces)
    async with closing(log, store, deliveries):
        await usable(store.identity())
        await usable(make_topics(log, region))
        pager = Notifier(log, store, frame.topology, region, frame.stack, directory, deliveries, frame.meters)

        async def run(stopping: asyncio.Event) -> None:
            if await topics_made(log, region, stopping):
                await beside(deliveries.run(), pager.run(stopping))

        async def unready() -> list[str]:
            return pager.unready

        yield Service(run, unready)
