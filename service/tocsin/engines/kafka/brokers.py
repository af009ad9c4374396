"""The brokers of one cluster: who leads what, and connections that carry one request at a time.

A broker answers the requests of one connection one after the other, and a fetch at the end of a log waits there for
records to come. So whoever waits has the connection to himself: each request takes an idle one, or opens one, and gives
it back with its answer. There are never more than requests at one time, and what nobody used for a while is closed.
A request that is given up takes its connection with it: no late answer is ever taken for another's.
"""

import asyncio
import collections
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError
from aiokafka.protocol.api import Request
from aiokafka.protocol.coordination import FindCoordinatorRequest

from tocsin.engines.errors import EngineError, Misconfigured, Unavailable
from tocsin.engines.kafka.connection import CALL_S, REQUEST_S, RETRY_PAUSE_S, client_arguments, connect, explain
from tocsin.engines.kafka.errors import UNKNOWN_TOPIC_OR_PARTITION, failure, meaning
from tocsin.engines.kafka.metadata import Metadata, MetadataRequest, TopicMetadata
from tocsin.topology import KafkaLog
from tocsin.topology.engines import host_and_port

Address = tuple[str, int]
Code = Callable[[Any], int]
"""Finds the error code in an answer."""
_COORDINATOR_OF_GROUPS: Final = 0


