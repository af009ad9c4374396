"""A whole set of servers: for each region a broker and a node, and between each two regions a mirror each way.

    roles of a --broker-a--> broker a --mirror-a-b--> mirror-a-b ----> broker b
              --cassandra-a--> node a                        (a to b)

A name on an arrow is a network path, one that can be broken alone; it is called like the server at its other end, or
like the mirror that reads through it. What is not named goes straight.

Brokers and nodes start together, mirrors when all topics are there. The set belongs to the process that starts it and
ends with it, by whatever means that ends.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import yaml

from tocsin.config import load_yaml
from tocsin.engines.cassandra.migrations import migrate
from tocsin.engines.errors import Misconfigured
from tocsin.ops.local import cassandra, kafka, mirrormaker, topics
from tocsin.ops.local.artifacts import Kind, jars, java
from tocsin.ops.local.folder import SetFolder
from tocsin.ops.local.paths import NetworkPath
from tocsin.ops.local.ports import HOST, Ports
from tocsin.ops.local.program import Program
from tocsin.ops.local.servers import Server, State
from tocsin.settings import Settings
from tocsin.topology import MIRRORED, CassandraStack, Region, load_topology

STARTING: Final = "starting"
READY: Final = "ready"
Tell = Callable[[str], None]
T = TypeVar("T")


class Mirror(NamedTuple):
    """A direction between two regions."""

    source: str
    target: str

    @property
    def name(self) -> str:
        """Of the mirror, and of the path by which it reads its source."""
        return f"mirror-{self.source}-{self.target}"


class ServerSet:
    """All servers of a folder of region files, and the paths between them, from `start` to `stop`."""

    def __init__(self, folder: SetFolder, settings: Settings, tell: Tell) -> None:
        """`tell` hears, in words for people, what takes time and what dies. Raises ConfigError."""
        self.folder = folder
        self.state = STARTING
        self.ready_s: float | None = None
        """How long it took from `start` until everything worked."""
        self.servers: dict[str, Server] = {}
        self.paths: dict[str, NetworkPath] = {}
        self._settings = settings
        self._regions = settings.topology().regions
        self._mirrors = [Mirror(peer.name, region.name) for region in self._regions for peer in region.peers]
        self._tell = tell
        self._ports = Ports()
        self._direct: dict[str, int] = {}

    # All of it ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts everything, and returns once round trips through each server worked.

        Raises what `artifacts` does where something is missing, and `Unavailable` for a server that does not come up.
        """
        began_s = time.monotonic()
        executable = await java()
        self.plan(executable, {kind: await jars(kind, self._tell) for kind in Kind})
        for path in self.paths.values():
            await path.open()
        self.publish()
        settings = self._settings.model_copy(update={"regions_dir": self.folder.regions})
        regions = settings.topology().regions  # the same, on this set's engines
        await _together([self._start_logs(regions, settings), *(self._start_store(one, settings) for one in regions)])
        self.state, self.ready_s = READY, round(time.monotonic() - began_s, 3)

    def plan(self, executable: str, folders: Mapping[Kind, Path]) -> None:
        """Chooses ports and writes all files, of servers and regions; starts nothing."""
        for program in self._programs(executable, folders):
            self.servers[program.name] = Server(program, self._tell)
        self._write_regions()

    async def stop(self) -> None:
        """Ends everything in good order, mirrors first; by force what takes too long."""
        mirrors = {mirror.name for mirror in self._mirrors}
        for names in (mirrors & self.servers.keys(), self.servers.keys() - mirrors):
            await asyncio.gather(*(self.servers[name].stop() for name in names))
        for path in self.paths.values():
            await path.close()
        self._ports.close()
        self.folder.unpublish()

    @property
    def waiting(self) -> dict[str, str]:
        """Server that is being started to what it waits for."""
        return {one.name: one.waiting_for for one in self.servers.values() if one.state is State.STARTING}

    @property
    def status(self) -> dict[str, Any]:
        """As `tocsin local status --json` has it."""
        servers = [server.status for server in self.servers.values()]
        return self._summary() | {
            "rss_bytes": sum(server["rss_bytes"] for server in servers),
            "rss_bytes_max": sum(server["rss_bytes_max"] for server in servers),
            "servers": servers,
            "paths": [path.status for path in self.paths.values()],
        }

    async def _start_store(self, region: Region, settings: Settings) -> None:
        """A node, and in it the tables of each stack that it keeps."""
        await self.servers[f"cassandra-{region.name}"].start()
        for stack in region.stacks.values():
            if isinstance(stack, CassandraStack):
                await asyncio.to_thread(migrate, stack, settings.data_dir)

    async def _start_logs(self, regions: Sequence[Region], settings: Settings) -> None:
        await _together(self.servers[f"broker-{region.name}"].start() for region in regions)
        await _together(topics.make(self._bootstrap(region.name), region, settings) for region in regions)
        await _together(self.servers[mirror.name].start() for mirror in self._mirrors)

    # What it is made of ------------------------------------------------------------------------------------------

    def _programs(self, executable: str, folders: Mapping[Kind, Path]) -> Iterator[Program]:
        """The program of each server, with its ports reserved and the paths to it made."""
        brokers, mirrors = (kafka.Java(executable, folders[kind]) for kind in (Kind.KAFKA, Kind.MIRRORMAKER))
        for region in self._regions:
            name = f"cassandra-{region.name}"
            storage, native = self._ports.reserve(), self._direct_port(name)
            self._path(name, native)
            yield cassandra.node(name, self.folder.server(name), executable, folders[Kind.CASSANDRA], storage, native)
        for region in self._regions:
            name = f"broker-{region.name}"
            listeners = list(self._listeners(name, region))
            yield kafka.broker(name, self.folder.server(name), brokers, listeners, self._ports.reserve())
        for region in self._regions:
            for peer in region.peers:
                name = Mirror(peer.name, region.name).name
                source = mirrormaker.End(topics.alias(peer), f"{HOST}:{self.paths[name].port}")
                target = mirrormaker.End(region.name, self._bootstrap(region.name))
                straight = self._bootstrap(peer.name)
                place = self.folder.server(name)
                yield mirrormaker.mirror(name, place, mirrors, source, target, straight, MIRRORED)

    def _listeners(self, name: str, region: Region) -> Iterator[kafka.Listener]:
        """The ways into a region's broker: one straight, and one for each path to it."""
        direct = self._direct_port(name)
        yield kafka.Listener("DIRECT", direct, direct)
        readers = [(mirror.name, f"MIRROR_{mirror.target}") for mirror in self._mirrors if mirror.source == region.name]
        for path, listener in [(name, "ROLES"), *readers]:
            port = self._ports.reserve()
            yield kafka.Listener(listener.upper().replace("-", "_"), port, self._path(path, port).port)

    def _path(self, name: str, server_port: int) -> NetworkPath:
        self.paths[name] = NetworkPath(name, self._ports.reserve(), server_port)
        return self.paths[name]

    def _direct_port(self, name: str) -> int:
        self._direct[name] = self._ports.reserve()
        return self._direct[name]

    def _bootstrap(self, region: str) -> str:
        return f"{HOST}:{self._direct[f'broker-{region}']}"

    # What is told of it ------------------------------------------------------------------------------------------

    def _summary(self) -> dict[str, Any]:
        return {
            "name": self.folder.name,
            "pid": os.getpid(),
            "state": self.state,
            "ready_s": self.ready_s,
            "regions_dir": str(self.folder.regions.resolve()),
            "regions": [
                {
                    "name": region.name,
                    "bootstrap": f"{HOST}:{self.paths[f'broker-{region.name}'].port}",
                    "contact_point": f"{HOST}:{self.paths[f'cassandra-{region.name}'].port}",
                    "direct_bootstrap": self._bootstrap(region.name),
                    "direct_contact_point": f"{HOST}:{self._direct[f'cassandra-{region.name}']}",
                }
                for region in self._regions
                if f"broker-{region.name}" in self.paths
            ],
        }

    def publish(self) -> None:
        """Writes set.json."""
        summary = self._summary() | {"servers": [*self.servers], "paths": [*self.paths]}
        self.folder.publish(summary)

    def _write_regions(self) -> None:
        """Region files like those that the set was made for, but for their engines: those are this set's."""
        self.folder.regions.mkdir(exist_ok=True)
        for path in sorted(self._settings.regions_dir.glob("*.y*ml")):
            content = load_yaml(path)
            name = content["name"]
            content["log"] = {
                "engine": "kafka",
                "bootstrap": [f"{HOST}:{self.paths[f'broker-{name}'].port}"],
                "replication_factor": 1,
                "min_insync_replicas": 1,
                "retention_s": content["log"]["retention_s"],
            }
            content["stacks"] = {
                stack: {
                    "engine": "cassandra",
                    "contact_points": [f"{HOST}:{self.paths[f'cassandra-{name}'].port}"],
                    "local_dc": cassandra.LOCAL_DC,
                    "keyspace": f"tocsin_{stack.replace('-', '_')}",
                    "replication_factor": 1,
                }
                for stack in content["stacks"]
            }
            (self.folder.regions / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        load_topology(self.folder.regions)

    def server(self, name: str) -> Server:
        """The server of this name; raises `Misconfigured`, with all names, when there is none."""
        return _named(name, self.servers, "server")

    def path(self, name: str) -> NetworkPath:
        """The network path of this name; raises `Misconfigured`, with all names, when there is none."""
        return _named(name, self.paths, "path")


def _named(name: str, known: dict[str, T], what: str) -> T:
    if name not in known:
        raise Misconfigured(f"no {what} {name!r}; known: {', '.join(known) or 'none yet'}")
    return known[name]


async def _together(deeds: Iterable[Awaitable[None]]) -> None:
    """Does all at once; raises the first failure, when the others have been given up."""

    async def do(deed: Awaitable[None]) -> None:
        await deed

    try:
        async with asyncio.TaskGroup() as group:
            for deed in deeds:
                group.create_task(do(deed))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
