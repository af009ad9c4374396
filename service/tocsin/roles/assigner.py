"""The assigner: tells those who are responsible for a service how its incidents are, on the `assignments` topic.

What it says is state and carries the version of the fold, so saying it again changes nothing (`core/paging/
assignments.py`). A service without responders costs one look into the directory.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from msgspec.structs import replace

from tocsin.core.directory import Service
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.incidents import Incident, Status
from tocsin.core.paging.assignments import Assignment, encode_assignment, user_partition
from tocsin.core.requests import Record
from tocsin.engines.directory import Directory
from tocsin.engines.errors import EngineError, Unavailable
from tocsin.engines.log import Log
from tocsin.topology import Region

TEXT_MAX: Final = 1_024
"""So much of a title or a source is said: a page has no room for more, and a record of a log has a limit."""
APPEND_S_MAX: Final = 5.0
SERVICES_MAX: Final = 10_000
FORMER_MAX: Final = 1_000
"""Of so many services so many who were once responsible are remembered while the process lives."""


class Folded(NamedTuple):
    """A parent's incidents as the store has them by now. `version`: nothing older of them has a higher one.

    `since_us`: what was updated from then on may have been changed just now.
    """

    incidents: Sequence[Incident]
    since_us: int
    version: int


class Assigner(Protocol):
    """Tells those who are responsible how incidents are."""

    async def assign(self, folded: Mapping[Parent, Folded]) -> dict[Parent, EngineError]:
        """Returns once that is on the log, with what befell the parents of which it may not be."""


class _Nobody:
    """Where nobody is to be told anything."""

    async def assign(self, folded: Mapping[Parent, Folded]) -> dict[Parent, EngineError]:  # noqa: ARG002 (the port's)
        return {}


NOBODY: Final[Assigner] = _Nobody()


class DirectoryAssigner:
    """Assigns each incident to the responders of its service, as the directory has them now."""

    def __init__(
        self, log: Log, region: Region, directory: Directory, trace: Callable[[RequestKey], str] = lambda _key: ""
    ) -> None:
        """`directory` has been read to its end: what it does not know would be told nobody. `trace`: the context of
        the trace that follows a request, if one does.
        """
        self._log = log
        self._trace = trace
        self._region = region
        self._directory = directory
        self._ever: OrderedDict[str, dict[str, None]] = OrderedDict()

    async def assign(self, folded: Mapping[Parent, Folded]) -> dict[Parent, EngineError]:
        """Appends to each user partition once, all at one time."""
        records: dict[int, list[Record]] = defaultdict(list)
        concerned: dict[int, set[Parent]] = defaultdict(set)
        for parent, one in folded.items():
            service = self._directory.service(parent.service)
            former = self._former(parent.service, service.responders if service else ())
            for assignment in assignments(service or Service(parent.service, ""), one, former):
                if trace := self._trace(assignment.incident):
                    assignment = replace(assignment, trace=trace)  # noqa: PLW2901 - the same one
                number = user_partition(assignment.user, self._region.partitions)
                records[number].append(Record(*encode_assignment(assignment)))
                concerned[number].add(parent)
        if not records:
            return {}
        errors = await asyncio.gather(*(self._append(number, some) for number, some in records.items()))
        return {p: e for number, e in zip(records, errors, strict=True) if e is not None for p in concerned[number]}

    def _former(self, service: str, responders: Sequence[str]) -> list[str]:
        """Who was responsible for a service since this began, and is no longer."""
        ever = self._ever.get(service)
        if ever is None:
            if not responders:
                return []
            ever = self._ever[service] = {}
            while len(self._ever) > SERVICES_MAX:
                self._ever.popitem(last=False)
        if len(ever) < FORMER_MAX:
            ever.update(dict.fromkeys(responders))
        return [user for user in ever if user not in responders] if len(ever) > len(responders) else []

    async def _append(self, partition: int, records: Sequence[Record]) -> EngineError | None:
        topic = self._region.assignments
        try:
            async with asyncio.timeout(APPEND_S_MAX):
                await self._log.append(topic, partition, records)
        except TimeoutError:
            return Unavailable(f"topic {topic}, partition {partition}: no answer within {APPEND_S_MAX:g} s")
        except EngineError as error:  # never evidence against a request, whatever the log says of what we made of it
            return Unavailable(f"topic {topic}, partition {partition}: {error}")
        return None


def assignments(service: Service, folded: Folded, former: Sequence[str] = ()) -> Iterator[Assignment]:
    """What each responder of a service is to know of its incidents: of those that are open or have changed.

    Former ones learn of no new incident; but that one of theirs is at an end they must, or they would be paged on.
    """
    if not service.responders and not former:
        return
    for incident in folded.incidents:
        is_open = incident.status == Status.TRIGGERED
        if is_open or incident.updated_us >= folded.since_us:
            for user in dict.fromkeys(service.responders if is_open else (*service.responders, *former)):
                yield Assignment(
                    user=user,
                    incident=incident.key,
                    since_us=incident.created_us,
                    status=incident.status,
                    urgency=service.urgency_of(incident.urgency),
                    title=incident.title[:TEXT_MAX],
                    source=incident.source[:TEXT_MAX],
                    service=service.id,
                    version=folded.version,
                    aliases=incident.aliases,
                )
