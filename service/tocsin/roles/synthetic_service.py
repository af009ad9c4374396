"""The synthetic page as a process: what it needs of the directory, and where its parts come from.

It refuses to run where its page could reach nobody: a watch that never calls is found out at once, one that cannot
work must not look like one that was forgotten.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx2

from tocsin.config import ConfigError, Problem
from tocsin.core.paging.people import Method, MethodKind
from tocsin.engines.directory import Directory
from tocsin.engines.errors import Misconfigured
from tocsin.engines.log_directory import LogDirectory
from tocsin.engines.opening import open_log
from tocsin.engines.topics import make_topics
from tocsin.roles.dead_mans_switch import DeadMansSwitch, read_secret
from tocsin.roles.delivery import signing
from tocsin.roles.page_door import PageDoor
from tocsin.roles.process import Frame, Service, closing
from tocsin.roles.services import looked, topics_made, usable
from tocsin.roles.synthetic import Plan, Synthetic
from tocsin.settings import Settings
from tocsin.topology import Region
from tocsin.topology import Synthetic as Section

SPARE_S: Final = 15.0
"""What a page may take beyond the pace and the backstops of all regions."""
METHOD: Final = "page"
KEY: Final = "the routing key of the synthetic service"


@asynccontextmanager
async def synthetic(frame: Frame) -> AsyncIterator[Service]:
    """Watches the way of a page. Raises ConfigError, and `Misconfigured` where its page could reach nobody."""
    region, settings = frame.region, frame.settings
    section = region.synthetic
    if section is None:
        raise ConfigError([Problem(f"region {region.name}", "synthetic", "is not set: see docs/synthetic.md")])
    key = read_secret(settings.path(section.routing_key_file), KEY)
    secret = signing.secret_of(signing.load_key(settings.path(region.delivery.key_file)), name_of(region), METHOD)
    door = PageDoor(secret, time.time)
    log = open_log(region, settings)
    directory = LogDirectory(log, region, settings.path(region.directory))
    async with (
        closing(log),
        httpx2.AsyncClient(verify=_trusted(region, section, settings), trust_env=False) as client,
        httpx2.AsyncClient(trust_env=False) as outside,
    ):
        await usable(make_topics(log, region))
        await usable(directory.look())
        switch = DeadMansSwitch(settings.path(section.ping_url_file), outside) if section.ping_url_file else None
        plan = Plan(
            region=region.name,
            intake_url=section.intake_url or region.intake.url or "",
            routing_key=key,
            every_s=section.every_s,
            page_s_max=region.paging.pace_s + len(frame.topology.names) * region.paging.backstop_s + SPARE_S,
        )
        watch = Synthetic(plan, door, client, switch)
        frame.meters.watch(watch.readings)
        if not directory.problems:
            check(directory, region, section, key)

        async def run(stopping: asyncio.Event) -> None:
            if await topics_made(log, region, stopping) and await looked(directory, stopping):
                check(directory, region, section, key)
                await watch.run(stopping)

        async def unready() -> list[str]:
            return watch.unready()

        yield Service(run, unready, door)


def name_of(region: Region) -> str:
    """The id of the service and of the responder that a region's synthetic page is for."""
    return f"tocsin-synthetic-{region.name}"


def check(directory: Directory, region: Region, section: Section, routing_key: str) -> None:
    """Raises `Misconfigured`, with what to do, where the page would not come back."""
    name = name_of(region)
    how = (
        f"`tocsin synthetic init --region {region.name}` writes what is missing into a file for `tocsin directory "
        f"apply`; docs/synthetic.md tells more"
    )
    service = directory.service_of(routing_key)
    if service is None or service.id != name:
        raise Misconfigured(f"the directory has no service {name} with the routing key that is set here. {how}")
    person = directory.user(name)
    if person is None or name not in service.responders:
        raise Misconfigured(f"service {name} has no responder {name}, so its page would reach nobody. {how}")
    wanted = Method(METHOD, MethodKind.WEBHOOK, section.pages_at or "")
    if not any(method == wanted for _, method in person.reached_by("high")):
        raise Misconfigured(f"user {name} is not paged by the webhook {wanted.address}, where it would be seen. {how}")


def _trusted(region: Region, section: Section, settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca_file = settings.ca_file(region)
    if section.intake_url is None and ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise Misconfigured(f"{ca_file}, by which intake is checked, cannot be used: {error}") from error
    return context
