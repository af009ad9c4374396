"""Reassigning: who becomes responsible for a service is told of what is open there already.

A change of the directory and an event travel by topics of their own, so an incident may be folded in a region before
that region knows who is responsible; and people who take a service over want to know what is open. Who was told is not
told again: an assignment is state, and pages are known by what they cover.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import Final, Protocol

from tocsin.core.directory import Service
from tocsin.core.ids import Parent, partition_of
from tocsin.core.incidents import IncidentFilter, Status
from tocsin.core.paging.assignments import OPEN
from tocsin.engines.directory import Directory
from tocsin.engines.errors import EngineError
from tocsin.engines.store import Store

LOOK_EVERY_S: Final = 0.5
PAGE: Final = 200
_log = logging.getLogger(__name__)


class Reassigner(Protocol):
    """The owner of a partition number."""

    async def reassign(self, parents: list[Parent]) -> None:
        """Has those told who are responsible by now for what is open; raises `EngineError`."""


class Reassigning:
    """Watches the directory for the creator's owners, of `partitions` partition numbers in all."""

    def __init__(self, directory: Directory, store: Store, owners: Mapping[int, Reassigner], partitions: int) -> None:
        self._directory = directory
        self._store = store
        self._owners = owners
        self._partitions = partitions
        self._known = self._responsible()
        self._due: set[str] = set()

    async def run(self) -> None:
        """Watches until it is cancelled."""
        while True:
            self._look()
            for service in sorted(self._due):
                try:
                    await self._tell(service)
                except EngineError as error:
                    _log.warning("%s", error, extra={"action": "reassign_failed", "service": service})
                else:
                    self._due.discard(service)
            await asyncio.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        before, self._known = self._known, self._responsible()
        self._due |= {id for id, who in self._known.items() if before.get(id) != who}

    def _responsible(self) -> dict[str, tuple[object, ...]]:
        return {one.id: _who(one) for one in self._directory.services() if one.responders}

    async def _tell(self, service: str) -> None:
        """Through the owners that there are now: whoever takes a partition over knows the directory already."""
        offset = 0
        while True:
            where = IncidentFilter(services=(service,), statuses=(Status.TRIGGERED,), offset=offset, limit=PAGE)
            found = await self._store.find_incidents(where)
            parents: dict[int, dict[Parent, None]] = defaultdict(dict)
            for incident in found:
                if incident.status == OPEN:
                    parents[partition_of(incident.parent, self._partitions)][incident.parent] = None
            for number, some in parents.items():
                if number in self._owners:
                    await self._owners[number].reassign(list(some))
            if len(found) < PAGE:
                return
            offset += PAGE


def _who(service: Service) -> tuple[object, ...]:
    return service.responders, service.urgency
