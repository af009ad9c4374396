"""The supervisor: all roles of all local regions as child processes of this one.

For one machine: it takes the place that an init system or a cluster's scheduler has in production, and does no more
than those do. `tocsin up` shows it to a person; the demo and the drills kill and stop what it keeps running.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx2
from pydantic import SecretStr

from tocsin.config import ConfigError, Problem
from tocsin.engines.errors import Unavailable
from tocsin.ops.child import Child
from tocsin.ops.premises import DEMO_SERVICE, alone, clear, make_directories, own_token
from tocsin.settings import PREFIX, Settings, variable
from tocsin.topology import OVERRIDE_PREFIX, EmbeddedLog, Region

ROLES: Final = ("creator", "intake", "querier", "notifier")
READY_S_MAX: Final = 60.0
LOOK_EVERY_S: Final = 0.15
CHECK_S_MAX: Final = 5.0
OF_ONE_PROCESS: Final = ("region", "stack", "host", "port", "admin_port")
"""Settings that say which process one is: the supervisor gives each child its own."""
OF_COMMANDS: Final = ("token", "routing_key")
"""Settings that no role reads, and secrets: a child is not given what it does not need."""
_log = logging.getLogger(__name__)


def _tell_log(text: str) -> None:
    _log.warning(text, extra={"action": "child_died"})


def roles_of(region: Region) -> tuple[str, ...]:
    """The roles that a region needs on this machine: Kafka is mirrored by a server of its own, and the synthetic page
    is for who asks for it.
    """
    mirror = ("mirror",) if isinstance(region.log, EmbeddedLog) else ()
    return (*ROLES, *mirror, *(("synthetic",) if region.synthetic else ()))


class LocalSet:
    """All roles of all regions of a folder, on this machine.

    `processes` has them by (region, role); `routing_keys` by service id, and a `token` that reads and acts, both from
    `launch` on.
    """

    def __init__(self, settings: Settings, tell: Callable[[str], None] = _tell_log, *, fresh: bool = False) -> None:
        """`tell` hears, in words for people, of every child that died. `fresh`: what earlier runs left in the data
        directory is removed at the launch. Raises ConfigError.
        """
        _refuse(settings)
        self._settings = settings
        self._fresh = fresh
        self._topology = settings.topology()
        self._held = ExitStack()
        self.routing_keys: dict[str, str] = {}
        self.token = ""
        env = environment(settings)
        self.processes: dict[tuple[str, str], Child] = {
            (region.name, role): Child(
                f"{role} of region {region.name}",
                _command(region.name, role),
                env,
                settings.path(Path("logs")) / f"{region.name}-{role}.log",
                tell,
            )
            for region in self._topology.regions
            for role in roles_of(region)
        }

    # All of it ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts everything and returns once all is ready.

        Raises ConfigError, `Owned` when another supervisor has the data directory, and `Unavailable`, naming who is
        not ready and why, after `READY_S_MAX`; then nothing is left running.
        """
        try:
            await self.launch()
            try:
                async with asyncio.timeout(READY_S_MAX):
                    await self.wait_ready()
            except TimeoutError as error:
                waiting = await self.unready()
                whys = "; ".join(f"{name}: {', '.join(reasons)}" for name, reasons in waiting.items())
                raise Unavailable(f"not all is ready {READY_S_MAX:.0f} s after the start: {whys}") from error
        except BaseException:
            await self.stop()
            raise

    async def launch(self) -> None:
        """Starts everything, and does not wait; raises ConfigError, and `Owned` as `start` does."""
        self._held.enter_context(alone(self._settings.data_dir))
        if self._fresh:  # not before: it may be another's that is at work
            clear(self._settings.data_dir)
        self.routing_keys = make_directories(self._settings, self._topology)
        self.token = self._held.enter_context(own_token(self._settings))
        for child in self.processes.values():
            child.start()

    async def wait_ready(self, watch: Callable[[Mapping[str, list[str]]], None] = lambda _: None) -> None:
        """Returns once all is ready. `watch` is called at each look, with who is not yet and why."""
        async with httpx2.AsyncClient(timeout=CHECK_S_MAX) as client:
            while waiting := await self._unready(client):
                watch(waiting)
                await asyncio.sleep(LOOK_EVERY_S)
        watch({})

    async def unready(self) -> dict[str, list[str]]:
        """Who is not ready now, and why."""
        async with httpx2.AsyncClient(timeout=CHECK_S_MAX) as client:
            return await self._unready(client)

    async def stop(self) -> None:
        """Ends everything in good order, by force what takes too long. Stopping again does nothing."""
        try:
            await asyncio.gather(*(child.stop() for child in self.processes.values()))
        finally:
            self._held.close()

    # A part of it ------------------------------------------------------------------------------------------------

    async def kill(self, region: str, role: str, *, hold: bool = False) -> None:
        """Ends one process with SIGKILL; it is started again by itself, unless it is to be held down."""
        await self.processes[region, role].kill(hold=hold)

    async def kill_region(self, region: str) -> None:
        """Ends all processes of a region with SIGKILL, and holds them down."""
        await asyncio.gather(*(child.kill(hold=True) for child in self._of(region)))

    async def start_region(self, region: str) -> None:
        """Starts what is held down of a region; returns once all of it listens."""
        for child in self._of(region):
            child.start()
        await asyncio.gather(*(child.listens() for child in self._of(region)))

    def _of(self, region: str) -> list[Child]:
        return [child for (name, _), child in self.processes.items() if name == region]

    # Where things are --------------------------------------------------------------------------------------------

    def intake_url(self, region: str) -> str:
        """Where a region takes events; raises `Unavailable` before it is known."""
        return _known(self.processes[region, "intake"].url, "intake", region)

    def query_url(self, region: str) -> str:
        """Where a region is read; raises `Unavailable` before it is known."""
        return _known(self.processes[region, "querier"].url, "querier", region)

    def admin_url(self, region: str, role: str) -> str:
        """Health and metrics of a process; raises `Unavailable` before it is known."""
        return _known(self.processes[region, role].admin_url, role, region)

    @property
    def urls(self) -> list[dict[str, Any]]:
        """Of each region `{name, intake_url, query_url, console_url, ca_file, admin_urls}`, the last by role; None for
        what there is not.
        """
        return [
            {
                "name": region,
                "intake_url": self.processes[region, "intake"].url,
                "query_url": self.processes[region, "querier"].url,
                "console_url": None,
                "ca_file": self._ca_file(region),
                "admin_urls": {role: child.admin_url for (of, role), child in self.processes.items() if of == region},
            }
            for region in self._topology.names
        ]

    def _ca_file(self, region: str) -> str | None:
        path = self._settings.ca_file(self._topology.region(region))
        return None if path is None else str(path)

    @property
    def published(self) -> dict[str, Any]:
        """What build/up.json says: the regions, the routing key of the demo service, a token that reads and acts."""
        keys = self.routing_keys
        key = keys.get(DEMO_SERVICE) or next(iter(keys.values()), None)
        return {"regions": self.urls, "routing_key": key, "token": self.token}

    async def _unready(self, client: httpx2.AsyncClient) -> dict[str, list[str]]:
        children = list(self.processes.values())
        reasons = await asyncio.gather(*(child.unready(client) for child in children))
        return {child.name: why for child, why in zip(children, reasons, strict=True) if why}