class Brokers:
    """One cluster, as the brokers of `section.bootstrap` show it. Nothing is opened before it is needed."""

    def __init__(self, section: KafkaLog, data_dir: Path) -> None:
        self._section = section
        self._data_dir = data_dir
        self._known: dict[int, Address] = {}
        self._topics: dict[str, TopicMetadata] = {}
        self._coordinators: dict[str, Address] = {}
        self._arguments: Mapping[str, Any] | None = None
        self._idle: collections.defaultdict[Address, list[AIOKafkaConnection]] = collections.defaultdict(list)
        self._busy: set[AIOKafkaConnection] = set()
        self._closed = False

    async def arguments(self) -> Mapping[str, Any]:
        """What clients of aiokafka are given (`client_arguments`); raises `Misconfigured`."""
        if self._arguments is None:
            self._arguments = await asyncio.to_thread(client_arguments, self._section, self._data_dir)
        return self._arguments

    # Who leads what ----------------------------------------------------------------------------------------------

    async def metadata(self, topics: Sequence[str]) -> Metadata:
        """The cluster and these topics as some broker shows them now; raises `Unavailable` or `Misconfigured`."""
        metadata = Metadata.of(await self._ask_first(MetadataRequest(list(topics))))
        self._known = metadata.brokers
        for topic in topics:
            self._topics.pop(topic, None)
        self._topics |= metadata.topics
        return metadata

    async def ask_any(self, request: Request[Any], code_of: Code, doing: str) -> Any:
        """The answer of any broker, as `ask_leader`."""
        return await self._persist(lambda: self._ask_first(request), _nothing, code_of, doing)

    async def ask_leader(
        self,
        topic: str,
        partition: int,
        request: Request[Any],
        code_of: Code,
        doing: str,
        *,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Any:
        """The answer of the partition's leader, tried for `CALL_S` while what goes wrong may pass and it is wanted.

        Raises what the code of an answer means, `Misconfigured` for an unknown topic or partition, `Unavailable` when
        time is up.
        """

        async def ask() -> Any:
            return await self.ask(await self._leader(topic, partition), request, is_wanted=is_wanted)

        return await self._persist(ask, lambda: self._topics.pop(topic, None), code_of, doing, is_wanted)

    async def ask_coordinator(self, group: str, request: Request[Any], code_of: Code, doing: str) -> Any:
        """The answer of the group's coordinator, as `ask_leader`."""

        async def ask() -> Any:
            if group not in self._coordinators:
                found = await self._ask_first(FindCoordinatorRequest(group, _COORDINATOR_OF_GROUPS))
                if found.error_code:
                    raise failure(found.error_code, doing)
                self._coordinators[group] = (found.host, found.port)
            return await self.ask(self._coordinators[group], request)

        return await self._persist(ask, lambda: self._coordinators.pop(group, None), code_of, doing)

    async def ask_controller(self, request: Request[Any], code_of: Code, doing: str) -> Any:
        """The answer of the cluster's controller, as `ask_leader`."""

        async def ask() -> Any:
            metadata = await self.metadata([])
            if metadata.controller not in metadata.brokers:
                raise Unavailable(f"{doing}: the cluster has no controller now")
            return await self.ask(metadata.brokers[metadata.controller], request)

        return await self._persist(ask, _nothing, code_of, doing)

    async def _leader(self, topic: str, partition: int) -> Address:
        found = self._topics.get(topic)
        if found is None:
            metadata = await self.metadata([topic])
            if topic not in metadata.topics:
                raise absent(topic, metadata.errors.get(topic, UNKNOWN_TOPIC_OR_PARTITION))
            found = metadata.topics[topic]
        if partition not in found.leaders:
            raise Misconfigured(
                f"topic {topic} has no partition {partition}: they are numbered 0 to {len(found.leaders) - 1}. The "
                "settings of who asks have another partition count than the topic"
            )
        if (leader := found.leaders[partition]) not in self._known:
            self._topics.pop(topic, None)
            raise Unavailable(f"partition {partition} of topic {topic} has no leader now")
        return self._known[leader]

    async def _ask_first(self, request: Request[Any]) -> Any:
        """The answer of the first broker that gives one: those that we know, then those to begin with.

        Each has its share of the time that is left, so that one that is silent does not use up that of all others.
        Raises `Misconfigured` when one refused us and none answered, else `Unavailable`, naming all.
        """
        first = [host_and_port(address) for address in self._section.bootstrap]
        known = random.sample(list(self._known.values()), len(self._known))
        faults: list[EngineError] = []
        loop = asyncio.get_running_loop()
        until = loop.time() + CALL_S
        addresses = list(dict.fromkeys((*known, *first)))
        for place, address in enumerate(addresses):
            share_s = max(0.0, until - loop.time()) / (len(addresses) - place)
            try:
                async with asyncio.timeout(share_s):
                    return await self.ask(address, request)
            except EngineError as error:
                faults.append(error)
            except TimeoutError:
                faults.append(Unavailable(f"the Kafka broker at {_shown(address)} gave no answer in {share_s:.1f} s"))
        refusals = [fault for fault in faults if isinstance(fault, Misconfigured)]
        raise (
            refusals[0]
            if refusals
            else Unavailable(
                f"no Kafka broker of {', '.join(self._section.bootstrap)} answers: {'; '.join(map(str, faults))}"
            )
        )

    async def _persist(
        self,
        ask: Callable[[], Awaitable[Any]],
        forget: Callable[[], object],
        code_of: Code,
        doing: str,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Any:
        """Asks until there is an answer, time is up, or what goes wrong will not pass."""
        loop = asyncio.get_running_loop()
        until = loop.time() + CALL_S
        while True:
            try:
                response = await ask()
                code = code_of(response)
                if code == 0:
                    return response
                fault = failure(code, doing)
                if not meaning(code).passes and code != UNKNOWN_TOPIC_OR_PARTITION:
                    raise fault
            except Unavailable as error:
                fault = error
            forget()  # and look anew: it may have moved, or be gone
            if loop.time() + RETRY_PAUSE_S >= until:
                raise fault
            await asyncio.sleep(RETRY_PAUSE_S)
            if self._closed or not is_wanted():
                raise fault

    # Connections -------------------------------------------------------------------------------------------------

    async def ask(
        self, address: Address, request: Request[Any], *, is_wanted: Callable[[], bool] = lambda: True
    ) -> Any:
        """The answer of one broker; raises `Unavailable`, or `Misconfigured` when it does not let us in.

        What is not wanted any more once there is a connection is not sent, and `Unavailable`.
        """
        connection = await self._take(address)
        if not is_wanted():
            self._give_back(address, connection)
            raise Unavailable(f"given up before there was a connection to the Kafka broker at {_shown(address)}")
        self._busy.add(connection)
        try:
            response = await _sent(connection, request)
        except (IncompatibleBrokerVersion, NotImplementedError) as error:
            connection.close()
            raise Misconfigured(
                f"the Kafka broker at {_shown(address)} is too old or too new: 2.8 to 4.x are spoken to ({error})"
            ) from error
        except TimeoutError as error:
            connection.close()
            raise Unavailable(f"the Kafka broker at {_shown(address)} gave no answer within {REQUEST_S:g} s") from error
        except (KafkaError, OSError) as error:
            connection.close()
            raise explain(error, _shown(address), await self.arguments()) from error
        except BaseException:
            connection.close()
            raise
        finally:
            self._busy.discard(connection)
        self._give_back(address, connection)
        return response

    async def _take(self, address: Address) -> AIOKafkaConnection:
        if self._closed:
            raise Unavailable("this log was closed")
        idle = self._idle[address]
        while idle:
            if (connection := idle.pop()).connected():
                return connection
        return await connect(*address, await self.arguments())

    def _give_back(self, address: Address, connection: AIOKafkaConnection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle[address].append(connection)

    async def close(self) -> None:
        """Closes all connections; what is on its way ends as `Unavailable`."""
        self._closed = True
        connections = [*self._busy, *(one for idle in self._idle.values() for one in idle)]
        self._idle.clear()
        endings = [ending for connection in connections if (ending := connection.close()) is not None]
        await asyncio.gather(*endings)


def _sent(connection: AIOKafkaConnection, request: Request[Any]) -> Awaitable[Any]:
    """The answer that is to come; raises OSError for a connection that the other side has reset.

    One that was reset since it was last used is known to be closed only when its reader gets its turn. Until then
    asyncio's loop takes what is written and drops it; uvloop, which roles run on, raises RuntimeError.
    """
    try:
        answer: Awaitable[Any] = connection.send(request)
    except (KafkaError, NotImplementedError):  # RuntimeErrors too
        raise
    except RuntimeError as error:
        raise ConnectionResetError(str(error)) from error
    return answer


def absent(topic: str, code: int) -> EngineError:
    """Why a topic cannot be used that the metadata have an error for."""
    if code == UNKNOWN_TOPIC_OR_PARTITION:
        return Misconfigured(f"this log has no topic {topic}: is its name right, and was it made with ensure_topic?")
    return failure(code, f"topic {topic}")


def _nothing() -> None:
    """There is nothing to look up anew."""


def _shown(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
