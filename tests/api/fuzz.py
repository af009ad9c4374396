"""Generated requests against a real querier: none may be answered by 500, none may leave a traceback in the log.

schemathesis reads the querier's own description and makes requests of it, valid ones and ones that are not quite; it
runs in an environment of its own, `build/schemathesis-venv`, over a socket. Here are what it runs against: a querier on
real engines with incidents in them, and a creator's hand that makes entries of what the requests change. 503 is taken
for its documented cause alone, and there is none here: no engine is ever away.

Rounds with other seeds follow until enough requests were answered. What schemathesis finds fault with beside, answers
that are not as described, fails the run too. Run by `make test-api REQUESTS=10000`.
"""

import argparse
import asyncio
import itertools
import json
import logging
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from tocsin.core.events import client_digest, request_body
from tocsin.core.ids import Parent, RequestKey, format_id
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import Request, decode_record
from tocsin.engines.audit import AuditTrail
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.log_directory import LogDirectory
from tocsin.engines.tokens import Scope, TokenFile
from tocsin.engines.topics import make_topics
from tocsin.roles.minting import Mint
from tocsin.roles.process import HttpServer, bind
from tocsin.roles.querier import Querier, QuerierParts
from tocsin.roles.writer import Writer
from tocsin.telemetry import Identity, Meters
from tocsin.topology import load_topology

REPOSITORY: Final = Path(__file__).parents[2]
SCHEMATHESIS: Final = REPOSITORY / "build" / "schemathesis-venv" / "bin" / "st"
REQUESTS: Final = 10_000
"""Unless it is said otherwise; 1,000 in CI."""
EXAMPLES: Final = 100
"""Of each operation in each round."""
THOROUGH: Final = 5_000
"""From so many requests on, boundary values are walked through one by one too: 2,500 in each round."""
ROUNDS_MAX: Final = 40
ROUND_S_MAX: Final = 900
INCIDENTS: Final = 60
CHECKS: Final = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "unsupported_method", "ignored_auth",
)  # fmt: skip
DIRECTORY: Final = """
services:
  - {id: demo, name: Demo, routing_keys: [dddddddddddddddddddddddddddddddd]}
  - {id: mail, name: Mail, routing_keys: [mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm]}
users:
  - id: ann
    name: Ann
    email: ann@example.org
    methods: [{id: mail, kind: email, address: ann@example.org}]
    rules: [{method: mail}]
"""
REGION: Final = load_topology(REPOSITORY / "regions" / "local").region("a").model_copy(update={"partitions": 1})
_EMAIL: Final = {"type": "string", "format": "email"}


class Faults(logging.Handler):
    """Keeps what was logged with a traceback, and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record that should not be there."""
        if record.exc_info or record.levelno >= logging.ERROR:
            self.found.append(logging.Formatter().format(record))