def environment(settings: Settings) -> dict[str, str]:
    """The environment of a child: ours, but its TOCSIN_* variables say what `settings` do."""
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    given = settings.model_dump(exclude={"overrides", *OF_ONE_PROCESS, *OF_COMMANDS}, exclude_none=True)
    variables = {variable(name): _plain(value) for name, value in given.items()}
    return inherited | variables | dict(_override_variables(settings.overrides))


def _plain(value: Any) -> str:
    return str(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _override_variables(overrides: Mapping[str, Any], path: str = OVERRIDE_PREFIX) -> Iterator[tuple[str, str]]:
    for name, value in overrides.items():
        if isinstance(value, Mapping):
            yield from _override_variables(value, f"{path}{name.upper()}__")
        else:
            yield f"{path}{name.upper()}", json.dumps(value)  # JSON is YAML


def _command(region: str, role: str) -> list[str]:
    return [sys.executable, "-m", "tocsin", "run", role, "--region", region, "--parent", str(os.getpid())]


def _refuse(settings: Settings) -> None:
    given = [name for name in OF_ONE_PROCESS if getattr(settings, name) is not None]
    if given:
        what = "is for one process, and several are started here: unset it"
        raise ConfigError(Problem(variable(name), "", what) for name in given)


def _known(url: str | None, role: str, region: str) -> str:
    if url is None:
        raise Unavailable(f"{role} of region {region} does not listen yet, so nobody knows where it will")
    return url
