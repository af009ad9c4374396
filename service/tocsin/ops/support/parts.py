"""The parts of a support bundle: what each is about, and how it is got. What it holds is not scrubbed yet."""

import asyncio
import itertools
import json
import os
import platform
import shutil
import sqlite3
import ssl
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import msgspec

from tocsin import __version__
from tocsin.core.book import Book
from tocsin.engines.audit import lines
from tocsin.engines.opening import audit_path
from tocsin.ops.ledger import Ledgers
from tocsin.ops.progress import look_at
from tocsin.ops.regions import reachable
from tocsin.ops.status.gathering import AdminUrls, gather
from tocsin.ops.status.questions import status_of
from tocsin.ops.status.text import lines_of
from tocsin.settings import Settings
from tocsin.topology import Topology

LOG_BYTES_MAX: Final = 512 * 1024
"""Of each log the end is taken."""
AUDIT_LINES_MAX: Final = 500
ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
CALL_S_MAX: Final = 5.0
OPEN_S_MAX: Final = 4.0
DISTRIBUTION: Final = "tocsin"
MEMORY: Final = Path("/proc/meminfo")


class Member(NamedTuple):
    """A file of the bundle: its name in it, and a text, a JSON value, or lines of a log."""

    name: str
    content: Any


class Place(NamedTuple):
    """The installation as it is looked at from here."""

    settings: Settings
    topology: Topology
    admin_urls: AdminUrls
    clock_us: Callable[[], int]


Got = AsyncIterator[Member]


class Part(NamedTuple):
    """What is taken: its name, what it is in words, and how it is got: it raises when it is out of reach."""

    name: str
    what: str
    get: Callable[[Place], Got]


async def status(place: Place) -> Got:
    """The six questions, answered, and the facts behind."""
    facts = await gather(place.settings, place.topology, place.admin_urls, place.clock_us)
    found = status_of(facts)
    yield Member("status.txt", "\n".join(lines_of(found)) + "\n")
    yield Member("status.json", {**msgspec.to_builtins(found), "facts": msgspec.to_builtins(facts)})


async def configuration(place: Place) -> Got:
    """What is in force. Secrets are no values of region files, and a secret setting shows as stars."""
    yield Member("configuration/settings.json", place.settings.model_dump(mode="json"))
    for region in place.topology.regions:
        yield Member(f"configuration/region-{region.name}.json", region.model_dump(mode="json"))


async def versions(place: Place) -> Got:
    """What runs here: of Tocsin, Python, what it needs, and the machine."""
    needed = [word.split(";")[0] for word in metadata.requires(DISTRIBUTION) or ()]
    names = sorted({"".join(itertools.takewhile(lambda c: c.isalnum() or c in "-_.", word)) for word in needed})
    packages = {name: version for name in names if (version := _version(name))}
    disk = shutil.disk_usage(place.settings.data_dir if place.settings.data_dir.exists() else Path.cwd())
    memory = MEMORY.read_text(encoding="ascii").splitlines()[:5] if MEMORY.exists() else []
    yield Member(
        "versions.json",
        {
            "tocsin": __version__,
            "at_us": place.clock_us(),
            "python": sys.version,
            "sqlite": sqlite3.sqlite_version,
            "openssl": ssl.OPENSSL_VERSION,
            "packages": packages,
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "load": os.getloadavg(),
            "memory": memory,
            "disk": {"total_bytes": disk.total, "free_bytes": disk.free},
        },
    )


async def progress(place: Place) -> Got:
    """How far each partition of each region is."""
    async with reachable(place.settings, place.topology, within_s=OPEN_S_MAX) as reached:
        for region in place.topology.regions:
            state = await look_at(region, reached, place.topology, place.clock_us())
            yield Member(f"progress/region-{region.name}.json", state.as_fields())


