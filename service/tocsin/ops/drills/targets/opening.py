"""Opening a local target: engines, roles, people and a receiver for their pages, started together, ended together."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tocsin.engines.faults import FaultSwitch
from tocsin.engines.opening import open_log, open_store
from tocsin.ops.demo import pages, show
from tocsin.ops.demo.ground import running_servers
from tocsin.ops.demo.player import open_client
from tocsin.ops.demo.receiver import receiving
from tocsin.ops.drills.targets.local import LocalTarget
from tocsin.ops.drills.targets.name import Name
from tocsin.ops.drills.targets.servers import EmbeddedServers, RealServers, Servers
from tocsin.ops.drills.targets.sight import Parts
from tocsin.ops.local.folder import SetFolder
from tocsin.ops.supervisor import LocalSet
from tocsin.settings import Settings

WORK: Final = Path(".work")
"""In the folder of reports: the data directory of the regions, and the journal."""
FAULTS: Final = "faults.json"
RECEIVER: Final = Path("../receiver")
SERVERS: Final = Path("build/servers/drills")

OF_REAL_MIRRORS: Final = {"PAGING__BACKSTOP_S": 10.0, "PAGING__SILENCE_S": 5.0, "PAGING__STEP_IN_S": 2.5}
"""A deployment's own: on a busy machine a mirror of JVMs takes longer than the demo's backstop, and a peer that steps
in before it can have heard of a page repeats it.
"""


def settings_for(out: Path, name: Name) -> Settings:
    """The settings of a local target: shorter limits than a deployment's, but for those that the environment sets."""
    given = Settings.load(
        data_dir=out / WORK / "data", up_file=out / WORK / "up.json", faults_file=Path(FAULTS), journal=True
    )
    overrides: dict[str, Any] = {}
    for limit, value in show.OVERRIDES.items():
        _put(overrides, f"limits__{limit}", value)
    for limit, value in pages.OVERRIDES.items():
        _put(overrides, limit, value)
    for limit, value in OF_REAL_MIRRORS.items() if name is Name.LOCAL else ():
        _put(overrides, limit, value)
    _put(overrides, "delivery__webhooks__ca_file", str(RECEIVER / "ca.pem"))
    return given.model_copy(update={"overrides": _merged(overrides, given.overrides)})


@asynccontextmanager
async def opened(name: Name, out: Path, say: Callable[[str], None]) -> AsyncIterator[LocalTarget]:
    """A target that is ready; `say` hears what takes time.

    Raises ConfigError, `Owned` while another has the place, and `Unavailable` when something does not start.
    """
    settings = settings_for(out, name)
    switch = FaultSwitch(settings.path(Path(FAULTS)))
    async with AsyncExitStack() as stack:
        receiver = stack.enter_context(receiving(settings.path(RECEIVER)))
        servers: Servers = EmbeddedServers(switch)
        if name is Name.LOCAL:
            folder = SetFolder(SERVERS)
            servers = RealServers(await stack.enter_async_context(running_servers(folder, settings.regions_dir, say)))
            settings = settings.model_copy(update={"regions_dir": folder.regions})
        say("starting both regions")
        local = LocalSet(settings, fresh=True)
        await local.start()
        stack.push_async_callback(local.stop)
        past_the_switch = settings.model_copy(update={"faults_file": None})
        topology = settings.topology()
        stores = {
            region.name: open_store(region, region.serving_stack, past_the_switch, read_only=True)
            for region in topology.regions
        }
        logs = {region.name: open_log(region, past_the_switch) for region in topology.regions}
        for store in stores.values():
            stack.push_async_callback(store.close)
        for log in logs.values():
            stack.push_async_callback(log.close)
        client = await stack.enter_async_context(open_client(settings.ca_file(topology.regions[0])))
        hired = await pages.hire(past_the_switch, topology, receiver)
        parts = Parts(settings, local, servers, switch, client, stores, logs)
        target = LocalTarget(name, parts, hired, out)
        stack.push_async_callback(target.end)
        yield target


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    """Puts a value where `A__B` says."""
    *path, last = name.lower().split("__")
    for part in path:
        tree = tree.setdefault(part, {})
    tree[last] = value


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return merged