class Region:
    """A querier, and the hand of a creator."""

    def __init__(self, place: Path) -> None:
        (place / "directory.yaml").write_text(DIRECTORY, encoding="utf-8")
        self.store, self.log = EmbeddedStore(place / "blue.sqlite"), EmbeddedLog(place / "log.sqlite")
        self.directory = LogDirectory(self.log, REGION, place / "directory.yaml")
        self._meters = Meters(Identity("a", "blue", "querier"))
        tokens = TokenFile(place / "tokens.json")
        _, self.token = tokens.create("fuzz", Scope.WRITE, now_us=_now_us())
        self.answers: Counter[int] = Counter()
        self.app = Querier(
            QuerierParts(
                regions=("a",),
                partitions=1,
                store=self.store,
                mint=Mint("a", "requests", 1, self.log, _now_us, secrets.token_bytes),
                tokens=tokens,
                directory=self.directory,
                audit=AuditTrail(place / "audit.log", _now_us),
                meters=self._meters,
                clock_us=_now_us,
                requests_per_min_max=10_000_000,
            )
        ).app()

    async def fill(self) -> list[str]:
        """Makes incidents in each state; the names that paths may have."""
        await make_topics(self.log, REGION)
        await self.directory.look()
        writer, names = Writer(self.store, 1), list[str]()
        for number in range(INCIDENTS):
            for action in ("trigger", "acknowledge", "resolve")[: 1 + number % 3]:
                event = {"event_action": action, "payload": {"summary": f"{number}", "source": "s", "severity": "info"}}
                parent = Parent(("demo", "mail")[number % 2], f"key {number}")
                body = request_body(event, parent.dedup_key)
                temporal_id = (int(time.time()) - 1_000 + number) << 32 | len(names)
                key = RequestKey(parent, temporal_id, client_digest(parent, body))
                if failures := await writer.write([Request(key, _now_us(), "a", 1, body)]):
                    raise AssertionError(f"the creator refuses what the tests begin with: {failures}")
                names += [format_id(key.id), key.printed]
        source = SourceProgress(Coordinates("c", "a", "1", 0), Runs(), tick_us=_now_us())
        await self.store.save_progress(ProgressRow(0, 1, clean=False, sources={"a": source}))
        return names

    async def create(self) -> None:
        """Makes entries of what the requests change, for ever."""
        writer, at = Writer(self.store, 2), 0
        while True:
            fetched = await self.log.fetch("requests", 0, at, records_max=500, bytes_max=1 << 22, wait_s=0.2)
            contents = [decode_record(delivered.record) for delivered in fetched.records]
            failures = await writer.write([content for content in contents if isinstance(content, Request)])
            if failures:
                raise AssertionError(f"the creator refuses what the querier took: {failures}")
            at = fetched.next_offset

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Counts answers."""

        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.answers[message["status"]] += 1
            await send(message)

        await self.app(scope, receive, counted)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """The URL at which it answers."""
        with bind("127.0.0.1", 0) as sock:
            server = HttpServer(self, sock)
            serving, creating = asyncio.create_task(server.serve_socket()), asyncio.create_task(self.create())
            await server.listens.wait()
            try:
                yield server.url
                if creating.done():
                    creating.result()
            finally:
                server.should_exit = True
                await serving
                creating.cancel()
                await asyncio.gather(creating, return_exceptions=True)
                await self.store.close()
                await self.log.close()


async def described(url: str, token: str, names: list[str]) -> dict[str, Any]:
    """The description, with the names of things that are there beside arbitrary ones: else all would be unknown."""
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        description: dict[str, Any] = (await client.get(f"{url}/openapi.json")).json()
    there = {"incidents": names, "log_entries": names, "services": ["demo", "mail"], "users": ["ann"]}
    parts = {"method_id": ["mail"], "rule_id": ["mail-0s-high"]}
    for path, operations in description["paths"].items():
        known = there.get(path.split("/")[1])
        for operation in operations.values() if known else ():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    ids = parts.get(parameter["name"], known)
                    parameter["schema"] = {"anyOf": [{"enum": ids}, {"type": "string", "minLength": 1}]}
                elif parameter["name"] == "From":
                    parameter["schema"] = {"anyOf": [{"enum": ["ann@example.org", "bob@example.org"]}, _EMAIL]}
    for schema in description["components"]["schemas"].values():
        # Said or not, it means the same; said, it makes schemathesis draw values of any depth, on which it fails.
        if schema.get("additionalProperties") is True:
            del schema["additionalProperties"]
    named = description["components"]["schemas"]["NamedChange"]["properties"]
    named["id"] = {"anyOf": [{"enum": names}, named["id"]]}
    reference = description["components"]["schemas"]["ServiceReference"]["properties"]
    reference["id"] = {"anyOf": [{"enum": ["demo", "mail"]}, reference["id"]]}
    return description


async def round_of(url: str, token: str, schema: Path, seed: int, phases: str) -> bool:
    """One run of schemathesis; whether it found nothing."""
    running = await asyncio.create_subprocess_exec(
        str(SCHEMATHESIS), "run", str(schema), "--url", url, "--header", f"Authorization:Token token={token}",
        "--checks", ",".join(CHECKS), "--phases", phases, "--max-examples", str(EXAMPLES),
        "--seed", str(seed), "--workers", "2", "--continue-on-failure", "--no-color", "--warnings", "off",
        "--suppress-health-check", "all", "--generation-database", "none",
        cwd=schema.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(ROUND_S_MAX):
            out, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
    if running.returncode:
        print(out.decode(errors="replace").replace(token, "..."))
    return running.returncode == 0


async def fuzz(requests: int, place: Path) -> bool:
    """Whether all that was asked was answered well."""
    faults = Faults()
    logging.getLogger().addHandler(faults)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    region, began = Region(place), time.monotonic()
    names, is_well = await region.fill(), True
    phases = "coverage,fuzzing" if requests >= THOROUGH else "fuzzing"
    async with region.served() as url:
        schema = place / "openapi.json"
        schema.write_text(json.dumps(await described(url, region.token, names)), encoding="utf-8")
        for seed in itertools.islice(itertools.count(1), ROUNDS_MAX):
            is_well &= await round_of(url, region.token, schema, seed, phases)
            if not is_well or region.answers.total() >= requests:
                break
    unexpected = {status: number for status, number in region.answers.items() if status >= 500}
    told = ", ".join(f"{status}: {number}" for status, number in sorted(region.answers.items()))
    print(f"{region.answers.total():,} requests in {time.monotonic() - began:.0f} s; answers {told}")
    print("\n".join(faults.found) or "no traceback and no error in the log")
    return is_well and not unexpected and not faults.found and region.answers.total() >= requests


def _now_us() -> int:
    return time.time_ns() // 1000


def main() -> None:
    """Exit status 0 when all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="how many to answer at least")
    asked = parser.parse_args()
    if not SCHEMATHESIS.exists():
        sys.exit(f"{SCHEMATHESIS} is missing: `make test-api` makes it")
    with tempfile.TemporaryDirectory() as place:
        sys.exit(not asyncio.run(fuzz(asked.requests, Path(place))))


if __name__ == "__main__":
    main()