async def ledger(place: Place) -> Got:
    """What the ledgers hold, counted; of requests no content."""
    async with reachable(place.settings, place.topology, within_s=OPEN_S_MAX) as reached:
        found = await Ledgers.read_from(reached.logs, place.topology)
    yield Member(
        "ledger.json",
        {
            "read": found.read,
            "not_read": found.unread | reached.away,
            "partitions": {str(number): _counted(book) for number, book in sorted(found.books.items())},
        },
    )


def _counted(book: Book) -> dict[str, Any]:
    words = Counter(
        f"{replica} {said.word} {said.kind or ''}".strip()
        for words in book.words.values()
        for replica, said in words.items()
    )
    return {
        "words": dict(words),
        "orders": dict(Counter(str(order.word) for order in book.orders.values())),
        "region_orders": msgspec.to_builtins(list(book.region_orders.values())),
        "standings": msgspec.to_builtins(list(book.standings.values())),
        "unknown": len(book.unknown),
    }


async def roles(place: Place) -> Got:
    """Health and metrics of each role's process."""
    token = place.settings.metrics_token
    headers = {b"authorization": f"Bearer {token.get_secret_value()}".encode()} if token else {}
    places = [(region, role, url) for region, urls in place.admin_urls.items() for role, url in urls.items() if url]
    async with httpx2.AsyncClient(timeout=CALL_S_MAX, headers=headers, trust_env=False) as client:
        for path, file in (("/health/ready", "ready.json"), ("/metrics", "metrics.txt")):
            answers = await asyncio.gather(*(_answer(client, f"{url}{path}") for _, _, url in places))
            for (region, role, _), answer in zip(places, answers, strict=True):
                yield Member(f"roles/{region}-{role}/{file}", answer)


async def _answer(client: httpx2.AsyncClient, url: str) -> str:
    try:
        async with asyncio.timeout(CALL_S_MAX), client.stream("GET", url) as answer:
            raw = b""
            async for piece in answer.aiter_bytes():
                raw += piece
                if len(raw) > ANSWER_BYTES_MAX:
                    break
    except (httpx2.HTTPError, TimeoutError) as error:
        return f"no answer: {type(error).__name__} {error}\n"
    return raw[:ANSWER_BYTES_MAX].decode(errors="replace")


async def logs(place: Place) -> Got:
    """The ends of the logs that `tocsin up` keeps; where an init system keeps them, they are out of reach here."""
    folder = place.settings.path(Path("logs"))
    for path in sorted(folder.glob("*.log")):
        yield Member(f"logs/{path.name}", _log_lines(await asyncio.to_thread(_tail, path)))
    if not folder.is_dir():
        raise FileNotFoundError(0, "there is no such folder: the logs are with the init system", str(folder))


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_BYTES_MAX))
        found = file.read().decode(errors="replace").splitlines()
    return found[1:] if size > LOG_BYTES_MAX else found


def _log_lines(found: list[str]) -> list[Any]:
    """Records as values, so that the names of their fields count; anything else as text."""
    return [_record(line) for line in found]


def _record(line: str) -> Any:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return record if isinstance(record, dict) else line


async def audit(place: Place) -> Got:
    """The latest lines of the audit trails, the latest last."""
    for region in place.topology.names:
        path = audit_path(place.settings, region)
        found = await asyncio.to_thread(lambda path=path: list(itertools.islice(lines(path), AUDIT_LINES_MAX)))  # type: ignore[misc]
        yield Member(f"audit/region-{region}.log", found[::-1])


PARTS: Final = (
    Part("status", "how all is: the answers of `tocsin status`, and the facts behind", status),
    Part("configuration", "settings and region files in force", configuration),
    Part("versions", "Tocsin, Python, packages, the machine", versions),
    Part("progress", "how far each partition is", progress),
    Part("ledger", "what the regions say of requests they could not store, counted", ledger),
    Part("roles", "health and metrics of each role", roles),
    Part("logs", "the ends of the logs", logs),
    Part("audit", "the ends of the audit trails", audit),
)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
