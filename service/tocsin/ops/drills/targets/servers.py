"""What lies below the roles of local regions, and how it is broken: by signals to real servers, or by the fault switch.

Real servers are killed, and their network paths cut, so what a role sees is what it would see of any server that is
gone. Embedded engines are files inside the roles' own processes: nothing can be killed there, so the fault switch
stands for it. Each says of itself which it is, and the report repeats it.
"""

from typing import Final, Protocol

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.engines.log import Log
from tocsin.ops.demo.mirrors import EmbeddedMirrors, Mirrors, ServerMirrors
from tocsin.ops.drills.target import DrillError
from tocsin.ops.local.control import LocalControl
from tocsin.ops.local.directions import Direction
from tocsin.topology import KafkaLog, Region

STANDING: Final = frozenset({"ready", "starting"})


class Servers(Protocol):
    """The engines of local regions."""

    mirrors: Mirrors
    faults_by: str
    """How its faults are made, for people."""

    async def stop_store(self, region: str) -> None:
        """The region's store answers nothing."""

    async def start_store(self, region: str) -> None:
        """It answers again; nothing when it does."""

    async def slow_mirror(self, source: str, target: str, delay_s: float) -> None:
        """What enters at `source` reaches `target` so much later."""

    async def kill_region(self, region: str) -> None:
        """Kills what a region has of its own below its roles."""

    async def start_region(self, region: str) -> None:
        """Starts it again."""

    async def delete_records(self, region: Region, log: Log, topic: str, partition: int, before_offset: int) -> None:
        """The region's log forgets what it has below an offset."""


class EmbeddedServers:
    """Files, and mirrors that are processes like the roles."""

    faults_by = "stores and mirrors through the fault switch, processes by SIGKILL"

    def __init__(self, switch: FaultSwitch) -> None:
        self.mirrors: Mirrors = EmbeddedMirrors(switch)
        self._switch = switch

    async def stop_store(self, region: str) -> None:
        """As `Servers` says."""
        self._switch.set_rule(Rule(id=f"store-{region}", region=region, port="store", kind=Fault.UNAVAILABLE))

    async def start_store(self, region: str) -> None:
        """As `Servers` says."""
        self._switch.clear(f"store-{region}")

    async def slow_mirror(self, source: str, target: str, delay_s: float) -> None:
        """As `Servers` says."""
        self._switch.set_rule(
            Rule(
                id=f"mirror-{source}-{target}",  # the same as of a cut: one healing ends either
                region=target,
                port="mirror",
                kind=Fault.DELAY,
                peer=source,
                delay_s=delay_s,
            )
        )

    async def kill_region(self, region: str) -> None:
        """Its files stay, as the disks of a region that lost its power do."""

    async def start_region(self, region: str) -> None:
        """There is nothing to start below the roles."""

    async def delete_records(self, region: Region, log: Log, topic: str, partition: int, before_offset: int) -> None:  # noqa: ARG002 - as `Servers` says
        """As `Servers` says."""
        if not isinstance(log, EmbeddedLog):
            raise TypeError(f"the log of an embedded region is {log!r}")
        await log.delete_records(topic, partition, before_offset)


class RealServers:
    """Kafka, MirrorMaker 2 and Cassandra, each a server of its own."""

    faults_by = (
        "stores and whole regions by SIGKILL to their servers, mirrors by cutting or delaying their network path"
    )

    def __init__(self, control: LocalControl) -> None:
        self.mirrors: Mirrors = ServerMirrors(control)
        self._control = control

    async def stop_store(self, region: str) -> None:
        """As `Servers` says."""
        await self._control.kill(f"cassandra-{region}")

    async def start_store(self, region: str) -> None:
        """As `Servers` says."""
        await self._start(f"cassandra-{region}")

    async def slow_mirror(self, source: str, target: str, delay_s: float) -> None:
        """As `Servers` says."""
        await self._control.delay(f"mirror-{source}-{target}", delay_s, Direction.TO_CLIENT)

    async def kill_region(self, region: str) -> None:
        """As `Servers` says."""
        for server in (f"broker-{region}", f"cassandra-{region}", *await self._mirrors_into(region)):
            await self._control.kill(server)

    async def start_region(self, region: str) -> None:
        """As `Servers` says."""
        for server in (f"broker-{region}", f"cassandra-{region}", *await self._mirrors_into(region)):
            await self._start(server)

    async def delete_records(self, region: Region, log: Log, topic: str, partition: int, before_offset: int) -> None:  # noqa: ARG002 - as `Servers` says
        """As `Servers` says; raises `DrillError` when the broker does not do it."""
        if not isinstance(region.log, KafkaLog):
            raise TypeError(f"the log of a region on real servers is {region.log!r}")
        admin = AIOKafkaAdminClient(bootstrap_servers=list(region.log.bootstrap))
        try:
            await admin.start()
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset)})
        except KafkaError as error:
            raise DrillError(f"the broker of {region.name} did not remove records of {topic}: {error!r}") from error
        finally:
            await admin.close()

    async def _mirrors_into(self, region: str) -> list[str]:
        names = [str(server["name"]) for server in (await self._control.status())["servers"]]
        return [name for name in names if name.startswith("mirror-") and name.endswith(f"-{region}")]

    async def _start(self, name: str) -> None:
        states = {server["name"]: server["state"] for server in (await self._control.status())["servers"]}
        if states[name] not in STANDING:
            await self._control.start(name)
