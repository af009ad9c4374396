"""Minting: from a valid event to a request that the logs have. Intake does it for machines, the querier for people.

Nothing is stored and nothing is read back here. What only we know is added, the id, when it was received and where, and
the request is appended to the log of this region; for a service that wants it, to the logs of its peers first.

An append that is not acknowledged within the mint-to-append limit is not accepted, even if it arrives later: ticks
promise readers that whatever was accepted stands below them. They hold for all processes of a region that mint.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tocsin.core import requests
from tocsin.core.completeness import MINT_TO_APPEND_S
from tocsin.core.directory import Ack, PeerUnreachable, Service
from tocsin.core.events import (
    ACTIONS,
    CHANGE,
    InvalidEvent,
    change_dedup_key,
    client_digest,
    derived_dedup_key,
    given_dedup_key,
    request_body,
)
from tocsin.core.ids import Minter, Parent, RequestKey, partition_of
from tocsin.core.requests import Request
from tocsin.engines.errors import EngineError, Refused
from tocsin.engines.log import Log

ACK_HEADER: Final = "Tocsin-Ack"
"""Says in an answer which logs have the request."""


class NotTaken(Exception):
    """An event that was valid and is not accepted. `may_be_recorded`: it may be in some log all the same."""

    def __init__(self, reason: str, *, may_be_recorded: bool) -> None:
        super().__init__(reason)
        self.may_be_recorded = may_be_recorded


class Accepted(NamedTuple):
    """A request that the logs have, and which of them."""

    request: Request
    ack: Ack

    @property
    def key(self) -> RequestKey:
        """What the request is known by."""
        return self.request.key


@dataclass(frozen=True, slots=True)
class Mint:
    """Mints for one region. `peers` are the peers' own logs, by region, for `ack: all-regions`."""

    region: str
    topic: str
    partitions: int
    log: Log
    clock_us: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    """Cryptographic randomness."""
    peers: Mapping[str, Log] = field(default_factory=dict)
    append_s_max: float = 3.0
    """How long this region's log may take to acknowledge one request; never above the mint-to-append limit."""
    peer_append_s_max: float = 1.5
    """The same for the peers' logs, all asked at one time and before our own."""
    monotonic: Callable[[], float] = time.monotonic
    _minter: Minter = field(default_factory=Minter)

    async def record(
        self, service: Service, event: dict[str, Any], given_id: int | None = None, trace: str = ""
    ) -> Accepted:
        """Makes a valid event of a service a request and appends it. `given_id` is the client's own, `trace` the
        context of the trace that follows it.

        Raises `InvalidEvent`, `TooLarge`, `NotTaken`.
        """
        minted_at = self.monotonic()
        received_us = self.clock_us()
        temporal_id = self._mint(received_us) if given_id is None else given_id
        parent = Parent(service.id, self._dedup_key(event, temporal_id, is_given=given_id is not None))
        body = request_body(event, parent.dedup_key)
        key = RequestKey(parent, temporal_id, client_digest(parent, body))
        # The lowest schema version that has the action, so that an older region reads as much as it can.
        request = Request(key, received_us, self.region, ACTIONS[event["event_action"]].schema, body)
        ack = await self._append(requests.encode_request(request, trace), service, parent)
        if self.monotonic() - minted_at > MINT_TO_APPEND_S:
            reason = f"the log acknowledged it later than {MINT_TO_APPEND_S:g} s after it was received"
            raise NotTaken(reason, may_be_recorded=True)
        return Accepted(request, ack)

    def _mint(self, received_us: int) -> int:
        return self._minter.mint(received_us // 1_000_000, int.from_bytes(self.random_bytes(4), "big"))

    def _dedup_key(self, event: dict[str, Any], temporal_id: int, *, is_given: bool) -> str:
        if event["event_action"] == CHANGE:
            return change_dedup_key(temporal_id)
        given = given_dedup_key(event)
        if given is not None:
            return given
        return derived_dedup_key(event, temporal_id) if is_given else self.random_bytes(16).hex()

    # The logs ----------------------------------------------------------------------------------------------------

    async def _append(self, record: requests.Record, service: Service, parent: Parent) -> Ack:
        """Appends to the peers' logs first, if the service wants it, then to our own."""
        partition = partition_of(parent, self.partitions)
        ack = service.ack
        if ack is Ack.ALL_REGIONS:
            unreached = await self._append_to_peers(partition, record)
            if unreached and service.when_peer_unreachable is PeerUnreachable.REFUSE:
                raise NotTaken("; ".join(unreached), may_be_recorded=True)
            if unreached:
                ack = Ack.REGION
        await self._append_to(self.log, self.region, partition, record, self.append_s_max)
        return ack

    async def _append_to_peers(self, partition: int, record: requests.Record) -> list[str]:
        """What went wrong, empty when all peers have it."""

        async def append(region: str, log: Log) -> str | None:
            try:
                await self._append_to(log, region, partition, record, self.peer_append_s_max)
            except NotTaken as error:
                return str(error)
            return None

        outcomes = await asyncio.gather(*(append(region, log) for region, log in self.peers.items()))
        return [outcome for outcome in outcomes if outcome]

    async def _append_to(
        self, log: Log, region: str, partition: int, record: requests.Record, append_s_max: float
    ) -> None:
        try:
            async with asyncio.timeout(append_s_max):
                await log.append(self.topic, partition, [record])
        except TimeoutError as error:
            reason = f"the log of region {region} gave no answer within {append_s_max:g} s"
            raise NotTaken(reason, may_be_recorded=True) from error
        except Refused as error:
            raise InvalidEvent(
                "invalid event", "Event object is invalid", [f"the log of region {region} refuses it: {error}"]
            ) from error
        except EngineError as error:
            raise NotTaken(f"the log of region {region}: {error}", may_be_recorded=True) from error
